"""All columns end to end with tiny random networks: one decode, one pass of each network, and honest marks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmbench.testsets
from mmbench.config import EvaluateSettings, FaceSettings
from mmbench.encode.inception.net import FidInception
from mmbench.encode.viclip.alignment import ViClip
from mmbench.errors import MissingWeights
from mmbench.face.dlib.eyes import DlibBackend
from mmbench.face.dlib.recogniser import DlibRecogniser
from mmbench.face.face_pass import FacePass
from mmbench.face.insightface import eyes as insightface_backend
from mmbench.face.insightface.arcface import ArcFace
from mmbench.face.insightface.scrfd import Scrfd
from mmbench.face.make import make_backend
from mmbench.face.people.references import reference_faces
from mmbench.face.track import SLOTS
from mmbench.flow.raft.flow import RaftFlow
from mmbench.items import Item
from mmbench.metrics.id_similarity import id_similarity
from mmbench.metrics.registry import facts_by_name
from mmbench.reports.numbers.samples import take_samples
from mmbench.reports.table.tables import TableOptions, build_table
from mmbench.runs.evaluate.evaluate import EvaluateResult, evaluate
from mmbench.runs.evaluate.items import read_manifest
from mmbench.video import read
from mmbench.video.read import open_clip

RANDOM = ("dynamic_degree", "text_alignment", "motion_smoothness", "id_similarity_arcface", "success_average")
FACE_METRICS = ("id_similarity", "similarity_decay", "fm_ref", "fm_inter", "face_rate")


@pytest.fixture(scope="module")
def items() -> list[Item]:
    """Two bundled clips of two people."""
    everything = read_manifest(Path(mmbench.testsets.__path__[0]) / "synthetic50" / "manifest.csv")
    return [item for item in everything if item.model == "truth" and item.identity in ("man-00", "woman-00")]


def count_calls(
    items: list[Item], run: Path, settings: EvaluateSettings, monkeypatch: pytest.MonkeyPatch
) -> tuple[EvaluateResult, Counter[str]]:
    """The evaluation, and how often each network looked at how many frames, pairs or cuts."""
    calls: Counter[str] = Counter()

    def watch(owner: Any, attribute: str, name: str, amount: Callable[..., int]) -> None:
        original = getattr(owner, attribute)

        def call(*arguments: Any, **options: Any) -> Any:
            calls[name] += amount(*arguments)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, attribute, call)

    watch(read, "stream_frames", "decodes", lambda *_: 1)
    watch(RaftFlow, "encode", "frames encoded for flow", lambda _, frames: len(frames))
    watch(RaftFlow, "flows", "flows", lambda _, firsts, *__: len(firsts))
    watch(DlibBackend, "detect_fast", "HOG", lambda _, frames: len(frames))
    watch(Scrfd, "detect", "SCRFD", lambda *_: 1)
    watch(DlibRecogniser, "embed", "faces embedded by dlib", lambda _, chips: len(chips))
    watch(ArcFace, "embed", "faces embedded by ArcFace", lambda _, chips: len(chips))
    watch(ViClip, "video", "clips encoded for text", lambda *_: 1)
    watch(FidInception, "forward", "frames classified", lambda _, frames: len(frames))
    monkeypatch.setenv("MMBENCH_CACHE", str(run / "cache"))
    return evaluate(items, run / "run", settings), calls


@pytest.fixture(scope="module")
def counted(items: list[Item], tmp_path_factory: pytest.TempPathFactory) -> tuple[EvaluateResult, Counter[str]]:
    """The evaluation of all columns with the default face backend."""
    with pytest.MonkeyPatch.context() as patch:
        run = tmp_path_factory.mktemp("columns")
        return count_calls(items, run, EvaluateSettings(random_weights=True), patch)


def test_every_column_has_a_value(counted: tuple[EvaluateResult, Counter[str]]) -> None:
    result, _ = counted
    assert result.complete, result.errors
    for row in result.rows:
        for name in (*RANDOM, *FACE_METRICS):
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
    assert sum(frames) + references <= calls["HOG"] <= sum(frames) + 2 * references
    assert calls["SCRFD"] == len(items) * SLOTS + references  # the tiny network finds a face at the first look
    assert calls["faces embedded by dlib"] == embedded(result, "id_similarity") + 2 * references  # mirrored too
    assert calls["faces embedded by ArcFace"] == embedded(result, "id_similarity_arcface") + 2 * references


def embedded(result: EvaluateResult, metric: str) -> int:
    """Frames that stood in for the slots of a metric, each counted once."""
    scores = [row.score(metric) for row in result.rows]
    return sum(len(set(score.details["frames"]) - {-1}) for score in scores if score)


def test_one_detector_serves_both_recognisers(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the face backend insightface: SCRFD looks once, and neither column holds the other recogniser's numbers."""
    settings = EvaluateSettings(
        metrics=(*FACE_METRICS, "id_similarity_arcface"), face=FaceSettings(backend="insightface"), random_weights=True
    )
    result, calls = count_calls(items, tmp_path, settings, monkeypatch)
    assert result.complete, result.errors
    frames = sum(row.clip.n_frames for row in result.rows if row.clip)
    references = sum(len(item.references) for item in items)
    assert calls["SCRFD"] == frames + references
    assert calls["HOG"] == 0
    both = embedded(result, "id_similarity") + 2 * references  # mirrored too
    assert calls["faces embedded by dlib"] == calls["faces embedded by ArcFace"] == both
    labels = {"face_rate": "insightface", "fm_ref": "insightface", "id_similarity_arcface": "insightface"}
    labels |= dict.fromkeys(("id_similarity", "id_verified", "id_centred", "id_rank1"), "insightface+dlib")
    for row in result.rows:
        found = {name: row.score(name) for name in labels}
        assert {name: s and s.provenance and s.provenance.backend for name, s in found.items()} == labels
        assert abs(found["id_similarity"].value - found["id_similarity_arcface"].value) > 1e-3  # type: ignore[union-attr]
        # made by hand: what dlib says of SCRFD's faces
        assert found["id_similarity"].value == pytest.approx(by_hand(row.item), abs=1e-6)  # type: ignore[union-attr]


