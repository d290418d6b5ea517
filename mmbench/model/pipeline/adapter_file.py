"""Identity adapters on disk: the trained parameters only, in one safetensors file that describes itself.

Format 2: the header holds the config of the transformer's part and of the whole face encoder (with the crop of the
references), and what is known of the training. Format 1 held the transformer's fields alone; it is still read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.errors import MissingWeights, RequestError, WeightsError
from mmbench.files import installed_version, whole
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
from mmbench.model.network.trained import trained_parameters
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
from mmbench.model.network.variants import VARIANTS

logger = logging.getLogger(__name__)
WEIGHT_NAME = "magic_mirror.safetensors"
_FORMAT, _OLD_FORMAT = "magic-mirror-adapter-2", "magic-mirror-adapter-1"
_SWITCHES = ("identity_fusion", "face_tokens", "face_cross_attention", "face_modulation", "conditioned_norm")
_IDENTITY_CONFIG = (
    *_SWITCHES,
    "face_dim",
    "num_id_tokens",
    "num_face_tokens",
    "id_proj_dim",
    "can_hidden_dim",
    "adapter_every",
    "face_rows",
    "ca_source",
)
"""Config fields of the transformer that describe the adapter and not the base."""
_WRAPPERS = ("_orig_mod.", "module.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module.")


@dataclass(frozen=True)
class TrainingFacts:
    """How an adapter was trained, as far as it is known.

    variant: row of the ablation table, "" for another set of switches. stage: "image" or "video"; step of that
    stage. base, base_revision: the base model's hub name and commit. details: anything else, JSON values (data,
    settings, seed, the sampler's position).
    """

    variant: str = ""
    stage: str = ""
    step: int = 0
    base: str = ""
    base_revision: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AdapterFile:
    """What the file holds: tensors without their prefix, and what its header says.

    config: the transformer's adapter fields; encoder_config: every field of the face encoder, {} in format 1.
    version: of mmbench, "" in format 1.
    """

    transformer: dict[str, Tensor]
    face_encoder: dict[str, Tensor]
    config: dict[str, Any]
    encoder_config: dict[str, Any]
    training: TrainingFacts
    version: str


def identity_config(model: MagicMirrorTransformer3DModel) -> dict[str, Any]:
    """The adapter's config fields of a transformer."""
    return {name: model.config[name] for name in _IDENTITY_CONFIG}


def encoder_config(encoder: MagicMirrorFaceEncoder) -> dict[str, Any]:
    """Every constructor argument of a face encoder."""
    return {k: v for k, v in encoder.config.items() if not k.startswith("_") and k != "quantization_config"}


def variant_of(model: MagicMirrorTransformer3DModel) -> str:
    """The first ablation letter with these switches ("Full" and "G" differ in training only: "G"), or ""."""
    switches = {name: model.config[name] for name in _SWITCHES}
    return next((name for name, v in VARIANTS.items() if v.transformer_config() == switches), "")


def adapter_tensors(
    transformer: MagicMirrorTransformer3DModel, face_encoder: MagicMirrorFaceEncoder
) -> dict[str, Tensor]:
    """Every trained parameter under its name in the file, on the CPU.

    Sharded parameters are gathered, so all ranks must call this. RequestError for quantised ones.
    """
    held: dict[str, Tensor] = {}
    for name, parameter in trained_parameters(transformer, face_encoder).items():
        for wrapper in _WRAPPERS:
            name = name.replace(wrapper, "")
        tensor: Tensor = parameter.detach()
        if hasattr(tensor, "full_tensor"):
            tensor = tensor.full_tensor()
        if type(tensor) not in (Tensor, nn.Parameter) or not tensor.is_floating_point():
            raise RequestError(
                f"The adapter's {name} is quantised ({type(tensor).__name__}); an adapter holds plain numbers.",
                "Save the adapter before the model is quantised, or leave the adapters out of quantising.",
            )
        held[name] = tensor.to("cpu")
    return held


