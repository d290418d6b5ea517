"""The kit's builder: sources checked file by file, output equal to the supplied kit array for array."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mmbench.synth import kit_sources
from mmbench.synth.kit import KitError
from mmbench.synth.kit_build import build_kit, make_kit
from mmbench.synth.kit_sources import COMMITS, download, listed, read_archive, url_of


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder over HTTP on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """A list of three files instead of 842, and a folder laid out like the pinned repositories."""
    contents = {
        "makehuman/a.obj": b"v 0 0 0\n",
        "makehuman-assets/b/c.obj": b"v 1 1 1\n",
        "mpfb2/d.jpg": b"picture",
    }
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in contents.items()}
    monkeypatch.setattr(kit_sources, "listed", lambda: digests)
    monkeypatch.delenv("MMBENCH_OFFLINE", raising=False)
    for path, data in contents.items():
        repository, inner = path.split("/", 1)
        target = tmp_path / "site" / repository / COMMITS[repository] / inner
        target.parent.mkdir(parents=True)
        target.write_bytes(data)
    return tmp_path / "site", contents


def test_the_list_is_whole() -> None:
    assert len(listed()) == 842
    assert all(len(digest) == 64 and path.split("/")[0] in COMMITS for path, digest in listed().items())
    assert url_of("makehuman/x/y.obj").startswith(
        "https://raw.githubusercontent.com/makehumancommunity/makehuman/a8bc2d54"
    )


def test_download_fetches_checks_and_keeps(three: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    site, contents = three
    seen: list[int] = []
    with served(site) as base:
        assert download(tmp_path / "store", base, progress=lambda done, of, what: seen.append(done)) == contents
    assert seen == [1, 2, 3]
    assert download(tmp_path / "store", "http://127.0.0.1:9") == contents  # all there: nothing is fetched


def test_changed_file_is_refused_and_not_kept(three: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    site, _ = three
    next(site.rglob("a.obj")).write_bytes(b"v 9 9 9\n")
    with served(site) as base, pytest.raises(KitError, match="sha256"):
        download(tmp_path / "store", base)
    assert not (tmp_path / "store" / "makehuman" / "a.obj").exists()
    assert not list((tmp_path / "store").rglob("*.new"))


def test_no_network_is_one_clear_error(
    three: tuple[Path, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the pauses between attempts
    with pytest.raises(KitError, match="--source ARCHIVE"):
        download(tmp_path / "store", "http://127.0.0.1:9", workers=1)


def test_offline_is_respected(
    three: tuple[Path, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMBENCH_OFFLINE", "1")
    with pytest.raises(KitError, match="MMBENCH_OFFLINE"):
        download(tmp_path / "store", "http://127.0.0.1:9")


def _archive(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:xz") as box:
        for name, data in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            box.addfile(entry, io.BytesIO(data))
    return path


def test_archive_is_read_without_unpacking(three: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    _, contents = three
    odd = {f"./{path}": data for path, data in contents.items()} | {
        "../escape": b"x",
        "makehuman/other": b"y",
    }
    assert read_archive(_archive(tmp_path / "s.tar.xz", odd)) == contents
    assert not (tmp_path.parent / "escape").exists()


@pytest.mark.parametrize("fault", ["changed", "missing", "garbage"])
def test_bad_archives_are_refused(three: tuple[Path, dict[str, bytes]], tmp_path: Path, fault: str) -> None:
    _, contents = three
    path = tmp_path / "s.tar.xz"
    if fault == "garbage":
        path.write_bytes(b"no archive")
    else:
        kept = dict(contents)
        if fault == "changed":
            kept["mpfb2/d.jpg"] = b"another"
        else:
            del kept["mpfb2/d.jpg"]
        _archive(path, kept)
    with pytest.raises(KitError, match=r"sha256|lacks 1 of 3|cannot be read"):
        read_archive(path)


@pytest.mark.slow
def test_output_equals_the_supplied_kit(kit_file: Path, source_archive: Path, tmp_path: Path) -> None:
    """Every array, its dtype and the order in the file."""
    built = build_kit(source_archive, tmp_path / "kit.npz")
    with np.load(built, allow_pickle=False) as ours, np.load(kit_file, allow_pickle=False) as given:
        assert ours.files == given.files
        for name in given.files:
            assert ours[name].dtype == given[name].dtype, name
            assert np.array_equal(ours[name], given[name]), name


@pytest.mark.slow
def test_output_equals_the_supplied_kit_over_http(
    kit_file: Path, source_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same through the downloader, from a server on this machine."""
    monkeypatch.delenv("MMBENCH_OFFLINE", raising=False)
    for path, data in read_archive(source_archive).items():
        repository, inner = path.split("/", 1)
        target = tmp_path / "site" / repository / COMMITS[repository] / inner
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    with served(tmp_path / "site") as base:
        arrays = make_kit(download(tmp_path / "store", base))
    with np.load(kit_file, allow_pickle=False) as given:
        assert all(np.array_equal(arrays[name], given[name]) for name in given.files)
