"""ID-Animator's published files into diffusers' AnimateDiff pipeline: image layers, motion module, face adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from mmbench.baselines.loading.checkpoint import (
    compare_keys,
    drop,
    drop_schedule,
    read_tensors,
    refuse_lost,
    refuse_rest,
    take,
    tensors_only,
)
from mmbench.baselines.loading.diffusers_folder import read_config
from mmbench.baselines.loading.lora import Half, merge
from mmbench.errors import WeightsError
from mmbench.model.network.perceiver import resampler_keys
from mmbench.weights import load_strict

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from mmbench.baselines.loading.checkpoint import State

RESAMPLER_LAYERS = 4
LORA_PARTS = ("q", "k", "v", "out")
UNUSED_IN_SINGLE_FILE = ("model_ema.", "cond_stage_model.transformer.text_model.embeddings.position_ids")
"""What SD 1.5 single files may carry beside the three networks."""


def build_pipeline(sd: Path, image_layers: Path, motion: Path, adapter: Path) -> Any:
    """The pipeline in float32 on the CPU. Raises WeightsError for a key that is missing or left over."""
    from diffusers import AnimateDiffPipeline, DDIMScheduler
    from transformers import CLIPTokenizer

    state = tensors_only(read_tensors(image_layers), image_layers)
    drop(state, UNUSED_IN_SINGLE_FILE)
    unet = read_unet(take(state, "model.diffusion_model."), sd / "unet", image_layers)
    vae = read_vae(take(state, "first_stage_model."), sd / "vae", image_layers)
    text = read_text(take(state, "cond_stage_model.transformer."), sd / "text_encoder", image_layers)
    drop_schedule(state)
    refuse_rest(state, image_layers)
    pipe = AnimateDiffPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=CLIPTokenizer.from_pretrained(sd / "tokenizer", local_files_only=True),
        unet=unet,
        motion_adapter=read_motion(motion, unet),
        # DDIM's betas are linear here, although SD 1.5 was trained with the square-root ("scaled") schedule.
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="linear", steps_offset=1, clip_sample=False
        ),
    )
    load_face_adapter(pipe, adapter)
    return pipe


def read_unet(state: State, folder: Path, source: Path) -> UNet2DConditionModel:
    """SD 1.5's UNet from LDM keys (without `model.diffusion_model.`)."""
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    unet = UNet2DConditionModel.from_config(read_config(folder / "config.json"))
    named = {f"model.diffusion_model.{key}": value for key, value in state.items()}
    converted = convert_ldm_unet_checkpoint(dict(named), dict(unet.config))
    refuse_lost(named, converted, source)
    load_strict(unet, converted, str(source))
    return unet.eval()


def read_vae(state: State, folder: Path, source: Path) -> nn.Module:
    """The autoencoder from LDM keys (without `first_stage_model.`)."""
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    vae: Any = AutoencoderKL.from_config(read_config(folder / "config.json"))
    named = {f"first_stage_model.{key}": value for key, value in state.items()}
    converted = convert_ldm_vae_checkpoint(dict(named), dict(vae.config))
    refuse_lost(named, converted, source)
    load_strict(vae, converted, str(source))
    found: nn.Module = vae.eval()
    return found


def read_text(state: State, folder: Path, source: Path) -> nn.Module:
    """CLIP's text tower; newer transformers dropped the `text_model.` level of the file's keys."""
    from transformers import CLIPTextConfig, CLIPTextModel

    text: nn.Module = CLIPTextModel(CLIPTextConfig(**read_config(folder / "config.json")))
    state = {key: value for key, value in state.items() if not key.endswith("position_ids")}
    if not hasattr(text, "text_model"):
        state = {key.removeprefix("text_model."): value for key, value in state.items()}
    own = {key: value for key, value in text.state_dict().items() if key.endswith("position_ids")}
    load_strict(text, {**own, **state}, str(source))
    return text.eval()


