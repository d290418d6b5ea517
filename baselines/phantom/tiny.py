"""Tiny Phantom: the parts of its base, and a checkpoint under Wan's own names."""

from __future__ import annotations

import json
from pathlib import Path

from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.phantom.model import BASE, TINY
from mmbench.baselines.wan.names import published_names
from mmbench.baselines.wan.tiny import scheduler, transformer_config, umt5, vae


def make_phantom(root: Path) -> None:
    """Write the base's folder, the weights of its transformer left out, a checkpoint and another one in two shards."""
    import torch
    from diffusers import WanPipeline, WanTransformer3DModel
    from safetensors.torch import save_file

    folder = hub_folder(root, BASE.name)
    tokenizer, text_encoder = umt5(folder / "tokenizer")
    transformer = WanTransformer3DModel(**transformer_config()).eval()
    WanPipeline(tokenizer, text_encoder, vae(), scheduler(), transformer).save_pretrained(folder)
    for weights in (folder / "transformer").glob("*.safetensors"):
        weights.unlink()
    torch.save(published_names(transformer.state_dict()), folder / TINY["tiny"])
    large = published_names(WanTransformer3DModel(**transformer_config()).state_dict())
    places = {key: f"phantom-{number % 2 + 1}-of-2.safetensors" for number, key in enumerate(large)}
    for name in set(places.values()):
        save_file({key: value.contiguous() for key, value in large.items() if places[key] == name}, folder / name)
    (folder / TINY["tiny-14b"]).write_text(json.dumps({"weight_map": places}), encoding="utf-8")
