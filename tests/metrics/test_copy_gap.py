"""Copying: hand cases, invariants, who was shown what, and photographs moved about against honest clips."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from mmbench.errors import MMBenchError
from mmbench.face.make import make_backend
from mmbench.face.people.photographs import (
    MIN_PEOPLE,
    PHOTOGRAPHED,
    RENDERED,
    Likeness,
    Photographs,
    likeness,
    shown_rows,
)
from mmbench.face.people.references import reference_faces
from mmbench.face.track import FaceTrack, ReferenceFaces
from mmbench.items import Item
from mmbench.metrics.copy_gap import CopyGap, copy_gap, copy_gap_typical, measure_copying
from mmbench.scores import Provenance
from mmbench.testsets.load import load_testset
from mmbench.video.read import open_clip
from tests.conftest import development_data

Picture = np.ndarray


def at(*degrees: float) -> np.ndarray:
    """Directions of a plane, of any length."""
    turn = np.radians(degrees)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1) * 3.0


def test_a_hand_case() -> None:
    """The picture shown lies at 0 degrees, the other one at 20, the face at 5: a quarter from the one shown."""
    result = copy_gap(at(5.0), at(0.0), at(20.0))
    assert result.angle == pytest.approx((15 - 5) / 20)
    assert result.gap == pytest.approx(np.cos(np.radians(5)) - np.cos(np.radians(15)))
    assert (result.shown, result.held_out) == pytest.approx((np.cos(np.radians(5)), np.cos(np.radians(15))))


@given(shown=st.floats(-40, 40), apart=st.floats(1, 90), share=st.floats(-1, 1))
def test_the_angle_is_the_place_between_the_two_pictures(shown: float, apart: float, share: float) -> None:
    """1 at the picture shown, -1 at the other, 0 in the middle, even in between."""
    face = shown + apart * (1 - share) / 2
    assert copy_gap(at(face), at(shown), at(shown + apart)).angle == pytest.approx(
        share, abs=1e-5
    )  # a cosine near 1 keeps half its digits


def test_of_several_pictures_shown_the_nearest_counts_frame_by_frame() -> None:
    result = copy_gap(at(0.0, 40.0), at(0.0, 40.0), at(20.0))
    assert result.angle == pytest.approx(1.0) and result.shown == pytest.approx(1.0)


def test_a_mirror_image_counts_as_its_picture() -> None:
    shown, other = np.stack([at(0.0), at(60.0)], axis=1), np.stack([at(20.0), at(80.0)], axis=1)
    assert copy_gap(at(60.0), shown, other).angle == pytest.approx(1.0, abs=1e-5)
    assert copy_gap(at(80.0), shown, other).angle == pytest.approx(-1.0, abs=1e-5)


def test_one_picture_twice_says_nothing_and_no_face_is_an_error() -> None:
    assert copy_gap(at(7.0), at(3.0), at(3.0)).angle == 0.0
    with pytest.raises(ValueError, match="no slot"):
        copy_gap(np.full((3, 2), np.nan), at(0.0), at(1.0))
    assert copy_gap(np.concatenate([at(5.0), np.full((2, 2), np.nan)]), at(0.0), at(20.0)).angle == pytest.approx(0.5)


def test_a_typical_second_picture_stands_in() -> None:
    cosine = float(np.cos(np.radians(16)))
    for face, angle in ((0.0, 1.0), (8.0, 0.5), (16.0, 0.0), (32.0, -1.0)):
        assert copy_gap_typical(at(face), at(0.0), 16, cosine).angle == pytest.approx(angle, abs=1e-6)
    assert copy_gap_typical(at(16.0), at(0.0), 16, cosine).gap == pytest.approx(0, abs=1e-9)


def test_the_first_picture_is_the_one_shown_where_nothing_is_said() -> None:
    item = Item("x", "m", "anna", Path("v.mp4"), references=(Path("a"), Path("b"), Path("c")))
    assert shown_rows(item).tolist() == [True, False, False]
    assert shown_rows(replace(item, shown=(Path("c"), Path("a")))).tolist() == [True, False, True]


def people(count: int, pictures: int, degrees: float) -> dict[str, list[ReferenceFaces]]:
    def faces(base: float) -> ReferenceFaces:
        found = at(*(base + degrees * number for number in range(pictures)))
        corner = np.zeros((pictures, 4), np.float32)
        points = np.zeros((pictures, 5, 2), np.float32)
        paths = tuple(Path(f"{number}.png") for number in range(pictures))
        return ReferenceFaces(paths, found, points, corner, corner, None, Provenance("dlib"))

    return {f"p{number}": [faces(30.0 * number)] for number in range(count)}


def test_a_run_says_how_alike_two_pictures_of_one_person_are() -> None:
    found = likeness(people(MIN_PEOPLE, 2, 12.0) | {"alone": people(1, 1, 0)["p0"]})
    assert found is not None and (found.people, found.degrees) == (MIN_PEOPLE, pytest.approx(12.0))
    assert found.cosine == pytest.approx(np.cos(np.radians(12.0)))
    assert likeness(people(MIN_PEOPLE - 1, 2, 12.0)) is None
    assert likeness(people(MIN_PEOPLE, 2, 0.0)) is None  # the same picture twice


# Photographs moved about: each maker gives some frames of one "video".
def panned(photo: Picture, rng: np.random.Generator) -> list[Picture]:
    reach = rng.integers(5, 20, 2)
    return [np.roll(photo, tuple(int(v * k) for v in reach), (0, 1)) for k in range(3)]


def warped(photo: Picture, matrix: Callable[[float], tuple[float, float, float, float]]) -> list[Picture]:
    height, width = photo.shape[:2]
    frames = []
    for t in (0.3, 0.7, 1.0):
        a, b, c, d = matrix(t)
        x, y = width / 2, height / 2
        held = (a, b, x - a * x - b * y, c, d, y - c * x - d * y)
        moved = Image.fromarray(photo).transform(
            (width, height), Image.Transform.AFFINE, held, Image.Resampling.BICUBIC
        )
        frames.append(np.asarray(moved))
    return frames


def turn(s: float) -> tuple[float, float, float, float]:
    return float(np.cos(s)), float(np.sin(s)), -float(np.sin(s)), float(np.cos(s))


ADVERSARIES: dict[str, Callable[[Picture, np.random.Generator], list[Picture]]] = {
    "static": lambda photo, rng: [photo] * 3,
    "panned": panned,
    "zoomed": lambda photo, rng: warped(photo, lambda t: (1 - 0.3 * t, 0, 0, 1 - 0.3 * t)),
    "squeezed": lambda photo, rng: warped(photo, lambda t: (1 + rng.uniform(0.1, 0.2) * t, 0, 0, 1)),
    "sheared": lambda photo, rng: warped(photo, lambda t: (1, rng.uniform(0.05, 0.15) * t, 0, 1)),
    "turned": lambda photo, rng: warped(photo, lambda t: turn(rng.uniform(0.05, 0.2) * t)),
    "flipped": lambda photo, rng: [np.ascontiguousarray(photo[:, ::-1])] * 3,
    "dimmed": lambda photo, rng: [(photo * s).astype(np.uint8) for s in rng.uniform(0.6, 0.95, 3)],
}


@pytest.fixture(scope="module")
def angle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Picture], ReferenceFaces], float]:
    backend = make_backend("dlib")

    def angle(frames: list[Picture], person: ReferenceFaces) -> float:
        folder = tmp_path_factory.mktemp("frames")
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / f"{number}.png")
        seen = reference_faces(sorted(folder.iterdir()), backend).embeddings
        assert person.mirrored is not None
        views = np.stack([person.embeddings, person.mirrored], axis=1)
        return copy_gap(seen, views[:1], views[1:]).angle

    return angle


@pytest.mark.parametrize("name", ["man-01", pytest.param("woman-04", marks=pytest.mark.slow)])
def test_a_photograph_moved_about_is_caught_and_an_honest_clip_is_not(
    name: str, angle_of: Callable[[list[Picture], ReferenceFaces], float]
) -> None:
    """Real faces: dlib's recogniser on a bundled person with several pictures."""
    testset = load_testset("synthetic50")
    person = next(one for one in testset.identities if one.id == name)
    rng = np.random.default_rng(7)
    faces = reference_faces(person.references, make_backend("dlib"))
    photo = np.asarray(Image.open(person.references[0]).convert("RGB"))
    found = {kind: angle_of(make(photo, rng), faces) for kind, make in ADVERSARIES.items()}
    assert min(found.values()) > 0.3, found
    assert len(faces.paths) > 2 and person.shown == person.references[:1]
    honest = next((testset.folder / "controls" / "truth").glob(f"{name}_*.mp4"))
    frames = [frame for number, frame in enumerate(open_clip(honest).frames()) if number % 8 == 0]
    assert angle_of(frames, faces) < 0.3


