from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmbench.errors import MediaError, ReferenceFaceError
from mmbench.face.people.bank import build_bank, centroid, unit
from mmbench.face.people.references import reference_faces, unlike


@pytest.fixture
def save(tmp_path):
    def write(name, pixels, **options):
        Image.fromarray(pixels).save(tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.fixture(scope="module")
def plain(dlib_backend, portrait):
    (face,) = dlib_backend.detect([large(portrait)])[0]
    return face, dlib_backend.embed(dlib_backend.chip(large(portrait), face)[None])[0]


def large(portrait):
    """Big enough to be left as it is."""
    return np.asarray(Image.fromarray(portrait).resize((512, 600), Image.Resampling.BICUBIC))


def test_one_picture(dlib_backend, portrait, plain, save):
    faces = reference_faces([save("a.png", large(portrait))], dlib_backend)
    np.testing.assert_allclose(faces.embeddings[0], plain[1], rtol=0, atol=1e-5)  # rounding of the network's sums
    np.testing.assert_array_equal(faces.box[0], plain[0].box)
    np.testing.assert_array_equal(faces.points68[0], plain[0].points68)
    assert faces.provenance == dlib_backend.provenance
    assert [path.name for path in faces.paths] == ["a.png"]


def test_several_pictures_keep_their_order(dlib_backend, portrait, save):
    paths = [save("b.png", large(portrait)), save("a.png", large(portrait)[:, ::-1])]
    faces = reference_faces(paths, dlib_backend)
    assert faces.paths == tuple(paths)
    assert faces.embeddings.shape == (2, 128)
    assert faces.points.shape == (2, 5, 2)
    assert faces.box.shape == faces.tight_box.shape == (2, 4)


@pytest.mark.parametrize("size", [(128, 150), (2048, 2400)])
def test_small_and_large_pictures_give_the_same_face_in_their_own_pixels(size, dlib_backend, portrait, plain, save):
    picture = np.asarray(Image.fromarray(large(portrait)).resize(size, Image.Resampling.BICUBIC))
    faces = reference_faces([save("a.png", picture)], dlib_backend)
    scale = size[0] / 512
    assert faces.points[0] == pytest.approx(scale * plain[0].points, abs=8 * scale)
    assert unit(faces.embeddings)[0] @ unit(plain[1]) > 0.97


def test_a_photograph_lying_on_its_side_is_turned_by_its_exif(dlib_backend, portrait, plain, save):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it
    sideways = np.ascontiguousarray(np.rot90(large(portrait)))
    faces = reference_faces([save("a.png", sideways, exif=exif.tobytes())], dlib_backend)
    np.testing.assert_allclose(faces.embeddings[0], plain[1], rtol=0, atol=1e-5)  # rounding of the network's sums


def test_a_tight_crop_is_given_a_border(dlib_backend, portrait, save):
    tight = np.ascontiguousarray(large(portrait)[185:300, 210:335])
    faces = reference_faces([save("a.png", tight)], dlib_backend)
    left_eye, right_eye = faces.points[0, :2]
    assert 0 < left_eye[0] < right_eye[0] < 125
    assert 0 < left_eye[1] < 60


def test_the_largest_of_several_faces(dlib_backend, portrait, save):
    both = np.zeros((600, 800, 3), np.uint8)
    both[:, :512] = large(portrait)
    both[150:450, 512:768] = portrait
    faces = reference_faces([save("a.png", both)], dlib_backend)
    assert faces.box[0, 2] < 512


def test_a_picture_without_a_face_is_named_with_a_remedy(dlib_backend, portrait, save):
    paths = [save("good.png", portrait), save("wall.png", np.full((300, 256, 3), 90, np.uint8))]
    with pytest.raises(ReferenceFaceError, match=r"wall\.png") as caught:
        reference_faces(paths, dlib_backend)
    assert caught.value.remedy


def test_no_picture_at_all(dlib_backend):
    with pytest.raises(ReferenceFaceError, match="No reference"):
        reference_faces([], dlib_backend)


def test_an_unreadable_picture(dlib_backend, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"a\.png"):
        reference_faces([tmp_path / "a.png"], dlib_backend)


def test_bank_holds_normalised_means_in_sorted_order(dlib_backend, portrait, save):
    pair = [save("a.png", portrait), save("b.png", np.ascontiguousarray(portrait[:, ::-1]))]
    both, one = reference_faces(pair, dlib_backend), reference_faces(pair[:1], dlib_backend)
    bank = build_bank({"zoe": one, "ann": both})
    assert bank.identities == ("ann", "zoe")
    assert (bank.index("zoe"), bank.index("ann")) == (1, 0)
    lengths = np.linalg.norm(both.embeddings, axis=1, keepdims=True)
    mean = (both.embeddings / lengths).mean(axis=0)
    assert bank.centroids[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert bank.centroids[1] == pytest.approx(one.embeddings[0] / np.linalg.norm(one.embeddings[0]), abs=1e-6)
    assert bank.mean == pytest.approx(bank.centroids.mean(axis=0), abs=1e-7)
    with pytest.raises(KeyError, match="eve"):
        bank.index("eve")


def test_length_of_an_embedding_has_no_say_in_the_centroid():
    first, second = np.array([[2.0, 0.0]], np.float32), np.array([[0.0, 50.0]], np.float32)
    assert centroid(np.concatenate([first, second])) == pytest.approx([2**-0.5, 2**-0.5])
    assert centroid(3 * first) == pytest.approx([1, 0])


def test_missing_rows_stay_missing():
    assert np.isnan(unit(np.array([[np.nan, np.nan], [3, 4]], np.float32))[0]).all()


def test_an_empty_bank_is_a_mistake():
    with pytest.raises(ValueError, match="at least one"):
        build_bank({})


def kinds(notes) -> list[str]:
    return [note.partition(":")[0] for note in notes]


def beside(portrait, share: float):
    """The portrait with a smaller copy of itself at its right."""
    whole = Image.fromarray(large(portrait))
    small = whole.resize((round(512 * share), round(600 * share)), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (512 + small.width, 600), "grey")
    canvas.paste(whole, (0, 0))
    canvas.paste(small, (512, 0))
    return np.asarray(canvas)


def test_two_faces_in_a_reference_are_told_with_picture_and_number(dlib_backend, portrait, save):
    path = save("group.png", beside(portrait, 0.8))
    faces = reference_faces([save("a.png", large(portrait)), path], dlib_backend)
    assert kinds(faces.notes) == ["several_faces"]
    assert path.name in faces.notes[0] and str(path) not in faces.notes[0] and "2 faces" in faces.notes[0]


def test_a_small_passer_by_and_a_plain_picture_are_not_told(dlib_backend, portrait, save):
    assert not reference_faces([save("a.png", beside(portrait, 0.3))], dlib_backend).notes
    faces = reference_faces([save("b.png", large(portrait))], dlib_backend)
    assert not faces.notes and not faces.sizes


def test_an_enlarged_reference_says_so(dlib_backend, portrait, save):
    path = save("small.png", np.asarray(Image.fromarray(large(portrait)).resize((256, 300))))
    (size,) = reference_faces([path], dlib_backend).sizes
    assert kinds([size]) == ["small_reference"] and path.name in size and "1.33 times" in size


def test_references_that_do_not_look_alike_name_the_two_least_alike():
    near, far = np.zeros((3, 128), np.float32), np.zeros((3, 128), np.float32)
    near[:, 0] = far[:, 0] = 1.4
    near[:, 1], far[:, 1] = (0.0, 0.2, 0.4), (0.0, 0.2, 0.9)
    files = [Path("a.jpg"), Path("b.jpg"), Path("c.jpg")]
    assert unlike(files, near) == ()
    (note,) = unlike(files, far)
    assert note.startswith("unlike_references: a.jpg and c.jpg ") and "0.90" in note
    assert unlike(files[:1], far[:1]) == ()


@given(st.integers(2, 4), st.floats(-1, 1))
def test_other_recognisers_are_asked_by_cosine(count, cosine):
    vectors = np.zeros((count, 512), np.float32)
    vectors[:, 0] = 20
    vectors[-1, :2] = 20 * cosine, 20 * np.sqrt(1 - cosine**2)
    told = unlike([Path(f"{k}.jpg") for k in range(count)], vectors)
    if abs(cosine - 0.2) > 0.001:
        assert bool(told) == (cosine < 0.2)
