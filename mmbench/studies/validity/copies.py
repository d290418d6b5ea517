"""Photographs in the place of somebody's own clips: do the guarded columns put every one below the clip?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmbench.files import Progress, sha256, silent, whole
from mmbench.items import Item
from mmbench.metrics.registry import facts_by_name
from mmbench.reports.numbers.overall import GUARDS, Verdicts, overall
from mmbench.reports.numbers.samples import take_samples
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.studies.validity.adversaries import ADVERSARIES, PASTED, pasted, placed

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.face.types import FaceBackend

CLIPS = "the clips"
"""The name under which all honest clips stand as one model."""

FRAMES = 16
"""Frames of a photograph's clip, over the time of the clip in whose place it stands: one for each sampled slot."""

METRICS = ("id_similarity", "face_rate", "fm_inter", "motion_smoothness", "copy_gap")
CATCH = ("fm_articulation", "copy_angle", "fm_inter_local", "fm_inter_affine_free")
"""The guarded columns that are there for photographs, and two that were or could be."""
COLUMNS = tuple(dict.fromkeys([*(guard.metric for guard in GUARDS), *CATCH]))
LIMIT = next(guard.enough for guard in GUARDS if guard.metric == "copy_angle") or 0.0


@dataclass(frozen=True)
class Copies:
    """What was found: rows of the clips, and of the photographs in their place."""

    rows: tuple[ItemRow, ...]

    def verdicts(self, *left_out: str) -> Verdicts:
        """The overall verdicts on the clips and each kind of photograph as models, without the guards left out."""
        guards = [guard for guard in GUARDS if guard.metric not in left_out]
        return overall(take_samples(self.rows), facts_by_name(), guards)

    def put_below(self, column: str, adversary: str) -> tuple[int, int]:
        """In how many clips the column is better than for the adversary in its place, and of how many that have both.

        A clip that has a value where the adversary has none counts, for nobody is better by having no face.
        """
        own, other = self.values(column, CLIPS), self.values(column, adversary)
        sign = 1 if facts_by_name()[column].higher_is_better else -1
        both = [name for name, value in own.items() if value is not None and name in other]
        better = [name for name in both if (copy := other[name]) is None or sign * ((own[name] or 0.0) - copy) > 0]
        return len(better), len(both)

    def copied(self, model: str) -> tuple[int, int]:
        """How many of the model's clips have a copy angle beyond the guard's limit, and how many have one."""
        angles = [angle for angle in self.values("copy_angle", model).values() if angle is not None]
        return sum(angle > LIMIT for angle in angles), len(angles)

    def values(self, column: str, model: str) -> Mapping[str, float | None]:
        """The column's values of one model by clip."""
        scores = {row.item.id.split("/")[0]: row.score(column) for row in self.rows if row.item.model == model}
        return {name: None if score is None else score.value for name, score in scores.items()}


