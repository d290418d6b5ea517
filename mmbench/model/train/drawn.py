"""A world to try training in without any data: drawn people as shards and texts, and settings of seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbench.face.stand_in import CentreFaces
from mmbench.model.network.configs import size_named
from mmbench.model.small.nano import drawn_clips, fitted_codec
from mmbench.model.train.record import Reference, TrainingRecord
from mmbench.model.train.settings import TrainSettings
from mmbench.model.train.shards import write_shard
from mmbench.model.train.text_store import TextStore, text_key

CAPTION = "a woman is smiling"


def make_world(folder: Path, size: str = "smoke", people: int = 4, frames: int = 9, text_rows: int = 16) -> Path:
    """`clips`, `images` and `texts` of drawn people in a folder; texts are fixed random rows."""
    chosen = size_named(size)
    codec = fitted_codec(chosen)
    clips = drawn_clips(people, frames, chosen.height, seed=7)
    analyser = CentreFaces(chosen.face_encoder["embedding_dim"])
    width = chosen.transformer["text_embed_dim"]
    store = TextStore(folder / "texts")
    key = text_key(CAPTION, "drawn", text_rows)
    draw = torch.Generator().manual_seed(3)
    store.put(key, torch.randn(text_rows, width, generator=draw))
    store.put_empty(torch.randn(text_rows, width, generator=draw))
    records: dict[str, list[TrainingRecord]] = {"clips": [], "images": []}
    for index, clip in enumerate(clips):
        picture = ((clip[:, 0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        rgb = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
        face = analyser.find(rgb)[0]
        box = (float(face.box[0]), float(face.box[1]), float(face.box[2]), float(face.box[3]))
        reference = Reference(torch.from_numpy(analyser.embed(rgb, face)), picture, box)
        for name, part in (("clips", clip), ("images", clip[:, :1])):
            count, side = part.shape[1], chosen.height
            latents = codec.encode(part[None]).latent_dist.mode()[0].permute(1, 0, 2, 3)
            five = torch.from_numpy(face.points).float()
            records[name].append(
                TrainingRecord(
                    key=f"{name}-{index}",
                    source="rendered",
                    identity=f"p{index}",
                    caption=CAPTION,
                    text=key,
                    word_positions=(1,),
                    latents=latents.contiguous(),
                    height=side,
                    width=side,
                    boxes=torch.tensor(box).repeat(count, 1),
                    points=five.repeat(count, 1, 1),
                    references=(reference,),
                )
            )
    for name, held in records.items():
        write_shard(folder / name / "000000.tar", held)
    return folder


class Thumbnail(nn.Module):
    """A recogniser of drawn people: a fixed random projection of a 16 x 16 thumbnail, as the small sizes' stand-in.

    RGB cuts [n, 3, 112, 112] in [-1, 1] to vectors [n, width].
    """

    side = 112

    mix: Tensor

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        mix = np.random.default_rng(0).standard_normal((16 * 16 * 3, width)).astype(np.float32)
        self.register_buffer("mix", torch.from_numpy(mix))

    def forward(self, cuts: Tensor) -> Tensor:
        """Vectors [n, width], not normalised."""
        small = F.adaptive_avg_pool2d((cuts + 1) / 2, 16).permute(0, 2, 3, 1).flatten(1)
        out: Tensor = (small - small.mean(dim=1, keepdim=True)) @ self.mix
        return out


def thumbnail_recogniser() -> Thumbnail:
    """What `loss.identity.recogniser` names in a drawn world."""
    return Thumbnail()


def drawn_settings(**changes: Any) -> TrainSettings:
    """Settings of a smoke-sized run in a world: ten steps of two clips; mappings are merged in."""
    held: dict[str, Any] = {
        "model": {"size": "smoke", "dtype": "fp32"},
        "stages": [
            {"name": "clips", "data": [{"shards": ["clips"]}], "steps": 10, "batch": 2, "lr": 1e-3, "decay": "constant"}
        ],
        "machine": {"micro_batch": 2, "checkpointing": False},
        "keep": {"every": 5},
    }
    for name, value in changes.items():
        held[name] = {**held.get(name, {}), **value} if isinstance(value, dict) else value
    return TrainSettings.model_validate(held)
