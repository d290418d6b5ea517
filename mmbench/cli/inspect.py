"""`mmbench doctor` and `mmbench explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli import completion

if TYPE_CHECKING:
    from mmbench.metrics.base import Metric


def doctor() -> None:
    """What is installed, which weights are present, what each metric still needs: one line each."""
    from rich.console import Console
    from rich.markup import escape

    from mmbench.runs.doctor import examine

    console = Console(highlight=False, soft_wrap=True)
    marks = {"ok": "[green]ok     [/green]", "missing": "[yellow]missing[/yellow]", "broken": "[red]broken [/red]"}
    findings = examine()
    for finding in findings:
        console.print(f"{marks[finding.state]} {finding.kind:<8} {escape(finding.name)}: {escape(finding.text)}")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


def explain(
    metric: Annotated[
        str,
        typer.Argument(help="Name of a metric or companion; `all` lists them.", autocompletion=completion.columns),
    ],
) -> None:
    """Definition, range, direction, source and caveats of a metric."""
    from rich.console import Console
    from rich.markup import escape

    from mmbench.metrics.registry import facts_by_name, metric_classes, no_such_metric

    facts = facts_by_name()
    console = Console(highlight=False)
    if metric == "all":
        for name, fact in facts.items():
            console.print(f"{name:<24} {escape(fact.title)}: {escape(fact.definition)}", soft_wrap=True)
        return
    if metric not in facts:
        raise no_such_metric(metric, facts)
    fact = facts[metric]
    owner = next(c for c in metric_classes().values() if fact in c.all_facts())
    low, high = (("unbounded" if bound is None else f"{bound:g}") for bound in fact.range)
    lines = {
        "Definition": fact.definition,
        "Range": f"{low} to {high}, {fact.unit}",
        "Better": "higher" if fact.higher_is_better else "lower",
        "Of": "a set of clips (one model)" if fact.scope == "set" else "each clip; tables show the mean",
        "Needs": ", ".join(need.name for need in owner.needs) or "nothing but the clip, or its other metrics",
        "Missing": _lacking(owner) or "nothing that can be told without loading it",
        "Refused": _refused(),
        "Source": fact.source,
        "Caveats": fact.caveats or "none known",
        "Verdict": _guarded(fact.name, fact.higher_is_better),
        "Companions": ", ".join(f.name for f in owner.all_facts() if f != fact) or "none",
    }
    console.print(f"[bold]{escape(fact.title)}[/bold] ({fact.name})")
    for label, text in lines.items():
        console.print(f"  {label + ':':<12}{escape(text)}", soft_wrap=True)


def _refused() -> str:
    """The clips that no metric gets to see, by the settings' defaults."""
    from mmbench.config import LimitSettings

    limits = LimitSettings()
    return (
        f"clips of more than {limits.max_frames:,} frames, {limits.max_frame_pixels / 1e6:.1f} million pixels a frame, "
        f"{limits.max_clip_pixels / 1e6:,.0f} million in all, {limits.max_bytes / 2**30:g} GiB a file, or "
        f"{limits.clip_seconds:,.0f} s of work (settings: limits; SECURITY.md)"
    )


def _guarded(name: str, higher: bool) -> str:
    """What the metric is to the overall verdict."""
    from mmbench.reports.numbers.overall import GUARDS

    guard = next((guard for guard in GUARDS if guard.metric == name), None)
    if guard is None:
        return "none of the guarded columns"
    limit = f"; what is {'above' if higher else 'below'} {guard.enough:g} earns nothing" if guard.enough else ""
    return f"a guarded column: {guard.why}{limit}"


def _lacking(metric: type[Metric]) -> str:
    """What the needs of a metric say that this machine lacks for it, with the default settings."""
    from mmbench.config import EvaluateSettings
    from mmbench.errors import MMBenchError

    lacking: dict[str, None] = {}
    for need in metric.needs:
        try:
            need.check(EvaluateSettings())
        except MMBenchError as cause:
            lacking[str(cause)] = None
    return " ".join(lacking)
