"""Optical-flow methods by name: the one place that knows every implementation of `FlowBackend`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmbench.flow.types import FlowBackend, FlowName, Precision


def make_flow(
    name: FlowName,
    device: str = "cpu",
    weights: str | Path | None = None,
    tiny: bool = False,
    precision: Precision = "fp32",
    split_gru: bool = True,
) -> FlowBackend:
    """The flow method called `name`.

    "dis" (OpenCV) needs no weights and has no precision to trade. "raft" loads the file at `weights`, or the
    registered raft-things checkpoint when None; "random" gives seeded random weights, `tiny` a small random
    network on the same code path. `precision` below fp32 and `split_gru` (2e-5 px) are described in `raft`.
    Raises MissingWeights, WeightsError, or ValueError for an unknown name.
    """
    if name == "dis":
        from mmbench.flow.dis import DisFlow

        return DisFlow()
    if name == "raft":
        from mmbench.flow.raft.flow import RaftFlow
        from mmbench.flow.raft.weights import load_raft

        network, provenance = load_raft(weights, tiny=tiny)
        return RaftFlow(network, provenance, device=device, precision=precision, split_gru=split_gru)
    raise ValueError(f"there is no flow method {name!r}; known: raft, dis")
