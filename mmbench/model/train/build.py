"""From settings to what is trained: the module with one forward, its trained parameters, the codec, the losses."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from mmbench.errors import ManifestError, MissingWeights, RequestError, WeightsError, require_extra
from mmbench.model.network.configs import ModelSize, size_named
from mmbench.model.network.variants import VARIANTS
from mmbench.model.train.loss.identity import IdentityLoss, IdentityLossOptions, Recogniser
from mmbench.model.train.loss.objective import NoiseSchedule

if TYPE_CHECKING:
    from mmbench.model.train.settings import IdentitySettings, ModelSettings, TrainSettings

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
NORM_ONLY = ("norm1.linear.", "norm2.linear.")
"""The adaptive norms' projections: what the paper's figure 14 tunes."""


class BaseModel(nn.Module):
    """The base alone behind the same forward as Magic Mirror's trained module; everything of identity is ignored."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self,
        noisy: Tensor,
        text: Tensor,
        word_positions: Tensor,
        timestep: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        **of_identity: Any,
    ) -> Tensor:
        """The velocity [B, T', C, h, w] of noisy latents."""
        weight = self.transformer.proj_out.weight
        out: Tensor = self.transformer(
            noisy.to(weight.dtype), text.to(weight.dtype), timestep, image_rotary_emb=rotary, return_dict=False
        )[0]
        return out

    def enable_gradient_checkpointing(self) -> None:
        """Recompute blocks in the backward pass instead of keeping what they made."""
        self.transformer.enable_gradient_checkpointing()

    def shard_units(self) -> list[nn.Module]:
        """The modules to shard one by one before the whole."""
        return [*self.transformer.transformer_blocks, self.transformer]


def _cast_at_borders(linear: nn.Linear) -> None:
    """Let a trained float32 projection take and give the type of the bf16 base around it."""
    inner = linear.forward

    def forward(rows: Tensor) -> Tensor:
        return inner(rows.to(linear.weight.dtype)).to(rows.dtype)

    linear.forward = forward  # type: ignore[method-assign,assignment]


@dataclass
class Parts:
    """What a run trains and what it needs beside it.

    module: one forward from noisy latents to the velocity. face_encoder None for a base alone. scaling: stored latents
    times it are the model's. spatial: pixels of a latent cell's side. vae None where nothing is decoded.
    """

    module: Any
    transformer: Any
    face_encoder: Any
    noising: NoiseSchedule
    scaling: float
    spatial: int
    image_size: int
    scheduler: Any
    vae: Any = None
    identity: IdentityLoss | None = None

    def trained(self) -> dict[str, nn.Parameter]:
        """The trained parameters by their names in the module, in its order."""
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad}

    def rotary(self, latents: Tensor) -> tuple[Tensor, Tensor] | None:
        """cos and sin of the positions of latents [B, T', C, h, w]; the pipeline's own function makes them."""
        from diffusers.pipelines.cogvideo.pipeline_cogvideox import CogVideoXPipeline

        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        _, frames, _, height, width = latents.shape
        like = SimpleNamespace(transformer=self.transformer, vae_scale_factor_spatial=self.spatial)
        made = CogVideoXPipeline._prepare_rotary_positional_embeddings(
            like, height * self.spatial, width * self.spatial, frames, latents.device
        )
        return cast("tuple[Tensor, Tensor]", made)


def build(settings: TrainSettings, folder: Path, device: torch.device) -> Parts:
    """Load or make everything that the settings name, freeze what is not trained, put it on the device.

    Paths are relative to `folder`. Raises MissingWeights, WeightsError, RequestError, ManifestError.
    """
    require_extra("train")
    wanted = settings.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        transformer, vae, scheduler, size = _base(wanted, folder, settings.loss.identity is not None)
        if wanted.codec is not None:
            vae = _codec(folder / wanted.codec, size)
        if wanted.norms is not None:
            _lay_norms(transformer, folder / wanted.norms)
        if transformer.config.patch_size_t is not None:
            raise RequestError("CogVideoX-1.5 bases cannot be trained here.", "Use a CogVideoX 1.0 base.")
        parts = Parts(
            BaseModel(transformer),
            transformer,
            None,
            NoiseSchedule.from_scheduler(scheduler),
            _scaling(vae),
            _spatial(vae),
            224,
            scheduler,
            vae,
        )
        if wanted.train == "adapter":
            _add_identity(parts, wanted, folder, size)
    freeze(parts, wanted)
    if settings.loss.identity is not None:
        parts.identity = identity_loss(parts, settings.loss.identity, folder)
        parts.vae.to(device)
        if isinstance(parts.identity.recogniser, nn.Module):
            parts.identity.recogniser.to(device)
    parts.module.to(device)
    parts.noising.to(device)
    return parts


