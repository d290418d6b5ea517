"""A job script for SLURM that does a run's command in parts, stops in an orderly way and can be submitted again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbench.errors import ManifestError, RequestError
from mmbench.files import read_json
from mmbench.names import shown
from mmbench.runs.evaluate.record import MANIFEST, read_record
from mmbench.runs.generate.folder import RUN

SHARDED = ("evaluate", "generate", "data", "synth")
"""Commands that take --shard."""


@dataclass(frozen=True)
class SlurmOptions:
    """What one task of the array asks for. `signal` seconds before `time` is up the command is told to stop."""

    parts: int = 8
    gpus: int = 0
    cpus: int = 4
    memory: str = ""
    time: str = ""
    signal: int = 120

    def lines(self, name: str) -> list[str]:
        """The lines for sbatch."""
        asked = [f"--job-name={name}", f"--array=0-{self.parts - 1}", f"--cpus-per-task={self.cpus}"]
        asked += [f"--gpus={self.gpus}"] if self.gpus else []
        asked += [f"--mem={self.memory}"] if self.memory else []
        asked += [f"--time={self.time}"] if self.time else []
        return [f"#SBATCH {line}" for line in [*asked, f"--signal=B:TERM@{self.signal}", "--requeue"]]


def slurm_script(run: Path | str, options: SlurmOptions, command: Sequence[str] = ()) -> str:
    """The script of `command` (without `mmbench`), or of the one that the run's record has last.

    Every task of the array has the part of its number, written out, so that some of them can be submitted again; the
    parts share one folder. SIGTERM, which SLURM sends before the time is up and when it wants the node, is handed to
    the command: it ends, and what it finished stays. To be submitted where the command would be typed. Raises
    ManifestError where neither says what to do, RequestError for a command that has no parts.
    """
    run = Path(run)
    if options.parts < 1:
        raise RequestError(f"{options.parts} parts are none.", "Give --parts from 1.")
    words = list(command) or _recorded(run)
    if words[0] not in SHARDED:
        named = ", ".join(SHARDED)
        raise RequestError(f"`mmbench {words[0]}` cannot be done in parts.", f"These can: {named}.")
    typed = shlex.join([sys.executable, "-m", "mmbench", *_without_shard(words)])
    name = "mmbench-" + "".join(c if c.isalnum() or c in "-_." else "_" for c in shown(run.absolute().name))
    return "\n".join(
        [
            "#!/bin/bash",
            *options.lines(name),
            f"# Which parts are missing: mmbench status {shlex.quote(str(run))} --parts {options.parts}",
            "# Those again: sbatch --array=2,5 THIS_FILE",
            "trap 'kill -TERM \"$child\" 2>/dev/null' TERM INT",
            f'{typed} --shard "$((SLURM_ARRAY_TASK_ID + 1))/{options.parts}" &',
            "child=$!",
            'wait "$child"; code=$?',
            "# A signal ends the first wait; what the command was finishing is waited for.",
            'while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done',
            'exit "$code"',
            "",
        ]
    )


def _recorded(run: Path) -> list[str]:
    """The words of the last command on a run that is known to have been typed, without the program's name."""
    record: dict[str, Any] = read_json(run / RUN) if (run / RUN).is_file() else read_record(run)
    for attempt in reversed(record.get("attempts", [])):
        words = [str(word) for word in attempt.get("command", [])]
        if len(words) > 1 and words[1] in SHARDED:
            return words[1:]
    raise ManifestError(
        f"{run}: no command of `mmbench` is recorded in it ({MANIFEST}, {RUN}).",
        f"Write it behind two dashes: mmbench slurm {run} -- evaluate --manifest M.csv --out {run}",
    )


def _without_shard(words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or word == "--shard":
            skip = word == "--shard" and not skip
        elif not word.startswith("--shard="):
            kept.append(word)
    return kept
