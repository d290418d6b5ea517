"""Parameter counts of the published full-size models, built on the meta device: no weights, no memory, seconds.

`Parameters.paper` is comparable with the paper's Table 3 and v2 Table 6; `Parameters.everything` counts what a run
keeps in memory, face towers included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mmbench.baselines.contract import Parameters
from mmbench.baselines.dynamicrafter.layout import Layout
from mmbench.baselines.loading.diffusers_folder import quiet_libraries
from mmbench.baselines.runtime import count_parameters
from mmbench.errors import RequestError

COGVIDEOX_5B: Final[dict[str, Any]] = {
    "num_attention_heads": 48,
    "attention_head_dim": 64,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 42,
    "text_embed_dim": 4096,
    "use_rotary_positional_embeddings": True,
}
IMAGE_TO_VIDEO: Final[dict[str, Any]] = {**COGVIDEOX_5B, "in_channels": 32, "use_learned_positional_embeddings": True}
EASYANIMATE: Final[dict[str, Any]] = {
    "num_attention_heads": 48,
    "attention_head_dim": 64,
    "in_channels": 33,
    "out_channels": 16,
    "patch_size": 2,
    "num_layers": 48,
    "mmdit_layers": 1000,
    "time_embed_dim": 512,
}
WAN_1_3B: Final[dict[str, Any]] = {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}
SD_BLOCKS: Final = (320, 640, 1280, 1280)
LORA_RANK: Final = 128
EVA_CLIP: Final = 304_432_832
"""EVA02-CLIP-L-14-336's image tower, counted in consisid_eva_clip 1.0.2."""


def published_parameters(name: str) -> Parameters:
    """Counts of a model's first published variant. Raises RequestError for a name without them."""
    import torch

    if name not in COUNTERS:
        raise RequestError(f"There are no published counts for {name!r}.", f"Known: {', '.join(COUNTERS)}.")
    with torch.device("meta"), quiet_libraries():
        return COUNTERS[name]()


def report(name: str) -> str:
    """Both conventions in one line: `cogvideox: 10.55 B by the paper's convention, 10.55 B in all`."""
    counts = published_parameters(name)
    return f"{name}: {counts.paper / 1e9:.2f} B by the paper's convention, {counts.everything / 1e9:.2f} B in all"


def t5_xxl() -> int:
    """T5 v1.1 XXL's encoder."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, vocab_size=32128, feed_forward_proj="gated-gelu"
    )
    return count_parameters(T5EncoderModel(config))


def cogvideox_vae() -> int:
    """CogVideoX's 3D autoencoder."""
    from diffusers import AutoencoderKLCogVideoX

    return count_parameters(AutoencoderKLCogVideoX())


def cogvideox() -> Parameters:
    """CogVideoX-5B: 10.5 B in Table 3."""
    from diffusers import CogVideoXTransformer3DModel

    parts = {
        "transformer": count_parameters(CogVideoXTransformer3DModel(**COGVIDEOX_5B)),
        "text_encoder": t5_xxl(),
        "vae": cogvideox_vae(),
    }
    return Parameters(parts, tuple(parts))


def cogvideox_i2v() -> Parameters:
    """CogVideoX-5B-I2V: 10.6 B in v2 Table 6, which counts the learned table of positions."""
    from diffusers import CogVideoXTransformer3DModel

    transformer = CogVideoXTransformer3DModel(**IMAGE_TO_VIDEO)
    parts = {
        "transformer": count_parameters(transformer),
        "text_encoder": t5_xxl(),
        "vae": cogvideox_vae(),
        "position_table": transformer.patch_embed.pos_embedding.numel(),
    }
    return Parameters(parts, tuple(parts))


def consisid() -> Parameters:
    """ConsisID: 11.1 B in v2 Table 6, without the table of positions and the face towers."""
    from diffusers import ConsisIDTransformer3DModel

    transformer = ConsisIDTransformer3DModel(**IMAGE_TO_VIDEO, is_train_face=True)
    parts = {
        "transformer": count_parameters(transformer),
        "text_encoder": t5_xxl(),
        "vae": cogvideox_vae(),
        "position_table": transformer.patch_embed.pos_embedding.numel(),
        "eva_clip": EVA_CLIP,
    }
    return Parameters(parts, ("transformer", "text_encoder", "vae"))


