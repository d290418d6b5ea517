"""A page of 20,000 clips: how large it is, and how long a browser takes until its table and first scene are there.

Rows of made-up numbers, of as many columns and curves as a run of every metric has; videos are named and not there. The
page is opened from disk in headless Chromium, several times, each in a fresh process.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from mmbench.items import Item
from mmbench.metrics.registry import facts_by_name
from mmbench.reports.build import ReportOptions, write_report
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile
from mmbench.scores import Provenance, Score
from tests.reports.conftest import Browser

GOAL_SECONDS = 5.0
MODELS, FRAMES = 8, 16
READY = (
    "document.readyState === 'complete' && document.querySelectorAll('#clips-table tbody tr').length === 50 "
    "&& document.querySelectorAll('.charts figure').length > 0"
)
SINCE = "performance.now() / 1000"


def main() -> None:
    """Print sizes and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "Chromium is not installed"
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        options = ReportOptions(most_clips=given.clips)
        report = write_report(list(rows(given.clips)), [], facts_by_name(), Path(folder) / "report", options)
        pieces = list((report.page.parent / "media").glob("clips-*.js"))
        size = sum(path.stat().st_size for path in pieces) / 2**20
        print(f"{given.clips} clips: report written in {time.monotonic() - began:.1f} s")
        print(f"  page    {report.page.stat().st_size / 2**20:8.1f} MiB")
        print(f"  pieces  {size:8.1f} MiB in {len(pieces)} files")
        for repeat in range(given.repeats):
            browser = Browser(program, Path(folder) / f"profile-{repeat}")
            try:
                browser.call("Page.navigate", url=report.page.as_uri())
                browser.wait(READY)
                ready = browser.run(SINCE)
                worst = browser.run(
                    "(() => { const t = performance.now(); sortWorst(); return performance.now() - t; })()"
                )
                heap = browser.call("Runtime.getHeapUsage")["usedSize"] / 2**20
            finally:
                browser.close()
            print(f"  opened  {ready:8.2f} s (goal: {GOAL_SECONDS} s); worst first {worst:.0f} ms; heap {heap:.0f} MiB")


def rows(count: int) -> Iterator[ItemRow]:
    """Clips of eight models, scene by scene."""
    rng = np.random.default_rng(0)
    names = [name for name, facts in facts_by_name().items() if facts.scope == "clip"]
    made_by = Provenance("dlib", {"dlib.dat": "0" * 64})
    clip = MeasuredFile(49, 720, 480, 8.0, "container", "f" * 64)
    frames = list(range(0, 3 * FRAMES, 3))
    for number in range(count):
        scene, model = divmod(number, MODELS)
        values = rng.random(len(names))
        scores = [Score.ok(name, float(value), made_by) for name, value in zip(names, values, strict=True)]
        for place, name in enumerate(names):
            if name in ("id_similarity", "fm_ref"):
                curve = [round(float(value), 4) for value in rng.random(FRAMES)]
                scores[place] = replace(scores[place], details={"frames": frames, "similarity": curve})
        prompt = f"A person of scene {scene % 200} walks along a river at dusk and looks back at the camera."
        item = Item(
            f"model-{model}/{scene:05d}",
            f"model-{model}",
            f"person-{scene // 4:04d}",
            Path(f"/videos/model-{model}/{scene:05d}.mp4"),
            prompt=prompt,
            prompt_index=scene % 4,
            seed=0,
        )
        yield ItemRow(item, tuple(scores), clip)


if __name__ == "__main__":
    main()
