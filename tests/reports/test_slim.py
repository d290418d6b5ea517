"""Rows that keep only what reports read: the same report, whatever the rows hold; and pages that hold some clips."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from mmbench.reports.build import ReportOptions, ReportPaths, write_report
from mmbench.reports.page.clips import MOST_CLIPS, spread_evenly
from mmbench.reports.slim import Slimmer
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile, RowError
from mmbench.runs.evaluate.store import read_rows
from mmbench.scores import Provenance, Score


def any_score(rng: random.Random, metric: str) -> Score:
    made = Provenance(rng.choice(("dlib", "raft")), {"w.dat": "0" * 64}, {"numpy": "2"}, rng.random() < 0.2)
    length = rng.randint(0, 5)
    values = [rng.choice((None, rng.random(), 1)) for _ in range(length)]
    details: dict[str, Any] = rng.choice(
        (
            {},
            {"version": rng.randint(1, 2), "much": list(range(99))},
            {"variant": "short", "frames": list(range(length)), "similarity": values},
            {"frames": [rng.randint(-1, 9) for _ in range(length)], "distance": values, "remark": "one face hidden"},
            {"frames": 3, "similarity": "x", "version": "two", "remark": ["no", "text"]},
        )
    )
    kind = rng.random()
    if kind < 0.6:
        score = Score.ok(metric, rng.choice((0.0, 1.0, rng.random())), made, **details)
    elif kind < 0.9:
        score = Score.missing(metric, rng.choice(("no face", "no weights")), "get some", **details)
    else:
        score = Score.error(metric, f"broken {rng.randint(0, 2)}")
    said = {**score.to_json(), "inputs": f"{rng.random()}", "bank": rng.choice(("", "b1")), "seconds": rng.random()}
    return Score.from_json({**said, "notes": rng.choice(((), ("cadence: half the frames repeat.",)))})


def any_rows(rng: random.Random, make_row: Any, video: Path) -> list[ItemRow]:
    found = []
    for model in ("a", "b", "c"):
        for number in range(12):
            error = RowError("MediaError", f"{video.parent}/x.mp4: cut short", "Make it again.")
            scores = {
                name: any_score(rng, name) for name in ("id_similarity", "fm_ref", "dynamic_degree", "of_a_plug_in")
            }
            known = {
                "video": video,
                "references": (video.parent / f"{number % 3}.png",),
                "prompt": f"A man {number % 4}",
            }
            clip = MeasuredFile(rng.choice((48, 49)), 720, 480, 8.0, "assumed", f"{number:064d}", ("cadence: x.",))
            given = {"error": error} if rng.random() < 0.1 else {"clip": clip, **scores}
            found.append(make_row(model, f"id{number % 9}", number % 4, seed=number, **known, **given))
    return found


def contents(paths: ReportPaths) -> dict[str, bytes]:
    folder = paths.page.parent
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("seed", range(6))
def test_a_report_of_slim_rows_is_the_report_of_the_rows(
    seed: int, make_row: Any, facts: Any, tiny_clip: Path, tmp_path: Path
) -> None:
    rows = any_rows(random.Random(seed), make_row, tiny_clip)
    (tmp_path / "run" / "rows").mkdir(parents=True)
    lines = "".join(json.dumps(row.to_json()) + "\n" for row in rows)
    (tmp_path / "run" / "rows" / "0000-0.jsonl").write_text(lines)
    slim, _ = read_rows(tmp_path / "run", Slimmer().row)
    whole = write_report(rows, [], facts, tmp_path / "whole")
    assert contents(write_report(slim, [], facts, tmp_path / "slim")) == contents(whole)
    assert [row.item for row in slim] == [row.item for row in rows]


def test_equal_parts_of_slim_rows_are_one_object(make_row: Any) -> None:
    rows = [
        make_row("a", "b", number, id_similarity=0.5, fm_ref=Score.missing("fm_ref", "no face")) for number in (1, 2)
    ]
    slimmer = Slimmer()
    first, second = (slimmer.row(json.loads(json.dumps(row.to_json()))) for row in rows)
    assert first.scores[1] is second.scores[1]
    assert first.scores[0].provenance is second.scores[0].provenance
    assert first.item.identity is second.item.identity


def test_a_line_that_is_no_row_is_told_as_ever() -> None:
    for said in ({}, {"scores": [{"metric": "x", "status": "ok", "value": None}]}, {"scores": [3]}):
        with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
            Slimmer().row(said)


@pytest.mark.parametrize("most", [1, 5, 6, 11, 24, 25])
def test_a_page_of_some_clips_says_so(most: int, make_row: Any, facts: Any, tiny_clip: Path, tmp_path: Path) -> None:
    rows = [
        make_row(model, f"id{person}", prompt, video=tiny_clip, prompt=f"p{prompt}", id_similarity=0.1 * person)
        for model in ("a", "b", "c")
        for person in range(4)
        for prompt in range(2)
    ]
    everything = write_report(rows, [], facts, tmp_path / "all")
    some = write_report(rows, [], facts, tmp_path / "some", ReportOptions(most_clips=most))
    page = some.page.read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL).group(1))  # type: ignore[union-attr]
    clips = data["clips"]
    assert len(clips) == (1 if most == 1 else min(most, 24) // 3 * 3)  # one of a scene of three, or whole scenes
    assert all(0 <= position < len(clips) for scene in data["scenes"] for position in scene["clips"])
    assert page.count(f"This page shows {len(clips)} of 24 clips") == (2 if len(clips) < 24 else 0)
    assert "24 clips of 3 models and 4 identities" in page
    if most == 6:
        assert len({scene["identity"] for scene in data["scenes"]}) == 2
    assert some.table == everything.table
    assert some.clips.read_bytes() == everything.clips.read_bytes() and some.clips.read_text().count("\n") == 25


def test_every_beginning_lies_evenly_over_the_whole() -> None:
    for count in (1, 2, 3, 7, 64, 100, 1001):
        order = spread_evenly(count)
        assert sorted(order) == list(range(count))
        for begin in range(1, min(count, 40)):
            ends = sorted(order[:begin])
            gaps = [b - a for a, b in zip([0, *ends], [*ends, count], strict=True)]
            assert max(gaps) <= 4 * count / begin + 1


def test_the_command_shows_as_many_clips_as_a_report_does() -> None:
    import inspect

    from mmbench.cli.report import report

    assert inspect.signature(report).parameters["most_clips"].default == MOST_CLIPS
