from __future__ import annotations

import numpy as np
import pytest
import torch

from mmbench.encode.clip.aesthetic import AestheticHead, early_frames, spread_frames
from mmbench.encode.clip.frames import MEAN, STD, ClipEyes, processed
from mmbench.encode.clip.net import BASE_32, LARGE_14, TINY, clip_network, from_transformers
from mmbench.errors import WeightsError
from mmbench.scores import Provenance
from mmbench.weights import load_strict


def hub_model(size):
    """transformers' CLIP of that size, random."""
    transformers = pytest.importorskip("transformers")
    vision = {
        "hidden_size": size.vision_width,
        "intermediate_size": 4 * size.vision_width,
        "num_hidden_layers": size.vision_layers,
        "num_attention_heads": size.vision_width // size.head,
        "patch_size": size.patch,
    }
    text = {
        "hidden_size": size.text_width,
        "intermediate_size": 4 * size.text_width,
        "num_hidden_layers": size.text_layers,
        "num_attention_heads": size.text_width // size.head,
        "eos_token_id": 49407,
    }
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=size.out)
    return transformers.CLIPModel(config).eval()


def test_one_random_state_dict_in_both_gives_equal_scores():
    torch.manual_seed(0)
    theirs, ours = hub_model(TINY), clip_network(TINY)
    load_strict(ours, from_transformers(theirs.state_dict()), "random")
    eyes = ClipEyes(ours, Provenance("clip"), "cpu")
    cuts = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    text, dropped = eyes.text("a woman rides a horse along the beach")
    tokens = eyes._tokenizer(["a woman rides a horse along the beach"])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    pixels = (torch.from_numpy(cuts).permute(0, 3, 1, 2).float() / 255 - mean) / std
    with torch.inference_mode():
        logits = theirs(input_ids=tokens, pixel_values=pixels).logits_per_image[:, 0].numpy()
    pictures = eyes.pictures(cuts)
    cosines = pictures @ text / np.linalg.norm(pictures, axis=1) / np.linalg.norm(text)
    np.testing.assert_allclose(eyes.scale * cosines, logits, atol=1e-4)
    assert dropped == 0 and np.ptp(logits) > 0.01


@pytest.mark.parametrize("size", [BASE_32, LARGE_14], ids=["B/32", "L/14"])
def test_the_published_layout_fits_the_whole_network(size):
    with torch.device("meta"):
        state = from_transformers(hub_model(size).state_dict())
        wanted = clip_network(size).state_dict()
    assert {key: tensor.shape for key, tensor in state.items()} == {key: t.shape for key, t in wanted.items()}


def test_an_unknown_key_is_refused():
    state = from_transformers(hub_model(TINY).state_dict() | {"vision_model.another.weight": torch.ones(1)})
    with pytest.raises(WeightsError, match="left over"):
        load_strict(clip_network(TINY), state, "random")


@pytest.mark.parametrize("height, width", [(480, 720), (720, 480), (224, 224), (101, 333)])
def test_pixels_are_the_processors(height, width):
    transformers = pytest.importorskip("transformers")
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    names = ("CLIPImageProcessorPil", "CLIPImageProcessor")  # the second was PIL's until transformers 5
    processor = next(getattr(transformers, name) for name in names if hasattr(transformers, name))()
    theirs = processor(images=picture, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
    difference = np.abs(processed(picture).astype(int) - np.asarray(theirs).transpose(1, 2, 0).astype(int))
    assert difference.max() <= 1, "another library's bicubic may round otherwise"


def test_the_head_has_the_published_layout_and_scores_unit_features():
    head = AestheticHead()
    weights = [key for key in head.state_dict() if key.endswith("weight")]
    assert weights == [f"layers.{i}.weight" for i in (0, 2, 4, 6, 7)]
    assert head.layers[0].weight.shape == (1024, 768) and head.layers[7].weight.shape == (1, 16)
    eyes = ClipEyes(clip_network(TINY), Provenance("clip"), "cpu", head)
    rows = np.random.default_rng(0).normal(size=(2, 768)).astype(np.float32)
    np.testing.assert_allclose(eyes.aesthetic(rows), eyes.aesthetic(7 * rows), rtol=1e-4)


def test_frames_of_both_scripts():
    assert early_frames(49).tolist() == [int(i * 49 / 16) for i in range(16)]
    assert early_frames(3).max() == 2 and spread_frames(3).max() == 2
    assert len(spread_frames(49)) == 32
