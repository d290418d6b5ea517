"""The page's data: what lists and filters need of every clip at once, and pieces with the rest, read when a scene is.

Texts that many clips share stand once, in `texts`, and are named by their place there. A small report has its pieces in
the page itself, a large one beside it, as scripts: a page opened from disk may read no other kind of file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmbench.metrics.base import MetricFacts
from mmbench.reports.page.clips import ClipView, SceneView, ScoreView
from mmbench.reports.page.media import Media

CLIPS_OF_A_PIECE = 200
LARGEST_WITHIN = 4 * 2**20
"""Characters of all pieces together up to which they stand in the page itself."""


@dataclass(frozen=True)
class PageData:
    """`main` and `pieces` are JSON that cannot end the script element which holds it."""

    main: str
    pieces: tuple[str, ...]

    @property
    def apart(self) -> bool:
        """Whether the pieces are files beside the page."""
        return sum(map(len, self.pieces)) > LARGEST_WITHIN


def page_data(
    clips: Sequence[ClipView],
    scenes: Sequence[SceneView],
    palette: Mapping[str, str],
    metrics: Sequence[MetricFacts],
    columns: Sequence[str],
) -> PageData:
    """`metrics` are all numbers of clips that the page knows, `columns` those of them that its table of clips has."""
    texts: dict[str, int] = {}

    def text(said: str) -> int:
        return texts.setdefault(said, len(texts))

    listed = [_clip(clip, columns, text) for clip in clips]
    pieces: list[dict[str, Any]] = []
    shown = []
    for scene in scenes:
        if not pieces or len(pieces[-1]) >= CLIPS_OF_A_PIECE:
            pieces.append({})
        pieces[-1].update({str(place): _rest(clips[place], columns) for place in scene.clips})
        shown.append(
            {
                "identity": scene.identity,
                "prompt": scene.prompt,
                "references": [vars(media) for media in scene.references],
                "condition": vars(scene.condition) if scene.condition else None,
                "clips": scene.clips,
                "piece": len(pieces) - 1,
            }
        )
    main = {
        "models": [{"name": model, "colour": colour} for model, colour in palette.items()],
        "metrics": [_metric(facts) for facts in metrics],
        "columns": list(columns),
        "texts": list(texts),
        "clips": listed,
        "scenes": shown,
    }
    return PageData(_json(main), tuple(map(_json, pieces)))


def _clip(clip: ClipView, columns: Sequence[str], text: Any) -> list[Any]:
    """What `clipOf` in dom.js reads, in its order."""
    return [
        clip.id,
        text(clip.model),
        text(clip.identity),
        text(clip.group),
        text(clip.prompt),
        clip.prompt_index,
        clip.seed,
        clip.file,
        text(clip.geometry),
        [clip.frames, clip.width, clip.height],
        clip.status,
        text(clip.error),
        text(clip.remedy),
        [text(warning) for warning in clip.warnings],
        int(clip.random_weights),
        _media(clip.media, text),
        [_score(clip.scores.get(name), text) for name in columns],
    ]


def _media(media: Media, text: Any) -> list[Any]:
    return [media.kind, media.src, text(media.note)]


def _score(score: ScoreView | None, text: Any) -> Any:
    """A number, in a list if untrained networks made it; texts of why there is none; null if it was not measured."""
    if score is None:
        return None
    if score.value is None:
        return [text(score.reason), text(score.remedy)]
    return [score.value] if score.random_weights else score.value


def _rest(clip: ClipView, columns: Sequence[str]) -> dict[str, Any]:
    """Of one clip, numbers that the table of clips has not, and curves by frame."""
    companions = {name: vars(score) for name, score in clip.scores.items() if name not in columns}
    return {"scores": companions, "curves": [vars(curve) for curve in clip.curves]}


def _metric(facts: MetricFacts) -> dict[str, Any]:
    return {
        "name": facts.name,
        "title": facts.title,
        "decimals": facts.decimals,
        "higher": facts.higher_is_better,
    }


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
