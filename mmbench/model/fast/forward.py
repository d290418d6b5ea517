"""The fast path: one buffer [text | video | face], tabulated factors, fused element-wise work.

Equal to the direct path up to rounding (fp32: <= 1e-6 relative; a test holds it there). Face rows lie last,
so the layers that they skip see the first rows of the buffer: nothing is split or joined, no FLOP is spent
on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn

from mmbench.model.fast import kernels
from mmbench.model.fast.segments import Segments
from mmbench.model.fast.tables import ScheduleTable, VideoTable
from mmbench.model.network.checks import has_diffusers_hook
from mmbench.model.network.identity import key_mask
from mmbench.model.network.joint_block import MASKED_BACKEND, JointAttnProcessor

if TYPE_CHECKING:
    from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXBlock

    from mmbench.model.network.transformer import MagicMirrorTransformer3DModel


@dataclass(frozen=True)
class _LayerFactors:
    """One layer at one step: shift_scale [2, B, 3, 2, D], gate [2, B, 3, D]; first axis attention, then FFN."""

    shift_scale: Tensor
    gate: Tensor


@dataclass(frozen=True)
class FastPlan:
    """Tables of one schedule and, with an identity, of one video; `video=None` is the base model.

    `attention_backend` is a diffusers attention backend name ("_native_cudnn", "flash", ...), used where
    `transformer.set_attention_backend` has set none.
    """

    schedule: ScheduleTable
    video: VideoTable | None = None
    attention_backend: str | None = None

    def forward(
        self,
        model: MagicMirrorTransformer3DModel,
        latents: Tensor,
        text: Tensor,
        step: int,
        rotary: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """latents [B, T', C, H', W'], text [B, N_t, text_dim] -> prediction shaped like `latents`."""
        rows = model.patch_embed(text, latents)
        num_text, num_base = text.shape[1], rows.shape[1]
        face = None if self.video is None else self.video.rows
        num_face = 0 if face is None else face.shape[1]
        if face is not None:
            rows = torch.cat([rows, face.to(rows.dtype)], dim=1)
        segments = Segments(num_text, num_base - num_text, num_face)
        bias = None if self.video is None else self.video.key_bias
        mask = key_mask(bias, (num_text, num_base - num_text, num_face), face=2)
        update: Tensor | None = None
        gate: Tensor | None = None
        for index, block in enumerate(model.transformer_blocks):
            adapted = str(index) in model.adapters
            joins = adapted or model.config.face_rows == "visible"
            if face is not None and adapted and index and model.config.face_rows == "reinject":
                rows, update = _restart_face(rows, update, gate, segments, face)
            num_rows = num_base + (num_face if joins else 0)
            factors = self._factors(index, step, rows)
            x = kernels.add_norm_modulate(
                rows, update, gate, factors.shift_scale[0], block.norm1.norm, segments, num_rows
            )
            update = self._attend(block, index if adapted else None, x, rotary, segments, mask if joins else None)
            x = kernels.add_norm_modulate(
                rows, update, factors.gate[0], factors.shift_scale[1], block.norm2.norm, segments, num_rows
            )
            update, gate = _feed_forward(block, x), factors.gate[1]

        span = segments.spans()[1]
        video = rows[:, span]
        if update is not None and gate is not None:
            video = video + gate[:, 1, None] * update[:, span]
        shift, scale = self.schedule.out[step]
        video = model.norm_out.norm(model.norm_final(video)) * (1 + scale) + shift
        return model.unpatchify(model.proj_out(video), latents.shape)

    def _factors(self, layer: int, step: int, rows: Tensor) -> _LayerFactors:
        """Sum base and CAN, and put text, video and face vectors side by side."""
        factors = self.schedule.base[layer, step].to(rows.dtype).expand(rows.shape[0], -1, -1)
        video = self.video
        if video is not None and layer in video.can:
            residual = video.can[layer][step].repeat(video.copies, 1, 1)
            factors = factors + video.weight * residual
        ops = factors.reshape(rows.shape[0], 2, 2, 3, -1)  # [B, op, modality (video, text), shift scale gate, D]
        face = ops[:, :, 1]
        if video is not None and layer in self.schedule.face:
            table = self.schedule.face[layer][step].reshape(2, 3, -1)
            face = table.expand(rows.shape[0], -1, -1, -1)
        by_segment = torch.stack([ops[:, :, 1], ops[:, :, 0], face], dim=2).transpose(0, 1)
        return _LayerFactors(by_segment[..., :2, :].contiguous(), by_segment[..., 2, :].contiguous())

    def _attend(
        self,
        block: CogVideoXBlock,
        adapted_layer: int | None,
        rows: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        segments: Segments,
        mask: Tensor | None,
    ) -> Tensor:
        """Joint attention of `rows` [B, n, D], `mask` on its logits; in adapted layers the decoupled one too."""
        attn = block.attn1
        query, key, value = (
            project(rows).unflatten(-1, (attn.heads, -1)) for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        query = kernels.norm_rotate_(query, attn.norm_q, rotary, segments)
        key = kernels.norm_rotate_(key, attn.norm_k, rotary, segments)
        own = attn.processor._attention_backend
        backend = own or self.attention_backend if mask is None else MASKED_BACKEND
        out = dispatch_attention_fn(query, key, value, attn_mask=mask, backend=backend)
        video = self.video
        if video is not None and adapted_layer is not None and adapted_layer in video.key_value:
            out = out.contiguous()
            kernels.add_face_attention_(out, query, *video.key_value[adapted_layer], video.weight)
        projected: Tensor = attn.to_out[0](out.flatten(2))
        return projected


def _feed_forward(block: CogVideoXBlock, rows: Tensor) -> Tensor:
    """The block's FFN without its dropouts."""
    out: Tensor = block.ff.net[2](F.gelu(block.ff.net[0].proj(rows), approximate="tanh"))
    return out


def _restart_face(
    rows: Tensor, update: Tensor | None, gate: Tensor | None, segments: Segments, face: Tensor
) -> tuple[Tensor, None]:
    """Apply a pending update, then put the projected face tokens back into the face rows."""
    if update is not None and gate is not None:
        for index, span in enumerate(segments.spans()):
            rows[:, span][:, : update[:, span].shape[1]] += gate[:, index, None] * update[:, span]
    rows[:, segments.spans()[2]] = face
    return rows, None


def fast_path_blocker(model: MagicMirrorTransformer3DModel) -> str | None:
    """Why the fast path cannot serve this model, or None. The direct path serves every case."""
    if torch.is_grad_enabled():
        return "gradients are on"
    if model.config.patch_size_t is not None or model.config.ofs_embed_dim is not None:
        return "CogVideoX 1.5 is not supported"
    if model.training and model.config.dropout > 0:
        return "dropout is on"
    if model.config.ca_source != "embedding":
        return f"ca_source={model.config.ca_source!r} reads rows that change in every layer"
    if any(hasattr(p, "full_tensor") for p in model.parameters()):
        return "the weights are sharded"
    if any(m._compiled_call_impl is not None for m in (model, *model.transformer_blocks)):
        return "the transformer is compiled"
    for name, module in model.named_modules():
        hooked = ("_hf_hook" in module.__dict__ and module is not model) or has_diffusers_hook(module)
        if hooked or module._forward_hooks or module._forward_pre_hooks:
            return f"a hook is on {name or 'the model'}"
    for index, block in enumerate(model.transformer_blocks):
        if type(block.attn1.processor) is not JointAttnProcessor:
            return f"layer {index} has another attention processor"
        if block.attn1.fused_projections:
            return "fused QKV projections"
        if block.ff.net[0].approximate != "tanh":
            return "another activation than tanh GELU"
    for layer, adapter in model.layer_adapters().items():
        if adapter.can is not None and type(adapter.can.linear_in) is not nn.Linear:
            return f"CAN of layer {layer} is wrapped"
    return None


def tabulated_modules(model: MagicMirrorTransformer3DModel) -> list[nn.Module]:
    """The modules that a loop with tables never reads."""
    modules: list[nn.Module] = [n.linear for b in model.transformer_blocks for n in (b.norm1, b.norm2)]
    return [*modules, model.adapters, *(m for m in (model.face_proj, model.id_proj) if m is not None)]


@contextmanager
def modulation_released(model: MagicMirrorTransformer3DModel) -> Iterator[None]:
    """Keep what the tables replace off the GPU for as long as the block runs.

    These are the Linears of all adaptive norms (1.48 GiB in bf16 at full size) and all adapters (1.96 GiB).
    """
    home = model.device
    modules = tabulated_modules(model)
    try:
        for module in modules:
            module.to("cpu")
        yield
    finally:
        for module in modules:
            module.to(home)
