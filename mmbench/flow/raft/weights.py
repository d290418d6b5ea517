"""RAFT networks with their weights: the original authors' checkpoint in either layout, or seeded random ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmbench.scores import Provenance

if TYPE_CHECKING:
    from torchvision.models.optical_flow import RAFT

SEED = 0
REGISTERED = ("raft-things", "raft-c-t-v1")
"""Interchangeable: RAFT trained on Chairs, then Things, by its authors; and torchvision's port of it."""

_NORM3 = re.compile(r"\w+\.layer\d\.\d\.norm3\.")
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^fnet\.", "feature_encoder."),
        (r"^cnet\.", "context_encoder."),
        (r"^(\w+_encoder)\.conv1\.", r"\1.convnormrelu.0."),
        (r"^(\w+_encoder)\.norm1\.", r"\1.convnormrelu.1."),
        (r"^(\w+_encoder)\.conv2\.", r"\1.conv."),
        (r"^(\w+_encoder\.layer\d\.\d)\.conv([12])\.", r"\1.convnormrelu\2.0."),
        (r"^(\w+_encoder\.layer\d\.\d)\.norm([12])\.", r"\1.convnormrelu\2.1."),
        (r"^update_block\.encoder\.conv([cf])([12])\.", r"update_block.motion_encoder.conv\1\2.0."),
        (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
        (r"(motion_encoder\.)convc", r"\1convcorr"),
        (r"(motion_encoder\.)convf(\d)", r"\1convflow\2"),
        (r"^update_block\.gru\.conv([zrq])([12])\.", r"update_block.recurrent_block.convgru\2.conv\1."),
        (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
        (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
    )
)


def torchvision_key(key: str) -> str | None:
    """The name torchvision's RAFT gives to a tensor of the original; None for second copies.

    `norm3` of a residual block is the batch norm inside its `downsample`, saved twice by the original.
    """
    key = key.removeprefix("module.")
    if _NORM3.match(key):
        return None
    for pattern, replacement in _RULES:
        key = pattern.sub(replacement, key)
    return key


def load_raft(weights: str | Path | None = None, tiny: bool = False) -> tuple[RAFT, Provenance]:
    """RAFT in evaluation mode on the processor, and where its weights come from.

    `weights` None takes the registered file that is on disk, raft-things first; a path takes that file, in the
    original or torchvision's layout; "random" draws them with a fixed seed. `tiny` is a small random network,
    whatever `weights` says. torchvision's own default weights are never used: they are trained on more data
    and change verdicts. Raises MissingWeights or WeightsError.
    """
    from mmbench.weights import first_of, load, load_file, load_strict

    if tiny or weights == "random":
        return random_raft("tiny" if tiny else "large"), _provenance({}, random=True)
    loaded = load(first_of(*REGISTERED)[0]) if weights is None else load_file(Path(weights))
    network = _large()
    original = any(key.removeprefix("module.").startswith("fnet.") for key in loaded.state)
    load_strict(network, loaded.state, str(loaded.path), rename=torchvision_key if original else None)
    return network, _provenance({loaded.name: loaded.sha256}, random=False)


def random_raft(size: Literal["large", "tiny"], seed: int = SEED) -> RAFT:
    """RAFT with seeded random weights: "large" is the real architecture, "tiny" runs from 32 px a side."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _large() if size == "large" else _tiny()


def _large() -> RAFT:
    from torchvision.models.optical_flow import raft_large

    return raft_large(weights=None).eval()


def _tiny() -> RAFT:
    from torch.nn import BatchNorm2d, InstanceNorm2d
    from torchvision.models.optical_flow import raft

    hidden, levels = 16, 2
    layers = (8, 8, 12, 16, 2 * hidden)
    corr = raft.CorrBlock(num_levels=levels, radius=3)
    motion = raft.MotionEncoder(
        in_channels_corr=corr.out_channels, corr_layers=(24, 16), flow_layers=(16, 8), out_channels=16
    )
    recurrent = raft.RecurrentBlock(input_size=motion.out_channels + hidden, hidden_size=hidden)
    return raft.RAFT(
        feature_encoder=raft.FeatureEncoder(layers=layers, norm_layer=InstanceNorm2d),
        context_encoder=raft.FeatureEncoder(layers=layers, norm_layer=BatchNorm2d),
        corr_block=corr,
        update_block=raft.UpdateBlock(
            motion_encoder=motion,
            recurrent_block=recurrent,
            flow_head=raft.FlowHead(in_channels=hidden, hidden_size=hidden),
        ),
        mask_predictor=raft.MaskPredictor(in_channels=hidden, hidden_size=hidden),
    ).eval()


def _provenance(weights: dict[str, str], random: bool) -> Provenance:
    import torch
    import torchvision

    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    return Provenance("raft", weights=weights, versions=versions, random_weights=random)
