"""The set's tables: prompts.csv and manifest.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from mmbench.studies.synthetic50.members import FPS, Member, clip_path, reference_paths, write_identities
from mmbench.studies.synthetic50.pictures import identity_of
from mmbench.studies.synthetic50.wording import prompts
from mmbench.synth.control import SYSTEMS
from mmbench.trigger import without_trigger


def build_tables(out: Path, fifty: list[Member]) -> None:
    """prompts.csv, manifest.csv and the references in identities.json."""
    rows, clips = [], []
    for member in fifty:
        texts = prompts(member.group, identity_of(member.name).sex, member.number)
        rows += [(member.name, p.index, p.short, p.long) for p in texts]
        chosen = texts[member.prompt_index]
        for system in SYSTEMS:
            clips.append((
                f"{system}/{member.name}_{member.prompt_index}", system, member.name, member.group,
                clip_path(system, member),
                ";".join(reference_paths(member)), without_trigger(chosen.short), without_trigger(chosen.long),
                member.prompt_index, 0, FPS,
            ))  # fmt: skip
    clips.sort(key=lambda row: SYSTEMS.index(row[1]))
    _write_csv(out / "prompts.csv", ("identity", "prompt_index", "prompt", "prompt_long"), rows)
    columns = (
        "id",
        "model",
        "identity",
        "group",
        "video",
        "references",
        "prompt",
        "prompt_long",
        "prompt_index",
        "seed",
        "fps",
    )
    _write_csv(out / "manifest.csv", columns, clips)
    write_identities(out, [(m.group, m.seed) for m in fifty])


def _write_csv(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
