"""Models on Wan against their makers' own code, with tiny random weights: frames of whole runs (VACE: its own file).

Set MMBENCH_UPSTREAM to a folder with checkouts named Bernini and Phantom; they also need einops and ftfy.
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

pytestmark = pytest.mark.parity
torch.set_num_threads(1)
Note = Callable[[str], None]


def checkout(name: str) -> Path:
    """Root of an upstream checkout; the test is skipped without one."""
    pytest.importorskip("einops")
    folder = Path(os.environ.get("MMBENCH_UPSTREAM", "")) / name
    if not os.environ.get("MMBENCH_UPSTREAM") or not folder.is_dir():
        pytest.skip(f"no checkout of {name} (set MMBENCH_UPSTREAM)")
    return folder


def bare_packages(monkeypatch: pytest.MonkeyPatch, root: Path, *names: str) -> None:
    """Packages whose own __init__ is not run: they import what only other parts of upstream need."""
    for name in names:
        module = types.ModuleType(name)
        module.__path__ = [str(root / name.replace(".", "/"))]
        monkeypatch.setitem(sys.modules, name, module)


def pictures() -> list[Any]:
    from PIL import Image

    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)) for shape in ((40, 30, 3), (33, 70, 3))]


@pytest.mark.parametrize(("variant", "steps"), [("tiny", 3), ("tiny-14b", 6)])
def test_bernini_r(variant: str, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: Note) -> None:
    """The makers' transformers, guidance and loop, and ours, from one folder of tiny weights."""
    bare_packages(monkeypatch, checkout("Bernini"), "bernini", "bernini.models")
    theirs = importlib.import_module("bernini.models.wan_diffusion")
    from mmbench.baselines.bernini_r.model import REPOSITORIES, TINY, name_pictures
    from mmbench.baselines.bernini_r.streams import fitted
    from mmbench.baselines.contract import Request
    from mmbench.baselines.loading.tiny import make_tiny
    from mmbench.baselines.registry import create
    from mmbench.baselines.wan.loop import decode_frames, encode_pictures

    folder = REPOSITORIES[TINY[variant]].place(make_tiny(tmp_path, "bernini_r"))
    config = types.SimpleNamespace(
        wan22_base=str(folder),
        use_src_id_rotary_emb=True,
        skip_transformer_1=False,
        skip_transformer_2=variant == "tiny",
        switch_dit_boundary=0 if variant == "tiny" else 0.875,
        use_unipc=True,
        shift=5.0,
        dtype=torch.float32,
    )
    opening = theirs.WanTransformer3DModel.from_pretrained

    def in_float32(*place: Any, torch_dtype: Any = None, **more: Any) -> Any:
        return opening(*place, torch_dtype=torch.float32, **more)  # releases name bfloat16 there, or the config's

    monkeypatch.setattr(theirs.WanTransformer3DModel, "from_pretrained", in_float32)
    upstream = theirs.GEN_Wanx22(config).eval()
    ours = create("bernini_r")
    ours.load("cpu", "float32", variant, tmp_path)
    pipe: Any = ours.pipe  # type: ignore[attr-defined]
    request = Request("a woman smiles", 5, class_word="woman", references=tuple(pictures()), steps=steps)
    video = ours.generate(request)
    sent = str(video.info.settings["prompt_sent"])
    assert sent.endswith(name_pictures("a woman smiles", "woman", 2))
    with torch.inference_mode():
        said, nothing = pipe.encode_prompt(sent, ours.negative, max_sequence_length=512, device="cpu")  # type: ignore[attr-defined]
        latents = upstream.sample(
            prompt_embeds=said,
            uncond_prompt_embeds=nothing,
            num_frames=9,
            width=48,
            height=32,
            multi_image_vae_latents=[encode_pictures(pipe.vae, [fitted(one, 848)]) for one in pictures()],
            num_inference_steps=steps,
            guidance_mode="r2v_apg",
            omega_img=4.5,
            omega_txt=4.0,
            omega_scale=0.8,
            seed=5,
            device="cpu",
            eta=0.5,
            norm_threshold=(50.0, 50.0, 50.0),
            momentum=0.0,
        )
        expected = np.round(decode_frames(pipe.vae, latents) * 255).astype(int)
    levels = int(np.abs(video.frames.astype(int) - expected).max())
    note(f"Bernini-R {variant}, {steps} steps: {levels} grey levels, spread {video.frames.std():.1f}")
    assert levels <= 1


