"""Loaders of published weight files: every key accounted for, converters checked by a round trip and a frozen hash."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmbench.baselines.contract import Model
from mmbench.baselines.registry import create, create_first_frame
from mmbench.errors import MissingWeights, WeightsError

Tiny = Callable[[str], Path]
Nested = dict[str, torch.Tensor | dict[str, torch.Tensor]]

# model, variant, file below the weights folder, path of dict keys to its tensors
FILES = [
    ("dynamicrafter", "tiny", "Doubiiu--DynamiCrafter_1024/model.ckpt", ("state_dict",)),
    ("dynamicrafter", "tiny-256", "Doubiiu--DynamiCrafter/model.ckpt", ("state_dict",)),
    ("id_animator", "tiny", "ID-Animator--ID-Animator/animator.ckpt", ("state_dict",)),
    ("id_animator", "tiny", "ID-Animator--ID-Animator/mm_sd_v15_v2.ckpt", ()),
    ("id_animator", "tiny", "ID-Animator--ID-Animator/realisticVisionV60B1_v51VAE.safetensors", ()),
    ("photomaker_v2", "tiny", "TencentARC--PhotoMaker-V2/photomaker-v2.bin", ("id_encoder",)),
    ("photomaker_v2", "tiny", "TencentARC--PhotoMaker-V2/photomaker-v2.bin", ("lora_weights",)),
    (
        "easyanimate",
        "tiny-v5",
        "alibaba-pai--EasyAnimateV5-12b-zh-InP/transformer/diffusion_pytorch_model.safetensors",
        (),
    ),
    ("easyanimate", "tiny-v5", "alibaba-pai--EasyAnimateV5-12b-zh-InP/vae/diffusion_pytorch_model.safetensors", ()),
    ("cogvideox", "tiny", "THUDM--CogVideoX-5b/transformer/diffusion_pytorch_model.safetensors", ()),
    ("consisid", "tiny", "BestWishYsh--ConsisID-preview/transformer/diffusion_pytorch_model.safetensors", ()),
]


def model(name: str) -> Model:
    return create_first_frame(name) if name == "photomaker_v2" else create(name)


def read(path: Path) -> Nested:
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    found: Nested = torch.load(path, weights_only=True)
    return found


def write(state: Nested, path: Path) -> None:
    path.unlink()
    if path.suffix == ".safetensors":
        save_file({key: value for key, value in state.items() if isinstance(value, torch.Tensor)}, path)
    else:
        torch.save(state, path)


def spoilt(folder: Path, tmp_path: Path, file: str, keys: tuple[str, ...], how: str) -> Path:
    """A copy of a tiny folder with one file changed."""
    copy = tmp_path / "weights"
    shutil.copytree(folder, copy)
    state = read(copy / file)
    tensors = state
    for key in keys:
        tensors = tensors[key]  # type: ignore[assignment]
    victim = next(
        key
        for key, value in tensors.items()
        if isinstance(value, torch.Tensor) and value.ndim > 1 and "pos_encoder" not in key
    )
    if how == "unknown":
        tensors["model.diffusion_model.mystery.weight"] = torch.zeros(2)
    elif how == "missing":
        del tensors[victim]
    else:
        tensors[victim] = torch.zeros((1, *tensors[victim].shape))
    write(state, copy / file)
    return copy


@pytest.mark.parametrize("how", ["unknown", "missing", "shape"])
@pytest.mark.parametrize(("name", "variant", "file", "keys"), FILES)
def test_a_file_that_does_not_fit_is_refused(
    name: str, variant: str, file: str, keys: tuple[str, ...], how: str, tiny_folder: Tiny, tmp_path: Path
) -> None:
    folder = spoilt(tiny_folder(name), tmp_path, file, keys, how)
    with pytest.raises((WeightsError, RuntimeError, ValueError)) as found:
        model(name).load("cpu", "auto", variant, folder)
    if how != "shape":
        assert isinstance(found.value, WeightsError), repr(found.value)


@pytest.mark.parametrize(
    ("name", "variant", "file"),
    # diffusers opens the folders of the other two
    sorted({(n, v, f) for n, v, f, _ in FILES if n not in ("cogvideox", "consisid")}),
)
def test_a_damaged_or_absent_file_is_named(
    name: str, variant: str, file: str, tiny_folder: Tiny, tmp_path: Path
) -> None:
    copy = tmp_path / "weights"
    shutil.copytree(tiny_folder(name), copy)
    path = copy / file
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match=path.name):
        model(name).load("cpu", "auto", variant, copy)
    path.unlink()
    with pytest.raises(MissingWeights, match=path.name):
        model(name).load("cpu", "auto", variant, copy)


def test_a_file_that_would_run_code_is_refused(tiny_folder: Tiny, tmp_path: Path) -> None:
    copy = tmp_path / "weights"
    shutil.copytree(tiny_folder("dynamicrafter"), copy)
    path = copy / "Doubiiu--DynamiCrafter_1024/model.ckpt"
    path.unlink()
    torch.save({"state_dict": Path("/")}, path)
    with pytest.raises(WeightsError, match="cannot be read"):
        create("dynamicrafter").load("cpu", "auto", "tiny", copy)


def test_dynamicrafter_in_deepspeeds_wrapping(tiny_folder: Tiny, tmp_path: Path) -> None:
    from mmbench.baselines.dynamicrafter.layout import RECIPES
    from mmbench.baselines.dynamicrafter.tiny import LAYOUT
    from mmbench.baselines.dynamicrafter.weights import read_checkpoint

    plain = tiny_folder("dynamicrafter") / "Doubiiu--DynamiCrafter_1024/model.ckpt"
    state = torch.load(plain, weights_only=True)["state_dict"]
    wrapped = tmp_path / "model.ckpt"
    torch.save({"module": {f"_forward_module.{key}": value for key, value in state.items()}}, wrapped)
    ours, theirs = (read_checkpoint(path, LAYOUT, RECIPES["1024"]) for path in (plain, wrapped))
    for key, value in ours.unet.state_dict().items():
        assert torch.equal(theirs.unet.state_dict()[key], value)


def test_a_variants_file_in_anothers_folder_is_noticed(tiny_folder: Tiny) -> None:
    from mmbench.baselines.dynamicrafter.layout import RECIPES
    from mmbench.baselines.dynamicrafter.tiny import LAYOUT
    from mmbench.baselines.dynamicrafter.weights import read_checkpoint

    path = tiny_folder("dynamicrafter") / "Doubiiu--DynamiCrafter_1024/model.ckpt"
    with pytest.raises(WeightsError, match="dynamic rescale"):
        read_checkpoint(path, LAYOUT, RECIPES["512"])


def test_every_tensor_of_the_1024_network_lands_once_under_the_expected_name() -> None:
    """The key map over the full-size network's 1,516 names, without its weights."""
    from mmbench.baselines.dynamicrafter.layout import Layout
    from mmbench.baselines.dynamicrafter.unet import build_unet
    from mmbench.baselines.dynamicrafter.weights import unet_key
    from mmbench.baselines.loading.ldm_names import unet_state

    with torch.device("meta"):
        own = build_unet(Layout(), learn_scale=False).state_dict()
    assert len(own) == 1516
    rates = {key for key in own if key.startswith("time_embedding.linear")}
    plain = {
        key.replace("time_embedding.base.", "time_embedding."): value for key, value in own.items() if key not in rates
    }
    published = [key.replace(".processor.", ".") for key in unet_state(plain)]
    published += [f"fps_embedding.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")]
    assert len(set(published)) == 1516
    assert {unet_key(key) for key in published} == set(own)
    assert "middle_block.3.temopral_conv.conv1.0.weight" in published
    assert "output_blocks.5.3.conv.weight" in published
    assert "output_blocks.2.1.conv.weight" in published
    frozen = hashlib.sha256(json.dumps(sorted((key, unet_key(key)) for key in published)).encode()).hexdigest()
    assert frozen == "94e0ea97eece6dcc8089edff1ee98489318602a7b05673dd742d81440d2b4070"