def measure_copies(
    items: Sequence[Item],
    run: Path,
    settings: EvaluateSettings | None = None,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Copies:
    """Make the photographs of every item, measure them beside the items, and compare.

    The first reference of an item is the photograph. Flow is DIS's, which needs no weights, unless `settings` say
    otherwise. Clips and rows are kept in `run`: an interrupted call goes on.
    Raises what reading a clip or a picture raises, and ReferenceFaceError for a reference without a face.
    """
    from mmbench.config import EvaluateSettings, FlowSettings
    from mmbench.face.make import make_backend
    from mmbench.runs.evaluate.evaluate import evaluate

    say = progress or silent
    settings = (settings or EvaluateSettings(flow=FlowSettings(backend="dis"))).model_copy(update={"metrics": METRICS})
    backend, staged = make_backend("dlib"), []
    for number, item in enumerate(items):
        staged += [replace(item, id=f"{number:03d}", model=CLIPS), *make_copies(item, number, run / "copies", backend)]
        say(number + 1, len(items), "clips copied")
    rows = evaluate(staged, run, settings, workers=workers, progress=progress).rows
    return Copies(tuple(rows))


def make_copies(item: Item, number: int, folder: Path, backend: FaceBackend) -> list[Item]:
    """The item's photograph in its place, one item an adversary; files that are there are kept."""
    from mmbench.video.image import read_image
    from mmbench.video.read import open_clip
    from mmbench.video.write import write_video

    clip = open_clip(item.video)
    made_of = sha256(f"{clip.info.sha256} {sha256(item.references[0].read_bytes())}".encode())[:16]
    paths = {name: folder / f"{made_of} {name}.mp4" for name in ADVERSARIES}
    count = min(FRAMES, clip.info.n_frames)
    fps = clip.info.fps * max(1, count - 1) / max(1, clip.info.n_frames - 1)
    if not all(path.is_file() for path in paths.values()):
        wanted = set(np.round(np.linspace(0, clip.info.n_frames - 1, count)).astype(int).tolist())
        frames = np.stack([frame for index, frame in enumerate(clip.frames()) if index in wanted])
        photo = read_image(item.references[0])
        made = dict(placed(photo, (frames.shape[1], frames.shape[2]), count, whole=True))
        made[PASTED] = _pasted(photo, item.references[0], frames, fps, backend)
        for name, path in paths.items():
            write_video(path, made[name], fps)
    return [
        replace(item, id=f"{number:03d}/{name}", model=name, video=path, fps=round(fps, 6))
        for name, path in paths.items()
    ]


def _pasted(
    photo: NDArray[np.uint8], path: Path, frames: NDArray[np.uint8], fps: float, backend: FaceBackend
) -> NDArray[np.uint8]:
    from mmbench.face.face_pass import FacePass
    from mmbench.face.people.references import reference_faces
    from mmbench.studies.validity.lab import clip_info

    face_pass = FacePass(backend)
    face_pass.start(clip_info(frames, fps))
    for index, frame in enumerate(frames):
        face_pass.feed(index, frame)
    track = face_pass.finish()
    boxes = np.full((len(frames), 4), np.nan)
    boxes[track.frames[track.usable]] = track.tight_box[track.usable]
    return pasted(photo, reference_faces([path], backend).tight_box[0], frames, boxes)


def write_copies(found: Copies, out: Path) -> Path:
    """Write `copies_page` as `copies.md` into `out`."""
    page = out / "copies.md"
    with whole(page) as part:
        part.write_text(copies_page(found), encoding="utf-8")
    return page


INTRO = """# Photographs in the place of real clips

{clips} clips of {people} people, and the photograph that each was made from in its place: shown whole and held still,
panned, zoomed, squeezed, sheared, mirrored, or its face pasted on the clip. Who acts belongs above every one of them.
Repeat it on any clips with their photographs: `mmbench validity --clips MANIFEST`.

{said}
"""


def copies_page(found: Copies) -> str:
    """What `measure_copies` found, in Markdown: counts of clips put above each photograph, values and verdicts."""
    facts = facts_by_name()
    titles = [facts[column].title for column in COLUMNS]
    head = f"| | {' | '.join(titles)} |\n|---|{'---:|' * len(titles)}"
    judged = f"| | copy angle above {LIMIT} | overall | without motion smoothness |\n|---|---:|---|---|"
    verdicts = (found.verdicts(), found.verdicts("motion_smoothness"))
    counts = [
        f"| {name} | {' | '.join(f'{right} of {both}' for right, both in cells)} |"
        for name in ADVERSARIES
        for cells in [[found.put_below(column, name) for column in COLUMNS]]
    ]
    values = [
        f"| {name} | {' | '.join(_span(found.values(c, name).values()) for c in COLUMNS)} |"
        for name in (CLIPS, *ADVERSARIES)
    ]
    overall_rows = [
        f"| {name} | {' of '.join(map(str, found.copied(name)))} | {' | '.join(said)} |"
        for name in (CLIPS, *ADVERSARIES)
        for said in [[_said(each, name) for each in verdicts]]
    ]
    own = [row.item for row in found.rows if row.item.model == CLIPS]
    said = "\n".join(_sentence(found, column) for column in CATCH)
    intro = INTRO.format(clips=len(own), people=len({item.identity for item in own}), said=said)
    return "\n".join(
        [
            intro,
            "In how many clips the column is better for the clip than for the photograph in its place:\n",
            *(head, *counts),
            "\nValues: smallest, median, largest.\n",
            *(head, *values),
            "\nCopies by the guard's limit, and the overall verdict between all clips and all photographs of a kind, "
            "whose tests of five columns few people seldom decide:\n",
            *(judged, *overall_rows, ""),
        ]
    )


def _sentence(found: Copies, column: str) -> str:
    counts = {name: found.put_below(column, name) for name in ADVERSARIES}
    missed = [f"{name} ({right} of {both})" for name, (right, both) in counts.items() if right < both or not both]
    what = f"not always below are {', '.join(missed)}" if missed else "all are below, in every clip that has it"
    return f"- {facts_by_name()[column].title}: {what}."


def _said(verdicts: Verdicts, adversary: str) -> str:
    for pair in verdicts.pairs:
        if {pair.a, pair.b} == {CLIPS, adversary}:
            if pair.winner is None:
                clips, photo = (pair.columns, pair.against) if pair.a == CLIPS else (pair.against, pair.columns)
                return f"not decided (clips better: {_list(clips)}; photographs better: {_list(photo)})"
            return f"{pair.winner} above ({'; '.join(pair.columns)})"
    return "–"


def _list(titles: Sequence[str]) -> str:
    return ", ".join(titles) or "nothing"


def _span(values: Iterable[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    return f"{known[0]:.2f}, {np.median(known):.2f}, {known[-1]:.2f}" if known else "–"
