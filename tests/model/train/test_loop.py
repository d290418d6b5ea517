"""The loop on a tiny base: what it saves, that stopping and going on changes nothing, and that it stops when asked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmbench.errors import ManifestError, WeightsError
from mmbench.model.train.checkpoint import OPTIMISER, WEIGHTS, checkpoints, load_position
from mmbench.model.train.drawn import drawn_settings
from mmbench.model.train.loop import StepReport, train
from mmbench.model.train.settings import TrainSettings

BASE = {"train": "all", "size": "smoke", "dtype": "fp32"}


def base_settings(steps: int = 6, **changes: Any) -> TrainSettings:
    """A base trained on pictures and clips in turn."""
    sources = [{"shards": ["images"], "batch": 4}, {"shards": ["clips"]}]
    stage = {"name": "mixed", "data": sources, "steps": steps, "batch": 2, "lr": 1e-3, "warmup": 2}
    return drawn_settings(**{"model": BASE, "stages": [stage], "keep": {"every": 3}, "ema": 0.9, **changes})


class Stop(Exception):
    """Raised where a run is to break off."""


def breaking(at: int) -> Any:
    """A report that breaks the run off after some steps."""

    def report(step: StepReport) -> None:
        if step.step == at:
            raise Stop

    return report


def same_state(one: Path, other: Path) -> None:
    """Fail unless two checkpoints hold the same bits."""
    for name in (WEIGHTS, "averages.safetensors"):
        if (one / name).exists() or (other / name).exists():
            a, b = load_file(one / name), load_file(other / name)
            assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    a, b = (torch.load(folder / OPTIMISER, weights_only=True) for folder in (one, other))
    assert a.keys() == b.keys() and a
    for name in a:
        assert a[name].keys() == b[name].keys() >= {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(a[name][key], b[name][key]) for key in a[name])
    first, second = load_position(one), load_position(other)
    assert first == second
    for states in one.glob("random-*.json"):
        assert states.read_text() == (other / states.name).read_text()


@pytest.mark.parametrize("half", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_going_on_equals_never_stopping(world: Path, tmp_path: Path, half: int) -> None:
    """Broken off a step after its save, the run goes on from there and ends in the same bits."""
    settings = base_settings(2 * half, keep={"every": half})
    torch.manual_seed(5)
    straight = train(settings, world, tmp_path / "straight")
    torch.manual_seed(5)
    with pytest.raises(Stop):
        train(settings, world, tmp_path / "broken", report=breaking(half + 1))
    held = checkpoints(tmp_path / "broken" / "checkpoints")
    assert [load_position(c).total_steps for c in held] == [half]
    assert sum(load_position(held[0]).drawn) in range(2 * half, 4 * half + 1)
    torch.manual_seed(99)
    resumed = train(settings, world, tmp_path / "broken", resume=True)
    same_state(straight.checkpoint, resumed.checkpoint)
    logs = [(tmp_path / name / "steps.jsonl").read_text().splitlines() for name in ("straight", "broken")]
    losses = [[json.loads(line)["loss"] for line in log] for log in logs]
    assert losses[0] == losses[1] and len(losses[0]) == 2 * half


@pytest.mark.slow
@pytest.mark.parametrize("library", ["bitsandbytes", "torchao"])
def test_8_bit_optimisers_go_on_too(world: Path, tmp_path: Path, library: str) -> None:
    pytest.importorskip(library)
    settings = base_settings(4, optimiser={"kind": f"adamw8bit-{library}"}, keep={"every": 2})
    straight = train(settings, world, tmp_path / "straight")
    with pytest.raises(Stop):
        train(settings, world, tmp_path / "broken", report=breaking(3))
    resumed = train(settings, world, tmp_path / "broken", resume=True)
    one, other = load_file(straight.checkpoint / WEIGHTS), load_file(resumed.checkpoint / WEIGHTS)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_only_what_is_trained_is_saved(world: Path, tmp_path: Path) -> None:
    """Norm-only tuning of a bf16 base: its checkpoint and release hold the norms' projections and nothing else."""
    model = {**BASE, "train": "norm-only", "dtype": "bf16"}
    seen: dict[str, torch.Tensor] = {}
    result = train(base_settings(2, model=model, ema=0.0), world, tmp_path / "out")
    seen = load_file(result.checkpoint / WEIGHTS)
    assert seen and all(".norm1.linear." in n or ".norm2.linear." in n for n in seen)
    assert all(t.dtype == torch.float32 for t in seen.values())
    released = load_file(result.releases[0] / "norms.safetensors")
    assert released.keys() == {n.removeprefix("transformer.") for n in seen}


