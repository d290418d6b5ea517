"""Reading published weight files: safe formats only, and every key accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    State = dict[str, Tensor]


def read_tensors(path: Path) -> dict[str, object]:
    """The top-level dict of a `.safetensors` or torch file; tensors stay on the CPU and are mapped, not copied.

    Torch files are read with `weights_only=True`, so nothing in them is executed. Raises WeightsError.
    """
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip(path))
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise WeightsError(
            f"{path} cannot be read as weights: {str(error).splitlines()[0]}.", "Fetch the file again."
        ) from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds a {type(found).__name__}, not a dict of tensors.", "Fetch the file again.")
    return found


def is_zip(path: Path) -> bool:
    """Whether a torch file is of the zip kind (since torch 1.6), which can be mapped into memory."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def tensors_only(found: Mapping[str, object], path: Path) -> State:
    """`found` as a flat dict of tensors; WeightsError names the first entry that is something else."""
    import torch

    state: State = {}
    for key, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise WeightsError(
                f"{path}: {key!r} is a {type(value).__name__}, not a tensor.", "This file is of an unknown layout."
            )
        state[key] = value
    return state


def take(state: State, prefix: str) -> State:
    """Move the keys under `prefix` out of `state`, without the prefix."""
    keys = [key for key in state if key.startswith(prefix)]
    return {key.removeprefix(prefix): state.pop(key) for key in keys}


def drop(state: State, names: Iterable[str]) -> None:
    """Remove keys that are known to be unused; a name ending in "." removes everything under it."""
    for name in names:
        for key in [key for key in state if key == name or (name.endswith(".") and key.startswith(name))]:
            del state[key]


def refuse_rest(state: Mapping[str, object], path: Path) -> None:
    """WeightsError when keys are left over after every known one was taken."""
    if state:
        raise WeightsError(
            f"{path} has {len(state)} keys that this version does not know: {listing(state)}.",
            "The file is of another release than the one this loader was written for.",
        )


def listing(names: Iterable[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:most]) + (f", ... {len(names) - most} more" if len(names) > most else "")