def umt5_xxl() -> int:
    """UMT5 XXL's encoder, Wan's reader of prompts."""
    from transformers import UMT5Config, UMT5EncoderModel

    return count_parameters(
        UMT5EncoderModel(
            UMT5Config(
                d_model=4096,
                d_kv=64,
                d_ff=10240,
                num_layers=24,
                num_heads=64,
                vocab_size=256384,
                feed_forward_proj="gated-gelu",
            )
        )
    )


def lynx() -> Parameters:
    """Lynx, the full model: keys and values of the identity and of the picture's tokens, in every block of Wan 2.1."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    from mmbench.baselines.lynx.adapters import LynxAdapters

    parts = {
        "transformer": count_parameters(WanTransformer3DModel()),
        "adapters": count_parameters(LynxAdapters(40, 5120, registers=0)),
        "text_encoder": umt5_xxl(),
        "vae": count_parameters(AutoencoderKLWan()),
    }
    return Parameters(parts, tuple(parts))


def phantom() -> Parameters:
    """Phantom on Wan 2.1, 1.3B: Wan's own networks, no weight more."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    parts = {
        "transformer": count_parameters(WanTransformer3DModel(**WAN_1_3B)),
        "text_encoder": umt5_xxl(),
        "vae": count_parameters(AutoencoderKLWan()),
    }
    return Parameters(parts, tuple(parts))


def bernini_r() -> Parameters:
    """Bernini-R on Wan 2.1, 1.3B: Wan's own networks, no weight more."""
    return phantom()


def qwen3_vl_32b() -> int:
    """Qwen3-VL 32B with its head, MiniMax-H3's reader of prompt and pictures."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    text = {
        "hidden_size": 5120,
        "intermediate_size": 25600,
        "num_hidden_layers": 64,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
    }
    vision = {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "out_hidden_size": 5120}
    return count_parameters(Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision)))


def minimax_h3() -> Parameters:
    """MiniMax-H3, omni-reference: the networks of diffusers in their published sizes."""
    from diffusers import AutoencoderKLMiniMaxH3, AutoencoderKLMiniMaxH3Audio, MiniMaxH3Transformer3DModel

    parts = {
        "transformer_ref": count_parameters(MiniMaxH3Transformer3DModel()),
        "text_encoder": qwen3_vl_32b(),
        "vae": count_parameters(AutoencoderKLMiniMaxH3()),
        "audio_vae": count_parameters(AutoencoderKLMiniMaxH3Audio()),
    }
    return Parameters(parts, tuple(parts))


def skyreels_v3() -> Parameters:
    """SkyReels-V3, reference to video: Wan 2.1 14B's own networks, no weight more."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    parts = {
        "transformer": count_parameters(WanTransformer3DModel()),
        "text_encoder": umt5_xxl(),
        "vae": count_parameters(AutoencoderKLWan()),
    }
    return Parameters(parts, tuple(parts))


def stand_in() -> Parameters:
    """Stand-In on Wan 2.1, 14B: low-rank adapters beside it, 1 % of the transformer."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    from mmbench.baselines.stand_in.branch import FaceAdapters

    parts = {
        "transformer": count_parameters(WanTransformer3DModel()),
        "adapters": count_parameters(FaceAdapters(40, 5120)),
        "text_encoder": umt5_xxl(),
        "vae": count_parameters(AutoencoderKLWan()),
    }
    return Parameters(parts, tuple(parts))


def vace() -> Parameters:
    """VACE on Wan 2.1, 1.3B: thirty layers, fifteen of them with a control layer beside."""
    from diffusers import AutoencoderKLWan, WanVACETransformer3DModel

    transformer = WanVACETransformer3DModel(**WAN_1_3B, vace_layers=list(range(0, 30, 2)))
    parts = {
        "transformer": count_parameters(transformer),
        "text_encoder": umt5_xxl(),
        "vae": count_parameters(AutoencoderKLWan()),
    }
    return Parameters(parts, tuple(parts))


def image_vae() -> int:
    """The autoencoder of SD 1.5 and DynamiCrafter."""
    from diffusers import AutoencoderKL

    blocks = (128, 256, 512, 512)
    return count_parameters(
        AutoencoderKL(
            block_out_channels=blocks,
            layers_per_block=2,
            latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
    )


def clip_h_vision() -> int:
    """CLIP ViT-H/14's image tower with its projection."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return count_parameters(
        CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=1280,
                intermediate_size=5120,
                num_hidden_layers=32,
                num_attention_heads=16,
                patch_size=14,
                projection_dim=1024,
            )
        )
    )


