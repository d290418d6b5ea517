"""`VideoMetric`: a metric of this suite as torchmetrics knows them, for training loops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchmetrics
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
    Several of one scorer look at a clip together: a `MetricCollection` of them decodes and detects once.

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
    lengths: list[Tensor]
    missing: Tensor

    def __init__(self, name: str, scorer: Scorer | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
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
        self.add_state("lengths", default=[], dist_reduce_fx="cat")
        self.add_state("missing", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, frames: Any, **given: Any) -> None:
        """Add one clip: frames and the fields of `mmbench.runs.memory.scorer.ClipInput`. Raises as the scorer."""
        if self.of_set:
            kept = self.scorer.features(self._owner_name, frames, **given)
            array = kept.arrays[self._stored]
            self.values.append(torch.as_tensor(np.asarray(array), device=self.device))
            self.lengths.append(torch.tensor([len(array)], device=self.device))
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
        """The mean over the clips that have a value, NaN where none has; a set's statistic."""
        values = _joined(self.values)
        if values is None:
            return torch.tensor(float("nan"))
        if not self.of_set:
            return values.mean()
        lengths = _joined(self.lengths)
        assert lengths is not None
        parts = torch.split(values.cpu(), [int(n) for n in lengths])
        item = Item(NAME, "", "", Path(NAME))
        kept = [StoredFeatures(item, {self._stored: part.numpy()}) for part in parts]
        found = {score.metric: score for score in self.scorer.of_set(self._owner_name, kept)}
        score = found[self.name]
        if score.value is None:
            raise RequestError(score.reason, score.remedy)
        return torch.tensor(score.value, dtype=torch.float64)

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """torchmetrics' plot of the value, or of several `forward` gave: (figure, axes)."""
        return self._plot(val, ax)


def _joined(state: Sequence[Tensor] | Tensor) -> Tensor | None:
    """A list state before or after it was brought together over processes."""
    if isinstance(state, Tensor):
        return state if state.numel() else None
    return torch.cat(list(state)) if state else None
