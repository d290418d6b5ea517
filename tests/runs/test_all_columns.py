"""All columns end to end with tiny random networks: one decode, one pass of each network, and honest marks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import mmbench.testsets
from mmbench.config import EvaluateSettings
from mmbench.encode.inception_net import FidInception
from mmbench.encode.viclip import ViClip
from mmbench.face.dlib_backend import DlibBackend
from mmbench.flow.raft import RaftFlow
from mmbench.items import Item
from mmbench.metrics.registry import facts_by_name
from mmbench.reports.tables import TableOptions, build_table
from mmbench.runs.evaluate import EvaluateResult, evaluate
from mmbench.runs.items_in import read_manifest
from mmbench.video import read

RANDOM = ("dynamic_degree", "text_alignment", "motion_smoothness", "id_similarity_arcface", "success_average")
TRAINED = ("id_similarity", "similarity_decay", "fm_ref", "fm_inter", "face_rate")


@pytest.fixture(scope="module")
def items() -> list[Item]:
    """Two bundled clips of two people."""
    everything = read_manifest(Path(mmbench.testsets.__path__[0]) / "synthetic50" / "manifest.csv")
    return [item for item in everything if item.model == "truth" and item.identity in ("man-00", "woman-00")]


@pytest.fixture(scope="module")
def counted(items: list[Item], tmp_path_factory: pytest.TempPathFactory) -> tuple[EvaluateResult, Counter[str]]:
    """The evaluation of all columns, and how often each network looked at how many frames or pairs."""
    calls: Counter[str] = Counter()

    def count(name: str, amount: Any) -> Any:
        def wrap(original: Any) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                calls[name] += amount(*arguments)
                return original(*arguments, **options)

            return call

        return wrap

    with pytest.MonkeyPatch.context() as patch:

        def watch(owner: Any, attribute: str, name: str, amount: Any) -> None:
            patch.setattr(owner, attribute, count(name, amount)(getattr(owner, attribute)))

        watch(read, "stream_frames", "decodes", lambda *_: 1)
        watch(RaftFlow, "encode", "frames encoded for flow", lambda _, frames: len(frames))
        watch(RaftFlow, "flows", "flows", lambda _, firsts, *__: len(firsts))
        watch(DlibBackend, "detect_fast", "frames searched for faces", lambda _, frames: len(frames))
        watch(ViClip, "video", "clips encoded for text", lambda *_: 1)
        watch(FidInception, "forward", "frames classified", lambda _, frames: len(frames))
        run = tmp_path_factory.mktemp("columns")
        result = evaluate(items, run, EvaluateSettings(random_weights=True))
    return result, calls


def test_every_column_has_a_value(counted: tuple[EvaluateResult, Counter[str]]) -> None:
    result, _ = counted
    assert result.complete, result.errors
    for row in result.rows:
        for name in (*RANDOM, *TRAINED):
            score = row.score(name)
            assert score is not None
            assert score.status == "ok", (row.item.id, score)


def test_one_decode_and_one_look_of_each_network(
    items: list[Item], counted: tuple[EvaluateResult, Counter[str]]
) -> None:
    result, calls = counted
    frames = [row.clip.n_frames for row in result.rows if row.clip]
    strides = [max(1, round(row.clip.fps / 8)) for row in result.rows if row.clip]
    sampled = [-(-n // stride) for n, stride in zip(frames, strides, strict=True)]
    references = sum(len(item.references) for item in items)
    assert calls["decodes"] == len(items)
    assert calls["frames encoded for flow"] == sum(sampled)
    assert calls["flows"] == sum(n - 1 for n in sampled)
    assert calls["clips encoded for text"] == len(items)
    assert calls["frames classified"] == sum(frames)
    # references are looked at once more when the first look finds nothing, hence the two bounds
    assert sum(frames) + references <= calls["frames searched for faces"] <= sum(frames) + 2 * references


def test_random_numbers_are_marked_and_kept_out_of_tables(counted: tuple[EvaluateResult, Counter[str]]) -> None:
    result, _ = counted
    for row in result.rows:
        for name in RANDOM:
            made = row.score(name).provenance  # type: ignore[union-attr]
            assert made is not None
            assert made.random_weights, name
        for name in TRAINED:
            assert not row.score(name).provenance.random_weights  # type: ignore[union-attr]
    hidden = build_table(result.rows, result.sets, facts_by_name())
    shown = build_table(result.rows, result.sets, facts_by_name(), TableOptions(random_weights="show"))
    column = [c.facts.name for c in hidden.columns].index("dynamic_degree")
    assert hidden.rows[0].cells[column].state == "missing"
    assert shown.rows[0].cells[column].state == "value"
