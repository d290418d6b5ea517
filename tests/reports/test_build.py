"""The report folder: what it holds, that it is deterministic, self-contained and tells no machine's paths."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmbench.errors import ManifestError, RequestError
from mmbench.reports.build import ReportOptions, ReportPaths, build_report, write_report
from mmbench.reports.page.curves import curves_of
from mmbench.reports.page.media import MediaShelf
from mmbench.reports.page.plots import colours, distribution_svg
from mmbench.reports.table.tables import TableOptions
from mmbench.runs.evaluate.rows import RowError
from mmbench.runs.plain_paths import PathShortener
from mmbench.scores import Score


@pytest.fixture
def rows(make_row: Any, tiny_clip: Path, tmp_path: Path) -> list[Any]:
    found = [
        make_row(m, f"id{n}", p, video=tiny_clip, id_similarity=0.9 + 0.01 * n, dynamic_degree=float(p))
        for m in ("a", "b")
        for n in range(3)
        for p in range(2)
    ]
    reason = f"{tiny_clip.parent}/x.mp4: truncated"
    return [*found, make_row("a", "id9", video=tiny_clip.parent / "x.mp4", error=RowError("MediaError", reason))]


def contents(paths: ReportPaths) -> dict[str, bytes]:
    folder = paths.page.parent
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_equal_rows_in_any_order_give_equal_files(rows: list[Any], facts: Any, tmp_path: Path) -> None:
    first = write_report(rows, [], facts, tmp_path / "one", record={"x": 1})
    shuffled = random.Random(1).sample(rows, len(rows))
    second = write_report(shuffled, [], facts, tmp_path / "two", record={"x": 1})
    again = write_report(rows, [], facts, tmp_path / "one", record={"x": 1})
    assert contents(first) == contents(second) == contents(again)
    assert {"index.html", "leaderboard.md", "leaderboard.csv", "leaderboard.tex", "leaderboard.json"} <= set(
        contents(first)
    )


def test_page_needs_no_network_and_no_file_outside(rows: list[Any], facts: Any, tmp_path: Path) -> None:
    paths = write_report(rows, [], facts, tmp_path / "report")
    html = paths.page.read_text()
    links = re.findall(r'(?:src|href)="([^"#]+)"', html)
    assert all(link == "data:," or (paths.page.parent / link).is_file() for link in links)
    data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL).group(1))  # type: ignore[union-attr]
    media = [clip[15] for clip in data["clips"]]
    sources = [source for kind, source, _ in media if kind != "none"]
    assert len(sources) == 12
    assert all((paths.page.parent / source).is_file() for source in sources)
    assert "//" not in re.sub(r"http://www\.w3\.org/[\w/]+", "", html.split("<script")[0])
    assert "default-src 'none'" in unescape(html)


def test_no_path_of_this_machine_is_told(rows: list[Any], facts: Any, tmp_path: Path, tiny_clip: Path) -> None:
    manifest = {"attempts": [{"command": ["mmbench", str(tiny_clip)]}], "items": [1, 2, 3]}
    paths = write_report(rows, [], facts, tmp_path / "report", record=manifest)
    for name, content in contents(paths).items():
        assert str(tiny_clip.parent).encode() not in content, name
        assert str(tmp_path).encode() not in content, name
    assert b"x.mp4: truncated" in contents(paths)["index.html"]


def test_clips_can_be_left_out_and_old_ones_are_swept(rows: list[Any], facts: Any, tmp_path: Path) -> None:
    paths = write_report(rows, [], facts, tmp_path / "report")
    assert any(name.startswith("media/") for name in contents(paths))
    write_report(rows, [], facts, tmp_path / "report", ReportOptions(clips=False))
    assert not any(name.startswith("media/") for name in contents(paths))
    assert "made without clips" in paths.page.read_text()


def test_a_run_folder_becomes_a_report(rows: list[Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "rows").mkdir(parents=True)
    lines = [json.dumps(row.to_json()) for row in rows]
    (run / "rows" / "0000-0.jsonl").write_text("\n".join(lines) + "\n")
    record = {"settings": {"faces": "dlib"}, "attempts": [], "items": [{"id": row.item.id} for row in rows]}
    (run / "manifest.json").write_text(json.dumps(record))
    paths = build_report(run, options=ReportOptions(table=TableOptions(title="Mine")))
    assert paths.page == run / "report" / "index.html"
    assert "<h1>Mine</h1>" in paths.page.read_text()
    assert "<h2>Leaderboard</h2>" not in paths.page.read_text()  # the default title is no heading again
    assert '<th scope="row" class="text">Faces</th><td class="text">dlib</td>' in paths.page.read_text()
    (run / "rows" / "0000-0.jsonl").write_text("")
    with pytest.raises(ManifestError, match="no rows yet"):
        build_report(run)


def test_media_names_are_safe_and_unique(tmp_path: Path, tiny_clip: Path) -> None:
    from PIL import Image

    shelf = MediaShelf(tmp_path / "page")
    placed = []
    for name in ("a'\"b.mp4", "a b.mp4", "../x.mp4", "<script>.gif", "..mp4", "é.m4v"):
        source = tmp_path / "in" / name.replace("../", "up-")
        source.parent.mkdir(exist_ok=True)
        if name.endswith("gif"):
            Image.new("RGB", (8, 8), (9, 9, 9)).save(source)
        else:
            source.write_bytes(tiny_clip.read_bytes())
        placed.append(shelf.place(source, name))
        assert (tmp_path / "page" / placed[-1].src).read_bytes() == source.read_bytes()
    names = [media.src for media in placed]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"media/[a-z0-9-]+(\.[a-z0-9]+)", name) for name in names)
    assert [media.kind for media in placed] == ["video", "video", "video", "image", "video", "video"]


SECRET = b"root:x:0:0:root:/root:/bin/bash\n" * 9


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif", ".png", ".jpg", ".webp", ".bmp", ".avi"])
@pytest.mark.parametrize("through", ["a link", "the file itself"])
def test_only_what_was_decoded_is_published(tmp_path: Path, ending: str, through: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    source = tmp_path / f"picture{ending}"
    if through == "a link":
        source.symlink_to(secret)
    else:
        source.write_bytes(SECRET)
    page = tmp_path / "page"
    media = MediaShelf(page).place(source, "x")
    assert media.kind == "none" and media.note
    assert not [file for file in page.rglob("*") if file.is_file()]


def test_a_published_file_is_a_copy(tmp_path: Path, tiny_clip: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(tiny_clip.read_bytes())
    media = MediaShelf(tmp_path / "page").place(source, "x")
    source.write_bytes(SECRET)
    assert (tmp_path / "page" / media.src).read_bytes() == tiny_clip.read_bytes()


def test_a_report_removes_and_replaces_only_what_it_made(rows: list[Any], facts: Any, tmp_path: Path) -> None:
    out = tmp_path / "site"
    theirs = {"media/mine.mp4": b"film", "media/a-moving.mp4": b"also mine", "notes.md": b"n", "media/deep/x.png": b"p"}
    for name, data in theirs.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    for options in (ReportOptions(), ReportOptions(clips=False), ReportOptions()):
        write_report(rows, [], facts, out, options)
        assert all((out / name).read_bytes() == data for name, data in theirs.items())
    assert (out / "media" / "a-moving-2.mp4").is_file()
    write_report(rows, [], facts, out, ReportOptions(clips=False))
    assert not (out / "media" / "a-moving-2.mp4").exists()


@pytest.mark.parametrize("name", ["index.html", "leaderboard.md", "leaderboard.json", "comparisons.md"])
def test_a_foreign_file_is_not_overwritten(rows: list[Any], facts: Any, tmp_path: Path, name: str) -> None:
    out = tmp_path / "site"
    out.mkdir()
    (out / name).write_text("<h1>My garden</h1>")
    with pytest.raises(ManifestError, match="no report of mmbench wrote it"):
        write_report(rows, [], facts, out)
    assert (out / name).read_text() == "<h1>My garden</h1>"
    assert len(list(out.iterdir())) == 1


def test_a_report_without_a_marker_is_known_by_its_files(rows: list[Any], facts: Any, tmp_path: Path) -> None:
    """As earlier versions left them; pictures of that time stay, since nothing says whose they are."""
    out = write_report(rows, [], facts, tmp_path / "old").page.parent
    (out / ".mmbench-report.json").unlink()
    write_report(rows, [], facts, out)
    (out / ".mmbench-report.json").write_text("{broken")
    write_report(rows, [], facts, out)


def test_ids_that_are_paths_are_told_short(make_row: Any, tiny_clip: Path, facts: Any, tmp_path: Path) -> None:
    long = make_row("a", "id0", video=tiny_clip, id_similarity=0.9)
    other = replace(long.item, id=f"/somewhere/else/{long.item.identity}.mp4", identity="id1")
    rows = [replace(long, item=replace(long.item, id=str(tiny_clip))), replace(long, item=other)]
    page = write_report(rows, [], facts, tmp_path / "report").page.read_text()
    assert str(tiny_clip.parent) not in page and "/somewhere/else" not in page


def test_what_a_browser_cannot_play_is_converted(tmp_path: Path) -> None:
    from PIL import Image

    from mmbench.video.read import open_clip

    frames = tmp_path / "frames"
    frames.mkdir()
    for index in range(3):
        Image.new("RGB", (64, 48), (80 * index, 0, 0)).save(frames / f"{index:03d}.png")
    media = MediaShelf(tmp_path / "page").place(frames, "folder")
    assert (media.kind, media.note) == ("video", "converted from a folder of frames for this page")
    assert open_clip(tmp_path / "page" / media.src).info.n_frames == 3


def test_what_cannot_be_shown_says_so(tmp_path: Path) -> None:
    shelf = MediaShelf(tmp_path / "page")
    (tmp_path / "broken.avi").write_bytes(b"RIFF....AVI LIST")
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("broken.avi", "cannot be shown: "),
        ("empty", "cannot be shown: "),
        ("gone.mp4", "the file is not there: gone.mp4"),
        ("page.html", "browsers cannot show .html"),
    ):
        media = shelf.place(tmp_path / name, "x")
        assert (media.kind, media.src) == ("none", "")
        assert words in media.note
    assert not list((tmp_path / "page").rglob("*.mp4"))


def test_curves_survive_any_details(make_row: Any, facts: Any) -> None:
    def curves(**details: Any) -> Any:
        return curves_of(make_row("a", "b", id_similarity=Score.ok("id_similarity", 0.9, **details)), facts)

    found = curves(frames=[0, 4, -1, 8, 12], similarity=[0.9, 0.91, None, 0.92, 0.93])[0]
    assert (found.frames, found.values) == ((0, 4, 4, 8, 12), (0.9, 0.91, None, 0.92, 0.93))
    assert found.title == "ID similarity"
    for strange in (
        {},
        {"frames": [0, 1]},
        {"frames": [0, 1], "similarity": [0.5]},
        {"frames": "ab", "similarity": "cd"},
        {"frames": [0, 1], "similarity": [None, 0.5]},
        {"frames": [-1, -1], "similarity": [None, None]},
        {"frames": [0, 1], "similarity": ["x", True]},
    ):
        assert curves(**strange) == ()


def test_plots_are_deterministic_and_their_text_is_text(facts: Any) -> None:
    names = ("<script>alert(1)</script>", "$x_1$ & co")
    values = {names[0]: [0.1, 0.5, 0.4], names[1]: [0.7]}
    svg = distribution_svg(values, facts["id_similarity"], colours(names))
    assert svg == distribution_svg(values, facts["id_similarity"], colours(names))
    assert "<script" not in svg and "<style" not in svg and "<?xml" not in svg
    assert "&lt;script&gt;" in svg and "$x_1$ &amp; co" in svg
    shares = distribution_svg({"a": [0.0, 1.0, 1.0]}, facts["dynamic_degree"], colours(["a"]))
    assert "2 of 3" in shares


def test_paths_are_cut_only_where_they_are_paths(make_row: Any) -> None:
    row = make_row("a", "b", video=Path("/data/set/clips/x.mp4"), references=(Path("/data/set/faces/r.png"),))
    shortener = PathShortener([row])
    assert shortener.text("/data/set/clips/x.mp4: empty") == "clips/x.mp4: empty"
    assert shortener.record({"a": ["/opt/tool/bin", 3], "items": [1, 2]}) == {"a": ["bin", 3], "items": 2}
    lonely = PathShortener([make_row("a", "b", video=Path("/x.mp4"))])
    assert lonely.text("1/2 of /x.mp4") == "1/2 of /x.mp4"


def test_samples_are_taken_once_and_rows_are_read_in_one_pass(
    facts: Any, make_row: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any number of models: tables, every pair's comparison and the page share the same samples."""
    from mmbench.reports.numbers import samples

    taken: list[str] = []
    whole = samples._clip_sample

    def counted(model: str, metric: str, rows: Any) -> Any:
        taken.append(f"{model} {metric}")
        return whole(model, metric, rows)

    monkeypatch.setattr(samples, "_clip_sample", counted)
    rows = [make_row(m, f"id{n}", id_similarity=0.9 - 0.01 * n, fm_ref=0.1 * n) for m in "abcde" for n in range(3)]
    report = write_report(rows, [], facts, tmp_path, ReportOptions(clips=False))
    assert len(report.comparisons) == 10
    assert sorted(taken) == sorted(f"{m} {metric}" for m in "abcde" for metric in ("id_similarity", "fm_ref"))


