"""Generators' networks and samplers against upstream's own code, with random weights under the published names.

Set MMBENCH_UPSTREAM to a folder with checkouts named ID-Animator, DynamiCrafter, PhotoMaker, EasyAnimate, SkyReels-V3,
Stand-In and lynx; they also need einops. What is absent is skipped. Tolerances are for float32 on a CPU; the measured
differences are in baselines/README.md.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import sys
import types
from collections.abc import Callable
from dataclasses import replace
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


def bare_package(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path) -> types.ModuleType:
    """A package whose own __init__ is not run: upstream's imports fail on current libraries."""
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, name, module)
    return module


def worst(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("learn_scale", [False, True])
def test_dynamicrafter_unet(learn_scale: bool, monkeypatch: pytest.MonkeyPatch, note: Note) -> None:
    monkeypatch.syspath_prepend(checkout("DynamiCrafter"))
    upstream = importlib.import_module("lvdm.modules.networks.openaimodel3d")
    from mmbench.baselines.dynamicrafter.layout import Layout
    from mmbench.baselines.dynamicrafter.unet import build_unet
    from mmbench.baselines.dynamicrafter.weights import unet_key
    from mmbench.weights import load_strict, rename_keys

    torch.manual_seed(0)
    theirs = upstream.UNetModel(
        in_channels=8, out_channels=4, model_channels=32, attention_resolutions=[4, 2, 1], num_res_blocks=2,
        channel_mult=[1, 1, 2, 2], dropout=0.0, num_head_channels=16, transformer_depth=1, context_dim=32,
        use_linear=True, use_checkpoint=False, temporal_conv=True, temporal_attention=True,
        temporal_selfatt_only=True, use_relative_position=False, use_causal_attention=False, temporal_length=8,
        addition_attention=True, image_cross_attention=True, image_cross_attention_scale_learnable=learn_scale,
        default_fs=10, fs_condition=True,
    ).eval()  # fmt: skip
    for parameter in theirs.parameters():
        noise = torch.randn_like(parameter)
        parameter.data = 0.05 * noise if parameter.ndim > 1 else parameter.data + 0.1 * noise
    ours = build_unet(replace(Layout(), blocks=(32, 32, 64, 64), head_width=16, context=32), learn_scale).eval()
    state = {
        key: value[..., 0] if key.startswith("transformer_in.proj_") and value.ndim == 3 else value
        for key, value in rename_keys(theirs.state_dict(), unet_key).items()
    }
    load_strict(ours, state, "upstream")
    x, context = torch.randn(1, 8, 8, 8, 16), torch.randn(1, 77 + 16 * 8, 32)
    ours.time_embedding.rate = 10.0
    with torch.no_grad():
        wanted = theirs(x, torch.tensor([501]), context=context, fs=torch.tensor([10]))
        found = ours(x, 501, context).sample
    note(f"DynamiCrafter UNet, learned scale {learn_scale}: {worst(wanted, found):.1e}, std {wanted.std():.2f}")
    assert worst(wanted, found) < 5e-5


@pytest.mark.parametrize(("steps", "zero_snr", "base"), [(50, True, 0.3), (10, True, 0.7), (50, False, None)])
def test_dynamicrafter_sampler(
    steps: int, zero_snr: bool, base: float | None, monkeypatch: pytest.MonkeyPatch, note: Note
) -> None:
    monkeypatch.syspath_prepend(checkout("DynamiCrafter"))
    ddim = importlib.import_module("lvdm.models.samplers.ddim")
    tables = importlib.import_module("lvdm.models.utils_diffusion")
    from mmbench.baselines.dynamicrafter.sampler import ddim_step, guide, make_schedule

    def normal(seed: int) -> torch.Tensor:
        return torch.randn((1, 4, 2, 4, 4), generator=torch.Generator().manual_seed(seed))

    mix = 0.3 * torch.randn((4, 4), generator=torch.Generator().manual_seed(5))

    def network(x: torch.Tensor, shift: float) -> torch.Tensor:
        return torch.tanh(torch.einsum("oc,bcthw->bothw", mix, x) + shift)

    betas = tables.make_beta_schedule("linear", 1000, 0.00085, 0.012)
    betas = tables.rescale_zero_terminal_snr(betas) if zero_snr else betas
    alphas = np.cumprod(1 - betas)
    root, rest = (torch.tensor(np.sqrt(values), dtype=torch.float32) for values in (alphas, 1 - alphas))
    model = types.SimpleNamespace(
        num_timesteps=1000,
        device=torch.device("cpu"),
        betas=torch.tensor(betas, dtype=torch.float32),
        alphas_cumprod=torch.tensor(alphas, dtype=torch.float32),
        alphas_cumprod_prev=torch.tensor(np.append(1.0, alphas[:-1]), dtype=torch.float32),
        parameterization="v" if zero_snr else "eps",
        use_dynamic_rescale=base is not None,
        apply_model=lambda x, t, shift, **named: network(x, float(shift)),
        predict_eps_from_z_and_v=lambda x, t, v: root[t] * v + rest[t] * x,
        predict_start_from_z_and_v=lambda x, t, v: root[t] * x - rest[t] * v,
    )
    if base is not None:
        scale = np.concatenate([np.linspace(1, base, 400), np.full(1000, base)])
        model.scale_arr = torch.tensor(scale, dtype=torch.float32)
    sampler = ddim.DDIMSampler(model)
    sampler.register_buffer = lambda name, value: setattr(sampler, name, value)
    noises = iter([normal(100 + index) for index in range(steps)])
    monkeypatch.setattr(ddim, "noise_like", lambda shape, device, repeat=False: next(noises))
    rescale = 0.7 if zero_snr else 0.0
    wanted, _ = sampler.sample(
        S=steps, batch_size=1, shape=(4, 2, 4, 4), conditioning=torch.tensor([0.2]), x_T=normal(1), eta=1.0,
        verbose=False, unconditional_guidance_scale=7.5, unconditional_conditioning=torch.tensor([-0.1]),
        timestep_spacing="uniform_trailing" if zero_snr else "uniform", guidance_rescale=rescale, fs=None,
    )  # fmt: skip
    schedule = make_schedule(steps, zero_snr=zero_snr, base_scale=base)
    x = normal(1)
    for index in range(steps):
        output = guide(network(x, -0.1), network(x, 0.2), 7.5, rescale)
        x = ddim_step(x, output, normal(100 + index), schedule, index, "v" if zero_snr else "epsilon")
    note(f"DynamiCrafter sampler, {steps} steps, rescale {base}: {worst(wanted, x):.1e}, std {x.std():.1f}")
    assert worst(wanted, x) < 1e-3


def test_dynamicrafter_autoencoder_and_resampler(monkeypatch: pytest.MonkeyPatch, note: Note) -> None:
    monkeypatch.syspath_prepend(checkout("DynamiCrafter"))
    networks = importlib.import_module("lvdm.modules.networks.ae_modules")
    resamplers = importlib.import_module("lvdm.modules.encoders.resampler")
    from mmbench.baselines.dynamicrafter.layout import Layout
    from mmbench.baselines.dynamicrafter.weights import read_resampler, read_vae

    torch.manual_seed(0)
    layout = replace(
        Layout(), vae_blocks=(32, 64, 64, 64), resampler_layers=2, resampler_heads=2, resampler_head_width=16
    )
    settings = {
        "double_z": True, "z_channels": 4, "resolution": 64, "in_channels": 3, "out_ch": 3, "ch": 32,
        "ch_mult": [1, 2, 2, 2], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    theirs = torch.nn.ModuleDict(
        {
            "encoder": networks.Encoder(**settings),
            "decoder": networks.Decoder(**settings),
            "quant_conv": torch.nn.Conv2d(8, 8, 1),
            "post_quant_conv": torch.nn.Conv2d(4, 4, 1),
        }
    ).eval()
    ours: Any = read_vae(theirs.state_dict(), layout, Path("upstream"))
    resampler = resamplers.Resampler(
        dim=32, depth=2, dim_head=16, heads=2, num_queries=4, embedding_dim=24, output_dim=40, video_length=8
    ).eval()
    own = read_resampler(resampler.state_dict(), layout, Path("upstream"))
    x, z, features = torch.randn(1, 3, 64, 64), torch.randn(1, 4, 8, 8), torch.randn(2, 9, 24)
    with torch.no_grad():
        differences = (
            worst(theirs["quant_conv"](theirs["encoder"](x)), ours.encode(x).latent_dist.parameters),
            worst(theirs["decoder"](theirs["post_quant_conv"](z)), ours.decode(z).sample),
            worst(resampler(features), own(features)),
        )
    note("DynamiCrafter encoder, decoder, resampler: " + ", ".join(f"{value:.1e}" for value in differences))
    assert max(differences) < 2e-5


@pytest.mark.parametrize("size", [(576, 1024), (320, 512), (200, 300)])
def test_dynamicrafters_view_is_kornias(size: tuple[int, int], note: Note) -> None:
    kornia = pytest.importorskip("kornia")
    from mmbench.baselines.dynamicrafter.model import clip_view
    from mmbench.baselines.pictures import CLIP_MEAN, CLIP_STD

    picture = torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(0)) * 2 - 1
    resized = kornia.geometry.resize(picture, (224, 224), interpolation="bicubic", align_corners=True, antialias=True)
    wanted = kornia.enhance.normalize((resized + 1) / 2, torch.tensor(CLIP_MEAN), torch.tensor(CLIP_STD))
    note(f"DynamiCrafter CLIP view of {size}: {worst(wanted, clip_view(picture, 224)):.1e}")
    assert worst(wanted, clip_view(picture, 224)) < 1e-5


def test_id_animator_unet_and_face_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: Note) -> None:
    monkeypatch.syspath_prepend(checkout("ID-Animator") / "ID-Animator")
    networks = importlib.import_module("animatediff.models.unet")
    processors = importlib.import_module("faceadapter.attention_processor")
    resamplers = importlib.import_module("faceadapter.resampler")
    from mmbench.baselines.id_animator.model import REPO, IDAnimator
    from mmbench.baselines.id_animator.tiny import BLOCKS, LORA_RANK, QUERIES, RESAMPLER_HEADS, WIDTH
    from mmbench.baselines.id_animator.weights import read_unet, unwrap
    from mmbench.baselines.loading.checkpoint import read_tensors, take, tensors_only
    from mmbench.baselines.loading.tiny import make_tiny

    folder = make_tiny(tmp_path, "id_animator") / REPO.replace("/", "--")
    ours = IDAnimator()
    ours.load("cpu", "auto", "tiny", tmp_path)
    theirs = networks.UNet3DConditionModel(
        block_out_channels=BLOCKS, attention_head_dim=4, cross_attention_dim=WIDTH, use_inflated_groupnorm=True,
        use_motion_module=True, motion_module_mid_block=True, motion_module_type="Vanilla",
        motion_module_kwargs={
            "num_attention_heads": 8, "num_transformer_block": 1, "temporal_position_encoding_max_len": 32,
            "attention_block_types": ["Temporal_Self", "Temporal_Self"], "temporal_position_encoding": True,
            "temporal_attention_dim_div": 1,
        },
    ).eval()  # fmt: skip
    single = folder / "realisticVisionV60B1_v51VAE.safetensors"
    layers = read_unet(
        take(tensors_only(read_tensors(single), single), "model.diffusion_model."),
        folder / "animatediff" / "sd" / "unet",
        single,
    ).state_dict()
    motion = torch.load(folder / "mm_sd_v15_v2.ckpt", weights_only=True)
    motion = {key: value for key, value in motion.items() if "pos_encoder" not in key}
    report = theirs.load_state_dict({**layers, **motion}, strict=False)
    assert not report.unexpected_keys
    assert all("pos_encoder" in key for key in report.missing_keys)
    adapter = unwrap(torch.load(folder / "animator.ckpt", weights_only=True), folder)
    attentions = [
        (name, module)
        for part in ("down_blocks", "up_blocks", "mid_block")
        for name, module in theirs.named_modules()
        if name.startswith(part) and name.endswith((".attn1", ".attn2")) and "motion_modules" not in name
    ]
    for index, (name, module) in enumerate(attentions):
        if name.endswith("attn2"):
            processor = processors.LoRAFaceAttnProcessor(
                hidden_size=len(module.to_q.weight),
                cross_attention_dim=WIDTH,
                rank=LORA_RANK,
                num_tokens=QUERIES,
                scale=0.8,
            )
            prefix = f"adapter_modules.{index}."
            own = {key.removeprefix(prefix): value for key, value in adapter.items() if key.startswith(prefix)}
            processor.load_state_dict(own, strict=True)
            module.set_processor(processor)
    resampler = resamplers.Resampler(
        dim=WIDTH, depth=4, heads=RESAMPLER_HEADS, num_queries=QUERIES, embedding_dim=32, output_dim=WIDTH
    ).eval()
    prefix = "image_proj_model."
    own = {key.removeprefix(prefix): value for key, value in adapter.items() if key.startswith(prefix)}
    resampler.load_state_dict(own, strict=True)
    torch.manual_seed(1)
    x, text, features = torch.randn(1, 4, 5, 8, 8), torch.randn(1, 77, WIDTH), torch.randn(3, 5, 32)
    at = torch.tensor(301)
    with torch.no_grad():
        tokens = torch.stack([resampler(each[None])[0] for each in features]).mean(0)[None]
        (mine,) = ours.pipe.unet.encoder_hid_proj([features[None]])
        wanted = theirs(x, at, encoder_hidden_states=torch.cat([text, tokens], 1)).sample
        found = ours.pipe.unet(
            x,
            at,
            encoder_hidden_states=text.repeat_interleave(5, 0),
            added_cond_kwargs={"image_embeds": [features[None]]},
        ).sample
    note(
        f"ID-Animator UNet: {worst(wanted, found):.1e}, std {wanted.std():.2f}; tokens {worst(mine[:, 0], tokens):.1e}"
    )
    assert worst(mine[:, 0], tokens) < 1e-5
    assert worst(wanted, found) < 1e-5


