"""What CLIP makes of a clip's frames and of a prompt, with the pixels of transformers' processor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmbench.device import Arithmetic, multiplied, torch_device
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo, Frame

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer
    from torch import nn

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
SIDE = 224
TOKENS = 77
SEED = 0
BASE, LARGE = "clip-vit-base-patch32", "clip-vit-large-patch14"

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class ClipFrames:
    """Features of some of a clip's frames, and what reads a prompt.

    `vectors` by order of colours, "rgb" and, where it was asked for, "bgr": float32 (F, D), raw, of the frames
    `indices`. `eyes` read a prompt.
    """

    vectors: dict[str, Rows]
    indices: tuple[int, ...]
    eyes: ClipEyes


class ClipEyes:
    """A CLIP on one device; `head` is what scores its unit image features, where there is one."""

    def __init__(
        self,
        network: nn.Module,
        provenance: Provenance,
        device: str,
        head: nn.Module | None = None,
        precision: Arithmetic = "fp32",
    ) -> None:
        self._where, self._precision = torch_device(device), precision
        self.network = network.to(self._where).float().eval().requires_grad_(False)
        self.head = None if head is None else head.to(self._where).float().eval().requires_grad_(False)
        self.provenance = provenance
        self._texts: dict[str, tuple[Rows, int]] = {}
        self._tokenizer: SimpleTokenizer | None = None

    @property
    def scale(self) -> float:
        """What cosines are multiplied with: 100 in OpenAI's networks."""
        return float(self.network.logit_scale.exp())  # type: ignore[operator]

    def pictures(self, cuts: NDArray[np.uint8]) -> Rows:
        """(F, 224, 224, 3) uint8 as `processed` cuts them -> (F, D) float32, raw."""
        import torch

        rows = []
        for start in range(0, len(cuts), 16):
            pixels = torch.from_numpy(cuts[start : start + 16]).to(self._where).permute(0, 3, 1, 2).float() / 255
            mean, std = (torch.tensor(values, device=self._where).view(3, 1, 1) for values in (MEAN, STD))
            with torch.inference_mode(), multiplied(self._where, self._precision):
                rows.append(self.network.encode_image((pixels - mean) / std).float().cpu().numpy())  # type: ignore[operator]
        return np.concatenate(rows)

    def text(self, prompt: str) -> tuple[Rows, int]:
        """The raw feature (D,) of a prompt, cut to 77 tokens with the end mark kept, and how many did not fit."""
        import torch

        if prompt not in self._texts:
            if self._tokenizer is None:
                from open_clip.tokenizer import SimpleTokenizer

                self._tokenizer = SimpleTokenizer(context_length=TOKENS)
            tokens = self._tokenizer([prompt]).to(self._where)
            dropped = max(0, len(self._tokenizer.encode(prompt)) + 2 - TOKENS)
            with torch.inference_mode(), multiplied(self._where, self._precision):
                feature: Rows = self.network.encode_text(tokens)[0].float().cpu().numpy()  # type: ignore[operator]
            self._texts[prompt] = feature, dropped
        return self._texts[prompt]

    def aesthetic(self, vectors: Rows) -> Rows:
        """The head's score of every raw feature (F, D): (F,) float32. ValueError where there is no head."""
        import torch

        if self.head is None:
            raise ValueError("this CLIP has no aesthetic head")
        rows = torch.from_numpy(vectors).to(self._where)
        with torch.inference_mode():
            scores: Rows = self.head(rows / rows.norm(dim=-1, keepdim=True))[:, 0].cpu().numpy()
        return scores


def processed(frame: Frame) -> NDArray[np.uint8]:
    """Short side to 224 px by PIL's bicubic, centre cut: (224, 224, 3) uint8, as transformers' processor does it."""
    from PIL import Image

    height, width = frame.shape[:2]
    short, long = min(height, width), int(SIDE * max(height, width) / min(height, width))
    size = (SIDE, long) if short == width else (long, SIDE)
    small = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    top, left = (small.shape[0] - SIDE) // 2, (small.shape[1] - SIDE) // 2
    return small[top : top + SIDE, left : left + SIDE]


class ClipPass:
    """Cuts the frames that `choose` names for a clip's length, and encodes them when it ends."""

    name = "clip frames"

    def __init__(
        self, eyes: ClipEyes, choose: Callable[[int], NDArray[np.int64]], orders: tuple[str, ...] = ("rgb",)
    ) -> None:
        self.eyes, self._choose, self._orders = eyes, choose, orders

    def start(self, clip: ClipInfo) -> None:
        """Choose the frames."""
        self._indices = tuple(self._choose(clip.n_frames).tolist())
        self._cuts: dict[int, NDArray[np.uint8]] = {}

    def feed(self, index: int, frame: Frame) -> None:
        """Cut a frame that is wanted."""
        if index in self._indices:
            self._cuts[index] = processed(frame)

    def finish(self) -> ClipFrames:
        """Encode, in every order of colours."""
        cuts = np.stack([self._cuts[index] for index in self._indices])
        turned = {"rgb": cuts, "bgr": np.ascontiguousarray(cuts[..., ::-1])}
        vectors = {order: self.eyes.pictures(turned[order]) for order in self._orders}
        return ClipFrames(vectors, self._indices, self.eyes)


def make_clip(
    registered: str, device: str = "cpu", tiny: bool = False, aesthetic: bool = False, precision: Arithmetic = "fp32"
) -> ClipEyes:
    """CLIP from the registered file, with LAION's head where `aesthetic`. Raises MissingWeights or WeightsError.

    `tiny` are small networks of seeded random weights in their place.
    """
    import open_clip
    import torch

    from mmbench.encode.clip.aesthetic import AESTHETIC, AestheticHead
    from mmbench.encode.clip.net import BASE_32, LARGE_14, TINY, TINY_14, clip_network, from_transformers
    from mmbench.weights import load, load_strict

    versions = {
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "device": device,
        "precision": precision,
    }
    provenance = Provenance("clip", versions=versions)
    if tiny:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network, head = clip_network(TINY_14 if aesthetic else TINY), AestheticHead() if aesthetic else None
        return ClipEyes(network, replace(provenance, random_weights=True), device, head, precision)
    loaded = load(registered)
    network = clip_network(LARGE_14 if registered == LARGE else BASE_32)
    load_strict(network, from_transformers(loaded.state), str(loaded.path))
    weights, head = {loaded.name: loaded.sha256}, None
    if aesthetic:
        of_head, head = load(AESTHETIC), AestheticHead()
        load_strict(head, of_head.state, str(of_head.path))
        weights[of_head.name] = of_head.sha256
    return ClipEyes(network, replace(provenance, weights=weights), device, head, precision)
