"""What a study says: the models' numbers with intervals, how far raters agree, and which columns agree with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.metrics.base import MetricFacts
from mmbench.metrics.registry import facts_by_name
from mmbench.reports.numbers.people.alpha import Alpha, krippendorff_alpha
from mmbench.reports.numbers.people.bradley_terry import BradleyTerry, PairVote, bradley_terry
from mmbench.reports.numbers.people.crossed import crossed_mean
from mmbench.reports.numbers.people.tracking import Opinions, Tracking, track
from mmbench.reports.several import read_runs
from mmbench.reports.table.published import with_published
from mmbench.reports.table.tables import Cell, Column, Table, TableRow
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.studies.user_study.design import MARKS, Question
from mmbench.studies.user_study.judgements import Judgement, Judgements, in_order, read_judgements

PUBLISHED = ("table2_user_study",)


@dataclass(frozen=True)
class StudyReportOptions:
    """`runs` in place of those the study was made from (moved, or measured since); `allowed_wrong` attention checks."""

    runs: tuple[Path, ...] = ()
    allowed_wrong: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Steadiness:
    """`same` of `n` repeated items got the same answer to a question; `apart` is the mean difference of the two."""

    question: str
    same: int
    n: int
    apart: float | None


@dataclass(frozen=True)
class StudyReport:
    """Numbers of a study. `table` for marks, `strengths` by question for pairs; `alphas`, `tracking` by question.

    `notes` say what was left out and why.
    """

    judgements: Judgements
    table: Table | None
    strengths: dict[str, BradleyTerry]
    alphas: dict[str, Alpha]
    steadiness: tuple[Steadiness, ...]
    tracking: dict[str, tuple[Tracking, ...]]
    notes: tuple[str, ...]


def report_study(study: Path, options: StudyReportOptions | None = None) -> StudyReport:
    """Compute what a study says so far. Raises ManifestError where it is no study or nobody has voted."""
    options = options or StudyReportOptions()
    said = read_judgements(study, options.allowed_wrong)
    if not said.first:
        raise ManifestError(f"{study}: no votes that count yet.", "Look with `mmbench study status`.")
    pairs = said.design.kind == "pairs"
    questions = said.design.questions
    strengths = {
        one.id: bradley_terry(_pair_votes(said.first, one.id), seed=options.seed) for one in questions if pairs
    }
    tracking, notes = _tracking(said, options)
    return StudyReport(
        judgements=said,
        table=None if pairs else marks_table(said, options.seed),
        strengths=strengths,
        alphas={one.id: _alpha(said.first, one.id, pairs, options.seed) for one in questions},
        steadiness=tuple(_steadiness(said, one.id) for one in questions),
        tracking=tracking,
        notes=(*_account(said), *said.key.notes, *notes),
    )


def marks_table(said: Judgements, seed: int = 0) -> Table:
    """Mean marks by model and question, as the paper's Table 2, with the published rows below."""
    columns = tuple(Column(_facts(question)) for question in said.design.questions)
    rows = []
    for model in said.models:
        ours = [one for one in said.first if one.clips[0].model == model]
        cells = tuple(_cell(ours, question.id, seed) for question in said.design.questions)
        rows.append(TableRow(model, cells, n_total=len(ours), n_clusters=len({one.clips[0].identity for one in ours})))
    notes = ("Brackets: 95 % interval of the mean mark; raters and identities are both resampled. k/n: marks given.",)
    return with_published(Table(said.design.title, columns, tuple(rows), notes=notes), PUBLISHED)


def _facts(question: Question) -> MetricFacts:
    return MetricFacts(
        name=f"user_{question.id}",
        title=question.title,
        higher_is_better=True,
        unit=f"mark from {MARKS[0]} to {MARKS[1]}",
        range=(float(MARKS[0]), float(MARKS[1])),
        definition=question.hint,
        source="user study, as the paper's Table 2",
        decimals=2,
    )


def _cell(ours: Sequence[Judgement], question: str, seed: int) -> Cell:
    given = [(score, one) for one in ours if (score := one.score(question)) is not None]
    if not given:
        return Cell("missing", n_total=len(ours), reason="nobody has marked it", remedy="Wait for more raters.")
    raters, clusters = [one.rater for _, one in given], [one.clips[0].identity for _, one in given]
    mean = crossed_mean([score for score, _ in given], raters, clusters, seed=seed)
    return Cell(
        "value", mean.mean, mean.low, mean.high, mean.n, len(ours), mean.n_clusters, method="bootstrap", note=mean.note
    )  # fmt: skip


