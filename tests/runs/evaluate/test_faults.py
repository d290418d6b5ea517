"""What is not a clip's fault is not booked as one; a run outlives its own files; one bad cell costs one row."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmbench.config import EvaluateSettings
from mmbench.errors import MachineFault, ManifestError, MediaError, machine_fault
from mmbench.face import cache as face_cache
from mmbench.face.people import references
from mmbench.face.people.store import Shelf, key_of, load, prepare
from mmbench.face.track import ReferenceFaces
from mmbench.items import Item
from mmbench.reports.build import build_report
from mmbench.runs.doctor import examine
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.record import MANIFEST
from mmbench.runs.evaluate.store import read_rows
from mmbench.scores import Provenance
from mmbench.video import read
from mmbench.video.clip import ClipInfo
from mmbench.video.image import read_image

TOY = EvaluateSettings(metrics=("length", "brightness"))
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def raising(cause: BaseException, after: int = 0) -> Callable[..., Any]:
    """A function that raises from the call numbered `after` on, and does nothing before."""
    calls = 0

    def call(*arguments: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise cause

    return call


def test_a_cache_that_cannot_be_written_or_read_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    class Backend:
        name, provenance, embedding_provenance = "toy", Provenance("toy"), Provenance("toy")

    info = ClipInfo(Path("clip"), 1, 8, 8, 8.0, "container", 8.0, False, "0" * 64)
    cache = face_cache.FaceCache(tmp_path, Backend())  # type: ignore[arg-type]
    for cause in (FULL, PermissionError(errno.EACCES, "no", str(tmp_path)), OSError(errno.EROFS, "read-only")):
        monkeypatch.setattr(face_cache, "write_track", raising(cause))
        cache.put(info, None)  # type: ignore[arg-type]
        monkeypatch.setattr(face_cache, "read_track", raising(cause))
        assert cache.get(info) is None
    assert [str(warning.message) for warning in recwarn if "not kept" in str(warning.message)] == [
        f"{tmp_path}: faces are not kept for later runs: {os.strerror(errno.ENOSPC)}."
    ]


def test_a_cache_that_can_be_no_folder_is_done_without(
    tmp_path: Path, clips: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place named for it is a file, or lies below one: nothing is kept, and everything is measured."""
    (tmp_path / "file").touch()
    settings = EvaluateSettings(metrics=("face_rate", "motion_smoothness"), flow={"backend": "dis"})
    for number, place in enumerate((tmp_path / "file", tmp_path / "file" / "below")):
        monkeypatch.setenv("MMBENCH_CACHE", str(place))
        with pytest.warns(UserWarning, match="are not kept for later runs"):
            result = evaluate(clips[:1], tmp_path / f"run-{number}", settings)
        assert result.rows[0].error is None and not result.errors


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM, errno.EROFS])
def test_a_fault_of_the_machine_ends_the_run_and_no_clip_is_blamed(
    number: int, tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause = OSError(number, os.strerror(number), "somewhere")
    with monkeypatch.context() as patch:
        patch.setattr(read, "open_source", raising(cause))
        with pytest.raises(MachineFault, match=r"somewhere: .*run the same command again"):
            evaluate(clips[:2], tmp_path, TOY)
    assert read_rows(tmp_path)[0] == []
    with monkeypatch.context() as patch:
        patch.setattr(
            "mmbench.runs.evaluate.store.os.fsync", raising(cause, after=8)
        )  # the third row or so cannot be kept
        with pytest.raises(MachineFault):
            evaluate(clips[:12], tmp_path, TOY)
    done = evaluate(clips[:12], tmp_path, TOY)
    assert done.complete and done.measured_now <= 12


def test_a_full_memory_in_a_network_ends_the_run(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import engine_toy_metric  # type: ignore[import-not-found]

    with monkeypatch.context() as patch:
        patch.setattr(engine_toy_metric.MeanColour, "__call__", raising(MemoryError()))
        with pytest.raises(MachineFault, match="memory is full"):
            evaluate(clips[:2], tmp_path, TOY)
    assert evaluate(clips[:2], tmp_path, TOY).complete


def test_whose_fault_a_permission_is() -> None:
    denied = PermissionError(errno.EACCES, "denied", "/videos/a.mp4")
    assert machine_fault(denied, "/videos/a.mp4") is None
    assert machine_fault(denied) is not None
    try:
        raise MediaError("a", "b") from OSError(errno.EMFILE, "too many", "/videos/a.mp4")
    except MediaError as cause:
        assert machine_fault(cause, "/videos/a.mp4") is not None
    assert machine_fault(OSError("image file is truncated")) is None


@pytest.mark.parametrize("left", [0, 0.5])
def test_a_run_outlives_its_record(
    left: float, tmp_path: Path, clips: list[Item], toy_metrics: Path, recwarn: pytest.WarningsRecorder
) -> None:
    run = tmp_path / "run"
    before = evaluate(clips[:4], run, TOY)
    path = run / MANIFEST
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * left)])
    assert build_report(run, tmp_path / "report").page.is_file()
    assert any("anew from the rows" in str(warning.message) for warning in recwarn)
    again = evaluate(clips[:4], run, TOY.model_copy(update={"metrics": ("length",)}))
    assert again.measured_now == 0 and again.rows == before.rows, "the rows say what was asked for"
    assert len(json.loads(path.read_text())["items"]) == 4


def test_a_file_that_is_no_record_is_not_replaced(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"icons": []}')
    with pytest.raises(ManifestError, match="no record of a run"):
        evaluate(clips[:1], tmp_path, TOY)
    assert (tmp_path / MANIFEST).read_text() == '{"icons": []}'