def their_rotary(root: Path, latents: torch.Tensor, config: Any) -> Any:
    """Positions as upstream's pipeline makes them: its own function for the grid, diffusers' for the table."""
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    source = ast.parse((root / "pipeline" / "pipeline_easyanimate_inpaint.py").read_text("utf-8"))
    name = "get_resize_crop_region_for_grid"
    function = next(node for node in source.body if isinstance(node, ast.FunctionDef) and node.name == name)
    space: dict[str, Any] = {}
    exec(compile(ast.Module([function], []), name, "exec"), space)
    grid = (latents.shape[3] // config.patch_size, latents.shape[4] // config.patch_size)
    whole = (720 // 8 // config.patch_size, 480 // 8 // config.patch_size)
    return get_3d_rotary_pos_embed(
        config.attention_head_dim,
        space[name](grid, *whole),
        grid_size=grid,
        temporal_size=latents.shape[2],
        use_real=True,
    )


def test_easyanimate_v5_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: Note) -> None:
    root = checkout("EasyAnimate") / "easyanimate"
    packaging = importlib.import_module("packaging.version")
    parts = ("", "models", "utils", "vae", "vae.ldm", "vae.ldm.models", "vae.ldm.modules", "vae.ldm.modules.vaemodules")
    for part in parts:
        bare_package(monkeypatch, f"easyanimate.{part}".rstrip("."), root.joinpath(*part.split(".")))
    stand_in = types.ModuleType("pkg_resources")  # gone from setuptools 82
    stand_in.parse_version = packaging.parse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pkg_resources", stand_in)
    from mmbench.baselines.easyanimate.model import REPOS
    from mmbench.baselines.easyanimate.v5 import WEIGHTS_FILE, read_transformer, read_vae
    from mmbench.baselines.loading.diffusers_folder import read_config
    from mmbench.baselines.loading.tiny import make_tiny
    from mmbench.weights import read_state

    folder = make_tiny(tmp_path, "easyanimate") / REPOS["v5"].replace("/", "--")

    def build(cls: type, part: str, **changes: Any) -> Any:
        settings = read_config(folder / part / "config.json") | changes
        known = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
        made = cls(**{key: value for key, value in settings.items() if key in known}).eval()
        made.load_state_dict(read_state(folder / part / WEIGHTS_FILE), strict=True)
        return made

    vae_class = importlib.import_module("easyanimate.models.autoencoder_magvit").AutoencoderKLMagvit
    theirs = build(vae_class, "vae", mini_batch_encoder=4, mini_batch_decoder=1, slice_mag_vae=False)
    ours: Any = read_vae(folder / "vae")
    torch.manual_seed(0)
    x, z = torch.randn(1, 3, 9, 32, 48), torch.randn(1, 4, 3, 4, 6)
    network = importlib.import_module("easyanimate.models.transformer3d").EasyAnimateTransformer3DModel
    their_transformer, our_transformer = build(network, "transformer"), read_transformer(folder / "transformer")
    latents, inpaint, at = torch.randn(2, 4, 3, 8, 12), torch.randn(2, 5, 3, 8, 12), torch.tensor([301.0, 301.0])
    text = {"encoder_hidden_states": torch.randn(2, 7, 32), "encoder_hidden_states_t5": torch.randn(2, 9, 24)}
    with torch.no_grad():
        encoder = worst(theirs.encode(x).latent_dist.parameters, ours.encode(x).latent_dist.parameters)
        decoder = worst(theirs.decode(z).sample, ours.decode(z).sample)
        found = our_transformer(latents, at, inpaint_latents=inpaint, return_dict=False, **text)[0]
        wanted = their_transformer(
            latents,
            at,
            image_rotary_emb=their_rotary(root, latents, their_transformer.config),
            text_embedding_mask=None,
            inpaint_latents=inpaint,
            return_dict=False,
            **text,
        )[0]
    note(f"EasyAnimate V5 encoder {encoder:.1e}, decoder {decoder:.1e}, transformer {worst(wanted, found):.1e}")
    assert (encoder, decoder, worst(wanted, found)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("steps", "guidance", "pictures"), [(3, 1.0, 1.0), (2, 7.5, 5.0)])
def test_skyreels_v3(
    steps: int, guidance: float, pictures: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: Note
) -> None:
    """The makers' transformer and loop, and ours, from one folder of tiny weights: frames of a whole run."""
    root = checkout("SkyReels-V3") / "skyreels_v3"
    pytest.importorskip("ftfy")
    for name, place in (("skyreels_v3", root), ("skyreels_v3.modules", root / "modules")):
        bare_package(monkeypatch, name, place)
    bare_package(monkeypatch, "skyreels_v3.modules.reference_to_video", root / "modules" / "reference_to_video")
    bare_package(monkeypatch, "skyreels_v3.pipelines", root / "pipelines")
    theirs = importlib.import_module("skyreels_v3.pipelines.reference_to_video_pipeline")
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler
    from PIL import Image
    from transformers import AutoTokenizer, UMT5EncoderModel

    from mmbench.baselines.contract import Request
    from mmbench.baselines.loading.tiny import make_tiny
    from mmbench.baselines.registry import create
    from mmbench.baselines.skyreels_v3.model import REPOSITORY

    folder = REPOSITORY.place(make_tiny(tmp_path, "skyreels_v3"))
    upstream = theirs.WanSkyReelsA2WanT2VPipeline(
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder=UMT5EncoderModel.from_pretrained(folder / "text_encoder").eval(),
        transformer=theirs.SkyReelsA2WanI2v3DModel.from_pretrained(folder / "transformer").eval(),
        vae=AutoencoderKLWan.from_pretrained(folder / "vae").eval(),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=5.0
        ),
    )
    monkeypatch.setattr(type(upstream), "_execution_device", torch.device("cpu"))
    rng = np.random.default_rng(0)
    shown = [Image.fromarray(rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)) for _ in range(2)]
    expected = upstream(
        ref_imgs=theirs.resize_ref_images(shown, (48, 32)),
        prompt="a woman smiles",
        negative_prompt="",
        height=32,
        width=48,
        num_frames=9,
        guidance_scale=guidance,
        guidance_scale_img=pictures,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
    ).frames[0]
    ours = create("skyreels_v3")
    ours.load("cpu", "float32", "tiny", tmp_path)
    options = {"picture_guidance": pictures}
    request = Request("a woman smiles", 5, references=tuple(shown), steps=steps, guidance=guidance, options=options)
    found = ours.generate(request).frames
    levels = np.abs(found.astype(int) - np.asarray(expected * 255).round().astype(int)).max()
    note(f"SkyReels-V3, {steps} steps, guidance {guidance}: {levels} grey levels, spread {found.std():.1f}")
    assert levels <= 1


