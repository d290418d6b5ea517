"""Decoding ahead: the same frames and errors in the same order, a bound on what waits, and nothing left running."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import MediaError
from mmbench.video.ahead import FramesAhead, Room
from mmbench.video.clip import Frame
from mmbench.video.limits import MediaLimits
from mmbench.video.read import stream_frames

SIDE = 8
BYTES = SIDE * SIDE * 3


def frames_of(n: int, fault: Exception | None = None, log: list[str] | None = None) -> Iterator[Frame]:
    try:
        for k in range(n):
            if log is not None:
                log.append(f"decoded {k}")
            yield np.full((SIDE, SIDE, 3), k % 256, np.uint8)
        if fault:
            raise fault
    finally:
        if log is not None:
            log.append(f"closed by {threading.current_thread().name}")


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "decode"]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 30), ahead=st.integers(0, 5 * BYTES), left=st.integers(0, 40), broken=st.booleans())
def test_frames_and_errors_come_in_order_and_nothing_goes_on(n: int, ahead: int, left: int, broken: bool) -> None:
    """Whatever the bound, and wherever who asks leaves off."""
    fault = MediaError("damaged.", "") if broken else None
    log: list[str] = []
    seen: list[int] = []
    raised = None
    try:
        with FramesAhead(frames_of(n, fault, log), Room(ahead)) as frames:
            for frame, seconds in frames:
                assert seconds >= 0
                if len(seen) == left:
                    break
                seen.append(int(frame[0, 0, 0]))
    except MediaError as cause:
        raised = cause
    assert seen == list(range(min(n, left)))
    assert (raised is fault) if left >= n else raised is None
    assert log[-1] == "closed by decode"
    assert not decoders()


def test_no_more_waits_than_may() -> None:
    """The decoder is at most the bound and one frame ahead, and that far it comes while nobody asks."""
    room = 3
    log: list[str] = []
    with FramesAhead(frames_of(50, log=log), Room(room * BYTES)) as frames:
        for asked, _ in enumerate(frames, start=1):
            most = min(50, asked + room + 1)
            waited = threading.Event()
            for _ in range(2000):
                if len([line for line in log if line.startswith("decoded")]) >= most:
                    break
                waited.wait(0.005)
            assert len([line for line in log if line.startswith("decoded")]) == most


class Slow:
    """A source whose decoder warns, and never ends."""

    def frames(self) -> Iterator[Frame]:
        while True:
            warnings.warn("a frame", stacklevel=1)
            yield np.zeros((SIDE, SIDE, 3), np.uint8)

    def scan(self) -> object:
        raise NotImplementedError


def test_the_limit_of_time_ends_the_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(k) for k in range(1_000_000))
    monkeypatch.setattr("mmbench.video.ahead.time", SimpleNamespace(thread_time=lambda: next(clock)))
    with warnings.catch_warnings(), pytest.raises(MediaError, match=r"limits\.seconds"):
        warnings.simplefilter("ignore")
        for _ in stream_frames(FramesAhead(Slow().frames()), Path("clip.mp4"), MediaLimits(seconds=20)):
            pass
    assert not decoders()


def test_frames_are_let_go_once_they_are_seen() -> None:
    import weakref

    known: list[weakref.ref[Frame]] = []

    def watched() -> Iterator[Frame]:
        for frame in frames_of(40):
            known.append(weakref.ref(frame))
            yield frame

    with FramesAhead(watched(), Room(2 * BYTES)) as frames:
        for _, _seconds in frames:
            assert sum(ref() is not None for ref in known) <= 6  # asked for, waiting, and in the decoder's hands
