"""The page in a real browser: it loads without complaint, sorts, plays, filters, and shows hostile text as text."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmbench.reports.build import ReportPaths, write_report
from mmbench.runs.evaluate.rows import RowError, SetRow
from mmbench.scores import Provenance, Score

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>"
MODEL = 'evil </script> & "model"'


@pytest.fixture
def report(tmp_path: Path, facts: Any, make_row: Any, tiny_clip: Path) -> ReportPaths:
    """Two models (one with a hostile name), four identities, a clip with quotes in its name, a gif, an error row."""
    from PIL import Image

    inputs = tmp_path / "input"
    inputs.mkdir()
    reference = inputs / "face 'one'.png"
    Image.new("RGB", (40, 40), "teal").save(reference)
    gif = inputs / "moving.gif"
    stills = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    stills[0].save(gif, save_all=True, append_images=stills[1:], duration=100)
    rows = []
    for number, identity in enumerate(("anna", "bert", "carl", "dora")):
        for model, similarity in (("plain", 0.90), (MODEL, 0.94)):
            video = gif if (number, model) == (3, "plain") else inputs / f'it\'s "{number}" {len(model)} #1?.mp4'
            if video != gif:
                shutil.copy(tiny_clip, video)
            made_by = Provenance("dlib", {}, {})
            curve = [similarity + 0.01 * (index % 3) for index in range(12)]
            row = make_row(
                model,
                identity,
                video=video,
                references=(reference,),
                prompt=ATTACK if number == 0 else f"prompt {number}",
                dynamic_degree=float(number % 2),
                similarity_decay=0.001 * number,
            )
            detail = {"frames": [*range(11), -1], "similarity": [*curve[:11], None]}
            scores = (*row.scores, Score.ok("id_similarity", similarity + 0.005 * number, made_by, **detail))
            if number == 2:
                scores = (
                    *scores,
                    Score.missing("fm_ref", f"no face in {ATTACK}, see `mmbench <x>`", "Look at the clip."),
                )
            else:
                scores = (*scores, Score.ok("fm_ref", 0.5, made_by, frames=[0, 4, 8], distance=[0.4, 0.5, 0.6]))
            rows.append(replace(row, scores=scores))
    broken = RowError("MediaError", "gone.mp4: truncated", "Mend.")
    rows.append(make_row("plain", "emil", video=inputs / "gone.mp4", error=broken))
    sets = [SetRow("plain", 4, (Score.ok("inception_score", 1.5),))]
    manifest = {"settings": {"backend": ATTACK}, "weights": {"a.dat": "00ff"}, "items": [1, 2]}
    return write_report(rows, sets, facts, tmp_path / "report", record=manifest)


def test_page_in_a_browser(report: ReportPaths, browser: Any, tmp_path: Path) -> None:
    browser.open(report.page)
    browser.wait("document.querySelectorAll('#clips-table tbody tr').length === 9")

    # Hostile text is text, wherever it stands.
    assert browser.run("document.querySelectorAll('script:not([type=\"application/json\"])').length") == 1
    assert browser.run("document.querySelectorAll('img[src=\"x\"]').length") == 0
    assert browser.run("document.querySelector('.prompt').textContent") == ATTACK
    assert browser.run("document.querySelector('#board tbody').textContent.includes('evil </script> & \"model\"')")

    # Commands are set as code, in the notes of the server and of the script alike.
    assert browser.run("document.querySelector('.footnotes code').textContent") == "mmbench <x>"
    assert browser.run("document.querySelector('#clips-table .note code').textContent") == "mmbench <x>"

    # Four identities decide nothing: said once, without the column of conclusions.
    assert browser.run("document.querySelectorAll('#differences .warnings').length") == 1
    assert browser.run("document.querySelector('#differences').textContent.split('are too few').length") == 2
    assert browser.run("document.querySelectorAll('#differences td.text').length") == 0

    # Sorting: best first, then the other way round; names too.
    names = "[...document.querySelectorAll('#board tbody.measured tr')].map(r => r.cells[0].dataset.key)"
    click = "[...document.querySelectorAll('#board thead button')].find(b => b.textContent.startsWith('{}')).click()"
    browser.run(click.format("ID similarity"))
    assert browser.run(names) == [MODEL, "plain"]
    browser.run(click.format("ID similarity"))
    assert browser.run(names) == ["plain", MODEL]
    assert browser.run("document.querySelectorAll('#board th[aria-sort]').length") == 1
    browser.run(click.format("Inception score"))  # only "plain" has one: the missing cell is last in both directions
    assert browser.run(names)[-1] == MODEL
    browser.run(click.format("Inception score"))
    assert browser.run(names)[-1] == MODEL

    # Videos load and play, the reference is a picture with pixels, curves are drawn with their gap.
    browser.wait("[...document.querySelectorAll('#scene video')].every(v => v.readyState >= 1)")
    assert browser.run("[...document.querySelectorAll('#scene video')].map(v => v.videoWidth)") == [96, 96]
    browser.run("document.getElementById('scene').scrollIntoView({behavior: 'instant'})")
    browser.wait("document.querySelector('.references img').naturalWidth === 40")
    assert browser.run("document.querySelectorAll('.charts path.curve').length") == 4
    browser.run("document.getElementById('scene-play').click()")
    browser.wait("[...document.querySelectorAll('#scene video')].every(v => v.currentTime > 0)")
    browser.wait("document.querySelector('.playhead').getAttribute('visibility') === 'visible'")

    # The gif is an image; the error row stands in its scene and in the table with its reason.
    browser.run("showScene(3)")
    browser.wait("[...document.querySelectorAll('.cast img')].some(i => i.naturalWidth === 32)")
    browser.run("showScene(-1)")
    assert "gone.mp4: truncated" in browser.run("document.querySelector('.cast').textContent")

    # Filters.
    rows = "[...document.querySelectorAll('#clips-table tbody tr')].map(r => r.textContent)"
    pick = "(e => {{ e.value = '{1}'; e.dispatchEvent(new Event('input')); }})(document.getElementById('{0}'))"
    browser.run(pick.format("clips-status", "error"))
    shown = browser.run(rows)
    assert len(shown) == 1
    assert "gone.mp4: truncated" in shown[0] and "Mend." in shown[0]
    browser.run(pick.format("clips-status", ""))
    browser.run(pick.format("clips-search", "no face"))
    assert len(browser.run(rows)) == 2
    browser.run(pick.format("clips-search", ""))
    browser.run(pick.format("clips-identity", "bert"))
    assert len(browser.run(rows)) == 2

    # Plots kept their colours under the security policy, and nobody complained.
    stroke = "getComputedStyle(document.querySelector('.plots svg path[style*=\"stroke: #\"]')).stroke"
    assert browser.run(stroke) not in ("none", "")
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000
    assert browser.complaints == []


def test_policy_stops_foreign_scripts(report: ReportPaths, browser: Any) -> None:
    """Second line of defence: even if some text slipped through as markup, it could not run."""
    browser.open(report.page)
    browser.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.hacked = 1'; "
        "document.body.append(s); document.body.insertAdjacentHTML('beforeend', "
        "'<img src=x onerror=\"window.hacked = 2\">'); })()"
    )
    browser.wait("true")
    assert browser.run("window.hacked === undefined")
    assert any("Content Security Policy" in complaint for complaint in browser.complaints)
