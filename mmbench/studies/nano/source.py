"""The nano world as a source of training batches: drawn, encoded and described on the device, never stored.

A picture is another one each time it is seen (wall, mirror image, gain), so records on disk would be the smaller world.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Generator, Tensor

from mmbench.model.network.configs import size_named
from mmbench.model.network.map_tower import load_tower
from mmbench.model.pipeline.prompt import identity_mask, parse_prompt
from mmbench.model.small.codec import PatchPCACodec
from mmbench.model.small.nano import offline_tokenizer
from mmbench.model.small.trained import nano_text_encoder
from mmbench.model.train.batch import NO_ROW, Batch, SampleOptions
from mmbench.model.train.loss.drops import draw_drops
from mmbench.model.train.loss.face_mask import over_time
from mmbench.model.train.record import MAX_WORD_ROWS
from mmbench.studies.nano.pictures import CAPTIONS, Drawn, Look, WorldPictures, caption_of
from mmbench.synth.world.people import SIZE, Split
from mmbench.synth.world.store import World, load_world

CELL = 8
"""Pixels of a latent cell's side."""


class WorldSource:
    """Batches of pictures or clips of a split. One call, one batch; equal generators give equal batches
    on one kind of device.

    `world`: folder of `mmbench nano world`; `codec`: folder of the codec; `tower`: the vision tower's file over the
    conditioning recogniser, None where nothing is conditioned (a base alone); `look`: what training clips look like.
    """

    def __init__(
        self,
        device: torch.device,
        world: Path,
        kind: Literal["images", "clips"],
        codec: Path,
        tower: Path | None = None,
        split: Split = "train",
        people: int | None = None,
        look: Look = "natural",
    ) -> None:
        self.device, self.kind, self.look = device, kind, look
        self.pictures = WorldPictures(_people(world, split, people), device)
        self.codec = PatchPCACodec.from_pretrained(str(codec)).eval().to(device)
        self.tower = None if tower is None else load_tower(tower).to(device)
        self.texts, self.rows = text_table()
        self.texts = self.texts.to(device)

    def batch(self, draw: Generator, count: int, options: SampleOptions) -> Batch:
        """A batch of `count` samples, on the device."""
        self.pictures.generator = draw
        with torch.no_grad():
            drawn = self.pictures.images(count) if self.kind == "images" else self.pictures.clips(count)
            drawn = self.pictures.looking(drawn, self.look)
            latents = self.codec.encode(drawn.frames).latent_dist.mode().permute(0, 2, 1, 3, 4)
            vectors, features = self._references(drawn, options.references)
        keep_identity, keep_text = draw_drops(options.drops, draw, count)
        rows = torch.where(keep_text[:, None], self.rows[drawn.captions], NO_ROW)
        number = torch.where(keep_text, drawn.captions, CAPTIONS).to(self.device)
        return Batch(
            latents=latents.contiguous(),
            noise=torch.randn(latents.shape, generator=self._noise(draw), device=self.device),
            timestep=torch.randint(options.num_timesteps, (count,), generator=draw).to(self.device),
            text=self.texts[number],
            word_positions=rows.to(self.device),
            id_vectors=vectors,
            ref_valid=torch.ones(vectors.shape[:2], dtype=torch.bool, device=self.device),
            pixels=None,
            features=features,
            keep_identity=keep_identity.to(self.device),
            keep_text=keep_text.to(self.device),
            face_only=(torch.rand(count, generator=draw) < options.face_share).to(self.device),
            face_cells=face_cells(drawn.five).to(self.device),
            points=drawn.five[:, 0].to(self.device),
        )

    def _noise(self, draw: Generator) -> Generator:
        """A generator on the device: noise drawn on the processor would take longer than the step."""
        seed = int(torch.randint(1 << 62, (), generator=draw))
        return torch.Generator(self.device).manual_seed(seed)

    def _references(self, drawn: Drawn, most: int) -> tuple[Tensor, Tensor]:
        """Vectors [B, n, E] and features [B, n, 2, 1 + P, C] of n = 1 to `most` other pictures of each person."""
        batch = len(drawn.people)
        if self.tower is None:
            nothing = torch.zeros(batch, 1, 1, device=self.device)
            return nothing, nothing[..., None, None].expand(-1, -1, 2, 1, -1)
        count = int(torch.randint(1, most + 1, (), generator=self.pictures.generator))
        shown = self.pictures.references(drawn, count).flatten(0, 1)
        vectors, tokens = self.tower.recogniser(shown), self.tower.tokens(shown)
        both = tokens[:, None].expand(-1, 2, -1, -1)
        return vectors.unflatten(0, (batch, count)), both.unflatten(0, (batch, count))


def world_source(
    folder: Path,
    device: torch.device,
    *,
    world: str,
    kind: Literal["images", "clips"],
    codec: str,
    tower: str | None = None,
    people: int | None = None,
    look: Look = "natural",
) -> WorldSource:
    """A `WorldSource` as training settings name it; paths are relative to `folder`."""
    if kind not in ("images", "clips"):
        raise ValueError(f"kind is 'images' or 'clips', not {kind!r}")
    if look not in get_args(Look):
        raise ValueError(f"look is one of {', '.join(get_args(Look))}, not {look!r}")
    eyes = None if tower is None else folder / tower
    return WorldSource(device, folder / world, kind, folder / codec, eyes, people=people, look=look)


def _people(world: Path, split: Split, people: int | None) -> World:
    """The people of a split; the sources of one stage show the same ones, which lie in memory once."""
    files = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(world.glob("*.npz")))
    return _people_of(world, split, people, files)


@lru_cache(maxsize=1)
def _people_of(world: Path, split: Split, people: int | None, files: tuple[tuple[str, int, int], ...]) -> World:
    return load_world(world, split, people)


def text_table() -> tuple[Tensor, Tensor]:
    """States of every caption and, last, of the empty text: float32 [CAPTIONS + 1, N_t, D].

    With them the rows of each one's identity word, int64 [CAPTIONS + 1, 4], padded with -1.
    """
    chosen = size_named("nano")
    encoder = nano_text_encoder()
    tokenizer: Any = offline_tokenizer(chosen)
    length = chosen.transformer["max_text_seq_length"]
    parsed = [parse_prompt(caption_of(number).text) for number in range(CAPTIONS)]
    texts = [prompt.text for prompt in parsed] + [""]
    tokens = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    with torch.no_grad():
        states = torch.cat([encoder(part)[0] for part in tokens["input_ids"].split(256)])
    rows = torch.full((CAPTIONS + 1, MAX_WORD_ROWS), NO_ROW)
    for number, prompt in enumerate(parsed):
        places = identity_mask(tokenizer, prompt, length).nonzero()[:, 0]
        rows[number, : len(places)] = places
    return states.float(), rows


def face_cells(five: Tensor) -> Tensor:
    """Latent cells of the face, bool [B, T', 8, 8], from points [B, T, 5, 2].

    A disc about their middle whose radius is 1.7 times the distance from the eyes' middle to the mouth's.
    """
    middle = five.mean(dim=2)
    radius = 1.7 * (five[:, :, :2].mean(dim=2) - five[:, :, 3:].mean(dim=2)).norm(dim=-1)
    centre = torch.arange(SIZE // CELL) * CELL + CELL / 2
    dx = centre - middle[..., 0, None]
    dy = centre - middle[..., 1, None]
    inside = (dx[:, :, None] ** 2 + dy[..., None] ** 2).sqrt() < radius[..., None, None] + CELL / 3
    return over_time(inside.transpose(0, 1)).transpose(0, 1)
