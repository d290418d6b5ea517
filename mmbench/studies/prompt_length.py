"""Fig. 11 of the paper (v2: Fig. 9): short against long prompts for image-to-video models, on the same first frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from mmbench.config import EvaluateSettings, GenerateSettings
from mmbench.errors import RequestError
from mmbench.files import Progress
from mmbench.runs.generate.make import Generated, generate, opened_model
from mmbench.runs.generate.plan import label_of
from mmbench.runs.inputs.manifest import collect_manifest, write_manifest

if TYPE_CHECKING:
    from mmbench.reports.numbers.comparison import Comparison
    from mmbench.runs.evaluate.evaluate import EvaluateResult
    from mmbench.runs.evaluate.rows import ItemRow

KINDS: Final[tuple[Literal["short", "long"], ...]] = ("short", "long")
FIGURE_PROMPTS: Final = ("human:29", "human:75")
"""VBench's lines of the figure's two prompts: a person playing golf, a shirtless man climbing."""


@dataclass(frozen=True)
class PromptLength:
    """The runs, one a model and prompt kind, and the manifest of all their videos.

    In the manifest a model is called `NAME-short` or `NAME-long`; `pairs` lists both names for each model.
    """

    manifest: Path
    runs: tuple[Generated, ...]
    pairs: tuple[tuple[str, str], ...]


def ablate_prompt_length(
    settings: GenerateSettings, testset: str | Path, out: Path, *, progress: Progress | None = None
) -> PromptLength:
    """Make every video twice with each of the models: from the short and from the long prompt, all else equal.

    The first frames come from the long prompt, once, and are shared by both kinds and by models of one size.
    Whatever `settings` says of label and prompt kind is replaced. Continues an interrupted run. Raises RequestError
    for a model that is not image-to-video, and all that `generate` raises.
    """
    shared = settings.model_copy(update={"first_frames": settings.first_frames or out / "first_frames"})
    chosen = [
        shared.for_model(name).model_copy(update={"label": None, "prompt_kind": None}) for name in settings.models
    ]
    names = [_name_of(one) for one in chosen]
    runs, pairs = [], []
    for one, name in zip(chosen, names, strict=True):
        pairs.append((f"{name}-short", f"{name}-long"))
        for kind, label in zip(KINDS, pairs[-1], strict=True):
            version = one.model_copy(update={"prompt_kind": kind, "label": label})
            runs.append(generate(version, testset, out / label, progress=progress))
    return PromptLength(join_manifests([run.manifest for run in runs], out / "manifest.csv"), tuple(runs), tuple(pairs))


@dataclass(frozen=True)
class PromptLengthNumbers:
    """The evaluation of all videos, and short against long for each model of which both were measured."""

    evaluation: EvaluateResult
    comparisons: tuple[Comparison, ...]


def measure_prompt_length(
    made: PromptLength,
    run: Path,
    settings: EvaluateSettings | None = None,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> PromptLengthNumbers:
    """Evaluate the videos and compare, over the columns of the default table. Raises all that `evaluate` raises.

    Text alignment is scored against the short prompt for both kinds.
    """
    from mmbench.metrics.registry import facts_by_name
    from mmbench.reports.numbers.comparison import compare
    from mmbench.runs.evaluate.evaluate import evaluate

    items = list(collect_manifest(made.manifest).items)
    result = evaluate(items, run, settings, workers=workers, progress=progress)
    facts = {name: fact for name, fact in facts_by_name().items() if fact.scope == "clip" and fact.in_default_table}

    def rows_of(name: str) -> list[ItemRow]:
        return [row for row in result.rows if row.item.model == name]

    sides = [(rows_of(short), rows_of(long)) for short, long in made.pairs]
    return PromptLengthNumbers(result, tuple(compare(a, b, facts) for a, b in sides if a and b))


def _name_of(settings: GenerateSettings) -> str:
    with opened_model(settings) as model:
        if model.kind != "i2v":
            raise RequestError(
                f"{settings.model} is no image-to-video model.", "The comparison holds the first frame fixed."
            )
        return label_of(settings, model, model.pick_variant(settings.variant))


def join_manifests(manifests: Sequence[Path], target: Path) -> Path:
    """One manifest of several, with paths relative to `target`'s folder."""
    write_manifest(target, [item for manifest in manifests for item in collect_manifest(manifest).items])
    return target