def freeze(parts: Parts, wanted: ModelSettings) -> None:
    """Stop gradients into what is not trained, give every part its dtype: frozen as set, trained float32."""
    parts.module.requires_grad_(False)
    if isinstance(parts.module, BaseModel):
        for name, parameter in parts.module.named_parameters():
            if wanted.train == "all" or any(part in name for part in NORM_ONLY):
                parameter.requires_grad_(True)
                parameter.data = parameter.data.float()
        if wanted.train == "norm-only":
            for block in parts.transformer.transformer_blocks:
                _cast_at_borders(block.norm1.linear)
                _cast_at_borders(block.norm2.linear)
    else:
        parts.module.freeze()
    for parameter in parts.module.parameters():
        if not parameter.requires_grad and parameter.is_floating_point():
            parameter.data = parameter.data.to(DTYPES[wanted.dtype])
    if not parts.trained():
        raise RequestError(f"Nothing is trained: model.train is {wanted.train!r}.", "Choose another variant or set.")


def _lay_norms(transformer: Any, path: Path) -> None:
    """Put trained adaptive norms over a base's. Raises MissingWeights, and WeightsError for another base's."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        held = load_file(path)
    except (OSError, SafetensorError) as cause:
        raise MissingWeights(f"model.norms: {path}: {cause}.", "Name norms.safetensors of a norm-only run.") from cause
    own = {name: tensor for name, tensor in transformer.state_dict().items() if any(n in name for n in NORM_ONLY)}
    if {name: t.shape for name, t in held.items()} != {name: t.shape for name, t in own.items()}:
        raise WeightsError(f"model.norms: {path}: they are another base's norms.", "Name those of this base's size.")
    transformer.load_state_dict(held, strict=False)


def _base(wanted: ModelSettings, folder: Path, decodes: bool) -> tuple[Any, Any, Any, ModelSize]:
    """Transformer, codec, scheduler and size; the full size's codec is loaded only where latents are decoded."""
    size = size_named(wanted.size)
    if wanted.base == "random":
        return *_random_base(wanted, size, decodes), size
    from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
    from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler

    if wanted.transformer:
        raise RequestError("model.transformer is for random weights: a base brings its own sizes.", "Leave it out.")
    path = folder / wanted.base
    source = str(path) if path.is_dir() else wanted.base
    try:
        transformer = CogVideoXTransformer3DModel.from_pretrained(
            source, subfolder="transformer", torch_dtype=DTYPES[wanted.dtype]
        )
        scheduler = CogVideoXDDIMScheduler.from_pretrained(source, subfolder="scheduler")
        vae = _codec(source, size, "vae")
    except OSError as cause:
        raise MissingWeights(f"model.base: {source}: {cause}.", "Give a diffusers folder or a hub name.") from cause
    return transformer, vae, scheduler, size


def _codec(source: str | Path, size: ModelSize, subfolder: str | None = None) -> Any:
    """The size's codec from a folder, frozen. Raises MissingWeights."""
    from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX

    from mmbench.model.small.codec import PatchPCACodec

    kind = PatchPCACodec if size.codec is not None else AutoencoderKLCogVideoX
    dtype = torch.float32 if size.codec is not None else torch.bfloat16
    try:
        vae = kind.from_pretrained(str(source), subfolder=subfolder, torch_dtype=dtype)
    except OSError as cause:
        raise MissingWeights(f"{source}: no codec: {cause}.", "Name the codec that made the latents.") from cause
    return vae.eval().requires_grad_(False)


def _random_base(wanted: ModelSettings, size: ModelSize, decodes: bool) -> tuple[Any, Any, Any]:
    """Weights of the size that nobody trained, with the codec of the small sizes fitted to drawn clips."""
    from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
    from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler

    from mmbench.model.cost.profile import COGVIDEOX_VAE
    from mmbench.model.small.nano import COGVIDEOX_5B_SCHEDULE, fitted_codec

    known = inspect.signature(CogVideoXTransformer3DModel.__init__).parameters
    config = {name: value for name, value in size.transformer.items() if name in known} | wanted.transformer
    if unknown := sorted(set(config) - set(known)):
        raise ManifestError(f"model.transformer: there is no field {unknown[0]}.", f"Fields: {', '.join(known)}.")
    if size.codec is None:  # CogVideoX-5B's own settings, which are not the class's defaults
        config = {**FULL_SIZE, **config}
    else:
        config.setdefault("use_rotary_positional_embeddings", True)
    transformer = CogVideoXTransformer3DModel(**config)
    scheduler = CogVideoXDDIMScheduler(**COGVIDEOX_5B_SCHEDULE)
    if size.codec is not None:
        return transformer, fitted_codec(size), scheduler
    from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX

    with torch.device("cpu" if decodes else "meta"):
        vae = AutoencoderKLCogVideoX(**COGVIDEOX_VAE)
    return transformer, vae.eval().requires_grad_(False), scheduler


