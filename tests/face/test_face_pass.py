"""The pass itself, on drawn clips with a small detector of our own: rules, slots, memory of nothing."""

from __future__ import annotations

import numpy as np
import pytest

from mmbench.face.face_pass import FacePass
from mmbench.face.track import SLOTS
from mmbench.scores import Provenance
from mmbench.video.sample import sample_indices


def moving(drawn, count, hide=(), **draw):
    """One face drifting right, with its frame index as identity; absent in the frames `hide`."""
    return [drawn([] if i in hide else [(50 + 2 * i, 60, 80, 90, 100, i % 256)], **draw) for i in range(count)]


def test_every_frame_of_a_plain_clip(run, blobs, drawn):
    track = run(FacePass(blobs()), moving(drawn, 49), fps=12.0)
    assert (track.n_frames, track.width, track.height, track.fps) == (49, 640, 480, 12.0)
    assert track.frames.tolist() == list(range(49))
    assert track.usable.all()
    assert not track.tiny.any()
    assert not track.multi_face.any()
    assert track.box[10].tolist() == [70, 60, 150, 150]
    assert track.points.shape == (49, 5, 2)
    assert track.points68 is None
    assert track.slot_frames.tolist() == track.slots.tolist() == sample_indices(49, SLOTS).tolist()
    # The embedding of a slot is that of its own frame: the drawn identity is the frame's index.
    assert track.embeddings[:, 2].tolist() == track.slots.tolist()
    assert track.provenance.backend == "blobs"


def test_each_slot_frame_is_embedded_once(run, blobs, drawn):
    backend = blobs()
    track = run(FacePass(backend), moving(drawn, 5))
    assert track.slots.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4]
    assert [call for call in backend.calls if call[0] == "embed"] == [("embed", 5)]
    assert track.embeddings[:, 2].tolist() == track.slots.tolist()


def test_two_backends_with_one_detector_look_once(run, blobs, drawn):
    first, second = blobs(), blobs()
    second.embedding_provenance = Provenance("blobs+dlib")
    second.embed = lambda chips: np.tile(chips.reshape(len(chips), -1).astype(np.float32), 2)
    clip = moving(drawn, 49, hide={3, 20, 21, 22})
    face_pass = FacePass(first, also=(second,))
    alone = run(face_pass, clip)
    run(face_pass, clip)
    one, two = face_pass.finish_all()
    assert not second.calls
    assert one.embeddings.shape == (16, 3) and two.embeddings.shape == (16, 6)
    np.testing.assert_array_equal(one.embeddings, run(FacePass(blobs()), clip).embeddings)
    np.testing.assert_array_equal(two.embeddings[:, 3:], one.embeddings)
    np.testing.assert_array_equal(alone.embeddings, one.embeddings)
    assert one.slot_frames is two.slot_frames and one.points is two.points
    assert two.provenance == one.provenance == one.embedding_provenance == first.provenance
    assert two.embedding_provenance.backend == "blobs+dlib"


def test_a_neighbour_within_half_a_slot_stands_in(run, blobs, drawn):
    # 49 frames: slots 0, 3, 6, 10...; half a slot is 1.6 frames.
    track = run(FacePass(blobs()), moving(drawn, 49, hide={3}))
    assert track.slot_frames[:4].tolist() == [0, 2, 6, 10], "of two equally near frames the earlier one"
    assert track.embeddings[1, 2] == 2
    track = run(FacePass(blobs()), moving(drawn, 49, hide={2, 3}))
    assert track.slot_frames[1] == 4
    track = run(FacePass(blobs()), moving(drawn, 49, hide={2, 3, 4}))
    assert track.slot_frames[:3].tolist() == [0, -1, 6], "frames 1 and 5 are more than half a slot away"
    assert np.isnan(track.embeddings[1]).all()
    assert not np.isnan(track.embeddings[[0, 2]]).any()


