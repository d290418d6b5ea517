"""One model in memory at a time."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from mmbench.baselines.contract import Model

M = TypeVar("M", bound=Model)


class Session:
    """Loads models one after the other, closing the last before the next is read.

    A model stays loaded while the same name and variant is asked for, so a run groups its requests by model.
    Use as a context manager; leaving it frees the last model.
    """

    def __init__(self, weights_dir: Path, device: str = "cpu", dtype: str = "auto") -> None:
        self.weights_dir = weights_dir
        self.device = device
        self.dtype = dtype
        self._model: Model | None = None
        self._variant: str | None = None

    def load(self, model: M, variant: str | None = None) -> M:
        """`model` with its weights read. Closes any other; a model that fails to load leaves nothing loaded."""
        variant = model.pick_variant(variant)
        if self._model is model and self._variant == variant:
            return model
        self.close()
        try:
            model.load(self.device, self.dtype, variant, self.weights_dir)
        except BaseException:
            model.close()
            free_memory()
            raise
        self._model, self._variant = model, variant
        return model

    def close(self) -> None:
        """Close the loaded model, if any, and give its memory back."""
        if self._model is not None:
            self._model.close()
            self._model = self._variant = None
            free_memory()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def free_memory() -> None:
    """Collect garbage, then return cached accelerator memory to the device (only where torch is already in use)."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
