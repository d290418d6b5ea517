"""A decoded picture as a player shows it: turned, mirrored, in RGB, see-through parts on white."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from mmbench.video.clip import Frame
from mmbench.video.container import decoder

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter

HDR = {16: "PQ (SMPTE ST 2084)", 18: "HLG (ARIB STD-B67)"}
"""Transfer characteristics of ITU-T H.273 that a screen of standard range cannot show as they are."""

UNIT = 65536.0
"""One, in the display matrix's 16.16 fixed point."""


KEY_FRAMES_APART = 64
"""Pictures between two key frames that are asked for their matrix although the turn is the same."""


class Upright:
    """The display matrix of each picture of a stream, in order.

    PyAV's side data and its picture hold each other, so that a picture that was asked for it stays in memory until
    Python looks for cycles: some 90 pictures of 1 MB. The turn alone costs nothing. So the matrix is asked for at the
    first picture, where the turn changes, and, for a mirror that changes without it, now and then at a key frame.
    """

    def __init__(self) -> None:
        self._matrix: NDArray[np.float64] | None = None
        self._turn = self._since = 0

    def matrix(self, picture: VideoFrame) -> NDArray[np.float64]:
        """As `display_matrix`."""
        turn, self._since = picture.rotation, self._since + 1
        due = picture.key_frame and self._since >= KEY_FRAMES_APART
        if self._matrix is None or turn != self._turn or due:
            self._matrix, self._turn, self._since = display_matrix(picture), turn, 0
        return self._matrix


def pixels(picture: VideoFrame, reformatter: VideoReformatter, matrix: NDArray[np.float64]) -> Frame:
    """Read-only uint8 RGB (H, W, 3), upright and the right way round by the display matrix."""
    see_through = any(component.is_alpha for component in picture.format.components) or picture.format.name == "pal8"
    planes = decoder.in_order(picture, reformatter)
    decoded = reformatter.reformat(planes, format="rgba" if see_through else "rgb24")
    stored = np.asarray(decoded.to_ndarray(), dtype=np.uint8)
    if see_through:
        stored = _on_white(stored)
    frame = np.ascontiguousarray(_oriented(stored, matrix))
    frame.flags.writeable = False
    return frame


def display_matrix(picture: VideoFrame) -> NDArray[np.float64]:
    """The matrix from stored to shown pixels without its shift: rows (a, b), (c, d) of x' = ax + cy, y' = bx + dy.

    The unit matrix where the container gives none, or one that is all zero (ISO 14496-12, 8.3.2).
    """
    data = picture.side_data.get("DISPLAYMATRIX")
    if data is None:
        return np.eye(2)
    linear = np.frombuffer(memoryview(cast("Any", data)), np.int32)[[0, 1, 3, 4]].reshape(2, 2) / UNIT
    return linear if linear.any() else np.eye(2)


def notes(picture: VideoFrame, transfer: int) -> tuple[str, ...]:
    """What a picture shown as it is stored would get wrong, or cannot be shown by turns and mirrors.

    `transfer` is the stream's transfer characteristics by ITU-T H.273.
    """
    found = []
    matrix = np.abs(display_matrix(picture))
    straight = min(matrix[0, 0] + matrix[1, 1], matrix[0, 1] + matrix[1, 0])
    if straight > 0.02 * matrix.max():  # what is left beside the nearest of the eight orientations
        found.append("display_matrix: the clip is to be shown turned by no quarter turn; measured at the nearest one.")
    if transfer in HDR:
        found.append(f"hdr: brightness is coded as {HDR[transfer]}; measured without tone mapping, flatter than shown.")
    return tuple(found)


def _oriented(stored: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The nearest of the eight ways to turn and mirror a picture."""
    (a, b), (c, d) = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        left, up = a < 0, d < 0
    else:
        stored = stored.swapaxes(0, 1)
        left, up = c < 0, b < 0
    return stored[:: -1 if up else 1, :: -1 if left else 1]


def _on_white(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4) with straight alpha -> (H, W, 3) over white, rounded."""
    alpha = stored[..., 3:]
    if alpha.min() == 255:
        return stored[..., :3]
    wide = stored[..., :3].astype(np.uint16) * alpha + np.uint16(255) * (255 - alpha.astype(np.uint16))
    return ((wide + 127) // 255).astype(np.uint8)
