"""The training loop: stages of optimiser steps over one process or many, saved and resumed at any step."""

from __future__ import annotations

import importlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from mmbench.engine.alone import alone
from mmbench.errors import ManifestError, MMBenchError
from mmbench.model.train.batch import Batch, LiveSource, SampleOptions, StageData, collate
from mmbench.model.train.build import Parts, build
from mmbench.model.train.checkpoint import Position, checkpoints, load_checkpoint, load_position, save_checkpoint
from mmbench.model.train.loss.drops import DropRates
from mmbench.model.train.optimiser import AveragedWeights, full, learning_rate, make_optimiser, set_rate
from mmbench.model.train.plan import MicroBatches, StagePlan, check_divides
from mmbench.model.train.processes import Processes
from mmbench.model.train.release import RELEASES, write_release
from mmbench.model.train.running import cut_log, stopping
from mmbench.model.train.settings import SourceSettings, StageSettings, TrainSettings, as_learned, changed_settings
from mmbench.model.train.shards import ShardSet
from mmbench.model.train.step import sample_losses
from mmbench.model.train.text_store import TextStore

MOST_SKIPPED = 20
"""Steps in a row whose gradient is not finite before the run gives up."""
LOG = "steps.jsonl"


@dataclass(frozen=True)
class StepReport:
    """One optimiser step. loss is the whole, over all processes; identity the mean cosine of the identity loss, NaN
    where it did not apply; norm the gradient's before clipping."""

    stage: str
    step: int
    steps: int
    loss: float
    denoising: float
    identity: float
    norm: float
    rate: float
    samples_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class TrainResult:
    """What a run left: its last checkpoint, the release of every finished stage, and whether it was told to stop."""

    checkpoint: Path
    releases: tuple[Path, ...]
    interrupted: bool
    steps: int


Report = Callable[[StepReport], None]
Validate = Callable[[Parts, int, bool], None]
"""Called with the parts (averaged weights in place), the total number of steps done, and whether to write.

With sharded weights all processes take part and the first one writes, else the first one alone is called.
"""