def _pair_votes(judgements: Sequence[Judgement], question: str) -> list[PairVote]:
    found = []
    for one in judgements:
        score = one.score(question)
        if score is not None:
            left, right = one.clips
            found.append(PairVote(left.model, right.model, score, one.rater, left.identity))
    return found


def _units(judgements: Sequence[Judgement], question: str) -> dict[tuple[str, ...], list[tuple[float, Judgement]]]:
    """Scores by clip, or by pair of clips as reports have it, whichever side each was shown on."""
    found: dict[tuple[str, ...], list[tuple[float, Judgement]]] = defaultdict(list)
    for one in judgements:
        score = one.score(question)
        if score is None:
            continue
        items = tuple(clip.item for clip in one.clips)
        turned = len(items) == 2 and not in_order(one.clips)
        found[items[::-1] if turned else items].append((1 - score if turned else score, one))
    return dict(sorted(found.items()))


def _alpha(judgements: Sequence[Judgement], question: str, pairs: bool, seed: int) -> Alpha:
    units = _units(judgements, question)
    values = [[score for score, _ in given] for given in units.values()]
    clusters = [given[0][1].clips[0].identity for given in units.values()]
    return krippendorff_alpha(values, "ordinal" if pairs else "interval", clusters=clusters, seed=seed)


def _steadiness(said: Judgements, question: str) -> Steadiness:
    apart = []
    for first, again in said.steadiness():
        a, b = first.score(question), again.score(question)
        if a is None or b is None:
            continue
        turned = len(first.clips) == 2 and first.clips[0].item != again.clips[0].item
        apart.append(abs(a - (1 - b if turned else b)))
    return Steadiness(question, sum(not one for one in apart), len(apart), sum(apart) / len(apart) if apart else None)


def _tracking(said: Judgements, options: StudyReportOptions) -> tuple[dict[str, tuple[Tracking, ...]], tuple[str, ...]]:
    """Agreement of every metric of the runs with every question; notes where the runs cannot be read."""
    folders = options.runs or tuple(map(Path, said.key.runs))
    if not folders:
        return {}, ("No metric is compared with people: the study names no run.",)
    try:
        rows = {row.item.id: row for row in read_runs(folders).rows}
    except ManifestError as cause:
        return {}, (f"No metric is compared with people: {cause.message} Name the runs with --run.",)
    missing = {one.item for one in said.key.stimuli.values()} - set(rows)
    if len(missing) == len(said.key.stimuli):
        return {}, ("No metric is compared with people: the runs hold none of the study's clips.",)
    notes = (f"{len(missing)} of the study's clips are in no run and compared with no metric.",) if missing else ()
    facts = {name: fact for name, fact in facts_by_name().items() if fact.scope == "clip"}
    found = {}
    for question in said.design.questions:
        units = _units(said.first, question.id)
        metrics = {name: [_value(unit, rows, fact) for unit in units] for name, fact in facts.items()}
        metrics = {name: values for name, values in metrics.items() if any(value == value for value in values)}
        opinions = Opinions(
            scores=[score for given in units.values() for score, _ in given],
            raters=[one.rater for given in units.values() for _, one in given],
            units=[place for place, given in enumerate(units.values()) for _ in given],
            clusters=[given[0][1].clips[0].identity for given in units.values()],
            mirrored=said.design.kind == "pairs",
        )
        found[question.id] = tuple(track(opinions, metrics, seed=options.seed))
    return found, notes


def _value(unit: tuple[str, ...], rows: dict[str, ItemRow], facts: MetricFacts) -> float:
    """A clip's number, or by how much the first clip's is better; NaN where one is missing or of random weights."""
    numbers = []
    for item in unit:
        score = rows[item].score(facts.name) if item in rows else None
        if score is None or score.value is None or (score.provenance and score.provenance.random_weights):
            return float("nan")
        numbers.append(score.value if facts.higher_is_better else -score.value)
    return numbers[0] - (numbers[1] if len(numbers) == 2 else 0.0)


def _account(said: Judgements) -> tuple[str, ...]:
    count = sum(rater.counts for rater in said.raters)
    out = len(said.raters) - count
    repeats = sum(one.repeat for one in said.judgements)
    notes = [
        f"{len(said.first)} judgements by {count} raters, of whom {sum(r.finished for r in said.raters)} finished."
    ]
    notes += [f"{out} raters failed an attention check; their answers count nowhere."] if out else []
    notes += [f"{repeats} answers to repeated items count for steadiness alone."] if repeats else []
    notes += [f"{said.unjudged} times a rater could not judge."] if said.unjudged else []
    return tuple(notes)
