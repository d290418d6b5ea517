"""Tiny Lynx: a folder in the layout of Wan 2.1's 14B, and adapters under the published names."""

from __future__ import annotations

from pathlib import Path

from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.lynx.model import BASE, TINY
from mmbench.baselines.wan.tiny import scheduler, transformer_config, umt5, vae


def make_lynx(root: Path) -> None:
    """Write the folder and the three files; two registers a block."""
    from diffusers import WanPipeline, WanTransformer3DModel
    from safetensors.torch import save_file

    from mmbench.baselines.lynx.adapters import LynxAdapters
    from mmbench.model.network.perceiver import resampler_keys

    folder = hub_folder(root, BASE.name)
    tokenizer, text_encoder = umt5(folder / "tokenizer")
    config = transformer_config()
    transformer = WanTransformer3DModel(**config).eval()
    WanPipeline(tokenizer, text_encoder, vae(), scheduler(), transformer).save_pretrained(folder)
    width = config["num_attention_heads"] * config["attention_head_dim"]
    adapters = LynxAdapters(config["num_layers"], width, registers=2, depth=1, inner=16)
    own = {ours: theirs for theirs, ours in resampler_keys(1, learned_queries=True).items()}
    resampler = {own[name]: value for name, value in adapters.resampler.state_dict().items()}
    parts = (resampler, adapters.identity.state_dict(), adapters.reference.state_dict())
    for name, state in zip(TINY, parts, strict=True):
        save_file({key: value.contiguous() for key, value in state.items()}, folder / name)
