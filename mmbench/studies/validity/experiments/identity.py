"""ID similarity and its companions against the share of another person in the face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmbench.studies.validity.finding import (
    Claim,
    Curve,
    Finding,
    Number,
    Observation,
    Panel,
    deviation,
    gap,
    mean_at,
    over_people,
    pick,
    spearman,
)
from mmbench.studies.validity.lab import Lab
from mmbench.studies.validity.levels import Levels
from mmbench.studies.validity.shots import Shot

METRICS = ("id_similarity", "id_margin", "id_centred", "id_rank1")


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """Views of the person morphed step by step into a group mate, own hair kept, against the committed references."""
    for fraction in levels.fractions:
        scores = lab.scores(person, lab.take(Shot(person, "morph", fraction, levels.views)).frames)
        for metric in METRICS:
            if metric in scores:
                yield Observation(person, "morph", fraction, metric, scores[metric])


def _effect(label: str, rows: Sequence[Observation]) -> Number:
    """Distance between the persons at the ends in standard deviations between people: how far apart the two stand."""
    first, last = min(row.level for row in rows), max(row.level for row in rows)
    own, other = (deviation("", [row for row in rows if row.level == level]).value for level in (first, last))
    spread = ((own**2 + other**2) / 2) ** 0.5
    return Number(label, (mean_at(rows, first) - mean_at(rows, last)) / spread, decimals=1)


def _turning_point(rows: Sequence[Observation]) -> Number:
    """Smallest fraction at which somebody else's references are nearer than the own, a person."""
    lost: dict[str, float] = {}
    for row in sorted(rows, key=lambda row: row.level):
        if row.value == 0:
            lost.setdefault(row.person, row.level)
    return over_people("Fraction at which rank-1 is lost", lost, (0.0, 1.0), 2)


HOW = (
    "Each person is morphed into a group mate (own hair kept), four views a step with their own light, clothes and "
    "backdrop, and compared with the committed references of the person. Bank of margin, centred similarity and "
    "rank-1: all fifty people."
)


def _panels(
    cosine: tuple[Observation, ...], margin: tuple[Observation, ...], centred: tuple[Observation, ...]
) -> tuple[Panel, ...]:
    """What is drawn."""
    return (
        Panel(
            "Column of the paper",
            "share of the other person",
            "id_similarity (cosine)",
            (Curve("id_similarity", cosine),),
        ),
        Panel(
            "Companion: margin",
            "share of the other person",
            "id_margin",
            (Curve("id_margin", margin, 1),),
        ),
        Panel(
            "Companion: centred",
            "share of the other person",
            "id_centred",
            (Curve("id_centred", centred, 2),),
        ),
    )


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """How far each column falls on the way to a stranger, and whether in order."""
    cosine, margin, centred = (pick(rows, metric) for metric in METRICS[:3])
    end = max(levels.fractions)
    falls = [gap(name, each, 0.0, end) for name, each in zip(METRICS, (cosine, margin, centred), strict=False)]
    stranger = mean_at(cosine, end)
    rho = [
        spearman(f"Spearman rho, {name}", each)
        for name, each in (("id_similarity", cosine), ("id_margin", margin), ("id_centred", centred))
    ]
    return Finding(
        name="identity",
        title="Identity: a person turned into somebody else",
        how=HOW,
        panels=_panels(cosine, margin, centred),
        numbers=(
            *rho,
            *(Number(f"{n.label}: from oneself to the other", n.value, n.low, n.high) for n in falls),
            *(
                _effect(f"{name}: distance of the ends in standard deviations between people", each)
                for name, each in (("id_similarity", cosine), ("id_margin", margin), ("id_centred", centred))
            ),
            _turning_point(pick(rows, "id_rank1")),
        ),
        claims=(
            Claim(
                "id_similarity falls with the share of the other person (rho below -0.9).",
                rho[0].value < -0.9,
            ),
            Claim(
                "id_margin and id_centred fall as reliably (rho below -0.9).",
                max(rho[1].value, rho[2].value) < -0.9,
            ),
            Claim(
                f"A complete stranger still scores above 0.8 in id_similarity (here {stranger:.3f}).",
                stranger > 0.8,
            ),
            Claim(
                "id_centred spreads oneself and the other at least five times as far as id_similarity.",
                falls[2].value < 5 * falls[0].value,
            ),
        ),
        conclusion="id_similarity orders faces rightly but on a compressed scale: the whole way from a person "
        "to another "
        f"one costs {-falls[0].value:.3f} of cosine, and a stranger keeps {stranger:.2f}. Never read a value "
        "such as 0.88 as "
        f'"88 % alike". Read id_centred (falls by {-falls[2].value:.2f}) or id_margin beside it.',
    )
