"""Two things the stock pipelines do otherwise: AnimateDiff's norm, and PhotoMaker's change of text on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from mmbench.baselines.contract import Baseline, FirstFrame, Request
from mmbench.baselines.id_animator.norm import PerFrameGroupNorm, normalise_per_frame
from mmbench.baselines.photomaker_v2.model import PhotoMakerOptions, merge_step, swap_text


def test_each_frame_is_normalised_by_itself() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 5, 4, 4) * torch.arange(1, 6).view(1, 1, 5, 1, 1)
    own, joint = PerFrameGroupNorm(2, 8), nn.GroupNorm(2, 8)
    found = own(x)
    for frame in range(5):
        assert torch.allclose(found[:, :, frame], joint(x[:, :, frame]), atol=1e-5)
    assert (found - joint(x)).abs().max() > 0.5


def test_every_motion_module_is_changed_and_nothing_else(loaded: Callable[[str, str], Baseline]) -> None:
    unet = loaded("id_animator", "tiny").pipe.unet  # type: ignore[attr-defined]
    motion = [name for name, module in unet.named_modules() if isinstance(module, PerFrameGroupNorm)]
    assert len(motion) == len({name.rsplit(".", 1)[0] for name in motion})
    assert all("motion_modules" in name and name.endswith(".norm") for name in motion)
    # two in each of four down blocks, three in each of four up blocks, one in the middle
    assert len(motion) == 2 * 4 + 3 * 4 + 1
    assert normalise_per_frame(unet) == 0


def test_the_switch_of_the_norm_changes_frames_and_is_recorded(
    loaded: Callable[[str, str], Baseline], request_for: Callable[..., Request]
) -> None:
    model = loaded("id_animator", "tiny")
    published = model.generate(request_for())
    joint = model.generate(request_for(options={"per_frame_norm": False}))
    assert joint.info.settings["per_frame_norm"] is False
    assert not np.array_equal(joint.frames, published.frames)
    again = model.generate(request_for())
    assert again.info.settings["per_frame_norm"] is True
    assert np.array_equal(again.frames, published.frames), "an option holds for its own request only"


def test_the_adapter_scale_is_the_scripts_and_matters(
    loaded: Callable[[str, str], Baseline], request_for: Callable[..., Request]
) -> None:
    model = loaded("id_animator", "tiny")
    off = {"adapter_scale": 0}
    published = model.generate(request_for())
    assert published.info.settings["adapter_scale"] == 0.8
    without = model.generate(request_for(options=off)).frames
    assert not np.array_equal(without, published.frames)
    # without the adapter's image part, who is in the reference no longer matters
    assert np.array_equal(without, model.generate(request_for(reference=7, options=off)).frames)


@pytest.mark.parametrize("guided", [True, False])
def test_the_text_changes_once_after_the_merge_step(guided: bool) -> None:
    def rows(value: float) -> torch.Tensor:
        return torch.full((1, 2), value)

    plain = {"negative_prompt_embeds": rows(1), "negative_pooled_prompt_embeds": rows(2)}
    fused = {"prompt_embeds": rows(3), "pooled": rows(4)}
    swap = swap_text(plain, fused, 2, guided)
    changes = [swap(None, step, None, {}) for step in range(5)]
    assert [bool(change) for change in changes] == [False, False, True, False, False]
    wanted = torch.cat([rows(1), rows(3)]) if guided else rows(3)
    assert torch.equal(changes[2]["prompt_embeds"], wanted)
    assert torch.equal(changes[2]["add_text_embeds"][-1:], rows(4))


def test_steps_up_to_the_merge_step_see_plain_text_and_later_ones_the_fused(
    first_frames: FirstFrame, request_for: Callable[..., Request]
) -> None:
    """Upstream: `prompt_embeds_text_only if i <= start_merge_step else prompt_embeds`."""
    unet = first_frames.pipe.unet  # type: ignore[attr-defined]
    seen: list[torch.Tensor] = []
    handle = unet.register_forward_pre_hook(
        lambda module, arguments, named: seen.append(named["encoder_hidden_states"].clone()), with_kwargs=True
    )
    steps = 7
    published, first_frames.options = first_frames.options, PhotoMakerOptions(steps=steps)
    try:
        first_frames.make("A woman img smiles", request_for().references, (48, 72), 3)
    finally:
        handle.remove()
        first_frames.options = published
    assert len(seen) == steps
    at = merge_step(steps)
    assert at == 1
    for index, text in enumerate(seen):
        assert torch.equal(text, seen[0] if index <= at else seen[-1])
    assert not torch.equal(seen[0][1], seen[-1][1])
    assert torch.equal(seen[0][0], seen[-1][0]), "the negative half is the same throughout"
