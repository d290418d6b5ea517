"""What metrics may ask of motion: the flow of a clip's sampled frames, with or without its change in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmbench.errors import MissingWeights
from mmbench.files import cache_folder, content_of
from mmbench.flow.types import VERSION
from mmbench.video.need import FrameNeed, Look, Maker, Networks

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.flow.cache import FlowCache
    from mmbench.flow.flow_pass import FlowMode, FlowPass, FlowResult
    from mmbench.flow.types import FlowBackend
    from mmbench.video.clip import ClipInfo

OTHER = "Or --flow-backend dis: another measure, labelled so, that needs no weights."


class FlowMaker(Maker["FlowResult"]):
    """Flow passes of one backend. Whoever asks for flow looks together; one asking for smoothness is enough.

    What they find is kept for later runs in `cache`, where there is one.
    """

    def __init__(
        self,
        backend: FlowBackend,
        mode: FlowMode,
        smoothness: bool,
        memory: int | None = None,
        cache: FlowCache | None = None,
    ) -> None:
        super().__init__(self._pass)
        self._cache = cache
        self.backend, self.mode, self.smoothness, self.memory = backend, mode, smoothness, memory
        self.shares = (id(backend), mode)

    def look(self, beside: Sequence[Maker[Any]] = ()) -> Look:
        """One pass; every maker gets its result."""
        wanted = self.smoothness or any(isinstance(maker, FlowMaker) and maker.smoothness for maker in beside)
        made = self._pass(wanted)
        return Look(made, lambda: (made.finish(),) * (1 + len(beside)))

    def known(self, clip: ClipInfo) -> FlowResult | None:
        """The result of an earlier run over these bytes, at this rate, with this method.

        None beyond the memory limit, though a run with another one has kept a result: a number never depends on that.
        """
        if self.memory is not None and self.backend.memory(clip.height, clip.width) > self.memory:
            return None
        return self._cache.get(clip, self.smoothness and self.mode == "full") if self._cache else None

    def keep(self, clip: ClipInfo, found: FlowResult) -> None:
        """Keep a result for later runs."""
        if self._cache and not found.reason:
            self._cache.put(clip, found)

    def _pass(self, smoothness: bool | None = None) -> FlowPass:
        from mmbench.flow.flow_pass import FlowPass

        wanted = self.smoothness if smoothness is None else smoothness
        return FlowPass(self.backend, self.mode, want_smoothness=wanted and self.mode == "full", memory=self.memory)


class Flow(FrameNeed["FlowResult"]):
    """Pair scores of the flow; with `smoothness` also how it changes from pair to pair, in full mode."""

    reads = ("fps",)
    revision = VERSION

    def __init__(self, name: str, smoothness: bool) -> None:
        self.name, self.smoothness = name, smoothness

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """The method and its mode; RAFT's weights, device and arithmetic; the memory it may take."""
        return {**self._method(settings), "memory": settings.limits.memory}

    def _method(self, settings: EvaluateSettings) -> dict[str, Any]:
        flow = settings.flow
        if flow.backend == "dis":
            return {"backend": "dis", "mode": flow.mode}
        own = {**flow.model_dump(mode="json", exclude={"weights"}), "device": settings.device}
        if settings.random_weights:
            return {**own, "weights": "random"}
        if flow.weights:
            return {**own, "weights": content_of(flow.weights)}
        from mmbench.weights.identity import identity

        return {**own, "weights": identity("raft-things", "raft-c-t-v1")}

    def make(self, settings: EvaluateSettings, networks: Networks) -> FlowMaker:
        """The settings' flow method. Raises MissingWeights, naming the method that needs none, or WeightsError."""
        from mmbench.flow.make import make_flow

        flow = settings.flow
        tiny = settings.random_weights and flow.backend == "raft"
        key = (flow.backend, settings.device, flow.weights, tiny, flow.precision, flow.split_gru)
        try:
            backend = networks.once(("flow", *key), lambda: make_flow(*key))
        except MissingWeights as cause:
            raise MissingWeights(cause.message, f"{cause.remedy} {OTHER}") from cause
        from mmbench.flow.cache import FlowCache

        cache = FlowCache(cache_folder("flows"), self._method(settings), backend.provenance)
        return FlowMaker(backend, flow.mode, self.smoothness, settings.limits.memory, cache)

    def gpu_bytes(self, settings: EvaluateSettings) -> int:
        """RAFT's budgets; OpenCV's flow runs on the processor."""
        if settings.flow.backend == "dis":
            return 0
        from mmbench.flow.raft.flow import GPU_BUDGET, GPU_FEATURES

        return GPU_BUDGET + GPU_FEATURES

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights where RAFT's file is not here."""
        from mmbench.weights import first_of

        if settings.flow.backend != "raft" or settings.flow.weights or settings.random_weights:
            return
        try:
            first_of("raft-things", "raft-c-t-v1")
        except MissingWeights as cause:
            raise MissingWeights(cause.message, f"{cause.remedy} {OTHER}") from cause


FLOW = Flow("flow", smoothness=False)
SMOOTH_FLOW = Flow("flow and its change", smoothness=True)
