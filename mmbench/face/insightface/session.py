"""onnxruntime sessions on the device that was asked for, or an error: never quietly on another."""

from __future__ import annotations

from typing import Any

from mmbench.device import DEVICES, kind_and_index
from mmbench.errors import MissingDependency, MMBenchError, require_extra

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

# Full float32, so that a GPU differs from the processor by rounding alone; kernels chosen by rule, because the
# default times all of them, and so chooses differently from run to run.
CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}

ONE_PACKAGE = (
    "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install 'mmbench[insightface-gpu]' (one of the two "
    "packages, never both: they share a folder); or set device to cpu."
)
CUDA_LIBRARIES = "pip install 'onnxruntime-gpu[cuda,cudnn]' brings them; or set device to cpu."


def open_session(model: str | bytes, device: str, threads: int = 1) -> Any:
    """An `onnxruntime.InferenceSession` of a file or of a serialised model on "cpu", "cuda" or "cuda:1".

    On a GPU, operations that have no CUDA kernel run on the processor, as onnxruntime places them. Raises
    MissingDependency without onnxruntime, or where it cannot use the GPU that was asked for; MMBenchError for
    another device.
    """
    onnxruntime = import_onnxruntime()
    wanted = check_provider(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    providers: list[Any] = [PROVIDERS["cpu"]]
    if wanted != PROVIDERS["cpu"]:
        if hasattr(onnxruntime, "preload_dlls"):  # from 1.21: finds the CUDA libraries that pip installed
            onnxruntime.preload_dlls()
        providers.insert(0, (wanted, {"device_id": str(kind_and_index(device)[1]), **CUDA_OPTIONS}))
    session = onnxruntime.InferenceSession(model, options, providers=providers)
    if provider_of(session) != wanted:  # onnxruntime only logs that a provider did not start
        raise MissingDependency(
            f"device is {device!r}, but onnxruntime {onnxruntime.__version__} could not start its {wanted}: "
            "CUDA or cuDNN libraries of its version, or the driver, are missing (its log says which).",
            CUDA_LIBRARIES,
        )
    session.disable_fallback()
    return session


def check_provider(device: str) -> str:
    """The provider of a device, which the installed onnxruntime has. Raises as `open_session`."""
    onnxruntime = import_onnxruntime()
    kind, _ = kind_and_index(device)
    if kind not in PROVIDERS:
        raise MMBenchError(f"There is no device {device!r} for onnxruntime.", DEVICES)
    provider = PROVIDERS[kind]
    if provider not in onnxruntime.get_available_providers():
        raise MissingDependency(
            f"device is {device!r}, but the installed onnxruntime {onnxruntime.__version__} has no {provider}.",
            ONE_PACKAGE,
        )
    return provider


def provider_of(session: Any) -> str:
    """The provider a session runs on, e.g. "CPUExecutionProvider"."""
    return str(session.get_providers()[0])


def import_onnxruntime() -> Any:
    """The package onnxruntime. Raises MissingDependency where it is not installed."""
    require_extra("insightface", "onnxruntime")
    import onnxruntime

    return onnxruntime


def import_onnx() -> Any:
    """The package onnx with its helpers, which reads and writes networks. Raises MissingDependency without it."""
    require_extra("insightface", "onnx")
    import onnx
    import onnx.helper
    import onnx.numpy_helper

    return onnx
