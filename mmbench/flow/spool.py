"""Arrays of one shape in a temporary file: memory stays flat however long the clip is."""

from __future__ import annotations

import os
import tempfile
from types import TracebackType

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Spool:
    """Numbered slots of equal shape and dtype on disk, written in any order and read back in any order.

    Plain reads and writes, not a memory map: mapped pages would count as the process's own memory. The file
    has no name and vanishes with the object or the process.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._bytes = int(np.prod(shape)) * self.dtype.itemsize
        self._file = tempfile.TemporaryFile(prefix="mmbench-spool-")  # noqa: SIM115
        self._held: set[int] = set()

    def __contains__(self, slot: int) -> bool:
        return slot in self._held

    def write(self, slot: int, array: NDArray[np.generic]) -> None:
        """Store `array` in `slot`. Raises ValueError when shape or dtype differ from the spool's."""
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ValueError(f"expected {self.dtype} {self.shape}, got {array.dtype} {array.shape}")
        view = np.ascontiguousarray(array).data.cast("B")
        offset = slot * self._bytes
        while view:
            written = os.pwrite(self._file.fileno(), view, offset)
            view, offset = view[written:], offset + written
        self._held.add(slot)

    def read(self, slot: int) -> NDArray[np.generic]:
        """A fresh copy of what `slot` holds. Raises KeyError for a slot never written."""
        if slot not in self._held:
            raise KeyError(slot)
        array = np.empty(self.shape, self.dtype)
        view = array.data.cast("B")
        offset = slot * self._bytes
        while view:
            count = os.preadv(self._file.fileno(), [view], offset)
            if count == 0:
                raise OSError("the temporary file ended early")
            view, offset = view[count:], offset + count
        return array

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