def test_frames_without_the_face_are_nan(run, blobs, drawn):
    track = run(FacePass(blobs()), moving(drawn, 20, hide={4, 5}))
    assert np.flatnonzero(~track.usable).tolist() == [4, 5]
    for array in (track.box, track.tight_box, track.score, track.points):
        assert np.isnan(array[4]).all()
        assert not np.isnan(array[6]).any()


def test_tiny_faces_are_kept_apart(run, blobs, drawn):
    frames = [drawn([(100, 100, 30 if i < 10 else 60, 60, 100, i)]) for i in range(20)]
    track = run(FacePass(blobs()), frames)
    assert track.tiny.tolist() == [True] * 10 + [False] * 10
    assert track.usable.tolist() == [False] * 10 + [True] * 10
    assert np.isnan(track.embeddings[:7]).all()
    assert not np.isnan(track.embeddings[8:]).any()


def test_the_main_face_is_chosen_blindly_and_alone_embedded(run, blobs, drawn):
    frames = [drawn([(20 + i, 50, 60, 60, 100, 1), (300 + i, 50, 90, 90, 100, 2)]) for i in range(20)]
    backend = blobs()
    track = run(FacePass(backend), frames)
    assert (track.box[:, 0] >= 300).all()
    assert (track.embeddings[:, 2] == 2).all()
    assert not track.multi_face.any(), "60 x 60 is less than half of 90 x 90"
    assert [call for call in backend.calls if call[0] == "embed"] == [("embed", 16)]
    larger = [drawn([(20, 50, 70, 70, 100, 1), (300, 50, 90, 90, 100, 2)]) for _ in range(20)]
    assert run(FacePass(blobs()), larger).multi_face.all()


def test_a_clip_without_a_face(run, blobs, drawn):
    backend = blobs()
    track = run(FacePass(backend), [drawn([])] * 20)
    assert not track.usable.any()
    assert (track.slot_frames == -1).all()
    assert track.embeddings.shape[0] == SLOTS
    assert np.isnan(track.embeddings).all()
    assert ("embed", 0) not in backend.calls


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_the_batch_changes_nothing(batch, run, blobs, drawn):
    frames = moving(drawn, 33, hide={3, 9, 10, 11, 20})
    expected = run(FacePass(blobs()), frames)
    got = run(FacePass(blobs(), batch=batch), frames)
    for name in ("frames", "usable", "box", "points", "score", "slot_frames", "embeddings"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))


def test_a_backend_that_says_how_many_frames_gets_as_many(run, blobs, drawn):
    frames = moving(drawn, 33)
    backend = blobs()
    backend.frames_at_once = lambda height, width: 2 * height // width + 12  # 480 x 640: 13
    got = run(FacePass(backend), frames)
    assert [count for stage, count in backend.calls if stage == "detect"] == [13, 13, 7]
    np.testing.assert_array_equal(got.box, run(FacePass(blobs()), frames).box)


def test_sampled_looks_at_the_slots_alone(run, blobs, drawn):
    frames = moving(drawn, 49)
    every, sampled = run(FacePass(blobs()), frames), run(FacePass(blobs(), "sampled"), frames)
    assert sampled.frames.tolist() == every.slots.tolist()
    np.testing.assert_array_equal(sampled.embeddings, every.embeddings)
    np.testing.assert_array_equal(sampled.box, every.box[every.slots])


def test_the_slow_detector_runs_on_slots_the_fast_one_missed(run, blobs, drawn):
    """Dim faces are for the slow stage: it must be asked for the 16 slots and for no other frame."""
    frames = [drawn([(100, 100, 80, 80, 100, i, 150 if i >= 24 else 255)]) for i in range(49)]
    backend = blobs(two_stage=True)
    track = run(FacePass(backend), frames)
    late = [slot for slot in track.slots.tolist() if slot >= 24]
    assert sum(count for stage, count in backend.calls if stage == "slow") == len(late)
    assert sum(count for stage, count in backend.calls if stage == "fast") == 49
    assert (track.slot_frames == track.slots).all()
    assert np.flatnonzero(track.usable).tolist() == [*range(24), *late]