def read_motion(path: Path, unet: UNet2DConditionModel) -> nn.Module:
    """AnimateDiff v2's motion module: in every block and the middle one, 32 frame positions, 8 heads, 32 groups."""
    from diffusers import MotionAdapter
    from diffusers.loaders.single_file_utils import convert_animatediff_checkpoint_to_diffusers

    adapter: nn.Module = MotionAdapter(
        block_out_channels=unet.config.block_out_channels,
        motion_layers_per_block=unet.config.layers_per_block,
        motion_max_seq_length=32,
        motion_norm_num_groups=32,
        motion_num_attention_heads=8,
        use_motion_mid_block=True,
    )
    state = unwrap(read_tensors(path), path)
    converted = convert_animatediff_checkpoint_to_diffusers(state)
    # The sinusoidal frame positions are computed; some versions of diffusers keep them as buffers.
    own = {key: value for key, value in adapter.state_dict().items() if "pos_embed" in key}
    load_strict(adapter, {**own, **converted}, str(path))
    return adapter.eval()


def load_face_adapter(pipe: Any, path: Path) -> None:
    """Fold the LoRA of `animator.ckpt` into the cross-attentions and hand the rest to diffusers' IP-Adapter loader.

    LoRA keys left in that dict would be indexed over all 74 attention processors, motion layers included, and land
    on wrong layers. Raises WeightsError.
    """
    state = unwrap(read_tensors(path), path)
    projection = take(state, "image_proj_model.")
    modules = take(state, "adapter_modules.")
    refuse_rest(state, path)
    compare_keys(projection, set(resampler_keys(RESAMPLER_LAYERS, learned_queries=True)), path)
    layers = cross_attentions(pipe.unet)
    face = {f"{index}.to_{part}_face.weight" for index in layers for part in "kv"}
    lora = {key for key in modules if "_lora." in key}
    compare_keys({key: value for key, value in modules.items() if key not in lora}, face, path)

    def locate(key: str) -> tuple[str, Half] | None:
        index, _, rest = key.partition(".")
        words = rest.split(".")
        known = len(words) == 3 and words[0] in {f"to_{part}_lora" for part in LORA_PARTS} and words[2] == "weight"
        if not index.isdigit() or int(index) not in layers or not known or words[1] not in ("down", "up"):
            return None
        part = words[0].removeprefix("to_").removesuffix("_lora")
        name = f"{layers[int(index)]}.to_{part}{'.0' if part == 'out' else ''}.weight"
        return name, "down" if words[1] == "down" else "up"

    merged = merge(pipe.unet, {key: modules[key] for key in lora}, locate, str(path))
    if merged != len(LORA_PARTS) * len(layers):
        raise WeightsError(
            f"{path} has LoRA for {merged} weights, expected {len(LORA_PARTS) * len(layers)}.",
            "The file is of another release than the one this loader was written for.",
        )
    adapter = {key.replace("_face.", "_ip."): value for key, value in modules.items() if key not in lora}
    pipe.load_ip_adapter(
        {"image_proj": projection, "ip_adapter": adapter}, subfolder="", weight_name="", image_encoder_folder=None
    )


def cross_attentions(unet: Any) -> dict[int, str]:
    """Index in the checkpoint to module path of every spatial cross-attention: down, up, then middle; odd numbers."""
    names = [name for name in unet.attn_processors if "motion_modules" not in name]
    return {
        index: name.removesuffix(".processor") for index, name in enumerate(names) if name.endswith("attn2.processor")
    }


def unwrap(found: Mapping[str, object], path: Path) -> State:
    """The tensors of a training checkpoint: under `state_dict` or not, with `module.` before the keys or not."""
    inner = found.get("state_dict", found)
    if not isinstance(inner, Mapping):
        raise WeightsError(f"{path}: its state_dict is a {type(inner).__name__}.", "Fetch the file again.")
    return {key.removeprefix("module."): value for key, value in tensors_only(inner, path).items()}