def pasted(photo: Picture, box: np.ndarray, frames: list[Picture], faces: np.ndarray) -> list[Picture]:
    """The photograph's face, brow to chin and ear to ear, over every face of the frames, with soft edges."""

    def grown(one: np.ndarray) -> tuple[int, int, int, int]:
        (x0, y0, x1, y1), more = one, 0.125
        wide, high = more * (x1 - x0), more * (y1 - y0)
        return int(x0 - wide), int(y0 - high), int(x1 + wide), int(y1 + high)

    cut = Image.fromarray(photo).crop(grown(box))
    made = []
    for frame, face in zip(frames, faces, strict=True):
        left, top, right, bottom = grown(face)
        small = cut.resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        mask = Image.new("L", small.size, 0)
        ImageDraw.Draw(mask).ellipse((2, 2, small.width - 3, small.height - 3), fill=255)
        whole = Image.fromarray(frame)
        whole.paste(small, (left, top), mask.filter(ImageFilter.GaussianBlur(3)))
        made.append(np.asarray(whole))
    return made


@pytest.mark.parametrize(
    "name", ["man-01", *(pytest.param(one, marks=pytest.mark.slow) for one in ("girl-03", "woman-05"))]
)
def test_a_face_pasted_on_a_moving_clip_is_caught(
    name: str, angle_of: Callable[[list[Picture], ReferenceFaces], float], tmp_path: Path
) -> None:
    testset, backend = load_testset("synthetic50"), make_backend("dlib")
    person = next(one for one in testset.identities if one.id == name)
    faces = reference_faces(person.references, backend)
    clip = next((testset.folder / "controls" / "truth").glob(f"{name}_*.mp4"))
    frames = [frame for number, frame in enumerate(open_clip(clip).frames()) if number % 8 == 0]
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    boxes = reference_faces(sorted(tmp_path.iterdir()), backend).tight_box
    photo = np.asarray(Image.open(person.references[0]).convert("RGB"))
    copied = angle_of(pasted(photo, faces.tight_box[0], frames, boxes), faces)
    assert copied > 0.3 > angle_of(frames, faces)