def test_another_setting_or_a_full_folder_is_refused(world: Path, tmp_path: Path) -> None:
    train(base_settings(2), world, tmp_path)
    with pytest.raises(ManifestError, match="--resume"):
        train(base_settings(2), world, tmp_path)
    changed = base_settings(2, optimiser={"weight_decay": 0.5})
    with pytest.raises(ManifestError, match=r"optimiser\.weight_decay was 0\.0001, now 0\.5"):
        train(changed, world, tmp_path, resume=True)
    faster = base_settings(2, machine={"workers": 0, "checkpointing": True})
    assert train(faster, world, tmp_path, resume=True).steps == 2
    (checkpoints(tmp_path / "checkpoints")[-1] / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="cannot be read"):
        train(base_settings(2), world, tmp_path, resume=True)


def test_micro_batches_and_workers_change_nothing_but_rounding(world: Path, tmp_path: Path) -> None:
    whole = train(base_settings(2), world, tmp_path / "whole")
    parts = train(base_settings(2, machine={"micro_batch": 1, "workers": 1}), world, tmp_path / "parts")
    a, b = load_file(whole.checkpoint / WEIGHTS), load_file(parts.checkpoint / WEIGHTS)
    for name in a:  # Adam turns rounding of a gradient near zero into a step of up to the rate, 1e-3
        assert (a[name] - b[name]).abs().max() < 2.1e-3
        assert (a[name] - b[name]).abs().mean() < 2e-4


SCRIPT = """
import sys
from pathlib import Path
from mmbench.model.train.drawn import drawn_settings
from mmbench.model.train.loop import train
from mmbench.model.train.settings import TrainSettings
settings = TrainSettings.from_yaml(Path(sys.argv[1]))
def report(step):
    print("step", step.step, flush=True)
result = train(settings, Path(sys.argv[2]), Path(sys.argv[3]), resume="resume" in sys.argv, report=report)
print("interrupted", result.interrupted, flush=True)
"""


def command(folder: Path, world: Path, out: Path, *more: str, processes: int = 1) -> list[str]:
    """A training run as processes of its own."""
    script = folder / "run.py"
    script.write_text(SCRIPT)
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*start, str(script), str(folder / "settings.yaml"), str(world), str(out), *more]


