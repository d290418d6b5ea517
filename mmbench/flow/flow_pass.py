"""One pass over a clip for everything the flow metrics need, at the price of one flow per pair at most."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mmbench.flow import vbench_rule as rule
from mmbench.flow.decision import PairQueue, decided_at
from mmbench.flow.smoothness import SmoothnessTerm, smoothness_term
from mmbench.flow.spool import Spool
from mmbench.flow.store import FeatureStore
from mmbench.flow.types import FlowBackend
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo, Frame
from mmbench.video.sample import rate_stride

if TYPE_CHECKING:
    from torch import Tensor

FlowMode = Literal["early", "full"]
THUMBNAIL_SIDE = 120


@dataclass(frozen=True)
class FlowResult:
    """What the flow of one clip says.

    `scores`, shape (n_sampled - 1,): mean length in pixels of the longest 5 % of vectors of each pair, NaN
    where the pair was not needed. `threshold` in pixels and `count_needed` are VBench's. `decided_at` is
    the number of pairs after which the verdict was certain (in the order visited; 0 without a pair).
    `smoothness` holds one term for each two consecutive pairs, only in full mode. `computed`, `repeated`
    and `redone` count pairs: run through the network, equal to an earlier pair to the last bit, measured a
    second time in full precision. `reason` is set, and everything else empty, when the clip could not be
    measured.
    """

    mode: FlowMode
    n_sampled: int
    interval: int
    fps: float
    fps_source: str
    height: int
    width: int
    threshold: float
    count_needed: int
    scores: NDArray[np.float64]
    provenance: Provenance
    decided_at: int = 0
    smoothness: tuple[SmoothnessTerm, ...] | None = None
    encoded: int = 0
    computed: int = 0
    repeated: int = 0
    redone: int = 0
    reason: str = ""
    remedy: str = ""


class FlowPass:
    """Feeds sampled frames to a flow method. "full" computes every pair while the clip is decoded; "early"
    keeps the sampled frames in a temporary file and computes, in an order that decides soon, only as many
    pairs as the verdict needs. Memory does not grow with the clip's length in either mode. Frames for which the backend
    needs more than `memory` bytes are not measured, and the result says so.
    """

    name = "flow"

    def __init__(
        self,
        backend: FlowBackend,
        mode: FlowMode = "early",
        want_smoothness: bool = False,
        *,
        memory: int | None = None,
    ) -> None:
        if want_smoothness and mode != "full":
            raise ValueError('motion smoothness needs every pair: use mode "full"')
        self.backend = backend
        self.mode: FlowMode = mode
        self.want_smoothness = want_smoothness
        self.memory = memory

    def start(self, clip: ClipInfo) -> None:
        """Prepare for the frames of `clip`."""
        self._clip = clip
        # VBench takes every frame of a folder; a rate stated in the manifest makes it a video like any other.
        whole_folder = clip.is_folder and clip.fps_source != "manifest"
        self._interval = 1 if whole_folder else rate_stride(clip.fps)
        self._n_sampled = len(range(0, clip.n_frames, self._interval))
        self._scores = np.full(max(0, self._n_sampled - 1), math.nan)
        self._needed = rule.count_needed(self._n_sampled)
        self._threshold = rule.pair_threshold(clip.height, clip.width)
        self._at_once = self.backend.pairs_at_once(clip.height, clip.width)
        self._encoded = self._computed = self._repeated = self._redone = 0
        self._pending: list[Frame] = []
        self._carried: Tensor | None = None
        self._next_pair = 0
        self._terms: list[SmoothnessTerm] = []
        self._last_flow: Tensor | None = None
        self._thumbnail: NDArray[np.int16] | None = None
        self._guesses: list[float] = []
        self._digests: list[bytes] = []
        self._frames = Spool((clip.height, clip.width, 3), np.uint8)
        left, right, top, bottom = rule.pad_amounts(clip.height, clip.width)
        self._unpad = (slice(top, top + clip.height), slice(left, left + clip.width))
        padded = (clip.height + top + bottom, clip.width + left + right)
        self._reason = self._remedy = ""
        if min(padded) < self.backend.min_side:
            self._reason = (
                f"{self.backend.name} flow needs at least {self.backend.min_side} px a side, "
                f"the clip is {clip.width}x{clip.height}"
            )
            self._remedy = "Measure the clip at a larger size."
        if self.memory is not None and (needed := self.backend.memory(clip.height, clip.width)) > self.memory:
            self._reason = (
                f"{self.backend.name} flow takes about {needed / 2**30:.0f} GiB of memory for frames of "
                f"{clip.width}x{clip.height}, more than the limit of {self.memory / 2**30:.3g} GiB (limits.memory)"
            )
            self._remedy = "Scale the clip down, or raise limits.memory in the settings and measure again."

    def feed(self, index: int, frame: Frame) -> None:
        """Take frame `index` if it is one of the sampled ones."""
        if index % self._interval or self._reason:
            return
        if self.mode == "early":
            self._keep(index // self._interval, frame)
            return
        self._pending.append(frame)
        if len(self._pending) == self._at_once + 1:
            self._run_pending()

    def finish(self) -> FlowResult:
        """Compute what is still needed and report."""
        if self._reason:
            self._scores = self._scores[:0]
        elif self.mode == "early":
            decided = self._run_early()
        else:
            if len(self._pending) > 1:
                self._run_pending()
            decided = decided_at(self._scores, self._threshold, self._needed)
        self._frames.close()
        clip = self._clip
        return FlowResult(
            mode=self.mode,
            n_sampled=self._n_sampled,
            interval=self._interval,
            fps=clip.fps,
            fps_source=clip.fps_source,
            height=clip.height,
            width=clip.width,
            threshold=self._threshold,
            count_needed=self._needed,
            scores=self._scores,
            provenance=self.backend.provenance,
            decided_at=0 if self._reason else decided,
            smoothness=tuple(self._terms) if self.want_smoothness and not self._reason else None,
            encoded=self._encoded,
            computed=self._computed,
            repeated=self._repeated,
            redone=self._redone,
            reason=self._reason,
            remedy=self._remedy,
        )

    def _run_pending(self) -> None:
        """Full mode: all pairs of the frames at hand; the last frame and its features start the next batch."""
        import torch

        frames = self._pending
        fresh = self._encode(frames if self._carried is None else frames[1:])
        features = fresh if self._carried is None else torch.cat([self._carried, fresh])
        flows = self._flows(frames[:-1], features[:-1], features[1:])
        for flow, first, second in zip(flows, frames[:-1], frames[1:], strict=True):
            self._scores[self._next_pair] = self._score(flow, first, second)
            self._next_pair += 1
            if self.want_smoothness:
                unpadded = flow[(slice(None), *self._unpad)]
                if self._last_flow is not None:
                    self._terms.append(smoothness_term(self._last_flow, unpadded))
                self._last_flow = unpadded.clone()
        self._carried = features[-1:].clone()
        self._pending = frames[-1:]

    def _keep(self, slot: int, frame: Frame) -> None:
        """Early mode: the frame to disk; of its thumbnail only the difference to the one before."""
        self._frames.write(slot, frame)
        self._digests.append(hashlib.blake2b(frame.tobytes(), digest_size=16).digest())
        thumbnail = _thumbnail(frame)
        if self._thumbnail is not None:
            self._guesses.append(float(np.abs(thumbnail - self._thumbnail).mean()))
        self._thumbnail = thumbnail

    def _run_early(self) -> int:
        """Early mode: score pairs until the verdict is certain; return how many were looked at."""
        queue = PairQueue(self._guesses, self._needed, self._threshold)
        known: dict[tuple[bytes, bytes], float] = {}
        kept = self.backend.features_kept(self._clip.height, self._clip.width)
        with FeatureStore(kept) as store:
            while pairs := queue.take(self._at_once):
                # A pair equal to an earlier one to the last bit has the same flow: common in still clips.
                keys = {pair: (self._digests[pair], self._digests[pair + 1]) for pair in pairs}
                new = {keys[pair]: pair for pair in reversed(pairs) if keys[pair] not in known}
                todo = sorted(new.values())
                if todo:
                    known.update(zip((keys[pair] for pair in todo), self._score_pairs(todo, store), strict=True))
                self._repeated += len(pairs) - len(todo)
                for pair in pairs:
                    self._scores[pair] = known[keys[pair]]
                    queue.add(known[keys[pair]])
        return queue.seen

    def _score_pairs(self, pairs: Sequence[int], store: FeatureStore) -> list[float]:
        import torch

        slots = sorted({slot for pair in pairs for slot in (pair, pair + 1)})
        frames = {slot: self._read(slot) for slot in slots}
        missing = [slot for slot in slots if slot not in store]
        if missing:
            for slot, row in zip(missing, self._encode([frames[slot] for slot in missing]), strict=True):
                store.put(slot, row)
        features = {slot: store.get(slot) for slot in slots}
        flows = self._flows(
            [frames[pair] for pair in pairs],
            torch.stack([features[pair] for pair in pairs]),
            torch.stack([features[pair + 1] for pair in pairs]),
        )
        return [self._score(flow, frames[pair], frames[pair + 1]) for flow, pair in zip(flows, pairs, strict=True)]

    def _read(self, slot: int) -> Frame:
        return self._frames.read(slot).astype(np.uint8, copy=False)

    def _encode(self, frames: Sequence[Frame]) -> Tensor:
        self._encoded += len(frames)
        return self.backend.encode(frames)

    def _flows(self, firsts: Sequence[Frame], features: Tensor, next_features: Tensor) -> Tensor:
        self._computed += len(firsts)
        return self.backend.flows(firsts, features, next_features)

    def _score(self, flow: Tensor, first: Frame, second: Frame) -> float:
        """The pair's score; measured again in full precision when a low-precision one is too close to call."""
        score = rule.pair_score(flow)
        if abs(score - self._threshold) >= self.backend.border * self._threshold:
            return score
        exact = self.backend.exact
        self._redone += 1
        features = exact.encode([first, second])
        return rule.pair_score(exact.flows([first], features[:1], features[1:])[0])


def _thumbnail(frame: Frame) -> NDArray[np.int16]:
    import cv2

    height, width = frame.shape[:2]
    scale = min(1.0, THUMBNAIL_SIDE / min(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: NDArray[np.int16] = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.int16)
    return small
