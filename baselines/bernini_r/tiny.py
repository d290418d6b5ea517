"""Tiny Bernini-R folders, in the layout of ByteDance's two: 9 frames of 32x48."""

from __future__ import annotations

from pathlib import Path

from mmbench.baselines.bernini_r.model import REPOSITORIES
from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.wan.tiny import scheduler, transformer_config, umt5, vae


def make_bernini_r(root: Path) -> None:
    """Write both folders: with one transformer, and with two."""
    from diffusers import WanTransformer3DModel

    for repository in REPOSITORIES.values():
        folder = hub_folder(root, repository.name)
        tokenizer, text_encoder = umt5(folder / "tokenizer")
        tokenizer.save_pretrained(folder / "tokenizer")
        text_encoder.save_pretrained(folder / "text_encoder")
        vae().save_pretrained(folder / "vae")
        scheduler().save_pretrained(folder / "scheduler")
        for name in repository.parts:
            if name.startswith("transformer"):
                WanTransformer3DModel(**transformer_config()).eval().save_pretrained(folder / name)