def test_missing_with_a_reason_where_nobody_can_stand_in() -> None:
    faces = people(1, 1, 0)["p0"][0]
    seen = SimpleNamespace(
        embeddings=np.repeat(at(5.0), 16, axis=0),
        slots=np.arange(16),
        slot_frames=np.arange(16),
        embedding_provenance=Provenance("dlib"),
    )
    found = measure_copying(
        CopyGap.all_facts(), cast("FaceTrack", seen), Photographs(faces, np.array([True]), None), 2, "dlib"
    )
    assert [score.status for score in found] == ["missing", "missing"] and "held-out" in found[0].reason
    own = Likeness(12.0, 0.98, 9, "people of this run")
    for stand_in, bank in ((PHOTOGRAPHED, ""), (own, "digest")):
        photographs = Photographs(faces, np.array([True]), stand_in, bank)
        scores = measure_copying(CopyGap.all_facts(), cast("FaceTrack", seen), photographs, 2, "dlib")
        assert scores[1].value == pytest.approx((stand_in.degrees - 5) / stand_in.degrees)
        for score in scores:
            assert score.bank == bank
            assert [note.split(":")[0] for note in score.notes] == ["no_held_out"]
            assert stand_in.whose in score.notes[0]
    pictures = replace(faces, embeddings=np.concatenate([faces.embeddings, at(90.0)]))
    held = Photographs(pictures, np.array([True, False]), own, "digest")
    scores = measure_copying(CopyGap.all_facts(), cast("FaceTrack", seen), held, 2, "dlib")
    assert [(score.bank, score.notes) for score in scores] == [("", ()), ("", ())]


def test_likeness_counts_mirror_images_as_copying_does() -> None:
    plain = people(MIN_PEOPLE, 2, 40.0)
    turned = {name: [replace(sets[0], mirrored=sets[0].embeddings[::-1].copy())] for name, sets in plain.items()}
    found = likeness(turned)
    assert likeness(plain) is not None and found is None, "each picture's mirror image is the other picture"
    near = {
        name: [replace(sets[0], mirrored=at(15.0 + 30 * k, 90.0 + 30 * k))]
        for k, (name, sets) in enumerate(plain.items())
    }
    near_found = likeness(near)
    assert near_found is not None and near_found.degrees == pytest.approx(25.0)


@pytest.mark.slow
def test_the_stand_in_is_what_the_bundled_pictures_say() -> None:
    testset, backend = load_testset("synthetic50"), make_backend("dlib")
    found = likeness({one.id: [reference_faces(one.references, backend)] for one in testset.identities})
    assert found is not None and found.people == RENDERED.people
    assert (found.degrees, found.cosine) == (
        pytest.approx(RENDERED.degrees, abs=0.1),
        pytest.approx(RENDERED.cosine, abs=3e-4),
    )


def test_the_classes_average(tmp_path: Path) -> None:
    metric = CopyGap()
    metric.update(at(5.0), at(0.0), at(20.0))
    metric.update(at(15.0), at(0.0), at(20.0))
    assert metric.compute() == pytest.approx(0, abs=1e-9)
    assert Item("x", "m", "a", "v.mp4", references=("p", "q"), shown="q").shown == (Path("q"),)


@pytest.mark.slow
def test_real_photographs_of_one_person_are_further_apart() -> None:
    """The folder has one folder of photographs a person; those whose face is not found are left out."""
    backend, found = make_backend("dlib"), {}
    for person in sorted(development_data("MMBENCH_PHOTOGRAPHS", "photographs").iterdir()):
        faces = []
        for path in sorted(person.iterdir()):
            with suppress(MMBenchError):
                faces.append(reference_faces([path], backend))
        found[person.name] = faces
    measured = likeness({name: faces for name, faces in found.items() if faces})
    assert measured is not None and measured.people == PHOTOGRAPHED.people
    assert (measured.degrees, measured.cosine) == (
        pytest.approx(PHOTOGRAPHED.degrees, abs=0.1),
        pytest.approx(PHOTOGRAPHED.cosine, abs=3e-4),
    )