def environment() -> dict[str, str]:
    """One thread a process."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def test_sigterm_saves_and_a_kill_loses_the_steps_since_the_last_save_only(world: Path, tmp_path: Path) -> None:
    settings = base_settings(40)
    (tmp_path / "settings.yaml").write_text(settings.to_yaml())
    out = tmp_path / "out"

    def run(until: int, number: int, *more: str) -> tuple[int, str]:
        with subprocess.Popen(
            command(tmp_path, world, out, *more), stdout=subprocess.PIPE, text=True, env=environment()
        ) as process:
            assert process.stdout is not None
            told = ""
            for line in process.stdout:
                told += line
                if line.startswith("step ") and int(line.split()[1]) >= until:
                    process.send_signal(number)
                    break
            told += process.stdout.read()
            return process.wait(), told

    code, told = run(4, signal.SIGTERM)
    assert code == 0 and "interrupted True" in told
    saved = load_position(checkpoints(out / "checkpoints")[-1]).total_steps
    steps = [int(line.split()[1]) for line in told.splitlines() if line.startswith("step ")]
    assert saved == steps[-1] >= 4
    code, told = run(saved + 5, signal.SIGKILL, "resume")
    assert code == -signal.SIGKILL
    after = [int(line.split()[1]) for line in told.splitlines() if line.startswith("step ")]
    assert after[0] == saved + 1
    kept = load_position(checkpoints(out / "checkpoints")[-1]).total_steps
    assert after[-1] - 3 <= kept <= after[-1]


@pytest.mark.parametrize(("first_steps", "then"), [(2, 1), pytest.param(10, 10, marks=pytest.mark.slow)])
def test_two_processes_learn_what_one_does_and_resume_to_the_bit(
    world: Path, tmp_path: Path, first_steps: int, then: int
) -> None:
    """DDP over gloo: some steps and resumed ones, against all in one go, and against one process."""

    def run(out: str, *more: str, processes: int = 2) -> Path:
        settings = base_settings(first_steps + then, machine={"micro_batch": 1}, keep={"every": first_steps})
        (tmp_path / "settings.yaml").write_text(settings.to_yaml())
        done = subprocess.run(
            command(tmp_path, world, tmp_path / out, *more, processes=processes),
            capture_output=True,
            text=True,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return checkpoints(tmp_path / out / "checkpoints")[-1]

    straight = run("straight")
    (tmp_path / "again").mkdir()
    first = checkpoints(tmp_path / "straight" / "checkpoints")[0]
    assert load_position(first).total_steps == first_steps
    shutil.copytree(first, tmp_path / "again" / "checkpoints" / first.name)
    resumed = run("again", "resume")
    same_state(straight, resumed)
    alone = load_file(run("alone", processes=1) / WEIGHTS)
    for name, value in load_file(straight / WEIGHTS).items():
        assert (alone[name] - value).abs().mean() < 2e-4


def test_a_gradient_that_is_not_finite_moves_nothing(world: Path, tmp_path: Path, monkeypatch: Any) -> None:
    from mmbench.errors import MMBenchError
    from mmbench.model.train import loop

    real = loop.sample_losses

    def broken(*args: Any) -> Any:
        losses = real(*args)
        return type(losses)(losses.total * torch.nan, losses.denoising, losses.cosine)

    monkeypatch.setattr(loop, "sample_losses", broken)
    result = train(base_settings(2, ema=0.0), world, tmp_path / "out")
    assert load_position(result.checkpoint).skipped == 2
    assert torch.load(result.checkpoint / OPTIMISER, weights_only=True) == {}
    monkeypatch.setattr(loop, "MOST_SKIPPED", 2)
    with pytest.raises(MMBenchError, match="not finite"):
        train(base_settings(4), world, tmp_path / "more")


def test_time_left_and_throughput_are_told(world: Path, tmp_path: Path) -> None:
    told: list[StepReport] = []
    train(base_settings(3), world, tmp_path, report=told.append)
    assert [t.step for t in told] == [1, 2, 3]
    assert told[-1].samples_per_second > 0 and told[-1].seconds_left == 0
    assert told[0].rate == pytest.approx(5e-4) and told[1].rate == pytest.approx(1e-3)


def test_stages_follow_each_other_with_a_new_optimiser(world: Path, tmp_path: Path) -> None:
    stage = {"data": [{"shards": ["images"]}], "steps": 2, "batch": 2, "lr": 1e-3}
    stages = [{"name": "one", **stage}, {"name": "two", **stage, "data": [{"shards": ["clips"]}]}]
    result = train(base_settings(model=BASE, stages=stages, ema=0.0), world, tmp_path)
    assert [path.name for path in result.releases] == ["base-one", "base"]
    assert result.steps == 4 and load_position(result.checkpoint).stage == 2
    again = train(base_settings(model=BASE, stages=stages, ema=0.0), world, tmp_path, resume=True)
    assert again.steps == 4 and again.releases == ()
