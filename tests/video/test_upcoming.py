"""The next clip: begun while another one is looked at, in the same room, equal to what opening it later gives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import MediaError
from mmbench.video.ahead import FramesAhead, Room
from mmbench.video.limits import DEFAULT_LIMITS
from mmbench.video.read import open_clip
from mmbench.video.upcoming import Upcoming
from mmbench.video.write import write_video

SIDE = 32
FRAME = SIDE * SIDE * 3


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clips of 1 to 9 frames; the fourth is cut short."""
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("videos")
    made: list[Path] = []
    for n in (3, 9, 1, 6, 7):
        made.append(folder / f"{len(made)}.mp4")
        write_video(made[-1], rng.integers(0, 256, (n, SIDE, SIDE, 3), np.uint8), 8)
    made[3].write_bytes(made[3].read_bytes()[:-200])
    return made


def until(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold within some seconds."""
    ends = time.monotonic() + 20
    while not holds() and time.monotonic() < ends:
        time.sleep(0.002)
    return holds()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in ("decode", "next clip")]


def seen(path: Path, upcoming: Upcoming | None, room: Room | None) -> tuple[object, list[bytes]] | str:
    """Facts and frames of a clip, or what it raises."""
    try:
        clip = upcoming.clip() if upcoming else None
        clip = clip or open_clip(path, None, DEFAULT_LIMITS, room)
        return clip.info, [frame.tobytes() for frame in clip.frames()]
    except MediaError as cause:
        return cause.message


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 8 * FRAME), st.booleans())
def test_clips_opened_ahead_are_what_they_are(videos: list[Path], order: list[int], size: int, decode: bool) -> None:
    """Whatever the room, whatever the neighbours: the same facts, frames and errors, and nothing left running."""
    room, upcoming = Room(size), None
    for number, which in enumerate(order):
        begun, upcoming = upcoming, None
        if number + 1 < len(order):
            upcoming = Upcoming(videos[order[number + 1]], None, DEFAULT_LIMITS, room, decode=decode)
        assert seen(videos[which], begun, room) == seen(videos[which], None, None)
    assert (room.taken, room.busy, threads()) == (0, 0, [])


def test_the_next_clip_waits_for_the_decoder_and_keeps_to_what_is_free(videos: list[Path]) -> None:
    """Nothing of it while the clip before is decoded; then as many frames as the one room holds."""
    room = Room(4 * FRAME)
    first = open_clip(videos[1], None, DEFAULT_LIMITS, room).frames()
    next(first)
    assert until(lambda: room.taken == 4 * FRAME)
    upcoming = Upcoming(videos[4], None, DEFAULT_LIMITS, room)
    for _ in range(4):  # five of nine seen, four wait
        next(first)
        assert upcoming._thread.is_alive() and upcoming._clip is None
        assert until(lambda: room.taken == 4 * FRAME)
    next(first)  # now its decoder has ended, and there is room
    assert until(lambda: upcoming._clip is not None and room.taken == 4 * FRAME)
    assert len(list(first)) == 3
    assert until(lambda: room.taken == 4 * FRAME), "all the room is the next clip's"
    clip = upcoming.clip()
    assert clip is not None and len(list(clip.frames())) == 7
    assert not threads() and not room.taken


@pytest.mark.parametrize("which", [1, 3])
@pytest.mark.parametrize("busy", [True, False])
def test_one_that_never_has_its_turn_is_ended(videos: list[Path], which: int, busy: bool) -> None:
    room = Room(2 * FRAME)
    current = FramesAhead(open_clip(videos[0]).source.frames(), room)
    if busy:
        current.__enter__()
    upcoming = Upcoming(videos[which], None, DEFAULT_LIMITS, room)
    if not busy:
        assert until(lambda: not upcoming._thread.is_alive())
    upcoming.close()
    current.close()
    assert not threads() and room.taken == 0