FULL_SIZE = {
    "num_attention_heads": 48,
    "num_layers": 42,
    "use_rotary_positional_embeddings": True,
}
"""What CogVideoX-5B's transformer sets; the class's defaults are the rest."""


def _add_identity(parts: Parts, wanted: ModelSettings, folder: Path, size: ModelSize) -> None:
    """Put the variant's adapters on the base, make or load the face encoder, start from an adapter file."""
    from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
    from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
    from mmbench.model.pipeline.adapter_file import apply_adapter, check_fits, read_adapter
    from mmbench.model.train.module import MagicMirrorModel

    if wanted.variant not in VARIANTS:
        raise RequestError(f"No variant is called {wanted.variant!r}.", f"Use one of: {', '.join(VARIANTS)}.")
    variant = VARIANTS[wanted.variant]
    known = inspect.signature(MagicMirrorTransformer3DModel.__init__).parameters
    base_known = inspect.signature(type(parts.transformer).__init__).parameters
    fields = {k: v for k, v in size.transformer.items() if k in known and k not in base_known}
    parts.transformer = MagicMirrorTransformer3DModel.from_transformer(
        parts.transformer, **fields, **variant.transformer_config()
    )
    parts.face_encoder = MagicMirrorFaceEncoder(
        **{**size.face_encoder, **wanted.face_encoder},
        identity_fusion=variant.identity_fusion,
        face_tokens=variant.face_tokens or variant.face_cross_attention,
    )
    if wanted.photomaker is not None:
        parts.face_encoder.load_photomaker(folder / wanted.photomaker)
    elif wanted.tower is not None:
        from mmbench.model.network.map_tower import load_tower

        parts.face_encoder.vision.load_state_dict(load_tower(folder / wanted.tower).state_dict())
    elif size.codec is None and wanted.base != "random":
        raise MissingWeights("model.photomaker is not set: the face towers have no weights.", "Name photomaker-v2.bin.")
    if wanted.adapter is not None:
        source = str(folder / wanted.adapter)
        held = read_adapter(source)
        check_fits(held, parts.transformer, parts.face_encoder, source)
        apply_adapter(parts.transformer, held.transformer, parts.transformer.identity_parameter_names(), source)
        apply_adapter(parts.face_encoder, held.face_encoder, parts.face_encoder.trained_parameter_names(), source)
    parts.image_size = parts.face_encoder.config.image_size
    parts.module = MagicMirrorModel(parts.transformer, parts.face_encoder)


def identity_loss(parts: Parts, wanted: IdentitySettings, folder: Path) -> IdentityLoss:
    """The identity loss over the codec's decoder and the named recogniser."""
    options = IdentityLossOptions(wanted.weight, wanted.max_timestep, wanted.crop, wanted.latents)
    return IdentityLoss(decoder(parts.vae), load_recogniser(wanted.recogniser, folder), parts.spatial, options)


def decoder(vae: Any) -> Callable[[Tensor], Tensor]:
    """Unscaled latents [B, T', C, h, w] to frames [B, F, 3, H, W], with gradients."""

    def decode(latents: Tensor) -> Tensor:
        frames: Tensor = vae.decode(latents.to(vae.dtype).permute(0, 2, 1, 3, 4)).sample
        return frames.permute(0, 2, 1, 3, 4)

    return decode


def load_recogniser(name: str, folder: Path) -> Recogniser:
    """An ArcFace ONNX file, or what `module:function` returns. Raises MissingWeights, ManifestError."""
    if ":" in name and not (folder / name).exists():
        made: Recogniser = called(name, "loss.identity.recogniser")
        return made
    from mmbench.face.insightface.iresnet import load_iresnet

    return load_iresnet(folder / name)


def called(name: str, setting: str) -> Any:
    """What the function `module:function` of a setting returns. Raises ManifestError naming the setting."""
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError) as cause:
        raise ManifestError(f"{setting}: {name}: {cause}.", "Write module:function.") from cause


def _scaling(vae: Any) -> float:
    return float(vae.config.scaling_factor)


def _spatial(vae: Any) -> int:
    return int(2 ** (len(vae.config.block_out_channels) - 1))
