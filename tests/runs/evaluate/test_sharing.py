"""Several processes on one run: rows equal those of one process, whatever is killed; nothing is lost or doubled."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mmbench.config import EvaluateSettings
from mmbench.engine.claims import FOLDER, TRIES, Claims, WorkClaim
from mmbench.engine.shard import Shard
from mmbench.engine.spread import Spread
from mmbench.errors import BusyFolder, WorkerDied
from mmbench.items import Item
from mmbench.reports.build import build_report
from mmbench.runs.evaluate.clip import Task
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.session import Joined
from mmbench.runs.evaluate.store import RowWriter, read_rows

METRICS = ("length", "brightness", "brightness_range")
TOY = EvaluateSettings(metrics=METRICS)

SCRIPT = """
import sys
from pathlib import Path
from mmbench.config import EvaluateSettings
from mmbench.engine.shard import Shard
from mmbench.engine.spread import Spread
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.items import read_manifest
if __name__ == "__main__":
    manifest, run, workers, shard = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    settings = EvaluateSettings(metrics=("length", "brightness", "brightness_range"))
    evaluate(read_manifest(manifest), run, settings, workers=workers, spread=Spread(Shard.parse(shard)))
"""


class Farm:
    """Processes that evaluate one manifest: every clip under several ids, of some 20 ms each."""

    def __init__(self, folder: Path, clips: list[Item], times: int) -> None:
        self.folder = folder
        self.items = [replace(item, id=f"{item.id}#{k}") for k in range(times) for item in clips]
        lines = ["id,model,identity,video"]
        lines += [f"{item.id},{item.model},{item.identity},{item.video}" for item in self.items]
        (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
        (folder / "script.py").write_text(SCRIPT)

    def start(self, run: str, workers: int = 1, shard: str = "1/1") -> subprocess.Popen[bytes]:
        command = [sys.executable, "script.py", "manifest.csv", run, str(workers), shard]
        return subprocess.Popen(command, cwd=self.folder, stderr=subprocess.PIPE)

    def end(self, *processes: subprocess.Popen[bytes]) -> None:
        for process in processes:
            _, errors = process.communicate(timeout=3600)
            assert process.returncode == 0, errors.decode()


@pytest.fixture
def farm(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> Farm:
    return Farm(tmp_path, clips, 3)


def rows(run: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The newest rows of items and of sets, without times."""
    items, sets = read_rows(run)
    told: list[dict[str, str]] = []
    for found in (items, sets):
        named = {}
        for row in found:
            data = row.to_json()
            for part in [data, *data["scores"]]:
                part.pop("seconds", None)
            named[row.item.id if hasattr(row, "item") else row.model] = json.dumps(data, sort_keys=True)
        told.append(named)
    return told[0], told[1]


