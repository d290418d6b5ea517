"""Networks whose parts are called by themselves are fetched back first, where they are offloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module

from mmbench.baselines.contract import Baseline, Request


class Fetched(ModelHook):
    """Counts how often a network is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def pre_forward(self, module: Any, *given: Any, **named: Any) -> Any:
        self.times += 1
        return given, named


@pytest.mark.parametrize("name", ["lynx", "phantom", "skyreels_v3", "stand_in"])
def test_an_offloaded_network_is_fetched_before_it_is_used(
    name: str, loaded: Callable[[str, str], Baseline], request_for: Callable[..., Request]
) -> None:
    model: Any = loaded(name, "tiny")
    plain = model.generate(request_for()).frames
    networks = {part: getattr(model.pipe, part) for part in ("transformer", "text_encoder", "vae")}
    hooks = {part: Fetched() for part in networks}
    for part, network in networks.items():
        add_hook_to_module(network, hooks[part])
    try:
        assert (model.generate(request_for()).frames == plain).all()
    finally:
        for network in networks.values():
            remove_hook_from_module(network)
    assert hooks["transformer"].times >= 2  # a step, at least
    assert hooks["text_encoder"].times >= 1
    assert hooks["vae"].times >= 2  # pictures in, frames out
