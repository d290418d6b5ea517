"""`Scorer`: metrics of clips in memory or on disk, networks loaded once; `score` for a single clip."""

from __future__ import annotations

import os
import shutil
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmbench.config import EvaluateSettings
from mmbench.device import torch_as_started
from mmbench.errors import MediaError, RequestError
from mmbench.files import Progress, content_of, scratch, sha256, silent
from mmbench.items import Item, is_picture
from mmbench.metrics.base import ClipMetric, DerivedMetric, Evidence, Metric, SetMetric, StoredFeatures
from mmbench.runs.evaluate.clip import make_metrics, scores_of
from mmbench.runs.evaluate.gather import Gatherer, check_devices
from mmbench.runs.inputs.pictures import placed
from mmbench.runs.memory.frames import NAME, open_frames, to_picture
from mmbench.scores import Score
from mmbench.video.limits import MediaLimits

OF_A_SET = "Collect `features` of each clip and call `of_set`, or use mmbench.VideoMetric."
KEPT = 16
"""People of so many different clips are remembered: a loop over thousands must not grow without end."""
PERSON = "person"
"""What the person of a clip is called where nobody says."""


@dataclass(frozen=True)
class ClipInput:
    """One clip to score. `frames`: see `mmbench.runs.memory.frames.to_frames`, or a path. `references`: pictures of the
    person (paths, PIL, numpy or torch, one or several); None takes those that the scorer knows under `identity`.
    `shown`: those of them that the model was given, the first one where nothing is said. The other fields are an
    item's."""

    frames: Any
    references: Any = None
    shown: Any = ()
    identity: str = PERSON
    group: str | None = None
    prompt: str | None = None
    prompt_long: str | None = None
    fps: float | None = None
    condition: Any = None


