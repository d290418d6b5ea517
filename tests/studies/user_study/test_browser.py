"""Raters in a real browser: two at once, double votes, back, reload, lost connection, no server; and all can use it."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

import uvicorn
from playwright import sync_api as playwright_api

from mmbench.studies.user_study.app import make_app
from mmbench.studies.user_study.design import read_design, read_key
from mmbench.studies.user_study.guard import StudyLimits
from mmbench.studies.user_study.make import NewStudy, new_study
from mmbench.studies.user_study.plan import PlanOptions
from mmbench.studies.user_study.static import export_static, import_votes
from mmbench.studies.user_study.votes import RaterVotes, open_votes
from tests.studies.user_study.conftest import MadeRun

SMALL = PlanOptions(sheets=2, tasks=3, repeats=1, checks=1, seed=3)
LIMITS = StudyLimits(requests=1e6, joins=1e6, votes=1e6)
WIDTHS = ((1440, 900), (390, 844))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Chromium, skipped where there is none."""
    with playwright_api.sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        try:
            opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except playwright_api.Error as cause:
            pytest.skip(f"Chromium cannot be started: {cause}")
        yield opened
        opened.close()


class Served:
    """A study behind a running server, at `address`, with a path in front as a proxy would have it."""

    def __init__(self, study: Path, root_path: str = "") -> None:
        self.study = study
        self.design = read_design(study)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        app = make_app(study, LIMITS, root_path)
        self.server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", access_log=False))
        self.thread = threading.Thread(target=self.server.run)
        self.address = f"http://127.0.0.1:{port}{root_path}/"

    def __enter__(self) -> Served:
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.02)
        return self

    def __exit__(self, *fault: object) -> None:
        self.server.should_exit = True
        self.thread.join()

    def kept(self) -> list[RaterVotes]:
        return open_votes(self.study, self.design).everything()

    def kept_count(self, count: int) -> list[RaterVotes]:
        """What the store holds once it holds so many votes."""
        for _ in range(400):
            if sum(len(one.votes) for one in self.kept()) >= count:
                break
            time.sleep(0.05)
        kept = self.kept()
        assert sum(len(one.votes) for one in kept) == count
        return kept


