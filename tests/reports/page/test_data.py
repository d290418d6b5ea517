"""The page's data: what the views say, in pieces where they are many, from disk and from a plain web server."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmbench.reports.build import ReportPaths, write_report
from mmbench.reports.page import data as page_data_module
from mmbench.reports.page.clips import ClipView, SceneView, ScoreView
from mmbench.reports.page.curves import FrameCurve
from mmbench.reports.page.data import CLIPS_OF_A_PIECE, page_data
from mmbench.reports.page.media import Media
from mmbench.scores import Score

PEOPLE, MODELS = 120, ("one", "two")
CURVES = "document.querySelectorAll('.charts figure').length"


def _view(number: int, scores: dict[str, ScoreView]) -> ClipView:
    curve = FrameCurve("id_similarity", "Similarity", "similarity", (0, 1), (0.5, number / 1000))
    return ClipView(
        id=f"clip {number}",
        model=MODELS[number % 2],
        identity=f"p{number // 2}",
        group="",
        prompt="</script><b>&",
        prompt_index=0,
        seed=None,
        file=f"{number}.mp4",
        geometry="1 frame",
        frames=1,
        width=2,
        height=3,
        status="measured",
        error="",
        remedy="",
        warnings=("one", "two"),
        random_weights=False,
        media=Media("none", note="gone"),
        scores=scores,
        curves=(curve,),
    )


def test_nothing_is_lost_and_texts_stand_once(facts: Any) -> None:
    rng = np.random.default_rng(0)
    clips = [
        _view(
            number,
            {
                "id_similarity": ScoreView(float(rng.random())),
                "fm_ref": ScoreView(None, "no face", "look"),
                "id_margin": ScoreView(float(rng.random()), random_weights=True),
            },
        )
        for number in range(3 * CLIPS_OF_A_PIECE)
    ]
    scenes = [SceneView(f"p{k}", "", (), None, (2 * k, 2 * k + 1)) for k in range(len(clips) // 2)]
    found = page_data(clips, scenes, {"one": "#111", "two": "#222"}, list(facts.values()), ["id_similarity", "fm_ref"])
    assert "<" not in found.main
    main = json.loads(found.main)
    texts, pieces = main["texts"], [json.loads(piece) for piece in found.pieces]
    assert len(set(texts)) == len(texts) < len(clips)  # people's names and a few more
    assert len(pieces) == 3
    for scene in main["scenes"]:
        for place in scene["clips"]:
            clip, listed, rest = clips[place], main["clips"][place], pieces[scene["piece"]][str(place)]
            assert (listed[0], texts[listed[1]], texts[listed[4]]) == (clip.id, clip.model, clip.prompt)
            assert listed[16][0] == clip.scores["id_similarity"].value
            assert [texts[at] for at in listed[16][1]] == ["no face", "look"]
            assert rest["scores"] == {"id_margin": vars(clip.scores["id_margin"])}
            assert rest["curves"][0]["values"] == [0.5, round(place / 1000, 4)]


@pytest.fixture
def large(tmp_path: Path, facts: Any, make_row: Any, monkeypatch: pytest.MonkeyPatch) -> ReportPaths:
    """A report of which the pieces lie beside the page, as if it were large."""
    monkeypatch.setattr(page_data_module, "LARGEST_WITHIN", 0)
    rows = [
        make_row(
            model,
            f"p{person:03d}",
            video=tmp_path / "gone.mp4",
            id_similarity=Score.ok("id_similarity", 0.9 - person / 1000, frames=[0, 4, 8], similarity=[0.9, 0.8, 0.7]),
            id_margin=0.1,
        )
        for model in MODELS
        for person in range(PEOPLE)
    ]
    return write_report(rows, [], facts, tmp_path / "report")


def test_pieces_are_files_of_the_report(large: ReportPaths, facts: Any, make_row: Any, tmp_path: Path) -> None:
    pieces = sorted((large.page.parent / "media").glob("clips-*.js"))
    assert len(pieces) == 2
    assert not re.search(r'id="piece-\d', large.page.read_text(encoding="utf-8"))
    foreign = large.page.parent / "media" / "mine.js"
    foreign.write_text("mine", encoding="utf-8")
    write_report([make_row("one", "p0", id_similarity=0.5)], [], facts, large.page.parent)
    assert sorted(path.name for path in (large.page.parent / "media").glob("*.js")) == ["clips-0.js", "mine.js"]


def _shows_its_curves(browser: Any) -> None:
    browser.wait(f"{CURVES} === 1")
    assert browser.run("document.querySelectorAll('.cast details.companions').length") == 2
    browser.run("showScene(data.scenes.length - 1)")
    browser.wait(f"pieces.size === 2 && {CURVES} === 1")
    browser.run("turnScene(1)")  # back to the first piece, which is here
    assert browser.run(CURVES) == 1


def test_from_disk(large: ReportPaths, browser: Any) -> None:
    browser.open(large.page)
    _shows_its_curves(browser)
    assert browser.complaints == []


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a plain web server that shows the test's folder one level down, as Pages and Spaces do."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_from_a_web_server_under_a_path(large: ReportPaths, browser: Any, served: str) -> None:
    browser.call("Page.navigate", url=f"{served}/report/")
    browser.wait("document.readyState === 'complete' && typeof data !== 'undefined'")
    assert browser.run("location.protocol") == "http:"
    _shows_its_curves(browser)
    own = f"network request: {served}/report/"
    assert [complaint for complaint in browser.complaints if not complaint.startswith(own)] == []


def test_a_piece_that_is_gone_is_told(large: ReportPaths, browser: Any) -> None:
    for piece in (large.page.parent / "media").glob("*.js"):
        piece.unlink()
    browser.open(large.page)
    browser.wait("document.querySelector('.charts .warnings') !== null")
    assert browser.run("document.querySelectorAll('.cast figure').length") == 2  # the rest of the scene is there