def test_stand_in(monkeypatch: pytest.MonkeyPatch, note: Note) -> None:
    """The makers' transformer with its branch, and ours from stock weights and adapters: first and later steps."""
    from functools import partial

    root = checkout("Stand-In")
    bare_package(monkeypatch, "models", root / "models")
    theirs = importlib.import_module("models.wan_video_dit")
    monkeypatch.setattr(theirs, "LoRALinearLayer", partial(theirs.LoRALinearLayer, device="cpu"))
    from diffusers import WanTransformer3DModel

    from mmbench.baselines.stand_in.branch import FaceAdapters, see_face, velocity_with
    from mmbench.baselines.wan.names import published_names
    from mmbench.baselines.wan.tiny import transformer_config

    torch.manual_seed(0)
    config = transformer_config()
    width = config["num_attention_heads"] * config["attention_head_dim"]
    stock, adapters = WanTransformer3DModel(**config).eval(), FaceAdapters(config["num_layers"], width)
    upstream = theirs.WanModel(
        dim=width,
        in_dim=16,
        ffn_dim=config["ffn_dim"],
        out_dim=16,
        text_dim=config["text_dim"],
        freq_dim=config["freq_dim"],
        eps=1e-6,
        patch_size=(1, 2, 2),
        num_heads=config["num_attention_heads"],
        num_layers=config["num_layers"],
        has_image_input=False,
    ).eval()
    for block in upstream.blocks:
        block.self_attn.init_lora()
    upstream.load_state_dict({**published_names(stock.state_dict()), **adapters.state_dict()})
    latents, face = torch.randn(1, 16, 3, 4, 6), torch.randn(1, 16, 1, 8, 8)
    said, nothing = torch.randn(1, 20, config["text_dim"]), torch.randn(1, 20, config["text_dim"])
    with torch.no_grad():
        seen = see_face(stock, adapters, face, said, (3, 2, 3))
        first = upstream(latents, torch.tensor([900.0]), said, ip_image=face)
        later = upstream(latents, torch.tensor([300.0]), nothing)  # from what it keeps of the face
        ours = [
            velocity_with(stock, seen, latents, torch.tensor([t]), text)
            for t, text in ((900.0, said), (300.0, nothing))
        ]
        blind = velocity_with(stock, None, latents, torch.tensor([900.0]), said)
    difference = max(worst(first, ours[0]), worst(later, ours[1]))
    note(f"Stand-In: {difference:.1e} (std {first.std():.2f}; without the face {worst(first, blind):.2f})")
    assert difference < 1e-4
    assert worst(first, blind) > 1e-3