class Trainer:
    """One run: everything built, any number of stages, one position."""

    def __init__(
        self,
        settings: TrainSettings,
        folder: Path,
        out: Path,
        *,
        report: Report | None = None,
        validate: Validate | None = None,
    ) -> None:
        self.settings, self.folder, self.out = settings, folder, out
        out.mkdir(parents=True, exist_ok=True)
        self.report, self.validate = report or (lambda _: None), validate
        self.processes = Processes(settings.machine, out, settings.keep.trackers)
        if settings.machine.tf32:
            torch.set_float32_matmul_precision("high")
        self.parts = build(settings, folder, self.processes.device)
        self.parts.module.train()
        if settings.machine.checkpointing:
            self.parts.module.enable_gradient_checkpointing()
        self.model = self.processes.wrap(self.parts)
        self.trained = self.parts.trained()
        self.position = Position(settings=settings.of_learning())
        self.optimiser, self.averages = self._new_stage()
        self._stop = False
        self._clock: list[tuple[float, int]] = []

    def _new_stage(self) -> tuple[torch.optim.Optimizer, AveragedWeights | None]:
        averages = AveragedWeights(self.trained, self.settings.ema) if self.settings.ema else None
        return make_optimiser(self.trained, self.settings.optimiser), averages

    def resume(self) -> bool:
        """Take up the newest checkpoint of the folder; False where there is none. ManifestError for other settings."""
        found = checkpoints(self.out / "checkpoints")
        if not found:
            return False
        position = load_position(found[-1])
        if changed := changed_settings(as_learned(position.settings), self.settings.of_learning()):
            raise ManifestError(
                f"{found[-1]}: was made with other settings: {changed}.", "Use those settings, or another folder."
            )
        load_checkpoint(found[-1], self.trained, self.optimiser, self.averages, self.processes.rank)
        self.position = position
        if self.processes.rank == 0:
            cut_log(self.out / LOG, position.total_steps)
        return True

    def run(self) -> TrainResult:
        """Train to the end of the last stage, or until SIGTERM or Ctrl-C, and save."""
        releases: list[Path] = []
        with stopping(self._ask_to_stop):
            while self.position.stage < len(self.settings.stages) and not self._stop:
                stage = self.settings.stages[self.position.stage]
                self._run_stage(stage)
                if self.position.step < stage.steps:
                    break
                releases.append(self._release(stage))
                if self.position.stage + 1 == len(self.settings.stages):
                    self.position = replace(self.position, stage=self.position.stage + 1, step=0)
                    break
                self.optimiser, self.averages = self._new_stage()
                self.position = replace(self.position, stage=self.position.stage + 1, step=0, drawn=())
                self._save()
        checkpoint = self._save()
        self.processes.end()
        return TrainResult(checkpoint, tuple(releases), self._stop, self.position.total_steps)

    def _ask_to_stop(self) -> None:
        self._stop = True

    def _run_stage(self, stage: StageSettings) -> None:
        """Steps of one stage from the position on; saves, validates and reports on the way."""
        index = self.position.stage
        sources = [open_source(source, self.folder, self.processes.device) for source in stage.data]
        plan = StagePlan(stage, self.settings.seed, index)
        size, world = self.settings.machine.micro_batch, self.processes.world
        for batch in set(plan.batches):
            check_divides(batch, size, world)
        data = StageData(
            sources, TextStore(self.folder / self.settings.samples.texts), self._options(), self.settings.seed, index
        )
        loader = DataLoader(
            data,
            batch_sampler=MicroBatches(plan, range(self.position.step, stage.steps), size, self.processes.rank, world),
            num_workers=self.settings.machine.workers,
            collate_fn=collate,
            generator=torch.Generator(),  # its own, so that the workers' seeds leave the global one alone
            pin_memory=self.processes.device.type == "cuda" and all(isinstance(s, ShardSet) for s in sources),
            persistent_workers=False,
        )
        batches = iter(loader)
        self._clock = []
        in_a_row = 0
        for step in range(self.position.step, stage.steps):
            if self.processes.any(self._stop):
                self._stop = True
                return
            rate = learning_rate(stage, step)
            set_rate(self.optimiser, rate)
            taken = self._step(batches, plan.batch(step), size)
            in_a_row = 0 if taken.finite else in_a_row + 1
            if in_a_row >= MOST_SKIPPED:
                raise MMBenchError(
                    f"{in_a_row} steps in a row had a gradient that is not finite.", "Lower the rate; check the data."
                )
            if taken.finite and self.averages is not None:
                self.averages.update(self.trained)
            self.position = replace(
                self.position,
                step=step + 1,
                total_steps=self.position.total_steps + 1,
                drawn=tuple(plan.drawn(step + 1)),
                skipped=self.position.skipped + (not taken.finite),
            )
            self._tell(stage, taken, rate, plan.batch(step))
            total = self.position.total_steps
            if total % self.settings.keep.every == 0 and step + 1 < stage.steps:
                self._save()
            every = self.settings.validation.every
            if self.validate is not None and every and total % every == 0:
                first = self.processes.rank == 0
                if first or self.settings.machine.parallel == "fsdp":
                    with self._averaged():
                        self.validate(self.parts, total, first)
                self.processes.wait()

    def _options(self) -> SampleOptions:
        loss, samples = self.settings.loss, self.settings.samples
        return SampleOptions(
            self.parts.noising.num_timesteps,
            loss.face_share,
            DropRates(loss.drops.identity, loss.drops.text, loss.drops.both),
            self.parts.spatial,
            self.parts.image_size,
            samples.references,
            samples.augment,
            samples.shown == "stranger",
        )

    def _step(self, batches: Iterator[Batch], batch: int, size: int) -> _Taken:
        """One optimiser step over micro-batches that make up `batch` samples of all processes."""
        count = batch // (size * self.processes.world)
        sums = torch.zeros(4, dtype=torch.float64, device=self.processes.device)
        self.optimiser.zero_grad(set_to_none=True)
        for index in range(count):
            held = next(batches).to(self.processes.device, non_blocking=True)
            quiet: AbstractContextManager[Any] = nullcontext()
            if index + 1 < count:
                quiet = self.processes.no_sync(self.model)
            with quiet:
                losses = sample_losses(self.parts, self.model, held)
                # processes average their gradients: the factor makes it the mean over the whole batch
                (losses.total.sum() * (self.processes.world / batch)).backward()
            known = losses.cosine.isfinite()
            sums += torch.stack(
                [losses.total.sum(), losses.denoising.sum(), losses.cosine[known].sum(), known.sum()]
            ).detach()
        norm = float(full(nn.utils.clip_grad_norm_(self.trained.values(), self.settings.optimiser.clip)))
        if finite := math.isfinite(norm):
            self.optimiser.step()
        total, denoising, cosine, known_count = self.processes.sum(sums).tolist()
        return _Taken(total / batch, denoising / batch, cosine / known_count if known_count else math.nan, norm, finite)

    def _tell(self, stage: StageSettings, taken: _Taken, rate: float, batch: int) -> None:
        """Report, log and track a step."""
        done = self.position.step
        self._clock = [*self._clock[-50:], (time.monotonic(), batch)]
        spent = self._clock[-1][0] - self._clock[0][0]
        samples = sum(count for _, count in self._clock[1:])
        speed = samples / spent if spent else math.nan
        left = (stage.steps - done) * spent / (len(self._clock) - 1) if spent else math.nan
        told = StepReport(
            stage.name, done, stage.steps, taken.loss, taken.denoising, taken.identity, taken.norm, rate, speed, left
        )
        if self.processes.rank == 0:
            self.report(told)
            line = {"total": self.position.total_steps, **asdict(told), "skipped": not taken.finite}
            with (self.out / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps({k: v for k, v in line.items() if v == v}) + "\n")  # NaN is not JSON
        values = {"loss": taken.loss, "denoising": taken.denoising, "norm": taken.norm, "rate": rate}
        if math.isfinite(taken.identity):
            values["identity"] = taken.identity
        self.processes.track(values, self.position.total_steps)

    def _save(self) -> Path:
        folder = self.out / "checkpoints"
        where = (self.processes.rank, self.processes.world)
        return save_checkpoint(
            folder, self.position, self.trained, self.optimiser, self.averages, where, self.settings.keep.last
        )

    def _release(self, stage: StageSettings) -> Path:
        """The weights that a stage made, for use: the averages where there are any."""
        last = self.position.stage + 1 == len(self.settings.stages)
        what = RELEASES[self.settings.model.train]
        folder = self.out / (what if last else f"{what}-{stage.name}")
        with self._averaged():
            write_release(folder, self.parts, self.settings, stage, self.position.total_steps, self.processes.rank)
        self.processes.wait()
        return folder

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The averaged weights in the model for as long as the block lasts."""
        if self.averages is None:
            yield
            return
        self.averages.swap(self.trained)
        try:
            yield
        finally:
            self.averages.swap(self.trained)


@dataclass(frozen=True)
class _Taken:
    loss: float
    denoising: float
    identity: float
    norm: float
    finite: bool


def train(
    settings: TrainSettings,
    folder: Path,
    out: Path,
    *,
    resume: bool = False,
    report: Report | None = None,
    validate: Validate | None = None,
) -> TrainResult:
    """Run the settings' stages into `out`; `folder` is what the settings' paths are relative to.

    Raises ManifestError where `out` holds a run and `resume` is not set, or one of other settings, BusyFolder while
    another training is at work in it; errors of data and weights pass through.
    """
    if not resume and checkpoints(out / "checkpoints"):
        raise ManifestError(f"{out}: holds a training run.", "Add --resume to continue it, or name another folder.")
    trainer = Trainer(settings, folder, out, report=report, validate=validate)
    first = trainer.processes.rank == 0
    with alone(out, "a training") if first else nullcontext():  # the first process holds the folder for all of its run
        if not (resume and trainer.resume()) and first:
            (out / "settings.yaml").write_text(settings.to_yaml(), encoding="utf-8")
            (out / LOG).unlink(missing_ok=True)
        return trainer.run()


def open_source(source: SourceSettings, folder: Path, device: torch.device) -> ShardSet | LiveSource:
    """The records of a source, or the live source that its settings name. Raises ManifestError naming the setting."""
    if source.live is None:
        return ShardSet([folder / path for path in source.shards])
    module, _, function = source.live.partition(":")
    try:
        made = getattr(importlib.import_module(module), function)(folder, device, **source.options)
    except (ImportError, AttributeError, TypeError, ValueError) as cause:
        raise ManifestError(
            f"stages.data.live: {source.live}: {cause}.", "Name module:function and its options."
        ) from cause
    if not isinstance(made, LiveSource):
        raise ManifestError(f"stages.data.live: {source.live} gave no live source.", "It needs a method `batch`.")
    return made
