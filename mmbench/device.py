"""The device a setting names, or an error that says why there is none: nothing runs elsewhere than where asked."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    import torch

Arithmetic = Literal["fp32", "tf32", "bf16"]
"""How a network multiplies: float32 throughout; float32 with products of 10 bits (NVIDIA's TF32); bfloat16, 8 bits."""

DEVICES = "Set device to cpu, cuda or cuda:1."


def kind_and_index(name: str) -> tuple[str, int]:
    """("cuda", 1) of "cuda:1"; the index is 0 where none is named. Raises MMBenchError for another form."""
    kind, colon, index = name.partition(":")
    if not kind.isalpha() or (colon and not (index.isascii() and index.isdigit())):
        raise MMBenchError(f"There is no device {name!r}.", DEVICES)
    return kind, int(index or 0)


def torch_device(name: str) -> torch.device:
    """torch's device of that name: "cpu", "cuda", "cuda:1" or "mps".

    Raises MMBenchError for a name that is no device, and for an accelerator that torch does not see.
    """
    import torch

    kind, index = kind_and_index(name)
    if kind not in ("cpu", "cuda", "mps"):
        raise MMBenchError(f"There is no device {name!r}.", DEVICES)
    if kind == "cuda" and index >= (count := torch.cuda.device_count()):
        raise MMBenchError(
            f"device is {name!r}, but torch {torch.__version__} sees {count} CUDA devices.",
            "Set device to cpu, or install the GPU's driver and a torch built for CUDA.",
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise MMBenchError(f"device is {name!r}, but torch {torch.__version__} sees no Metal GPU.", DEVICES)
    return torch.device(name)


def check_arithmetic(name: str, arithmetic: Arithmetic) -> None:
    """Raise MMBenchError where the device of that name does not multiply so."""
    if arithmetic == "tf32" and kind_and_index(name)[0] != "cuda":
        raise MMBenchError(f"precision is tf32, and {name!r} knows no TF32.", "Set precision to fp32 or bf16.")


@contextmanager
def multiplied(device: torch.device | str, arithmetic: Arithmetic) -> Iterator[None]:
    """Let torch's networks on a device multiply so within the block; what torch itself was set to is put back.

    An autocast of the caller's, of a training loop that scores its samples, say, does not reach into it.

    "fp32" and "tf32" also say what a GPU's convolutions do, which torch has do TF32 unless it is told.
    """
    import torch

    where = torch.device(device)
    mixed = torch.autocast(where.type, torch.bfloat16, enabled=arithmetic == "bf16")
    if where.type != "cuda":
        with mixed:
            yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = arithmetic == "tf32"
    try:
        with mixed:
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


@contextmanager
def torch_as_started() -> Iterator[None]:
    """Let torch's defaults be what they are in a new process within the block: float32, on the processor, no autocast.

    A caller's (of a training loop in bfloat16, say) would reach into networks and change numbers; they are put back.
    The dtype is the whole process's while the block lasts, and comes back when the last of the threads that are within
    such a block leaves it. Nothing is done where torch is not loaded.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(_FLOAT32)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


class _Float32:
    """float32 as torch's default dtype while any thread is within; the first one in remembers what it was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = 0
        self._before: torch.dtype | None = None

    def __enter__(self) -> None:
        import torch

        with self._lock:
            if not self._within:
                self._before = torch.get_default_dtype()
                torch.set_default_dtype(torch.float32)
            self._within += 1

    def __exit__(self, *_: object) -> None:
        import torch

        with self._lock:
            self._within -= 1
            if not self._within and self._before is not None:
                torch.set_default_dtype(self._before)


_FLOAT32 = _Float32()


def beside_torch(name: str) -> str:
    """Where a generator on that device runs its face networks, which onnxruntime has no Metal build for.

    A CUDA device stays what it is, index included; "mps" becomes "cpu", where one reference picture is no matter.
    """
    kind, _ = kind_and_index(name)
    return "cpu" if kind == "mps" else name
