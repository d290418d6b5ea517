"""The cache: right bytes, each version once, whole or not at all, within its bounds; every failure in plain words."""

from __future__ import annotations

import os
import pickle
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mmbench.errors import MachineFault, ManifestError, MediaError, MissingDependency, RemoteError, machine_fault
from mmbench.files import cache_folder, content_of, is_file
from mmbench.remote import cache, storage
from mmbench.remote.cache import forget, local_copy, most_bytes
from mmbench.remote.path import RemotePath, check_storages


def put(memory: Any, url: str, data: bytes) -> None:
    """An object there; the clock that stamps it moves on, as between any two writes to a storage."""
    time.sleep(0.002)
    memory.pipe_file(url, data)


def cached() -> list[Path]:
    return sorted(path for path in cache_folder("remote").iterdir() if path.suffix not in (".json", ".lock"))


@pytest.mark.parametrize("seed", range(5))
def test_random_objects_come_whole_and_each_version_once(
    memory: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    fetched: list[str] = []
    real = storage.download

    def counted(url: str, target: Path, facts: storage.ObjectFacts) -> None:
        fetched.append(url)
        real(url, target, facts)

    monkeypatch.setattr(cache, "download", counted)
    monkeypatch.setattr(storage, "BLOCK", rng.choice([1, 7, 1 << 20]))
    held: dict[str, bytes] = {}
    expected = 0
    for _ in range(40):
        url = f"memory://bucket/{rng.randrange(4)}/clip {rng.randrange(3)}.mp4"
        if url not in held or rng.random() < 0.3:
            held[url] = rng.randbytes(rng.choice([0, 1, 6, 7, 8, 300]))
            put(memory, url, held[url])
            forget()
            expected += 1
        else:
            expected += url not in fetched
        assert RemotePath(url).read_bytes() == held[url]
        with RemotePath(url).open("rb") as stream:
            assert stream.read() == held[url]
    assert len(fetched) == expected
    assert len(cached()) == len(held)  # an older version does not stay


def test_a_changed_object_of_the_same_size_is_noticed(memory: Any) -> None:
    url = "memory://bucket/a.bin"
    put(memory, url, b"one")
    assert RemotePath(url).read_bytes() == b"one"
    put(memory, url, b"two")
    assert RemotePath(url).read_bytes() == b"one"  # within a minute a process does not ask again
    forget()
    assert RemotePath(url).read_bytes() == b"two"


def test_a_missing_object_is_an_error_that_names_it_and_like_any_unreadable_file_elsewhere(memory: Any) -> None:
    path = RemotePath("memory://bucket/no.mp4")
    with pytest.raises(
        RemoteError, match=r"memory://bucket/no\.mp4: there is no such object\. Correct the URL"
    ) as caught:
        path.read_bytes()
    assert isinstance(caught.value, MediaError)
    assert isinstance(caught.value, OSError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301
    assert machine_fault(caught.value, str(path)) is None
    assert not is_file(path)
    assert content_of(path) == ""
    put(memory, str(path), b"now")
    forget()
    assert content_of(path)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (PermissionError(13, "Access Denied"), "not permitted .*credentials"),
        (ConnectionError("no route"), "ConnectionError: no route.*network"),
        (RuntimeError("broken\nanswer"), "RuntimeError: broken answer"),
    ],
)
def test_whatever_a_storage_raises_is_told_and_only_what_may_pass_is_tried_again(
    memory: Any, monkeypatch: pytest.MonkeyPatch, cause: Exception, said: str
) -> None:
    asked: list[str] = []

    def info(path: str, **_: Any) -> Any:
        asked.append(path)
        raise cause

    monkeypatch.setattr(storage, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(memory, "info", info)
    with pytest.raises(RemoteError, match=f"memory://bucket/a: .*{said}"):
        local_copy("memory://bucket/a")
    assert len(asked) == (1 if isinstance(cause, PermissionError) else storage.ATTEMPTS)
    with pytest.raises(RemoteError):
        local_copy("memory://bucket/a")
    assert len(asked) <= storage.ATTEMPTS  # remembered for a while: a clip's row does not take three tries a look


def test_a_failure_that_passes_is_overcome(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory, "memory://bucket/a", b"data")
    real, failures = memory.info, [ConnectionError("reset"), TimeoutError("slow")]

    def info(path: str, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(path, **options)

    monkeypatch.setattr(storage, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(memory, "info", info)
    assert local_copy("memory://bucket/a").read_bytes() == b"data"


def test_a_storage_that_hangs_is_left_behind(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(storage, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(memory, "info", lambda *_, **__: over.wait(60))
    try:
        with pytest.raises(RemoteError, match="does not answer in time"):
            local_copy("memory://bucket/a")
    finally:
        over.set()


@pytest.mark.parametrize("said", [0, 3, 5, 9])
def test_fewer_or_more_bytes_than_announced_leave_nothing(
    memory: Any, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    put(memory, "memory://bucket/a", b"four")
    real = memory.info
    monkeypatch.setattr(memory, "info", lambda path, **options: {**real(path, **options), "size": said})
    with pytest.raises(RemoteError, match=f"where the storage says {said}"):
        local_copy("memory://bucket/a")
    assert cached() == []


def test_an_object_that_changes_while_it_is_fetched_is_not_kept(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "memory://bucket/a"
    put(memory, url, b"one")
    real = storage.download

    def download(*given: Any) -> None:
        real(*given)
        put(memory, url, b"two")

    monkeypatch.setattr(cache, "download", download)
    with pytest.raises(RemoteError, match="changed while"):
        local_copy(url)
    assert cached() == []


def test_too_large_an_object_is_refused_before_it_is_read(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory, "memory://bucket/a", b"12345")
    monkeypatch.setenv("MMBENCH_REMOTE_BYTES", "4")
    monkeypatch.setattr(cache, "download", lambda *_: pytest.fail("read"))
    with pytest.raises(RemoteError, match=r"5 bytes is more than the 4 .*MMBENCH_REMOTE_BYTES"):
        local_copy("memory://bucket/a")
    for wrong in ("x", "0", "-1", "1.5", "²"):
        monkeypatch.setenv("MMBENCH_REMOTE_BYTES", wrong)
        with pytest.raises(ManifestError, match="MMBENCH_REMOTE_BYTES"):
            most_bytes()


def test_what_was_not_asked_for_longest_goes_first_and_what_is_in_use_stays(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMBENCH_REMOTE_BYTES", "101000")
    urls = [f"memory://bucket/{number}" for number in range(6)]
    for number, url in enumerate(urls[:5]):
        put(memory, url, bytes([number]) * 20_000)
        copy = local_copy(url)
        hours = time.time() - 3600 * (10 - number)
        for file in (copy, cache_folder("remote") / f"{copy.name[:32]}.json"):
            os.utime(file, (hours, hours))
    forget()
    assert RemotePath(urls[0]).read_bytes() == bytes(20_000)  # the oldest is asked for again
    put(memory, urls[5], b"x" * 30_000)
    assert RemotePath(urls[5]).read_bytes() == b"x" * 30_000
    left = {path.read_bytes()[:1] for path in cached()}
    assert left == {b"\0", b"\3", b"\4", b"x"}
    monkeypatch.setattr(cache, "IN_USE_SECONDS", 1e9)
    put(memory, "memory://bucket/7", b"y" * 90_000)
    assert RemotePath("memory://bucket/7").read_bytes() == b"y" * 90_000
    assert len(cached()) == 5


def test_what_is_gone_from_the_cache_is_fetched_again(memory: Any) -> None:
    put(memory, "memory://bucket/a", b"data")
    local_copy("memory://bucket/a").unlink()
    assert RemotePath("memory://bucket/a").read_bytes() == b"data"


def test_threads_share_one_fetch(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory, "memory://bucket/a", b"data" * 1000)
    fetched: list[str] = []
    real = storage.download

    def download(url: str, *rest: Any) -> None:
        fetched.append(url)
        time.sleep(0.1)
        real(url, *rest)

    monkeypatch.setattr(cache, "download", download)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(RemotePath("memory://bucket/a").read_bytes())) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"data" * 1000] * 6
    assert len(fetched) == 1


def test_offline_the_last_version_is_given_and_nothing_is_asked(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "look", lambda _: storage.ObjectFacts(4, "a" * 64))
    monkeypatch.setattr(cache, "download", lambda url, part, facts: part.write_bytes(b"data"))
    assert local_copy("s3://bucket/a.mp4").read_bytes() == b"data"
    forget()
    monkeypatch.setenv("MMBENCH_OFFLINE", "1")
    monkeypatch.setattr(cache, "look", lambda _: pytest.fail("asked"))
    assert local_copy("s3://bucket/a.mp4").read_bytes() == b"data"
    with pytest.raises(RemoteError, match="MMBENCH_OFFLINE forbids"):
        local_copy("s3://bucket/b.mp4")


def test_a_full_disk_here_is_the_machines_fault(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory, "memory://bucket/a", b"data")

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(MachineFault, match="No space left"):
        local_copy("memory://bucket/a")


def test_a_storage_whose_package_lacks_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import mmbench.errors

    pytest.importorskip("fsspec")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("s3fs", "gcsfs") else object())
    assert mmbench.errors.EXTRAS["remote"] == ("fsspec", "s3fs")
    with pytest.raises(MissingDependency, match=r"s3://b/a: s3fs.*mmbench\[remote\]"):
        check_storages([RemotePath("s3://b/a")])
    with pytest.raises(MissingDependency, match=r"gs://b/a: gcsfs.*pip install gcsfs"):
        check_storages([Path("x"), RemotePath("gs://b/a")])
    check_storages([RemotePath("memory://b/a"), Path("x")])
