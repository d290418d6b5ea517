"""The regenerated cost table (paper Table 3): parameters per module and FLOPs per step, on the meta device.

No weights are needed and no memory is used. Seconds and memory on a GPU: `mmbench.model.cost.steps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.errors import require_extra
from mmbench.model.network.configs import ModelSize, size_named
from mmbench.model.network.face_embeds import FaceEmbeds


@dataclass(frozen=True)
class ParameterRow:
    """One module: how many parameters, whether Magic Mirror trains them, and whether the base has them too."""

    module: str
    parameters: int
    trained: bool
    base: bool


@dataclass(frozen=True)
class FlopsRow:
    """Floating-point operations of one forward pass of one sample (a multiply-add counts two)."""

    what: str
    base: int
    magic_mirror: int

    @property
    def ratio(self) -> float:
        """Magic Mirror over base."""
        return self.magic_mirror / self.base


@dataclass(frozen=True)
class ResidentRow:
    """Bytes of weights and tables that the denoising loop keeps on the device in bf16; no activations."""

    what: str
    weights: int
    tables: int


@dataclass(frozen=True)
class CostTable:
    """Parameters, FLOPs and resident bytes of one model size."""

    size: str
    parameters: tuple[ParameterRow, ...]
    flops: tuple[FlopsRow, ...]
    resident: tuple[ResidentRow, ...]

    @property
    def base_parameters(self) -> int:
        """Transformer, text encoder and VAE of the base."""
        return sum(row.parameters for row in self.parameters if row.base)

    @property
    def total_parameters(self) -> int:
        """The base and everything that Magic Mirror adds. The face recogniser runs outside and is not
        counted."""
        return sum(row.parameters for row in self.parameters)


def cost_table(size: str = "5b") -> CostTable:
    """Count parameters and FLOPs of a model size ("5b", "nano", "smoke")."""
    require_extra("generate")
    chosen = size_named(size)
    return CostTable(size, parameter_rows(chosen), flops_rows(chosen), resident_rows(chosen))


def parameter_rows(size: ModelSize) -> tuple[ParameterRow, ...]:
    """Parameters of every module. The learned null rows (98,304 at full size) are in the row "null face
    rows"."""
    from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
    from mmbench.model.network.transformer import ADAPTER_PREFIXES, MagicMirrorTransformer3DModel

    with torch.device("meta"):
        transformer = MagicMirrorTransformer3DModel(**size.transformer)
        face = MagicMirrorFaceEncoder(**size.face_encoder)
    text_encoder, vae = base_text_and_vae(size)
    added = sum(p.numel() for k, p in transformer.named_parameters() if k.startswith(ADAPTER_PREFIXES))
    adapters = list(transformer.layer_adapters().values())
    rows = [
        ParameterRow("CogVideoX transformer", count(transformer) - added, False, True),
        ParameterRow("T5 encoder", count(text_encoder), False, True),
        ParameterRow("VAE", count(vae), False, True),
        ParameterRow("CLIP vision tower", count(face.vision), False, False),
        ParameterRow("tau_id", count(face.tau_id), False, False),
        ParameterRow("tau_face", count(face.tau_face), True, False),
        ParameterRow("fusion MLP", count(face.fusion), True, False),
        ParameterRow("face projection", count(transformer.face_proj), True, False),
        ParameterRow("CAN global projection", count(transformer.id_proj), True, False),
        ParameterRow("W_k2, W_v2, K-norm", sum(count(a.kv) for a in adapters), True, False),
        ParameterRow("phi_face", sum(count(a.phi_face) for a in adapters), True, False),
        ParameterRow("CAN", sum(count(a.can) for a in adapters), True, False),
    ]
    if transformer.null_face is not None:
        rows.append(ParameterRow("null face rows", transformer.null_face.numel(), True, False))
    return tuple(rows)


def base_text_and_vae(size: ModelSize) -> tuple[nn.Module, nn.Module]:
    """The base's text encoder and VAE on the meta device."""
    from mmbench.model.small.codec import PatchPCACodec

    with torch.device("meta"):
        if size.codec is None or size.text_layers_heads is None:
            from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
            from transformers import T5Config, T5EncoderModel

            t5 = T5Config(
                vocab_size=32128,
                d_model=4096,
                d_kv=64,
                d_ff=10240,
                num_layers=24,
                num_heads=64,
                feed_forward_proj="gated-gelu",
                tie_word_embeddings=False,
            )
            return T5EncoderModel(t5), AutoencoderKLCogVideoX(**COGVIDEOX_VAE)
        from mmbench.model.small.nano import tiny_text_encoder

        return tiny_text_encoder(size), PatchPCACodec(*size.codec)