@pytest.mark.parametrize("left", [0, 0.3, 0.9])
def test_damaged_reference_faces_are_found_again(left: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [tmp_path / f"{name}.png" for name in "ab"]
    for number, picture in enumerate(pictures):
        picture.write_bytes(bytes([number]))
    looked = []

    def faces_of(paths: tuple[Path, ...], backend: object, also: object) -> tuple[ReferenceFaces, ...]:
        looked.append(paths)
        number = float(paths[0].read_bytes()[0])
        embeddings, points, box, tight = (
            np.full((1, *shape), number, np.float32) for shape in ((4,), (5, 2), (4,), (4,))
        )
        return (ReferenceFaces(paths, embeddings, points, box, tight, None, Provenance("toy")),)

    monkeypatch.setattr(references, "reference_faces_of", faces_of)
    items = [Item(picture.stem, "m", picture.stem, picture, references=(picture,)) for picture in pictures]
    shelf = Shelf(tmp_path / "references.npz", "toy", lambda: None)  # type: ignore[arg-type, return-value]

    def values(maker: str = "toy") -> list[float]:
        prepare(items, [replace(shelf, maker=maker)], lambda *_: None)
        found = load(shelf.file, maker)
        return [float(faces.embeddings[0, 0]) for path in pictures if (faces := found[key_of((path,))])]

    assert values() == [0, 1] and values() == [0, 1] and len(looked) == 2
    whole = shelf.file.read_bytes()
    shelf.file.write_bytes(whole[: int(len(whole) * left)])
    with pytest.warns(UserWarning, match="found again"):
        assert values() == [0, 1]
    pictures[1].write_bytes(b"\x07")
    assert values() == [0, 7] and len(looked) == 5, "the one picture that is another"
    assert values("another network") == [0, 7] and len(looked) == 7


def test_one_bad_cell_is_a_row_with_its_reason(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    odd = [
        replace(clips[1], video=Path("/nul/\0.mp4")),
        replace(clips[2], video=Path(f"/{'long' * 100}.mp4")),
        replace(clips[3], prompt="p" * 200_000, id="i" * 200_000),
        replace(clips[4], identity="\udcff\0", prompt="\udcff"),
    ]
    result = evaluate([clips[0], *odd], tmp_path / "run", TOY)
    assert [row.error is not None for row in result.rows] == [False, True, True, False, False]
    for row in result.failed:
        assert row.error is not None and row.error.type == "MediaError" and "cannot be opened" in row.error.message
    again = evaluate([clips[0], *odd], tmp_path / "run", TOY)
    assert again.measured_now == 0 and again.rows == result.rows == tuple(read_rows(tmp_path / "run")[0])


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_rate_that_is_none_is_said_before_work_starts(rate: float, tmp_path: Path, clips: list[Item]) -> None:
    with pytest.raises(ManifestError, match=r"even/p00_0.*fps"):
        evaluate([replace(clips[0], fps=rate)], tmp_path / "run", TOY)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["r" * 300, "r\0.png"])
def test_a_picture_that_no_system_can_name_is_not_there(name: str) -> None:
    with pytest.raises(MediaError, match="there is no such picture"):
        read_image(Path("/") / name)


def test_a_plug_in_that_cannot_be_made_is_named_and_stops_nothing(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import engine_toy_metric

    monkeypatch.setattr(engine_toy_metric.Length, "from_settings", classmethod(raising(RuntimeError("no"))))
    assert evaluate(clips[:1], tmp_path, EvaluateSettings(metrics=("brightness",))).complete
    broken = [line for line in examine() if line.state == "broken" and line.name == "length"]
    assert len(broken) == 1 and "RuntimeError: no" in broken[0].text


def test_a_metric_without_a_number_is_an_error_of_its_own(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import engine_toy_metric

    monkeypatch.setattr(engine_toy_metric.Length, "measure", lambda self, evidence: [])
    (row,) = evaluate(clips[:1], tmp_path, TOY).rows
    assert [(score.metric, score.status) for score in row.scores] == [("length", "error"), ("brightness", "ok")]


def test_retry_measures_failures_and_nothing_else(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import engine_toy_metric

    from mmbench.scores import Score

    monkeypatch.setattr(engine_toy_metric.Length, "measure", lambda self, evidence: [Score.missing("length", "none")])
    monkeypatch.setenv("TOY_FAILS_AT", "3")  # clips of three frames never get there
    first = evaluate(clips[:3], tmp_path, TOY)
    assert len(first.errors) == 2
    monkeypatch.delenv("TOY_FAILS_AT")
    monkeypatch.setattr(engine_toy_metric.Length, "measure", raising(AssertionError("measured again")))
    mended = evaluate(clips[:3], tmp_path, TOY, retry=True)
    assert mended.measured_now == 2 and mended.complete


def test_rows_of_other_versions_and_foreign_files(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    evaluate(clips[:3], tmp_path, TOY)
    (path,) = (tmp_path / "rows").glob("0000-0.jsonl")
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    older, newer = lines[0], {**lines[1], "schema": 99, "unknown": 1}
    older["schema"] = 1
    for part in (*older["scores"], older["clip"]):
        for key in ("inputs", "bank", "unmet"):
            part.pop(key, None)
    path.write_text("".join(json.dumps(line) + "\n" for line in (older, newer, lines[2])))
    (tmp_path / "rows" / "backup.jsonl").write_text("{}\n")
    (tmp_path / "rows" / "._0000-0.jsonl").write_bytes(b"\0\0\n")
    with pytest.warns(UserWarning, match="newer version") as told:
        assert len(read_rows(tmp_path)[0]) == 2
    assert any("backup.jsonl" in str(warning.message) for warning in told)
    again = evaluate(clips[:3], tmp_path, TOY)
    assert again.measured_now == 2 and again.complete
    assert [note for note in again.notes if note.startswith("1 rows of an older version")]
