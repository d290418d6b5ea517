"""Load tensors from a weight file: no code runs, the digest is checked first, every key is accounted for."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import WeightsError
from mmbench.files import sha256_file
from mmbench.weights.cache import verify
from mmbench.weights.locate import is_user_file, name_in_use, path
from mmbench.weights.registry import WeightFile, find

if TYPE_CHECKING:
    from torch import Tensor, nn

Rename = Callable[[str], str | None]

_START = 24
_TORCH_STARTS = (b"PK\x03\x04", b"\x80")  # a zip, or a pickle of protocol 2 and later
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


@dataclass(frozen=True)
class Loaded:
    """Tensors by key, and the file: where it is, its sha256, and its name in the provenance of every number."""

    state: dict[str, Tensor]
    sha256: str
    path: Path
    name: str


def load(name: str | WeightFile, key: str = "") -> Loaded:
    """Tensors of a registry entry, its digest checked against the registry first.

    A user's own file in its place is hashed, and `name` says that it is not the registered one. `key` names the
    entry of a top-level dict that holds the weights. Raises MissingWeights, WeightsError.
    """
    entry = find(name)
    file = path(entry)
    digest = sha256_file(file) if is_user_file(entry) else verify(file, entry)
    return Loaded(read_state(file, key), digest, file, name_in_use(entry, file, digest))


def load_file(file: Path, key: str = "") -> Loaded:
    """Tensors of any file the user names, with its digest. Raises WeightsError."""
    if not file.is_file():
        raise WeightsError(f"{file} is no file.", "Give the path of a weight file.")
    return Loaded(read_state(file, key), sha256_file(file), file, file.name)


def read_state(file: Path, key: str = "") -> dict[str, Tensor]:
    """The flat mapping from key to tensor in a safetensors or torch file, on the CPU.

    Torch files are read with `weights_only=True`, so a file that would run code is refused. Entries that are
    not tensors (step counts, settings) are left out. Raises WeightsError.
    """
    import torch

    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    with file.open("rb") as stream:
        start = stream.read(_START)
    if not start.startswith(_TORCH_STARTS):
        raise _foreign(file, "torch", start)
    try:
        document = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own text recommends weights_only=False, so it is not passed on
        code = _GLOBAL.search(str(error))
        what = f"names code, {code[1]}, that loading it would run" if code else "holds more than tensors, or is damaged"
        raise WeightsError(
            f"{file} {what}; it was not loaded.", "Use the published file, or a safetensors one."
        ) from error
    except (RuntimeError, EOFError, ValueError, LookupError, TypeError) as error:  # all seen on damaged files
        said = str(error).split(". ")[0] or type(error).__name__
        raise WeightsError(f"{file} is damaged or no file of tensors: {said}.", "Get it again.") from error
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

    with file.open("rb") as stream:
        start = stream.read(_START)
    if start[8:9] != b"{":  # after the header's length
        raise _foreign(file, "safetensors", start)
    try:
        return safetensors.torch.load_file(file)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{file} is damaged: {error}.", "Get it again.") from error


def _foreign(file: Path, format: str, start: bytes) -> WeightsError:
    seen = f"begins with {ascii(start)[2:-1]}" if start else "is empty"
    return WeightsError(
        f"{file} is not a {format} file: it {seen}.",
        "Get it again; an HTML page in its place usually means that the download failed.",
    )


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
