"""`MagicMirrorTransformer3DModel`: CogVideoX's transformer with identity adapters in every other layer.

The keys of the base model are unchanged, so base and LoRA checkpoints load; a quantised base is taken over by
`from_transformer`. Without a face, or with `identity_scale=0`, the forward pass is the base's own, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, get_args

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401  # pipelines look this name up here
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from diffusers.utils import apply_lora_scale
from torch import Tensor, nn

from mmbench.errors import RequestError, WeightsError
from mmbench.model.network.adapter import (
    ConditionedAdaptiveNorm,
    FaceKeyValue,
    FaceModulation,
    FaceProjection,
    LayerAdapter,
    cast_for,
)
from mmbench.model.network.direct import identity_forward
from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.network.identity import project_identity
from mmbench.model.network.joint_block import JointAttnProcessor, JointLayerNormZero
from mmbench.model.network.takeover import dense_weight, materialise, share_base_modules

if TYPE_CHECKING:
    from mmbench.model.fast.forward import FastPlan

FaceRows = Literal["carry", "reinject", "visible"]
FaceAttentionSource = Literal["embedding", "current"]
NEVER_QUANTISED = ("face_proj", "id_proj", "adapters")
"""Modules that loading leaves out of quantising unless the quantisation's config names its own."""
ADAPTER_PREFIXES = ("face_proj.", "id_proj.", "adapters.", "null_face")
"""Every parameter that the base model does not have starts with one of these."""


