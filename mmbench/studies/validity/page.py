"""The page: each experiment's figure, its numbers, what was claimed and what to conclude, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmbench.studies.validity.figure import draw
from mmbench.studies.validity.finding import Finding
from mmbench.studies.validity.levels import Levels

INTRO = """# Validity: does every metric measure what it says?

Rendered people have a known truth: who they are, how far the head is turned, where every landmark lies, how every
pixel moves. Each experiment varies one thing by a known amount and shows what the metrics make of it. Lines are means
over {people} people of `synthetic50` ({names}), bands their 95 % intervals with
the person as the unit, dots single people, dashes the truth. Pictures are rendered by mmbench at 256x256; faces are
dlib's, flow is OpenCV's DIS (it stands in for RAFT, whose weights are not bundled). Every claim below was decided by
the measurements of this run; some of their limits were set after a first look at one to three of these people (still
clips in `dynamic-degree`, angles in `reference-motion` and `landmarks`), so they describe and do not confirm a
prediction.

These are rendered faces and one detector: they prove the direction, the zero and the failure modes of a number, not
thresholds for photographs. The people were chosen among rendered ones that dlib's detector finds and its recogniser
tells apart, so face rates and identity numbers near the front are better than unscreened ones would be.

Repeat it with `mmbench validity` (about {minutes} minutes of one core; an interrupted run continues). Every measurement
is in [`validity.json`](validity.json).
"""


def write_page(out: Path, findings: Sequence[Finding], levels: Levels) -> tuple[Path, tuple[Path, ...]]:
    """Write the figures and `validity.md` into `out`; returns the page and the figures."""
    out.mkdir(parents=True, exist_ok=True)
    figures = []
    for finding in findings:
        path = out / f"{finding.name}.svg"
        path.write_bytes(draw(finding))
        figures.append(path)
    page = out / "validity.md"
    page.write_text(markdown(findings, levels), encoding="utf-8")
    return page, tuple(figures)


def markdown(findings: Sequence[Finding], levels: Levels) -> str:
    """The whole page."""
    held = sum(claim.holds for finding in findings for claim in finding.claims)
    total = sum(len(finding.claims) for finding in findings)
    intro = INTRO.format(
        people=len(levels.people),
        names=", ".join(levels.people),
        minutes=max(1, round(2.5 * len(levels.people))),
    )
    summary = ["| Experiment | What to conclude |", "|---|---|"]
    summary += [f"| [{f.title}](#{f.name}) | {f.conclusion} |" for f in findings]
    parts = [intro, f"{held} of {total} claims hold.\n", "\n".join(summary) + "\n"]
    return "\n".join([*parts, *(_section(finding) for finding in findings)])


def _section(finding: Finding) -> str:
    claims = "\n".join(f"- {'holds' if claim.holds else '**does not hold**'}: {claim.text}" for claim in finding.claims)
    numbers = "\n".join(f"| {number.label} | {number.text()} |" for number in finding.numbers)
    return f"""<a id="{finding.name}"></a>
## {finding.title}

{finding.how}

![{finding.title}]({finding.name}.svg)

**Conclusion.** {finding.conclusion}

{claims}

<details><summary>Numbers (95 % interval over people)</summary>

| Number | Value |
|---|---|
{numbers}

</details>
"""
