"""The page as a tool, in a real browser: links to every state, one clock, keys, filters, folding, widths, axe."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmbench.reports.build import ReportOptions, ReportPaths, write_report
from mmbench.reports.table.tables import TableOptions
from mmbench.runs.evaluate.rows import MeasuredFile
from mmbench.scores import Score
from mmbench.video.write import write_video

MODELS = ("zeta", "alpha")
PEOPLE = ("anna", "bert", "carl")
LENGTHS = {"zeta": 16, "alpha": 8}
"""Frames of a model's clips, at 8 frames a second: two seconds and one."""

ROWS = (
    "[...document.querySelectorAll('#clips-table tbody tr')].map(r => r.cells[0].querySelector('button').textContent)"
)
SET = "(e => {{ e.value = {1!r}; e.dispatchEvent(new Event('input')); }})(document.getElementById({0!r}))"
VIDEOS = "[...document.querySelectorAll('.cast video')]"
LOADED = f"{VIDEOS}.length === 2 && {VIDEOS}.every(v => v.readyState >= 2)"
TIMES = f"{VIDEOS}.map(v => v.currentTime)"


def key(name: str) -> str:
    return f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: {name!r}, bubbles: true}}))"


@pytest.fixture
def report(tmp_path: Path, facts: Any, make_row: Any) -> ReportPaths:
    """Two models whose order is not the alphabet's and whose clips differ in length; three people of two groups."""
    rows = []
    for place, model in enumerate(MODELS):
        clip = tmp_path / f"{model}.mp4"
        write_video(clip, [np.full((64, 96, 3), 12 * index, np.uint8) for index in range(LENGTHS[model])], 8.0)
        for number, identity in enumerate(PEOPLE):
            row = make_row(
                model,
                identity,
                video=clip,
                prompt=f"prompt {number % 2}",
                prompt_index=number % 2,
                clip=MeasuredFile(LENGTHS[model], 96, 64, 8.0, "container", "f" * 64),
                id_similarity=0.9 - 0.1 * number - 0.05 * place,
                id_margin=0.25,
                fm_ref=Score.missing("fm_ref", "no face" if identity == "carl" else "no landmarks", "Look."),
            )
            group = "women" if number == 0 else "men"
            rows.append(replace(row, item=replace(row.item, group=group)))
    record = {"items": [{"model": model} for model in MODELS]}
    options = ReportOptions(TableOptions(order="manifest"))
    return write_report(rows, [], facts, tmp_path / "report", options, record=record)


@pytest.fixture
def opened(report: ReportPaths, browser: Any) -> Any:
    browser.open(report.page)
    browser.wait(LOADED)
    yield browser
    assert browser.complaints == []


def reopen(browser: Any) -> None:
    """The page's present address in a page that knows nothing of this one."""
    browser.wait("savePending === null")
    address = browser.run("location.href")
    browser.call("Page.navigate", url="about:blank")
    browser.wait("location.href === 'about:blank'")
    browser.call("Page.navigate", url=address)
    browser.wait("location.protocol === 'file:' && document.readyState === 'complete'")


def test_a_link_gives_scene_second_speed_filters_and_order(opened: Any) -> None:
    opened.run(key("n"))
    opened.wait(LOADED)
    opened.run("document.getElementById('clock-on').click()")
    opened.run("document.getElementById('clock-loop').click()")
    opened.run(SET.format("clock-speed", "0.5"))
    opened.run(SET.format("clips-group", "men"))
    opened.run(SET.format("clips-search", "prompt & 1"))
    opened.run(SET.format("clips-search", "prompt"))
    opened.run(SET.format("clips-worst", "id_similarity"))
    rows, scene, times = opened.run(ROWS), opened.run("currentScene"), opened.run(TIMES)
    assert times[0] > 0 and scene == 1
    reopen(opened)
    opened.wait(LOADED)
    opened.wait(f"Math.abs({TIMES}[0] - {times[0]}) < 0.01")
    assert opened.run("currentScene") == scene
    assert opened.run(ROWS) == rows
    assert opened.run("document.getElementById('clock-speed').value") == "0.5"
    assert opened.run("document.getElementById('clock-loop').checked") is False
    assert opened.run("document.getElementById('clips-worst').value") == "id_similarity"


def test_the_back_button_returns_to_the_scene_before(opened: Any) -> None:
    for expected in (1, 2):
        opened.run(key("n"))
        opened.wait(f"currentScene === {expected} && savePending === null")
    opened.run("history.back()")
    opened.wait("currentScene === 1")
    opened.run("history.back()")
    opened.wait("currentScene === 0")


@pytest.mark.parametrize(
    "bad",
    [
        "?scene=<b>&t=NaN&speed=-1&sort=x:y&model=nobody&bound=a",
        "?t=1e99&scene=__proto__&bound=1e999",
        "?bound=%2B1&sort=:::&reason=%00",
        "?bound=1.&t=%F0%9F%98%80",
        "?%",
    ],
)
def test_a_damaged_link_opens_the_page(report: ReportPaths, browser: Any, bad: str) -> None:
    browser.call("Page.navigate", url=f"{report.page.as_uri()}#clips{bad}")
    browser.wait("document.readyState === 'complete' && location.protocol === 'file:'")
    browser.wait(f"{LOADED} && {ROWS}.length === 6")
    assert browser.run("currentScene") == 0
    assert browser.run("document.getElementById('clips-bound').value") == ""
    assert browser.complaints == []


