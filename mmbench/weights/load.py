"""Load tensors from a weight file: no code runs, the digest is checked first, every key is accounted for."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import WeightsError
from mmbench.weights.cache import sha256_of, verify
from mmbench.weights.locate import is_user_file, path
from mmbench.weights.registry import WeightFile, find

if TYPE_CHECKING:
    from torch import Tensor, nn

Rename = Callable[[str], str | None]


@dataclass(frozen=True)
class Loaded:
    """Tensors by key, the file's sha256 (for the provenance of every number made with it), and the file."""

    state: dict[str, Tensor]
    sha256: str
    path: Path


def load(name: str | WeightFile, key: str = "") -> Loaded:
    """Tensors of a registry entry, its digest checked against the registry first.

    A user's own file in its place is hashed but not compared. `key` names the entry of a top-level dict that
    holds the weights. Raises MissingWeights, WeightsError.
    """
    entry = find(name)
    file = path(entry)
    digest = sha256_of(file) if is_user_file(entry) else verify(file, entry)
    return Loaded(read_state(file, key), digest, file)


def load_file(file: Path, key: str = "") -> Loaded:
    """Tensors of any file the user names, with its digest. Raises WeightsError."""
    if not file.is_file():
        raise WeightsError(f"{file} is no file.", "Give the path of a weight file.")
    return Loaded(read_state(file, key), sha256_of(file), file)


def read_state(file: Path, key: str = "") -> dict[str, Tensor]:
    """The flat mapping from key to tensor in a safetensors or torch file, on the CPU.

    Torch files are read with `weights_only=True`, so a file that would run code is refused. Entries that are
    not tensors (step counts, settings) are left out. Raises WeightsError.
    """
    import torch

    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    try:
        document = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{file} holds more than tensors and is not loaded: {str(error).splitlines()[0]}",
            "Convert it to safetensors where you trust it.",
        ) from error
    except (RuntimeError, EOFError, ValueError, LookupError, TypeError) as error:  # all seen on damaged files
        raise WeightsError(f"{file} is damaged: {error}.", "Delete it and get it again.") from error
    if key:
        if not isinstance(document, Mapping) or key not in document:
            have = sorted(map(str, document))[:8] if isinstance(document, Mapping) else type(document).__name__
            raise WeightsError(f"{file} has no entry {key!r}; it has {have}.", "Use the published file.")
        document = document[key]
    if not isinstance(document, Mapping):
        raise WeightsError(f"{file} holds a {type(document).__name__}, not tensors by name.", "Use a state dict.")
    return {str(name): value for name, value in document.items() if isinstance(value, torch.Tensor)}


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load_file(file)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{file} is no safetensors file: {error}.", "Delete it and get it again.") from error


def rename_keys(state: Mapping[str, Tensor], rename: Rename) -> dict[str, Tensor]:
    """Apply an explicit key map. `rename` returns the new key, or None for a key that is meant to be dropped.

    Raises WeightsError when two keys land on one name with different tensors.
    """
    import torch

    renamed: dict[str, Tensor] = {}
    for old, tensor in state.items():
        new = rename(old)
        if new is None:
            continue
        if new in renamed and not torch.equal(renamed[new], tensor):
            raise WeightsError(f"Key {old} and another both become {new}.", "The key map does not fit this file.")
        renamed[new] = tensor
    return renamed


def load_strict(module: nn.Module, state: Mapping[str, Tensor], source: str, rename: Rename | None = None) -> None:
    """Fill `module` with `state`: every parameter set once, every key of the file used, every shape equal.

    Raises WeightsError that lists missing, left-over and misshapen keys; `module` is then unchanged.
    """
    given = rename_keys(state, rename) if rename else dict(state)
    wanted = module.state_dict()
    problems = {
        "missing": sorted(wanted.keys() - given.keys()),
        "left over": sorted(given.keys() - wanted.keys()),
        "wrong shape": sorted(
            f"{key} {tuple(given[key].shape)} for {tuple(wanted[key].shape)}"
            for key in wanted.keys() & given.keys()
            if given[key].shape != wanted[key].shape
        ),
    }
    if any(problems.values()):
        text = "; ".join(f"{len(keys)} {what}: {', '.join(keys[:8])}" for what, keys in problems.items() if keys)
        raise WeightsError(f"{source} does not fit {type(module).__name__}: {text}.", "Use the published file.")
    # a module built on the meta device has no storage to copy into: it takes the tensors themselves
    module.load_state_dict(given, strict=True, assign=any(tensor.is_meta for tensor in wanted.values()))
