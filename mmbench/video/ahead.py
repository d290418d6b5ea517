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


class FramesAhead:
    """The frames of a decode, in order, each with the seconds that decoding it took; used as a context manager.

    Seconds are the decoding thread's own of the processor: what it waits for others to let it run is not its fault.

    A thread decodes until `AHEAD_BYTES` of frames wait. What the decoder raises is raised behind the frames before it,
    in the thread that asks. At the end of the block the decode is closed, however far it came: nothing goes on unseen.
    """

    def __init__(self, frames: Iterator[Frame], ahead: int = AHEAD_BYTES) -> None:
        self._frames, self._ahead = frames, ahead
        self._waiting: deque[tuple[Frame, float]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._ended = self._left = False
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=copy_context().run, args=(self._decode,), name="decode", daemon=True)

    def __enter__(self) -> FramesAhead:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        with self._changed:
            self._left = True
            self._changed.notify_all()
        self._thread.join()
        self._waiting.clear()

    def __iter__(self) -> Iterator[tuple[Frame, float]]:
        """Every frame, once; raises what the decoder raised."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    if self._fault is not None:
                        raise self._fault
                    return
                frame, seconds = self._waiting.popleft()
                self._bytes -= frame.nbytes
                self._changed.notify_all()
            yield frame, seconds
            del frame  # the one that is looked at is nobody's while the next is awaited

    def _decode(self) -> None:
        try:
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
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, frame: Frame, seconds: float) -> bool:
        """Let a frame wait, as soon as there is room for it; False where nobody asks any more."""

        def room() -> bool:
            return self._left or not self._waiting or self._bytes + frame.nbytes <= self._ahead

        with self._changed:
            self._changed.wait_for(room)
            if self._left:
                return False
            self._waiting.append((frame, seconds))
            self._bytes += frame.nbytes
            self._changed.notify_all()
            return True