def test_bernini_r_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes and pixels of pictures, the makers' way and ours."""
    root = checkout("Bernini")
    text = (root / "bernini" / "data_utils.py").read_text(encoding="utf-8")
    start, end = text.index("def make_divisible"), text.index("class VAEVideoTransform")
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F

    place: dict[str, Any] = {"torch": torch, "F": F, "InterpolationMode": InterpolationMode}
    exec(text[start:end], place)  # the file's imports are not there; this part needs none of them
    resize = place["MaxLongEdgeMinShortEdgeResize"](848, 1, 16)
    from PIL import Image

    from mmbench.baselines.bernini_r.streams import fitted

    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = (int(side) for side in rng.integers(8, 2000, 2))
        small = Image.fromarray(rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8))
        picture = small.resize((width, height))
        assert np.array_equal(np.asarray(resize(picture)), np.asarray(fitted(picture, 848)))


@pytest.mark.parametrize(("variant", "steps"), [("tiny", 4), ("tiny-14b", 3)])
def test_phantom(variant: str, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: Note) -> None:
    """The makers' transformer, scheduler and loop, and ours, from one file of tiny weights and the same noise."""
    root = checkout("Phantom")
    pytest.importorskip("ftfy")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)  # a default of theirs, asked for on import
    names = ("phantom_wan", *(f"phantom_wan.{part}" for part in ("modules", "distributed", "utils")))
    bare_packages(monkeypatch, root, *names)
    network = importlib.import_module("phantom_wan.modules.model")
    theirs = importlib.import_module("phantom_wan.subject2video")
    from mmbench.baselines.contract import Request
    from mmbench.baselines.loading.checkpoint import read_shards, read_tensors
    from mmbench.baselines.loading.tiny import make_tiny
    from mmbench.baselines.phantom.model import BASE, TINY
    from mmbench.baselines.registry import create
    from mmbench.baselines.wan.loop import decode_frames, encode_pictures, on_white

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **_: Any) -> torch.Tensor:
        heads_first = (one.transpose(1, 2) for one in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(*heads_first).transpose(1, 2)

    monkeypatch.setattr(network, "flash_attention", attend)  # theirs is CUDA's, in half precision
    ours = create("phantom")
    ours.load("cpu", "float32", variant, make_tiny(tmp_path, "phantom"))
    pipe: Any = ours.pipe  # type: ignore[attr-defined]
    source = BASE.place(tmp_path) / TINY[variant]
    state: Any = read_shards(source) if source.suffix == ".json" else read_tensors(source)
    model = network.WanModel(
        dim=24, ffn_dim=32, freq_dim=16, text_dim=32, num_heads=2, num_layers=3, cross_attn_norm=True
    ).eval()
    model.load_state_dict(state, strict=True)
    request = Request("a woman smiles", 5, references=tuple(pictures()), steps=steps)
    video = ours.generate(request)
    with torch.inference_mode():
        said, nothing = pipe.encode_prompt("a woman smiles", ours.negative, max_sequence_length=512, device="cpu")  # type: ignore[attr-defined]
        shown = encode_pictures(pipe.vae, [on_white(one, (32, 48)) for one in pictures()])
        noise = pipe.prepare_latents(1, 16, 32, 48, 9, None, "cpu", torch.Generator().manual_seed(5))
    upstream = object.__new__(theirs.Phantom_Wan_S2V)
    vae = types.SimpleNamespace(model=types.SimpleNamespace(z_dim=16), decode=lambda latents: latents)
    texts = {"a woman smiles": said[0], "nothing": nothing[0]}
    parts = {"device": torch.device("cpu"), "rank": 0, "t5_cpu": True, "sp_size": 1, "param_dtype": torch.float32}
    parts |= {"num_train_timesteps": 1000, "vae_stride": (4, 8, 8), "patch_size": (1, 2, 2), "vae": vae, "model": model}
    parts |= {"text_encoder": lambda asked, device: [texts[asked[0]]], "get_vae_latents": lambda *_: shown[0]}
    upstream.__dict__.update(parts)
    with monkeypatch.context() as patch, torch.inference_mode():
        patch.setattr(torch, "randn", lambda *_, **__: torch.cat([noise[0], shown[0] * 0], dim=1))
        settings = {"size": (48, 32), "frame_num": 9, "sampling_steps": steps, "offload_model": False}
        latents = upstream.generate("a woman smiles", [], n_prompt="nothing", seed=5, **settings)
        expected = np.round(decode_frames(pipe.vae, latents[None]) * 255).astype(int)
    levels = int(np.abs(video.frames.astype(int) - expected).max())
    note(f"Phantom {variant}, {steps} steps: {levels} grey levels, spread {video.frames.std():.1f}")
    assert levels <= 1
