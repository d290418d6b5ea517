"""The server: own answers alone, twice is once, hostile requests are refused, and nothing tells a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient

from mmbench.errors import ManifestError
from mmbench.studies.user_study.app import make_app
from mmbench.studies.user_study.design import read_design
from mmbench.studies.user_study.guard import RateLimit, StudyLimits, address_of
from mmbench.studies.user_study.make import NewStudy, new_study
from mmbench.studies.user_study.plan import PlanOptions
from mmbench.studies.user_study.serve import ServeOptions, check_media, serve_study
from tests.studies.user_study.conftest import MadeRun

SMALL = PlanOptions(sheets=3, tasks=5, repeats=1, checks=1, seed=3)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, make_run: MadeRun) -> Path:
    folder = tmp_path_factory.mktemp("study")
    return new_study([make_run(folder / "run")], folder / "study", NewStudy(kind="pairs", plan=SMALL)).folder


@pytest.fixture
def client(study: Path) -> TestClient:
    return TestClient(make_app(study))


def joined(client: TestClient) -> dict[str, str]:
    answer = client.post("/api/raters", json={"consent": True})
    assert answer.status_code == 201
    return {"authorization": f"Bearer {answer.json()['token']}"}


def put(client: TestClient, who: dict[str, str], slot: int, side: str, revision: int = 1) -> Any:
    sent = {"revision": revision, "answers": {"overall": side}, "seconds": 1.5}
    return client.put(f"/api/votes/{slot}", json=sent, headers=who)


def test_a_rater_joins_votes_changes_their_mind_and_reads_it_back(client: TestClient) -> None:
    who = joined(client)
    tasks = client.get("/api/sheet", headers=who).json()["tasks"]
    assert len(tasks) == 7
    assert put(client, who, 2, "left").json() == {"slot": 2, "revision": 1, "answers": {"overall": "left"}}
    assert put(client, who, 2, "right").json()["answers"] == {"overall": "left"}  # the same revision: sent twice
    assert put(client, who, 2, "right", 2).json()["answers"] == {"overall": "right"}
    assert put(client, who, 2, "left", 1).json()["answers"] == {"overall": "right"}  # came late
    assert client.get("/api/sheet", headers=who).json()["votes"] == [
        {"slot": 2, "revision": 2, "answers": {"overall": "right"}}
    ]


def test_two_raters_do_not_see_each_other(client: TestClient) -> None:
    first, second = joined(client), joined(client)
    put(client, first, 0, "left")
    assert client.get("/api/sheet", headers=second).json()["votes"] == []


def test_no_answer_names_a_model(study: Path, client: TestClient) -> None:
    who = joined(client)
    sheet = client.get("/api/sheet", headers=who)
    texts = [client.get(path).text for path in ("/", "/study.js", "/study.css", "/api/study")] + [sheet.text]
    clip = sheet.json()["tasks"][0]["clips"][0]
    media = client.get(f"/media/{clip}")
    assert media.status_code == 200 and media.headers["content-type"] == "video/mp4"
    assert client.get(f"/media/{clip}", headers={"range": "bytes=0-99"}).status_code == 206
    heads = " ".join(f"{name}: {value}" for name, value in media.headers.items())
    assert media.headers["last-modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    for word in ("Alpha", "beta", "Gamma", "person-", str(study)):
        assert not any(word in text for text in (*texts, heads))
    assert "tasks" not in client.get("/api/study").json()  # sheets of others are nobody's business


def test_without_consent_or_token_nothing_is_given(client: TestClient) -> None:
    assert client.post("/api/raters", json={"consent": False}).status_code == 403
    for value in ("", "Bearer ", "Bearer nobody", "Basic abc", "Bearer " + "x" * 100, "Bearer ' OR 1=1 --"):
        headers = {"authorization": value} if value else {}
        assert client.get("/api/sheet", headers=headers).status_code == 401
        assert client.delete("/api/rater", headers=headers).status_code == 401
        assert put(client, headers, 0, "left").status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/media/../key.json",
        "/media/..%2fkey.json",
        "/media/%2e%2e/key.json",
        "/media/..%5ckey.json",
        "/media/key.json",
        "/media/" + "0" * 32 + ".mp4",
        "/media/%00",
        "/key.json",
        "/study.json",
        "/votes.sqlite",
        "/invitations.csv",
        "/..%2fkey.json",
        "//etc/passwd",
        "/openapi.json",
        "/docs",
        "/media/",
    ],
)
def test_paths_lead_nowhere(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (404, 405)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        [],
        {"revision": 1, "answers": {"overall": "left"}},
        {"revision": 0, "answers": {"overall": "left"}, "seconds": 1},
        {"revision": 1.5, "answers": {"overall": "left"}, "seconds": 1},
        {"revision": True, "answers": {"overall": "left"}, "seconds": 1},
        {"revision": 10**30, "answers": {"overall": "left"}, "seconds": 1},
        {"revision": 1, "answers": {"overall": "middle"}, "seconds": 1},
        {"revision": 1, "answers": {"overall": 5}, "seconds": 1},
        {"revision": 1, "answers": {"overall": None}, "seconds": 1},
        {"revision": 1, "answers": {"overall": ["left"]}, "seconds": 1},
        {"revision": 1, "answers": {"quality": "left"}, "seconds": 1},
        {"revision": 1, "answers": {"overall": "left", "more": "left"}, "seconds": 1},
        {"revision": 1, "answers": {"overall": "left"}, "seconds": -1},
        {"revision": 1, "answers": {"overall": "left"}, "seconds": 1e9},
        {"revision": 1, "answers": {"overall": "left"}, "seconds": "1"},
        {"revision": 1, "answers": {"overall": "left"}, "seconds": 1, "rater": 1},
        {"revision": 1, "answers": {"<script>alert(1)</script>": "left"}, "seconds": 1},
    ],
)
def test_votes_of_another_form_are_refused_and_not_repeated(client: TestClient, sent: object) -> None:
    who = joined(client)
    answer = client.put("/api/votes/0", json=sent, headers=who)
    assert answer.status_code == 422
    assert "script" not in answer.text
    assert client.get("/api/sheet", headers=who).json()["votes"] == []


def test_bodies_that_are_no_json_too_deep_too_long_or_unannounced(client: TestClient) -> None:
    who = joined(client)
    for body in (b"", b"{", b"\xff\xfe", b"[" * 8000, b'{"revision": NaN}', b'{"seconds": Infinity}'):
        headers = who | {"content-type": "application/json"}
        assert client.put("/api/votes/0", content=body, headers=headers).status_code in (400, 422)
    assert client.put("/api/votes/0", content=b"x" * 20_000, headers=who).status_code == 413
    assert client.put("/api/votes/0", content=(b"x" * 1000 for _ in range(40)), headers=who).status_code == 413
    good = json.dumps({"revision": 1, "answers": {"overall": "left"}, "seconds": 1})
    # What a form on another site can send without asking: neither its type nor its lack of a token is taken.
    assert client.put("/api/votes/0", content=good, headers={"content-type": "text/plain"}).status_code in (401, 422)
    assert client.post("/api/raters", data={"consent": "true"}).status_code == 422


@pytest.mark.parametrize("slot", ["-1", "7", "99999999999999999999", "0.5", "x", "%00"])
def test_places_that_are_none(client: TestClient, slot: str) -> None:
    sent = {"revision": 1, "answers": {"overall": "left"}, "seconds": 1}
    assert client.put(f"/api/votes/{slot}", json=sent, headers=joined(client)).status_code in (404, 422)


def test_no_cookie_and_strict_headers_also_on_refusals(client: TestClient) -> None:
    for answer in (client.get("/"), client.get("/api/study"), client.get("/nothing"), client.get("/api/sheet")):
        assert "set-cookie" not in answer.headers
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers
    assert client.get("/api/study").headers["cache-control"] == "no-store"


def test_a_rater_can_leave_and_take_everything_along(client: TestClient) -> None:
    who = joined(client)
    put(client, who, 0, "left")
    assert client.delete("/api/rater", headers=who).json() == {"deleted": True}
    assert client.get("/api/sheet", headers=who).status_code == 401


def test_who_asks_too_often_waits(study: Path) -> None:
    client = TestClient(make_app(study, StudyLimits(joins=2, votes=3)))
    who = joined(client)
    joined(client)
    refused = client.post("/api/raters", json={"consent": True})
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0
    codes = [put(client, who, slot, "left").status_code for slot in range(4)]
    assert codes == [200, 200, 200, 429]
    few = TestClient(make_app(study, StudyLimits(requests=2)))
    assert [few.get("/api/study").status_code for _ in range(3)] == [200, 200, 429]


def test_a_limiter_fills_again_and_forgets_who_was_long_silent() -> None:
    now = [0.0]
    limit = RateLimit(60, lambda: now[0])
    assert not any(limit.wait("a") for _ in range(60))
    assert limit.wait("a") == pytest.approx(1.0)
    now[0] += 1.0
    assert limit.wait("a") == 0.0
    for number in range(20_100):
        limit.wait(str(number))
    assert limit.wait("a") == 0.0


def test_invited_raters_alone(tmp_path: Path, make_run: MadeRun) -> None:
    made = new_study([make_run(tmp_path / "run", people=1)], tmp_path / "study", NewStudy(plan=SMALL, invited=True))
    assert made.invitations is not None
    links = [line.split("=")[1] for line in made.invitations.read_text().splitlines()[1:]]
    client = TestClient(make_app(made.folder))
    assert client.post("/api/raters", json={"consent": True}).status_code == 403
    assert client.post("/api/raters", json={"consent": True, "invitation": "x" * 20}).status_code == 403
    tokens = {client.post("/api/raters", json={"consent": True, "invitation": links[2]}).json()["token"] for _ in "ab"}
    assert tokens == {links[2]}  # the same link on another device goes on
    sheet = client.get("/api/sheet", headers={"authorization": f"Bearer {links[2]}"}).json()["tasks"]
    design = read_design(made.folder)
    assert [one["clips"] for one in sheet] == [list(design.tasks[place].clips) for place in design.sheets[2]]


@pytest.mark.parametrize("cut", [True, False])
def test_behind_a_proxy_that_cuts_the_path_or_leaves_it(study: Path, cut: bool) -> None:
    client = TestClient(make_app(study, root_path="/lab/study"))
    before = "" if cut else "/lab/study"
    assert client.get(f"{before}/").status_code == 200
    assert client.get("/lab/study").url.path == "/lab/study/"
    assert client.get(f"{before}/study.js").status_code == 200
    who = {"authorization": f"Bearer {client.post(f'{before}/api/raters', json={'consent': True}).json()['token']}"}
    sheet = client.get(f"{before}/api/sheet", headers=who).json()["tasks"]
    assert client.get(f"{before}/media/{sheet[0]['clips'][0]}").status_code == 200


def test_a_folder_that_is_no_study_or_lacks_clips_is_told_before_it_opens(study: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        make_app(tmp_path)
    with pytest.raises(ManifestError, match="root path"):
        serve_study(study, ServeOptions(root_path="javascript:alert(1)"))
    (tmp_path / "study.json").write_bytes((study / "study.json").read_bytes())
    with pytest.raises(ManifestError, match=r"lacks [0-9a-f]{32}.*more"):
        check_media(tmp_path)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_all_addresses_of_one_network_share_a_limit(address: str, counted: str) -> None:
    assert address_of({"type": "http", "client": (address, 1)}) == counted


def test_letters_that_are_no_text_are_refused(client: TestClient) -> None:
    who = joined(client) | {"content-type": "application/json"}
    for answers in (b'{"overall": "\\ud800"}', b'{"\\ud800": "left"}'):
        body = b'{"revision": 1, "seconds": 1.0, "answers": ' + answers + b"}"
        assert client.put("/api/votes/0", content=body, headers=who).status_code in (400, 422)
    body = b'{"consent": true, "invitation": "\\ud800"}'
    assert client.post("/api/raters", content=body, headers=who).status_code in (400, 422)


def test_a_clip_that_is_a_link_is_told_before_it_opens(tmp_path: Path, make_run: MadeRun) -> None:
    folder = new_study([make_run(tmp_path / "run")], tmp_path / "study", NewStudy(plan=SMALL)).folder
    clip = next((folder / "media").glob("*.mp4"))
    clip.rename(tmp_path / "elsewhere.mp4")
    clip.symlink_to(tmp_path / "elsewhere.mp4")
    with pytest.raises(ManifestError, match=clip.name):
        check_media(folder)
