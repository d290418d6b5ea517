"""Phantom: names of its checkpoint, pictures on white, latents behind the video's, guidance by its formula."""

from __future__ import annotations

import json
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
from safetensors.torch import save_file

from mmbench.baselines.contract import Baseline, Request
from mmbench.baselines.loading.checkpoint import read_shards
from mmbench.baselines.phantom.model import BASE, LARGE
from mmbench.baselines.registry import create
from mmbench.baselines.wan.loop import denoise, encode_pictures, on_white, wan_levels
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


@pytest.mark.parametrize("steps", [1, 3, 50])
def test_noise_levels_are_those_of_wans_own_scheduler(steps: int) -> None:
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0)
    denoise(scheduler, torch.zeros(1, 16, 1, 2, 2), steps, lambda latents, _: latents, wan_levels(steps))
    even = [0.999 * (steps - step) / steps for step in range(steps)]
    levels = [5 * level / (1 + 4 * level) for level in even]
    assert scheduler.sigmas.tolist() == pytest.approx([*levels, 0.0])
    assert scheduler.timesteps.tolist() == [int(1000 * level) for level in levels]


def test_a_checkpoint_in_shards_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    tensors = {name: torch.randn(2, 3) for name in ("a", "b", "c")}
    places = {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}
    for file in set(places.values()):
        save_file({name: tensors[name] for name in tensors if places[name] == file}, tmp_path / file)
    index = tmp_path / "all.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    found = read_shards(index)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    index.write_text(json.dumps({"weight_map": {**places, "d": "two.safetensors"}}))
    with pytest.raises(WeightsError, match=r"two\.safetensors: 1 keys are missing \['d'\]"):
        read_shards(index)
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    with pytest.raises(WeightsError, match=r"1 are unknown \['c'\]"):
        read_shards(index)
    index.write_text(json.dumps({"weight_map": {"a": "three.safetensors"}}))
    with pytest.raises(MissingWeights, match=r"three\.safetensors"):
        read_shards(index)
    for broken in ("{", "{}", '{"weight_map": [1]}'):
        index.write_text(broken)
        with pytest.raises(WeightsError, match="no index of shards"):
            read_shards(index)


def test_the_large_model_has_the_published_size() -> None:
    from accelerate import init_empty_weights
    from diffusers import WanTransformer3DModel

    small = {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30}
    with init_empty_weights():
        model = WanTransformer3DModel.from_config({**small, **LARGE})
    assert sum(parameter.numel() for parameter in model.parameters()) == 14_288_491_584


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
    with pytest.raises(MissingWeights, match=r"(?s)Phantom_Wan_14B-00006-of-00006.*weights get phantom-14b") as found:
        model.require(tmp_path, "14b")
    assert "1.3B.pth" not in str(found.value)