def by_hand(item: Item) -> float:
    """Mean cosine of dlib's embeddings, main face by SCRFD, without any shared pass."""
    backend = make_backend("insightface+dlib", tiny=True)
    face_pass = FacePass(backend)
    open_clip(item.video, fps=item.fps).decode([face_pass])
    return id_similarity(face_pass.finish().embeddings, reference_faces(item.references, backend).embeddings).value


@pytest.mark.parametrize("backend", ["dlib", "insightface"])
def test_arcface_alone_has_the_same_numbers(
    backend: str, items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other columns a run holds changes no number, whether ArcFace's faces are shared or not."""
    face = FaceSettings(backend=backend)  # type: ignore[arg-type]
    values = []
    for names in (("id_similarity_arcface",), ("face_rate", "id_similarity_arcface")):
        settings = EvaluateSettings(metrics=names, face=face, random_weights=True)
        result, _ = count_calls(items[:1], tmp_path / str(len(names)), settings, monkeypatch)
        score = result.rows[0].score("id_similarity_arcface")
        assert score is not None
        values.append(score.value)
    # each run makes its networks anew: equal weights elsewhere in memory, so sums may round otherwise
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def test_a_lacking_recogniser_takes_its_own_column_alone(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SCRFD's file is there and ArcFace's is not: dlib's columns are measured all the same."""

    def lacking() -> bytes:
        raise MissingWeights("w600k is not here", "Get it.")

    monkeypatch.setattr(insightface_backend, "tiny_arcface", lacking)
    settings = EvaluateSettings(
        metrics=("face_rate", "id_similarity_arcface"), face=FaceSettings(backend="insightface"), random_weights=True
    )
    result, calls = count_calls(items[:1], tmp_path, settings, monkeypatch)
    rate, arcface = (result.rows[0].score(name) for name in ("face_rate", "id_similarity_arcface"))
    assert rate is not None and rate.status == "ok"
    assert arcface is not None and arcface.reason == "w600k is not here"
    assert result.rows[0].clip is not None
    assert calls["SCRFD"] == result.rows[0].clip.n_frames


def test_random_numbers_are_marked_and_kept_out_of_tables(counted: tuple[EvaluateResult, Counter[str]]) -> None:
    result, _ = counted
    for row in result.rows:
        for name in RANDOM:
            made = row.score(name).provenance  # type: ignore[union-attr]
            assert made is not None
            assert made.random_weights, name
        for name in FACE_METRICS:
            assert not row.score(name).provenance.random_weights  # type: ignore[union-attr]
    hidden = build_table(take_samples(result.rows, result.sets), facts_by_name())
    shown = build_table(take_samples(result.rows, result.sets), facts_by_name(), TableOptions(random_weights="show"))
    column = [c.facts.name for c in hidden.columns].index("dynamic_degree")
    assert hidden.rows[0].cells[column].state == "missing"
    assert shown.rows[0].cells[column].state == "value"
