"""The kit: one morphable head and shoulders with its shapes, hair styles and landmark weights, as plain arrays.

The kit is made from CC0 sources by `mmbench synth kit build` (see `kit_build`) and never shipped. Units are
decimetres, +x the person's left (image right in a frontal view), +y up, +z out of the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import MMBenchError
from mmbench.files import cache_folder

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

SKIN, EYE_L, EYE_R, TEETH_UPPER, TEETH_LOWER, TONGUE = range(6)
HAIR = 10
BASES = ("caucasian", "asian", "african")
"""The source's own names of its three shape bases. Identities mix them freely; nothing else reads them."""


class KitError(MMBenchError):
    """The kit is absent, unreadable or not a kit."""


@dataclass(frozen=True)
class HairMesh:
    """One hair style bound to the head: vertex j sits at sum_k w[j, k] * V[index[j, k]] + offset[j] * scale.

    `index` (n, 3) int64, `weight` (n, 3) float32, `offset` (n, 3) float32 dm, `scale` (3, 3): per axis two
    vertex numbers and the distance between them the offsets were made for; `tri` (m, 3) int32.
    """

    index: I64
    weight: F32
    offset: F32
    scale: F32
    tri: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Kit:
    """The arrays of a kit file, with shapes looked up by name. Build one with `load_kit`."""

    path: Path
    arrays: dict[str, NDArray[np.generic]]

    @cached_property
    def verts(self) -> F32:
        """Neutral base, (V, 3) float32 dm."""
        return self.arrays["verts"].astype(np.float32)

    @cached_property
    def tri(self) -> NDArray[np.int32]:
        """Triangles, (T, 3)."""
        return self.arrays["tri"].astype(np.int32)

    @cached_property
    def part(self) -> NDArray[np.int32]:
        """Part of every triangle, (T,): SKIN .. TONGUE, then the four lash strips."""
        return self.arrays["tri_part"].astype(np.int32)

    @cached_property
    def shape_row(self) -> dict[str, int]:
        """Row of every shape name."""
        return {str(name): k for k, name in enumerate(self.arrays["morph_names"])}

    @cached_property
    def hair_names(self) -> tuple[str, ...]:
        return tuple(str(name) for name in self.arrays["hair_names"])

    @cached_property
    def landmark_index(self) -> I64:
        """(68, 3) vertices of the iBUG points, mixed by `landmark_weight`."""
        return self.arrays["lm68_idx"].astype(np.int64)

    @cached_property
    def landmark_weight(self) -> F32:
        return self.arrays["lm68_w"].astype(np.float32)

    @cached_property
    def turn_fraction(self) -> F32:
        """Share of the head's rotation each vertex follows, (V,): 0 at the chest, 1 on the head."""
        bones = np.array([0.0, 0.15, 0.4, 0.75, 1.0], np.float32)
        return np.asarray((self.arrays["neck_w"].astype(np.float32) / 255.0) @ bones, np.float32)

    def mask(self, name: str) -> F32:
        """Per-vertex mask in 0..1: lips, inside_mouth, ears or eyelids."""
        return self.arrays[f"mask_{name}"].astype(np.float32) / 255.0

    def joint(self, name: str, verts: F32) -> F32:
        """Position of a joint (3,) after morphing: the mean of its control vertices."""
        return np.asarray(verts[self.arrays[f"ctl_joint-{name}"].astype(np.int64)].mean(0), np.float32)

    def shape(self, name: str) -> tuple[I64, F32]:
        """Vertices (n,) and displacements (n, 3) in dm of one shape at weight 1."""
        row = self.shape_row[name]
        ptr = self.arrays["morph_ptr"]
        rows = slice(int(ptr[row]), int(ptr[row + 1]))
        step = np.float32(self.arrays["morph_step"])
        return self.arrays["morph_idx"][rows].astype(np.int64), self.arrays["morph_delta"][rows].astype(
            np.float32
        ) * step

    def morph(self, weights: dict[str, float]) -> F32:
        """The base with shapes added, (V, 3). Weights are additive; names must exist."""
        verts = self.verts.copy()
        for name, weight in weights.items():
            index, delta = self.shape(name)
            verts[index] += np.float32(weight) * delta
        return verts

    def landmarks(self, verts: F32) -> F32:
        """The 68 iBUG points in 3-D, (68, 3)."""
        return np.asarray((verts[self.landmark_index] * self.landmark_weight[..., None]).sum(1), np.float32)

    def hair(self, style: str) -> HairMesh:
        """The mesh of a style in `hair_names`."""
        get = self.arrays
        return HairMesh(
            get[f"hair_{style}_idx"].astype(np.int64),
            get[f"hair_{style}_w"].astype(np.float32),
            get[f"hair_{style}_off"].astype(np.float32) * np.float32(1e-4),
            get[f"hair_{style}_scale"].astype(np.float32),
            get[f"hair_{style}_tri"].astype(np.int32),
        )


def kit_path() -> Path:
    """Where the kit is looked for: `MMBENCH_FACEKIT`, else the cache."""
    return cache_folder("facekit.npz", "MMBENCH_FACEKIT")


def load_kit(path: Path | None = None) -> Kit:
    """Read a kit. Raises `KitError` when it is missing or not a kit."""
    return _load((path or kit_path()).resolve())


@lru_cache(maxsize=2)
def _load(path: Path) -> Kit:
    if not path.is_file():
        raise KitError(
            f"The face kit is not at {path}.",
            "Run `mmbench synth kit build` (downloads 842 CC0 files) or set MMBENCH_FACEKIT to a built kit.",
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError) as cause:
        raise KitError(
            f"{path} is not a readable kit: {cause}.", "Rebuild it with `mmbench synth kit build`."
        ) from cause
    missing = {"verts", "tri", "morph_ptr", "lm68_idx", "hair_names"} - arrays.keys()
    if missing:
        raise KitError(f"{path} lacks the arrays {sorted(missing)}.", "Rebuild it with `mmbench synth kit build`.")
    return Kit(path, arrays)
