"""The evaluation engine: every item is a row, workers do not change rows, runs resume, faults stay local."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mmbench.config import EvaluateSettings, FaceSettings, FlowSettings
from mmbench.errors import ManifestError, MMBenchError
from mmbench.face.needs import own_backend
from mmbench.flow.needs import FLOW
from mmbench.items import Item
from mmbench.runs.evaluate.clip import make_metrics
from mmbench.runs.evaluate.evaluate import default_workers, evaluate, gpu_bytes, workers_in
from mmbench.runs.evaluate.gather import Gatherer
from mmbench.runs.evaluate.record import RunManifest
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.runs.evaluate.store import read_rows
from mmbench.video.need import Networks

DIS = EvaluateSettings(metrics=("dynamic_degree", "motion_smoothness"), flow=FlowSettings(backend="dis"))
TOY = EvaluateSettings(metrics=("length",))


def numbers(rows: Sequence[ItemRow]) -> list[object]:
    """Rows as JSON values without what may differ between runs: seconds."""
    plain = []
    for row in rows:
        scores = tuple(dataclasses.replace(score, seconds=0.0) for score in row.scores)
        plain.append(json.loads(json.dumps(dataclasses.replace(row, scores=scores, seconds=0.0).to_json())))
    return plain


def test_one_two_and_three_workers_give_the_same_rows(
    tmp_path: Path, clips: list[Item], nearly: Callable[[object, object], bool]
) -> None:
    results = [evaluate(clips[:8], tmp_path / str(n), DIS, workers=n) for n in (1, 2, 3)]
    assert [row.item.id for row in results[0].rows] == [item.id for item in clips[:8]]
    for other in results[1:]:
        assert nearly(numbers(other.rows), numbers(results[0].rows))
    assert all(result.complete for result in results)


def test_second_run_measures_nothing_and_a_changed_clip_again(
    tmp_path: Path, clips: list[Item], toy_metrics: Path
) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clips[0].video.read_bytes())
    items = [*clips[1:4], dataclasses.replace(clips[0], video=copy)]
    assert evaluate(items, tmp_path / "run", TOY).measured_now == 4
    assert evaluate(items, tmp_path / "run", TOY).measured_now == 0
    copy.write_bytes(clips[5].video.read_bytes())
    again = evaluate(items, tmp_path / "run", TOY)
    assert again.measured_now == 1
    assert again.rows[3].clip is not None
    assert again.rows[3].clip.n_frames == 8
    assert len(read_rows(tmp_path / "run")[0]) == 4


def test_added_items_join_a_run(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    evaluate(clips[:2], tmp_path, TOY)
    assert evaluate(clips[:5], tmp_path, TOY).measured_now == 3


def test_a_bad_clip_is_a_row_with_its_reason(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    absent = dataclasses.replace(clips[2], id="absent", video=tmp_path / "absent.mp4")
    items = [clips[0], dataclasses.replace(clips[1], video=broken), absent]
    result = evaluate(items, tmp_path / "run", TOY)
    assert [bool(row.error) for row in result.rows] == [False, True, True]
    assert not result.complete
    for row, name in zip(result.rows[1:], ("broken.mp4", "absent.mp4"), strict=True):
        assert row.error is not None
        assert row.error.type == "MediaError"
        assert name in row.error.message


def test_a_faulty_metric_costs_only_its_own_numbers(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    settings = EvaluateSettings(metrics=("length", "faulty"))
    result = evaluate(clips[:3], tmp_path, settings)
    by_frames = {row.clip.n_frames: row for row in result.rows if row.clip}
    bad = by_frames[4].score("faulty")
    assert bad is not None
    assert bad.status == "error"
    assert "a fault" in bad.reason
    assert by_frames[4].score("length").status == "ok"  # type: ignore[union-attr]
    assert by_frames[3].score("faulty").status == "ok"  # type: ignore[union-attr]
    assert result.errors
    assert not result.complete


def test_other_settings_measure_again_what_depends_on_them(
    tmp_path: Path, clips: list[Item], nearly: Callable[[object, object], bool]
) -> None:
    early = DIS.model_copy(update={"flow": FlowSettings(backend="dis", mode="early"), "fm_version": 1})
    first = evaluate(clips[:2], tmp_path / "run", DIS)
    assert evaluate(clips[:2], tmp_path / "run", DIS.model_copy(update={"fm_version": 1})).measured_now == 0
    changed = evaluate(clips[:2], tmp_path / "run", early)
    assert changed.measured_now == 2
    assert any("flow.mode was full, now early" in note for note in changed.notes)
    assert nearly(numbers(changed.rows), numbers(evaluate(clips[:2], tmp_path / "fresh", early).rows))
    back = evaluate(clips[:2], tmp_path / "run", DIS)
    assert back.measured_now == 0 and numbers(back.rows) == numbers(first.rows)


def test_a_run_of_a_version_with_other_settings_goes_on(tmp_path: Path, clips: list[Item]) -> None:
    evaluate(clips[:1], tmp_path, DIS)
    path = tmp_path / "manifest.json"
    data = json.loads(path.read_text())
    del data["settings"]["flow"]["precision"]
    data["settings"]["flow"]["speed"] = "high"
    path.write_text(json.dumps({**data, "settings_sha256": "of other settings"}))
    assert evaluate(clips[:2], tmp_path, DIS).measured_now == 1


def test_a_file_put_in_the_place_of_a_bad_one_is_measured(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"")
    items = [clips[0], dataclasses.replace(clips[1], video=video)]
    assert evaluate(items, tmp_path / "run", TOY).failed
    assert evaluate(items, tmp_path / "run", TOY).measured_now == 0
    video.write_bytes(clips[1].video.read_bytes())
    mended = evaluate(items, tmp_path / "run", TOY)
    assert mended.measured_now == 1 and mended.complete


def test_a_companion_is_told_from_an_unknown_metric(tmp_path: Path, clips: list[Item]) -> None:
    with pytest.raises(MMBenchError, match="measured together with 'id_similarity'"):
        evaluate(clips[:1], tmp_path, EvaluateSettings(metrics=("id_margin",)))
    with pytest.raises(MMBenchError, match="measured together with 'success_rates'"):
        evaluate(clips[:1], tmp_path, EvaluateSettings(metrics=("success_average",)))
    with pytest.raises(MMBenchError, match="no metric 'id_similarty'"):
        evaluate(clips[:1], tmp_path, EvaluateSettings(metrics=("id_similarty",)))


def test_retry_measures_again_what_only_the_set_lacked(
    tmp_path: Path, clips: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its weights the Inception Score leaves no score at the clips, only one at the set."""
    settings = EvaluateSettings(metrics=("inception_score",))
    monkeypatch.setenv("MMBENCH_WEIGHTS", str(tmp_path / "weights"))
    assert evaluate(clips[:2], tmp_path / "run", settings).sets[0].scores[0].status == "missing"
    assert evaluate(clips[:2], tmp_path / "run", settings).measured_now == 0
    assert evaluate(clips[:2], tmp_path / "run", settings, retry=True).measured_now == 2


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (EvaluateSettings(metrics=("nope",)), "nope"),
        (EvaluateSettings(flow=FlowSettings(weights=Path("absent.pth"))), "absent.pth"),
    ],
)
def test_a_mistake_in_the_settings_leaves_no_trace(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, settings: EvaluateSettings, named: str
) -> None:
    with pytest.raises(MMBenchError, match=named):
        evaluate(clips[:1], tmp_path / "run", settings)
    assert evaluate(clips[:1], tmp_path / "run", TOY).measured_now == 1


