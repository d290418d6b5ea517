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


@dataclass(frozen=True)
class SmallNumbers:
    """What tells the CPU sizes apart; everything else about them is the same.

    side: of the square frames, in pixels; depth: of both perceivers; codec: the PatchPCA codec's (patch, components);
    map_widths: the stages of a small recogniser that takes CLIP's and ArcFace's place, None with CLIP.
    """

    heads: int
    head_dim: int
    layers: int
    time_dim: int
    text_dim: int
    num_text: int
    num_face: int
    face_dim: int
    depth: int
    side: int
    codec: tuple[int, int]
    patch: int = 2
    map_widths: tuple[int, int, int] | None = None

    def transformer(self) -> dict[str, Any]:
        """Arguments of the transformer."""
        latent_side = self.side // self.codec[0]
        return {
            "num_attention_heads": self.heads,
            "attention_head_dim": self.head_dim,
            "num_layers": self.layers,
            "in_channels": self.codec[1],
            "out_channels": self.codec[1],
            "time_embed_dim": self.time_dim,
            "text_embed_dim": self.text_dim,
            "max_text_seq_length": self.num_text,
            "sample_width": latent_side,
            "sample_height": latent_side,
            "sample_frames": 9,
            "patch_size": self.patch,
            "face_dim": self.face_dim,
            "num_face_tokens": self.num_face,
            "id_proj_dim": self.time_dim,
            "can_hidden_dim": self.time_dim,
        }

    def face_encoder(self) -> dict[str, Any]:
        """Arguments of the face encoder."""
        arguments: dict[str, Any] = {
            "vision_dim": self.face_dim,
            "vision_layers": 2,
            "vision_heads": 2,
            "vision_mlp_dim": 2 * self.face_dim,
            "image_size": 32,
            "patch_size": 8,
            "embedding_dim": 32,
            "face_dim": self.face_dim,
            "head_dim": 16,
            "tau_id_depth": self.depth,
            "tau_face_depth": self.depth,
            "num_face_tokens": self.num_face,
            "text_dim": self.text_dim,
        }
        if self.map_widths is None:
            return arguments
        return arguments | {
            "vision_dim": self.map_widths[-1],
            "map_widths": self.map_widths,
            "image_size": 64,
            "embedding_dim": 64,
            "train_tau_id": True,
            "crop_margin": 1.0,
        }

    def size(self, name: str) -> ModelSize:
        """The size of that name: square clips of nine frames in four steps, with a tiny T5 of one layer."""
        return ModelSize(name, self.side, self.side, 9, 4, self.transformer(), self.face_encoder(), self.codec, (1, 2))


NANO = SmallNumbers(
    heads=6,
    head_dim=32,
    layers=6,
    time_dim=96,
    text_dim=64,
    num_text=16,
    num_face=8,
    face_dim=96,
    depth=2,
    side=64,
    codec=(8, 64),
    patch=1,
    map_widths=(24, 48, 96),
)
SMOKE = SmallNumbers(
    heads=4,
    head_dim=16,
    layers=3,
    time_dim=32,
    text_dim=32,
    num_text=160,
    num_face=4,
    face_dim=32,
    depth=1,
    side=32,
    codec=(8, 16),
)

SIZES: dict[str, ModelSize] = {
    "5b": ModelSize("5b", 480, 720, 49, 50),
    "nano": NANO.size("nano"),
    "smoke": SMOKE.size("smoke"),
}


def size_named(name: str) -> ModelSize:
    """The size of that name; RequestError names the known ones."""
    if name not in SIZES:
        raise RequestError(f"No model size is called '{name}'.", f"Use one of: {', '.join(SIZES)}.")
    return SIZES[name]
