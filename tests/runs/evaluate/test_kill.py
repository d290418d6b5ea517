"""Killed at random points, a run continues: rows equal to an uninterrupted one's, none lost, none doubled."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from mmbench.items import Item

KILLS = 20

SCRIPT = """
import sys
from pathlib import Path
from mmbench.config import EvaluateSettings
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.items import read_manifest
if __name__ == "__main__":
    manifest, run, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    evaluate(read_manifest(manifest), run, EvaluateSettings(metrics=("length",)), workers=workers)
"""


def test_twenty_kills(tmp_path: Path, clips: list[Item], toy_metrics: Path) -> None:
    lines = ["id,model,identity,video,references"]
    # every clip under four ids: 96 items of about 20 ms, so that kills land in the middle of the work
    lines += [f"{item.id}#{k},{item.model},{item.identity},{item.video},none.png" for k in range(4) for item in clips]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def start(run: str, workers: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(script), str(manifest), str(tmp_path / run), str(workers)]
        return subprocess.Popen(command, stderr=subprocess.PIPE)

    def written() -> int:
        lines = 0
        for path in (tmp_path / "killed" / "rows").glob("*.jsonl"):
            with suppress(FileNotFoundError):  # a process that ends removes its file of no rows
                lines += path.read_bytes().count(b"\n")
        return lines

    whole = start("whole", 1)
    _, errors = whole.communicate(timeout=3600)
    assert whole.returncode == 0, errors.decode()

    rng = random.Random(0)
    killed = 0
    for _ in range(KILLS):
        target = written() + rng.randrange(1, 8)  # by work, not by time: a busy machine kills in the middle too
        process = start("killed", 1)
        while process.poll() is None and written() < target:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.02))
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    last = start("killed", 2)
    _, errors = last.communicate(timeout=3600)
    assert last.returncode == 0, errors.decode()
    assert killed >= 1

    def rows(run: str) -> list[str]:
        found = []
        for path in (tmp_path / run / "rows").glob("*.jsonl"):
            for line in path.read_bytes().split(b"\n")[:-1]:
                row = json.loads(line)
                row["seconds"] = 0
                for score in row.get("scores", []):
                    score["seconds"] = 0
                if row["kind"] == "item":
                    found.append(json.dumps(row, sort_keys=True))
        return sorted(found)

    assert len(rows("whole")) == 96
    assert rows("killed") == rows("whole")
