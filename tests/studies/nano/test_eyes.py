"""The recognisers: trained ones know people apart, the figures equal hand counts, files come back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmbench.errors import WeightsError
from mmbench.face.nano.recogniser import NanoRecogniser, load_recogniser
from mmbench.studies.nano.eyes import judged, recognition, train_recogniser
from mmbench.studies.nano.pictures import WorldPictures


def test_a_trained_recogniser_knows_the_drawn_people(drawn_world, tmp_path: Path) -> None:
    network = train_recogniser(WorldPictures(drawn_world, seed=1), steps=150, batch=28, widths=(8, 12, 16))
    known = recognition(network, WorldPictures(drawn_world, seed=2))
    torch.manual_seed(0)
    chance = recognition(lambda seen: torch.randn(len(seen), 8), WorldPictures(drawn_world, seed=2))
    assert known.rank1 > 0.5 > chance.rank1  # discs of one colour each; chance is one in fourteen
    assert known.equal_error < chance.equal_error
    network.save(tmp_path / "eyes.safetensors", {"seed": "1"})
    again = load_recogniser(tmp_path / "eyes.safetensors")
    seen = torch.rand(3, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(again(seen), network(seen), atol=2e-2, rtol=2e-2)  # kept in half precision
    assert network.features(seen).shape == (3, 64, 16)


def test_figures_of_a_hand_example() -> None:
    gallery = torch.eye(4)
    groups = torch.tensor([0, 0, 1, 1])
    queries = torch.tensor([[1.0, 0, 0, 0], [0.9, 0.1, 0, 0], [0, 0, 1, 0], [0.6, 0.0, 0.0, 0.5]])
    found = judged(gallery, queries, torch.tensor([0, 1, 2, 3]), groups)
    assert found.rank1 == 0.5  # the second is taken for the first, the fourth too
    assert found.rank1_in_group == 0.75  # the fourth's nearest of its own group is itself
    perfect = judged(gallery, gallery, torch.arange(4), groups)
    assert (perfect.rank1, perfect.equal_error) == (1.0, 0.0)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"no")
    with pytest.raises(WeightsError, match="no recogniser of the nano world"):
        load_recogniser(path)
    with pytest.raises(WeightsError, match="no recogniser"):
        load_recogniser(tmp_path / "absent.safetensors")
    assert NanoRecogniser((8, 12, 16)).widths == (8, 12, 16)
