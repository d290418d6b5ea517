"""Makes the kit from its CC0 sources: cuts head, neck and shoulders out of the base mesh and packs what morphs them.

The cut keeps body faces all of whose corners lie above y = 3.4 dm and within |x| < 3.55 dm, the helper eyeballs, teeth,
tongue and lashes, the joint cubes of the head, and every vertex a hair style hangs on. Displacements are kept as whole
thousandths of a decimetre, which is what the sources have, so nothing is lost.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbench.files import Progress, whole
from mmbench.synth.kit import kit_path
from mmbench.synth.kit_sources import download, read_archive
from mmbench.synth.kit_text import BaseMesh, hair_binding, hair_mesh, read_obj, read_target

Array = NDArray[Any]

LOWEST, WIDEST = 3.4, 3.55
PARTS = {
    "skin": "body", "eye_l": "helper-l-eye", "eye_r": "helper-r-eye", "teeth_u": "helper-upper-teeth",
    "teeth_l": "helper-lower-teeth", "tongue": "helper-tongue", "lash_lu": "helper-l-eyelashes-1",
    "lash_ll": "helper-l-eyelashes-2", "lash_ru": "helper-r-eyelashes-1", "lash_rl": "helper-r-eyelashes-2",
}  # fmt: skip
JOINTS = ("head", "head-2", "neck", "l-eye", "r-eye", "jaw", "mouth", "l-upperlid", "l-lowerlid")
MASKS = {"lips": "lips", "inside_mouth": "inside-mouth", "ears": "ears", "eyelids": "eyelids"}
_DATA = "makehuman/makehuman/data/"
_HAIR = "makehuman-assets/base/hair/"
_TARGETS = _DATA + "targets/"
_DETAILS = ("asym", "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
_EXPRESSION_BASES = ("caucasian", "asian", "african")
_STEP = 0.001


def build_kit(
    source: Path | None = None,
    out: Path | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the kit from an archive of its sources, or from downloads kept in `folder`; returns where it lies."""
    target = out or kit_path()
    arrays = make_kit(read_archive(source) if source is not None else download(folder, progress=progress))
    with whole(target) as part:
        np.savez_compressed(part, allow_pickle=False, **arrays)
    return target


def make_kit(sources: Mapping[str, bytes]) -> dict[str, Array]:
    """The kit's arrays from the bytes of its sources."""
    mesh = read_obj(sources[_DATA + "3dobjs/base.obj"])
    chosen = _faces(mesh)
    styles = sorted({path[len(_HAIR) :].split("/")[0] for path in sources if path.startswith(_HAIR)})
    bindings = {style: hair_binding(sources[f"{_HAIR}{style}/{style}.mhclo"]) for style in styles}
    joints = {name: np.unique(mesh.faces[mesh.group == f"joint-{name}"]) for name in JOINTS}
    wanted = [mesh.faces[chosen].ravel(), *joints.values()]
    wanted += [part for b in bindings.values() for part in (b.index.ravel(), b.ends.ravel())]
    old = np.unique(np.concatenate(wanted))
    new = np.full(len(mesh.verts), -1)
    new[old] = np.arange(len(old))

    arrays: dict[str, Array] = {"verts": mesh.verts[old].astype(np.float32)}
    corners, uv_corners = mesh.faces[chosen], mesh.uv_faces[chosen]
    used = np.unique(uv_corners)
    arrays["tri"] = _fans(new[corners]).astype(np.uint16)
    names = {group: k for k, group in enumerate(PARTS.values())}
    part = np.array([names[group] for group in mesh.group[chosen]], np.uint8)
    arrays["tri_part"] = np.concatenate([part, part])
    arrays["part_names"] = np.array(list(PARTS))
    arrays["uv"] = _quantised(mesh.uv[used], 65535).astype(np.uint16)
    arrays["tri_uv"] = _fans(np.searchsorted(used, uv_corners)).astype(np.uint16)
    arrays["old_id"] = old.astype(np.uint16)
    rig = json.loads(sources[_DATA + "rigs/default.mhskel"])["bones"]
    weights = json.loads(sources[_DATA + "rigs/default_weights.mhw"])["weights"]
    in_body = np.isin(old, mesh.faces[mesh.group == "body"])
    arrays["neck_w"] = _neck(rig, weights, old, len(mesh.verts), in_body)
    jaw = _bone_sum(weights, _descendants(rig, "jaw"), len(mesh.verts))[old]
    arrays["jaw_w"] = _quantised(jaw.clip(0, 1), 255).astype(np.uint8)
    arrays |= _morphs(sources, new)
    arrays |= {f"ctl_joint-{name}": new[index].astype(np.uint16) for name, index in joints.items()}
    for style, bound in bindings.items():
        arrays |= hair_mesh(style, sources[f"{_HAIR}{style}/{style}.obj"], bound, new)
    arrays["hair_names"] = np.array(styles)
    arrays |= _landmarks(new)
    for name, file in MASKS.items():
        picture = sources[f"mpfb2/src/mpfb/data/textures/mpfb_{file}.jpg"]
        arrays[f"mask_{name}"] = _mask(picture, arrays, len(old))
    return arrays


def _faces(mesh: BaseMesh) -> NDArray[np.bool_]:
    corners = mesh.verts[mesh.faces]
    inside = ((corners[..., 1] > LOWEST) & (np.abs(corners[..., 0]) < WIDEST)).all(1)
    helpers = [group for group in PARTS.values() if group != "body"]
    return np.asarray(((mesh.group == "body") & inside) | np.isin(mesh.group, helpers), np.bool_)


