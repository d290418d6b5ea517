"""`TrainingRecord`: one picture or clip to train on, its person's references, and how both lie in a shard.

On disk a record is a few members of a WebDataset tar, `KEY.json`, `KEY.latents.safetensors`,
`KEY.face.safetensors` and `KEY.ref0.png` ...; `encode` and `decode` are the only code that knows them.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.errors import ManifestError

SCHEMA = 1
MAX_WORD_ROWS = 4
"""Text rows that one identity word may take; the trained module's word positions are padded to it."""
MAX_REFERENCES = 4
MAX_PICTURE_SIDE = 2048
SOURCES = ("A", "B", "C", "D", "own", "rendered")
"""The paper's four sources, a user's own folder, and rendered people."""
_KEY = re.compile(r"[A-Za-z0-9_-]{1,120}")  # no dot: WebDataset cuts a member's name at the first one


@dataclass(frozen=True, eq=False)
class Reference:
    """One picture of the record's person.

    id_vector float32 [E]: the recogniser's raw vector. Either `picture`, uint8 RGB [3, H, W], with the face's box
    (left, top, right, bottom) in its pixels, cut with room around it so that the crop's margin can vary; or
    `features`, the vision tower's last and penultimate hidden states, [2, P + 1, C], computed beforehand.
    cosine: similarity to the record's own face, where it was measured.
    """

    id_vector: Tensor
    picture: Tensor | None = None
    box: tuple[float, float, float, float] | None = None
    features: Tensor | None = None
    cosine: float | None = None


@dataclass(frozen=True, eq=False)
class TrainingRecord:
    """A picture (one latent frame) or a clip, encoded, with everything that the losses need.

    key: unique in its data set. source: one of `SOURCES`. text: key of the caption's embedding in the text store.
    caption: without the trigger; word_positions: the text rows of its identity word (1 to 4 of them), empty where the
    caption names nobody (such a record trains no fusion). latents [T', C, h, w] bf16 or float32, *unscaled*: the
    training multiplies by the codec's scaling factor. height, width, num_frames (4 T' - 3) and fps are the pixels'.
    boxes float32 [F, 4] (left, top, right, bottom) and points float32 [F, 5, 2] (image-left eye first) are in
    pixels of the frames, NaN where a frame shows no face. mask: bool [T', h, w], a face mask on the latent grid that
    takes the place of the boxes'. facts: what the filters and the source said (age, licence, url, ...), JSON values.
    Raises ManifestError, naming the key, for shapes that do not fit each other.
    """

    key: str
    source: str
    identity: str
    caption: str
    text: str
    word_positions: tuple[int, ...]
    latents: Tensor
    height: int
    width: int
    boxes: Tensor
    points: Tensor
    references: tuple[Reference, ...]
    fps: float = 8.0
    mask: Tensor | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise ManifestError(f"Training record {self.key!r}: {fault}.", "Build the record again.")

    @property
    def num_frames(self) -> int:
        """Frames of the clip in pixels: 1 for a picture, 4 T' - 3 otherwise."""
        return 4 * self.latents.shape[0] - 3


def _fault(record: TrainingRecord) -> str:
    """What is wrong with a record, in words; empty if nothing is."""
    frames, latents = record.num_frames, record.latents
    shapes = {
        "latents": (latents.ndim == 4, tuple(latents.shape)),
        "boxes": (tuple(record.boxes.shape) == (frames, 4), tuple(record.boxes.shape)),
        "points": (tuple(record.points.shape) == (frames, 5, 2), tuple(record.points.shape)),
        "mask": (record.mask is None or record.mask.shape == (latents.shape[0], *latents.shape[2:]), "of another grid"),
    }
    wrong = [f"{name} {shape}" for name, (fits, shape) in shapes.items() if not fits]
    if wrong:
        return f"shapes that do not fit {frames} frames: {', '.join(wrong)}"
    if not _KEY.fullmatch(record.key):
        return "its key must be letters, digits, '-' and '_'"
    if record.source not in SOURCES:
        return f"source {record.source!r} is none of {', '.join(SOURCES)}"
    if len(record.word_positions) > MAX_WORD_ROWS or any(p < 0 for p in record.word_positions):
        return f"an identity word takes 0 to {MAX_WORD_ROWS} text rows, got {record.word_positions}"
    if not 1 <= len(record.references) <= MAX_REFERENCES:
        return f"1 to {MAX_REFERENCES} references, got {len(record.references)}"
    return next((fault for reference in record.references if (fault := _reference_fault(reference))), "")


