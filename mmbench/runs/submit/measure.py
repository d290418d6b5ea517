"""The clips that came with a submission, measured again here: do its rows say what we see?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mmbench.config import BoardSettings
from mmbench.files import Progress, silent
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.runs.selftest import within
from mmbench.runs.submit.check import Checked
from mmbench.scores import Score

HALF_PRECISION = 5e-2
"""How far apart numbers may lie where one side did not multiply in fp32."""


@dataclass(frozen=True)
class Disagreement:
    """A number that is another one here. `said` and `seen` are texts, "0.512" or the reason why there is none."""

    clip: str
    metric: str
    said: str
    seen: str


@dataclass(frozen=True)
class Measured:
    """`clips` were measured, `numbers` of them compared; `lacking` says which columns this machine cannot measure."""

    clips: int
    numbers: int
    differences: tuple[Disagreement, ...]
    lacking: tuple[str, ...]


def measure(
    checked: Checked, rules: BoardSettings, *, device: str = "cpu", workers: int = 1, progress: Progress = silent
) -> Measured:
    """Measure the clips of a sound submission under the board's settings, and compare every number that both have.

    Numbers of whole sets are not compared: few of a set's clips are here. Tolerances are those of `mmbench selftest`.
    Needs a folder for temporary files.
    """
    if checked.card is None or not checked.sound:
        raise ValueError(f"{checked.folder}: a submission with faults is not measured")
    here = [_here(row, checked.folder) for row in checked.rows]
    sent = {row.item.id: row for row in here if row.item.video.exists()}
    settings = rules.evaluate.model_copy(update={"device": device})
    with TemporaryDirectory(prefix="mmbench-") as place:
        # All rows are given, those without a video too: people are compared with everybody of the test set.
        done = evaluate([row.item for row in here], Path(place) / "run", settings, workers=workers, progress=progress)
        seen = {row.item.id: row for row in done.rows if row.item.id in sent}
    found: list[Disagreement] = []
    lacking: dict[str, None] = {}
    numbers = 0
    half = checked.card.settings.precision != "fp32" or checked.card.settings.flow.precision != "fp32"
    for name, row in sent.items():
        for said, now in _pairs(row, seen[name]):
            if now.unmet:
                lacking[f"{now.metric}: {now.reason} {now.remedy}".strip()] = None
                continue
            numbers += 1
            if not _same(said, now, half):
                found.append(Disagreement(name, said.metric, _text(said), _text(now)))
    return Measured(len(sent), numbers, tuple(found), tuple(lacking))


def _here(row: ItemRow, folder: Path) -> ItemRow:
    """The row with its files where they lie; a first frame that did not come is none."""
    item, condition = row.item, row.item.condition
    if condition is not None:
        condition = (folder / condition).absolute() if (folder / condition).is_file() else None
    return replace(row, item=replace(item, video=(folder / item.video).absolute(), condition=condition))


def _pairs(said: ItemRow, seen: ItemRow) -> Iterator[tuple[Score, Score]]:
    for score in said.scores:
        now = seen.score(score.metric)
        reason = seen.error.message if seen.error else "no such number"
        yield score, now if now is not None else Score.error(score.metric, reason)


def _same(said: Score, seen: Score, half: bool) -> bool:
    if said.value is None or seen.value is None:
        return said.value is seen.value
    backend = seen.provenance.backend if seen.provenance else ""
    far = max(within(backend, said.value), HALF_PRECISION if half else 0.0)
    return abs(said.value - seen.value) <= far


def _text(score: Score) -> str:
    return f"{score.value:.6g}" if score.value is not None else score.reason
