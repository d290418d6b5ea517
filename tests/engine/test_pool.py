"""The pool of workers: order, set-up once and only when needed, faults, and every way in which a worker can die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from mmbench.engine.pool import run_tasks
from mmbench.errors import MissingWeights, WorkerDied


@contextmanager
def noting(folder: Path, number: int) -> Iterator[Callable[[str], str]]:
    """A worker that notes its set-up and its ending, and does what a task says."""
    (folder / f"set-up-{number}").write_text(str(os.getpid()))

    def do(task: str) -> str:
        what, _, rest = task.partition(":")
        if what == "signal":
            os.kill(os.getpid(), int(rest))
            time.sleep(0.2)
        elif what == "exit":
            os._exit(int(rest))
        elif what == "once" and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "raise":
            raise MissingWeights(f"{rest} is not there.", "Get it.")
        elif what == "unpicklable":
            return lambda: None  # type: ignore[return-value]
        elif what == "hang":
            time.sleep(3600)
        elif what == "threads":
            return os.environ.get("OMP_NUM_THREADS", "")
        return task.upper()

    yield do
    (folder / f"ended-{number}").touch()


@contextmanager
def broken(number: int) -> Iterator[Callable[[str], str]]:
    if number >= 0:
        raise MissingWeights("raft.pth is not there.", "Get it.")
    yield str


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks(tmp_path: Path, workers: int) -> None:
    seen: list[tuple[str, str]] = []
    tasks = ["a", "b", "c", "d"]
    results = run_tasks(tasks, partial(noting, tmp_path), workers=workers, on_result=lambda *both: seen.append(both))
    assert results == ["A", "B", "C", "D"]
    assert sorted(seen) == list(zip(tasks, results, strict=True))
    set_up = list(tmp_path.glob("set-up-*"))
    assert len(set_up) <= min(workers, 4)
    assert len(list(tmp_path.glob("ended-*"))) == len(set_up)


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_set_up_for_no_task(tmp_path: Path, workers: int) -> None:
    assert run_tasks([], partial(noting, tmp_path), workers=workers) == []
    assert not list(tmp_path.iterdir())


def test_a_worker_is_set_up_once_and_has_one_numeric_thread(tmp_path: Path) -> None:
    assert run_tasks(["threads:"] * 6, partial(noting, tmp_path), workers=2) == ["1"] * 6
    processes = [path.read_text() for path in tmp_path.glob("set-up-*")]
    assert len(set(processes)) == len(processes) <= 2
    assert str(os.getpid()) not in processes


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_reaches_the_caller_as_it_was(tmp_path: Path, workers: int) -> None:
    with pytest.raises(MissingWeights) as caught:
        run_tasks(["a", "raise:raft.pth", "b"], partial(noting, tmp_path), workers=workers)
    assert (caught.value.message, caught.value.remedy) == ("raft.pth is not there.", "Get it.")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_set_up_reaches_the_caller(workers: int) -> None:
    with pytest.raises(MissingWeights):
        run_tasks(["a", "b"], broken, workers=workers)


def test_a_result_that_cannot_be_sent_is_an_error_not_a_wait(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="pickle"):
        run_tasks(["a", "unpicklable:"], partial(noting, tmp_path), workers=2)


def test_a_task_whose_worker_is_killed_is_done_by_another(tmp_path: Path) -> None:
    assert run_tasks(["a", "once:", "b"], partial(noting, tmp_path), workers=2) == ["A", "ONCE:", "B"]


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (f"signal:{int(signal.SIGKILL)}", "SIGKILL (exit code -9)"),
        (f"signal:{int(signal.SIGSEGV)}", "SIGSEGV (exit code -11)"),
        (f"signal:{int(signal.SIGTERM)}", "SIGTERM (exit code -15)"),
        ("exit:3", "exit code 3"),
        ("exit:0", "exit code 0"),
    ],
)
def test_a_task_at_which_workers_die_is_named_with_the_cause(tmp_path: Path, task: str, says: str) -> None:
    with pytest.raises(WorkerDied) as caught:
        run_tasks(["a", task, "b"], partial(noting, tmp_path), workers=2, name=lambda task: f"<{task}>")
    assert says in caught.value.message and f"<{task}>" in caught.value.message
    told = run_tasks(["a", task, "b"], partial(noting, tmp_path), workers=2, lost=lambda task, died: died.message)
    assert told[0] == "A" and says in told[1] and told[2] == "B"


def test_ctrl_c_that_reaches_a_worker_alone_stops_nothing(tmp_path: Path) -> None:
    task = f"signal:{int(signal.SIGINT)}"
    assert run_tasks([task, "b"], partial(noting, tmp_path), workers=2) == [task.upper(), "B"]


def test_when_every_worker_dies_the_call_ends(tmp_path: Path) -> None:
    with pytest.raises(WorkerDied):
        run_tasks(["exit:1"] * 50, partial(noting, tmp_path), workers=2, lost=lambda task, died: "lost")


SCRIPT = """
import signal, sys, time
from contextlib import contextmanager
from pathlib import Path
from mmbench.engine.pool import run_tasks

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background deaf to it

