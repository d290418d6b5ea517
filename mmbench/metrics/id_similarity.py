"""Average ID similarity: faces of the clip against the average reference of the identity (Table 1, AvgIDSim)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.face.insightface.arcface import EMBEDDING_SIZE as ARCFACE_SIZE
from mmbench.face.needs import ARCFACE, ARCFACE_REFERENCES, BANK, FACES, REFERENCES
from mmbench.face.people.bank import ReferenceBank, centroid, unit
from mmbench.face.track import FaceTrack, ReferenceFaces
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.scores import Score

MIN_SLOTS = 4
"""Fewer slots with a usable face than this, and a clip has no face value at all."""

DLIB_SIZE = 128
"""Numbers of dlib's embedding: another recogniser's may not enter the columns of its scale."""

DLIB_SAME_PERSON = 0.6
"""dlib's own same-person rule: L2 distance of raw 128-d embeddings at most 0.6."""


@dataclass(frozen=True)
class IdSimilarityResult:
    """`value`: mean cosine over usable slots. `curve`: cosine per slot, shape (K,), NaN where the face is missing."""

    value: float
    pooled: float
    verified: float
    curve: NDArray[np.float64]


@dataclass(frozen=True)
class BankResult:
    """Own identity against all others of the bank: see `compare_with_bank`."""

    margin: float
    rank1: bool
    centred: float
    nearest: str
    group_rank1: bool | None = None


def usable_rows(embeddings: Floats) -> NDArray[np.bool_]:
    """Which rows of (K, D) hold an embedding, shape (K,)."""
    return np.asarray(np.isfinite(embeddings).all(axis=-1))


def similarity_curve(embeddings: Floats, references: Floats) -> NDArray[np.float64]:
    """Cosine of every slot's face to the average reference, (K, D) and (R, D) -> (K,); NaN for missing slots."""
    curve: NDArray[np.float64] = unit(embeddings) @ centroid(references)
    return curve


def id_similarity(embeddings: Floats, references: Floats, same_person: float = DLIB_SAME_PERSON) -> IdSimilarityResult:
    """Mean cosine between the faces of a clip and the average reference.

    embeddings: (K, D) raw recogniser outputs of the K sampled slots, NaN rows where no face was usable.
    references: (R, D) raw embeddings of the 1-4 reference images.
    Also `pooled`, the cosine of the mean frame embedding, and `verified`, the share of frames whose L2 distance
    to the mean raw reference is at most `same_person`. Source: Magic Mirror section 4.1 (similarity to the
    average of the references), sampling and companions measured on the official clips.
    Raises ValueError when no slot has a face.
    """
    present = usable_rows(embeddings)
    if not present.any():
        raise ValueError("no slot has a face")
    curve = similarity_curve(embeddings, references)
    faces = np.asarray(embeddings, np.float64)[present]
    pooled = unit(unit(faces).mean(axis=0)) @ centroid(references)
    distance = np.linalg.norm(faces - np.asarray(references, np.float64).mean(axis=0), axis=-1)
    return IdSimilarityResult(
        float(curve[present].mean()), float(pooled), float((distance <= same_person).mean()), curve
    )


def compare_with_bank(
    embeddings: Floats, own: str, identities: tuple[str, ...], centroids: Floats, groups: tuple[str, ...] = ()
) -> BankResult | None:
    """The clip against every identity of the bank; None when the bank holds fewer than two.

    centroids: (I, D) unit average references in the order of `identities`. `margin` is the own similarity minus
    the mean over the others; `rank1` says whether the own identity is the most similar; `centred` is the own
    cosine after subtracting the mean centroid, which undoes the compression of dlib's cosine scale. `group_rank1` says
    whether it is the most similar of its own group (`groups` are the identities'); None where nobody else is in it.
    """
    if len(identities) < 2:
        return None
    faces = unit(np.asarray(embeddings, np.float64)[usable_rows(embeddings)])
    bank = np.asarray(centroids, np.float64)
    similarity = (faces @ bank.T).mean(axis=0)
    index = identities.index(own)
    mean = bank.mean(axis=0)
    centred = (unit(faces - mean) @ unit(bank[index] - mean)).mean()
    others = np.delete(similarity, index)
    group = [k for k, name in enumerate(groups) if name and name == groups[index] and k != index]
    return BankResult(
        margin=float(similarity[index] - others.mean()),
        rank1=bool(similarity[index] > others.max()),
        centred=float(centred),
        nearest=identities[int(similarity.argmax())],
        group_rank1=bool(similarity[index] > similarity[group].max()) if group else None,
    )


