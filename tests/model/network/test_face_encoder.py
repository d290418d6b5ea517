"""The face encoder: several references, which hidden states are read, PhotoMaker's weights, saving."""

from __future__ import annotations

import pytest
import torch

from mmbench.errors import MissingWeights, WeightsError
from mmbench.model.network.configs import size_named
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return MagicMirrorFaceEncoder(**size_named("smoke").face_encoder).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def views():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 3, 32, 32, generator=generator), torch.randn(2, 3, 32, generator=generator)


def test_shapes_do_not_depend_on_the_number_of_references(encoder, views):
    for n in (1, 2, 3):
        face = encoder(views[0][:, :n], views[1][:, :n])
        assert face.identity.shape == (2, 2, 32)
        assert face.tokens.shape == (2, 4, 32)


def test_identity_is_the_mean_over_references(encoder, views):
    whole = encoder(*views).identity
    each = torch.stack([encoder(views[0][:, i : i + 1], views[1][:, i : i + 1]).identity for i in range(3)])
    assert torch.allclose(whole, each.mean(dim=0), atol=1e-5)


def test_order_of_references_does_not_matter(encoder, views):
    turned = encoder(views[0].flip(1), views[1].flip(1))
    face = encoder(*views)
    assert torch.allclose(face.identity, turned.identity, atol=1e-5)
    assert torch.allclose(face.tokens, turned.tokens, atol=1e-5)


def test_batch_of_two_equals_two_singles(encoder, views):
    face = encoder(*views)
    for b in range(2):
        one = encoder(views[0][b : b + 1], views[1][b : b + 1])
        assert torch.allclose(face.tokens[b : b + 1], one.tokens, atol=1e-5)


def test_tau_id_reads_the_last_layer_and_tau_face_the_one_before(encoder, views):
    import copy

    changed = copy.deepcopy(encoder)
    last_layer = next(m for n, m in changed.vision.named_modules() if n.endswith("layers.1"))
    for parameter in last_layer.parameters():
        torch.nn.init.normal_(parameter)
    before, after = encoder(*views), changed(*views)
    assert torch.equal(before.tokens, after.tokens)
    assert not torch.allclose(before.identity, after.identity)


def test_embedding_is_not_normalised(encoder, views):
    scaled = encoder(views[0], 2 * views[1])
    assert not torch.allclose(scaled.identity, encoder(*views).identity, atol=1e-3)


def test_fusion_starts_as_the_base(encoder, views):
    fresh = MagicMirrorFaceEncoder(**size_named("smoke").face_encoder)
    text, mask = torch.randn(2, 5, 32), torch.eye(5, dtype=torch.bool)[:2]
    assert torch.equal(fresh.fuse(text, mask, encoder(*views)), text)


def test_photomaker_weights(encoder, tmp_path, monkeypatch):
    """Only CLIP and tau_id are taken, under the published key names."""
    from mmbench.model.network import face_encoder as module
    from mmbench.model.network import photomaker
    from mmbench.model.network.fusion import FusionMLP
    from mmbench.model.network.perceiver import tau_id_keys

    torch.manual_seed(5)
    source = MagicMirrorFaceEncoder(**size_named("smoke").face_encoder)
    state = {f"vision_model.{k.removeprefix('vision_model.')}": v for k, v in source.vision.state_dict().items()}
    state |= {f"qformer_perceiver.{up}": source.tau_id.state_dict()[our] for up, our in tau_id_keys(1).items()}
    fusion = FusionMLP(8, 8, norm=True).state_dict()
    state |= {f"fuse_module.{up}": fusion[our] for up, our in photomaker._FUSION_KEYS.items()}
    path = tmp_path / "photomaker-v2.bin"
    torch.save({"id_encoder": state, "lora_weights": {}}, path)
    split = photomaker.split_state
    monkeypatch.setattr(photomaker, "split_state", lambda s, source: split(s, source, depth=1))
    target = MagicMirrorFaceEncoder(**size_named("smoke").face_encoder)
    before = {n: target.get_parameter(n).clone() for n in target.trained_parameter_names()}
    target.load_photomaker(path)
    for part in ("vision", "tau_id"):
        ours, theirs = getattr(target, part).state_dict(), getattr(source, part).state_dict()
        assert all(torch.equal(ours[k], theirs[k]) for k in theirs)
    assert all(torch.equal(target.get_parameter(n), v) for n, v in before.items())
    assert module.FROZEN_PARTS == ("vision.", "tau_id.")
    with pytest.raises(MissingWeights, match="PhotoMaker-V2"):
        target.load_photomaker(tmp_path / "absent.bin")


def test_save_load_and_missing_parameter(encoder, views, tmp_path):
    from safetensors.torch import load_file, save_file

    encoder.save_pretrained(tmp_path)
    again = MagicMirrorFaceEncoder.from_pretrained(str(tmp_path)).eval()
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in encoder.state_dict().items())
    # a file's weights lie elsewhere in memory, and sums may round otherwise
    assert torch.allclose(again(*views).tokens, encoder(*views).tokens, atol=1e-5)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if k != "tau_face.queries"}, file)
    with pytest.raises(WeightsError, match=r"tau_face\.queries"):
        MagicMirrorFaceEncoder.from_pretrained(str(tmp_path))


def test_freezing_leaves_what_is_trained():
    encoder = MagicMirrorFaceEncoder(**size_named("smoke").face_encoder)
    encoder.freeze_pretrained()
    trained = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert trained == set(encoder.trained_parameter_names())
    assert {n.split(".")[0] for n in trained} == {"tau_face", "fusion"}