def test_the_runs_precision_reaches_the_flow_network() -> None:
    flow = FlowSettings(precision="bf16", split_gru=False)
    settings = EvaluateSettings(metrics=("dynamic_degree",), flow=flow, random_weights=True)
    gatherer = Gatherer(settings, make_metrics(settings).values(), (), Path())
    assert not gatherer.lacking()
    backend = gatherer.maker(FLOW).backend  # type: ignore[attr-defined]
    assert (backend.precision, backend.split_gru) == ("bf16", False)


def test_missing_weights_are_missing_scores_with_the_command(
    tmp_path: Path, clips: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMBENCH_WEIGHTS", str(tmp_path / "no weights"))
    result = evaluate(clips[:2], tmp_path / "run", EvaluateSettings(metrics=("dynamic_degree",)))
    for row in result.rows:
        score = row.score("dynamic_degree")
        assert score is not None
        assert score.status == "missing"
        assert score.value is None
        assert "mmbench weights get" in score.remedy


def test_the_manifest_alone_suffices_to_run_again(
    tmp_path: Path, clips: list[Item], nearly: Callable[[object, object], bool]
) -> None:
    first = evaluate(clips[:3], tmp_path / "a", DIS)
    stored = RunManifest.load(tmp_path / "a")
    second = evaluate(stored.items, tmp_path / "b", stored.settings)
    assert nearly(numbers(second.rows), numbers(first.rows))
    assert stored.attempts[0]["versions"]["numpy"]


def test_one_decode_serves_all_metrics(tmp_path: Path, clips: list[Item], monkeypatch: pytest.MonkeyPatch) -> None:
    from mmbench.video import read

    decodes = []
    original = read.stream_frames

    def counted(*arguments: object) -> object:
        decodes.append(arguments)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(read, "stream_frames", counted)
    evaluate(clips[:3], tmp_path, DIS)
    assert len(decodes) == 3


def test_nothing_to_evaluate_is_said(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="nothing to evaluate"):
        evaluate([], tmp_path)


def test_a_device_that_is_not_there_is_said_before_anything_is_written(tmp_path: Path, clips: list[Item]) -> None:
    with pytest.raises(MMBenchError, match="cuda:99"):
        evaluate(clips[:1], tmp_path / "run", EvaluateSettings(metrics=("face_rate",), device="cuda:99"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["retinaface", "insightface"])
def test_the_runs_device_reaches_the_face_networks(name: str) -> None:
    if name == "insightface":
        pytest.importorskip("onnxruntime")
    settings = EvaluateSettings(face=FaceSettings(backend=name), device="cpu:0", random_weights=True)
    backend = own_backend(settings, Networks())
    assert backend.provenance.versions["device"] == "cpu:0"


def test_the_devices_of_a_run_are_in_its_rows(tmp_path: Path, clips: list[Item]) -> None:
    settings = EvaluateSettings(
        metrics=("face_rate",), face=FaceSettings(backend="retinaface"), device="cpu:0", random_weights=True
    )
    (row,) = evaluate(clips[:1], tmp_path / "run", settings).rows
    provenance = row.scores[0].provenance
    assert provenance is not None
    assert provenance.versions["device"] == "cpu:0"


def test_a_gpu_gets_as_many_workers_as_its_memory_holds() -> None:
    # a process: RAFT 8 + 2 GiB, RetinaFace 4, weights and CUDA 2; and 2 for the one that looks at the references
    everything = EvaluateSettings(flow=FlowSettings(backend="raft"), face=FaceSettings(backend="retinaface"))
    each = gpu_bytes(everything)
    assert each == 14 * 2**30
    free = {0: 1, 8: 1, 24: 1, 33: 1, 34: 2, 78: 4, 139: 8, 1000: 16}
    assert {gib: workers_in(gib * 2**30, 16, each) for gib in free} == free
    assert workers_in(1000 * 2**30, 3, each) == 3
    small = EvaluateSettings(metrics=("face_rate", "dynamic_degree"), flow=FlowSettings(backend="dis"))
    assert gpu_bytes(small) == 0 and workers_in(24 * 2**30, 16, 0) == 11


def on(device: str) -> EvaluateSettings:
    return EvaluateSettings(device=device)


def test_default_workers_are_one_a_core_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4}, raising=False)
    assert default_workers() == default_workers(on("cpu")) == default_workers(on("cpu:0")) == 5
    with pytest.raises(MMBenchError, match="cuda:99"):
        default_workers(on("cuda:99"))


@pytest.mark.gpu
def test_default_workers_of_this_gpu_fit_into_it() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    assert 1 <= default_workers(on("cuda")) <= max(1, torch.cuda.mem_get_info()[1] // (16 * 2**30))