def too_few_faces(metric: str, track: FaceTrack) -> Score | None:
    """The "missing" score of a clip with fewer than four usable slots, shared by the face metrics."""
    usable = int((track.slot_frames >= 0).sum())
    if usable >= MIN_SLOTS:
        return None
    return Score.missing(
        metric,
        f"A usable face in {usable} of {len(track.slots)} sampled frames; at least {MIN_SLOTS} are needed.",
        "Look at the clip: the face is absent, turned away, or smaller than 32 px.",
        usable_slots=usable,
    )


def foreign_embeddings(
    metric: str, track: FaceTrack, references: ReferenceFaces, size: int, whose: str
) -> Score | None:
    """The "missing" score of faces that another recogniser than the metric's embedded: scales are never mixed.

    size: numbers of an embedding of the metric's recogniser, whose name is `whose`.
    """
    made = {
        track.embeddings.shape[1]: track.embedding_provenance.backend,
        references.embeddings.shape[1]: references.provenance.backend,
    }
    other = next((width for width in made if width != size), None)
    if other is None:
        return None
    return Score.missing(
        metric,
        f"It is defined on the {size} numbers of {whose}'s embedding; these faces have {other}, made by {made[other]}.",
        f"Give it faces and references embedded by {whose} (mmbench.face.make.make_backend).",
    )


def _companion(
    name: str, title: str, definition: str, unit_: str = "cosine", caveats: str = "", beside: bool = False
) -> MetricFacts:
    bounds = {"cosine": (-1.0, 1.0), "cosine difference": (-2.0, 2.0), "share": (0.0, 1.0)}[unit_]
    return MetricFacts(name, title, True, unit_, bounds, definition, "mmbench", caveats, beside=beside)


