"""The learning rate of hand examples, the averaged weights, and the optimiser's state by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmbench.errors import MissingDependency, RequestError, WeightsError
from mmbench.model.train.optimiser import (
    AveragedWeights,
    learning_rate,
    load_optimiser_state,
    make_optimiser,
    optimiser_state,
    set_rate,
)
from mmbench.model.train.settings import OptimiserSettings, StageSettings


def stage(**more: object) -> StageSettings:
    """Ten steps, two of them warming up."""
    return StageSettings.model_validate(
        {"name": "s", "data": [{"shards": ["x"]}], "steps": 10, "batch": 1, "lr": 1.0, "lr_end": 0.1, **more}
    )


def test_rates_of_hand_examples() -> None:
    cosine = stage(warmup=2)
    assert [learning_rate(cosine, step) for step in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert learning_rate(cosine, 6) == pytest.approx(0.55)  # half of the way down
    assert learning_rate(cosine, 9) == pytest.approx(
        0.1 + 0.9 * (1 + torch.cos(torch.tensor(torch.pi * 7 / 8)).item()) / 2
    )
    assert [learning_rate(stage(decay="constant"), step) for step in (0, 9)] == [1.0, 1.0]
    tail = stage(decay="tail")
    assert [learning_rate(tail, step) for step in (0, 6, 7)] == [1.0, 1.0, 1.0]
    assert learning_rate(tail, 9) == pytest.approx(1 - 0.9 * 2 / 3)


def test_averages_follow_and_swap() -> None:
    trained = {"w": nn.Parameter(torch.zeros(3))}
    averages = AveragedWeights(trained, 0.5)
    trained["w"].data.fill_(1.0)
    averages.update(trained)  # decay min(0.5, 2 / 11)
    torch.testing.assert_close(averages.values["w"], torch.full((3,), 9 / 11))
    averages.swap(trained)
    torch.testing.assert_close(trained["w"].detach(), torch.full((3,), 9 / 11))
    averages.swap(trained)
    torch.testing.assert_close(trained["w"].detach(), torch.ones(3))


def step(trained: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer) -> None:
    """One step on gradients of the weights' size."""
    set_rate(optimiser, 0.1)
    for parameter in trained.values():
        parameter.grad = torch.linspace(-1, 1, parameter.numel()).view_as(parameter)
    optimiser.step()


def test_state_goes_by_name_into_a_new_optimiser() -> None:
    trained = {name: nn.Parameter(torch.randn(4, 2)) for name in ("a", "b")}
    optimiser = make_optimiser(trained, OptimiserSettings())
    step(trained, optimiser)
    held = optimiser_state(optimiser, trained)
    copies = {name: nn.Parameter(trained[name].detach().clone()) for name in ("b", "a")}
    again = make_optimiser(copies, OptimiserSettings())
    load_optimiser_state(again, copies, held)
    step(trained, optimiser)
    step(copies, again)
    assert all(torch.equal(trained[name], copies[name]) for name in trained)
    with pytest.raises(WeightsError, match="other names"):
        load_optimiser_state(again, copies, {"c": {}})


def test_half_precision_weights_are_refused_and_missing_packages_named() -> None:
    with pytest.raises(RequestError, match="float32"):
        make_optimiser({"w": nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))}, OptimiserSettings())
    for kind in ("bitsandbytes", "torchao"):
        if __import__("importlib.util").util.find_spec(kind) is None:
            with pytest.raises(MissingDependency, match=kind):
                make_optimiser(
                    {"w": nn.Parameter(torch.zeros(2))},
                    OptimiserSettings(kind=f"adamw8bit-{kind}"),  # type: ignore[arg-type]
                )
