"""Batches of the nano world: what a caption says is what is drawn, references are other pictures, drawing resumes."""

from __future__ import annotations

import pytest
import torch

from mmbench.studies.nano.pictures import CAPTIONS, Drawn, Look, WorldPictures, caption_of, number_of
from mmbench.synth.identity import GROUPS
from mmbench.synth.world.grammar import COLOURS, POSING
from mmbench.synth.world.people import CLIPS, FRAMES


def test_captions_are_numbered() -> None:
    captions = [caption_of(number) for number in range(CAPTIONS)]
    assert len({caption.text for caption in captions}) == CAPTIONS
    assert [number_of(caption) for caption in captions] == list(range(CAPTIONS))


def test_a_caption_tells_the_group_and_the_wall(drawn_world) -> None:
    pictures = WorldPictures(drawn_world, seed=3)
    for drawn in (pictures.images(40), pictures.clips(40)):
        assert drawn.frames.abs().max() <= 1
        for k in range(40):
            caption = caption_of(int(drawn.captions[k]))
            assert caption.group == GROUPS[int(drawn_world.groups[drawn.people[k]])]
            assert (caption.action == POSING) == (int(drawn.first[k]) >= CLIPS * FRAMES)
            corner = (drawn.frames[k, :, 0, 30, 0] + 1) / 2
            nearest = min(COLOURS, key=lambda name: float((corner - torch.tensor(COLOURS[name])).abs().sum()))
            assert nearest == caption.wall


def test_points_follow_the_mirror(drawn_world) -> None:
    drawn = WorldPictures(drawn_world, seed=4).clips(32)
    assert drawn.mirrored.any() and not drawn.mirrored.all()
    for k in range(32):
        for frame in range(FRAMES):
            for x, y in drawn.five[k, frame, :2]:  # the eyes are black
                assert float(drawn.frames[k, :, frame, int(y), int(x)].max()) < -0.5
    assert (drawn.five[..., 0, 0] < drawn.five[..., 1, 0]).all()  # image left comes first


def test_references_are_other_pictures_of_the_same_person(drawn_world) -> None:
    pictures = WorldPictures(drawn_world, seed=5)
    pictures.frames[:, :, 0, 0] = torch.arange(24, dtype=torch.uint8)[None, :, None]  # a picture's number in its corner
    pictures.frames[:, :, 0, 0, 3] = 255
    for drawn in (pictures.images(64), pictures.clips(64)):
        references = pictures.references(drawn, 3)
        assert references.shape == (64, 3, 3, 64, 64)
        corner = torch.where(drawn.mirrored[:, None], references[:, :, 0, 0, -1], references[:, :, 0, 0, 0])
        numbers = ((corner + 1) / 2 * 255).round().long()
        shown = drawn.first[:, None] + torch.arange(drawn.frames.shape[2])
        assert not (numbers[:, :, None] == shown[:, None]).any()
        assert all(len(set(row.tolist())) == 3 for row in numbers)


def test_looks_change_what_they_name(drawn_world) -> None:
    def drawn(look: Look) -> Drawn:
        pictures = WorldPictures(drawn_world, seed=3)
        return pictures.looking(pictures.clips(4), look)

    natural, worn, slow = drawn("natural"), drawn("worn"), drawn("slow")
    assert torch.equal(slow.frames[:, :, 2::2], natural.frames[:, :, 1:5])
    assert torch.equal(slow.frames[:, :, 0], slow.frames[:, :, 1]) and torch.equal(slow.five[:, 8], natural.five[:, 4])
    assert worn.frames.shape == natural.frames.shape and not torch.equal(worn.frames, natural.frames)
    assert torch.equal(worn.captions, natural.captions) and torch.equal(worn.frames, drawn("worn").frames)
    pictures = WorldPictures(drawn_world, seed=3)
    with pytest.raises(ValueError, match="no speed"):
        pictures.looking(pictures.images(2), "slow")


def test_drawing_goes_on_where_it_stopped(drawn_world) -> None:
    one, other = WorldPictures(drawn_world, seed=6), WorldPictures(drawn_world, seed=7)
    one.images(8)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.clips(4).frames, other.clips(4).frames)
