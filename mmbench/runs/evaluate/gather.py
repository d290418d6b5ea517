"""Gather what the metrics of a run need: the union of their needs, in one decode of each clip."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.config import EvaluateSettings
from mmbench.errors import MissingDependency, MissingWeights, WeightsError
from mmbench.files import Progress, cache_folder
from mmbench.items import Item
from mmbench.metrics.base import Evidence, Metric, Need
from mmbench.runs.evaluate.features import write_features
from mmbench.runs.evaluate.references import load, lookup, prepare

if TYPE_CHECKING:
    from mmbench.face.track import ReferenceFaces
    from mmbench.face.types import FaceBackend
    from mmbench.video.clip import FramePass

    MakePass = Callable[[], FramePass[Any]]


TRACK = {Need.FACES: 0, Need.ARCFACE: -1}
"""Which of a face pass's tracks a need is met by: ArcFace's is the second where the pass makes two."""

UNAVAILABLE = (MissingWeights, MissingDependency, WeightsError)


@dataclass(frozen=True)
class Unmet:
    """Why a need cannot be met on this machine, and what to do."""

    reason: str
    remedy: str


@dataclass(frozen=True)
class FaceNetworks:
    """What finds and embeds the faces of a run: `faces` for every face column but ArcFace's, `arcface` for that one.

    None where a need was not asked for or cannot be met (`unmet`). `shared`: one detector serves both.
    """

    faces: FaceBackend | None = None
    arcface: FaceBackend | None = None
    shared: bool = False
    unmet: Mapping[Need, Unmet] = field(default_factory=dict)


def wanted_needs(metrics: Iterable[Metric]) -> set[Need]:
    """Union of what the metrics need."""
    return {need for metric in metrics for need in metric.needs}


def prepare_passes(
    settings: EvaluateSettings, metrics: Sequence[Metric]
) -> tuple[dict[Need, MakePass], dict[Need, Unmet]]:
    """Load the networks the metrics need, once. Returns how to make each pass, and the needs that cannot be met.

    Two needs with one and the same maker are met by one pass (`FacePass.finish_all`).
    """
    needs = wanted_needs(metrics)
    networks = face_networks(settings, needs)
    smoothness = any(metric.facts.name == "motion_smoothness" for metric in metrics)
    builders: dict[Need, Callable[[], MakePass]] = {
        Need.FLOW: lambda: _flow_pass(settings, smoothness),
        Need.VIDEO_TEXT: lambda: _video_text_pass(settings),
        Need.INCEPTION: lambda: _inception_pass(settings),
    }
    passes = _face_passes(settings, needs, networks)
    unmet = dict(networks.unmet)
    for need in sorted(needs & set(builders)):
        try:
            passes[need] = builders[need]()
        except UNAVAILABLE as cause:
            unmet[need] = Unmet(cause.message, cause.remedy)
    return passes, unmet


def prepare_references(
    items: Sequence[Item],
    settings: EvaluateSettings,
    metrics: Sequence[Metric],
    run: Path,
    progress: Progress,
) -> None:
    """Find the reference faces for every face network the run uses. Raises ReferenceFaceError."""
    networks = face_networks(settings, wanted_needs(metrics) & {Need.REFERENCES, Need.ARCFACE})
    own, arcface = references_path(run, Need.REFERENCES), references_path(run, Need.ARCFACE)
    also = {arcface: networks.arcface} if networks.shared and networks.arcface else {}
    if networks.faces:
        prepare(items, networks.faces, own, progress, also)
    if networks.arcface and not also:
        prepare(items, networks.arcface, arcface, progress)


def references_path(run: Path, need: Need) -> Path:
    """Where a run keeps the reference faces of one face network."""
    return run / "references" / f"{need.value}.npz"


class Gatherer:
    """Networks loaded once a process; `gather` opens a clip once and feeds every pass from that decode."""

    def __init__(self, settings: EvaluateSettings, metrics: Sequence[Metric], items: Sequence[Item], run: Path) -> None:
        from mmbench.face.bank import build_bank
        from mmbench.face.cache import FaceCache
        from mmbench.face.face_pass import FacePass

        self._run = run
        self._passes, self.unmet = prepare_passes(settings, metrics)
        self._caches = {
            need: FaceCache(cache_dir(), made.backends[TRACK[need]], made.frames)
            for need, made in ((need, make()) for need, make in self._passes.items())
            if isinstance(made, FacePass)
        }
        self._references: dict[Need, Mapping[str, ReferenceFaces]] = {
            need: load(path)
            for need in (Need.REFERENCES, Need.ARCFACE)
            if (path := references_path(run, need)).exists()
        }
        people = {item.identity: self._lookup(Need.REFERENCES, item.references) for item in items}
        known = {identity: faces for identity, faces in people.items() if faces is not None}
        self._bank = build_bank(known) if known else None

    def gather(self, item: Item) -> Evidence:
        """Everything the metrics need of one clip. Raises MediaError when the clip cannot be used."""
        from mmbench.face.face_pass import FacePass
        from mmbench.video.cadence import CadencePass
        from mmbench.video.read import open_clip

        clip = open_clip(item.video, fps=item.fps)
        found: dict[Need, Any] = {}
        for need, cache in self._caches.items():
            if (track := cache.get(clip.info)) is not None:
                found[need] = track
        wanted = {need: make for need, make in self._passes.items() if need not in found}
        passes = {make: make() for make in wanted.values()}
        cadence = CadencePass()
        info = clip.decode([cadence, *passes.values()])
        tracks = {make: made.finish_all() for make, made in passes.items() if isinstance(made, FacePass)}
        for need, make in wanted.items():
            if make in tracks:
                found[need] = tracks[make][TRACK[need]]
                self._caches[need].put(info, found[need])
            else:
                found[need] = passes[make].finish()
        return Evidence(
            item,
            replace(info, warnings=(*info.warnings, *cadence.finish())),
            faces=found.get(Need.FACES),
            references=self._lookup(Need.REFERENCES, item.references),
            condition=self._lookup(Need.REFERENCES, (item.condition,)) if item.condition else None,
            bank=self._bank,
            flow=found.get(Need.FLOW),
            video_text=found.get(Need.VIDEO_TEXT),
            inception=found.get(Need.INCEPTION),
            arcface=found.get(Need.ARCFACE),
            arcface_references=self._lookup(Need.ARCFACE, item.references),
        )

    def keep_features(self, item: Item, evidence: Evidence) -> None:
        """Store what set metrics need of this clip."""
        if evidence.inception is not None:
            write_features(self._run, item, evidence.inception.log_probs, evidence.inception.provenance)

    def _lookup(self, need: Need, paths: tuple[Path, ...]) -> ReferenceFaces | None:
        return lookup(self._references.get(need, {}), paths)


def cache_dir() -> Path:
    """Where face passes are kept between runs."""
    return cache_folder("faces")


def face_backend(name: str, settings: EvaluateSettings) -> FaceBackend:
    """The face network of that name on the run's device; random weights where the settings say so (dlib's real ones
    come with it)."""
    from mmbench.face.make import make_backend

    return make_backend(name, tiny=settings.random_weights, device=settings.device)


def face_networks(settings: EvaluateSettings, needs: Collection[Need]) -> FaceNetworks:
    """The networks of a run's face needs (FACES and REFERENCES have the same), loaded.

    The columns of dlib's scale have dlib's recogniser, whatever finds the faces. With the face backend "insightface"
    one SCRFD serves these and ArcFace's column.
    """
    scrfd = settings.face.backend == "insightface"
    faces: FaceBackend | None = None
    unmet: dict[Need, Unmet] = {}
    if Need.FACES in needs or Need.REFERENCES in needs:
        try:
            faces = face_backend("insightface+dlib" if scrfd else settings.face.backend, settings)
        except UNAVAILABLE as cause:
            unmet[Need.FACES] = unmet[Need.REFERENCES] = Unmet(cause.message, cause.remedy)
    if Need.ARCFACE not in needs:
        return FaceNetworks(faces, unmet=unmet)
    try:
        arcface, shared = _arcface(settings, faces)
    except UNAVAILABLE as cause:
        return FaceNetworks(faces, unmet={**unmet, Need.ARCFACE: Unmet(cause.message, cause.remedy)})
    return FaceNetworks(faces, arcface, shared, unmet)


def _arcface(settings: EvaluateSettings, faces: FaceBackend | None) -> tuple[FaceBackend, bool]:
    """ArcFace's backend, and whether it shares the detector of `faces`."""
    from mmbench.face.insightface.eyes import InsightFaceBackend, InsightFaceDlibBackend

    if isinstance(faces, InsightFaceDlibBackend):
        return InsightFaceBackend(detector=faces.detector), True
    return face_backend("insightface", settings), False


