"""What an evaluation gives back: its rows, read when they are asked for, and what is to be told of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mmbench.runs.evaluate.index import Brief, RowIndex
from mmbench.runs.evaluate.rows import ItemRow, Lacking, SetRow, lacking
from mmbench.scores import Score


@dataclass(frozen=True)
class EvaluateResult:
    """What a run holds now of the items that were asked for, and of their models' sets.

    `failed` items could not be measured at all; `errors` names the scores that failed. `measured_now` counts the items
    of the run of which something was measured by this call, `left` those asked for that belong to other parts and are
    not measured yet; `notes` tell what else became of what was there before.
    """

    run: Path
    ids: tuple[str, ...]
    sets: tuple[SetRow, ...]
    measured_now: int
    notes: tuple[str, ...] = ()
    left: int = 0
    kept: RowIndex = field(repr=False, compare=False, default_factory=lambda: RowIndex(Path()))

    @cached_property
    def rows(self) -> tuple[ItemRow, ...]:
        """The rows of the items asked for, in their order; a row with every column takes some 30 kB."""
        return tuple(self.kept.rows(self.ids))

    @cached_property
    def failed(self) -> tuple[ItemRow, ...]:
        """Items without any number, because the clip itself was unusable."""
        return tuple(self.kept.rows(id_ for id_, brief in self._briefs if brief.error))

    @property
    def errors(self) -> tuple[tuple[str, Score], ...]:
        """(item id, or model of a set, score) of every score that failed; those of items without their details."""
        clips = [(id_, score) for id_, brief in self._briefs for score in brief.lacks]
        sets = [(row.model, score) for row in self.sets for score in row.scores]
        return tuple((name, score) for name, score in clips + sets if score.status == "error")

    @property
    def lacking(self) -> tuple[tuple[str, Lacking], ...]:
        """("clip" or "model", what they lack) of all missing scores, by what would mend them."""
        clips = [("clip", one) for one in lacking(brief.lacks for _, brief in self._briefs)]
        return (*clips, *(("model", one) for one in lacking(row.scores for row in self.sets)))

    @property
    def worth_a_retry(self) -> bool:
        """True when something failed before, or lacked what may be here by now, and was not tried again."""
        scores = [score for _, brief in self._briefs for score in brief.lacks]
        scores += [score for row in self.sets for score in row.scores]
        broke = any(score.unmet or score.status == "error" for score in scores)
        return self.measured_now < len(self.ids) and (broke or any(brief.error for _, brief in self._briefs))

    @property
    def complete(self) -> bool:
        """True when every clip of this part was measured and no metric failed."""
        return not self.errors and not any(brief.error for _, brief in self._briefs)

    @cached_property
    def _briefs(self) -> list[tuple[str, Brief]]:
        return [(id_, self.kept.briefs[id_]) for id_ in self.ids]
