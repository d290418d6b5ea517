"""Tiny Stand-In: a folder in the layout of Wan 2.1's 14B, and adapters under the published names."""

from __future__ import annotations

from pathlib import Path

from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.stand_in.model import REPOSITORIES, TINY, TINY_RANK
from mmbench.baselines.wan.tiny import scheduler, transformer_config, umt5, vae


def make_stand_in(root: Path) -> None:
    """Write the folder and the checkpoint; the adapters are not zero, as if they were trained."""
    import torch
    from diffusers import WanPipeline, WanTransformer3DModel

    from mmbench.baselines.stand_in.branch import FaceAdapters

    folder = hub_folder(root, REPOSITORIES["2.1"].name)
    tokenizer, text_encoder = umt5(folder / "tokenizer")
    config = transformer_config()
    transformer = WanTransformer3DModel(**config).eval()
    WanPipeline(tokenizer, text_encoder, vae(), scheduler(), transformer).save_pretrained(folder)
    width = config["num_attention_heads"] * config["attention_head_dim"]
    torch.save({"state_dict": FaceAdapters(config["num_layers"], width, TINY_RANK).state_dict()}, folder / TINY)
