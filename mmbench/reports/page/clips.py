"""What the page shows of single clips: one view a row, and scenes that put models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmbench.metrics.base import MetricFacts
from mmbench.reports.numbers.forms import LABEL, shows_face
from mmbench.reports.numbers.samples import Samples, generator_is_random
from mmbench.reports.page.curves import FrameCurve, curves_of
from mmbench.reports.page.media import Media, MediaShelf
from mmbench.runs.evaluate.rows import ItemRow

MOST_CLIPS = 2000
"""Clips of one page: each is a file beside it and some KiB in it."""

UNUSABLE = "not shown: the clip could not be used"

Status = Literal["measured", "partly", "error"]


@dataclass(frozen=True)
class ScoreView:
    """One number of one clip, or why it is missing."""

    value: float | None
    reason: str = ""
    remedy: str = ""
    random_weights: bool = False


@dataclass(frozen=True)
class ClipView:
    """One clip as the page shows it. `status`: all columns that the run could measure have a value, only
    a part of them, or the clip was unusable.

    `frames`, `width` and `height` (pixels) are 0 for an unusable clip.
    """

    id: str
    model: str
    identity: str
    group: str
    prompt: str
    prompt_index: int | None
    seed: int | None
    file: str
    geometry: str
    frames: int
    width: int
    height: int
    status: Status
    error: str
    remedy: str
    warnings: tuple[str, ...]
    random_weights: bool
    media: Media
    scores: dict[str, ScoreView]
    curves: tuple[FrameCurve, ...]


@dataclass(frozen=True)
class SceneView:
    """Clips of one identity and one prompt, one or more a model, with the reference pictures.

    `clips` are positions in the list of clip views.
    """

    identity: str
    prompt: str
    references: tuple[Media, ...]
    condition: Media | None
    clips: tuple[int, ...]


def clip_views(
    samples: Samples, facts: Mapping[str, MetricFacts], shelf: MediaShelf, most: int = MOST_CLIPS
) -> tuple[tuple[ClipView, ...], tuple[SceneView, ...]]:
    """Views of all rows, or of `most` of them, in their order, and the scenes they make. Places the media on `shelf`.

    Of more rows, whole scenes are taken, spread evenly over the people and prompts; see `spread_evenly`.
    """
    ordered = _chosen(samples.rows, most)
    measured = measured_metrics(samples.rows)
    views = tuple(_view(row, facts, measured, shelf) for row in ordered)
    grouped = _scenes(ordered)
    scenes = tuple(_scene([ordered[i] for i in grouped[key]], grouped[key], shelf) for key in sorted(grouped))
    return views, scenes


def spread_evenly(count: int) -> list[int]:
    """0 to `count` - 1 so that every beginning of the list lies evenly over the whole: halves, quarters, eighths."""
    bits = max(1, (count - 1).bit_length())
    mirrored = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(2**bits))
    return [number for number in mirrored if number < count]


def _scenes(rows: Sequence[ItemRow]) -> dict[tuple[str, int, str], list[int]]:
    """Positions of the rows of each scene."""
    grouped: dict[tuple[str, int, str], list[int]] = {}
    for position, row in enumerate(rows):
        item = row.item
        key = (item.identity, -1 if item.prompt_index is None else item.prompt_index, item.prompt or "")
        grouped.setdefault(key, []).append(position)
    return grouped


def _chosen(rows: Sequence[ItemRow], most: int) -> Sequence[ItemRow]:
    """At most so many rows in their order: whole scenes, or clips of one scene that is too large by itself."""
    if len(rows) <= most:
        return rows
    grouped = _scenes(rows)
    scenes = [grouped[key] for key in sorted(grouped)]
    taken: list[int] = []
    for place in spread_evenly(len(scenes)):
        if len(taken) + len(scenes[place]) <= most:
            taken += scenes[place]
    if not taken:
        first = scenes[0]
        taken = [first[place] for place in spread_evenly(len(first))[:most]]
    return [rows[position] for position in sorted(taken)]


def measured_metrics(rows: Sequence[ItemRow]) -> frozenset[str]:
    """Metrics with a value on at least one clip. The others lack something for the whole run, not for a clip."""
    return frozenset(score.metric for row in rows for score in row.scores if score.status == "ok")


def _view(row: ItemRow, facts: Mapping[str, MetricFacts], measured: frozenset[str], shelf: MediaShelf) -> ClipView:
    item, clip = row.item, row.clip
    scores = {
        score.metric: ScoreView(
            score.value,
            score.reason,
            score.remedy,
            score.provenance is not None and score.provenance.random_weights,
        )
        for score in row.scores
    }
    geometry = (
        f"{clip.n_frames} frames, {clip.width}x{clip.height}, {clip.fps:.4g} fps ({clip.fps_source})" if clip else ""
    )
    shown = [name for name in scores if name in facts and facts[name].column and name in measured]
    partly = any(scores[name].value is None for name in shown)
    return ClipView(
        id=item.id,
        model=item.model,
        identity=item.identity,
        group=item.group or "",
        prompt=item.prompt or "",
        prompt_index=item.prompt_index,
        seed=item.seed,
        file=item.video.name,
        geometry=geometry,
        frames=clip.n_frames if clip else 0,
        width=clip.width if clip else 0,
        height=clip.height if clip else 0,
        status="error" if row.error else "partly" if partly else "measured",
        error=row.error.message if row.error else "",
        remedy=row.error.remedy if row.error else "",
        warnings=(*((f"prompt: this clip is of its {LABEL[:-1]}.",) if shows_face(item) else ()), *row.told),
        random_weights=generator_is_random(item),
        media=Media("none", note=UNUSABLE) if row.error else _shown(row, shelf),
        scores=scores,
        curves=curves_of(row, facts),
    )


def _shown(row: ItemRow, shelf: MediaShelf) -> Media:
    item = row.item
    return shelf.place(item.video, f"{item.model}-{item.video.stem}", row.clip.sha256 if row.clip else "")


def _scene(rows: Sequence[ItemRow], positions: Sequence[int], shelf: MediaShelf) -> SceneView:
    first = rows[0].item
    references = dict.fromkeys(path for row in rows for path in row.item.references)
    conditions = dict.fromkeys(row.item.condition for row in rows if row.item.condition)
    return SceneView(
        identity=first.identity,
        prompt=first.prompt or "",
        references=tuple(shelf.place(path, f"reference-{path.stem}") for path in references),
        condition=shelf.place(next(iter(conditions)), f"condition-{first.identity}") if conditions else None,
        clips=tuple(positions),
    )