@pytest.fixture(params=["aspects", "pairs"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def served(tmp_path: Path, make_run: MadeRun, kind: str) -> Iterator[Served]:
    run = make_run(tmp_path / "run", people=2, prompts=1)
    options = NewStudy(kind=kind, plan=SMALL)  # type: ignore[arg-type]
    with Served(new_study([run], tmp_path / "study", options).folder) as running:
        yield running


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context()
    opened = context.new_page()
    opened.set_default_timeout(20_000)
    faults: list[str] = []
    opened.on("pageerror", lambda fault: faults.append(str(fault)))
    yield opened
    context.close()
    assert not faults


def begin(page: Any, address: str) -> None:
    page.goto(address)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("heading", name="1 of 5").wait_for()


def answer(page: Any, choice: int = 0) -> None:
    """Choose on every question; `choice` counts from the left."""
    for group in page.locator("fieldset").all():
        group.locator("input").nth(choice).check()


def at(page: Any, number: int) -> None:
    page.get_by_role("heading", name=f"{number} of 5").wait_for()


def next_task(page: Any) -> None:
    page.wait_for_timeout(300)  # a press right after a task appeared is the second one of a double click
    page.get_by_role("button", name="Next").click()


def vote_through(page: Any, choice: int = 0) -> None:
    for number in range(1, 6):
        at(page, number)
        answer(page, choice)
        next_task(page)
    page.get_by_role("heading", name="Thank you").wait_for()


def value(kind: str, choice: int) -> object:
    return ("left", "tie", "right")[choice] if kind == "pairs" else choice + 1


def test_two_raters_at_once_have_sheets_and_votes_of_their_own(chromium: Any, served: Served, kind: str) -> None:
    contexts = [chromium.new_context() for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        begin(page, served.address)
    for number in range(1, 6):
        for choice, page in enumerate(pages):
            at(page, number)
            answer(page, choice)
            next_task(page)
    for page in pages:
        page.get_by_text("All answers are saved.").wait_for()
        page.get_by_role("heading", name="Thank you").wait_for()
    kept = served.kept_count(10)
    assert sorted(one.sheet for one in kept) == [0, 1]
    for choice, one in enumerate(kept):
        assert [vote.slot for vote in one.votes] == [0, 1, 2, 3, 4]
        assert all(set(vote.answers.values()) == {value(kind, choice)} for vote in one.votes)
    for context in contexts:
        context.close()


def test_a_second_press_is_one_vote(page: Any, served: Served) -> None:
    begin(page, served.address)
    answer(page)
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Next").dblclick()
    at(page, 2)
    page.wait_for_timeout(300)
    page.evaluate("() => { const press = () => document.querySelector('button.main').click(); press(); press(); }")
    at(page, 2)  # nothing was chosen there
    assert "Please answer" in page.locator(".problem").inner_text()
    (one,) = served.kept_count(1)
    assert [(vote.slot, vote.revision) for vote in one.votes] == [(0, 1)]


def test_back_shows_what_was_said_and_a_change_takes_its_place(page: Any, served: Served, kind: str) -> None:
    begin(page, served.address)
    answer(page, 0)
    next_task(page)
    at(page, 2)
    page.go_back()
    at(page, 1)
    assert page.locator("fieldset").first.locator("input").nth(0).is_checked()
    next_task(page)  # unchanged: no new vote
    at(page, 2)
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Back").click()
    at(page, 1)
    answer(page, 2)
    next_task(page)
    at(page, 2)
    page.get_by_text("All answers are saved.").wait_for()
    (one,) = served.kept_count(1)
    assert [(vote.slot, vote.revision, set(vote.answers.values())) for vote in one.votes] == [(0, 2, {value(kind, 2)})]


def test_a_reload_in_the_middle_keeps_place_votes_and_what_was_chosen(page: Any, served: Served) -> None:
    begin(page, served.address)
    answer(page)
    next_task(page)
    at(page, 2)
    page.locator("fieldset").first.locator("input").nth(1).check()
    page.reload()
    at(page, 2)
    assert page.locator("fieldset").first.locator("input").nth(1).is_checked()
    page.goto("about:blank")
    page.goto(served.address)  # the address without a place: the first one that is open
    at(page, 2)
    served.kept_count(1)
    assert len(served.kept()) == 1


def test_a_lost_connection_loses_and_doubles_nothing(page: Any, served: Served) -> None:
    begin(page, served.address)
    page.context.set_offline(True)
    for number in (1, 2):
        at(page, number)
        answer(page)
        next_task(page)
    at(page, 3)
    page.get_by_text("2 answers are kept on this device").wait_for()
    assert not served.kept()[0].votes
    page.context.set_offline(False)
    page.get_by_text("All answers are saved.").wait_for()
    (one,) = served.kept_count(2)
    assert [(vote.slot, vote.revision) for vote in one.votes] == [(0, 1), (1, 1)]


def test_an_answer_that_got_lost_on_the_way_back_is_sent_again_and_kept_once(page: Any, served: Served) -> None:
    begin(page, served.address)
    lost: list[int] = []

    def lose(route: Any) -> None:
        response = route.fetch()  # the server has it, the browser never hears
        lost.append(response.status)
        route.abort() if len(lost) < 3 else route.fulfill(response=response)

    page.route("**/api/votes/*", lose)
    answer(page)
    next_task(page)
    page.get_by_text("All answers are saved.").wait_for()
    assert lost == [200, 200, 200]
    (one,) = served.kept_count(1)
    assert [(vote.slot, vote.revision) for vote in one.votes] == [(0, 1)]


def test_a_reload_before_a_vote_was_sent_still_sends_it(page: Any, served: Served) -> None:
    begin(page, served.address)
    page.route("**/api/votes/*", lambda route: route.abort())
    answer(page)
    next_task(page)
    at(page, 2)
    page.unroute("**/api/votes/*")
    page.reload()
    at(page, 2)
    served.kept_count(1)


def test_two_windows_of_one_rater_count_once(page: Any, served: Served) -> None:
    begin(page, served.address)
    second = page.context.new_page()
    second.goto(served.address)
    at(second, 1)
    for window in (page, second):
        answer(window)
        next_task(window)
        at(window, 2)
    (one,) = served.kept_count(1)
    assert len(one.votes) == 1


def test_leaving_deletes_everything(page: Any, served: Served) -> None:
    begin(page, served.address)
    answer(page)
    next_task(page)
    served.kept_count(1)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete my answers").click()
    page.get_by_text("Your answers are deleted.").wait_for()
    assert served.kept() == []
    page.reload()
    page.get_by_role("button", name="Begin").wait_for()


def test_keys_alone_are_enough(page: Any, served: Served, kind: str) -> None:
    page.goto(served.address)
    page.get_by_role("checkbox").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    at(page, 1)
    for group in page.locator("fieldset").all():
        group.locator("input").first.focus()
        page.keyboard.press("Space")
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    at(page, 2)
    (one,) = served.kept_count(1)
    assert set(one.votes[0].answers.values()) == {value(kind, 1)}


def test_texts_of_strangers_stay_texts(page: Any, tmp_path: Path, make_run: MadeRun) -> None:
    run = make_run(tmp_path / "run", people=2, prompts=1)
    rows = run / "rows" / "0000-0.jsonl"
    bad = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"
    rows.write_text(rows.read_text().replace("A person does thing", bad))
    options = NewStudy(title=bad, consent=bad, plan=SMALL)
    study = new_study([run], tmp_path / "study", options).folder
    with Served(study) as running:
        begin(page, running.address)
        assert bad in page.locator(".prompt").inner_text()
        page.wait_for_timeout(200)
        assert page.evaluate("window.hit") is None
    page.goto(export_static(study, tmp_path / "static").as_uri())
    assert bad in page.locator("main").inner_text()
    assert page.evaluate("window.hit") is None


def test_behind_a_path(page: Any, tmp_path: Path, make_run: MadeRun) -> None:
    run = make_run(tmp_path / "run", people=2, prompts=1)
    with Served(new_study([run], tmp_path / "study", NewStudy(plan=SMALL)).folder, "/lab/study") as running:
        begin(page, running.address.rstrip("/"))
        vote_through(page)
        running.kept_count(5)


def test_clips_play_and_no_request_names_a_model(page: Any, served: Served) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    begin(page, served.address)
    playing = "[...document.querySelectorAll('video')].every((video) => video.videoWidth === 64)"
    for _ in range(100):  # not Playwright's own wait: it evaluates texts in the page, whose policy forbids that
        if page.evaluate(playing):
            break
        page.wait_for_timeout(100)
    assert page.evaluate(playing)
    text = page.content() + " ".join(asked)
    for one in read_key(served.study).stimuli.values():
        assert one.model not in text and one.identity not in text
    assert page.get_by_role("alert").inner_text() == ""


def test_a_folder_without_a_server_and_its_file_of_votes(
    chromium: Any, tmp_path: Path, make_run: MadeRun, kind: str
) -> None:
    run = make_run(tmp_path / "run", people=2, prompts=1)
    study = new_study([run], tmp_path / "study", NewStudy(kind=kind, plan=SMALL)).folder  # type: ignore[arg-type]
    address = export_static(study, tmp_path / "static").as_uri()
    context = chromium.new_context(accept_downloads=True, offline=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    begin(page, address + "#sheet=1")
    page.reload()
    vote_through(page, 1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save my answers as a file").click()
    path = tmp_path / "got.json"
    download.value.save_as(path)
    assert all(url.startswith(("file:", "blob:")) for url in asked)
    for _ in range(2):
        found = import_votes(study, [path])
        assert (found.raters, found.refused) == (1, ())
    (one,) = open_votes(study, read_design(study)).everything()
    assert one.sheet == 1 and [set(vote.answers.values()) for vote in one.votes] == [{value(kind, 1)}] * 5
    context.close()


@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: str(width[0]))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(chromium: Any, served: Served, width: tuple[int, int], scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = chromium.new_context(
        viewport={"width": width[0], "height": width[1]}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()

    def clean() -> None:
        found = axe.run(page).response["violations"]
        assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.goto(served.address)
    page.get_by_role("button", name="Begin").click()
    clean()
    begin(page, served.address)
    clean()
    next_task(page)
    answer(page)
    clean()
    vote_through(page)
    clean()
    context.close()
