"""The device a setting names, or an error that says why there is none: nothing runs elsewhere than where asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    import torch

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


def beside_torch(name: str) -> str:
    """Where a generator on that device runs its face networks, which onnxruntime has no Metal build for.

    A CUDA device stays what it is, index included; "mps" becomes "cpu", where one reference picture is no matter.
    """
    kind, _ = kind_and_index(name)
    return "cpu" if kind == "mps" else name
