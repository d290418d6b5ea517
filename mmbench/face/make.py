"""Face networks by name: the one place that knows every implementation of `FaceBackend`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    from mmbench.face.types import FaceBackend

BACKENDS = ("dlib", "insightface", "insightface+dlib", "retinaface")


def make_backend(name: str, *, threads: int = 1, tiny: bool = False, device: str = "cpu") -> FaceBackend:
    """The backend of that name, its weight files checked and loaded.

    "dlib" (default of the suite): HOG, then a CNN, 68 points, 128-d embeddings. "insightface": SCRFD and
    ArcFace. "insightface+dlib", "retinaface": SCRFD's or RetinaFace's faces with dlib's embeddings. `threads`
    spreads dlib's HOG detector over cores without changing any result; the others ignore it. `tiny` takes small
    random networks instead of the others' weights (for tests; dlib's are always the real ones). `device` ("cpu",
    "cuda", "cuda:1") is where SCRFD, ArcFace, RetinaFace and dlib's two networks run; HOG and dlib's landmarks stay on
    the processor.

    Raises MissingWeights or WeightsError when a weight file is absent or wrong, MissingDependency when a
    package is not installed or cannot use the GPU asked for, MMBenchError for an unknown name or device.
    """
    if name == "dlib":
        from mmbench.face.dlib.eyes import DlibBackend

        return DlibBackend(threads=threads, device=device)
    if name == "insightface":
        from mmbench.face.insightface.eyes import InsightFaceBackend

        return InsightFaceBackend(tiny=tiny, device=device)
    if name == "insightface+dlib":
        from mmbench.face.insightface.eyes import InsightFaceDlibBackend

        return InsightFaceDlibBackend(tiny=tiny, device=device)
    if name == "retinaface":
        from mmbench.face.retinaface.eyes import RetinaFaceBackend

        return RetinaFaceBackend(tiny=tiny, device=device)
    raise MMBenchError(f"There is no face backend {name!r}.", f"Known backends: {', '.join(BACKENDS)}.")