def test_id_animators_layers_are_the_odd_ones_in_upstreams_order() -> None:
    from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

    from mmbench.baselines.id_animator.weights import cross_attentions

    with torch.device("meta"):
        flat = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8
        )
        motion = UNetMotionModel.from_unet2d(flat, MotionAdapter(), load_weights=False)
    found = cross_attentions(motion)
    assert len(motion.attn_processors) == 74
    assert list(found) == list(range(1, 32, 2))
    assert found == cross_attentions(flat)
    assert found[1] == "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
    assert found[13] == "up_blocks.1.attentions.0.transformer_blocks.0.attn2"
    assert found[31] == "mid_block.attentions.0.transformer_blocks.0.attn2"


def test_missing_shards_are_named(tiny_folder: Tiny, tmp_path: Path) -> None:
    copy = tmp_path / "weights"
    shutil.copytree(tiny_folder("cogvideox"), copy)
    folder = copy / "THUDM--CogVideoX-5b" / "transformer"
    index = {"weight_map": {"a": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MissingWeights, match="00001-of-00002"):
        create("cogvideox").load("cpu", "auto", "tiny", copy)


def test_two_makings_hold_equal_numbers(tiny_folder: Tiny, tmp_path: Path) -> None:
    from mmbench.baselines.loading.tiny import make_tiny

    state = torch.random.get_rng_state()
    again = make_tiny(tmp_path, "photomaker_v2")
    assert torch.equal(torch.random.get_rng_state(), state)
    file = "TencentARC--PhotoMaker-V2/photomaker-v2.bin"
    first, second = (torch.load(folder / file, weights_only=True) for folder in (tiny_folder("photomaker_v2"), again))
    for part in ("id_encoder", "lora_weights"):
        assert first[part].keys() == second[part].keys()
        assert all(torch.equal(value, second[part][key]) for key, value in first[part].items())


def test_photomakers_unused_projections_are_part_of_the_file_but_not_loaded(tiny_folder: Tiny) -> None:
    maker = create_first_frame()
    maker.load("cpu", "auto", "tiny", tiny_folder("photomaker_v2"))
    encoder = maker.encoder  # type: ignore[attr-defined]
    state = torch.load(tiny_folder("photomaker_v2") / "TencentARC--PhotoMaker-V2/photomaker-v2.bin", weights_only=True)[
        "id_encoder"
    ]
    loaded = sum(value.numel() for value in encoder.parameters())
    assert loaded + encoder.unused == sum(value.numel() for value in state.values())
    assert maker.merged == 32  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("file", "key", "fits"),
    [
        ("text_encoder", "text_model.embeddings.position_ids", True),
        ("text_encoder", "text_model.mystery.weight", False),
        ("vae", "mystery.weight", False),
    ],
)
def test_position_ids_of_old_files_are_no_left_over_weights(
    file: str, key: str, fits: bool, tiny_folder: Tiny, tmp_path: Path
) -> None:
    copy = tmp_path / "weights"
    shutil.copytree(tiny_folder("photomaker_v2"), copy)
    (path,) = (copy / "SG161222--RealVisXL_V4.0" / file).glob("*.safetensors")
    state = load_file(path)
    path.unlink()
    save_file(state | {key: torch.zeros((1, 77), dtype=torch.int64)}, path, metadata={"format": "pt"})
    maker = create_first_frame()
    if fits:
        maker.load("cpu", "auto", "tiny", copy)
    else:
        with pytest.raises(WeightsError, match="mystery"):
            maker.load("cpu", "auto", "tiny", copy)


