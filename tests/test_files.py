"""One way to write, read, hash and cache: whole or not at all, whoever else writes, however the writer ends."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench import files
from mmbench.errors import ManifestError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(document=JSON, names_sorted=st.booleans())
def test_json_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, document: object, names_sorted: bool
) -> None:
    path = tmp_path_factory.mktemp("json") / "new" / "a.json"
    files.write_json(path, document, sort_keys=names_sorted)
    assert files.read_json(path) == document
    assert path.read_bytes().endswith(b"\n")
    assert [each.name for each in path.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize("text", ["", "{", "\xff", "[" * 200_000, '{"a": nix}'])
def test_a_damaged_file_is_named_with_its_remedy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ManifestError) as caught:
        files.read_json(path, "Evaluate again.")
    assert str(path) in caught.value.message and caught.value.remedy == "Evaluate again."
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_json_is_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"a": value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failed_write_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(error), files.whole(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_to_write_to_is_hidden_and_has_the_ending(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "clip one.tar.npz"
    with files.whole(path) as part, files.whole(path) as other:
        assert part.parent == path.parent and part.suffix == ".npz" and part.name.startswith(".clip one.tar.")
        assert part != other
        part.write_text("one")
        other.write_text("two")
    assert path.read_text() == "one"  # the last to finish


def test_a_writer_that_wrote_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.whole(tmp_path / "a"):
        pass


def test_readers_see_one_writers_whole_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    texts = [letter * 50_000 for letter in "abcdefgh"]
    files.write_text(path, texts[0])
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(files.write_text, path, text) for text in texts * 5]
        while not all(each.done() for each in running):
            assert path.read_text() in texts
        for each in running:
            each.result()
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="No SIGKILL here.")
def test_a_killed_writer_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    code = (
        "import os, signal, sys; from pathlib import Path; from mmbench import files\n"
        "with files.whole(Path(sys.argv[1])) as part:\n"
        "    part.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir() if not each.name.startswith(".")] == ["a.txt"]


def test_line_ends_stay_as_they_are(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "one\ntwo\r\n\u00e4")
    assert (tmp_path / "a").read_bytes() == b"one\ntwo\r\n\xc3\xa4"


@given(data=st.binary(max_size=3000))
def test_the_digest_is_sha256(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("digest") / "a"
    path.write_bytes(data)
    assert files.sha256_file(path) == files.sha256(data) == hashlib.sha256(data).hexdigest()


def test_one_root_for_every_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mmbench.synth.kit import kit_path
    from mmbench.testsets.load import testsets_dir
    from mmbench.weights.cache import cache_dir

    own = {"MMBENCH_WEIGHTS": cache_dir, "MMBENCH_TESTSETS": testsets_dir, "MMBENCH_FACEKIT": kit_path}
    for name in own:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path))
    assert {where() for where in own.values()} == {tmp_path / n for n in ("weights", "testsets", "facekit.npz")}
    for name, where in own.items():
        monkeypatch.setenv(name, str(tmp_path / name))
        assert where() == tmp_path / name
    monkeypatch.delenv("MMBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "platform"))
    if sys.platform == "linux":
        assert files.cache_root() == tmp_path / "platform" / "mmbench"


def test_versions_are_those_installed() -> None:
    from importlib.metadata import version

    from mmbench import __version__

    found = files.versions(("numpy", "no-such-distribution"))
    assert found == {"mmbench": __version__, "numpy": version("numpy"), "no-such-distribution": "not installed"}
    assert files.installed_version("no-such-distribution") is None


def test_progress_is_any_such_callable() -> None:
    seen: list[tuple[int, int, str]] = []
    told: list[files.Progress] = [files.silent, lambda *step: seen.append(step)]
    for each in told:
        each(1, 2, "clips")
    assert seen == [(1, 2, "clips")]


def test_a_written_json_is_plain_utf8(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"b": "\u00e4", "a": 1}, sort_keys=True)
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "a": 1,\n "b": "\u00e4"\n}\n'
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"a": 1, "b": "\u00e4"}
    files.write_json(tmp_path / "a.json", {"path": os.fsdecode(b"clip-\xff.mp4")})
    assert files.read_json(tmp_path / "a.json") == {"path": os.fsdecode(b"clip-\xff.mp4")}