class MagicMirrorTransformer3DModel(CogVideoXTransformer3DModel):  # type: ignore[misc]  # diffusers is untyped
    """CogVideoX's transformer plus the identity adapter; defaults of the base arguments are CogVideoX-5B's.

    identity_fusion, face_tokens, face_cross_attention, face_modulation, conditioned_norm: the switches of the
    ablations (`mmbench.model.network.variants`); `identity_fusion` has no parameters here, the pipeline reads it.
    face_dim: width of x_id and x_face. num_id_tokens, num_face_tokens: their counts. id_proj_dim: c1.
    can_hidden_dim: CAN's hidden width. adapter_every: layers l with l % adapter_every == 0 are adapted.
    face_rows: what face rows do in the other layers: "carry" (pass by unchanged), "reinject" (start anew from
    the projected tokens in each adapted layer), "visible" (join as if they were text). ca_source: what K2 and V2
    are made of, "embedding" (the projected face tokens, the same for every layer and step) or "current" (the
    modulated face rows of the layer).
    """

    _skip_layerwise_casting_patterns: ClassVar[list[str]] = ["patch_embed", "norm", "phi_face", "can"]
    _no_split_modules: ClassVar[list[str]] = [
        "CogVideoXBlock",
        "CogVideoXPatchEmbed",
        "ConditionedAdaptiveNorm",
        "FaceModulation",
        "FaceKeyValue",
    ]
    _repeated_blocks: ClassVar[list[str]] = ["CogVideoXBlock"]
    _supports_gradient_checkpointing = True

    # Every parent argument is spelt out: with **kwargs the registered config could not be saved.
    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        num_attention_heads: int = 48,
        attention_head_dim: int = 64,
        in_channels: int = 16,
        out_channels: int | None = 16,
        flip_sin_to_cos: bool = True,
        freq_shift: int = 0,
        time_embed_dim: int = 512,
        ofs_embed_dim: int | None = None,
        text_embed_dim: int = 4096,
        num_layers: int = 42,
        dropout: float = 0.0,
        attention_bias: bool = True,
        sample_width: int = 90,
        sample_height: int = 60,
        sample_frames: int = 49,
        patch_size: int = 2,
        patch_size_t: int | None = None,
        temporal_compression_ratio: int = 4,
        max_text_seq_length: int = 226,
        activation_fn: str = "gelu-approximate",
        timestep_activation_fn: str = "silu",
        norm_elementwise_affine: bool = True,
        norm_eps: float = 1e-5,
        spatial_interpolation_scale: float = 1.875,
        temporal_interpolation_scale: float = 1.0,
        use_rotary_positional_embeddings: bool = True,
        use_learned_positional_embeddings: bool = False,
        patch_bias: bool = True,
        identity_fusion: bool = True,
        face_tokens: bool = True,
        face_cross_attention: bool = True,
        face_modulation: bool = True,
        conditioned_norm: bool = True,
        face_dim: int = 2048,
        num_id_tokens: int = 2,
        num_face_tokens: int = 32,
        id_proj_dim: int = 512,
        can_hidden_dim: int = 512,
        adapter_every: int = 2,
        face_rows: FaceRows = "carry",
        ca_source: FaceAttentionSource = "embedding",
    ) -> None:
        super().__init__(
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels,
            out_channels=out_channels,
            flip_sin_to_cos=flip_sin_to_cos,
            freq_shift=freq_shift,
            time_embed_dim=time_embed_dim,
            ofs_embed_dim=ofs_embed_dim,
            text_embed_dim=text_embed_dim,
            num_layers=num_layers,
            dropout=dropout,
            attention_bias=attention_bias,
            sample_width=sample_width,
            sample_height=sample_height,
            sample_frames=sample_frames,
            patch_size=patch_size,
            patch_size_t=patch_size_t,
            temporal_compression_ratio=temporal_compression_ratio,
            max_text_seq_length=max_text_seq_length,
            activation_fn=activation_fn,
            timestep_activation_fn=timestep_activation_fn,
            norm_elementwise_affine=norm_elementwise_affine,
            norm_eps=norm_eps,
            spatial_interpolation_scale=spatial_interpolation_scale,
            temporal_interpolation_scale=temporal_interpolation_scale,
            use_rotary_positional_embeddings=use_rotary_positional_embeddings,
            use_learned_positional_embeddings=use_learned_positional_embeddings,
            patch_bias=patch_bias,
        )
        if face_modulation and not face_tokens:
            raise ValueError("face_modulation modulates face rows: it needs face_tokens=True")
        if ca_source not in get_args(FaceAttentionSource) or (ca_source == "current" and not face_tokens):
            raise ValueError(f"ca_source={ca_source!r}: use 'embedding', or, with face_tokens=True, 'current'")
        dim, time_dim = num_attention_heads * attention_head_dim, time_embed_dim
        has_face, has_layer_parts = (
            face_tokens or face_cross_attention,
            face_cross_attention or conditioned_norm,
        )
        self.face_proj = FaceProjection(face_dim, dim) if has_face else None
        self.id_proj = nn.Linear(num_id_tokens * face_dim, id_proj_dim) if conditioned_norm else None
        self.null_face = nn.Parameter(torch.empty(1, num_face_tokens, dim)) if face_tokens else None
        self.adapters = nn.ModuleDict()
        adapted = range(0, num_layers, adapter_every) if has_face or has_layer_parts else ()
        for layer in adapted:
            self.adapters[str(layer)] = LayerAdapter(
                ConditionedAdaptiveNorm(id_proj_dim, time_dim, dim, can_hidden_dim) if conditioned_norm else None,
                FaceModulation(time_dim, dim) if face_modulation else None,
                FaceKeyValue(dim, num_attention_heads) if face_cross_attention else None,
            )
            block = self.transformer_blocks[layer]
            block.norm1, block.norm2 = (
                JointLayerNormZero(time_dim, dim, norm_elementwise_affine, norm_eps, position) for position in (0, 1)
            )
        for block in self.transformer_blocks:
            block.attn1.set_processor(JointAttnProcessor())
        self.reset_identity_parameters()

    def reset_identity_parameters(self) -> None:
        """Initialise everything that the base does not have; K2 starts from the layer's present key weights."""
        for part in (self.face_proj, self.id_proj):
            if part is not None:
                part.reset_parameters()
        if self.null_face is not None:
            nn.init.normal_(self.null_face, std=0.02)
        for layer, adapter in self.layer_adapters().items():
            if adapter.can is not None:
                adapter.can.reset_parameters()
            if adapter.phi_face is not None:
                adapter.phi_face.reset_parameters()
            if adapter.kv is not None:
                attention = self.transformer_blocks[layer].attn1
                key, start = attention.to_k, adapter.kv.to_k.weight
                adapter.kv.reset_parameters(dense_weight(key, start.shape[1], start), attention.norm_k)

    @property
    def dtype(self) -> torch.dtype:
        """The base's floating type: adapters in training have another, and come first among the parameters."""
        weight = self.norm_final.weight
        kind: torch.dtype = super().dtype if weight is None else weight.dtype
        return kind

    def freeze_base(self) -> None:
        """Stop gradients into everything that the base model has."""
        for name, parameter in self.named_parameters():
            if not name.startswith(ADAPTER_PREFIXES):
                parameter.requires_grad_(False)

    def layer_adapters(self) -> dict[int, LayerAdapter]:
        """The adapters by the index of their layer."""
        return {int(name): cast("LayerAdapter", adapter) for name, adapter in self.adapters.items()}

    def identity_parameter_names(self) -> list[str]:
        """Names of all parameters that the base model does not have."""
        return [name for name, _ in self.named_parameters() if name.startswith(ADAPTER_PREFIXES)]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str, **kwargs: Any) -> Any:
        """diffusers' loader, which also accepts a base CogVideoX checkpoint.

        All identity parameters missing: they are initialised (diffusers would leave them on the meta device).
        Only some of them, or any base parameter, missing: WeightsError.
        """
        want_info = kwargs.pop("output_loading_info", False)
        _spare_adapters(kwargs.get("quantization_config"))
        model, info = super().from_pretrained(pretrained_model_name_or_path, output_loading_info=True, **kwargs)
        missing, ours = set(info["missing_keys"]), set(model.identity_parameter_names())
        if missing - ours or (missing and missing != ours):
            names = sorted(missing - ours or missing)
            raise WeightsError(
                f"{pretrained_model_name_or_path}: {len(names)} parameters are missing, {names[:3]} among them.",
                "The checkpoint is neither a CogVideoX transformer nor a complete Magic Mirror one.",
            )
        if missing:
            like = model.proj_out.weight
            materialise(model, ours, like.device, model.dtype)
            model.reset_identity_parameters()
        return (model, info) if want_info else model

    @classmethod
    def from_transformer(cls, base: CogVideoXTransformer3DModel, **identity_config: Any) -> Any:
        """A model around the modules of `base`, which it shares with it; adapters newly initialised.

        `identity_config`: the constructor's identity arguments, for example `**variant.transformer_config()`.
        LoRA layers and quantised Linears are taken over as they are.
        """
        names = CogVideoXTransformer3DModel._get_init_keys(CogVideoXTransformer3DModel)
        fields = {k: v for k, v in base.config.items() if k in names}
        with torch.device("meta"):
            model = cls.from_config({**fields, **identity_config})
        share_base_modules(base, model)
        if "quantization_config" in base.config:
            model.register_to_config(quantization_config=base.config.quantization_config)
        materialise(model, model.identity_parameter_names(), base.device, model.dtype)
        model.reset_identity_parameters()
        return model.train(base.training)

    def fuse_qkv_projections(self) -> None:
        """Fuse Q, K, V weights; our attention processor, unlike the stock one, serves both forms."""
        for block in self.transformer_blocks:
            block.attn1.fuse_projections(fuse=True)

    def unfuse_qkv_projections(self) -> None:
        """Undo `fuse_qkv_projections`."""
        for block in self.transformer_blocks:
            block.attn1.fused_projections = False

    def project_global(self, identity: Tensor) -> Tensor:
        """x_id [B, 2, face_dim] -> p_id [B, c1], in the projection's type."""
        if self.id_proj is None:
            raise ValueError("this variant has no conditioned_norm, so no global projection")
        out: Tensor = self.id_proj(cast_for(identity.flatten(1), self.id_proj.weight))
        return out

    @apply_lora_scale("attention_kwargs")  # type: ignore[untyped-decorator]
    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        timestep: Tensor,
        timestep_cond: Tensor | None = None,
        ofs: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
        attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
        face: FaceEmbeds | None = None,
        identity_scale: float = 1.0,
        identity_present: Tensor | None = None,
        plan: FastPlan | None = None,
        step: int = 0,
    ) -> tuple[Tensor] | Transformer2DModelOutput:
        """The base's forward pass, with an identity.

        hidden_states [B, T', C, H/8, W/8], encoder_hidden_states [B, N_t, text_dim] (already fused),
        timestep [B]. face: embeddings of B samples; None, or identity_scale 0, is the base itself.
        identity_present bool [B]: False drops a sample's identity. plan, step: take the tabulated path
        (`mmbench.model.fast.forward`) at that index of the plan's schedule; face, identity_scale and
        identity_present are then in the plan.
        """
        if plan is not None:
            sample = plan.forward(self, hidden_states, encoder_hidden_states, step, image_rotary_emb)
        elif face is None or identity_scale == 0.0 or not len(self.adapters):
            # the undecorated base method: the LoRA scale is already applied here
            out: tuple[Tensor] | Transformer2DModelOutput = CogVideoXTransformer3DModel.forward(
                self,
                hidden_states,
                encoder_hidden_states,
                timestep,
                timestep_cond,
                ofs,
                image_rotary_emb,
                attention_kwargs,
                return_dict,
            )
            return out
        else:
            if ofs is not None:
                raise RequestError("The identity adapter is made for CogVideoX 1.0, which has no ofs input.")
            if face.identity.shape[0] != hidden_states.shape[0]:
                raise RequestError(
                    f"{face.identity.shape[0]} identities came for {hidden_states.shape[0]} samples.",
                    "A cache that halves the batch (FasterCache) cannot serve an identity: call disable_cache().",
                )
            identity = project_identity(self, face, identity_scale, identity_present)
            temb = self.time_embedding(self.time_proj(timestep).to(hidden_states.dtype), timestep_cond)
            sample = identity_forward(
                self, hidden_states, encoder_hidden_states, temb, image_rotary_emb, attention_kwargs, identity
            )
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def unpatchify(self, rows: Tensor, shape: Iterable[int]) -> Tensor:
        """Output rows [B, N_v, patch * C] -> [B, T', C, H', W'], `shape` being the latents'; as the base does it."""
        batch, frames, _, height, width = shape
        p, p_t = self.config.patch_size, self.config.patch_size_t
        if p_t is None:
            grid = rows.reshape(batch, frames, height // p, width // p, -1, p, p)
            return grid.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4)
        grid = rows.reshape(batch, frames // p_t, height // p, width // p, -1, p_t, p, p)
        return grid.permute(0, 1, 5, 4, 2, 6, 3, 7).flatten(6, 7).flatten(4, 5).flatten(1, 2)


def _spare_adapters(quantisation: Any) -> None:
    """Fill in which modules a quantisation's config leaves out, where it leaves that open."""
    for field in ("modules_to_not_convert", "llm_int8_skip_modules"):
        if getattr(quantisation, field, ()) is None:
            setattr(quantisation, field, list(NEVER_QUANTISED))
