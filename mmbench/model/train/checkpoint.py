"""Checkpoints: trained weights, optimiser, averages, random states and the place in the data; whole or not at all.

A checkpoint is written into a folder beside its place and renamed when everything is on disk, so whatever kills a run,
the newest folder named `step-...` is complete. The frozen base is not in it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.errors import WeightsError
from mmbench.model.train.optimiser import AveragedWeights, full, load_optimiser_state, optimiser_state, put

FORMAT = 1
STATE, WEIGHTS, AVERAGES, OPTIMISER = "state.json", "trained.safetensors", "averages.safetensors", "optimiser.pt"


@dataclass(frozen=True)
class Position:
    """How far a run is. stage: index of the stage. step: steps of it that are done. drawn: samples each of its sources
    has given. total_steps: of all stages. settings: what must not change. skipped: steps whose gradient was not
    finite."""

    stage: int = 0
    step: int = 0
    total_steps: int = 0
    drawn: tuple[int, ...] = ()
    skipped: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / STATE).is_file())


def save_checkpoint(
    folder: Path,
    position: Position,
    trained: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    averages: AveragedWeights | None,
    process: tuple[int, int] = (0, 1),
    keep: int = 2,
) -> Path:
    """Write the checkpoint of a position; all processes (rank, world) call it together. Older ones than `keep` go."""
    from safetensors.torch import save_file

    rank, world = process
    final = folder / f"step-{position.total_steps:08d}"
    part = folder / f".{final.name}.part"
    if (final / STATE).is_file():  # the same step of the same run: there is nothing new
        return final
    weights = {name: full(parameter) for name, parameter in trained.items()}
    state = optimiser_state(optimiser, trained)
    mean = None if averages is None else {name: full(value) for name, value in averages.values.items()}
    if rank == 0:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file(weights, part / WEIGHTS)
        torch.save(state, part / OPTIMISER)
        if mean is not None and averages is not None:
            save_file(mean, part / AVERAGES, {"steps": str(averages.steps)})
    _wait(world)
    (part / f"random-{rank}.json").write_text(json.dumps(random_states()))
    _wait(world)
    if rank == 0:
        (part / STATE).write_text(json.dumps({"format": FORMAT, "world": world, **asdict(position)}, indent=1))
        _to_disk(part)
        shutil.rmtree(final, ignore_errors=True)
        part.replace(final)
        _flush(folder)
        for old in checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
    _wait(world)
    return final


def load_position(checkpoint: Path) -> Position:
    """The position of a checkpoint. Raises WeightsError for a file that is not one's."""
    try:
        held = json.loads((checkpoint / STATE).read_text())
        if held["format"] != FORMAT:
            raise ValueError(f"format {held['format']}")
        return Position(
            held["stage"], held["step"], held["total_steps"], tuple(held["drawn"]), held["skipped"], held["settings"]
        )
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise WeightsError(f"{checkpoint / STATE}: not a checkpoint of this version: {cause}.", "Remove it.") from cause


def load_checkpoint(
    checkpoint: Path,
    trained: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    averages: AveragedWeights | None,
    rank: int = 0,
) -> None:
    """Put a checkpoint's weights, optimiser, averages and this process's random states back. WeightsError names it."""
    from safetensors import safe_open

    load_weights(checkpoint / WEIGHTS, trained)
    try:
        state = torch.load(checkpoint / OPTIMISER, map_location="cpu", weights_only=True)
    except Exception as cause:  # unpickling fails in more ways than one can list
        raise WeightsError(f"{checkpoint / OPTIMISER}: cannot be read: {cause}.", "Remove this checkpoint.") from cause
    load_optimiser_state(optimiser, trained, state)
    if averages is not None:
        load_weights(checkpoint / AVERAGES, averages.values)
        with safe_open(checkpoint / AVERAGES, framework="pt") as opened:
            averages.steps = int(opened.metadata()["steps"])
    states = checkpoint / f"random-{rank}.json"
    if states.is_file():  # a run may go on with more processes than before; samples do not depend on these states
        set_random_states(json.loads(states.read_text()))


def load_weights(path: Path, targets: Mapping[str, Tensor]) -> None:
    """Copy a file's tensors into the targets of the same names. WeightsError for missing, unknown or other shapes."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        held = load_file(path)
    except (OSError, SafetensorError) as cause:
        raise WeightsError(f"{path}: cannot be read: {cause}.", "Remove this checkpoint.") from cause
    if set(held) != set(targets):
        other = sorted(set(held) ^ set(targets))
        raise WeightsError(f"{path}: {len(other)} names differ, {other[0]} among them.", "It is of another model.")
    for name, target in targets.items():
        if held[name].shape != target.shape:
            raise WeightsError(f"{path}: {name} has shape {tuple(held[name].shape)}.", "It is of another model.")
        put(target, held[name])


def random_states() -> dict[str, Any]:
    """States of python's, numpy's and torch's generators as JSON values."""
    kind, keys, place, has_gauss, cached = np.random.get_state()  # noqa: NPY002  # what libraries may draw from
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "numpy": [kind, np.asarray(keys).tolist(), place, has_gauss, cached],
        "torch": _hex(torch.get_rng_state()),
        "cuda": [_hex(state) for state in cuda],
    }


def set_random_states(held: Mapping[str, Any]) -> None:
    """Put `random_states` back; GPUs that are not there are left out."""
    version, internal, gauss = held["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, place, has_gauss, cached = held["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), place, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(_bytes(held["torch"]))
    if torch.cuda.is_available() and len(held["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([_bytes(state) for state in held["cuda"]])


def _hex(state: Tensor) -> str:
    return bytes(state.tolist()).hex()


def _bytes(state: str) -> Tensor:
    return torch.tensor(list(bytes.fromhex(state)), dtype=torch.uint8)


def _wait(world: int) -> None:
    if world > 1:
        torch.distributed.barrier()


def _to_disk(folder: Path) -> None:
    """Flush every file of a folder, and the folder, so that the rename cannot come before them."""
    for path in folder.iterdir():
        with path.open("rb") as opened:
            os.fsync(opened.fileno())
    _flush(folder)


def _flush(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
