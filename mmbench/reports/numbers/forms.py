"""Two forms of one model's prompts in one table: some columns from clips of face-enhanced prompts, the rest from plain.

The paper's Table 1 takes its ID similarities from videos of face-enhanced prompts, "to avoid face missing caused by
complex prompts", and every other column from the plain ones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from mmbench.items import Item
from mmbench.reports.numbers.samples import Gap, Sample, Samples, models_of, sorted_rows, take_samples
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.testsets.face_form import FACE

SUFFIX: Final = f"-{FACE}"
"""What `mmbench generate --prompt-form face` puts behind a model's name."""
LABEL = "face-enhanced prompts"
_REMEDY = {True: "Generate it with --prompt-form face and evaluate both.", False: "Generate it without --prompt-form."}


def shows_face(item: Item) -> bool:
    """Whether a clip was made from the face-enhanced form of its prompt (`extra["prompt_form"]`)."""
    return item.extra.get("prompt_form", "") == FACE


def samples_of_forms(rows: Sequence[ItemRow], set_rows: Sequence[SetRow], columns: Collection[str]) -> Samples:
    """Samples in which `columns` come from clips of face-enhanced prompts and all others from plain ones.

    Both forms of a model stand under its plain name ("x" and "x-face" are "x"). A model that lacks a form has no value
    in its columns, and a reason that says so. Without `columns` every name is a model of its own.
    """
    if not columns:
        return take_samples(rows, set_rows)
    of_face = {row.item.model for row in rows if shows_face(row.item)}
    face = take_samples(
        [_renamed(row) for row in rows if shows_face(row.item)],
        [replace(row, model=row.model.removesuffix(SUFFIX)) for row in set_rows if row.model in of_face],
    )
    plain = take_samples(
        [row for row in rows if not shows_face(row.item)], [row for row in set_rows if row.model not in of_face]
    )
    together: dict[tuple[str, str], Sample] = {}
    models = models_of([*face.rows, *plain.rows])
    for model, metric in sorted({(m, metric) for m in models for _, metric in (*face.by_key, *plain.by_key)}):
        own, name = (face, LABEL) if metric in columns else (plain, "plain prompts")
        sample = own.get(model, metric)
        if model not in own.models:
            count = len((plain if own is face else face).rows_of(model))
            gap = Gap(f"the model has no clip of {name}", _REMEDY[own is face], count)
            sample = Sample(model, metric, (), (), n_total=count, gaps=(gap,))
        if sample is not None:
            marked = own is face and bool(sample.values)
            together[model, metric] = replace(sample, labels=(*sample.labels, LABEL)) if marked else sample
    return Samples(tuple(models), tuple(sorted_rows([*face.rows, *plain.rows])), together)


def families(metrics: Collection[str]) -> frozenset[str]:
    """The named metrics with all numbers of the same evidence (ID margin with ID similarity). Raises MMBenchError."""
    from mmbench.metrics.registry import facts_by_name, metric_classes, no_such_metric

    found: set[str] = set()
    for name in metrics:
        own = [m for m in metric_classes().values() if name in {facts.name for facts in m.all_facts()}]
        if not own:
            raise no_such_metric(name, facts_by_name())
        found |= {facts.name for metric in own for facts in metric.all_facts()}
    return frozenset(found)


def _renamed(row: ItemRow) -> ItemRow:
    return replace(row, item=replace(row.item, model=row.item.model.removesuffix(SUFFIX)))