def _face_passes(settings: EvaluateSettings, needs: Collection[Need], networks: FaceNetworks) -> dict[Need, MakePass]:
    """ArcFace's own pass looks at the sampled frames alone, unless the run's face backend is its own."""
    from mmbench.face.face_pass import FacePass

    frames = settings.face.frames
    own, arcface = networks.faces, networks.arcface
    if own and arcface and networks.shared and Need.FACES in needs:
        both = partial(FacePass, own, frames, also=(arcface,))
        return {Need.FACES: both, Need.ARCFACE: both}
    passes: dict[Need, MakePass] = {}
    if own and Need.FACES in needs:
        passes[Need.FACES] = partial(FacePass, own, frames)
    if arcface:
        few = frames if settings.face.backend == "insightface" else "sampled"
        passes[Need.ARCFACE] = partial(FacePass, arcface, few)
    return passes


def _flow_pass(settings: EvaluateSettings, smoothness: bool) -> MakePass:
    from mmbench.flow.flow_pass import FlowPass
    from mmbench.flow.make import make_flow

    flow = settings.flow
    tiny = settings.random_weights and flow.backend == "raft"
    try:
        backend = make_flow(flow.backend, settings.device, flow.weights, tiny, flow.precision, flow.split_gru)
    except MissingWeights as cause:
        other = "Or --flow-backend dis: another measure, labelled so, that needs no weights."
        raise MissingWeights(cause.message, f"{cause.remedy} {other}") from cause
    return lambda: FlowPass(backend, flow.mode, want_smoothness=smoothness and flow.mode == "full")


def _video_text_pass(settings: EvaluateSettings) -> MakePass:
    from mmbench.encode.viclip.alignment import VideoTextPass, make_viclip

    encoder = make_viclip(settings.device, tiny=settings.random_weights)
    return lambda: VideoTextPass(encoder)


def _inception_pass(settings: EvaluateSettings) -> MakePass:
    from mmbench.encode.inception.classes import InceptionPass, make_inception

    network = make_inception(settings.device, tiny=settings.random_weights)
    return lambda: InceptionPass(network)
