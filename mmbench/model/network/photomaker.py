"""PhotoMaker-V2's checkpoint, split by an explicit key map: Magic Mirror and the baseline share its parts.

The public `photomaker-v2.bin` holds `id_encoder` (463 tensors: a fine-tuned CLIP ViT-L/14, tau_id, a fusion
module for SDXL's text width, two unused projections) and `lora_weights`. Magic Mirror takes the CLIP tower
and tau_id; PhotoMaker itself takes the fusion module and the LoRA as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mmbench.errors import MissingWeights, WeightsError
from mmbench.model.network.perceiver import take_keys, tau_id_keys

_FUSION_KEYS = {
    f"{up}.{p}": f"{our}.{p}"
    for up, our in (
        ("mlp1.layernorm", "norm1"),
        ("mlp1.fc1", "in1"),
        ("mlp1.fc2", "out1"),
        ("mlp2.layernorm", "norm2"),
        ("mlp2.fc1", "in2"),
        ("mlp2.fc2", "out2"),
        ("layer_norm", "norm_out"),
    )
    for p in ("weight", "bias")
}
_VISION = "vision_model."
_UNUSED = {"visual_projection.weight", "visual_projection_2.weight"}


@dataclass(frozen=True)
class PhotoMakerState:
    """State dicts under our names: CLIP tower (no prefix), `IdentityPerceiver`, `FusionMLP(norm=True)`."""

    vision: dict[str, Tensor]
    tau_id: dict[str, Tensor]
    fusion: dict[str, Tensor]


def split_state(id_encoder: Mapping[str, Tensor], source: str = "id_encoder", depth: int = 4) -> PhotoMakerState:
    """Split the checkpoint's `id_encoder` dict; every key must be accounted for (WeightsError otherwise).

    `depth` is tau_id's number of layers (4 in the public file; smaller in tests).
    """
    known = ("qformer_perceiver.", "fuse_module.", _VISION)
    strangers = [k for k in id_encoder if not k.startswith(known) and k not in _UNUSED]
    vision = {k.removeprefix(_VISION): v for k, v in id_encoder.items() if k.startswith(_VISION)}
    vision.pop("embeddings.position_ids", None)  # a buffer that older transformers versions saved
    if strangers or not vision:
        raise WeightsError(
            f"{source}: not a PhotoMaker-V2 identity encoder (unknown keys {strangers[:3]}, "
            f"{len(vision)} vision tensors).",
            "Use photomaker-v2.bin of TencentARC/PhotoMaker-V2; the V1 file has no tau_id.",
        )
    return PhotoMakerState(
        vision=vision,
        tau_id=take_keys(id_encoder, tau_id_keys(depth), "qformer_perceiver.", source),
        fusion=take_keys(id_encoder, _FUSION_KEYS, "fuse_module.", source),
    )


def read_checkpoint(path: Path) -> tuple[PhotoMakerState, dict[str, Tensor]]:
    """Read `photomaker-v2.bin` (tensors only, no pickled code): encoder parts and SDXL LoRA weights."""
    if not path.is_file():
        raise MissingWeights(
            f"{path}: the PhotoMaker-V2 checkpoint is not there.",
            "Download photomaker-v2.bin (1.8 GB, Apache-2.0) from the hub: TencentARC/PhotoMaker-V2.",
        )
    held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(held, dict) or not {"id_encoder", "lora_weights"} <= held.keys():
        raise WeightsError(f"{path}: no 'id_encoder' and 'lora_weights' in it.", "Fetch photomaker-v2.bin again.")
    return split_state(held["id_encoder"], str(path)), held["lora_weights"]


def vision_state_for(vision: torch.nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`PhotoMakerState.vision` under the key names of this transformers version's `CLIPVisionModel`.

    transformers 4 keeps the tower under `vision_model.`, transformers 5 does not.
    """
    prefix = _VISION if any(k.startswith(_VISION) for k in vision.state_dict()) else ""
    return {prefix + k: v for k, v in state.items()}