def _fans(quads: Array) -> Array:
    """Triangles of quads: all first halves, then all second halves."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _quantised(values: Array, steps: int) -> Array:
    return np.round(values.astype(np.float32) * np.float32(steps))


def _descendants(rig: Mapping[str, Mapping[str, Any]], bone: str) -> set[str]:
    """A bone and everything that hangs on it."""
    found = {bone}
    while True:
        more = {name for name, entry in rig.items() if entry["parent"] in found} - found
        if not more:
            return found
        found |= more


def _bone_sum(weights: Mapping[str, list[list[float]]], bones: set[str], count: int) -> NDArray[np.float32]:
    """Summed weight of bones per vertex, float32 in the order of the file."""
    total = np.zeros(count, np.float32)
    for name in weights:
        if name in bones:
            for index, weight in weights[name]:
                total[int(index)] += np.float32(weight)
    return total


def _neck(
    rig: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, list[list[float]]],
    old: Array,
    count: int,
    in_body: Array,
) -> NDArray[np.uint8]:
    """Share of torso, three neck bones and head per vertex; helpers (eyes, teeth, hair ...) follow the head alone."""
    head = _descendants(rig, "head")
    neck = ("neck01", "neck02", "neck03")
    groups = [set(weights) - head - set(neck), *({bone} for bone in neck), head]
    share = np.stack([_bone_sum(weights, bones, count) for bones in groups], 1)[old]
    share /= np.maximum(share.sum(1, keepdims=True), np.float32(1e-6))
    share[~in_body] = (0, 0, 0, 0, 1)
    return _quantised(share, 255).astype(np.uint8)


def shape_files(paths: Mapping[str, bytes]) -> list[tuple[str, int, str]]:
    """(shape name, kind 0 macro / 1 detail / 2 expression, path) in the kit's order."""
    targets = sorted(path for path in paths if path.startswith(_TARGETS) and path.endswith(".target"))
    stem = {path: path.rsplit("/", 1)[1].removesuffix(".target") for path in targets}
    macro = [p for p in targets if p.count("/") == _TARGETS.count("/") + 1 and "/macrodetails/" in p]
    bases = [p for p in macro if not stem[p].startswith("universal")]
    builds = (
        "averagemuscle-averageweight",
        "averagemuscle-maxweight",
        "averagemuscle-minweight",
        "maxmuscle-averageweight",
    )
    universal = [p for p in macro if stem[p].startswith("universal") and stem[p].endswith(builds)]
    chosen = [(f"macro/{stem[p]}", 0, p) for p in [*bases, *universal]]
    for folder in _DETAILS:
        inside = [p for p in targets if p.startswith(f"{_TARGETS}{folder}/") and not stem[p].startswith("asymm-")]
        chosen += [(f"detail/{stem[p]}", 1, p) for p in inside]
    for base in _EXPRESSION_BASES:
        inside = [p for p in targets if p.startswith(f"{_TARGETS}expression/units/{base}/")]
        chosen += [(f"expr/{base}/{stem[p]}", 2, p) for p in inside]
    return chosen


def _morphs(sources: Mapping[str, bytes], new: Array) -> dict[str, Array]:
    names, kinds, indices, deltas, ends = [], [], [], [], [0]
    for name, kind, path in shape_files(sources):
        index, delta = read_target(sources[path])
        steps = np.round(delta / _STEP).astype(np.int64)
        keep = (new[index] >= 0) & (steps != 0).any(1)
        names.append(name)
        kinds.append(kind)
        indices.append(new[index[keep]])
        deltas.append(steps[keep])
        ends.append(ends[-1] + int(keep.sum()))
    return {
        "morph_names": np.array(names),
        "morph_kind": np.array(kinds, np.uint8),
        "morph_ptr": np.array(ends, np.int32),
        "morph_idx": np.concatenate(indices).astype(np.uint16),
        "morph_delta": np.concatenate(deltas).astype(np.int16),
        "morph_step": np.array(_STEP, np.float32),
    }


def _landmarks(new: Array) -> dict[str, Array]:
    """The project's own 68 points, kept by base-mesh vertex number in data/landmarks68.csv."""
    text = (files("mmbench.synth") / "data" / "landmarks68.csv").read_text(encoding="ascii")
    rows = np.array([[float(v) for v in line.split(",")] for line in text.splitlines() if not line.startswith("#")])
    return {
        "lm68_idx": new[rows[:, 1:4].astype(np.int64)].astype(np.uint16),
        "lm68_w": rows[:, 4:7].astype(np.float32),
    }


def _mask(picture: bytes, arrays: Mapping[str, Array], count: int) -> NDArray[np.uint8]:
    """A UV mask per vertex: the largest value over the vertex's corners on the skin, 0 elsewhere."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        grey = np.asarray(image.convert("L"))
    uv, side = arrays["uv"] / 65535, len(grey)
    column = np.clip(np.floor(uv[:, 0] * side).astype(int), 0, side - 1)
    row = np.clip(np.floor((1 - uv[:, 1]) * side).astype(int), 0, side - 1)
    skin = arrays["tri_part"] == 0
    mask = np.zeros(count, np.uint8)
    np.maximum.at(mask, arrays["tri"][skin].ravel(), grey[row, column][arrays["tri_uv"][skin].ravel()])
    return mask
