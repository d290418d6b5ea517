"""Needs: a package's own network serves its metrics, each network is made once a process, and never for nothing."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import mmbench.testsets
from mmbench.config import EvaluateSettings, FaceSettings, FlowSettings
from mmbench.face.dlib import eyes as dlib_eyes
from mmbench.face.dlib import recogniser
from mmbench.face.insightface import eyes as insightface_eyes
from mmbench.items import Item
from mmbench.runs.evaluate.clip import make_metrics
from mmbench.runs.evaluate.evaluate import EvaluateResult, evaluate
from mmbench.runs.evaluate.gather import Gatherer
from mmbench.runs.evaluate.items import read_manifest
from mmbench.scores import Score
from mmbench.video.clip import ClipInfo, Frame
from mmbench.video.read import open_clip

BRIGHT = EvaluateSettings(metrics=("brightness", "brightness_range", "length"))


def values(result: EvaluateResult, metric: str) -> list[float | None]:
    """A metric's values in the order of the rows."""
    scores = [row.score(metric) for row in result.rows]
    return [score.value if score else None for score in scores]


def of_set(result: EvaluateResult) -> Score:
    """The first score of the first model's set."""
    return result.sets[0].scores[0]


def brightness(item: Item) -> float:
    """Mean of all frames' means, without the engine."""
    means: list[float] = []

    class Means:
        name = "means"

        def start(self, clip: ClipInfo) -> None: ...

        def feed(self, index: int, frame: Frame) -> None:
            means.append(float(frame.mean()))

        def finish(self) -> None: ...

    open_clip(item.video).decode([Means()])
    return sum(means) / len(means)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_package_brings_a_metric_and_its_network(
    workers: int, tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "made"
    monkeypatch.setenv("TOY_LOG", str(log))
    result = evaluate(clips[:6], tmp_path / "run", BRIGHT, workers=workers)
    assert result.complete
    assert values(result, "brightness") == pytest.approx([brightness(item) for item in clips[:6]])
    assert len(result.sets) == 2
    for row in result.sets:
        assert row.n == 3
        assert row.scores[0].metric == "brightness_range" and row.scores[0].value is not None
    processes = log.read_text().split()
    assert 1 <= len(processes) <= workers
    assert len(set(processes)) == len(processes), "two needs and two metrics of one network made it twice"


def test_with_nothing_left_to_measure_nothing_is_made(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate(clips[:2], tmp_path / "run", BRIGHT)
    log = tmp_path / "made"
    monkeypatch.setenv("TOY_LOG", str(log))
    again = evaluate(clips[:2], tmp_path / "run", BRIGHT)
    assert again.measured_now == 0 and again.sets == first.sets
    assert not log.exists()


def test_a_finished_run_is_read_again_without_any_network(tmp_path: Path, clips: list[Item]) -> None:
    """All built-in metrics: neither torch nor dlib is imported, no weight file is opened."""
    settings = EvaluateSettings(flow=FlowSettings(backend="dis"), random_weights=True)
    evaluate(clips[:2], tmp_path / "run", settings)
    code = (
        "import sys; from pathlib import Path; from mmbench.runs.evaluate.record import RunManifest;"
        "from mmbench.runs.evaluate.evaluate import evaluate;"
        "run = Path(sys.argv[1]); kept = RunManifest.load(run);"
        "result = evaluate(kept.items, run, kept.settings);"
        "assert result.measured_now == 0 and len(result.rows) == 2;"
        "heavy = {'torch', 'torchvision', 'dlib', '_dlib_pybind11', 'open_clip', 'onnxruntime'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", ["dlib", "insightface"])
def test_references_and_clips_share_one_face_network(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both recognisers, both detectors: each is made once in a run that stays in this process."""
    if backend == "insightface":
        pytest.importorskip("onnxruntime")
    made: Counter[str] = Counter()

    def count(owner: Any) -> None:
        original = owner.__init__

        def init(self: Any, *arguments: Any, **options: Any) -> None:
            made[owner.__name__] += 1
            original(self, *arguments, **options)

        monkeypatch.setattr(owner, "__init__", init)

    networks = (dlib_eyes.DlibBackend, recogniser.DlibRecogniser, insightface_eyes.ScrfdDetector)
    for network in (*networks, insightface_eyes.ArcFace):
        count(network)
    items = read_manifest(Path(mmbench.testsets.__path__[0]) / "synthetic50" / "manifest.csv")
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    settings = EvaluateSettings(
        metrics=("face_rate", "id_similarity", "id_similarity_arcface"),
        face=FaceSettings(backend=backend, frames="sampled"),  # type: ignore[arg-type]
        random_weights=True,
    )
    assert evaluate(items[:1], tmp_path / "run", settings).complete
    assert made.pop("DlibBackend", 0) == (backend == "dlib")
    assert made == {"DlibRecogniser": 1, "ScrfdDetector": 1, "ArcFace": 1}


def test_a_lack_of_a_package_is_told_at_its_own_numbers(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_LACKS", "1")
    result = evaluate(clips[:2], tmp_path / "run", BRIGHT)
    assert not result.errors and values(result, "length") == [3.064, 4.064]
    score = result.rows[0].score("brightness")
    assert score is not None
    assert (score.status, score.reason, score.remedy) == (
        "missing",
        "The toy weights are missing.",
        "Get the toy weights.",
    )
    assert of_set(result).reason == "The toy weights are missing."
    monkeypatch.delenv("TOY_LACKS")
    kept = evaluate(clips[:2], tmp_path / "run", BRIGHT)
    assert kept.measured_now == 0 and of_set(kept).reason == "The toy weights are missing."
    mended = evaluate(clips[:2], tmp_path / "run", BRIGHT, retry=True)
    assert mended.measured_now == 2 and mended.complete and of_set(mended).status == "ok"


def test_a_pass_that_falls_over_costs_its_own_numbers(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FAILS_AT", "3")  # clips of three frames never get there
    result = evaluate(clips[:2], tmp_path / "run", BRIGHT)
    assert values(result, "length") == [3.064, 4.064]
    assert values(result, "brightness")[0] == pytest.approx(brightness(clips[0]))
    score = result.rows[1].score("brightness")
    assert score is not None and score.status == "error" and "fell over" in score.reason


@pytest.mark.parametrize(
    ("variable", "value", "said"), [("SET_FAILS", "1", "too much"), ("FEATURES_FAIL", "4", "1 of 1")]
)
def test_a_set_metrics_fault_is_a_row(
    variable: str,
    value: str,
    said: str,
    tmp_path: Path,
    clips: list[Item],
    toy_metrics: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(f"TOY_{variable}", value)
    result = evaluate(clips[1:2], tmp_path / "run", BRIGHT)  # four frames
    assert of_set(result).status == "error" and said in of_set(result).reason
    assert not result.complete
    assert values(result, "length") == [4.064]
    monkeypatch.delenv(f"TOY_{variable}")
    assert evaluate(clips[1:2], tmp_path / "run", BRIGHT, retry=True).complete


def test_features_of_another_file_do_not_outlive_it(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clip changes and its network is gone: the set has no number from the clip that was there before."""
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clips[0].video.read_bytes())
    item = Item("m/a", "m", "a", copy)
    assert of_set(evaluate([item], tmp_path / "run", BRIGHT)).status == "ok"
    copy.write_bytes(clips[5].video.read_bytes())
    monkeypatch.setenv("TOY_LACKS", "1")
    assert of_set(evaluate([item], tmp_path / "run", BRIGHT)).status == "missing"


def test_lacking_names_every_need_of_a_package(toy_metrics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_LACKS", "1")
    lacking = Gatherer(BRIGHT, make_metrics(BRIGHT).values(), (), Path()).lacking()
    assert {need.name for need in lacking} == {"brightness", "contrast"}
