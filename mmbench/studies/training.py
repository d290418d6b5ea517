"""Validation while a model trains: clips from the present weights every so many steps, measured as any others.

The rows carry the step, so a curve over training is a report on rows and no other log.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.config import EvaluateSettings
from mmbench.errors import ManifestError, MissingWeights
from mmbench.files import read_json, write_json, write_text
from mmbench.model.train.build import called
from mmbench.model.train.loop import Report, TrainResult, train
from mmbench.model.train.settings import changed_settings

if TYPE_CHECKING:
    import torch

    from mmbench.files import Progress
    from mmbench.items import Item
    from mmbench.model.train.build import Parts
    from mmbench.model.train.settings import TrainSettings
    from mmbench.runs.evaluate.rows import ItemRow
    from mmbench.runs.generate.plan import Job

CURVE = "curve.csv"
ASKED = "asked.json"
"""Beside validation clips: what they were made of."""


@dataclass(frozen=True)
class CurvePoint:
    """Mean of one metric over the clips of one step; count of the clips that have it."""

    metric: str
    step: int
    mean: float
    count: int


def train_and_validate(
    settings: TrainSettings,
    folder: Path,
    out: Path,
    *,
    resume: bool = False,
    report: Report | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """`mmbench.model.train.loop.train` with the settings' validation clips, made and measured below `out/validation`.

    Raises what training raises, and ManifestError or MissingWeights where validation cannot be set up; that is found
    before the first step.
    """
    validation = None
    if settings.validation.every:
        validation = Validation(settings, folder, out / "validation", progress)
    return train(settings, folder, out, resume=resume, report=report, validate=validation)


class Validation:
    """Called with the parts and the step: makes the clips, measures all steps' clips that have no row yet."""

    def __init__(self, settings: TrainSettings, folder: Path, out: Path, progress: Progress | None = None) -> None:
        from mmbench.runs.generate.plan import choose_jobs, plan_jobs
        from mmbench.testsets.load import load_testset

        self.settings, self.folder, self.out, self.progress = settings, folder, out, progress
        wanted = settings.validation
        place = folder / wanted.testset
        testset = load_testset(place if place.is_dir() else wanted.testset)
        self.jobs = choose_jobs(plan_jobs(testset, settings.seed), (), wanted.limit)
        self._texts: dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def __call__(self, parts: Parts, step: int, writes: bool = True) -> None:
        """Make and measure; a process with `writes` False only takes part (its weights are sharded)."""
        self.make(parts, step, writes)
        if writes:
            self._measure()

    def asked(self) -> dict[str, Any]:
        """What decides the clips beside the trained weights, as JSON values.

        The settings of sampling, the base (and its bytes, where it lies here), what is laid over or beside it, every
        prompt, seed and picture shown.
        """
        from mmbench.files import content_of

        wanted, model = self.settings.validation, self.settings.model
        how = ("steps", "guidance_scale", "identity_guidance", "frames", "enlarged", "text", "analyser")
        base = sorted((self.folder / model.base / "transformer").glob("*.safetensors"))
        parts = {name: getattr(model, name) for name in ("norms", "codec", "tower")}
        return {
            **wanted.model_dump(mode="json", include=set(how)),
            **({} if model.train == "adapter" else {"train": model.train}),
            **{name: _content(self.folder / path) for name, path in parts.items() if path is not None},
            "size": model.size,
            "base": [model.base, *map(content_of, base)],
            "clips": {job.name: [job.seed, job.prompt.long, *map(content_of, job.identity.shown)] for job in self.jobs},
        }

    def check(self) -> None:
        """Raise ManifestError where the folder's clips were made in another way; note the way of new ones."""
        path, asked = self.out / ASKED, self.asked()
        if path.is_file():
            held = read_json(path, "Delete that folder: its clips are made again.")
            if changed := changed_settings(held, asked):
                raise ManifestError(
                    f"{self.out}: its clips were made with other settings: {changed[:300]}.",
                    "Use those settings, or another folder.",
                )
        elif any(self.out.glob("step-*/*.mp4")):
            raise ManifestError(f"{self.out}: nothing says how its clips were made.", "Delete that folder.")
        else:
            write_json(path, asked)

    def make(self, parts: Parts, step: int, writes: bool = True) -> None:
        """Make the clips of a step that are not there yet. Raises as `check`."""
        if writes:
            self.check()
        clips = self.out / f"step-{step:08d}"
        frames = self._frames(parts)
        pipe = self._pipeline(parts)
        for job in self.jobs:
            path = clips / f"{job.name}.mp4"
            if path.is_file() and not self._sharded:
                continue
            video = self._make(pipe, job, frames, parts)
            if writes:
                self._write(path, video)
        parts.module.train()

    def has(self, step: int) -> bool:
        """Whether all clips of a step are there. Raises as `check`."""
        self.check()
        clips = self.out / f"step-{step:08d}"
        return all((clips / f"{job.name}.mp4").is_file() for job in self.jobs)

    @property
    def _sharded(self) -> bool:
        return self.settings.machine.parallel == "fsdp"

    def _frames(self, parts: Parts) -> int:
        from mmbench.model.network.configs import size_named

        return self.settings.validation.frames or size_named(self.settings.model.size).frames

    def _pipeline(self, parts: Parts) -> Any:
        """The pipeline around the weights that train; its text encoder is on the device for the first call only."""
        import torch
        from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler

        from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline

        tokenizer, encoder = self._text_side()
        scheduler = CogVideoXDPMScheduler.from_config(parts.scheduler.config, timestep_spacing="trailing")
        device = parts.transformer.proj_out.weight.device
        parts.module.eval()
        parts.vae.to(device)
        pipe = MagicMirrorPipeline(
            tokenizer=tokenizer,
            text_encoder=encoder,
            vae=parts.vae,
            transformer=parts.transformer,
            scheduler=scheduler,
            face_encoder=parts.face_encoder,
        )
        if not self._texts:
            encoder.to(device)
            rows = parts.transformer.config.max_text_seq_length
            for job in self.jobs:
                with torch.no_grad():
                    plain, negative = pipe.encode_prompt(
                        _cleaned(job), "", True, max_sequence_length=rows, device=device
                    )
                self._texts[job.name] = (plain.cpu(), negative.cpu(), pipe.identity_mask(job.prompt.long).cpu())
        encoder.to("cpu")
        pipe.set_progress_bar_config(disable=True)
        if (analyser := self.settings.validation.analyser) is not None:
            pipe.face_analyser = called(analyser, "validation.analyser")
        elif parts.face_encoder is not None and self.settings.model.tower is not None:
            from mmbench.face.nano.recogniser import NanoFaces

            pipe.face_analyser = NanoFaces(parts.face_encoder.vision.recogniser)
        elif parts.face_encoder is not None and size_of(self.settings).codec is not None:
            from mmbench.face.stand_in import CentreFaces

            pipe.face_analyser = CentreFaces(parts.face_encoder.config.embedding_dim)
        return pipe

    def _text_side(self) -> tuple[Any, Any]:
        """Tokenizer and text encoder of the base, or of `validation.text`; the small sizes' own where neither has."""
        wanted, size = self.settings.validation, size_of(self.settings)
        source = wanted.text or (Path(self.settings.model.base) if self.settings.model.base != "random" else None)
        if source is not None and (wanted.text is not None or size.codec is None):
            from transformers import AutoTokenizer, T5EncoderModel

            local = self.folder / source
            name = str(local) if local.is_dir() else str(source)
            try:
                tokenizer = AutoTokenizer.from_pretrained(name, subfolder="tokenizer")
                encoder = T5EncoderModel.from_pretrained(name, subfolder="text_encoder", dtype="auto")
            except OSError as cause:
                raise MissingWeights(
                    f"{name}: no text encoder: {cause}.", "Name its folder: validation.text."
                ) from cause
            return tokenizer, encoder.eval()
        import torch

        from mmbench.model.small.nano import offline_tokenizer, tiny_text_encoder

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            return offline_tokenizer(size), tiny_text_encoder(size).eval()

    def _make(self, pipe: Any, job: Job, frames: int, parts: Parts) -> Any:
        """One clip, uint8 [F, H, W, 3]."""
        import numpy as np
        import torch

        from mmbench.runs.generate.plan import open_references
        from mmbench.video.write import enlarge

        wanted = self.settings.validation
        plain, negative, mask = (tensor.to(pipe._execution_device) for tensor in self._texts[job.name])
        size = size_of(self.settings)
        identity: dict[str, Any] = {}
        if parts.face_encoder is not None:  # a base alone is shown nobody
            identity = {
                "identity_mask": mask,
                "id_image": list(open_references(job.identity)),
                "identity_guidance": wanted.identity_guidance,
            }
        made = pipe(
            prompt_embeds=plain,
            negative_prompt_embeds=negative,
            height=size.height,
            width=size.width,
            num_frames=frames,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            generator=torch.Generator().manual_seed(job.seed),
            output_type="np",
            **identity,
        )
        video = (np.asarray(made.frames[0]) * 255).round().clip(0, 255).astype(np.uint8)
        return enlarge(video, (size.height * wanted.enlarged, size.width * wanted.enlarged))

    def _write(self, path: Path, video: Any) -> None:
        from mmbench.video.write import write_video

        write_video(path, video, 8.0)

    def _measure(self) -> None:
        """Measure every step's clips that have no row yet, and write the curve."""
        from mmbench.runs.evaluate.evaluate import evaluate

        wanted = self.settings.validation
        options = EvaluateSettings(
            metrics=wanted.metrics, device=self.settings.machine.device, random_weights=wanted.random_weights
        )
        done = evaluate(self.items(), self.out / "evaluation", options, progress=self.progress)
        write_curve(self.out / CURVE, curve(done.rows))

    def items(self) -> list[Item]:
        """The clips of all steps so far, each step under a name of its own."""
        from mmbench.items import Item
        from mmbench.trigger import without_trigger

        found = []
        for clips in sorted(self.out.glob("step-*")):
            step = int(clips.name.removeprefix("step-"))
            for job in self.jobs:
                path = clips / f"{job.name}.mp4"
                if not path.is_file():
                    continue
                name = f"{self.settings.stages[-1].name}@{step}"
                found.append(
                    Item(
                        id=f"{name}/{job.name}",
                        model=name,
                        identity=job.identity.id,
                        video=path,
                        references=job.identity.references,
                        shown=job.identity.shown,
                        group=job.identity.group,
                        prompt=without_trigger(job.prompt.short),
                        prompt_long=without_trigger(job.prompt.long),
                        prompt_index=job.prompt.index,
                        seed=job.seed,
                        step=step,
                    )
                )
        return found


def _content(path: Path) -> list[str]:
    """Digests of a file, or of the weights in a folder."""
    from mmbench.files import content_of

    return [content_of(one) for one in (sorted(path.glob("*.safetensors")) if path.is_dir() else [path])]


def size_of(settings: TrainSettings) -> Any:
    """The model size that the settings name."""
    from mmbench.model.network.configs import size_named

    return size_named(settings.model.size)


def _cleaned(job: Job) -> str:
    from mmbench.model.pipeline.prompt import parse_prompt

    return parse_prompt(job.prompt.long).text


def curve(rows: Sequence[ItemRow]) -> list[CurvePoint]:
    """Every metric's mean over each step's clips, by metric and step."""
    values: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if row.item.step is None:
            continue
        for score in row.scores:
            if score.value is not None:
                values.setdefault((score.metric, row.item.step), []).append(score.value)
    return [CurvePoint(*key, sum(held) / len(held), len(held)) for key, held in sorted(values.items())]


def write_curve(path: Path, points: Sequence[CurvePoint]) -> None:
    """The curve as CSV: metric, step, mean, count."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("metric", "step", "mean", "count"))
    for point in points:
        writer.writerow((point.metric, point.step, repr(point.mean), point.count))
    write_text(path, text.getvalue())
