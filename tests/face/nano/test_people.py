"""The nano world's people by the second recogniser: an order that does not matter, bytes and groups that do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.errors import MediaError
from mmbench.face.nano.people import NANO_FACES, NANO_PEOPLE, embed, judge
from mmbench.items import Item
from mmbench.model.small.nano import example_reference


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    found = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        example_reference(number).save(path)
        found.append(Item(f"c{number}", "m", f"p{number}", tmp_path / "x.mp4", references=(path,), group="man"))
    return found


def test_people_do_not_depend_on_the_order_of_items(items: list[Item], tmp_path: Path) -> None:
    one = NANO_PEOPLE.read(items, tmp_path)(items[0])
    two = NANO_PEOPLE.read([*items[::-1], items[1]], tmp_path)(items[2])
    assert one is not None and two is not None
    assert (one.identities, one.groups, one.digest) == (two.identities, two.groups, two.digest)
    np.testing.assert_array_equal(one.centroids, two.centroids)
    assert NANO_PEOPLE.inputs(items)(items[0]) == NANO_PEOPLE.inputs(items[::-1])(items[3])


def test_other_bytes_or_groups_are_other_people(items: list[Item]) -> None:
    before = NANO_PEOPLE.inputs(items)(items[0])
    example_reference(9).save(items[3].references[0])
    after = NANO_PEOPLE.inputs(items)(items[0])
    from dataclasses import replace

    assert len({before, after, NANO_PEOPLE.inputs([replace(item, group="boy") for item in items])(items[0])}) == 3


def test_nobody_has_a_reference(tmp_path: Path) -> None:
    item = Item("c", "m", "p", tmp_path / "x.mp4")
    assert NANO_PEOPLE.read([item], tmp_path)(item) is None


def test_who_has_no_picture_is_nobody_and_a_lost_one_is_told(items: list[Item], tmp_path: Path) -> None:
    stranger = Item("c", "m", "nobody", tmp_path / "x.mp4")
    assert NANO_PEOPLE.read([*items, stranger], tmp_path)(stranger) is None
    items[2].references[0].unlink()
    with pytest.raises(MediaError, match=r"2\.png"):
        NANO_PEOPLE.read(items, tmp_path)


def test_a_picture_of_any_size_is_its_middle_square() -> None:
    small = np.asarray(example_reference(3, 64))
    wide = np.concatenate([np.zeros((64, 20, 3), np.uint8), small, np.zeros((64, 20, 3), np.uint8)], axis=1)
    np.testing.assert_allclose(embed(judge(), wide), embed(judge(), small), atol=1e-5)


def test_every_frame_has_a_vector() -> None:
    from mmbench.video.need import Networks

    maker = NANO_FACES.make(None, Networks())  # type: ignore[arg-type]  # it asks no setting
    seen = maker.new()
    seen.start(None)  # type: ignore[arg-type]
    for index in range(5):
        seen.feed(
            index, np.asarray(example_reference(index).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC))
        )
    assert seen.finish().vectors.shape == (5, 64)
