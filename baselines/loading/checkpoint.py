"""Reading published weight files: safe formats only, and every key accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import WeightsError
from mmbench.weights.folders import require_file

if TYPE_CHECKING:
    from torch import Tensor, nn

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


def read_shards(index: Path) -> State:
    """Every tensor of the `.safetensors` files beside `index`, a JSON file whose `weight_map` names each tensor's file.

    Raises MissingWeights for a file that is absent; WeightsError for an index that is none, and for a tensor that it
    names and its file lacks, or the other way round.
    """
    try:
        places: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted({Path(name).name for name in places.values()})
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise WeightsError(f"{index} is no index of shards: {cause}.", "Fetch it again.") from cause
    state: State = {}
    for name in files:
        path = require_file(index.parent / name)
        found = tensors_only(read_tensors(path), path)
        compare_keys(found, {key for key, place in places.items() if Path(place).name == name}, path)
        state |= found
    return state


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


def drop_schedule(state: State) -> None:
    """Drop the noise schedule's tables, which the scheduler computes."""
    tables = ("betas", "alphas_cumprod", "alphas_cumprod_prev", "model_ema.decay", "model_ema.num_updates")
    drop(state, [*tables, *(key for key in state if key.startswith(("sqrt_", "log_one_", "posterior_")))])


def compare_keys(state: Mapping[str, Tensor], wanted: set[str], path: Path) -> None:
    """WeightsError unless `state` has exactly the keys `wanted`."""
    missing, unknown = sorted(wanted - set(state)), sorted(set(state) - wanted)
    if missing or unknown:
        raise WeightsError(
            f"{path}: {len(missing)} keys are missing {missing[:4]}, {len(unknown)} are unknown {unknown[:4]}.",
            "The file is of another release than the one this loader was written for.",
        )


def refuse_lost(given: Mapping[str, Tensor], converted: Mapping[str, Tensor], source: Path) -> None:
    """WeightsError when a converter of diffusers left tensors out: it picks the keys it knows and says nothing."""
    kept = {tensor.data_ptr() for tensor in converted.values()}
    if lost := [key for key, tensor in given.items() if tensor.numel() and tensor.data_ptr() not in kept]:
        raise WeightsError(
            f"{source} has {len(lost)} keys that this version does not know: {lost[:5]}.",
            "The file is of another release than the one this loader was written for.",
        )


def count_layers(state: Mapping[str, object], prefix: str) -> int:
    """How many numbered layers the keys of `state` under `prefix` have."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})


def with_buffers(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with the position-id buffers of `module`, which some versions save and which are not weights."""
    own = {key: value for key, value in module.state_dict().items() if key.endswith("position_ids")}
    return {**own, **{key: value for key, value in state.items() if not key.endswith("position_ids")}}
