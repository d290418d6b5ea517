"""The order of rows that the plain functions and the Triton kernels of the fast path both count in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Segments:
    """Where text, video and face rows lie in a buffer ordered [text | video | face]."""

    num_text: int
    num_video: int
    num_face: int

    def spans(self) -> tuple[slice, slice, slice]:
        """Row slices of text, video and face: the order of the factor tables too."""
        end = self.num_text + self.num_video
        return slice(0, self.num_text), slice(self.num_text, end), slice(end, end + self.num_face)
