"""The PubFig importer against a server with good, dead, slow, oversized, changed, non-picture and redirecting links."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from mmbench.errors import ManifestError
from mmbench.testsets import load_testset
from mmbench.testsets.pubfig50.build import Coverage, build_pubfig50, describe, read_plan
from mmbench.testsets.pubfig50.picture_list import candidates, read_list
from mmbench.testsets.pubfig50.references import CropRule, fetch_references
from mmbench.weights.http import Limits

RULE = CropRule(min_face=100, max_tries=20, margin=0.25, min_crop=120)
QUICK = Limits(max_bytes=200_000, plain_http=True, total_seconds=1.0, read_seconds=1.0, attempts=1)


def fetch(listing: Path, wanted: int, folder: Path):
    entries, _ = read_list(listing)
    return fetch_references("x", candidates(entries, "Ada", 100, 20), wanted, RULE, folder, QUICK)


def test_good_links_become_crops(write_list, tmp_path):
    found, attempts = fetch(write_list([("Ada", 3, "/good/3"), ("Ada", 1, "/good/1")]), 2, tmp_path)
    assert [reference.image for reference in found] == ["1", "3"]
    assert [reference.file for reference in found] == ["references/x_1.png", "references/x_2.png"]
    assert all(not attempt.failure for attempt in attempts)
    with Image.open(tmp_path / found[0].file) as crop:
        # box 100,60,260,220: 160 pixels and a quarter of that on each side
        assert crop.size == (240, 240)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/dead/1", "410"),
        ("/slow/1", "not finished in"),
        ("/huge/1", "at most 200000"),
        ("/html/1", "changed"),
        ("/loop/1", "redirects"),
        ("/scheme/1", "only https"),
    ],
)
def test_bad_link_is_replaced_by_the_next_picture(write_list, tmp_path, path, words):
    listing = write_list([("Ada", 1, path), ("Ada", 2, "/good/2"), ("Ada", 5, "/good/5")])
    found, attempts = fetch(listing, 1, tmp_path)
    assert [reference.image for reference in found] == ["2"]
    assert words in attempts[0].failure
    assert attempts[1].failure == ""
    assert len(attempts) == 2, "pictures after the last one needed are not asked for"


def test_wrong_md5_is_replaced_and_not_kept(write_list, tmp_path):
    listing = write_list([("Ada", 1, "/good/1", "100,60,260,220", "0" * 32), ("Ada", 2, "/good/2")])
    found, attempts = fetch(listing, 1, tmp_path)
    assert [reference.image for reference in found] == ["2"]
    assert "changed (md5" in attempts[0].failure
    assert not (tmp_path / "originals" / ("0" * 32)).exists()


def test_right_md5_of_something_that_is_no_picture(write_list, tmp_path):
    import hashlib

    page = hashlib.md5(b"<html>This picture was removed</html>").hexdigest()
    listing = write_list([("Ada", 1, "/html/1", "100,60,260,220", page), ("Ada", 2, "/good/2")])
    found, attempts = fetch(listing, 1, tmp_path)
    assert "not a picture" in attempts[0].failure
    assert len(found) == 1


def test_redirect_is_followed(write_list, tmp_path):
    found, _ = fetch(write_list([("Ada", 7, "/redirect/7")]), 1, tmp_path)
    assert [reference.image for reference in found] == ["7"]


def test_face_outside_the_picture_is_replaced(write_list, tmp_path):
    listing = write_list([("Ada", 1, "/good/1", "300,200,460,360"), ("Ada", 2, "/good/2")])
    found, attempts = fetch(listing, 1, tmp_path)
    assert "outside the 400x300 picture" in attempts[0].failure
    assert found[0].image == "2"


def test_dead_host_is_asked_once(write_list, tmp_path, monkeypatch):
    listing = write_list([("Ada", 1, "/good/1"), ("Ada", 2, "/good/2")])
    gone = listing.read_text().replace("http://127.0.0.1", "http://pictures.invalid")
    listing.write_text(gone + (listing.read_text().splitlines()[-1].replace("Ada\t2", "Ada\t3") + "\n"))
    entries, _ = read_list(listing)
    dead: set[str] = set()
    found, attempts = fetch_references("x", entries, 1, RULE, tmp_path, QUICK, None, dead)
    assert [reference.image for reference in found] == ["3"]
    assert ["host pictures.invalid is not known" in attempt.failure for attempt in attempts] == [True, True, False]
    assert dead == {"pictures.invalid"}


def test_picture_without_a_face_is_replaced(write_list, tmp_path):
    listing = write_list([("Ada", 1, "/good/1"), ("Ada", 2, "/good/2"), ("Ada", 3, "/good/3")])
    entries, _ = read_list(listing)
    seen = []

    def every_second(picture) -> bool:
        seen.append(picture.shape)
        return len(seen) % 2 == 0

    found, attempts = fetch_references("x", entries, 1, RULE, tmp_path, QUICK, every_second)
    assert [reference.image for reference in found] == ["2"]
    assert "no face" in attempts[0].failure
    assert seen == [(240, 240, 3)] * 2


def test_second_build_fetches_only_what_is_missing(write_list, tmp_path, pictures):
    listing = write_list([("Ada", 1, "/dead/1"), ("Ada", 2, "/good/2")])
    first, _ = fetch(listing, 1, tmp_path)
    pictures.requests.clear()
    second, _ = fetch(listing, 1, tmp_path)
    assert second == first
    assert pictures.requests == ["/dead/1"]


def test_list_lines_that_cannot_be_used_are_noted(tmp_path):
    file = tmp_path / "dev_urls.txt"
    good = "Ada\t1\thttp://a/b.jpg\t1,2,203,204\t" + "a" * 32
    bad = ["Ada\t2\thttp://a/b.jpg\t1,2,3,4\tshort", "Ada", "Ada\tx\thttp://a\t1,2,3,4\t" + "a" * 32]
    bad += ["Ada\t3\tfile:///etc/passwd\t1,2,3,4\t" + "a" * 32, "Ada\t3\thttp://a\t9,2,3,4\t" + "a" * 32]
    bad += [
        f"Ada\t3\t{url}\t1,2,3,4\t{'a' * 32}" for url in ("http://[::1", "http://a:x/b", "http:///b", "http://a b/c")
    ]
    bad += [f"Ada\t²\thttp://a/b\t1,2,3,4\t{'a' * 32}", f"Ada\t3\thttp://a/b\t1,2,٣,4\t{'a' * 32}"]
    file.write_text("\n".join(["# head", good, *bad]) + "\n", encoding="utf-8")
    entries, notes = read_list(file)
    assert [entry.image for entry in entries] == [1]
    assert [int(note.split("line ")[1].split(":")[0]) for note in notes] == list(range(3, 14))
    file.write_text(good.replace("a" * 32, "AB" * 16))
    assert read_list(file)[0][0].md5 == "ab" * 16
    file.write_text("no list at all\n")
    with pytest.raises(ManifestError, match=r"dev_urls\.txt"):
        read_list(file)


def test_candidates_follow_image_numbers_and_face_size(tmp_path):
    file = tmp_path / "dev_urls.txt"
    lines = [
        f"A. Da\t{n}\thttp://a/{n}.jpg\t0,0,{w},{w}\t{'a' * 32}" for n, w in ((9, 150), (2, 100), (4, 99), (2, 400))
    ]
    file.write_text("\n".join(lines) + "\n")
    entries, _ = read_list(file)
    assert [entry.image for entry in candidates(entries, "ada", 100, 10)] == [2, 9]
    assert [entry.image for entry in candidates(entries, "ada", 100, 1)] == [2]
    assert candidates(entries, "adam", 100, 10) == []
    assert [entry.image for entry in candidates(entries, "\u00c1d\u00e3", 100, 10)] == [2, 9], (
        "accents are no difference"
    )


@pytest.fixture(scope="module")
def built(write_list, tmp_path_factory, vbench_prompts, make_picture) -> tuple[Path, Coverage]:
    """All people of the plan but one with some dead links, two own children, one baby."""
    tmp_path = tmp_path_factory.mktemp("pubfig")
    rows: list[tuple] = []
    for number, slot in enumerate(slot for slot in read_plan().slots if slot.person):
        if slot.id == "woman_03":
            rows.append((slot.person, 1, f"/dead/{number}"))
            continue
        kinds = ["dead", "good", "redirect", "html", "good", "good"] if number % 3 else ["good"] * 4
        rows += [(slot.person, i + 1, f"/{kind}/{100 * number + i}") for i, kind in enumerate(kinds)]
    own = tmp_path / "own" / "manifest.csv"
    own.parent.mkdir()
    lines = ["identity,file,box,licence"]
    for name in ("boy_01", "girl_02", "baby_01"):
        (own.parent / f"{name}.jpg").write_bytes(make_picture(len(lines)))
        lines.append(f'{name},{name}.jpg,"100,60,260,220",public domain')
    own.write_text("\n".join(lines) + "\n")
    out = tmp_path / "set"
    coverage = build_pubfig50(out, [write_list(rows)], own, vbench_prompts, workers=4, limits=QUICK)
    return out, coverage


def test_build_gives_a_set_that_loads(built):
    folder, coverage = built
    testset = load_testset(folder)
    assert len(testset.identities) == 30 - 1 + 3
    assert testset.size == 4 * len(testset.identities)
    assert set(coverage.lacking) >= {"woman_03", "boy_02", "baby_06"}
    assert "woman_03" not in {identity.id for identity in testset.identities}
    by_name = {identity.id: identity for identity in testset.identities}
    assert len(by_name["man_01"].references) == 4
    assert len(by_name["boy_01"].references) == 1
    for identity in testset.identities:
        for prompt in identity.prompts:
            assert f"{identity.group} img" in prompt.short


def test_coverage_says_what_lacks_and_why(built):
    folder, coverage = built
    text = "\n".join(describe(coverage))
    assert "none: woman_03" in text
    assert "410" in text
    report = json.loads((folder / "coverage.json").read_text())
    assert report["found"]["man_01"] == 4
    assert len(report["lists"]["dev_urls.txt"]) == 64
    assert any("of 16336 lines: an incomplete copy" in note for note in report["notes"])
    assert {failure["identity"] for failure in report["failures"]} >= {"woman_03"}
    rows = list(csv.DictReader((folder / "references.csv").open()))
    assert len(rows) == sum(coverage.found.values())
    assert all(row["md5"] and row["image"] for row in rows if row["person"])


def test_identities_keep_their_prompts_whoever_else_lacks(built, tmp_path, vbench_prompts, write_list):
    folder, _ = built
    rows = [("Barack Obama", 1, "/good/1")]
    build_pubfig50(tmp_path / "one", [write_list(rows, "other.txt")], None, vbench_prompts, limits=QUICK)
    (alone,) = load_testset(tmp_path / "one").identities
    (same,) = (identity for identity in load_testset(folder).identities if identity.id == alone.id)
    assert same.prompts == alone.prompts


def test_nothing_to_build_from_is_an_error(tmp_path, vbench_prompts):
    with pytest.raises(ManifestError, match="No identity has a picture"):
        build_pubfig50(tmp_path / "set", [], None, vbench_prompts, limits=QUICK)


def test_an_own_picture_that_cannot_be_used_is_told_and_the_next_takes_its_place(
    tmp_path, make_picture, vbench_prompts
):
    own = tmp_path / "own"
    own.mkdir()
    (own / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (own / "empty.jpg").write_bytes(b"")
    (own / "good.jpg").write_bytes(make_picture(1))
    lines = [
        "identity,file,box",
        "boy_01,broken.jpg,",
        'boy_01,good.jpg,"1,2,3"',
        "boy_01,good.jpg,",
        "girl_01,empty.jpg,",
    ]
    (own / "m.csv").write_text("\n".join(lines) + "\n")
    coverage = build_pubfig50(tmp_path / "set", [], own / "m.csv", vbench_prompts, limits=QUICK)
    assert (coverage.found["boy_01"], coverage.found["girl_01"]) == (1, 0)
    told = {
        Path(failure["url"]).name for failure in json.loads((tmp_path / "set/coverage.json").read_text())["failures"]
    }
    assert told == {"broken.jpg", "good.jpg", "empty.jpg"}
    assert "is no box" in "\n".join(describe(coverage))


def test_unknown_own_identity_is_an_error(tmp_path, make_picture):
    (tmp_path / "a.jpg").write_bytes(make_picture(1))
    (tmp_path / "own.csv").write_text("identity,file\nbob,a.jpg\n")
    with pytest.raises(ManifestError, match="bob"):
        build_pubfig50(tmp_path / "set", [], tmp_path / "own.csv", limits=QUICK)


def test_a_redirect_to_a_dead_host_silences_that_host_alone(write_list, tmp_path, monkeypatch):
    import mmbench.testsets.pubfig50.references as module
    from mmbench.weights.http import UnknownHost

    entries, _ = read_list(write_list([("Ada", 1, "/good/1"), ("Ada", 2, "/good/2")]))
    fetch = module.download

    def leads_astray(url, target, limits):
        if url.endswith("/good/1"):
            error = UnknownHost(f"{url}: the host gone.invalid is not known.")
            error.host = "gone.invalid"
            raise error
        fetch(url, target, limits)

    monkeypatch.setattr(module, "download", leads_astray)
    dead: set[str] = set()
    found, attempts = fetch_references("x", entries, 1, RULE, tmp_path, QUICK, None, dead)
    assert [reference.image for reference in found] == ["2"]
    assert dead == {"gone.invalid"}
    assert "gone.invalid" in attempts[0].failure


def test_a_fault_of_one_line_is_that_lines_alone(write_list, tmp_path, monkeypatch):
    import mmbench.testsets.pubfig50.references as module

    entries, _ = read_list(write_list([("Ada", 1, "/good/1"), ("Ada", 2, "/good/2")]))
    fetch = module.download

    def stumbles(url, target, limits):
        if url.endswith("/good/1"):
            raise UnicodeError("label too long")
        fetch(url, target, limits)

    monkeypatch.setattr(module, "download", stumbles)
    found, attempts = fetch_references("x", entries, 1, RULE, tmp_path, QUICK)
    assert [reference.image for reference in found] == ["2"]
    assert attempts[0].failure.endswith("/good/1: label too long.")
