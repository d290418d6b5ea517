"""Networks that do not fit a device together take turns on it: those used last stay, the others wait in main memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    import torch
    from torch import nn

Move = Callable[["nn.Module", "torch.device"], None]
_DEPTH = 4


class Turns:
    """Keeps the weights of the networks on a device within `budget` bytes; what they compute with comes on top.

    A network that is called while it waits is brought in before it computes, and those that were called longest ago go
    out for it. Its numbers are the same: only where its weights lie changes. `moves` counts the ways in; `around`
    gives a block within which each move is made. Not for several threads.
    """

    def __init__(self, budget: int, device: torch.device, move: Move | None = None) -> None:
        self.budget, self.device = budget, device
        self.moves = 0
        self.around: Callable[[], AbstractContextManager[None]] = nullcontext
        self._move = move or _to
        self._inside: OrderedDict[int, tuple[nn.Module, int]] = OrderedDict()
        self._known: dict[int, tuple[nn.Module, int]] = {}

    def make_room(self) -> None:
        """Send all networks out: another one is being made, on the device."""
        self._shrink_to(0)

    def admit(self, made: Any) -> None:
        """Let the networks within `made` (a module, or an object that holds some) take turns with those before.

        Only modules on the device count. Raises MMBenchError for one that is larger than the budget.
        """
        for network in networks_in(made):
            size = _bytes(network)
            if not size or self._knows(network) or not self._is_here(network):
                continue
            if size > self.budget:
                raise MMBenchError(
                    f"{type(network).__name__} takes {size / 2**30:.2f} GiB of {self.device}, and network_gib allows "
                    f"{self.budget / 2**30:.2f}.",
                    "Raise evaluate.network_gib, or leave out the metrics that need this network.",
                )
            self._known[id(network)] = (network, size)
            self._shrink_to(self.budget - size)
            self._inside[id(network)] = (network, size)
            for part in network.modules():
                part.register_forward_pre_hook(self._before(id(network)))

    def inside(self) -> int:
        """Bytes of the weights that lie on the device now."""
        return sum(size for _, size in self._inside.values())

    def _before(self, key: int) -> Callable[..., None]:
        # Every part asks: networks have further ways in than `forward`, such as encoding a text.
        def bring_in(*_: Any) -> None:
            if key in self._inside:
                self._inside.move_to_end(key)
                return
            network, size = self._known[key]
            self._shrink_to(self.budget - size)
            with self.around():
                self._move(network, self.device)
            self._inside[key] = (network, size)
            self.moves += 1

        return bring_in

    def _shrink_to(self, most: int) -> None:
        import torch

        while self._inside and self.inside() > most:
            _, (network, _) = self._inside.popitem(last=False)
            with self.around():
                self._move(network, torch.device("cpu"))

    def _knows(self, network: nn.Module) -> bool:
        return any(part is network for known, _ in self._known.values() for part in known.modules())

    def _is_here(self, network: nn.Module) -> bool:
        return next(network.parameters()).device.type == self.device.type


def networks_in(made: Any, depth: int = _DEPTH) -> Iterator[nn.Module]:
    """The outermost torch modules within an object of ours, its fields and their lists, each once."""
    from torch import nn

    seen: set[int] = set()

    def search(one: Any, left: int) -> Iterator[nn.Module]:
        if id(one) in seen or left < 0:
            return
        seen.add(id(one))
        if isinstance(one, nn.Module):
            yield one
        elif isinstance(one, dict):
            for held in one.values():
                yield from search(held, left - 1)
        elif isinstance(one, list | tuple):
            for held in one:
                yield from search(held, left - 1)
        elif type(one).__module__.startswith("mmbench."):
            yield from search(getattr(one, "__dict__", {}), left)

    yield from search(made, depth)


def _bytes(network: nn.Module) -> int:
    held = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in held)


def _to(network: nn.Module, device: torch.device) -> None:
    network.to(device)