def written(run: Path) -> Counter[str]:
    """How often each item has a row."""
    found: Counter[str] = Counter()
    for path in (run / "rows").glob("*.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            row = json.loads(line)
            if row["kind"] == "item":
                found[row["item"]["id"]] += 1
    return found


def test_any_number_of_processes_workers_and_parts_gives_the_same_rows(farm: Farm) -> None:
    farm.end(farm.start("one"))
    farm.end(farm.start("workers", 3))
    farm.end(*(farm.start("shared") for _ in range(3)))
    farm.end(*(farm.start("parts", 1, f"{k}/3") for k in (1, 2, 3)))
    one = rows(farm.folder / "one")
    assert len(one[0]) == len(farm.items) and len(one[1]) == 2
    for other in ("workers", "shared", "parts"):
        assert rows(farm.folder / other) == one
        assert set(written(farm.folder / other).values()) == {1}
        assert not (farm.folder / other / FOLDER).exists()
    attempts = json.loads((farm.folder / "shared" / "manifest.json").read_text())["attempts"]
    assert sorted(each["attempt"] for each in attempts) == [0, 1, 2]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_row_that_comes_before_its_claim_is_taken_is_not_written_again(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Another process writes a row and gives its claim back, just after this one has looked and before it takes it."""
    whole, run = farm.folder / "whole", farm.folder / "run"
    told = {row.item.id: row for row in evaluate(farm.items, whole, TOY).rows}
    few = [item for item in farm.items if item.id.endswith("#0")]
    evaluate(few, run, TOY)  # what the other ids of the same clips need not measure again
    take, late = Claims.take, []

    def taken(claims: Claims, name: str) -> WorkClaim | None:
        if name in told and not name.endswith("#0"):
            with RowWriter(run, f"0007-other{len(late)}") as other:
                other.add(told[name])
            late.append(name)
        return take(claims, name)

    monkeypatch.setattr(Claims, "take", taken)
    monkeypatch.setattr(Joined, "shared", True)
    evaluate(farm.items, run, TOY, workers=workers)
    assert sorted(late) == sorted(set(told) - {item.id for item in few})
    assert rows(run) == rows(whole)
    assert set(written(run).values()) == {1}


def test_a_clip_that_others_finished_is_not_given_up(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our workers died at it, another process did not: its row stands, and no error beside it."""
    whole, run = farm.folder / "whole", farm.folder / "run"
    told = {row.item.id: row for row in evaluate(farm.items[:2], whole, TOY).rows}
    evaluate(farm.items[1:2], run, TOY)

    def died(tasks: Sequence[Task], *args: object, lost: Callable[[Task, WorkerDied], object], **more: object) -> None:
        shutil.copytree(whole / "features", run / "features", dirs_exist_ok=True)
        for task in tasks:
            with RowWriter(run, "0007-other") as other:
                other.add(told[task.item.id])
            assert lost(task, WorkerDied("a worker died.", "")) is None

    monkeypatch.setattr("mmbench.runs.evaluate.work.run_tasks", died)
    evaluate(farm.items[:2], run, TOY)
    assert rows(run) == rows(whole)
    assert set(written(run).values()) == {1}


def test_killed_at_random_and_joined_by_others(farm: Farm) -> None:
    """Processes of one folder, killed 20 times at random moments: rows equal an uninterrupted run's, each once."""
    began = time.monotonic()
    farm.end(farm.start("whole"))
    duration = time.monotonic() - began
    rng = random.Random(1)
    killed = 0
    running = [farm.start("killed", rng.choice((1, 2))) for _ in range(2)]
    for _ in range(20):
        time.sleep(rng.uniform(0.2, 0.5) * duration)
        victim = running.pop(rng.randrange(2))
        killed += victim.poll() is None
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        running.append(farm.start("killed", rng.choice((1, 2))))
    farm.end(*running)
    farm.end(farm.start("killed"))
    assert killed >= 1
    assert rows(farm.folder / "killed") == rows(farm.folder / "whole")
    assert set(written(farm.folder / "killed").values()) == {1}


def test_a_part_measures_its_own_and_says_what_is_left(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    results = [evaluate(clips, tmp_path / "run", TOY, spread=Spread(Shard(k, 3))) for k in (3, 1, 2)]
    sizes = [len(Shard(k, 3).of(clips, lambda item: item.id)) for k in (3, 1, 2)]
    assert [result.measured_now for result in results] == sizes
    assert [result.left for result in results] == [len(clips) - sum(sizes[: n + 1]) for n in range(3)]
    assert not results[0].sets and {row.model for row in results[2].sets} == {"even", "odd"}
    assert rows(tmp_path / "run")[0].keys() == {item.id for item in clips}
    again = evaluate(clips, tmp_path / "run", TOY, spread=Spread(Shard(1, 2)))
    assert again.measured_now == again.left == 0 and again.sets == results[2].sets


def test_a_report_is_made_while_work_goes_on(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    evaluate(clips, tmp_path / "run", TOY, spread=Spread(Shard(1, 3)))
    with (tmp_path / "run" / "rows" / "0000-9.jsonl").open("wb") as torn:
        torn.write(b'{"schema": 2, "kind": "it')  # as another process has it between two writes
    table = json.loads(build_report(tmp_path / "run", tmp_path / "report").json.read_text())
    assert table


def test_the_worker_of_a_killed_command_is_not_overtaken(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is at a clip whose numbers are known from another one: the next command waits for its row and writes none."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    twins = [clips[0], replace(clips[0], id="twin")]
    told = {row.item.id: row for row in evaluate(twins, whole, TOY).rows}
    evaluate(twins[:1], run, TOY)
    worker = Claims(run)  # says no command: its parent is dead
    worker.__enter__()
    claim = worker.take("twin")
    assert claim is not None
    ended = []

    def ends(seconds: float) -> None:
        ended.append(seconds)
        with RowWriter(run, "0000-1") as writer:
            writer.add(told["twin"])
        worker.done(claim)
        worker.__exit__(None, None, None)

    monkeypatch.setattr("mmbench.runs.evaluate.evaluate.sleep", ends)
    assert evaluate(twins, run, TOY).complete
    assert len(ended) == 1
    assert rows(run) == rows(whole) and set(written(run).values()) == {1}


@contextmanager
def at_work(run: Path, name: str) -> Iterator[None]:
    """Another process that has the claim to a clip, and is killed at the end."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom mmbench.engine.claims import Claims\n"
        "with Claims(Path(sys.argv[1])) as claims:\n    assert claims.take(sys.argv[2])\n"
        "    print('taken', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(run), name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"taken\n"
        yield
        process.kill()


def test_the_clip_of_a_process_that_dies_is_taken_over(farm: Farm) -> None:
    run = farm.folder / "run"
    with at_work(run, farm.items[0].id):
        process = farm.start("run")
        while len(written(run)) < len(farm.items) - 1:
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(1.5)
        assert process.poll() is None and farm.items[0].id not in written(run)  # it waits for the other one
    farm.end(process)
    assert written(run) == Counter(item.id for item in farm.items)


def test_a_clip_that_kills_its_process_three_times_is_a_row(
    tmp_path: Path, clips: list[Item], toy_metrics: Path
) -> None:
    run, victim = tmp_path / "run", clips[5]
    for _ in range(TRIES):
        with at_work(run, victim.id):
            pass
    result = evaluate(clips[:8], run, TOY)
    (row,) = result.failed
    assert row.item == victim and row.error and row.error.type == "WorkerDied"
    assert "3 processes ended at it" in row.error.message and "--retry" in row.error.remedy
    assert evaluate(clips[:8], run, TOY).measured_now == 0
    mended = evaluate(clips[:8], run, TOY, retry=True)
    assert mended.measured_now == 1 and mended.complete


def test_twice_is_not_three_times(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    for _ in range(TRIES - 1):
        with at_work(tmp_path / "run", clips[0].id):
            pass
    assert evaluate(clips[:2], tmp_path / "run", TOY).complete
    assert not (tmp_path / "run" / FOLDER).exists()


def test_other_clips_or_settings_are_refused_while_a_process_is_at_work(
    tmp_path: Path, clips: list[Item], toy_metrics: Path
) -> None:
    with Claims(tmp_path / "run") as other:
        other.tell(asked="something else", attempt=0)
        with pytest.raises(BusyFolder, match="of other clips or settings"):
            evaluate(clips[:2], tmp_path / "run", TOY)
    assert evaluate(clips[:2], tmp_path / "run", TOY).complete


def test_what_another_process_measured_meanwhile_is_not_measured_again(
    tmp_path: Path, clips: list[Item], toy_metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that appears between plan and work counts."""
    from mmbench.runs.evaluate import evaluate as module

    evaluate(clips[:6], tmp_path / "elsewhere", TOY)
    planned = module.make_plan

    def then_somebody_writes(*arguments: object) -> object:
        plan = planned(*arguments)  # type: ignore[arg-type]
        for part in ("rows", "features"):
            (tmp_path / "elsewhere" / part).rename(tmp_path / "run" / part)
        (tmp_path / "run/rows/0000-0.jsonl").rename(tmp_path / "run/rows/0000-7.jsonl")
        return plan

    monkeypatch.setattr(module, "make_plan", then_somebody_writes)
    result = evaluate(clips[:6], tmp_path / "run", TOY)
    assert result.measured_now == 0 and result.complete and len(result.rows) == 6
