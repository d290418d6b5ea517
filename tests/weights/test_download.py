"""Downloads against a server with faults: a whole and right file arrives, or none and the error says why."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmbench.errors import MMBenchError, WeightsError
from mmbench.weights.cache import cached_file, read_record
from mmbench.weights.download import OfflineError, get
from mmbench.weights.http import DownloadError, Limits, check_address
from mmbench.weights.registry import WeightFile

BODY = b"\x80\x02" + bytes(range(256)) * 4000  # begins as a pickle does
QUICK = Limits(max_bytes=len(BODY), read_seconds=2, pause_seconds=0.01)


def entry(url: str, **changes: object) -> WeightFile:
    facts: dict[str, object] = {
        "name": "net",
        "kind": "torch",
        "licence": "CC0-1.0",
        "urls": (url,),
        "size": len(BODY),
        "sha256": hashlib.sha256(BODY).hexdigest(),
    }
    return WeightFile(**{**facts, **changes})  # type: ignore[arg-type]


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_good_file_arrives_with_its_origin(server, served, cache):
    server.files["/net.pth"] = served(BODY)
    seen: list[tuple[int, int, str]] = []
    path = get(entry(f"{server.url}/net.pth"), lambda *step: seen.append(step))
    assert path.read_bytes() == BODY
    assert path == cache / "net.pth"
    assert seen[-1] == (len(BODY), len(BODY), "net")
    record = read_record(path)
    assert record is not None
    assert (record.trust, record.source) == ("published", f"{server.url}/net.pth")
    assert leftovers(cache) == ["net.pth", "net.pth.origin.json"]


def test_second_get_asks_nobody(server, served):
    server.files["/net.pth"] = served(BODY)
    get(entry(f"{server.url}/net.pth"))
    get(entry(f"{server.url}/net.pth"))
    assert len(server.requests) == 1


def test_cut_transfer_resumes_where_it_stopped(server, served):
    server.files["/net.pth"] = served(BODY, cut=300_000, cuts_left=2)
    path = get(entry(f"{server.url}/net.pth"), limits=QUICK)
    assert path.read_bytes() == BODY
    first, second, third = (int(wanted.strip("bytes=-") or 0) for _, wanted in server.requests)
    assert 0 == first < 200_000 < second < 500_000 < third


def test_next_run_resumes_an_interrupted_one(server, served, cache):
    server.files["/net.pth"] = served(BODY, cut=300_000, cuts_left=1)
    once = Limits(max_bytes=len(BODY), attempts=1)
    with pytest.raises(DownloadError, match="again to go on"):
        get(entry(f"{server.url}/net.pth"), limits=once)
    assert not (cache / "net.pth").exists()
    assert get(entry(f"{server.url}/net.pth"), limits=once).read_bytes() == BODY
    assert int(server.requests[-1][1].strip("bytes=-")) > 200_000


def test_file_changed_between_attempts_starts_anew(server, served):
    server.files["/net.pth"] = served(b"x" * len(BODY), cut=300_000, cuts_left=1, tag='"old"')
    with pytest.raises(DownloadError):
        get(entry(f"{server.url}/net.pth"), limits=Limits(max_bytes=len(BODY), attempts=1))
    server.files["/net.pth"] = served(BODY, tag='"new"')
    assert get(entry(f"{server.url}/net.pth")).read_bytes() == BODY


@pytest.mark.parametrize("fault", [{"ranges": False}, {"tag": ""}])
def test_server_without_resume_still_gives_the_whole_file(server, served, fault):
    server.files["/net.pth"] = served(BODY, cut=300_000, cuts_left=1, **fault)
    assert get(entry(f"{server.url}/net.pth"), limits=QUICK).read_bytes() == BODY


def test_always_cut_fails_and_keeps_nothing_visible(server, served, cache):
    server.files["/net.pth"] = served(BODY, cut=10, cuts_left=99, ranges=False)
    with pytest.raises(DownloadError, match="failed 4 times"):
        get(entry(f"{server.url}/net.pth"), limits=QUICK)
    assert not (cache / "net.pth").exists()


def test_wrong_digest_is_not_kept(server, served, cache):
    server.files["/net.pth"] = served(BODY[::-1])
    with pytest.raises(WeightsError, match="net"):
        get(entry(f"{server.url}/net.pth"))
    assert leftovers(cache) == []


def test_wrong_prefix_is_not_kept(server, served, cache):
    server.files["/net.pth"] = served(BODY)
    with pytest.raises(WeightsError, match="00c0ffee"):
        get(entry(f"{server.url}/net.pth", sha256="", sha256_prefix="00c0ffee"))
    assert leftovers(cache) == []


@pytest.mark.parametrize("fault", ["gone", "wrong", "cut"])
def test_good_copy_stays_until_a_right_one_has_arrived(server, served, cache, fault):
    net = entry(f"{server.url}/net.pth")
    server.files["/net.pth"] = served(BODY)
    path = get(net)
    server.files = {
        "gone": {},
        "wrong": {"/net.pth": served(BODY[::-1])},
        "cut": {"/net.pth": served(BODY, cut=10, cuts_left=99)},
    }[fault]
    with pytest.raises(MMBenchError):
        get(net, force=True, limits=QUICK)
    assert path.read_bytes() == BODY
    assert read_record(path) is not None
    server.files["/net.pth"] = served(BODY)
    assert get(net, force=True).read_bytes() == BODY
    assert leftovers(cache) == ["net.pth", "net.pth.origin.json"]


def test_second_of_two_at_once_takes_the_first_ones_file(server, served):
    server.files["/net.pth"] = served(BODY)
    net = entry(f"{server.url}/net.pth")
    started, go_on = threading.Event(), threading.Event()

    def slow(*step: object) -> None:
        started.set()
        assert go_on.wait(20)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(get, net, slow)
        assert started.wait(20)
        second = pool.submit(get, net, lambda *step: None)
        with pytest.raises(TimeoutError):
            second.result(0.3)  # waits for the lock
        go_on.set()
        assert first.result(20) == second.result(20)
    assert len(server.requests) == 1


@pytest.mark.parametrize("digest", [{}, {"sha256": "", "sha256_prefix": "00c0ffee"}], ids=["full", "prefix"])
def test_refused_file_is_reported_in_our_own_words(server, served, capfd, digest):
    server.files["/net.pth"] = served(BODY[::-1])
    with pytest.raises(WeightsError, match="It was not kept") as caught:
        get(entry(f"{server.url}/net.pth", **digest))
    assert hashlib.sha256(BODY[::-1]).hexdigest() in caught.value.message
    for text in (str(caught.value), "".join(capfd.readouterr())):
        assert not any(word in text for word in ("known_hash", "known hash", "outdated", "Delete"))


_KILLED = """
import os, sys
from pathlib import Path
import mmbench.weights.arrive as arrive
from mmbench.weights.download import get
from mmbench.weights.registry import WeightFile
arrive.sha256_file = lambda path: os._exit(9)
get(WeightFile(name="net", kind="torch", licence="MIT", urls=(sys.argv[1],)))
"""


def test_nothing_stays_of_a_process_killed_before_the_check(server, served, cache):
    server.files["/net.pth"] = served(BODY)
    url = f"{server.url}/net.pth"
    assert subprocess.run([sys.executable, "-c", _KILLED, url], check=False).returncode == 9
    assert not (cache / "net.pth").exists()
    get(entry(url))
    assert leftovers(cache) == ["net.pth", "net.pth.origin.json"]


def test_unknown_digest_is_recorded_on_first_use(server, served):
    server.files["/net.pth"] = served(BODY)
    unknown = entry(f"{server.url}/net.pth", sha256="")
    assert unknown.trust == "unknown: recorded on first download"
    record = read_record(get(unknown))
    assert record is not None
    assert (record.trust, record.sha256) == ("first use", hashlib.sha256(BODY).hexdigest())


@pytest.mark.parametrize("no_length", [False, True])
def test_oversized_file_is_refused(server, served, cache, no_length):
    server.files["/net.pth"] = served(BODY + b"more", no_length=no_length)
    with pytest.raises(DownloadError, match="at most"):
        get(entry(f"{server.url}/net.pth"))
    assert leftovers(cache) == []


def test_missing_address_names_status_and_mirror_option(server):
    with pytest.raises(DownloadError, match=r"404.*MMBENCH_MIRROR"):
        get(entry(f"{server.url}/net.pth"))


def test_second_address_is_tried(server, served):
    server.files["/b.pth"] = served(BODY)
    both = entry("", urls=(f"{server.url}/a.pth", f"{server.url}/b.pth"))
    assert get(both).read_bytes() == BODY


def test_redirect_is_followed(server, served):
    server.files["/net.pth"] = served(redirect="/elsewhere")
    server.files["/elsewhere"] = served(BODY)
    assert get(entry(f"{server.url}/net.pth")).read_bytes() == BODY


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/net.pth", "file:///etc/hostname", "http://example.org/net.pth"])
def test_redirect_to_another_scheme_is_refused(server, served, target):
    server.files["/net.pth"] = served(redirect=target)
    with pytest.raises(DownloadError, match="only https"):
        get(entry(f"{server.url}/net.pth"))


def test_redirect_loop_ends(server, served):
    server.files["/net.pth"] = served(redirect="/net.pth")
    with pytest.raises(DownloadError, match="redirects"):
        get(entry(f"{server.url}/net.pth"))


def test_plain_http_only_to_loopback():
    with pytest.raises(DownloadError, match="only https"):
        check_address("http://example.org/x", Limits(1))
    check_address("http://127.0.0.1/x", Limits(1))
    check_address("https://example.org/x", Limits(1))
    check_address("http://mirror.example/x", Limits(1, plain_http_hosts=frozenset({"mirror.example"})))


def test_redirect_from_outside_to_inside_is_refused():
    for inside in (
        "https://127.0.0.1/x",
        "https://169.254.169.254/x",
        "https://10.0.0.1/x",
        "https://localhost/x",
    ):
        with pytest.raises(DownloadError, match="internal"):
            check_address(inside, Limits(1), before="https://example.org/x")


def test_mirror_replaces_every_address(server, served, monkeypatch):
    hub = entry("", urls=(), repo="Some/Model", path="unet/weights.bin")
    monkeypatch.setenv("MMBENCH_MIRROR", f"{server.url}/mirror/")
    server.files["/mirror/Some--Model/unet/weights.bin"] = served(BODY)
    assert get(hub) == cached_file(hub)
    assert server.requests == [("/mirror/Some--Model/unet/weights.bin", "")]


def test_offline_forbids_downloads_but_not_local_files(server, served, monkeypatch):
    server.files["/net.pth"] = served(BODY)
    net = entry(f"{server.url}/net.pth")
    monkeypatch.setenv("MMBENCH_OFFLINE", "1")
    with pytest.raises(OfflineError, match="Copy the file to"):
        get(net)
    assert server.requests == []
    monkeypatch.delenv("MMBENCH_OFFLINE")
    path = get(net)
    monkeypatch.setenv("MMBENCH_OFFLINE", "1")
    assert get(net) == path


def test_all_addresses_failing_lists_each(server):
    both = entry("", urls=(f"{server.url}/a.pth", f"{server.url}/b.pth"))
    with pytest.raises(MMBenchError) as caught:
        get(both)
    assert "/a.pth" in str(caught.value)
    assert "/b.pth" in str(caught.value)


def test_full_disk_is_noticed_before_the_download(server, served, monkeypatch):
    server.files["/net.pth"] = served(BODY)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(DownloadError, match=r"needs 1\.02 MB, .* has 1 kB free"):
        get(entry(f"{server.url}/net.pth"))
    assert server.requests == []


def hub(server, served, **said: str) -> WeightFile:
    """A file behind a model hub's redirect, unknown to the registry."""
    server.files["/blob"] = served(BODY)
    server.files["/net.pth"] = served(redirect="/blob", says={name.replace("_", "-"): said[name] for name in said})
    return entry(f"{server.url}/net.pth", sha256="", size=None)


def test_what_a_hub_announces_is_checked_and_kept_with_its_revision(server, served, cache):
    digest = hashlib.sha256(BODY).hexdigest()
    said = {"X_Linked_Etag": f'"{digest}"', "X_Linked_Size": str(len(BODY)), "X_Repo_Commit": "a" * 40}
    record = read_record(get(hub(server, served, **said)))
    assert record is not None
    assert (record.trust, record.sha256, record.revision) == ("announced", digest, "a" * 40)


@pytest.mark.parametrize(
    "said",
    [
        {"X_Linked_Etag": f'"{"0" * 64}"'},
        {"X_Linked_Etag": f'"{hashlib.sha256(BODY).hexdigest()}"', "X_Linked_Size": "7"},
    ],
)
def test_other_bytes_than_announced_are_not_kept(server, served, cache, said):
    with pytest.raises(WeightsError, match="its server announced"):
        get(hub(server, served, **said))
    assert leftovers(cache) == []


def test_a_validator_that_is_no_digest_announces_nothing(server, served, cache):
    record = read_record(get(hub(server, served, X_Linked_Etag='"5d41402abc4b2a76b9719d911017c592"')))
    assert record is not None and (record.trust, record.revision) == ("first use", "")
