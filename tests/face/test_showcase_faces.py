"""Real outputs of two published systems, through the whole chain with dlib. Skipped where they are absent."""

from __future__ import annotations

import csv
from collections import defaultdict

import numpy as np
import pytest

from mmbench.face.face_pass import FacePass
from mmbench.face.people.bank import centroid, unit
from mmbench.face.people.references import reference_faces
from mmbench.face.pose import yaw_of
from mmbench.video.cadence import CadencePass
from mmbench.video.read import decode


def similarity(video, reference, backend) -> float:
    """Mean cosine of the slots to the reference (metrics.md 5.1)."""
    face_pass = FacePass(backend, "sampled")
    decode(video, [face_pass])
    faces = reference_faces([reference], backend)
    return float(np.nanmean(unit(face_pass.finish().embeddings) @ centroid(faces.embeddings)))


def test_the_turned_dark_reference_is_found_by_the_cnn(showcase, dlib_backend):
    faces = reference_faces([showcase / "references" / "mm_8.png"], dlib_backend)
    left, top, right, bottom = faces.box[0]
    assert right - left > 500
    assert bottom - top > 500


def test_both_readings_of_yaw_agree_on_photographs(showcase, dlib_backend):
    """Of people and by points that no estimate was fitted to; the one that only the slow detector sees is left out."""
    pictures = [picture for picture in sorted((showcase / "references").iterdir()) if picture.stem != "mm_8"]
    faces = reference_faces(pictures, dlib_backend)
    of_68, of_five = yaw_of(faces.points68), yaw_of(faces.points)
    assert np.abs(of_68 - of_five).max() < 12 and np.corrcoef(of_68, of_five)[0, 1] > 0.95


def test_a_clip_is_like_its_own_reference_and_less_like_another(showcase, dlib_backend):
    video = showcase / "id_animator" / "ann_1.gif"
    own = similarity(video, showcase / "references" / "ida_ann.png", dlib_backend)
    assert 0.9 < own < 0.96
    assert own > similarity(video, showcase / "references" / "ida_lecun.png", dlib_backend) + 0.05


def test_the_three_slot_cadence_of_the_gifs_is_seen(showcase):
    for folder, seen in (("magic_mirror", True), ("id_animator", False)):
        for video in sorted((showcase / folder).glob("*.gif")):
            cadence = CadencePass()
            decode(video, [cadence])
            assert bool(cadence.finish()) == seen, video.name


@pytest.mark.slow
def test_mean_similarity_of_both_systems_is_on_the_papers_scale(showcase, dlib_backend):
    values = defaultdict(list)
    with (showcase / "manifest.csv").open() as stream:
        for row in csv.DictReader(stream):
            values[row["system"]].append(
                similarity(showcase / row["video"], showcase / row["references"], dlib_backend)
            )
    for system, found in values.items():
        assert 0.89 <= np.mean(found) <= 0.93, (system, found)