def test_a_pass_can_be_started_again(run, blobs, drawn):
    again = FacePass(blobs())
    run(again, [drawn([(0, 0, 200, 200)])] * 7)
    np.testing.assert_array_equal(run(again, moving(drawn, 20)).box, run(FacePass(blobs()), moving(drawn, 20)).box)


def test_a_crowd_keeps_few_cuts(run, blobs, drawn):
    crowd = [(40 * k, 40 * row, 34, 34) for k in range(15) for row in range(10)]
    face_pass = FacePass(blobs())
    track = run(face_pass, [drawn([*crowd, (300, 405, 70, 70, 100, 9)])] * 20)
    assert max(len(kept) for kept in face_pass._chips) <= 8
    assert (track.embeddings[:, 2] == 9).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_short_clips(count, run, blobs, drawn):
    track = run(FacePass(blobs()), moving(drawn, count))
    assert track.n_frames == count
    assert track.usable.all()
    assert set(track.slot_frames.tolist()) == set(range(count))


def test_rows_near_given_frames(run, blobs, drawn):
    track = run(FacePass(blobs()), moving(drawn, 20, hide={4, 5, 6}))
    assert track.at([0, 4, 5, 19], tolerance=0).tolist() == [0, -1, -1, 19]
    assert track.at([0, 4, 5, 6], tolerance=1).tolist() == [0, 3, -1, 7]
    assert track.at([5], tolerance=2).tolist() == [3]
    assert track.at([], tolerance=2).tolist() == []


def kinds(track) -> list[str]:
    return [note.partition(":")[0] for note in track.notes]


def test_a_person_beside_a_larger_bystander_is_told_and_counted(run, blobs, drawn):
    """Without the size limit: the person is the smaller one, and would not be seen by half the main face's area."""
    frames = [drawn([(20, 50, 55, 55, 100, 1), (300, 50, 100, 100, 100, 2)]) for _ in range(20)]
    track = run(FacePass(blobs()), frames)
    assert not track.multi_face.any()
    assert track.second_face.all()
    assert kinds(track) == ["two_people"] and "30%" in track.notes[0]
    alone = run(FacePass(blobs()), [drawn([(300, 50, 100, 100, 100, 2)]) for _ in range(20)])
    assert not alone.second_face.any() and not alone.notes
    tiny = [drawn([(20, 50, 20, 20, 100, 1), (300, 50, 100, 100, 100, 2)]) for _ in range(20)]
    assert not run(FacePass(blobs()), tiny).second_face.any(), "too small to be measured, and often no face at all"


def test_a_face_that_comes_back_after_a_gap_is_told(run, blobs, drawn):
    shown = [drawn([(300, 50, 80, 80, 100, 2)])] * 14 + [drawn([])] * 16 + [drawn([(20, 50, 80, 80, 100, 2)])] * 10
    track = run(FacePass(blobs()), shown)
    assert track.usable.sum() == 14
    assert kinds(track) == ["reappearance"]
    assert "frames 0-13 alone" in track.notes[0] and "frames 30-39 too" in track.notes[0]
    short = [drawn([(300, 50, 80, 80, 100, 2)])] * 14 + [drawn([])] * 5 + [drawn([(300, 50, 80, 80, 100, 2)])] * 21
    assert not run(FacePass(blobs()), short).notes


def test_a_face_that_grows_too_fast_for_samples_is_told(run, blobs, drawn):
    """Its boxes overlap from frame to frame, not from sample to sample: "sampled" says what it may have lost."""
    sides = np.concatenate([np.full(30, 60), np.geomspace(60, 460, 10), np.full(40, 460)]).astype(int)
    frames = [drawn([(5, 5, side, side, 100, 2)]) for side in sides]
    every, sampled = run(FacePass(blobs()), frames), run(FacePass(blobs(), "sampled"), frames)
    assert every.usable.all() and not every.notes
    assert not sampled.usable.all() and kinds(sampled) == ["reappearance"]
    assert "frames: all" in sampled.notes[0]
