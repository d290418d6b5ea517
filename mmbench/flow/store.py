"""Features of frames, the latest on the device and the rest in a temporary file."""

from __future__ import annotations

from collections import OrderedDict
from types import TracebackType
from typing import TYPE_CHECKING

from mmbench.flow.spool import Spool

if TYPE_CHECKING:
    from torch import Tensor


class FeatureStore:
    """Tensors of one shape by slot. `kept` of them stay where they are, least recently used ones go to
    disk."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._near: OrderedDict[int, Tensor] = OrderedDict()
        self._far: Spool | None = None
        self._device = "cpu"

    def __contains__(self, slot: int) -> bool:
        return slot in self._near or (self._far is not None and slot in self._far)

    def put(self, slot: int, features: Tensor) -> None:
        """Store the features of one frame."""
        self._device = str(features.device)
        self._near[slot] = features.clone()
        while len(self._near) > self._kept:
            oldest, tensor = self._near.popitem(last=False)
            array = tensor.cpu().numpy()
            if self._far is None:
                self._far = Spool(array.shape, array.dtype)
            self._far.write(oldest, array)

    def get(self, slot: int) -> Tensor:
        """The features of one frame, on the device they came from. Raises KeyError for an unknown slot."""
        import torch

        if slot in self._near:
            self._near.move_to_end(slot)
            return self._near[slot]
        if self._far is None:
            raise KeyError(slot)
        return torch.from_numpy(self._far.read(slot)).to(self._device)

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._far is not None:
            self._far.close()