class IdSimilarity(ClipMetric):
    """Average ID similarity with dlib's recogniser, on the paper's compressed scale, and its companions."""

    facts: ClassVar[MetricFacts] = MetricFacts(
        name="id_similarity",
        title="Average ID similarity",
        higher_is_better=True,
        unit="cosine",
        range=(-1.0, 1.0),
        definition="Mean over 16 uniformly sampled frames of the cosine between the face's 128-d dlib embedding "
        "and the average reference embedding of the identity.",
        source="Magic Mirror (arXiv 2501.03931) section 4.1; recogniser of face_recognition (dlib ResNet)",
        caveats="The scale is compressed: strangers score 0.75-0.90. Read it with id_margin or id_centred, "
        "which spread strangers and the right person apart. Frames without a face are skipped: read face_rate. "
        "The recogniser is dlib's with every face backend; the label names what found the faces, and other boxes turn "
        "an embedding by a cosine of some 0.005.",
        column=True,
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        _companion(
            "id_pooled",
            "Pooled ID similarity",
            "Cosine of the mean frame embedding to the average reference.",
        ),
        _companion(
            "id_margin",
            "ID margin",
            "Own similarity minus the mean similarity to the other identities' references.",
            "cosine difference",
            beside=True,
        ),
        _companion(
            "id_centred",
            "Centred ID similarity",
            "Cosine after subtracting the mean reference of all identities; strangers fall near 0.",
        ),
        _companion(
            "id_rank1",
            "Rank-1",
            "1 when the own reference is the most similar of all identities, else 0.",
            "share",
        ),
        _companion(
            "id_group_rank1",
            "Rank-1 in the group",
            "1 when the own reference is the most similar of the identities of the person's own group, else 0.",
            "share",
            "Chance is 1 in the number of people of the group.",
        ),
        _companion(
            "id_verified",
            "Verified frames",
            "Share of frames within dlib's same-person distance (L2 <= 0.6) of the mean reference.",
            "share",
            "On rendered faces 0.6 is too lenient: they sit close together in the embedding space.",
        ),
        _companion(
            "id_score",
            "ID score",
            "ID similarity times face rate, so that hiding the face cannot pay.",
            "cosine",
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (FACES, REFERENCES, BANK)
    reads = ("identity",)

    def update(self, embeddings: Floats, references: Floats) -> IdSimilarityResult:
        """Add one clip's (K, D) embeddings and its identity's (R, D) references."""
        result = id_similarity(as_array(embeddings), as_array(references))
        self._add(result.value)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """Scores of one clip."""
        return measure_identity(
            self.all_facts(),
            evidence.item.identity,
            evidence[FACES],
            evidence[REFERENCES],
            evidence.get(BANK),
            DLIB_SIZE,
            "dlib",
        )


class IdSimilarityArcFace(ClipMetric):
    """The same measure with ArcFace (insightface w600k_r50): another scale, its own column, never mixed with dlib's."""

    facts: ClassVar[MetricFacts] = MetricFacts(
        name="id_similarity_arcface",
        title="ID similarity (ArcFace)",
        higher_is_better=True,
        unit="cosine",
        range=(-1.0, 1.0),
        definition="Mean over 16 uniformly sampled frames of the cosine between the face's 512-d ArcFace embedding "
        "and the average reference embedding.",
        source="insightface buffalo_l (det_10g + w600k_r50)",
        caveats="Same person typically 0.5-0.8, strangers near 0. Faces are looked for in the 16 sampled frames alone, "
        "unless insightface is the run's face backend. Weights are for non-commercial research only.",
    )
    needs: ClassVar[Collection[Need[Any]]] = (ARCFACE, ARCFACE_REFERENCES)
    reads = ()

    def update(self, embeddings: Floats, references: Floats) -> float:
        """Add one clip's (K, 512) embeddings and its identity's (R, 512) references."""
        value = id_similarity(as_array(embeddings), as_array(references)).value
        self._add(value)
        return value

    def measure(self, evidence: Evidence) -> list[Score]:
        """Score of one clip."""
        track, references = evidence[ARCFACE], evidence[ARCFACE_REFERENCES]
        return measure_identity(
            self.all_facts(), evidence.item.identity, track, references, None, ARCFACE_SIZE, "ArcFace"
        )


def measure_identity(
    facts: tuple[MetricFacts, ...],
    identity: str,
    track: FaceTrack,
    references: ReferenceFaces,
    bank: ReferenceBank | None,
    size: int,
    whose: str,
) -> list[Score]:
    """The identity scores named in `facts` for one clip, the main one first.

    They are "missing" unless the embeddings are of `whose` recogniser, which has `size` numbers.
    """
    name = facts[0].name
    if missing := too_few_faces(name, track) or foreign_embeddings(name, track, references, size, whose):
        return [missing, *(Score.missing(f.name, missing.reason, missing.remedy) for f in facts[1:])]
    result = id_similarity(track.embeddings, references.embeddings)
    provenance = track.embedding_provenance
    main = Score.ok(
        name,
        result.value,
        provenance,
        frames=track.slot_frames.tolist(),
        similarity=[round(float(s), 6) if np.isfinite(s) else None for s in result.curve],
    )
    scores = [replace(main, notes=references.notes)]
    if len(facts) == 1:
        return scores
    face_rate = float((track.slot_frames >= 0).mean())
    scores += [
        Score.ok("id_pooled", result.pooled, provenance),
        Score.ok("id_verified", result.verified, provenance),
        Score.ok("id_score", result.value * face_rate, provenance),
    ]
    against = (
        compare_with_bank(track.embeddings, identity, bank.identities, bank.centroids, bank.groups) if bank else None
    )
    if against is None:
        reason = "The run holds a single identity, so there is nobody to compare with."
        return scores + [Score.missing(n, reason) for n in ("id_margin", "id_centred", "id_rank1", "id_group_rank1")]
    in_group = Score.missing("id_group_rank1", "The run holds nobody else of the person's group.", "Name groups.")
    if against.group_rank1 is not None:
        in_group = Score.ok("id_group_rank1", float(against.group_rank1), provenance)
    compared = (
        in_group,
        Score.ok("id_margin", against.margin, provenance),
        Score.ok("id_centred", against.centred, provenance),
        Score.ok("id_rank1", float(against.rank1), provenance, nearest=against.nearest),
    )
    return [*scores, *(replace(score, bank=bank.digest if bank else "") for score in compared)]
