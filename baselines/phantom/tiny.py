"""Tiny Phantom: the parts of its base, and a checkpoint under Wan's own names."""

from __future__ import annotations

from pathlib import Path

from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.phantom.model import BASE, TINY
from mmbench.baselines.wan.names import published_names
from mmbench.baselines.wan.tiny import scheduler, transformer_config, umt5, vae


def make_phantom(root: Path) -> None:
    """Write the base's folder, the weights of its transformer left out, and the checkpoint."""
    import torch
    from diffusers import WanPipeline, WanTransformer3DModel

    folder = hub_folder(root, BASE.name)
    tokenizer, text_encoder = umt5(folder / "tokenizer")
    transformer = WanTransformer3DModel(**transformer_config()).eval()
    WanPipeline(tokenizer, text_encoder, vae(), scheduler(), transformer).save_pretrained(folder)
    for weights in (folder / "transformer").glob("*.safetensors"):
        weights.unlink()
    torch.save(published_names(transformer.state_dict()), folder / TINY)
