"""Phantom: names of its checkpoint, pictures on white, latents behind the video's, guidance by its formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmbench.baselines.contract import Baseline, Request
from mmbench.baselines.phantom.model import BASE
from mmbench.baselines.registry import create
from mmbench.baselines.wan.loop import encode_pictures, on_white
from mmbench.baselines.wan.names import load_published, published_names
from mmbench.baselines.wan.tiny import transformer_config
from mmbench.errors import MissingWeights, RequestError, WeightsError

Load = Callable[[str, str], Baseline]
Make = Callable[..., Request]


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([(32, 48), (480, 832), (96, 32)]))
def test_a_picture_keeps_its_shape_in_the_middle_of_white(width: int, height: int, size: tuple[int, int]) -> None:
    found = np.asarray(on_white(Image.new("RGB", (width, height), "black"), size))
    assert found.shape == (*size, 3)
    dark = found.min(axis=2) == 0
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    tall, wide = len(rows), len(columns)
    assert dark[np.ix_(rows, columns)].all()
    assert (found[~dark] == 255).all()
    assert tall == size[0] or wide == size[1]
    fit = min(size[1] / width, size[0] / height)
    assert wide == pytest.approx(max(1, width * fit), abs=1)
    assert tall == pytest.approx(max(1, height * fit), abs=1)
    assert abs((rows[0]) - (size[0] - 1 - rows[-1])) <= 1
    assert abs((columns[0]) - (size[1] - 1 - columns[-1])) <= 1


def test_wans_own_names_come_back_as_diffusers() -> None:
    from diffusers import WanTransformer3DModel

    model = WanTransformer3DModel(**transformer_config())
    state = {key: torch.randn_like(value) for key, value in model.state_dict().items()}
    published = published_names(state)
    for name in ("blocks.0.self_attn.q.weight", "blocks.2.cross_attn.norm_k.weight", "blocks.1.norm3.weight"):
        assert name in published
    for name in ("head.modulation", "head.head.weight", "blocks.0.modulation", "blocks.0.ffn.2.bias"):
        assert name in published
    assert not any("attn1" in name or "condition_embedder" in name for name in published)
    back = load_published(model.config, dict(published), Path("phantom.pth"), None).state_dict()
    assert back.keys() == state.keys()
    for key, value in state.items():
        torch.testing.assert_close(back[key], value, rtol=0, atol=0)


@pytest.mark.parametrize("fault", ["lost", "left over"])
def test_a_checkpoint_with_other_keys_is_refused(fault: str) -> None:
    from diffusers import WanTransformer3DModel

    model = WanTransformer3DModel(**transformer_config())
    published = published_names(model.state_dict())
    if fault == "lost":
        del published["blocks.1.ffn.0.weight"]
    else:
        published["blocks.1.ffn.9.weight"] = torch.zeros(2)
    with pytest.raises(WeightsError, match=r"phantom\.pth"):
        load_published(model.config, published, Path("phantom.pth"), None)


def test_pictures_lie_behind_the_video_and_guidance_is_the_formula(
    loaded: Load, request_for: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import UniPCMultistepScheduler

    model = loaded("phantom", "tiny")
    pipe = model.pipe  # type: ignore[attr-defined]
    seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def watch(module: Any, given: tuple[torch.Tensor, ...], out: tuple[torch.Tensor, ...]) -> None:
        seen.append((given[0].clone(), given[2].clone(), out[0].clone()))

    taken: list[torch.Tensor] = []
    real = UniPCMultistepScheduler.step

    def step(self: UniPCMultistepScheduler, velocity: torch.Tensor, *rest: Any, **more: Any) -> Any:
        taken.append(velocity.clone())
        return real(self, velocity, *rest, **more)

    monkeypatch.setattr(UniPCMultistepScheduler, "step", step)
    handle = pipe.transformer.register_forward_hook(watch)
    request = request_for()
    pictures = (*request.references[:1], *request_for(reference=7).references[:1])
    model.generate(replace(request, references=pictures))
    handle.remove()
    shown = encode_pictures(pipe.vae, [on_white(picture, (32, 48)) for picture in pictures])
    assert shown.shape == (1, 16, 2, 4, 6)
    assert len(seen) == 3 * len(taken) == 6
    for number, velocity in enumerate(taken):
        neither, alone, both = seen[3 * number : 3 * number + 3]
        for latents, _, _ in (neither, alone, both):
            assert latents.shape == (1, 16, 3 + 2, 4, 6)
            assert torch.equal(latents[:, :, :3], neither[0][:, :, :3])
        assert not neither[0][:, :, 3:].any()
        assert torch.equal(alone[0][:, :, 3:], shown)
        assert torch.equal(both[0][:, :, 3:], shown)
        assert torch.equal(neither[1], alone[1])
        assert not torch.equal(alone[1], both[1])
        n, p, t = (out[:, :, :3] for _, _, out in (neither, alone, both))
        torch.testing.assert_close(velocity, n + 5.0 * (p - n) + 7.5 * (t - p))


def test_shapes_are_refused_and_missing_weights_are_told(request_for: Make, tmp_path: Path) -> None:
    model = create("phantom")
    with pytest.raises(RequestError):
        model.check(request_for(frames=80))
    with pytest.raises(MissingWeights, match=r"Wan-AI/Wan2.1-T2V-1.3B-Diffusers.*GB.*Apache-2.0.*hf download"):
        model.require(tmp_path, "1.3b")
    folder = BASE.place(tmp_path)
    for part in ("transformer", "vae"):
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text("{}")
    (folder / "vae" / "model.safetensors").write_bytes(b"")
    (folder / "model_index.json").write_text('{"transformer": ["diffusers", "T"], "vae": ["diffusers", "V"]}')
    with pytest.raises(MissingWeights, match=r"(?s)research/Phantom.*Phantom-Wan-1.3B.pth.*weights get phantom"):
        model.require(tmp_path, "1.3b")
