"""The cost table as Markdown and JSON, beside the paper's figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.files import write_json, write_text
from mmbench.model.cost.profile import CostTable

if TYPE_CHECKING:
    from mmbench.model.cost.steps import StepProfile

PAPER = (("CogVideoX-5B", "24.9 GiB", "10.5 B", "204 s"), ("Magic Mirror", "28.6 GiB", "12.8 B", "209 s"))
"""Paper Table 3 (v1): one A800, 49 frames 480x720, 50 steps."""
NOT_MEASURED = "not measured"


def write_profile(folder: Path, cost: CostTable, steps: StepProfile | None, day: date) -> tuple[Path, Path]:
    """Write `magic-mirror-SIZE.md` and `.json` into `folder`; returns both paths."""
    page, data = (folder / f"magic-mirror-{cost.size}.{ending}" for ending in ("md", "json"))
    write_text(page, as_markdown(cost, steps, day))
    held = {"date": day.isoformat(), **asdict(cost), "steps": None if steps is None else asdict(steps)}
    write_json(data, held)
    return page, data


def as_markdown(cost: CostTable, steps: StepProfile | None, day: date) -> str:
    """The page: comparison with the paper, parameters, FLOPs, and the measured rows or that there are none."""
    parts = [f"# Cost of Magic Mirror, size {cost.size} ({day.isoformat()})"]
    if cost.size == "5b":
        parts += ["## Against the paper's Table 3", _against_paper(cost, steps)]
    rows = [(r.module, f"{r.parameters:,}", "yes" if r.trained else "no") for r in cost.parameters]
    rows.append(("**base**", f"**{cost.base_parameters:,}**", ""))
    rows.append(("**total**", f"**{cost.total_parameters:,}**", ""))
    parts += ["## Parameters (counted on the meta device)", _table(("module", "parameters", "trained"), rows)]
    flops = [(f.what, _tera(f.base), _tera(f.magic_mirror), f"{f.ratio:.5f}") for f in cost.flops]
    parts += [
        "## TFLOP of one forward pass, batch 1 (PyTorch's counter, meta device)",
        _table(("clip", "base", "Magic Mirror", "ratio"), flops),
        "## GiB that the loop keeps on the device, bf16, one identity, batch 2 (counted, without activations)",
        _table(
            ("row", "weights", "tables", "sum"), [_resident(row.what, row.weights, row.tables) for row in cost.resident]
        ),
        "## Seconds and memory of one guided step",
    ]
    parts.append(_measured(steps) if steps is not None else _unmeasured())
    return "\n\n".join(parts) + "\n"


def _against_paper(cost: CostTable, steps: StepProfile | None) -> str:
    ours = {"CogVideoX-5B": cost.base_parameters, "Magic Mirror": cost.total_parameters}
    measured: dict[str, tuple[str, str]] = {}
    if steps is not None:
        for row in steps.rows:
            peak = NOT_MEASURED if row.peak_gib is None else f"{row.peak_gib:.2f} GiB (transformer's loop)"
            measured[row.name] = (peak, f"{50 * row.median_seconds:.1f} s (50 steps)")
    lines = []
    for name, memory, parameters, seconds in PAPER:
        lines.append((name, "paper, A800", parameters, memory, seconds))
        measured_row = "stock base" if name == "CogVideoX-5B" else name
        peak, took = measured.get(measured_row, (NOT_MEASURED, NOT_MEASURED))
        lines.append((name, "ours", f"{ours[name] / 1e9:.3f} B", peak, took))
    return _table(("model", "source", "parameters", "memory", "time"), lines)


def _measured(steps: StepProfile) -> str:
    head = (
        f"{steps.device}, {steps.dtype}, torch {steps.torch_version}, diffusers {steps.diffusers_version}, "
        f"attention backend {steps.attention_backend}. Random weights. Tables against the direct path: relative "
        f"difference {steps.fast_against_direct:.1e}."
    )
    rows = [(r.name, f"{r.median_seconds:.4f}", "-" if r.peak_gib is None else f"{r.peak_gib:.2f}") for r in steps.rows]
    ratios = [(f"{r.name} / {r.to}", f"{r.median:.4f}", f"{r.low:.4f} to {r.high:.4f}") for r in steps.ratios]
    return "\n\n".join(
        [
            head,
            _table(("row", "seconds (median)", "peak GiB"), rows),
            f"Ratios of paired runs ({len(steps.rows[0].seconds)} rounds):",
            _table(("ratio", "median", "range"), ratios),
        ]
    )


def _unmeasured() -> str:
    return (
        f"**{NOT_MEASURED.capitalize()}**: no GPU was at hand. On one with 80 GB, "
        "`python tests/benchmarks/model_step.py --size 5b --device cuda --out DIR` measures it, and "
        "`mmbench model profile --config 5b --device cuda` writes this page anew."
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _resident(what: str, weights: int, tables: int) -> tuple[str, ...]:
    return what, *(f"{value / 2**30:.4f}" for value in (weights, tables, weights + tables))


def _tera(flops: int) -> str:
    return f"{flops / 1e12:,.3f}" if flops > 1e11 else f"{flops / 1e12:.6f}"
