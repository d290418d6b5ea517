"""Fig. 9 of the paper (v2: Fig. 13): how the scales of the adaptive norms lie, by modality, layer and timestep.

Nothing is sampled: the scales depend on the timestep and, with CAN, on the identity alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import RequestError
from mmbench.files import whole, write_json

if TYPE_CHECKING:
    from mmbench.model.network.face_embeds import FaceEmbeds
    from mmbench.model.network.transformer import MagicMirrorTransformer3DModel

KINDS: Final = ("video", "video + CAN", "text", "text + CAN", "face")
VIDEO_SCALE, TEXT_SCALE, FACE_SCALE = 1, 4, 1
"""Places of norm1's scales among the twelve factors of a block and the six of the face."""
FILE = "modulation.npz"


@dataclass(frozen=True)
class Modulation:
    """One row a point: `kind` int into `KINDS`, `layer`, `step` int64 [N], and its place on the map, `xy` [N, 2].

    `silhouettes`: -1 to 1, how apart the points are by kind, by layer and by thirds of the schedule; `without_can`: by
    kind, CAN's points left out. `of_time`, `of_people`: shares of the variance of CAN's residuals that the timestep
    and the person explain.
    """

    kind: NDArray[np.int64]
    layer: NDArray[np.int64]
    step: NDArray[np.int64]
    xy: NDArray[np.float64]
    silhouettes: dict[str, float]
    of_time: float
    of_people: float


def scales(
    model: MagicMirrorTransformer3DModel, face: FaceEmbeds, timesteps: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Scales [N, D] of the adapted layers, their (kind, layer, step) [N, 3], and CAN's residuals [L, T, B, D].

    `face` holds B people; CAN's points are means over them. Raises RequestError for a model without CAN or face rows.
    """
    import torch

    from mmbench.model.fast.tables import tabulate_schedule, tabulate_video

    config = model.config
    if not (config.conditioned_norm and config.face_modulation):
        raise RequestError("This model has no CAN or no modulation of its face rows.", "Take one of the variant Full.")
    with torch.no_grad():
        schedule = tabulate_schedule(model, tuple(timesteps))
        video = tabulate_video(model, schedule, face)
    points, names, residuals = [], [], []
    for layer in sorted(video.can):
        base, can = schedule.base[layer].double(), video.can[layer].double()
        mean = can.mean(dim=1)
        found = (
            base[:, VIDEO_SCALE],
            base[:, VIDEO_SCALE] + mean[:, VIDEO_SCALE],
            base[:, TEXT_SCALE],
            base[:, TEXT_SCALE] + mean[:, TEXT_SCALE],
            schedule.face[layer][:, FACE_SCALE].double(),
        )
        for kind, rows in enumerate(found):
            points.append(rows.cpu().numpy())
            names += [(kind, layer, step) for step in range(len(rows))]
        residuals.append(can[:, :, VIDEO_SCALE].cpu().numpy())
    return np.concatenate(points), np.array(names, dtype=np.int64), np.stack(residuals)


def modulation(
    points: NDArray[np.float64], names: NDArray[np.int64], residuals: NDArray[np.float64], seed: int = 0
) -> Modulation:
    """Map and figures of what `scales` gives: standardised, 50 principal components, t-SNE of perplexity 30."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.metrics import silhouette_score

    spread = points.std(axis=0)
    scaled = (points - points.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    few = PCA(min(50, *scaled.shape), random_state=seed).fit_transform(scaled)
    perplexity = min(30.0, (len(few) - 1) / 3)
    xy = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(few)
    kind, layer, step = names.T
    thirds = np.minimum(step * 3 // (step.max() + 1), 2)
    plain = ~np.isin(kind, [KINDS.index("video + CAN"), KINDS.index("text + CAN")])
    labels = {"kind": kind, "layer": layer, "time": thirds}
    found = {name: _silhouette(silhouette_score, few, label) for name, label in labels.items()}
    found["kind without CAN"] = _silhouette(silhouette_score, few[plain], kind[plain])
    of_time, of_people = explained(residuals)
    return Modulation(kind, layer, step, np.asarray(xy, np.float64), found, of_time, of_people)


def _silhouette(score: Any, points: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float(score(points, labels)) if 1 < len(np.unique(labels)) < len(points) else float("nan")


def explained(residuals: NDArray[np.float64]) -> tuple[float, float]:
    """Shares of the variance of residuals [L, T, B, D] within layers that time and person explain, mean over layers."""
    shares = []
    for held in residuals:
        centred = held - held.mean(axis=(0, 1))
        whole_variance = float((centred**2).mean())
        if whole_variance > 0:
            time = float((centred.mean(axis=1) ** 2).mean())
            people = float((centred.mean(axis=0) ** 2).mean())
            shares.append((time / whole_variance, people / whole_variance))
    if not shares:
        return 0.0, 0.0
    of_time, of_people = np.mean(shares, axis=0)
    return float(of_time), float(of_people)


def write_modulation(found: Modulation, out: Path) -> Path:
    """Write `modulation.npz`, `modulation.json` and the figure into `out`. Returns the figure."""
    from mmbench.reports.figures.modulation import modulation_figure, read_modulation
    from mmbench.reports.figures.style import save_figure

    out.mkdir(parents=True, exist_ok=True)
    with whole(out / FILE) as part, part.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, kind=found.kind, layer=found.layer, step=found.step, xy=found.xy, kinds=KINDS
        )
    write_json(
        out / "modulation.json",
        {
            "silhouettes": found.silhouettes,
            "variance of CAN explained by time": found.of_time,
            "variance of CAN explained by the person": found.of_people,
            "points": len(found.kind),
        },
    )
    return save_figure(modulation_figure(read_modulation(out)), out / "modulation.svg")


def study_modulation(
    testset: str | Path,
    out: Path,
    *,
    variant: str = "nano-trained",
    people: int = 14,
    steps: int = 50,
    weights: Path | None = None,
    device: str = "cpu",
) -> tuple[Modulation, Path]:
    """The figure for Magic Mirror's `variant`, on the pictures shown of the first `people` of a test set.

    Returns what was found and the figure. Raises MissingWeights, ManifestError, RequestError.
    """
    import torch

    from mmbench.baselines.magic_mirror.model import MagicMirror
    from mmbench.baselines.session import Session
    from mmbench.runs.generate.plan import open_references
    from mmbench.testsets.load import load_testset
    from mmbench.weights.cache import cache_dir

    shown = [open_references(identity) for identity in load_testset(testset).identities[:people]]
    with Session(weights or cache_dir(), device) as session:
        pipe = session.load(MagicMirror(), variant).pipe
        pipe.scheduler.set_timesteps(steps)
        times = [int(t) for t in pipe.scheduler.timesteps]
        with torch.no_grad():
            face = pipe.encode_face([list(pictures) for pictures in shown])
        found = modulation(*scales(pipe.transformer, face, times))
    return found, write_modulation(found, out)