def id_animator() -> Parameters:
    """ID-Animator: 1.52 B in v2 Table 6, without the face adapter and the image tower; 2.21 B with them."""
    from diffusers import MotionAdapter, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from mmbench.baselines.id_animator.weights import RESAMPLER_LAYERS, cross_attentions
    from mmbench.model.network.perceiver import Perceiver

    unet = UNet2DConditionModel(
        block_out_channels=SD_BLOCKS, layers_per_block=2, cross_attention_dim=768, attention_head_dim=8
    )
    weights = dict(unet.named_parameters())
    widths = [len(weights[f"{path}.to_q.weight"]) for path in cross_attentions(unet).values()]
    lora = sum(LORA_RANK * (2 * width + 2 * (768 + width) + 2 * width) for width in widths)
    resampler = Perceiver(1280, 768, 768, RESAMPLER_LAYERS, head_dim=64, heads=12, num_queries=16)
    text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12))
    parts = {
        "unet": count_parameters(unet),
        "motion_modules": count_parameters(MotionAdapter(block_out_channels=SD_BLOCKS, motion_max_seq_length=32)),
        "text_encoder": count_parameters(text),
        "vae": image_vae(),
        "face_adapter": count_parameters(resampler) + lora + sum(2 * 768 * width for width in widths),
        "image_encoder": clip_h_vision(),
    }
    return Parameters(parts, ("unet", "motion_modules", "text_encoder", "vae"))


def dynamicrafter() -> Parameters:
    """DynamiCrafter 1024; the paper gives no figure."""
    from transformers import CLIPTextConfig, CLIPTextModel

    from mmbench.baselines.dynamicrafter.unet import build_unet
    from mmbench.model.network.perceiver import Perceiver

    layout = Layout()
    text = CLIPTextModel(
        CLIPTextConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16)
    )
    parts = {
        "unet": count_parameters(build_unet(layout, learn_scale=False)),
        "resampler": count_parameters(Perceiver(1280, 1024, 1024, 4, head_dim=64, heads=12, num_queries=256)),
        "text": count_parameters(text),
        "vision": clip_h_vision(),
        "vae": image_vae(),
    }
    return Parameters(parts, tuple(parts))


def easyanimate() -> Parameters:
    """EasyAnimate V5 12B, its transformer and autoencoder; the paper gives no figure."""
    from diffusers import AutoencoderKLMagvit, EasyAnimateTransformer3DModel

    from mmbench.baselines.easyanimate.v5 import MidBlock

    vae: Any = AutoencoderKLMagvit()
    for half in (vae.encoder, vae.decoder):
        half.mid_block = MidBlock(half.mid_block.convs, 512, 32)
    transformer = EasyAnimateTransformer3DModel(
        **EASYANIMATE, add_norm_text_encoder=False, text_embed_dim=1024, text_embed_dim_t5=2048
    )
    parts = {"transformer": count_parameters(transformer), "vae": count_parameters(vae)}
    return Parameters(parts, tuple(parts))


def magic_mirror() -> Parameters:
    """Magic Mirror at full size: 12.8 B in Table 3."""
    from mmbench.model.cost.profile import parameter_rows
    from mmbench.model.network.configs import size_named

    parts = {row.module: row.parameters for row in parameter_rows(size_named("5b"))}
    return Parameters(parts, tuple(parts))


COUNTERS: Final[dict[str, Callable[[], Parameters]]] = {
    "bernini_r": bernini_r,
    "cogvideox": cogvideox,
    "cogvideox_i2v": cogvideox_i2v,
    "consisid": consisid,
    "dynamicrafter": dynamicrafter,
    "easyanimate": easyanimate,
    "id_animator": id_animator,
    "magic_mirror": magic_mirror,
    "lynx": lynx,
    "minimax_h3": minimax_h3,
    "phantom": phantom,
    "skyreels_v3": skyreels_v3,
    "stand_in": stand_in,
    "vace": vace,
}
