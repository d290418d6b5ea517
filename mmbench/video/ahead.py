"""Frames decoded in a thread of their own while passes look at earlier ones, in memory that does not grow."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextvars import copy_context

from mmbench.video.clip import Frame

AHEAD_BYTES = 16 * 2**20
"""Of frames that wait for whoever looks at them; one may always wait, however large."""


class Room:
    """Where decoded frames wait: at most `size` bytes, those of the clip that is looked at and of the next together.

    The clip that is looked at goes first: while it is decoded, no other is.
    """

    def __init__(self, size: int = AHEAD_BYTES) -> None:
        self.size = size
        self.taken = 0
        self.busy = 0
        """Decodes that somebody asks for and that have not ended."""
        self.changed = threading.Condition()


class FramesAhead:
    """The frames of a decode, in order, each with the seconds that decoding it took; used as a context manager.

    Seconds are the decoding thread's own of the processor: what it waits for others to let it run is not its fault.

    A thread decodes until the `room` is full. What the decoder raises is raised behind the frames before it, in the
    thread that asks. At the end of the block the decode is closed, however far it came: nothing goes on unseen.
    `start` begins before anybody asks, as soon as nobody asks for another decode in the same room.
    """

    def __init__(self, frames: Iterator[Frame], room: Room | None = None) -> None:
        self._frames, self._room = frames, room or Room()
        self._waiting: deque[tuple[Frame, float]] = deque()
        self._started = self._asked = self._ended = self._left = False
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=copy_context().run, args=(self._decode,), name="decode", daemon=True)

    def start(self) -> None:
        """Begin to decode. The block has to be entered or `close` called some time."""
        if not self._started:
            self._started = True
            self._thread.start()

    def close(self) -> None:
        """End the decode; the frames that wait are gone."""
        with self._room.changed:
            self._left = True
            self._room.changed.notify_all()
        if self._started:
            self._thread.join()
        with self._room.changed:
            self._room.taken -= sum(frame.nbytes for frame, _ in self._waiting)
            self._waiting.clear()
            self._room.changed.notify_all()

    def __enter__(self) -> FramesAhead:
        with self._room.changed:
            if not self._ended:
                self._asked = True
                self._room.busy += 1
            self._room.changed.notify_all()
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[Frame, float]]:
        """Every frame, once; raises what the decoder raised."""
        while True:
            with self._room.changed:
                self._room.changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    if self._fault is not None:
                        raise self._fault
                    return
                frame, seconds = self._waiting.popleft()
                self._room.taken -= frame.nbytes
                self._room.changed.notify_all()
            yield frame, seconds
            del frame  # the one that is looked at is nobody's while the next is awaited

    def _decode(self) -> None:
        try:
            with self._room.changed:
                self._room.changed.wait_for(lambda: self._left or self._asked or not self._room.busy)
            if self._left:
                return
            start = time.thread_time()
            for frame in self._frames:
                if not self._put(frame, time.thread_time() - start):
                    return
                start = time.thread_time()
        except BaseException as cause:  # for the thread that asks, whatever it is
            self._fault = cause
        finally:
            if close := getattr(self._frames, "close", None):
                close()  # by the thread that decoded: the container is no other's
            with self._room.changed:
                self._ended = True
                self._room.busy -= self._asked
                self._room.changed.notify_all()

    def _put(self, frame: Frame, seconds: float) -> bool:
        """Let a frame wait, as soon as there is room for it; False where nobody asks any more."""
        room = self._room

        def fits() -> bool:
            free = room.taken + frame.nbytes <= room.size
            if self._asked:
                return self._left or free or not self._waiting
            return self._left or (not room.busy and (free or not room.taken))

        with room.changed:
            room.changed.wait_for(fits)
            if self._left:
                return False
            self._waiting.append((frame, seconds))
            room.taken += frame.nbytes
            room.changed.notify_all()
            return True
