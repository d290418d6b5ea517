"""An ablation written down: a JSON document, a Markdown page, figures and a grid of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.files import write_json, write_text
from mmbench.reports.figures.ablation import FILE, ablation_figure
from mmbench.reports.figures.curves import curves_figure
from mmbench.reports.figures.grid import grid_figure
from mmbench.reports.figures.style import save_figure
from mmbench.studies.ablations.measure import flow_backend

if TYPE_CHECKING:
    from mmbench.model.train.settings import TrainSettings
    from mmbench.reports.numbers.stats import Estimate
    from mmbench.studies.ablations.make import Trained
    from mmbench.studies.ablations.measure import AblationFound, ClaimFound

PAGE = "README.md"
NOTE = (
    "Means have 95 % intervals over people. Differences are paired by person, prompt and seed; intervals and tests are "
    "by person, Holm's correction spans all claims. `by seed`: the same difference in each seed's training alone."
)


def write_page(found: AblationFound, settings: TrainSettings, made: Sequence[Trained], out: Path) -> Path:
    """Write `ablation.json`, figures and the page into `out`. Returns the page."""
    out.mkdir(parents=True, exist_ok=True)
    document = as_json(found, settings)
    write_json(out / FILE, document)
    save_figure(ablation_figure(document), out / "arms.svg")
    if found.curves:
        save_figure(curves_figure(found.curves, found.facts), out / "curves.svg")
    first = found.seeds[0]
    last = max(item.step or 0 for one in made for item in one.items)
    items = [item for one in made if one.seed == first for item in one.items if (item.step or 0) in (0, last)]
    save_figure(
        grid_figure(items, [arm.name for arm in found.arms], rows=4 if len(found.arms) < 8 else 2), out / "clips.png"
    )
    write_text(out / PAGE, page(found, settings))
    return out / PAGE


def as_json(found: AblationFound, settings: TrainSettings) -> dict[str, Any]:
    """Everything found, as JSON values."""
    facts = ("title", "unit", "higher_is_better", "definition", "caveats", "source")
    return {
        "name": found.ablation.name,
        "title": found.ablation.title,
        "source": found.ablation.source,
        "seeds": list(found.seeds),
        "clips": found.clips,
        "settings": settings.of_learning(),
        "sampling": settings.validation.model_dump(mode="json"),
        "facts": {name: {key: getattr(fact, key) for key in facts} for name, fact in found.facts.items()},
        "arms": [
            {
                "name": arm.name,
                "says": arm.says,
                "parameters": arm.parameters,
                "means": {metric: asdict(mean) for metric, mean in arm.means.items()},
                "by_seed": {metric: list(means) for metric, means in arm.by_seed.items()},
            }
            for arm in found.arms
        ],
        "claims": [asdict(claim) for claim in found.claims],
        "curves": {
            metric: {arm: {str(step): list(means) for step, means in points.items()} for arm, points in held.items()}
            for metric, held in found.curves.items()
        },
    }


def page(found: AblationFound, settings: TrainSettings) -> str:
    """The page in Markdown."""
    each = [f"{stage.steps} steps of {stage.batch} ({stage.name})" for stage in settings.stages]
    steps = " or ".join(each) if found.ablation.each_stage else f"{' + '.join(each)} in all"
    how = settings.validation
    shown = "nobody's picture" if found.ablation.each_stage else f"identity guidance `{how.identity_guidance}`"
    sampled = (
        f"Sampled in {how.steps} steps with guidance {how.guidance_scale:g} and {shown}; "
        f"optical flow by {flow_backend(settings).upper()}."
    )
    left = "the person's, which no arm was shown" if found.ablation.each_stage else "the one shown"
    lines = [
        f"# {found.ablation.title}",
        "",
        f"{found.ablation.source}, repeated at size `{settings.model.size}`: every arm is trained for {steps}, "
        f"with seeds {', '.join(map(str, found.seeds))}; {found.clips} clips of people who were not "
        f"trained on. {sampled} {NOTE}",
        "",
        "![Arms](arms.svg)",
        "",
        *_arms(found),
        "",
        "## What the paper says, and what was found here",
        "",
        *(_claims(found) or ["The paper says nothing of these stages by name."]),
        "",
    ]
    if found.curves:
        lines += ["## On the way", "", "Line: mean over seeds; band: the lowest and highest seed.", ""]
        lines += ["![Curves](curves.svg)", ""]
    lines += ["## Clips", "", f"First and last frame of the first seed's clips; the picture at the left is {left}.", ""]
    lines += ["![Clips](clips.png)", ""]
    return "\n".join(lines)


def _arms(found: AblationFound) -> list[str]:
    names = list(found.facts)
    head = ["arm", "what it is", "trained parameters", *(_title(found, name) for name in names)]
    lines = [_row(head), _row(["---", "---", *["---:"] * (len(head) - 2)])]
    for arm in found.arms:
        cells = [_cell(arm.means.get(name), found.facts[name].decimals) for name in names]
        lines.append(_row([f"**{arm.name}**", arm.says, f"{arm.parameters:,}", *cells]))
    return lines


def _claims(found: AblationFound) -> list[str]:
    if not found.claims:
        return []
    head = ["said (source)", "column", "difference", "by seed", "adjusted p", "verdict"]
    lines = [_row(head), _row(["---"] * len(head))]
    return [*lines, *(_row(_claim(found, claim)) for claim in found.claims)]


def _claim(found: AblationFound, claim: ClaimFound) -> list[str]:
    digits = found.facts[claim.metric].decimals
    said = f"{claim.claim.better} above {claim.claim.worse} ({claim.claim.source})"
    seeds = ", ".join(f"{value:+.{digits}f}" for value in claim.seeds)
    verdict = claim.verdict if claim.verdict == "undecided" else f"**{claim.verdict}**"
    return [
        said,
        _title(found, claim.metric),
        _cell(claim.difference, digits, sign="+"),
        seeds,
        f"{claim.p_holm:.3g}",
        verdict,
    ]


def _title(found: AblationFound, name: str) -> str:
    fact = found.facts[name]
    return f"{fact.title} {'↑' if fact.higher_is_better else '↓'}"


def _cell(estimate: Estimate | None, digits: int, sign: str = "") -> str:
    if estimate is None:
        return "missing"
    text = f"{estimate.mean:{sign}.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
