"""How the tasks of one call are spread: which part of them is this process's, and over what they go."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmbench.engine.ray import RayCluster
from mmbench.engine.shard import Shard


@dataclass(frozen=True)
class Spread:
    """`shard` is this process's part of the work, the whole by default; `cluster` takes the place of local workers."""

    shard: Shard = field(default_factory=Shard)
    cluster: RayCluster | None = None
