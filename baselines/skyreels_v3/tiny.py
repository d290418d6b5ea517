"""A tiny SkyReels-V3 folder, in the layout of Skywork/SkyReels-V3-R2V-14B: 9 frames of 32x48."""

from __future__ import annotations

import json
from pathlib import Path

from mmbench.baselines.loading.tiny import hub_folder
from mmbench.baselines.skyreels_v3.model import REPOSITORY
from mmbench.baselines.wan.tiny import scheduler, transformer_config, umt5, vae

CLASS = "SkyReelsA2WanI2v3DModel"
"""What the published folder calls its transformer, whose keys are those of diffusers' Wan."""


def make_skyreels_v3(root: Path) -> None:
    """Write the folder; index and configuration name the transformer as the published ones do."""
    from diffusers import WanPipeline, WanTransformer3DModel

    folder = hub_folder(root, REPOSITORY.name)
    tokenizer, text_encoder = umt5(folder / "tokenizer")
    transformer = WanTransformer3DModel(**transformer_config()).eval()
    WanPipeline(tokenizer, text_encoder, vae(), scheduler(), transformer).save_pretrained(folder)
    for path, name in ((folder / "model_index.json", "transformer"), (folder / "transformer" / "config.json", None)):
        said = json.loads(path.read_text(encoding="utf-8"))
        if name:
            said[name] = ["skyreels_v3.modules.reference_to_video.transformer", CLASS]
        else:
            said["_class_name"] = CLASS
        path.write_text(json.dumps(said), encoding="utf-8")
