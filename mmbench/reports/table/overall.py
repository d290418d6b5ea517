"""The overall verdicts in words: better than, not decided, worse than, with the columns that say why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmbench.reports.numbers.overall import Overall, Verdicts

HEADINGS = ("Model", "Better than", "Not decided", "Worse than")


@dataclass(frozen=True)
class OverallLine:
    """What the verdicts say of one model: names, and behind the better ones the columns that say why."""

    model: str
    better: str
    undecided: str
    worse: str


def overall_lines(verdicts: Verdicts, models: Sequence[str]) -> tuple[OverallLine, ...]:
    """One line a model, in the order given; nothing where no pair has been tested."""
    if not verdicts.pairs or not verdicts.guards:
        return ()
    return tuple(_line(verdicts, model, len(models) - 1) for model in models)


def below(verdicts: Verdicts, model: str) -> str:
    """ "below truth: FM inter, camera-free": who of those that nobody beats is better than `model`, and why.

    For one that nobody beats: whom it beats.
    """
    lost = [pair for pair in verdicts.worse_than(model) if verdicts.depth[str(pair.winner)] == 0]
    if not lost:
        won = [str(pair.loser) for pair in verdicts.better_than(model)]
        everybody = len(won) == len(verdicts.models) - 1
        return "above all others" if won and everybody else f"above {', '.join(won)}" if won else "not decided"
    by_reason: dict[tuple[str, ...], list[str]] = {}
    for pair in lost:
        by_reason.setdefault(pair.columns, []).append(str(pair.winner))
    return "; ".join(f"below {', '.join(names)}: {_list(why)}" for why, names in by_reason.items())


def verdict_notes(verdicts: Verdicts) -> tuple[str, ...]:
    """How the verdicts came about; nothing where there are none."""
    if not verdicts.pairs or not verdicts.guards:
        return ()
    lacking = f" Not measured: {', '.join(map(_one, verdicts.unmeasured))}." if verdicts.unmeasured else ""
    return (
        "Overall verdicts: better in at least one guarded column and worse in none, by paired tests of the two models "
        "alone (Holm over their guarded columns, 5 % a pair); a value beyond what a good clip needs earns nothing. "
        f"Guarded: {', '.join(map(_one, verdicts.guards))}.{lacking}",
    )


def _line(verdicts: Verdicts, model: str, others: int) -> OverallLine:
    better = [str(pair.loser) for pair in verdicts.better_than(model)]
    worse = [f"{pair.winner} ({_list(pair.columns)})" for pair in verdicts.worse_than(model)]
    undecided = [_open(pair, model) for pair in verdicts.undecided(model)]
    return OverallLine(
        model,
        "all others" if better and len(better) == others else ", ".join(better),
        ", ".join(undecided),
        "; ".join(worse),
    )


def _open(pair: Overall, model: str) -> str:
    other = pair.b if pair.a == model else pair.a
    own, theirs = (pair.columns, pair.against) if pair.a == model else (pair.against, pair.columns)
    if not own and not theirs:
        return other
    parts = [f"better: {_list(own)}"] if own else []
    parts += [f"worse: {_list(theirs)}"] if theirs else []
    return f"{other} ({'; '.join(parts)})"


def _list(titles: Sequence[str]) -> str:
    return ", ".join(map(_one, titles))


def _one(title: str) -> str:
    """ "FM inter, camera-free" would read as two in a list."""
    name, _, which = title.partition(", ")
    return f"{name} ({which})" if which else name