def test_lynx(monkeypatch: pytest.MonkeyPatch, note: Note) -> None:
    """The makers' transformer with both adapters, and ours from stock weights and their names."""
    root = checkout("lynx")
    flash = types.ModuleType("flash_attn.flash_attn_interface")

    def attend(q: Any, k: Any, v: Any, *lengths: Any, causal: bool = False) -> torch.Tensor:
        q, k, v = (one.transpose(0, 1)[None] for one in (q, k, v))  # one sequence: no lengths are needed
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1)

    monkeypatch.setattr(flash, "flash_attn_varlen_func", attend, raising=False)
    for name, place in (
        ("modules", root / "modules"),
        ("modules.common", root / "modules/common"),
        ("modules.full", root / "modules/full"),
    ):
        bare_package(monkeypatch, name, place)
    import diffusers.models.transformers.transformer_wan as stock_module
    from diffusers import WanTransformer3DModel
    from diffusers.models.attention_processor import Attention

    monkeypatch.setattr(Attention, "forward", Attention.forward)  # theirs replaces it
    import math
    import typing

    import diffusers.models.embeddings as embeddings
    import diffusers.utils as utilities

    older = {  # names that it takes from the module, which older diffusers had there
        **{name: getattr(typing, name) for name in ("Any", "Dict", "List", "Optional", "Tuple", "Union")},
        **{
            name: getattr(embeddings, name)
            for name in ("get_1d_rotary_pos_embed", "PixArtAlphaTextProjection", "TimestepEmbedding", "Timesteps")
        },
        **{name: getattr(utilities, name) for name in ("USE_PEFT_BACKEND", "scale_lora_layers", "unscale_lora_layers")},
        "Attention": Attention,
        "F": torch.nn.functional,
        "math": math,
    }
    for name, what in older.items():
        monkeypatch.setattr(stock_module, name, what, raising=False)
    for name, module in (("flash_attn", types.ModuleType("flash_attn")), (flash.__name__, flash)):
        monkeypatch.setitem(sys.modules, name, module)
    theirs = importlib.import_module("modules.full.transformer_wan")
    processors = importlib.import_module("modules.full.attention_processor")
    resampling = importlib.import_module("modules.common.resampler")

    from mmbench.baselines.lynx.adapters import LynxAdapters, Scales, see_person, velocity_with
    from mmbench.baselines.wan.tiny import transformer_config
    from mmbench.model.network.perceiver import resampler_keys

    torch.manual_seed(0)
    config = transformer_config()
    width = config["num_attention_heads"] * config["attention_head_dim"]
    stock = WanTransformer3DModel(**config).eval()
    adapters = LynxAdapters(config["num_layers"], width, registers=2, depth=2, inner=16).eval()
    for layer in adapters.identity:
        torch.nn.init.normal_(layer.registers)
    upstream = theirs.WanTransformer3DModel(**config).eval()
    upstream.load_state_dict(stock.state_dict())
    _, identity = processors.register_ip_adapter(upstream, cross_attention_dim=width, n_registers=2)
    _, reference = processors.register_ref_adapter(upstream)
    identity.load_state_dict(adapters.identity.state_dict())
    reference.load_state_dict(adapters.reference.state_dict())
    resampler = resampling.Resampler(
        dim=16, depth=2, dim_head=16, heads=1, num_queries=16, embedding_dim=512, output_dim=width
    ).eval()
    own = {ours: up for up, ours in resampler_keys(2, learned_queries=True).items()}
    resampler.load_state_dict({own[name]: value for name, value in adapters.resampler.state_dict().items()})
    latents, picture = torch.randn(1, 16, 3, 4, 6), torch.randn(1, 16, 1, 4, 4)
    text, of_a_face, vector = (
        torch.randn(1, 20, config["text_dim"]),
        torch.randn(1, 20, config["text_dim"]),
        torch.randn(512),
    )
    scales = Scales(0.7, 1.3)
    with torch.no_grad():
        seen = upstream([picture], torch.tensor([0]), [of_a_face], attention_kwargs={"ref_feature_extractor": True})
        given = {
            "ip_hidden_states": [resampler(vector[None, None])],
            "ip_scale": scales.identity,
            "ref_buffer": seen,
            "ref_scale": scales.reference,
        }
        expected = upstream(latents, torch.tensor([700]), text, return_dict=False, attention_kwargs=given)[0]
        person = see_person(stock, adapters, vector, picture, of_a_face)
        ours = velocity_with(stock, person, scales, latents, torch.tensor([700]), text)
        plain = velocity_with(stock, person, Scales(0.0, 0.0), latents, torch.tensor([700]), text)
    difference = worst(expected, ours)
    note(f"Lynx: {difference:.1e} (std {expected.std():.2f}; without its adapters {worst(expected, plain):.2f})")
    assert difference < 1e-4
    assert worst(expected, plain) > 1e-3
