"""Identity adapters on disk: the trained parameters only, in one safetensors file with the configs in its
header."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.errors import MissingWeights, WeightsError
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel

WEIGHT_NAME = "magic_mirror.safetensors"
_FORMAT = "magic-mirror-adapter-1"
_IDENTITY_CONFIG = (
    "identity_fusion",
    "face_tokens",
    "face_cross_attention",
    "face_modulation",
    "conditioned_norm",
    "face_dim",
    "num_id_tokens",
    "num_face_tokens",
    "id_proj_dim",
    "can_hidden_dim",
    "adapter_every",
    "face_rows",
)
"""Config fields of the transformer that describe the adapter and not the base."""


@dataclass(frozen=True)
class AdapterFile:
    """What the file holds: tensors without their prefix, and the adapter's config fields."""

    transformer: dict[str, Tensor]
    face_encoder: dict[str, Tensor]
    config: dict[str, Any]


def identity_config(model: MagicMirrorTransformer3DModel) -> dict[str, Any]:
    """The adapter's config fields of a transformer."""
    return {name: model.config[name] for name in _IDENTITY_CONFIG}


def write_adapter(
    folder: str | Path, transformer: MagicMirrorTransformer3DModel, face_encoder: MagicMirrorFaceEncoder
) -> Path:
    """Write `magic_mirror.safetensors` with every parameter that Magic Mirror trains, and no other."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    parts: tuple[tuple[str, nn.Module, list[str]], ...] = (
        ("transformer", transformer, transformer.identity_parameter_names()),
        ("face_encoder", face_encoder, face_encoder.trained_parameter_names()),
    )
    for prefix, module, names in parts:
        tensors |= {f"{prefix}.{name}": module.get_parameter(name).detach().contiguous() for name in names}
    path = Path(folder) / WEIGHT_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"format": _FORMAT, "config": json.dumps(identity_config(transformer))})
    return path


def read_adapter(source: str | Path, weight_name: str | None = None) -> AdapterFile:
    """Read an adapter from a file, a folder, or a hub repository. Raises MissingWeights, WeightsError."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    path = _locate(str(source), weight_name or WEIGHT_NAME)
    with safe_open(path, framework="pt") as opened:
        header = opened.metadata() or {}
    if header.get("format") != _FORMAT:
        raise WeightsError(
            f"{path}: not a Magic Mirror adapter (its header says {header.get('format')!r}).",
            "Write it with pipe.save_identity_adapter().",
        )
    parts: dict[str, dict[str, Tensor]] = {"transformer": {}, "face_encoder": {}}
    for name, tensor in load_file(path).items():
        prefix, _, rest = name.partition(".")
        if prefix not in parts:
            raise WeightsError(f"{path}: unknown key {name}.", "Write it with pipe.save_identity_adapter().")
        parts[prefix][rest] = tensor
    return AdapterFile(parts["transformer"], parts["face_encoder"], json.loads(header["config"]))


@torch.no_grad()
def apply_adapter(module: nn.Module, tensors: dict[str, Tensor], names: list[str], source: str) -> None:
    """Copy tensors into the named parameters; every one of them must be there in its shape, and no other."""
    if set(tensors) != set(names):
        missing, unknown = sorted(set(names) - set(tensors)), sorted(set(tensors) - set(names))
        raise WeightsError(
            f"{source}: {len(missing)} parameters are missing {missing[:3]}, {len(unknown)} unknown {unknown[:3]}.",
            "The adapter was made for another configuration.",
        )
    for name in names:
        parameter = module.get_parameter(name)
        if parameter.shape != tensors[name].shape:
            raise WeightsError(
                f"{source}: {name} has shape {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}.",
                "The adapter was made for another configuration.",
            )
        parameter.copy_(tensors[name])


def _locate(source: str, weight_name: str) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir() or path.is_absolute() or source.startswith("."):
        found = path / weight_name
        if not found.is_file():
            raise MissingWeights(
                f"{found}: the identity adapter is not there.", "Give the folder or the .safetensors file of one."
            )
        return found
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(source, weight_name))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise MissingWeights(
            f"{source}: no identity adapter '{weight_name}' could be fetched ({type(error).__name__}).",
            "Check the repository's name and the connection, or give a local path.",
        ) from error
