"""Tiny weights made once a session, and each tiny model loaded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Qwen3VLProcessor

from mmbench.baselines.contract import Baseline, FirstFrame, Request
from mmbench.baselines.loading.tiny import MAKERS, make_tiny
from mmbench.baselines.registry import create, create_first_frame
from mmbench.errors import MissingDependency

torch.set_num_threads(1)

TinyFolder = Callable[[str], Path]
Loader = Callable[[str, str], Baseline]


def picture(seed: int, width: int = 96, height: int = 80) -> Image.Image:
    """A smooth random RGB picture."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> TinyFolder:
    """The tiny weights folder of a model, made on first use."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = make_tiny(tmp_path_factory.mktemp(name), name)
        return made[name]

    return get


@pytest.fixture(scope="session")
def loaded(tiny_folder: TinyFolder) -> Loader:
    """A loaded tiny model. Tests must not change it."""
    models: dict[tuple[str, str], Baseline] = {}

    def get(name: str, variant: str) -> Baseline:
        if (name, variant) not in models:
            model = create(name)
            folder = tiny_folder(name) if name in MAKERS else Path()  # Magic Mirror makes its small weights itself
            try:
                model.load("cpu", "auto", variant, folder)
            except MissingDependency as lacking:
                if name != "minimax_h3" or hasattr(Qwen3VLProcessor, "create_mm_token_type_ids"):
                    raise
                pytest.skip(str(lacking))  # it alone needs a newer transformers than mmbench does
            models[name, variant] = model
        return models[name, variant]

    return get


@pytest.fixture(scope="session")
def first_frames(tiny_folder: TinyFolder) -> FirstFrame:
    """The loaded tiny first-frame maker."""
    maker = create_first_frame()
    maker.load("cpu", "auto", "tiny", tiny_folder("photomaker_v2"))
    return maker


@pytest.fixture(scope="session")
def request_for() -> Callable[..., Request]:
    """A request that any model can serve; pictures differ by their seeds."""

    def make(seed: int = 3, reference: int = 1, first: int = 2, **changes: object) -> Request:
        base = Request(
            prompt="A young woman img smiles at the sea, in warm light",
            short_prompt="a young woman img smiles",
            class_word="woman",
            seed=seed,
            references=(picture(reference), picture(reference + 100)),
            first_frame=picture(first),
        )
        return replace(base, **changes)

    return make
