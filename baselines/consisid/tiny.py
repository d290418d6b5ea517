"""A tiny ConsisID folder: the tiny CogVideoX-I2V with the face branches."""

from __future__ import annotations

from pathlib import Path

from mmbench.baselines.cogvideox.tiny import ddim, t5, transformer_config, vae
from mmbench.baselines.consisid.model import ConsisID
from mmbench.baselines.loading.tiny import hub_folder


def make_consisid(root: Path) -> None:
    """The folder of BestWishYsh/ConsisID-preview, without `face_encoder/`: tiny runs read faces by a stand-in."""
    from diffusers import ConsisIDPipeline, ConsisIDTransformer3DModel

    folder = hub_folder(root, ConsisID.repo)
    tokenizer, text_encoder = t5(folder / "tokenizer")
    transformer = ConsisIDTransformer3DModel(
        **transformer_config(8, learned_positions=True),
        is_train_face=True,
        cross_attn_interval=1,
        cross_attn_dim_head=8,
        cross_attn_num_heads=2,
        LFE_id_dim=24,
        LFE_vit_dim=16,
        LFE_depth=5,
        LFE_dim_head=8,
        LFE_num_heads=2,
        LFE_num_id_token=2,
        LFE_num_querie=4,
        LFE_output_dim=42,  # diffusers fixes this at two thirds of the transformer's width
        LFE_ff_mult=1,
        LFE_num_scale=5,
    ).eval()
    ConsisIDPipeline(tokenizer, text_encoder, vae(), transformer, ddim()).save_pretrained(folder)