@dataclass
class Scorer:
    """Measures clips with networks that are loaded once and kept.

    `metrics` are names as for `evaluate`, all installed ones where none is named. `people` are everybody's references
    by name: whom a face is told apart from; without them the columns that compare people are missing. `groups` are
    theirs. Numbers are those of `evaluate` on the same frames, references and people, to the last bit.

        >>> from mmbench.testsets.load import load_testset
        >>> person = load_testset("synthetic50").identities[0]
        >>> clip = load_testset("synthetic50").folder / "controls" / "still" / "man-00_0.mp4"
        >>> scorer = Scorer(("motion_smoothness",), EvaluateSettings(flow={"backend": "dis"}))
        >>> scorer(clip)["motion_smoothness"].value
        0.0
    """

    metrics: Sequence[str] = ()
    settings: EvaluateSettings = field(default_factory=EvaluateSettings)
    people: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.settings, self.people, self.groups)
        self.metrics = (self.metrics,) if isinstance(self.metrics, str) else tuple(self.metrics)
        self.settings = self.settings.model_copy(update={"metrics": self.metrics})
        check_devices(self.settings)
        self._made: dict[str, Metric] = make_metrics(self.settings)
        self._folder = scratch(self)
        self._known: OrderedDict[str, Gatherer] = OrderedDict()
        self._networks: Gatherer | None = None
        self._last: tuple[tuple[Any, ...], tuple[Evidence, dict[str, Score]]] | None = None
        self._items = tuple(
            self._placed(Item(name, "", name, Path(NAME), references=_listed(pictures), group=self.groups.get(name)))
            for name, pictures in self.people.items()
        )

    def __getstate__(self) -> dict[str, Any]:
        """What another process is sent: what to make, no network and nothing found."""
        return {name: getattr(self, name) for name in ("metrics", "settings", "people", "groups")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In the other process."""
        self.__dict__.update(state)
        self.__post_init__()

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics, by name, in column order."""
        return tuple(self._made)

    def metric(self, name: str) -> Metric:
        """One of the metrics. Raises RequestError for one that this scorer does not have."""
        if name not in self._made:
            raise RequestError(f"This scorer has no metric {name!r}.", f"It has: {', '.join(self._made)}.")
        return self._made[name]

    def __call__(self, frames: Any, **given: Any) -> dict[str, Score]:
        """Scores of one clip by name, companions too; `given` are the fields of `ClipInput`. A metric that cannot be
        measured is "missing" with its reason. Raises MediaError for frames that are none, ReferenceFaceError."""
        return self._scored(ClipInput(frames, **given))[1]

    def batch(self, clips: Iterable[ClipInput], progress: Progress = silent) -> list[dict[str, Score]]:
        """Scores of several clips, in their order."""
        every = list(clips)
        found = []
        for done, clip in enumerate(every, start=1):
            found.append(self._scored(clip)[1])
            progress(done, len(every), "clips")
        return found

    @torch_as_started()
    def features(self, name: str, frames: Any, **given: Any) -> StoredFeatures:
        """What a set metric keeps of one clip. Raises RequestError for a metric that is none, NoEvidence."""
        metric = self.metric(name)
        if not isinstance(metric, SetMetric):
            raise RequestError(f"{name} is measured clip by clip.", "Call the scorer.")
        return metric.features(self._scored(ClipInput(frames, **given))[0])

    @torch_as_started()
    def of_set(self, name: str, clips: Sequence[StoredFeatures]) -> list[Score]:
        """Scores of a set of clips, from what `features` gave for each."""
        metric = self.metric(name)
        if not isinstance(metric, SetMetric):
            raise RequestError(f"{name} is measured clip by clip.", "Call the scorer.")
        return metric.measure_set(clips)

    @torch_as_started()
    def _scored(self, clip: ClipInput) -> tuple[Evidence, dict[str, Score]]:
        limits = MediaLimits(**dict(self.settings.limits))
        opened = open_frames(clip.frames, clip.fps, limits, self.settings.decode)
        item = self._item(clip)
        digest, everybody = self._everybody(item)
        key = (opened.info.sha256, opened.info.fps, replace(item, video=Path(NAME)), digest)
        last = self._last  # another thread may put its own clip there meanwhile
        if last is not None and last[0] == key:  # several metrics ask for one clip in turn
            return last[1]
        gatherer = self._gatherer(digest, everybody)
        evidence, unmet = gatherer.gather(item, clip=opened)
        of_clip = {n: m for n, m in self._made.items() if isinstance(m, ClipMetric | DerivedMetric)}
        found = {score.metric: score for score in scores_of(of_clip, evidence, unmet)}
        for name in self.metrics:  # asked for by name, so that its absence is told
            if isinstance(self._made.get(name), SetMetric):
                found[name] = Score.missing(name, "It is a number of many clips, not of one.", OF_A_SET)
        self._last = (key, (evidence, found))
        return evidence, found

    def _item(self, clip: ClipInput) -> Item:
        known = next((item for item in self._items if item.identity == clip.identity), None)
        references = _listed(clip.references) if clip.references is not None else known.references if known else ()
        path = clip.frames if isinstance(clip.frames, str | Path) else NAME
        return self._placed(
            Item(
                id=NAME,
                model="",
                identity=clip.identity,
                video=Path(path),
                references=references,
                shown=_listed(clip.shown),
                group=clip.group or self.groups.get(clip.identity),
                prompt=clip.prompt,
                prompt_long=clip.prompt_long,
                fps=clip.fps,
                condition=None if clip.condition is None else to_picture(clip.condition),
            )
        )

    def _placed(self, item: Item) -> Item:
        return placed(item, self._folder)

    def _everybody(self, item: Item) -> tuple[str, tuple[Item, ...]]:
        """A digest of all pictures, and the people to look at: a clip's own in the place of one of that name."""
        everybody = (*(one for one in self._items if one.identity != item.identity), item)
        pictures = [
            (one.identity, one.group, *map(content_of, (*one.references, *one.shown, *filter(None, [one.condition]))))
            for one in everybody
        ]
        return sha256(repr(pictures).encode(errors="surrogatepass")), everybody

    def _gatherer(self, digest: str, everybody: tuple[Item, ...]) -> Gatherer:
        """The gatherer for a clip's people; the last few are kept, with what was found of their pictures."""
        if digest in self._known:
            self._known.move_to_end(digest)
            return self._known[digest]
        run = self._folder / digest[:24]
        made = Gatherer(self.settings, self._made.values(), everybody, run)
        if self._networks is None:
            self._networks = made
        else:
            made.share(self._networks)
        made.prepare(silent)
        self._known[digest] = made
        if len(self._known) > KEPT:
            gone = self._known.popitem(last=False)[1]
            shutil.rmtree(gone.run, ignore_errors=True)
        return made


def score(
    frames: Any,
    *,
    metrics: Sequence[str] = (),
    settings: EvaluateSettings | None = None,
    people: Mapping[str, Any] | None = None,
    **given: Any,
) -> dict[str, Score]:
    """Scores of one clip by name: a `Scorer` for a single call. `given` are the fields of `ClipInput`.

    >>> import numpy as np
    >>> still = np.zeros((8, 64, 64, 3), np.uint8)
    >>> settings = EvaluateSettings(flow={"backend": "dis"})
    >>> score(still, metrics=["motion_smoothness"], settings=settings, fps=8)["motion_smoothness"].value
    0.0
    """
    return Scorer(metrics, settings or EvaluateSettings(), people or {})(frames, **given)


def _check(settings: Any, people: Any, groups: Any) -> None:
    """Raise RequestError for what no scorer can be made of."""
    if not isinstance(settings, EvaluateSettings):
        raise RequestError(f"`settings` is a {type(settings).__name__}.", "Give mmbench.config.EvaluateSettings(...).")
    for name, given in (("people", people), ("groups", groups)):
        if not isinstance(given, Mapping):
            kind = type(given).__name__
            raise RequestError(
                f"`{name}` is a {kind}.", f"Give a mapping by the people's names: {name}={{'ann': ...}}."
            )
    if others := sorted(set(groups) - set(people)):
        raise RequestError(f"`groups` names {', '.join(others)}, who are not among `people`.", "Give theirs too.")


def _listed(pictures: Any) -> tuple[Any, ...]:
    """One picture or several as a tuple, those in memory as PIL pictures. Raises MediaError for what is none."""
    if isinstance(pictures, Mapping):
        raise MediaError(
            "References are pictures of one person, and this is a mapping.",
            "Give everybody's as `people`, and name this clip's person as `identity`.",
        )
    single = isinstance(pictures, str | os.PathLike) or is_picture(pictures) or getattr(pictures, "ndim", 0) == 3
    if not single and (isinstance(pictures, bytes) or not isinstance(pictures, Iterable)):
        single = True
    return tuple(map(to_picture, (pictures,) if single else pictures))
