"""The processes of a run and their device: accelerate's, with DDP or FSDP2 around the trained module."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmbench.device import torch_device
from mmbench.errors import MissingDependency, RequestError, require_extra
from mmbench.model.train.settings import MachineSettings

if TYPE_CHECKING:
    from mmbench.model.train.build import Parts

PATIENCE = timedelta(hours=6)
"""How long a process waits for the others: one of them may be making and measuring validation clips."""


class Processes:
    """This process among those that `accelerate launch` or `torchrun` started (one, without them), and the trackers."""

    def __init__(self, wanted: MachineSettings, out: Path, trackers: tuple[str, ...] = ()) -> None:
        require_extra("train")
        from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
        from accelerate.utils import DDPCommunicationHookType

        device = torch_device(wanted.device)
        hook = DDPCommunicationHookType.BF16 if wanted.allreduce == "bf16" else DDPCommunicationHookType.NO
        self.accelerator = Accelerator(
            cpu=device.type == "cpu",
            log_with=list(trackers) or None,
            project_dir=str(out),
            mixed_precision="no",
            kwargs_handlers=[
                DistributedDataParallelKwargs(find_unused_parameters=False, comm_hook=hook),
                InitProcessGroupKwargs(timeout=PATIENCE),
            ],
        )
        self.wanted = wanted
        self.world, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.device = self.accelerator.device if self.world > 1 or device.type == "cpu" else device
        if trackers:
            self.accelerator.init_trackers("mmbench-train")

    def wrap(self, parts: Parts) -> nn.Module:
        """The module to call: sharded in place (FSDP2), in DDP, or itself where there is one process."""
        if self.wanted.parallel == "fsdp":
            shard(parts, self.device)
        if self.wanted.parallel == "fsdp" or self.world == 1:
            module: nn.Module = parts.module
            return module
        wrapped: nn.Module = self.accelerator.prepare_model(parts.module, device_placement=False)
        return wrapped

    def no_sync(self, model: nn.Module) -> AbstractContextManager[Any]:
        """A block whose backward pass leaves gradients unaveraged: another micro-batch follows."""
        if self.wanted.parallel == "ddp" and self.world > 1:
            context: AbstractContextManager[Any] = model.no_sync()  # type: ignore[operator]
            return context
        return nullcontext()  # FSDP2 sums into sharded gradients: no whole gradient has to be kept

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether it is set in any process."""
        if self.world == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Until all processes are here."""
        self.accelerator.wait_for_everyone()

    def track(self, values: Mapping[str, float], step: int) -> None:
        """Hand values to the trackers that were asked for."""
        self.accelerator.log(dict(values), step=step)

    def end(self) -> None:
        """Finish the trackers."""
        self.accelerator.end_training()


def shard(parts: Parts, device: torch.device) -> None:
    """FSDP2 in place: the module's units (blocks, adapters, face networks) one by one, then the root."""
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
    except ImportError as cause:
        raise MissingDependency(
            "machine.parallel is fsdp: FSDP2 needs torch 2.6.", "pip install 'torch>=2.6'"
        ) from cause
    if not torch.distributed.is_initialized():
        raise RequestError("machine.parallel is fsdp, but no process group was started.", "Use `accelerate launch`.")
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    # transformers finds what a tower has to record by its class, which sharding replaces: the tower stays whole
    tower = getattr(parts.face_encoder, "vision", None)
    whole = set() if tower is None else set(tower.parameters())
    for unit in parts.module.shard_units():
        if unit is not tower:
            fully_shard(unit, mesh=mesh)
    fully_shard(parts.module, mesh=mesh, ignored_params=whole)
