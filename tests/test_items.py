"""Items take paths as anybody writes them."""

from __future__ import annotations

from pathlib import Path

from mmbench.items import Item


def test_strings_are_paths_and_one_reference_is_no_row_of_letters() -> None:
    plain = Item("m/a", "m", "a", Path("a.mp4"), (Path("a.png"),), condition=Path("first.png"))
    assert Item("m/a", "m", "a", "a.mp4", ["a.png"], condition="first.png") == plain  # type: ignore[arg-type]
    assert Item("m/a", "m", "a", "a.mp4", "a.png", condition="first.png") == plain  # type: ignore[arg-type]
    assert hash(plain) == hash(Item("m/a", "m", "a", "a.mp4", "a.png", condition="first.png"))  # type: ignore[arg-type]