def test_one_clock(opened: Any) -> None:
    opened.run("document.getElementById('clock-loop').click()")
    opened.run("document.getElementById('scene-play').click()")
    opened.wait(f"{TIMES}.every(t => t > 0.2)")
    opened.wait("!clock.playing")  # without the loop it stops at the end of the longest
    assert opened.run(f"{VIDEOS}.every(v => v.paused)")
    opened.run("setClock(0)")
    for count in (1, 2, 3):
        opened.run(key("."))
        opened.wait(f"{VIDEOS}.every(v => !v.seeking)")
        first, second = opened.run(TIMES)
        assert first == pytest.approx((count + 0.5) / 8, abs=0.01)
        assert second == pytest.approx(first, abs=0.01)
    assert "frame 4 of 16" in opened.run("document.getElementById('clock-read').textContent")
    opened.run(key(","))
    opened.wait(f"Math.abs({TIMES}[0] - 2.5 / 8) < 0.01")
    opened.run("setClock(1.5)")  # beyond the short one, which waits on its last frame
    opened.wait(f"{VIDEOS}.every(v => !v.seeking)")
    assert opened.run(TIMES) == pytest.approx([1.5, 7.5 / 8], abs=0.01)


def test_the_loop_starts_all_again(opened: Any) -> None:
    opened.run(SET.format("clock-speed", "2"))
    opened.run(f"{VIDEOS}[0].addEventListener('ended', () => {{ window.ends = (window.ends ?? 0) + 1; }})")
    opened.run(key("k"))
    opened.wait("window.ends >= 2")
    assert opened.run("clock.playing")
    assert opened.run(f"{VIDEOS}.map(v => v.playbackRate)") == [2, 2]
    opened.run(key("k"))
    assert opened.run(f"!clock.playing && {VIDEOS}.every(v => v.paused)")


def test_keys_can_be_turned_off_and_do_not_act_while_writing(opened: Any) -> None:
    field = "document.getElementById('clips-search')"
    opened.run(f"{field}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'n', bubbles: true}}))")
    assert opened.run("currentScene") == 0
    opened.run("document.getElementById('keys-on').click()")
    opened.run(key("n"))
    assert opened.run("currentScene") == 0
    opened.run("document.getElementById('keys-on').click()")
    opened.run(key("p"))
    assert opened.run("currentScene") == len(PEOPLE) - 1


def test_filters_and_worst_first(opened: Any) -> None:
    everything = opened.run(ROWS)
    for name, value, count in (("identity", "anna", 2), ("group", "men", 4), ("prompt", "prompt 1", 2)):
        opened.run(SET.format(f"clips-{name}", value))
        assert len(opened.run(ROWS)) == count
        opened.run("document.getElementById('clips-clear').click()")
        assert opened.run(ROWS) == everything
    opened.run(SET.format("clips-metric", "id_similarity"))
    opened.run(SET.format("clips-bound", "0.77"))
    assert len(opened.run(ROWS)) == 3
    opened.run(SET.format("clips-side", "above"))
    assert len(opened.run(ROWS)) == 3
    opened.run("document.getElementById('clips-clear').click()")
    opened.run(key("w"))
    worst = opened.run(ROWS)
    assert worst[0].startswith("alpha/carl") and worst[-1].startswith("zeta/anna")
    assert opened.run("document.querySelector('#clips-table th[aria-sort]').dataset.by") == "id_similarity"


def test_models_stand_in_one_order(opened: Any) -> None:
    table = opened.run("[...document.querySelectorAll('#board tbody.measured th')].map(h => h.dataset.key)")
    assert opened.run("[...document.querySelectorAll('.cast figcaption b')].map(b => b.textContent)") == table
    options = "[...document.getElementById('clips-model').options].map(o => o.value).filter(Boolean)"
    assert opened.run(options) == table == list(MODELS)


def test_columns_of_no_model_are_folded_and_unfold(opened: Any) -> None:
    shown = "[...document.querySelectorAll('#board thead th')].filter(h => h.offsetParent).map(h => h.textContent)"
    assert not any("FM ref" in title for title in opened.run(shown))
    assert any("ID similarity" in title for title in opened.run(shown))
    said = "document.querySelector('#leaderboard .unfold').closest('p').firstChild.textContent.trim()"
    assert opened.run(said).startswith("Measured for no model: FM ref")
    opened.run("document.querySelector('#leaderboard .unfold').click()")
    assert any("FM ref" in title for title in opened.run(shown))


def test_companions_and_stills_of_a_clip(opened: Any) -> None:
    companions = "document.querySelector('.cast figure .companions').textContent"
    assert "ID margin" in opened.run(companions) and "0.250" in opened.run(companions)
    opened.run("document.getElementById('clips').scrollIntoView({behavior: 'instant'})")
    opened.wait("[...document.querySelectorAll('.thumbnail')].some(v => v.readyState >= 2 && v.videoWidth === 96)")


@pytest.mark.parametrize("width", [390, 1280, 1440])
def test_nothing_is_wider_than_the_window(opened: Any, width: int) -> None:
    opened.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    opened.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    opened.wait(f"window.innerWidth === {width}")
    assert opened.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing(report: ReportPaths, browser: Any, width: int, scheme: str) -> None:
    pytest.importorskip("axe_playwright_python", reason="only its copy of axe is used: `tox run -e page` has it")
    axe = next(path for path in resources.files("axe_playwright_python").iterdir() if path.name == "axe.min.js")
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", features=features)
    browser.open(report.page)
    browser.wait(LOADED)
    browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    browser.run(f"(() => {{ {axe.read_text(encoding='utf-8')} }})()")
    tags = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}"
    told = "r.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 160)])"
    found = browser.run(f"axe.run(document, {tags}).then(r => {told})")
    assert found == []
