"""`VideoMetric`: a metric of this suite as torchmetrics knows them, for training loops."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchmetrics
from numpy.typing import NDArray
from torch import Tensor

from mmbench.errors import RequestError
from mmbench.items import Item
from mmbench.metrics.base import SetMetric, StoredFeatures
from mmbench.metrics.registry import facts_by_name, producer
from mmbench.runs.memory.frames import NAME
from mmbench.runs.memory.scorer import Scorer


class VideoMetric(torchmetrics.Metric):
    """One number of a `Scorer` over the clips given to `update`, a mean or a set's own statistic, over all processes.

    `name` is a metric's or a companion's. Clips that have no value of it are counted in `missing` and left out.
    Several of one scorer look at a clip together: a `MetricCollection` of them (a dict, by names) decodes and detects
    once. States are one-dimensional and float64 whatever they hold: so a process without a clip joins those that have.

        >>> import numpy as np
        >>> from mmbench.config import EvaluateSettings
        >>> scorer = Scorer(("motion_smoothness",), EvaluateSettings(flow={"backend": "dis"}))
        >>> metric = VideoMetric("motion_smoothness", scorer)
        >>> metric.update(np.zeros((8, 64, 64, 3), np.uint8), fps=8)
        >>> float(metric.compute())
        0.0
    """

    is_differentiable = False
    full_state_update = False
    values: list[Tensor]
    shapes: list[Tensor]
    missing: Tensor

    def __init__(self, name: str, scorer: Scorer | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        super().set_dtype(torch.float64)
        owner = producer(name)
        self.name, self.scorer = name, scorer or Scorer((owner,))
        self.owner = self.scorer.metric(owner)
        self._owner_name = owner
        self.facts = facts_by_name()[name]
        self.__dict__["higher_is_better"] = self.facts.higher_is_better  # torchmetrics has it of the class alone
        self.of_set = isinstance(self.owner, SetMetric)
        if isinstance(self.owner, SetMetric) and len(self.owner.stored) != 1:
            raise RequestError(
                f"{name} keeps {len(self.owner.stored)} arrays of a clip, and only one can be brought together here.",
                "Evaluate its clips as files.",
            )
        self.add_state("values", default=[], dist_reduce_fx="cat")
        self.add_state("shapes", default=[], dist_reduce_fx="cat")
        self.add_state("missing", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, frames: Any, **given: Any) -> None:
        """Add one clip: frames and the fields of `mmbench.runs.memory.scorer.ClipInput`. Raises as the scorer."""
        if self.of_set:
            kept = self.scorer.features(self._owner_name, frames, **given)
            array = np.asarray(kept.arrays[self._stored])
            self.values.append(torch.tensor(array.ravel(), dtype=torch.float64, device=self.device))
            shape = (array.dtype.itemsize, array.ndim, *array.shape)
            self.shapes.append(torch.tensor(shape, dtype=torch.float64, device=self.device))
            return
        score = self.scorer(frames, **given).get(self.name)
        if score is None or score.value is None:
            self.missing += 1
            return
        self.values.append(torch.tensor([score.value], dtype=torch.float64, device=self.device))

    @property
    def _stored(self) -> str:
        assert isinstance(self.owner, SetMetric)
        return self.owner.stored[0]

    def compute(self) -> Tensor:
        """The mean over the clips that have a value, NaN where none has; a set's statistic.

        That is NaN, with a warning that says why, where the clips so far are too few for it: a training loop goes on.
        """
        values = _joined(self.values)
        if values is None:
            return torch.tensor(float("nan"), dtype=torch.float64)
        if not self.of_set:
            return values.mean()
        shapes = _joined(self.shapes)
        assert shapes is not None
        item = Item(NAME, "", "", Path(NAME))
        kept = [StoredFeatures(item, {self._stored: part}) for part in _parts(values, shapes)]
        found = {score.metric: score for score in self.scorer.of_set(self._owner_name, kept)}
        score = found[self.name]
        if score.value is None:
            warnings.warn(f"{self.name}: {score.reason}. {score.remedy}", UserWarning, stacklevel=2)
            return torch.tensor(float("nan"), dtype=torch.float64)
        return torch.tensor(score.value, dtype=torch.float64)

    def set_dtype(self, dst_type: str | torch.dtype) -> VideoMetric:
        """Nothing changes: values are kept and added in float64, as those of files are."""
        return self

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """torchmetrics' plot of the value, or of several `forward` gave: (figure, axes)."""
        return self._plot(val, ax)


def _joined(state: Sequence[Tensor] | Tensor) -> Tensor | None:
    """A list state before or after it was brought together over processes."""
    if isinstance(state, Tensor):
        return state if state.numel() else None
    return torch.cat(list(state)) if state else None


def _parts(values: Tensor, shapes: Tensor) -> Iterator[NDArray[np.floating[Any]]]:
    """The arrays of the clips, one after another, as they were stored: of their shapes and precision."""
    flat, left, start = values.cpu().numpy(), [int(number) for number in shapes], 0
    while left:
        itemsize, ndim, *left = left
        shape, left = left[:ndim], left[ndim:]
        end = start + math.prod(shape)
        yield flat[start:end].astype(f"f{itemsize}").reshape(shape)
        start = end
