"""Readers of the sources' text formats: Wavefront meshes, morph targets, hair bindings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class BaseMesh:
    """A Wavefront mesh of quads: `verts` (V, 3), `uv` (U, 2), `faces` and `uv_faces` (F, 4) from 0, `group` (F,)."""

    verts: Array
    uv: Array
    faces: Array
    uv_faces: Array
    group: Array


def read_obj(data: bytes) -> BaseMesh:
    """Vertices, texture points and quads of an .obj; normals and the rest are skipped."""
    verts, uv, faces, uv_faces, groups, group = [], [], [], [], [], ""
    for line in data.decode("utf-8").splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            verts.append([float(v) for v in rest[:3]])
        elif word == "vt":
            uv.append([float(v) for v in rest[:2]])
        elif word == "g":
            group = rest[0]
        elif word == "f":
            corners = [corner.split("/") for corner in rest]
            faces.append([int(c[0]) - 1 for c in corners])
            uv_faces.append([int(c[1]) - 1 for c in corners])
            groups.append(group)
    return BaseMesh(np.array(verts), np.array(uv), np.array(faces), np.array(uv_faces), np.array(groups))


def read_target(data: bytes) -> tuple[Array, Array]:
    """Vertices (n,) and displacements (n, 3) in dm of a morph target."""
    rows = [line.split() for line in data.decode("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    index = np.array([int(row[0]) for row in rows], np.int64)
    return index, np.array([[float(v) for v in row[1:4]] for row in rows]).reshape(-1, 3)


@dataclass(frozen=True)
class Binding:
    """How a hair style hangs on the body.

    `index`, `weight`, `offset` (n, 3); `ends` (3, 2) vertices and `length` (3,) of the distances that scale the offsets
    along x, y, z.
    """

    index: Array
    weight: Array
    offset: Array
    ends: Array
    length: Array


def hair_binding(data: bytes) -> Binding:
    """Read an .mhclo file."""
    rows, scales, listing = [], {}, False
    for line in data.decode("utf-8").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "verts":
            listing = True
        elif words[0] in ("x_scale", "y_scale", "z_scale"):
            scales[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif listing and words[0].lstrip("-").isdigit():
            rows.append([float(word) for word in words])
    table = np.array(rows)
    return Binding(
        table[:, :3].astype(np.int64),
        table[:, 3:6],
        table[:, 6:9],
        np.array([scales[axis][:2] for axis in "xyz"]),
        np.array([scales[axis][2] for axis in "xyz"]),
    )


def hair_mesh(style: str, data: bytes, bound: Binding, new: Array) -> dict[str, Array]:
    """A style's arrays of the kit; `new` maps base-mesh vertices to the kit's."""
    mesh = read_obj(data)
    single = np.float32

    def fans(quads: Array) -> Array:
        return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.uint16)

    return {
        f"hair_{style}_idx": new[bound.index].astype(np.uint16),
        f"hair_{style}_w": bound.weight.astype(np.float16),
        f"hair_{style}_off": np.round(bound.offset.astype(single) * single(1e4)).astype(np.int16),
        f"hair_{style}_scale": np.c_[new[bound.ends], bound.length].astype(single),
        f"hair_{style}_tri": fans(mesh.faces),
        f"hair_{style}_uv": np.round(mesh.uv.astype(single).clip(0, 1) * single(65535)).astype(np.uint16),
        f"hair_{style}_tri_uv": fans(mesh.uv_faces),
    }