def write_adapter(
    folder: str | Path,
    transformer: MagicMirrorTransformer3DModel,
    face_encoder: MagicMirrorFaceEncoder,
    training: TrainingFacts | None = None,
    dtype: torch.dtype | None = None,
    tensors: dict[str, Tensor] | None = None,
    weight_name: str = WEIGHT_NAME,
) -> Path:
    """Write `magic_mirror.safetensors` with every parameter that the variant trains, and no other.

    dtype: float32 keeps the training's master weights, bfloat16 makes a release; None is what the parameters have.
    tensors: what `adapter_tensors` gathered, where only one rank writes.
    """
    from safetensors.torch import save_file

    held = adapter_tensors(transformer, face_encoder) if tensors is None else tensors
    held = {name: tensor.to(dtype).contiguous() for name, tensor in held.items()}
    training = TrainingFacts(variant=variant_of(transformer)) if training is None else training
    header = {
        "format": _FORMAT,
        "config": json.dumps(identity_config(transformer)),
        "face_encoder": json.dumps(encoder_config(face_encoder)),
        "training": json.dumps(asdict(training)),
        "mmbench": installed_version("mmbench") or "",
    }
    path = Path(folder) / weight_name
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        save_file(held, part, header)
    return path


def read_adapter(source: str | Path, weight_name: str | None = None, **hub: Any) -> AdapterFile:
    """Read an adapter from a file, a folder, or a hub repository; `hub`: huggingface_hub's download arguments.

    Raises MissingWeights, WeightsError.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    path = _locate(str(source), weight_name or WEIGHT_NAME, hub)
    try:
        with safe_open(path, framework="pt") as opened:
            header = opened.metadata() or {}
        tensors = load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error}).", "Fetch or save it again.") from error
    if header.get("format") not in (_FORMAT, _OLD_FORMAT):
        raise WeightsError(
            f"{path}: not a Magic Mirror adapter of a known format (its header says {header.get('format')!r}).",
            "Write it with pipe.save_identity_adapter(), or update mmbench if it was made by a later version.",
        )
    parts: dict[str, dict[str, Tensor]] = {"transformer": {}, "face_encoder": {}}
    for name, tensor in tensors.items():
        prefix, _, rest = name.partition(".")
        if prefix not in parts:
            raise WeightsError(f"{path}: unknown key {name}.", "Write it with pipe.save_identity_adapter().")
        parts[prefix][rest] = tensor
    try:
        config = {"ca_source": "embedding"} | json.loads(header["config"])
        encoder, facts = (json.loads(header.get(key, "{}")) for key in ("face_encoder", "training"))
        known = {f.name for f in fields(TrainingFacts)}
        training = TrainingFacts(**{k: v for k, v in facts.items() if k in known})
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise WeightsError(f"{path}: its header cannot be read ({error}).", "Save the adapter again.") from error
    if not encoder:
        logger.warning(
            "%s is of format 1, which does not describe its face encoder: depth, head width and crop of this "
            "pipeline's are taken for its own. Save it again to write them down.",
            path,
        )
    version = header.get("mmbench", "")
    return AdapterFile(parts["transformer"], parts["face_encoder"], config, encoder, training, version)


def check_fits(
    held: AdapterFile, transformer: MagicMirrorTransformer3DModel, face_encoder: MagicMirrorFaceEncoder, source: str
) -> None:
    """WeightsError where a config field of the file differs from the models', naming the first one."""
    pairs = [("transformer", held.config, identity_config(transformer))]
    if held.encoder_config:
        pairs.append(("face encoder", held.encoder_config, encoder_config(face_encoder)))
    for what, theirs, mine in pairs:
        for name, value in mine.items():
            # a face encoder may have more parts than the variant uses
            if what == "face encoder" and name in ("identity_fusion", "face_tokens"):
                continue
            if name in theirs and _plain(theirs[name]) != _plain(value):
                raise WeightsError(
                    f"{source}: the adapter's {what} has {name}={theirs[name]}, this model {value}.",
                    "Build the model with from_base(adapter=...), which reads it off the file.",
                )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@torch.no_grad()
def apply_adapter(module: nn.Module, tensors: dict[str, Tensor], names: list[str], source: str) -> None:
    """Copy tensors into the named parameters; every one of them must be there in its shape, and no other.

    Nothing is written before everything is checked. Sharded parameters take their share.
    """
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
    for name in names:
        target: Any = module.get_parameter(name)
        tensor = tensors[name].to(target.device, target.dtype)
        if hasattr(target, "full_tensor"):
            from torch.distributed.tensor import distribute_tensor

            tensor = distribute_tensor(tensor, target.device_mesh, target.placements)
        target.copy_(tensor)


def _locate(source: str, weight_name: str, hub: dict[str, Any]) -> Path:
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
        return Path(hf_hub_download(source, weight_name, **hub))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise MissingWeights(
            f"{source}: no identity adapter '{weight_name}' could be fetched ({type(error).__name__}).",
            "Check the repository's name and the connection, or give a local path.",
        ) from error
