"""VACE against its makers' own code, with tiny random weights: network, pictures, control latents, whole videos.

Set MMBENCH_UPSTREAM to a folder with checkouts named VACE and Wan2.1, which it imports; they also need einops and ftfy.
What is absent is skipped. Tolerances are for float32 on a CPU; the measured differences are in baselines/README.md.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.parity
torch.set_num_threads(1)
Note = Callable[[str], None]


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The makers' modules of the network and of the loop; skipped without their checkouts."""
    pytest.importorskip("einops")
    pytest.importorskip("ftfy")
    folder = Path(os.environ.get("MMBENCH_UPSTREAM", ""))
    wan, vace = folder / "Wan2.1" / "wan", folder / "VACE" / "vace" / "models"
    if not os.environ.get("MMBENCH_UPSTREAM") or not (wan.is_dir() and vace.is_dir()):
        pytest.skip("no checkouts of VACE and Wan2.1 (set MMBENCH_UPSTREAM)")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)  # a default of theirs, asked for on import
    packages = {"wan": wan, "vace_models": vace}  # bare: their own __init__ imports what other parts of them need
    packages |= {f"wan.{part}": wan / part for part in ("modules", "distributed", "utils")}
    packages |= {f"vace_models.{part}": vace / part.replace(".", "/") for part in ("wan", "wan.modules", "utils")}
    for name, place in packages.items():
        module = types.ModuleType(name)
        module.__path__ = [str(place)]
        monkeypatch.setitem(sys.modules, name, module)
    layers = importlib.import_module("wan.modules.model")

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **_: Any) -> torch.Tensor:
        heads_first = (one.transpose(1, 2) for one in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(*heads_first).transpose(1, 2)

    monkeypatch.setattr(layers, "flash_attention", attend)  # theirs is CUDA's, in half precision
    names = ("vace_models.wan.modules.model", "vace_models.wan.wan_vace")
    network, loop = (importlib.import_module(name) for name in names)
    return network, loop


def build(network: Any) -> Any:
    """The makers' transformer of the tiny folder's size, every tensor random, also those that start at zero."""
    model = network.VaceWanModel(
        vace_layers=[0, 2], vace_in_dim=96, dim=24, ffn_dim=32, freq_dim=16, text_dim=32, num_heads=2, num_layers=3
    ).eval()
    draw = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=draw)
        parameter.data = 0.15 * noise if parameter.ndim > 1 else parameter.data + 0.1 * noise
    return model


def fill(ours: Any, theirs: Any) -> None:
    """The makers' tensors into diffusers' network, by the converter that published folders were made with."""
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    state = convert_wan_transformer_to_diffusers({key: value.clone() for key, value in theirs.state_dict().items()})
    ours.load_state_dict(state, strict=True)


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    shapes = ((40, 30, 3), (33, 70, 3), (32, 48, 3))[:count]
    return [Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)) for shape in shapes]


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_network(upstream: tuple[Any, Any], scale: float, note: Note) -> None:
    from diffusers import WanVACETransformer3DModel

    from mmbench.baselines.wan.tiny import transformer_config

    theirs = build(upstream[0])
    ours = WanVACETransformer3DModel(**transformer_config(), vace_layers=[0, 2]).eval()
    fill(ours, theirs)
    draw = torch.Generator().manual_seed(3)
    latents, control = (torch.randn(1, channels, 4, 4, 6, generator=draw) for channels in (16, 96))
    text = torch.randn(1, 512, 32, generator=draw)

    def answer(weight: float) -> torch.Tensor:
        scales = torch.full((2,), weight)
        found: torch.Tensor = ours(latents, torch.tensor([637]), text, None, control, scales, return_dict=False)[0]
        return found

    with torch.inference_mode():
        at = torch.tensor([637])
        wanted = theirs(list(latents), at, list(control), list(text), seq_len=24, vace_context_scale=scale)[0]
        found, blind = answer(scale)[0], answer(0.0)[0]
    difference = float((wanted - found).abs().max())
    without = float((wanted - blind).abs().max())
    note(f"VACE network, scale {scale}: {difference:.1e} (std {wanted.std():.2f}; without control {without:.2f})")
    assert difference < 1e-4
    assert without > 1e-2


def test_pictures(upstream: tuple[Any, Any], tmp_path: Path, note: Note) -> None:
    """Pictures of random sizes as the makers fit them into a frame of 480x832."""
    from mmbench.baselines.vace.context import fitted

    rng = np.random.default_rng(1)
    theirs = object.__new__(upstream[1].WanVace)
    theirs.vid_proc = types.SimpleNamespace(set_area=lambda area: None, set_seq_len=lambda length: None)
    sizes = [(480, 832), (960, 1664), *(tuple(int(side) for side in rng.integers(20, 1500, 2)) for _ in range(30))]
    worst = 0.0
    for height, width in sizes:
        small = Image.fromarray(rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8))
        picture = small.resize((width, height))
        picture.save(tmp_path / "one.png")
        _, _, shown = theirs.prepare_source([None], [None], [[tmp_path / "one.png"]], 1, (832, 480), "cpu")
        worst = max(worst, float((shown[0][0][:, 0] - fitted(picture, (480, 832))).abs().max()))
    note(f"VACE pictures, {len(sizes)} sizes: {worst:.1e} of a range of 2")
    assert worst < 1e-5


