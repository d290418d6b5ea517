"""The sizes: full ("5b", on CogVideoX-5B) and the CPU sizes "nano" and "smoke" of the same classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mmbench.errors import RequestError


@dataclass(frozen=True)
class ModelSize:
    """Constructor arguments of every part, and the default clip.

    transformer and face_encoder hold what differs from the classes' defaults. codec is the PatchPCA codec's
    (patch, components) or None for CogVideoX's VAE; text_layers_heads the tiny T5's (layers, heads) or None for
    T5-XXL; height, width, frames of the default clip.
    """

    name: str
    height: int
    width: int
    frames: int
    steps: int
    transformer: dict[str, Any] = field(default_factory=dict)
    face_encoder: dict[str, Any] = field(default_factory=dict)
    codec: tuple[int, int] | None = None
    text_layers_heads: tuple[int, int] | None = None


def _small(
    name: str,
    heads: int,
    head_dim: int,
    layers: int,
    time_dim: int,
    text_dim: int,
    num_text: int,
    num_face: int,
    face_dim: int,
    depth: int,
    side: int,
    codec: tuple[int, int],
    patch: int = 2,
    map_widths: tuple[int, int, int] | None = None,
) -> ModelSize:
    latent_side = side // codec[0]
    transformer = {
        "num_attention_heads": heads,
        "attention_head_dim": head_dim,
        "num_layers": layers,
        "in_channels": codec[1],
        "out_channels": codec[1],
        "time_embed_dim": time_dim,
        "text_embed_dim": text_dim,
        "max_text_seq_length": num_text,
        "sample_width": latent_side,
        "sample_height": latent_side,
        "sample_frames": 9,
        "patch_size": patch,
        "face_dim": face_dim,
        "num_face_tokens": num_face,
        "id_proj_dim": time_dim,
        "can_hidden_dim": time_dim,
    }
    face_encoder = {
        "vision_dim": face_dim,
        "vision_layers": 2,
        "vision_heads": 2,
        "vision_mlp_dim": 2 * face_dim,
        "image_size": 32,
        "patch_size": 8,
        "embedding_dim": 32,
        "face_dim": face_dim,
        "head_dim": 16,
        "tau_id_depth": depth,
        "tau_face_depth": depth,
        "num_face_tokens": num_face,
        "text_dim": text_dim,
    }
    if map_widths is not None:  # a small recogniser's map and vector instead of CLIP and ArcFace
        face_encoder |= {
            "vision_dim": map_widths[-1],
            "map_widths": map_widths,
            "image_size": 64,
            "embedding_dim": 64,
            "train_tau_id": True,
            "crop_margin": 1.0,
        }
    return ModelSize(name, side, side, 9, 4, transformer, face_encoder, codec, (1, 2))


SIZES: dict[str, ModelSize] = {
    "5b": ModelSize("5b", 480, 720, 49, 50),
    "nano": _small("nano", 6, 32, 6, 96, 64, 16, 8, 96, 2, 64, (8, 64), 1, (24, 48, 96)),
    "smoke": _small("smoke", 4, 16, 3, 32, 32, 160, 4, 32, 1, 32, (8, 16)),
}


def size_named(name: str) -> ModelSize:
    """The size of that name; RequestError names the known ones."""
    if name not in SIZES:
        raise RequestError(f"No model size is called '{name}'.", f"Use one of: {', '.join(SIZES)}.")
    return SIZES[name]
