"""Paths of remote storage: written as URLs, opened as local copies, the same after any journey."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.items import Item
from mmbench.names import PathFinder
from mmbench.remote.path import RemotePath, path_of
from mmbench.remote.schemes import SCHEMES, is_url
from mmbench.runs.evaluate.record import item_from_json, item_json
from mmbench.runs.evaluate.rows import ItemRow

PART = st.text("abcXYZ019 _-.=+é汉", min_size=1, max_size=12).filter(lambda part: part.strip(".") != "")
URLS = st.builds(
    lambda scheme, parts: f"{scheme}://{'/'.join(parts)}",
    st.sampled_from(sorted(SCHEMES)),
    st.lists(PART, min_size=2, max_size=5),
)


@given(URLS)
def test_a_url_comes_back_from_every_form_of_it(url: str) -> None:
    path = path_of(url)
    assert isinstance(path, RemotePath)
    assert str(path) == url == path.as_posix() == str(path.absolute()) == str(path.resolve())
    assert path_of(Path(url)) == path_of(path) == pickle.loads(pickle.dumps(path)) == path  # noqa: S301
    assert hash(path_of(Path(url))) == hash(path)
    assert path.name == url.rsplit("/", 1)[1]
    assert str(path.parent / path.name) == url
    assert path != Path(url)
    assert not path.is_dir()


@given(URLS)
def test_items_rows_and_records_keep_urls(url: str) -> None:
    item = Item("a", "m", "p", url, (url, "local.png"), (url,), condition=url)  # type: ignore[arg-type]
    assert all(isinstance(path, RemotePath) for path in (item.video, item.references[0], item.condition))
    assert not isinstance(item.references[1], RemotePath)
    assert ItemRow.from_json(ItemRow(item).to_json()).item == item
    back = item_from_json(item_json(item))
    assert (back.video, back.references[0], back.condition) == (item.video, item.references[0], item.condition)
    assert back.references[1].is_absolute()


@pytest.mark.parametrize(
    "text",
    ["clip.mp4", "/a/b.mp4", "C:/a.mp4", "C:\\a.mp4", "s3", "s3:", "s3:key", "s3://", "http://host/a.mp4", "x:/a"],
)
def test_other_names_are_files_of_this_machine(text: str) -> None:
    assert not is_url(text)
    assert not isinstance(path_of(text), RemotePath)


def test_a_table_names_urls_and_what_lies_beside_it(tmp_path: Path) -> None:
    here, there = PathFinder(tmp_path), PathFinder(RemotePath("s3://bucket/sets/one"))
    assert str(here.find("s3://bucket/a.mp4")) == "s3://bucket/a.mp4"
    assert str(there.find("clips/a.mp4")) == "s3://bucket/sets/one/clips/a.mp4"
    assert str(there.find("../two/./a.mp4")) == "s3://bucket/sets/two/a.mp4"
    assert str(there.find("gs://other/a.mp4")) == "gs://other/a.mp4"
    assert here.find("clips/a.mp4") == tmp_path / "clips" / "a.mp4"
