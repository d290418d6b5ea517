"""The optimiser over named parameters, its learning rate, and the averaged weights.

Trained weights are float32: a step of 1e-5 vanishes in bf16, whose spacing at 0.02 is 1e-4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmbench.errors import MissingDependency, RequestError, WeightsError

if TYPE_CHECKING:
    from mmbench.model.train.settings import OptimiserSettings, StageSettings


def learning_rate(stage: StageSettings, step: int) -> float:
    """The rate of a step, 0 to steps - 1, of a stage: a function of the step alone."""
    if step < stage.warmup:
        return stage.lr * (step + 1) / stage.warmup
    if stage.decay == "constant":
        return stage.lr
    if stage.decay == "tail":
        start = max(stage.warmup, round(0.7 * stage.steps))
        done = (step - start) / max(1, stage.steps - start)
        return stage.lr if done <= 0 else stage.lr + (stage.lr_end - stage.lr) * min(1.0, done)
    done = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.lr_end + (stage.lr - stage.lr_end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def make_optimiser(trained: Mapping[str, nn.Parameter], settings: OptimiserSettings) -> torch.optim.Optimizer:
    """AdamW of the wanted kind over the parameters, in the mapping's order. Raises MissingDependency, RequestError."""
    wrong = [name for name, parameter in trained.items() if parameter.dtype != torch.float32]
    if wrong:
        raise RequestError(f"{len(wrong)} trained parameters are not float32, {wrong[0]} among them.", "Report this.")
    options: dict[str, Any] = {
        "lr": 0.0,
        "betas": settings.betas,
        "eps": settings.eps,
        "weight_decay": settings.weight_decay,
    }
    parameters = list(trained.values())
    if settings.kind == "adamw":
        return torch.optim.AdamW(parameters, **options)
    if settings.kind == "adamw8bit-bitsandbytes":
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError as cause:
            raise MissingDependency(f"optimiser.kind is {settings.kind}.", "pip install bitsandbytes") from cause
        made: torch.optim.Optimizer = AdamW8bit(parameters, **options)
        return made
    try:
        from torchao.optim import AdamW8bit as AdamW8bitTorchao
    except ImportError as cause:
        raise MissingDependency(f"optimiser.kind is {settings.kind}.", "pip install torchao") from cause
    of_torchao: torch.optim.Optimizer = AdamW8bitTorchao(parameters, **options)
    return of_torchao


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the rate."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):  # torchao keeps it as a tensor
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def full(value: Any) -> Any:
    """A tensor's whole value on the CPU, gathered from all processes where it is sharded; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    gathered = value.full_tensor() if hasattr(value, "full_tensor") else value
    return gathered.detach().to("cpu", copy=True)


@torch.no_grad()
def put(target: Any, value: Tensor) -> None:
    """Copy a whole tensor into a parameter or buffer, which may be sharded."""
    value = value.to(target.device)
    if hasattr(target, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        value = distribute_tensor(value, target.device_mesh, target.placements)
    target.copy_(value)


def optimiser_state(optimiser: torch.optim.Optimizer, trained: Mapping[str, nn.Parameter]) -> dict[str, dict[str, Any]]:
    """The optimiser's state by parameter name, whole and on the CPU. All processes call it together."""
    return {
        name: {key: full(value) for key, value in optimiser.state[parameter].items()}
        for name, parameter in trained.items()
        if parameter in optimiser.state
    }


def load_optimiser_state(
    optimiser: torch.optim.Optimizer, trained: Mapping[str, nn.Parameter], held: Mapping[str, Mapping[str, Any]]
) -> None:
    """Give the optimiser the state of `optimiser_state`. WeightsError for names that it has not."""
    if set(held) - set(trained):
        raise WeightsError(f"The optimiser's state has other names, {sorted(set(held) - set(trained))[0]}.", "")
    for name, state in held.items():
        parameter = trained[name]
        optimiser.state[parameter] = {key: _like(parameter, value) for key, value in state.items()}


def _like(parameter: nn.Parameter, value: Any) -> Any:
    """A state's value where its parameter is: sharded with it if it has its shape; counters stay on the CPU."""
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    if value.shape == parameter.shape and hasattr(parameter, "device_mesh"):
        local = torch.zeros_like(parameter.detach())
        put(local, value)
        return local
    return value.to(parameter.device)


class AveragedWeights:
    """An exponential moving average of the trained parameters, float32, beside them.

    Its decay rises with the steps taken, (1 + n) / (10 + n), up to the one given.
    """

    def __init__(self, trained: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {name: parameter.detach().clone() for name, parameter in trained.items()}

    @torch.no_grad()
    def update(self, trained: Mapping[str, nn.Parameter]) -> None:
        """Move towards the present weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self.values.items():
            value.lerp_(trained[name].detach(), 1 - decay)

    @torch.no_grad()
    def swap(self, trained: Mapping[str, nn.Parameter]) -> None:
        """Exchange averages and weights: call it before and after the averages are used."""
        for name, value in self.values.items():
            parameter = trained[name]
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)
