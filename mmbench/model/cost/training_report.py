"""The cost of training as Markdown and JSON: what was counted beside what was planned, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

from mmbench.model.cost.training import BUDGET_GIB, TrainingMemory, TrainingProfile


def write_training_profile(
    folder: Path, size: str, memory: Sequence[TrainingMemory], measured: TrainingProfile | None, day: date
) -> tuple[Path, Path]:
    """Write `training-SIZE.md` and `.json` into a folder; returns both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = (folder / f"training-{size}.{ending}" for ending in ("md", "json"))
    page.write_text(as_markdown(size, memory, measured, day), encoding="utf-8")
    held = {
        "date": day.isoformat(),
        "memory": [asdict(row) for row in memory],
        "measured": None if measured is None else asdict(measured),
    }
    data.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    return page, data


def as_markdown(size: str, memory: Sequence[TrainingMemory], measured: TrainingProfile | None, day: date) -> str:
    """The page."""
    parts = [f"# Cost of training, size {size} ({day.isoformat()})"]
    for row in memory:
        parts += [
            f"## Stage {row.stage}, {row.micro_batch} sample(s) a micro-batch: GiB counted on the meta device",
            f"{row.trained:,} trained parameters, float32; frozen weights in bf16; attention as fused kernels keep it.",
            _table(("part", "counted", "planned"), [(n, f"{b / 2**30:.2f}", p) for n, b, p in budget_rows(row, size)]),
        ]
    parts.append("## Measured: one optimiser step with random weights")
    if measured is None:
        command = f"python tests/benchmarks/train_step.py --size {size} --device cuda --out DIR"
        parts.append(f"**Not measured**: no GPU was at hand. `{command}` measures it on one card of 80 GB.")
    else:
        parts.append(
            f"{measured.device}, torch {measured.torch_version}, diffusers {measured.diffusers_version}; blocks "
            "checkpointed, float32 AdamW, gradients clipped, the identity loss (random codec and recogniser) where "
            "t is at most 336. Utilisation is of the bf16 peak, recomputing not counted."
        )
        rows = [
            (
                s.stage,
                str(s.micro_batch),
                str(s.timestep),
                f"{s.median_seconds:.3f}",
                "-" if s.peak_gib is None else f"{s.peak_gib:.1f}",
                f"{s.flops / 1e12:.1f}",
                f"{s.flops_run / 1e12:.1f}",
                "-" if s.utilisation is None else f"{100 * s.utilisation:.1f} %",
            )
            for s in measured.steps
        ]
        head = ("stage", "samples", "t", "seconds", "peak GiB", "TFLOP", "TFLOP run", "utilisation")
        parts.append(_table(head, rows))
    return "\n\n".join(parts) + "\n"


def budget_rows(row: TrainingMemory, size: str) -> list[tuple[str, int, str]]:
    """Part, bytes and what was planned for it (of a clip at full size)."""
    planned = {name: f"{gib:.1f}" for name, gib in BUDGET_GIB.items()} if (size, row.stage) == ("5b", "video") else {}
    counted = {
        "frozen weights": row.frozen_bytes,
        "trained weights": row.trained_bytes,
        "gradients": row.trained_bytes,
        "AdamW's moments": row.optimiser_bytes,
        "checkpointed activations and one block": row.saved + row.block,
    }
    rows = [(name, count, planned.get(name, "")) for name, count in counted.items()]
    total = sum(count for _, count, _ in rows)
    rows.append(("sum", total, f"{sum(BUDGET_GIB.values()):.1f}" if planned else ""))
    return [*rows, ("activations without checkpointing", row.saved_whole, "")]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