COGVIDEOX_VAE = {"latent_channels": 16, "sample_height": 480, "sample_width": 720, "scaling_factor": 0.7}
"""What CogVideoX-5B's VAE sets; the class's defaults are the rest."""


def flops_rows(size: ModelSize) -> tuple[FlopsRow, ...]:
    """One forward pass of a clip and of one frame, direct path, batch 1."""
    frames = sorted({size.frames, 1}, reverse=True)
    return tuple(
        FlopsRow(f"{n} frame{'s' if n > 1 else ''} {size.height}x{size.width}", *forward_flops(size, n)) for n in frames
    )


def forward_flops(size: ModelSize, num_frames: int) -> tuple[int, int]:
    """FLOPs of one forward pass without and with the identity, batch 1, measured by PyTorch's counter."""
    from torch.utils.flop_counter import FlopCounterMode

    from mmbench.model.network.transformer import MagicMirrorTransformer3DModel

    counts = []
    with torch.device("meta"):
        model = MagicMirrorTransformer3DModel(**size.transformer).eval()
        latents, text, timestep, rotary, face = meta_inputs(model, size, num_frames)
        for identity in (None, face):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                model(latents, text, timestep, image_rotary_emb=rotary, face=identity)
            counts.append(counter.get_total_flops())
    return counts[0], counts[1]


def resident_rows(size: ModelSize) -> tuple[ResidentRow, ...]:
    """What stays on the device during a guided loop of the size's steps with one identity, counted on meta.

    "released" rows are without the weights that the tables replace (`fast.modulation_released`).
    """
    from mmbench.model.fast.forward import tabulated_modules
    from mmbench.model.fast.tables import tabulate_schedule, tabulate_video
    from mmbench.model.network.transformer import ADAPTER_PREFIXES, MagicMirrorTransformer3DModel

    with torch.device("meta"):
        model = MagicMirrorTransformer3DModel(**size.transformer).eval()
        face = meta_inputs(model, size, 1)[-1]
        schedule = tabulate_schedule(model, tuple(range(size.steps)))
        video = tabulate_video(model, schedule, face, copies=2)
    every = count(model)
    added = sum(p.numel() for k, p in model.named_parameters() if k.startswith(ADAPTER_PREFIXES))
    released = every - sum(count(module) for module in tabulated_modules(model))
    null_rows = 0 if model.null_face is None else model.null_face.numel()
    base_tables = schedule.base.numel() + schedule.out.numel()
    tables = base_tables + sum(t.numel() for t in (*schedule.face.values(), *schedule.can_time.values()))
    tables += sum(t.numel() for t in video.can.values())
    tables += sum(t.numel() for pair in video.key_value.values() for t in pair)
    tables += 0 if video.rows is None else video.rows.numel()
    return (
        ResidentRow("stock base", 2 * (every - added), 0),
        ResidentRow("optimised base, released", 2 * (released - null_rows), 2 * base_tables),
        ResidentRow("Magic Mirror, released", 2 * released, 2 * tables),
        ResidentRow("Magic Mirror, not released", 2 * every, 2 * tables),
        ResidentRow("Magic Mirror, direct path", 2 * every, 0),
    )


def meta_inputs(
    model: Any, size: ModelSize, num_frames: int
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor], FaceEmbeds]:
    """Empty inputs of the right shapes on the default device: latents, text, timestep, rotary, face."""
    config = model.config
    spatial = 8 if size.codec is None else size.codec[0]
    grid = ((num_frames - 1) // 4 + 1, size.height // spatial, size.width // spatial)
    latents = torch.empty(1, grid[0], config.in_channels, grid[1], grid[2])
    text = torch.empty(1, config.max_text_seq_length, config.text_embed_dim)
    tokens = grid[0] * (grid[1] // config.patch_size) * (grid[2] // config.patch_size)
    rotary = (torch.empty(tokens, config.attention_head_dim), torch.empty(tokens, config.attention_head_dim))
    face = FaceEmbeds(
        torch.empty(1, config.num_id_tokens, config.face_dim),
        torch.empty(1, config.num_face_tokens, config.face_dim),
    )
    return latents, text, torch.empty(1), rotary, face


def count(module: nn.Module | None) -> int:
    """Parameters of a module; 0 for a part that is switched off."""
    return 0 if module is None else sum(p.numel() for p in module.parameters())
