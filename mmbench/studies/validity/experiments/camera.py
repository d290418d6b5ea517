"""FMinter and its companions against the motion of the camera alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmbench.studies.validity.experiments.motion import moving_rows
from mmbench.studies.validity.finding import (
    Claim,
    Curve,
    Finding,
    Level,
    Number,
    Observation,
    Panel,
    mean_at,
    pick,
    slope,
)
from mmbench.studies.validity.lab import Lab
from mmbench.studies.validity.levels import Levels

NAMES = {
    "mixed": "person moves, camera still",
    "camera-pan": "camera pans, face rigid",
    "camera-zoom": "camera zooms, face rigid",
}
METRICS = ("fm_inter", "fm_inter_rate", "fm_inter_local")


def observe(lab: Lab, person: str, levels: Levels) -> Iterator[Observation]:
    """A rigid face under a panning and under a zooming camera; the moving person for comparison."""
    yield from moving_rows(lab, person, "mixed", levels, levels.amplitudes)
    for kind, amplitudes in (("camera-pan", levels.pans), ("camera-zoom", levels.zooms)):
        for row in moving_rows(
            lab, person, "mixed", levels, (0.0,)
        ):  # a camera that does not move: the same still clip
            yield Observation(row.person, row.series.replace("mixed", kind), 0.0, row.metric, row.value)
        yield from moving_rows(lab, person, "camera-pan" if kind == "camera-pan" else "camera-zoom", levels, amplitudes)


def _panel(rows: Sequence[Observation], metric: str, title: str) -> Panel:
    curves = tuple(Curve(name, pick(rows, metric, kind), k) for k, (kind, name) in enumerate(NAMES.items()))
    return Panel(title, "amplitude", metric, curves)


def _share(rows: Sequence[Observation], metric: str, kind: str) -> float:
    """What the strongest camera motion adds to a still clip, as a share of what a lively person adds."""
    seen = pick(rows, metric, kind)
    person = pick(rows, metric, "mixed")
    start = mean_at(person, 0.0)
    lively = 1.0 if any(row.level == 1.0 for row in person) else max(row.level for row in person)
    return (mean_at(seen, max(row.level for row in seen)) - start) / (mean_at(person, lively) - start)


def conclude(rows: Sequence[Observation], levels: Levels) -> Finding:
    """How much of a lively person's motion a camera fakes in each column."""
    shares = {(m, k): _share(rows, m, k) for m in METRICS for k in ("camera-pan", "camera-zoom")}
    worst = {m: max(shares[m, "camera-pan"], shares[m, "camera-zoom"]) for m in METRICS}
    still = mean_at(pick(rows, "fm_inter_local", "mixed"), 0.0)
    panels = (
        _panel(rows, "fm_inter", "Column of the paper"),
        _panel(rows, "fm_inter_rate", "Companion: rate"),
        _panel(rows, "fm_inter_local", "Companion: camera-free"),
    )
    local = Panel(panels[2].title, panels[2].x, panels[2].y, panels[2].curves, levels=(Level("still clip", still),))
    true_local = max(
        mean_at(pick(rows, "fm_inter_local", f"{k} true"), max(levels.pans if k == "camera-pan" else levels.zooms))
        for k in ("camera-pan", "camera-zoom")
    )
    return Finding(
        name="camera",
        title="FMinter: a camera that moves round a face of stone",
        how=f"{levels.frames}-frame clips of a rigid face under a camera that pans (amplitude 1: half a head "
        "height) or zooms "
        "in or out (amplitude 1: by half), beside the moving person of the experiment before.",
        panels=(*panels[:2], local),
        numbers=(
            *(
                Number(
                    f"{m}: strongest {k.split('-')[1]} as a share of a lively person's motion",
                    value,
                    decimals=2,
                )
                for (m, k), value in shares.items()
            ),
            slope("Slope of fm_inter per unit of pan", pick(rows, "fm_inter", "camera-pan")),
            slope("Slope of fm_inter_local per unit of pan", pick(rows, "fm_inter_local", "camera-pan")),
            Number(
                "Largest fm_inter_local under a moving camera, true landmarks (0 but for perspective)",
                true_local,
            ),
        ),
        claims=(
            Claim(
                "A camera alone moves fm_inter by at least a third of a lively person's motion.",
                worst["fm_inter"] > 1 / 3,
            ),
            Claim(
                "fm_inter_local is moved by less than a fifth of a lively person's motion.",
                worst["fm_inter_local"] < 0.2,
            ),
        ),
        conclusion="FMinter misleads here: a moving camera round a face of stone earns up to "
        f"{worst['fm_inter']:.0%} of what "
        f"a lively person earns (its rate up to {worst['fm_inter_rate']:.0%}), fm_inter_local "
        f"{worst['fm_inter_local']:.0%}. "
        "Rank facial motion by fm_inter_local when cameras move, and report both.",
    )
