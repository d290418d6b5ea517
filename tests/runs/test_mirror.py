"""Runs in remote storage: what one machine brings the next one finds, and nobody overwrites what another wrote."""

from __future__ import annotations

import dataclasses
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mmbench.cli import app
from mmbench.config import EvaluateSettings
from mmbench.engine.shard import Shard
from mmbench.engine.spread import Spread
from mmbench.errors import ManifestError, RemoteError
from mmbench.items import Item
from mmbench.remote import storage
from mmbench.remote.cache import forget
from mmbench.remote.path import RemotePath
from mmbench.remote.storage import filesystem
from mmbench.runs import mirror
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.record import read_record
from mmbench.runs.evaluate.store import read_rows
from mmbench.runs.generate.folder import RunFolder
from mmbench.runs.mirror import merge_records, mirrored

TOY = EvaluateSettings(metrics=("length",))
URL = "memory://bucket/runs/one"


class Machines:
    """Several machines with one storage: each has a cache of its own."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch

    def use(self, name: str) -> None:
        self.patch.setenv("MMBENCH_CACHE", str(self.folder / name))
        forget()
        time.sleep(0.002)  # the storage's clock moves on

    def lose(self, name: str) -> None:
        shutil.rmtree(self.folder / name)


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    pytest.importorskip("fsspec", reason="needs the extra remote")
    memory = filesystem("memory://")
    memory.store.clear()
    found = Machines(tmp_path / "machines", monkeypatch)
    found.use("a")
    yield found
    memory.store.clear()


def there() -> dict[str, bytes]:
    """All that lies in the storage."""
    return {name: filesystem("memory://").cat_file(name) for name in filesystem("memory://").find("/")}


def keys(run: Path | str) -> list[Any]:
    with mirrored(run, write=False) as here:
        rows = read_rows(here)[0]
    return sorted((row.item.id, [(s.metric, s.value, s.inputs) for s in row.scores]) for row in rows)


def test_another_machine_goes_on_where_the_first_one_stopped(
    machines: Machines, tmp_path: Path, clips: list[Item], toy_metrics: Path
) -> None:
    evaluate(clips[:3], tmp_path / "local", TOY)
    assert evaluate(clips[:3], URL, TOY).measured_now == 3
    assert keys(URL) == keys(tmp_path / "local")
    machines.use("b")
    assert evaluate(clips[:3], URL, TOY).measured_now == 0
    assert evaluate(clips[:5], URL, TOY).measured_now == 2
    machines.lose("a")
    machines.use("a")
    assert evaluate(clips[:5], URL, TOY).measured_now == 0
    with mirrored(URL, write=False) as here:
        assert [item["id"] for item in read_record(here)["items"]] == [item.id for item in clips[:5]]
        assert len(read_record(here)["attempts"]) == 4


def test_parts_of_two_machines_at_once_are_one_run(
    machines: Machines, tmp_path: Path, clips: list[Item], toy_metrics: Path
) -> None:
    evaluate(clips[:6], tmp_path / "local", TOY)
    with mirrored(URL):  # both begin before either has brought anything
        machines.use("b")
        with mirrored(URL):
            pass
        machines.use("a")
    evaluate(clips[:6], URL, TOY, spread=Spread(shard=Shard(1, 2)))
    before = there()
    machines.use("b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror._Mirror, "pull", lambda self: None)
        evaluate(clips[:6], URL, TOY, spread=Spread(shard=Shard(2, 2)))
    after = there()
    changed = {name.rsplit("/", 1)[1] for name, data in before.items() if after[name] != data}
    assert changed <= {"manifest.json", *(f"{name}.json" for name in marks(machines, "b"))}
    machines.use("c")
    assert keys(URL) == keys(tmp_path / "local")
    assert evaluate(clips[:6], URL, TOY).measured_now == 0
    with mirrored(URL, write=False) as here:
        assert sorted(attempt.get("shard", "") for attempt in read_record(here)["attempts"]) == ["", "1/2", "2/2"]


def marks(machines: Machines, name: str) -> list[str]:
    return [path.stem for path in (machines.folder / name).glob("runs/*/copies/*.json")]


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_machines_and_losses_ends_in_the_same_rows(
    machines: Machines, tmp_path: Path, clips: list[Item], toy_metrics: Path, seed: int
) -> None:
    rng = random.Random(seed)
    for _ in range(6):
        name = rng.choice("abc")
        machines.use(name)
        items = rng.sample(clips[:6], rng.randint(1, 6))
        lost_network = rng.random() < 0.3
        with pytest.MonkeyPatch.context() as patch:
            if lost_network:
                patch.setattr(mirror._Mirror, "push", lambda self: None)
            evaluate(items, URL, TOY)
        if not lost_network and rng.random() < 0.3:
            machines.lose(name)
    machines.use("z")
    evaluate(clips[:6], URL, TOY)
    evaluate(clips[:6], tmp_path / "local", TOY)
    assert keys(URL) == keys(tmp_path / "local")


def test_what_cannot_be_brought_stays_here_and_comes_with_the_next_command(
    machines: Machines, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PAUSE_SECONDS", 0.0)
    memory, real = filesystem("memory://"), filesystem("memory://").put_file

    def put_file(source: str, target: str, **options: Any) -> None:
        if "/copies/" not in target:
            raise ConnectionError("reset")
        real(source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(memory, "put_file", put_file)
        with pytest.raises(RemoteError, match=r"ConnectionError: reset.* What was measured is in .* Run the same"):
            evaluate(clips[:2], URL, TOY)
    assert not any("/rows/" in name for name in there())
    assert evaluate(clips[:2], URL, TOY).measured_now == 0
    machines.use("b")
    assert len(keys(URL)) == 2


def test_a_storage_that_takes_nothing_is_told_before_any_clip(
    machines: Machines, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put_file(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(filesystem("memory://"), "put_file", put_file)
    monkeypatch.setattr("mmbench.runs.evaluate.evaluate._Evaluation.go", lambda *_: pytest.fail("measured"))
    with pytest.raises(RemoteError, match="not permitted"):
        evaluate(clips[:2], URL, TOY)


def test_rows_are_brought_while_the_command_works(
    machines: Machines, clips: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "PUSH_SECONDS", 0.02)
    with mirrored(URL) as here:
        (here / "rows").mkdir()
        for text in (b"one\n", b"one\ntwo\n"):
            (here / "rows" / "0000-0.jsonl").write_bytes(text)
            end = time.monotonic() + 60
            while text not in there().values():
                assert time.monotonic() < end
                time.sleep(0.02)


@pytest.mark.parametrize("name", ["../out.txt", "rows/../../out.txt", ".claims/x", "rows/.hidden.jsonl", "a/./b"])
def test_names_there_never_lead_out_of_the_copy(machines: Machines, tmp_path: Path, name: str) -> None:
    memory = filesystem("memory://")
    memory.store.clear()
    memory.pipe_file(f"{URL}/plain.txt", b"plain")
    facts = storage.look(f"{URL}/plain.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror, "listed", lambda _: {name: facts, "plain.txt": facts})
        with mirrored(URL, write=False) as here:
            kept = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()}
    assert kept == {"plain.txt", ".mirror.json", ".mirror.lock"}
    assert not list(tmp_path.rglob("out.txt"))


def test_records_merge_into_one_that_loses_no_command_and_no_clip() -> None:
    rng = random.Random(1)
    for _ in range(100):
        began = [
            {"started": f"{second:02}", "command": ["x"], "attempt": second} for second in range(rng.randint(1, 6))
        ]
        records: list[dict[str, Any]] = []
        for _ in range(rng.randint(1, 4)):
            mine = sorted(rng.sample(began, rng.randint(1, len(began))), key=lambda one: str(one["started"]))
            items = [{"id": name} for name in rng.sample("abcdef", rng.randint(1, 6))]
            records.append({"attempts": mine, "items": items, "parts": [len(items)], "weights": {}})
        records.sort(key=lambda record: max(one["started"] for one in record["attempts"]), reverse=True)
        merged = merge_records(records)
        assert merged["attempts"] == [one for one in began if any(one in record["attempts"] for record in records)]
        ids = [item["id"] for item in merged["items"]]
        assert len(set(ids)) == len(ids) == sum(merged["parts"])
        assert ids[: len(records[0]["items"])] == [item["id"] for item in records[0]["items"]]
        assert merge_records([merged, *records]) == merged


def test_commands_read_a_run_by_its_url(machines: Machines, clips: list[Item], toy_metrics: Path) -> None:
    memory = filesystem("memory://")
    items = [
        dataclasses.replace(clip, video=RemotePath(f"memory://clips{n}/{n}.mp4")) for n, clip in enumerate(clips[:3])
    ]
    for item, clip in zip(items, clips, strict=False):
        memory.pipe_file(str(item.video), clip.video.read_bytes())
    evaluate(items, URL, TOY)
    memory.rm(str(items[2].video))
    machines.use("b")
    told = CliRunner().invoke(app, ["status", URL])
    assert told.exit_code == 0, told.output
    assert "3 of 3 clips done" in told.output
    told = CliRunner().invoke(app, ["report", URL, "--metric", "length"])
    assert told.exit_code == 0, told.output
    shown = [data for name, data in there().items() if "/report/media/" in name]
    assert sorted(shown) == sorted(clip.video.read_bytes() for clip in clips[:2])
    assert any(name.endswith("/report/leaderboard.json") for name in there())


def test_a_folder_here_is_itself(tmp_path: Path) -> None:
    with mirrored(tmp_path / "run") as here:
        assert here == tmp_path / "run"
    assert list(tmp_path.iterdir()) == []


def test_videos_are_made_here() -> None:
    with pytest.raises(ManifestError, match=r"s3://bucket/run: videos are made in a folder of this machine"):
        RunFolder(Path("s3://bucket/run"), "model", [])
