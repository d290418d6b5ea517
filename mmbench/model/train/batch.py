"""Records to batches: every random choice of a sample comes from the sample's own number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.utils.data import Dataset

from mmbench.errors import ManifestError
from mmbench.face.cut import square_cut
from mmbench.model.network.pixels import CLIP_MEAN, CLIP_STD
from mmbench.model.pipeline.faces import CROP_MARGIN
from mmbench.model.train.loss.drops import DropRates, draw_drops
from mmbench.model.train.loss.face_mask import boxes_to_latent
from mmbench.model.train.plan import Order, SampleNumber, seeded
from mmbench.model.train.record import MAX_WORD_ROWS, Reference, TrainingRecord
from mmbench.model.train.shards import ShardSet
from mmbench.model.train.text_store import TextStore

SELF_REFERENCED = ("A", "B")
"""Sources whose reference is the target picture itself: without changes the model would copy pixels."""
NO_ROW = -1
"""Padding of word positions."""


@dataclass(frozen=True)
class Batch:
    """B samples of one shape, stacked; also one sample, before stacking, without the leading dimension.

    latents float32 [B, T', C, h, w], unscaled. noise likewise. timestep int64 [B]. text [B, N_t, text_dim].
    word_positions int64 [B, 4], padded with -1. id_vectors float32 [B, n, E], ref_valid bool [B, n], and either
    pixels float32 [B, n, 3, S, S] (CLIP-normalised) or features [B, n, 2, P + 1, C]; unused places are zero.
    keep_identity, keep_text, face_only bool [B]. face_cells bool [B, T', h, w]. points float32 [B, 5, 2] of frame 0.
    """

    latents: Tensor
    noise: Tensor
    timestep: Tensor
    text: Tensor
    word_positions: Tensor
    id_vectors: Tensor
    ref_valid: Tensor
    pixels: Tensor | None
    features: Tensor | None
    keep_identity: Tensor
    keep_text: Tensor
    face_only: Tensor
    face_cells: Tensor
    points: Tensor

    def __len__(self) -> int:
        return len(self.timestep)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch on another device."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device, non_blocking=non_blocking) for k, v in held.items() if v is not None})

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory: DataLoader calls this."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.pin_memory() for k, v in held.items() if v is not None})


def of_strangers(batch: Batch) -> Batch:
    """The batch with everyone's references handed on to the next sample. Raises ManifestError for a batch of one."""
    if len(batch) < 2:
        raise ManifestError("A batch of one sample has no stranger's references.", "Set machine.micro_batch to 2.")
    shown = ("id_vectors", "ref_valid", "pixels", "features")
    held = {name: getattr(batch, name) for name in shown}
    return replace(batch, **{name: value.roll(1, 0) for name, value in held.items() if value is not None})


@dataclass(frozen=True)
class SampleOptions:
    """How a record becomes a sample.

    `spatial`: pixels of a latent cell's side; `image_size`: the vision tower's; `strangers`: a sample is shown the next
    one's references.
    """

    num_timesteps: int = 1000
    face_share: float = 0.5
    drops: DropRates = field(default_factory=DropRates)
    spatial: int = 8
    image_size: int = 224
    references: int = 4
    augment: bool = True
    strangers: bool = False


@runtime_checkable
class LiveSource(Protocol):
    """Samples that are made when they are asked for: a renderer, or records too changeable to lie on disk."""

    def batch(self, draw: Generator, count: int, options: SampleOptions) -> Batch:
        """`count` samples, stacked; equal generators give equal samples."""


class StageData(Dataset[Batch]):
    """The samples of a stage by their numbers.

    A record's sample is the same whatever the batch, the process or the attempt; a live source's is by the first number
    of its micro-batch, so it is the same for the same micro-batches.
    """

    def __init__(
        self, sources: Sequence[ShardSet | LiveSource], texts: TextStore, options: SampleOptions, *seed: object
    ) -> None:
        self.sources, self.texts, self.options, self.seed = sources, texts, options, seed
        self.orders = {
            index: Order(len(source), *seed, "order", index)
            for index, source in enumerate(sources)
            if isinstance(source, ShardSet)
        }

    def __getitem__(self, number: SampleNumber) -> Batch:
        index, place = number
        source = self.sources[index]
        if not isinstance(source, ShardSet):
            raise TypeError("a live source gives whole batches")
        order = self.orders[index]
        record = source[order[place]]
        if self.options.strangers:
            record = replace(record, references=source[order[place + 1]].references)
        return sample(record, self.texts, self.options, seeded(*self.seed, "sample", index, place))

    def __getitems__(self, numbers: Sequence[SampleNumber]) -> Batch | list[Batch]:
        """What DataLoader asks for: the samples of a micro-batch, which all come from one source."""
        index, place = numbers[0]
        source = self.sources[index]
        if isinstance(source, ShardSet):
            return [self[number] for number in numbers]
        batch = source.batch(seeded(*self.seed, "live", index, place), len(numbers), self.options)
        return of_strangers(batch) if self.options.strangers else batch


def sample(record: TrainingRecord, texts: TextStore, options: SampleOptions, draw: Generator) -> Batch:
    """One sample of a record: timestep, noise, drops, the coin of the face loss, references."""
    timestep = torch.randint(options.num_timesteps, (), generator=draw)
    noise = torch.randn(record.latents.shape, generator=draw)
    face_only = bool(torch.rand((), generator=draw) < options.face_share)
    keep_identity, keep_text = (kept[0] for kept in draw_drops(options.drops, draw))
    positions = list(record.word_positions) if keep_text else []
    vectors, pixels, features = _references(record, options, draw)
    cells = record.mask
    if cells is None:
        cells = boxes_to_latent(record.boxes, record.height, record.width, options.spatial)
    if cells.shape != (record.latents.shape[0], *record.latents.shape[2:]):
        raise ManifestError(
            f"Training record {record.key!r}: {record.width}x{record.height} pixels do not fit latents "
            f"{tuple(record.latents.shape)} of {options.spatial} pixels a cell.",
            "Train with the codec that made the latents.",
        )
    return Batch(
        latents=record.latents.float(),
        noise=noise,
        timestep=timestep,
        text=texts.get(record.text) if keep_text else texts.empty(),
        word_positions=torch.tensor(positions + [NO_ROW] * (MAX_WORD_ROWS - len(positions))),
        id_vectors=vectors,
        ref_valid=torch.ones(len(vectors), dtype=torch.bool),
        pixels=pixels,
        features=features,
        keep_identity=keep_identity,
        keep_text=keep_text,
        face_only=torch.tensor(face_only),
        face_cells=cells,
        points=record.points[0].float(),
    )


def _references(
    record: TrainingRecord, options: SampleOptions, draw: Generator
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Vectors [n, E] and pixels or features of one to `references` of the record's references, chosen at random."""
    most = min(options.references, len(record.references))
    count = int(torch.randint(1, most + 1, (), generator=draw))
    chosen = [record.references[int(i)] for i in torch.randperm(len(record.references), generator=draw)[:count]]
    vectors = torch.stack([reference.id_vector.float() for reference in chosen])
    if chosen[0].features is not None:
        held = [reference.features for reference in chosen if reference.features is not None]
        if len(held) != len(chosen):
            raise ManifestError(
                f"Training record {record.key!r}: some references have pictures, others features.", "Build it again."
            )
        return vectors, None, torch.stack(held).float()
    varied = options.augment and record.source in SELF_REFERENCED
    return vectors, torch.stack([reference_pixels(r, options.image_size, draw, varied) for r in chosen]), None


def reference_pixels(reference: Reference, size: int, draw: Generator, varied: bool) -> Tensor:
    """A reference's face cut for the vision tower, float32 [3, size, size], normalised.

    varied: margin between 1.3 and 2, mirrored half of the time, brightness, contrast and saturation within 15 %.
    """
    if reference.picture is None or reference.box is None:
        raise ManifestError("A reference has no picture.", "Build the record again.")
    margin, mirrored, colour = CROP_MARGIN, False, torch.ones(3)
    if varied:
        margin = 1.3 + 0.7 * float(torch.rand((), generator=draw))
        mirrored = bool(torch.rand((), generator=draw) < 0.5)
        colour = 0.85 + 0.3 * torch.rand(3, generator=draw)
    picture = np.ascontiguousarray(reference.picture.permute(1, 2, 0).numpy())
    cut = torch.from_numpy(square_cut(picture, np.array(reference.box), size, margin)).permute(2, 0, 1).float() / 255
    if mirrored:
        cut = cut.flip(-1)
    if varied:
        brightness, contrast, saturation = colour
        cut = cut * brightness
        cut = cut.mean() + contrast * (cut - cut.mean())
        grey = cut.mean(dim=0, keepdim=True)
        cut = (grey + saturation * (cut - grey)).clamp(0, 1)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (CLIP_MEAN, CLIP_STD))
    return (cut - mean) / std


def collate(samples: Batch | Sequence[Batch]) -> Batch:
    """Samples of one shape stacked; references padded with zeros to the largest number among them. A batch stays."""
    if isinstance(samples, Batch):
        return samples
    if len({s.latents.shape for s in samples}) > 1:
        shapes = sorted({tuple(s.latents.shape) for s in samples})
        raise ManifestError(
            f"One source holds latents of several shapes: {shapes[:3]}.", "Give clips and pictures a source each."
        )
    if len({s.pixels is None for s in samples}) > 1:
        raise ManifestError("One source holds references as pictures and as features.", "Give them a source each.")
    most = max(len(s.id_vectors) for s in samples)

    def stack(name: str) -> Tensor | None:
        held = [getattr(s, name) for s in samples]
        if held[0] is None:
            return None
        if name in ("id_vectors", "ref_valid", "pixels", "features"):
            held = [F.pad(x, (0, 0) * (x.ndim - 1) + (0, most - len(x))) for x in held]
        return torch.stack(held)

    return Batch(**{f.name: stack(f.name) for f in fields(Batch)})  # type: ignore[arg-type]
