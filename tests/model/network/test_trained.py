"""What is trained, by variant and by pattern, and the fusion MLP's two norms."""

from __future__ import annotations

import pytest
import torch

from mmbench.errors import RequestError
from mmbench.model.network.configs import size_named
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
from mmbench.model.network.fusion import FusionMLP, word_positions
from mmbench.model.network.trained import matching_parameters, trained_parameters
from mmbench.model.network.variants import VARIANTS

PARTS = {
    "A": {"fusion"},
    "B": {"tau_face", "face_proj", "null_face", "adapters"},
    "C": {"fusion", "tau_face", "face_proj", "null_face", "adapters"},
    "D": {"tau_face", "face_proj", "null_face", "adapters"},
    "E": {"fusion", "id_proj", "adapters"},
    "no-CAN": {"fusion", "tau_face", "face_proj", "null_face", "adapters"},
}
ALL = {"fusion", "tau_face", "face_proj", "id_proj", "null_face", "adapters"}


@pytest.mark.parametrize("name", list(VARIANTS))
@pytest.mark.parametrize("own", [True, False])
def test_trained_parts_of_every_variant(make_model, name, own):
    """Also beside a face encoder that has more parts than the variant uses."""
    switches = VARIANTS[name].face_encoder_config() if own else {}
    encoder = MagicMirrorFaceEncoder(**size_named("smoke").face_encoder, **switches)
    model = make_model(**VARIANTS[name].transformer_config())
    wanted = {"C": PARTS["C"], "F": PARTS["C"]}.get(name, PARTS.get(name, ALL))
    assert {key.split(".")[1] for key in trained_parameters(model, encoder)} == wanted


def test_norms_of_the_base_alone(make_model):
    model = make_model()
    found = matching_parameters(model)
    assert len(found) == 4 * len(model.transformer_blocks)
    assert all(".linear." in name for name in found)
    with pytest.raises(RequestError, match="nowhere"):
        matching_parameters(model, "nowhere")


def test_freezing_the_base_leaves_the_adapter(make_model):
    model = make_model()
    model.freeze_base()
    assert {n for n, p in model.named_parameters() if p.requires_grad} == set(model.identity_parameter_names())


@pytest.mark.parametrize("split", [False, True])
def test_text_and_identity_are_normalised_apart(split):
    """In one LayerNorm small text rows almost vanish beside the identity; in two, both have unit variance."""
    torch.manual_seed(0)
    fusion = FusionMLP(64, 64, split_norm=split)
    seen = []
    fusion.in1.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    text = 0.1 * torch.randn(3, 64)
    fusion(text, torch.randn(3, 64))
    spread = seen[0][:, :64].std(), seen[0][:, 64:].std()
    assert spread[1] > 0.9
    assert bool(spread[0] > 0.9) is split
    fusion.reset_parameters()
    assert torch.equal(fusion(text, torch.randn(3, 64)), text)


def test_split_norm_is_a_setting_of_the_face_encoder(tmp_path):
    encoder = MagicMirrorFaceEncoder(**size_named("smoke").face_encoder, fuse_split_norm=True)
    encoder.save_pretrained(tmp_path)
    again = MagicMirrorFaceEncoder.from_pretrained(str(tmp_path))
    assert again.fusion.norm_id is not None


def test_positions_of_words():
    mask = torch.tensor([[False, True, True, False], [False, False, False, False], [True, False, False, True]])
    assert word_positions(mask).tolist() == [[1, 2], [-1, -1], [0, 3]]
    assert word_positions(mask, 3).tolist() == [[1, 2, -1], [-1, -1, -1], [0, 3, -1]]
    assert word_positions(mask[1:2]).shape == (1, 0)
    with pytest.raises(ValueError, match="2 tokens"):
        word_positions(mask, 1)