@pytest.mark.parametrize("count", [1, 8, 9])
def test_pairs_that_are_not_tested_are_told_on_the_page(facts: Any, make_row: Any, tmp_path: Path, count: int) -> None:
    rows = [make_row(f"model {m}", f"id{n}", id_similarity=0.9 - 0.01 * n) for m in range(count) for n in range(2)]
    report = write_report(rows, [], facts, tmp_path, ReportOptions(clips=False))
    assert len(report.comparisons) == (28 if count == 8 else 0)
    page = report.page.read_text(encoding="utf-8")
    assert ("9 models of this page make 36 pairs" in page) == (count == 9)
    assert ('<section id="differences">' in page) == (count > 1) == ('href="#differences"' in page)


def test_chosen_pairs_of_many_models(facts: Any, make_row: Any, tmp_path: Path) -> None:
    """Each model against one, and two by name: these and no others, whose tests alone Holm's correction counts."""
    rng = np.random.default_rng(1)
    rows = [
        make_row(f"m{k}", f"p{i}", id_similarity=float(0.5 + k / 50 + rng.normal(0, 0.01)))
        for k in range(10)
        for i in range(12)
    ]
    options = ReportOptions(against=("m0",), pairs=(("m4", "m3"),))
    paths = write_report(rows, (), facts, tmp_path, options)
    pairs = {(one.name_a, one.name_b) for one in paths.comparisons}
    assert pairs == {("m4", "m3"), *((f"m{k}", "m0") for k in range(1, 10))}
    assert {one.tests for one in paths.comparisons} == {10}
    alone = write_report([row for row in rows if row.item.model in ("m3", "m4")], (), facts, tmp_path / "two")
    (same,) = (one for one in paths.comparisons if one.name_b == "m3")
    assert abs(same.differences[0].difference.mean) == pytest.approx(  # type: ignore[union-attr]
        abs(alone.comparisons[0].differences[0].difference.mean)  # type: ignore[union-attr]
    )
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "none is tested here" not in page
    assert "<b>m9</b> against <b>m0</b>" in page
    for wrong in (ReportOptions(against=("nobody",)), ReportOptions(pairs=(("m1", "m1"),))):
        with pytest.raises(RequestError, match=r"nobody|itself"):
            write_report(rows, (), facts, tmp_path / "wrong", wrong)