@contextmanager
def work(number):
    def do(task):
        if task > 3:
            time.sleep(3600)
        Path(sys.argv[1], f"done-{task}").touch()
        return task
    yield do

def main():
    run_tasks(list(range(8)), work, workers=2)

"""


def run_script(folder: Path, ending: str) -> subprocess.Popen[str]:
    script = folder / "script.py"
    script.write_text(SCRIPT + ending)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    _, told = run_script(tmp_path, "main()\n").communicate()
    assert (
        told.strip().splitlines()[-1].startswith("mmbench.errors.WorkerDied: A worker process ended with exit code 1")
    )
    assert "__main__" in told.strip().splitlines()[-1]
    assert not list(tmp_path.glob("done-*"))


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Signals of a terminal reach process groups on POSIX only.")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_the_parent_ends_the_workers_and_leaves_finished_work(tmp_path: Path, number: int) -> None:
    process = run_script(tmp_path, 'if __name__ == "__main__":\n    main()\n')
    while len(list(tmp_path.glob("done-*"))) < 4:
        assert process.poll() is None
        time.sleep(0.05)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: parent and workers
        _, told = process.communicate()  # returns when every process has closed its standard error
        assert told.strip().splitlines()[-1] == "KeyboardInterrupt"
    else:
        os.kill(process.pid, number)
        process.wait()
        os.killpg(process.pid, signal.SIGKILL)  # workers in the middle of an endless task
        process.communicate()
    assert sorted(path.name for path in tmp_path.glob("done-*")) == [f"done-{k}" for k in range(4)]


def test_a_task_that_hangs_is_lost_and_the_others_are_done(tmp_path: Path) -> None:
    tasks = ["a", "hang:", "b", "c"]
    found = run_tasks(
        tasks, partial(noting, tmp_path), workers=2, lost=lambda task, died: f"{task} {died.message}", seconds=1.5
    )
    assert [found[0], *found[2:]] == ["A", "B", "C"]
    assert found[1].startswith("hang: No end after 1.5 s at hang:")
    assert len(list(tmp_path.glob("set-up-*"))) <= 3, "it is tried once: whatever hangs once hangs again"


def test_a_task_that_hangs_is_an_error_where_nobody_takes_the_loss(tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match="No end after 1 s at hang:"):
        run_tasks(["hang:", "a"], partial(noting, tmp_path), workers=2, seconds=1.0)


class Foresight:
    """Notes what it is told will follow, and dies of a task "poison" whether it is told of it or given it."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def note(self, line: str) -> None:
        with self.log.open("a") as file:
            print(os.getpid(), line, file=file)

    def expect(self, task: str) -> None:
        self.note(f"expects {task}")
        if task.startswith("poison"):
            os.kill(os.getpid(), signal.SIGKILL)

    def __call__(self, task: str) -> str:
        self.note(f"does {task}")
        if task.startswith("poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return task.upper()


@contextmanager
def foreseeing(log: Path, number: int) -> Iterator[Foresight]:
    yield Foresight(log)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_are_told_what_follows(tmp_path: Path, workers: int) -> None:
    """No task is foretold to two workers, and most come where they were foretold."""
    tasks, log = [f"t{k}" for k in range(24)], tmp_path / "log"
    assert run_tasks(tasks, partial(foreseeing, log), workers=workers, foretell=True) == [t.upper() for t in tasks]
    told: dict[str, str] = {}
    came = 0
    for line in log.read_text().splitlines():
        process, what, task = line.split()
        if what == "expects":
            assert task not in told
            told[task] = process
        else:
            came += told.get(task) == process
    assert came >= len(tasks) - 2 * workers


def test_a_task_that_kills_when_foretold_costs_no_other(tmp_path: Path) -> None:
    """Its neighbours are done again without it beside them; it is lost in its own turn."""
    tasks = ["a", "b", "poison1", "c", "poison2", "poison3", "d", "e"]
    found = run_tasks(
        tasks, partial(foreseeing, tmp_path / "log"), workers=2, lost=lambda task, died: "lost", foretell=True
    )
    assert found == ["lost" if task.startswith("poison") else task.upper() for task in tasks]