def _reference_fault(reference: Reference) -> str:
    if (reference.picture is None) == (reference.features is None):
        return "a reference has either a picture or features"
    picture = reference.picture
    if picture is not None:
        if reference.box is None:
            return "a reference's picture needs the box of its face"
        if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[0] != 3:
            return f"a reference's picture is uint8 [3, H, W], got {picture.dtype} {tuple(picture.shape)}"
        if max(picture.shape) > MAX_PICTURE_SIDE:
            return f"a reference's picture has at most {MAX_PICTURE_SIDE} pixels a side"
    return ""


def encode(record: TrainingRecord) -> dict[str, bytes]:
    """The members of a record by their endings ("json", "latents.safetensors", "face.safetensors", "ref0.png")."""
    from safetensors.torch import save

    fields = ("key", "source", "identity", "caption", "text", "height", "width", "fps")
    head = {"schema": SCHEMA, **{name: getattr(record, name) for name in fields}}
    head["word_positions"] = list(record.word_positions)
    head["facts"] = dict(record.facts)
    head["references"] = [{"box": r.box, "cosine": r.cosine} for r in record.references]
    face = {"boxes": record.boxes, "points": record.points}
    if record.mask is not None:
        face["mask"] = record.mask.to(torch.uint8)
    members: dict[str, bytes] = {}
    for index, reference in enumerate(record.references):
        face[f"id{index}"] = reference.id_vector
        if reference.features is not None:
            face[f"features{index}"] = reference.features
        if reference.picture is not None:
            members[f"ref{index}.png"] = _png(reference.picture)
    members["json"] = json.dumps(head, sort_keys=True).encode()
    members["latents.safetensors"] = save({"latents": record.latents.contiguous()})
    members["face.safetensors"] = save({name: tensor.contiguous() for name, tensor in face.items()})
    return members


def decode(members: Mapping[str, bytes], where: str = "") -> TrainingRecord:
    """The record of its members. Raises ManifestError, naming `where`, for members that are not a record's."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        head = json.loads(members["json"])
        if head.get("schema") != SCHEMA:
            raise ManifestError(f"{where}: schema {head.get('schema')!r}, expected {SCHEMA}.", "Build it again.")
        latents = load(members["latents.safetensors"])["latents"]
        face = load(members["face.safetensors"])
        references = tuple(
            Reference(
                face[f"id{index}"],
                _picture(members[f"ref{index}.png"]) if f"ref{index}.png" in members else None,
                tuple(note["box"]) if note["box"] is not None else None,
                face.get(f"features{index}"),
                note["cosine"],
            )
            for index, note in enumerate(head["references"])
        )
        mask = face["mask"].bool() if "mask" in face else None
        return TrainingRecord(
            head["key"],
            head["source"],
            head["identity"],
            head["caption"],
            head["text"],
            tuple(head["word_positions"]),
            latents,
            head["height"],
            head["width"],
            face["boxes"],
            face["points"],
            references,
            head["fps"],
            mask,
            head["facts"],
        )
    except (KeyError, TypeError, ValueError, SafetensorError, OSError) as cause:
        raise ManifestError(f"{where}: not a training record: {cause!r}.", "Build the shard again.") from cause


def _png(picture: Tensor) -> bytes:
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(held, "PNG", compress_level=3)
    return held.getvalue()


def _picture(data: bytes) -> Tensor:
    """A reference's picture, uint8 [3, H, W]; ValueError for one larger than any record's, before it is unpacked."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("PNG",)) as opened:
        if max(opened.size) > MAX_PICTURE_SIDE:
            raise ValueError(f"a reference of {opened.size} pixels")
        return torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1).contiguous()
