"""The clip that comes next: opened, and decoded as far as there is room, while networks look at the one before it."""

from __future__ import annotations

import threading
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path

from mmbench.video.ahead import FramesAhead, Room
from mmbench.video.container.decoder import CPU
from mmbench.video.limits import MediaLimits
from mmbench.video.read import Clip, open_clip


class Upcoming:
    """A clip that will be asked for, opened in a thread; with `decode`, its first frames come to wait in `room`.

    `by` is who decodes it ("cpu", "cuda", "cuda:1").

    It begins when nobody asks for a decode in `room`, or when `clip` is called. `close` ends it where that never
    happens. What cannot be opened is no error here: whoever opens it in its turn is told.
    """

    def __init__(
        self, path: Path, fps: float | None, limits: MediaLimits, room: Room, by: str = CPU, *, decode: bool = True
    ) -> None:
        self._path, self._fps, self._limits, self._room, self._by, self._decode = path, fps, limits, room, by, decode
        self._asked = self._left = False
        self._clip: Clip | None = None
        self._thread = threading.Thread(target=copy_context().run, args=(self._open,), name="next clip", daemon=True)
        self._thread.start()

    def of(self, path: Path, fps: float | None) -> bool:
        """Whether it is this clip at this rate."""
        return (self._path, self._fps) == (path, fps)

    def clip(self) -> Clip | None:
        """The opened clip, whose first `frames` go on from what waits; None where it could not be opened."""
        with self._room.changed:
            self._asked = True
            self._room.changed.notify_all()
        self._thread.join()
        return self._clip

    def close(self) -> None:
        """End what was begun. Not to be called once `clip` has given the clip away."""
        with self._room.changed:
            self._left = True
            self._room.changed.notify_all()
        self._thread.join()
        if self._clip is not None:
            for begun in self._clip.begun:
                begun.close()

    def _open(self) -> None:
        with self._room.changed:
            self._room.changed.wait_for(lambda: self._asked or self._left or not self._room.busy)
        if self._left:
            return
        try:
            clip = open_clip(self._path, self._fps, self._limits, self._room, self._by)
        except Exception:  # whatever it is, it belongs to the turn of this clip, in which it is opened again
            return
        if self._decode:
            ahead = FramesAhead(clip.source.frames(), self._room)
            ahead.start()
            clip = replace(clip, begun=[ahead])
        self._clip = clip
