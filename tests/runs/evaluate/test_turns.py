"""Networks in turns: what computes is there, what is there fits, and the numbers are those of networks that stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import mmbench.testsets
from mmbench.config import EvaluateSettings, FaceSettings
from mmbench.errors import MMBenchError
from mmbench.metrics.base import FrameNeed, Networks
from mmbench.metrics.registry import metric_class, metric_names
from mmbench.runs.evaluate import gather
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.items import read_manifest
from mmbench.runs.evaluate.profile import MOVING, profiled, read_profile
from mmbench.turns import Turns, networks_in

CPU = torch.device("cpu")
TINY = EvaluateSettings(random_weights=True)


class Encoder:
    """An object of ours that holds a network and has a way in beside `forward`."""

    def __init__(self, width: int) -> None:
        self.width, self.network = width, nn.Sequential(nn.Linear(width, 1, bias=False))

    def encode(self) -> Tensor:
        code: Tensor = self.network[0](torch.ones(self.width))
        return code


Encoder.__module__ = "mmbench.somewhere"  # as those that are searched


@settings(max_examples=60, deadline=None)
@given(
    widths=st.lists(st.integers(1, 50), min_size=1, max_size=6),
    calls=st.lists(st.integers(0, 5), max_size=30),
    spare=st.integers(0, 60),
)
def test_who_computes_is_there_and_all_that_is_there_fits(widths: list[int], calls: list[int], spare: int) -> None:
    budget = 4 * (max(widths) + spare)
    seen: list[int] = []
    turns = Turns(budget, CPU, lambda network, device: seen.append(id(network)))
    encoders = [Encoder(width) for width in widths]
    for encoder in encoders:
        turns.admit(encoder)
        assert turns.inside() <= budget
    last: list[int] = []
    for call in calls:
        encoder = encoders[call % len(encoders)]
        before = turns.moves
        there = id(encoder.network) in turns._inside
        encoder.encode()
        assert turns.moves == before + (not there)
        assert id(encoder.network) in turns._inside and turns.inside() <= budget
        last = [one for one in last if one != id(encoder.network)] + [id(encoder.network)]
        called = [key for key in turns._inside if key in last]
        assert called == last[-len(called) :]  # those that went were called before those that stayed
    if sum(widths) * 4 <= budget:
        assert turns.moves == 0 and not seen


def test_a_network_beyond_the_budget_is_refused_by_name() -> None:
    with pytest.raises(MMBenchError, match=r"Sequential.*network_gib"):
        Turns(40, CPU).admit(Encoder(11))


def test_what_waits_elsewhere_and_what_is_known_is_left_alone() -> None:
    turns = Turns(1000, CPU)
    encoder = Encoder(3)
    turns.admit(encoder)
    turns.admit([encoder.network[0], nn.Linear(2, 2, device="meta")])
    assert turns.inside() == 12


OPTIONAL = ("clip_score", "aesthetic", "facesim_cur", "facesim_arc", "human_identity", "face_feature_distance")
OF_ONNXRUNTIME = {"scrfd", "arcface", "official arc"}


def test_every_network_of_every_column_is_found() -> None:
    """A column whose network hides from the search would never leave the device."""
    pytest.importorskip("onnxruntime")
    networks = Networks()
    for name in (*metric_names(), *OPTIONAL):
        for need in metric_class(name).from_settings(TINY).needs:
            if isinstance(need, FrameNeed):
                need.make(TINY, networks)
    held: dict[str, int] = {}
    for key, made in networks._made.items():
        assert isinstance(key, tuple)
        name = " ".join(key[:2]) if key[0] == "official" else str(key[0])
        held[name] = len(list(networks_in(made)))
    assert {name for name, count in held.items() if not count} == OF_ONNXRUNTIME & held.keys()
    assert len(held) >= 8


def test_rows_are_those_of_networks_that_all_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = read_manifest(Path(mmbench.testsets.__path__[0]) / "synthetic50" / "manifest.csv")
    items = [item for item in everything if item.model == "truth"][:2]
    chosen = EvaluateSettings(
        metrics=("text_alignment", "inception_score", "clip_score", "dynamic_degree", "id_similarity"),
        face=FaceSettings(frames="sampled"),
        random_weights=True,
    )
    stay = evaluate(items, tmp_path / "stay", chosen)
    made: list[Turns] = []

    def few(_: EvaluateSettings) -> Turns:
        made.append(Turns(30 << 20, CPU))
        return made[-1]

    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gather, "_turns", few)
    with profiled(tmp_path / "times"):
        turns = evaluate(items, tmp_path / "turns", chosen)
    assert sum(one.moves for one in made) > 0
    _, parts = read_profile(tmp_path / "times")
    assert [part.seconds > 0 for part in parts if part.name == MOVING] == [True]
    assert all(part.seconds >= -0.01 for part in parts)
    for one, other in zip(stay.rows, turns.rows, strict=True):
        assert [(score.metric, score.reason) for score in one.scores] == [
            (score.metric, score.reason) for score in other.scores
        ]
        for score in one.scores:  # the networks were made anew, which may round otherwise
            again = other.score(score.metric)
            assert again is not None and again.value == (score.value and pytest.approx(score.value, rel=1e-5, abs=1e-5))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_holds_no_more_than_it_is_allowed() -> None:
    turns = Turns(3 << 20, torch.device("cuda"))
    networks = [nn.Linear(700, 700, device="cuda") for _ in range(3)]
    before = [network(torch.ones(700, device="cuda")).cpu() for network in networks]
    turns.admit(networks)
    for _ in range(2):
        for network, expected in zip(networks, before, strict=True):
            assert torch.equal(network(torch.ones(700, device="cuda")).cpu(), expected)
            there = sum(one.weight.numel() * 4 + 2800 for one in networks if one.weight.device.type == "cuda")
            assert there == turns.inside() <= turns.budget