@pytest.mark.parametrize(("steps", "count", "shift"), [(2, 1, 16.0), (5, 2, 16.0), (16, 3, 16.0), (4, 2, 3.0)])
def test_whole_videos(
    upstream: tuple[Any, Any], steps: int, count: int, shift: float, tmp_path: Path, monkeypatch: Any, note: Note
) -> None:
    """The makers' control latents, transformer, guidance, scheduler and loop, and ours, from the same noise."""
    from mmbench.baselines.contract import Request
    from mmbench.baselines.loading.tiny import make_tiny
    from mmbench.baselines.registry import create
    from mmbench.baselines.vace.context import context, fitted
    from mmbench.baselines.wan.loop import decode_frames, encode_video

    network, loop = upstream
    ours = create("vace")
    ours.load("cpu", "float32", "tiny", make_tiny(tmp_path, "vace"))
    pipe: Any = ours.pipe  # type: ignore[attr-defined]
    model = build(network)
    fill(pipe.transformer, model)
    shown = pictures(count)
    request = Request("a woman smiles", 5, references=tuple(shown), steps=steps, options={"shift": shift})
    video = ours.generate(request)
    said, nothing = ours.embed("a woman smiles", ours.negative)  # type: ignore[attr-defined]
    noise = pipe.prepare_latents(1, 16, 32, 48, 9 + 4 * count, None, "cpu", torch.Generator().manual_seed(5))
    vae = types.SimpleNamespace(
        encode=lambda videos: [encode_video(pipe.vae, one[None])[0] for one in videos], decode=lambda latents: latents
    )
    theirs = object.__new__(loop.WanVace)
    texts = {"a woman smiles": said[0], "nothing": nothing[0]}
    parts = {"device": torch.device("cpu"), "rank": 0, "t5_cpu": True, "sp_size": 1, "param_dtype": torch.float32}
    parts |= {"num_train_timesteps": 1000, "vae_stride": (4, 8, 8), "patch_size": (1, 2, 2), "vae": vae, "model": model}
    parts |= {"text_encoder": lambda asked, device: [texts[asked[0]]]}
    theirs.__dict__.update(parts)
    given = [torch.zeros(3, 9, 32, 48)], [torch.ones(3, 9, 32, 48)], [[fitted(one, (32, 48))[:, None] for one in shown]]
    with monkeypatch.context() as patch, torch.inference_mode():
        known = theirs.vace_latent(
            theirs.vace_encode_frames(*(given[at] for at in (0, 2, 1))), theirs.vace_encode_masks(*given[1:])
        )
        assert torch.equal(known[0], context(pipe.vae, shown, (32, 48), 9)[0])
        patch.setattr(torch, "randn", lambda *_, **__: noise[0])
        settings = {"shift": shift, "sampling_steps": steps, "guide_scale": 5.0, "offload_model": False}
        latents = theirs.generate("a woman smiles", *given, (48, 32), 9, n_prompt="nothing", seed=5, **settings)
        expected = np.round(decode_frames(pipe.vae, latents[None]) * 255).astype(int)
    levels = int(np.abs(video.frames.astype(int) - expected).max())
    note(f"VACE, {steps} steps, {count} pictures, shift {shift}: {levels} grey levels, spread {video.frames.std():.1f}")
    assert levels <= 1


def test_levels(upstream: tuple[Any, Any], note: Note) -> None:
    """The noise levels and timesteps of every number of steps up to 100, by the published shift and diffusers' own."""
    from diffusers import UniPCMultistepScheduler

    from mmbench.baselines.wan.loader import use_unipc
    from mmbench.baselines.wan.loop import wan_levels

    worst, apart = 0.0, 0.0
    for shift in (16.0, 3.0):
        pipe = types.SimpleNamespace(scheduler=UniPCMultistepScheduler())
        use_unipc(pipe, shift)
        for steps in range(1, 101):
            theirs = upstream[1].FlowUniPCMultistepScheduler(num_train_timesteps=1000, shift=1)
            theirs.set_timesteps(steps, device="cpu", shift=shift)
            pipe.scheduler.set_timesteps(steps)
            apart = max(apart, float((pipe.scheduler.sigmas - theirs.sigmas).abs().max()))
            pipe.scheduler.set_timesteps(steps, sigmas=np.array(wan_levels(steps)))
            worst = max(worst, float((pipe.scheduler.sigmas - theirs.sigmas).abs().max()))
            assert torch.equal(pipe.scheduler.timesteps, theirs.timesteps), (steps, shift)
    note(f"VACE noise levels, 1 to 100 steps: {worst:.1e}; of diffusers' own {apart:.2f}")
    assert worst < 1e-6
