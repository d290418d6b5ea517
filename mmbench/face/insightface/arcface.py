"""ArcFace (Deng et al., CVPR 2019): embeds aligned cuts (`mmbench.face.cut.aligned`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EMBEDDING_SIZE = 512


class ArcFace:
    """Runs one ONNX session over aligned cuts, `batch` at a time.

    `plain` says that the network itself normalises its input: it takes values 0 to 255.
    """

    def __init__(self, session: Any, batch: int = 16, plain: bool = False) -> None:
        self._session = session
        self._shift, self._scale = (0.0, 1.0) if plain else (127.5, 1 / 127.5)
        self._input = session.get_inputs()[0].name
        self._batch = batch

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(M, 112, 112, 3) uint8 RGB -> (M, 512) float32, not normalised."""
        rows = [np.empty((0, EMBEDDING_SIZE), np.float32)]
        for start in range(0, len(chips), self._batch):
            part = np.asarray(chips[start : start + self._batch]).transpose(0, 3, 1, 2).astype(np.float32)
            blob = np.ascontiguousarray((part - np.float32(self._shift)) * np.float32(self._scale))
            rows.append(self._session.run(None, {self._input: blob})[0])
        return np.concatenate(rows)