def test_berts_pooler_is_not_run_and_may_be_absent(tiny_folder: Tiny, tmp_path: Path) -> None:
    copy = tmp_path / "weights"
    shutil.copytree(tiny_folder("easyanimate"), copy)
    path = copy / "alibaba-pai--EasyAnimateV5-12b-zh-InP" / "text_encoder" / "model.safetensors"
    state = load_file(path)
    assert any(key.startswith("pooler.") for key in state)

    def keep(without: str) -> None:
        path.unlink()
        kept = {key: value for key, value in state.items() if without not in key}
        save_file(kept, path, metadata={"format": "pt"})

    keep("pooler.")
    model("easyanimate").load("cpu", "auto", "tiny-v5", copy)
    keep("layer.0.attention.self.query")
    with pytest.raises(WeightsError, match="missing_keys"):
        model("easyanimate").load("cpu", "auto", "tiny-v5", copy)


def test_a_folder_may_not_name_modules_of_its_own(tiny_folder: Tiny, tmp_path: Path) -> None:
    copy = tmp_path / "weights"
    shutil.copytree(tiny_folder("cogvideox"), copy)
    index = copy / "THUDM--CogVideoX-5b" / "model_index.json"
    document = json.loads(index.read_text())
    document["transformer"] = ["antigravity", "Transformer"]
    index.write_text(json.dumps(document))
    with pytest.raises(WeightsError, match="antigravity"):
        model("cogvideox").load("cpu", "auto", "tiny", copy)
