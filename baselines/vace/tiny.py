"""A tiny VACE folder, in the layout of Wan-AI/Wan2.1-VACE-1.3B-diffusers: 9 frames of 32x48."""

from __future__ import annotations

from pathlib import Path

from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.vace.model import REPOSITORIES
from mmbench.baselines.wan.tiny import scheduler, transformer_config, umt5, vae


def make_vace(root: Path) -> None:
    """Write the folder; control layers at the first and last of three."""
    from diffusers import WanVACEPipeline, WanVACETransformer3DModel

    folder = hub_folder(root, REPOSITORIES["1.3b"].name)
    tokenizer, text_encoder = umt5(folder / "tokenizer")
    transformer = WanVACETransformer3DModel(**transformer_config(), vace_layers=[0, 2]).eval()
    WanVACEPipeline(tokenizer, text_encoder, vae(), scheduler(), transformer).save_pretrained(folder)
