"""The errors a user can mend. Each is one sentence of cause and one of remedy, printed without a traceback."""

from __future__ import annotations

import errno


class MMBenchError(Exception):
    """Base of all user errors: `message` names the file and the cause, `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def __reduce__(self) -> tuple[type[MMBenchError], tuple[str, str]]:
        return type(self), (self.message, self.remedy)


class MediaError(MMBenchError):
    """A video or image that cannot be used: corrupt, empty, truncated, too large, or not media at all."""


class RemoteError(MediaError, OSError):
    """A file elsewhere that cannot be had: not there, not permitted, not in time, larger than may be.

    Also an OSError: whoever can do without a file of this machine that cannot be read can do without one of those.
    """


class MissingWeights(MMBenchError):
    """A weight file is not on disk; the remedy is the command that gets it, with size and licence."""


class WeightsError(MMBenchError):
    """A weight file is on disk but wrong: hash, size, unknown or left-over keys."""


class MissingDependency(MMBenchError):
    """An optional package is not installed; the remedy names the extra."""


class ManifestError(MMBenchError):
    """A manifest, prompt file, test set or settings file that cannot be used."""


class RequestError(MMBenchError, ValueError):
    """A generation request a model cannot serve: wrong size, frame count, prompt or reference.

    Also a ValueError, which is what callers of diffusers' pipelines catch.
    """


class ReferenceFaceError(MMBenchError):
    """A reference image without a usable face: an error when a run is set up, never a NaN."""


class GenerationError(MMBenchError):
    """A generator failed on a request, crashed, or ran out of time."""


class WorkerDied(MMBenchError):
    """A worker process ended before its task was done: killed, out of memory, or its script cannot be imported."""


class MachineFault(MMBenchError):
    """The machine failed, not a file: no space, no memory, too many open files, no permission to write."""


class BusyFolder(MMBenchError):
    """Another process works in a folder that only one may write to; the message names it."""


class PlugInError(MMBenchError):
    """A metric or model of another package that cannot be used."""


_FILES = "Raise the limit of open files (`ulimit -n`), or use fewer workers."
_MACHINE = {
    errno.ENOSPC: "Make room there.",
    errno.EDQUOT: "Make room there.",
    errno.ENOMEM: "Use fewer workers.",
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EROFS: "Name a folder that can be written to.",
    errno.EACCES: "Give permission, or name another folder.",
    errno.EPERM: "Give permission, or name another folder.",
}
"""What a machine can lack, and what to do."""
_AGAIN = "Then run the same command again to continue; finished work is kept."


def machine_fault(cause: BaseException, reading: str = "") -> MachineFault | None:
    """What the machine is to blame for in an exception or in what caused it; None where it is not.

    A permission that lacks for `reading` (a file, or a folder above what was opened) is that file's fault.
    """
    seen: BaseException | None = cause
    while seen is not None:
        if isinstance(seen, MachineFault):
            return seen
        if isinstance(seen, MemoryError) or type(seen).__name__ == "OutOfMemoryError":  # torch's, by its name
            return MachineFault(f"The memory is full{_at(reading)}.", f"Use fewer workers, or leave it out. {_AGAIN}")
        if isinstance(seen, OSError) and seen.errno in _MACHINE and not _of_the_file(seen, reading):
            named = str(seen.filename or "This machine")
            return MachineFault(f"{named}: {seen.strerror}{_at(reading)}.", f"{_MACHINE[seen.errno]} {_AGAIN}")
        seen = seen.__cause__
    return None


def _of_the_file(cause: OSError, reading: str) -> bool:
    """Whether the file that is read is to blame: no permission, or a size in it that no memory holds."""
    if cause.errno in (errno.EACCES, errno.EPERM):
        named = str(cause.filename or "")
        return not named or bool(reading and named.startswith(reading))
    return cause.errno == errno.ENOMEM and type(cause).__module__.startswith("av.")


def _at(reading: str) -> str:
    return f" (at {reading})" if reading else ""


EXTRAS = {
    "generate": ("accelerate", "diffusers", "transformers"),
    "insightface": ("onnxruntime", "onnx"),
    "insightface-gpu": ("onnxruntime", "onnx"),
    "ray": ("ray",),
    "remote": ("fsspec", "s3fs"),
    "study": ("fastapi", "uvicorn"),
    "synth": ("numba",),
    "train": ("accelerate", "diffusers", "transformers"),
}
"""The packages that an extra of mmbench brings, by their import names; those of them that are asked for by name."""


def require_extra(name: str, *packages: str) -> None:
    """Raise MissingDependency, with the command that installs it, unless the packages of an extra can be found.

    `packages` are those that are needed, all of the extra's where none is named. Nothing is imported.
    """
    from importlib.util import find_spec

    if missing := [package for package in packages or EXTRAS[name] if find_spec(package) is None]:
        raise MissingDependency(f"{', '.join(missing)}: not installed.", how_to_install(name))


def how_to_install(extra: str) -> str:
    """The command that installs an extra; "" is mmbench without one."""
    remedy = f"pip install 'mmbench[{extra}]'" if extra else "pip install 'mmbench'"
    return f"{remedy}, or 'mmbench[insightface-gpu]' for a GPU" if extra == "insightface" else remedy
