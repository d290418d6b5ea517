"""Records survive their shard, refuse what does not fit, and shards are ordinary tars."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import ManifestError, MissingWeights
from mmbench.model.train.record import Reference, TrainingRecord, decode, encode
from mmbench.model.train.shards import ShardSet, write_shard
from mmbench.model.train.text_store import TextStore, text_key


def record(key: str = "a-1", latent_frames: int = 2, references: int = 1) -> TrainingRecord:
    """A record of 8x8 latents with one picture and one set of features in turn."""
    draw = torch.Generator().manual_seed(len(key))
    frames = 4 * latent_frames - 3
    people = tuple(
        Reference(torch.randn(32, generator=draw), features=torch.randn(2, 17, 32, generator=draw), cosine=0.7)
        if index % 2
        else Reference(
            torch.randn(32, generator=draw),
            torch.randint(256, (3, 20, 20), generator=draw, dtype=torch.uint8),
            (5.0, 5.0, 15.0, 15.0),
        )
        for index in range(references)
    )
    return TrainingRecord(
        key=key,
        source="rendered",
        identity="anna",
        caption="a woman is smiling",
        text=text_key("a woman is smiling", "tiny", 16),
        word_positions=(1,),
        latents=torch.randn(latent_frames, 64, 8, 8, generator=draw).bfloat16(),
        height=64,
        width=64,
        boxes=torch.rand(frames, 4, generator=draw),
        points=torch.full((frames, 5, 2), torch.nan),
        references=people,
        mask=torch.rand(latent_frames, 8, 8, generator=draw) < 0.5,
        facts={"licence": "CC0"},
    )


def same(one: TrainingRecord, other: TrainingRecord) -> None:
    """Fail where two records differ."""
    for name in ("key", "source", "identity", "caption", "text", "word_positions", "height", "width", "fps", "facts"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("latents", "boxes", "points", "mask"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0, equal_nan=True)
    for mine, theirs in zip(one.references, other.references, strict=True):
        assert (mine.box, mine.cosine) == (theirs.box, theirs.cosine)
        for name in ("id_vector", "picture", "features"):
            a, b = getattr(mine, name), getattr(theirs, name)
            assert (a is None) == (b is None)
            if a is not None:
                assert torch.equal(a, b) and a.dtype == b.dtype


@settings(max_examples=20)
@given(frames=st.integers(1, 4), references=st.integers(1, 4))
def test_a_record_is_what_it_was(frames: int, references: int) -> None:
    first = record("k", frames, references)
    same(first, decode(encode(first)))


def test_a_shard_gives_its_records_in_any_order(tmp_path: Path) -> None:
    records = [record(f"k{i:03d}", 1 + i % 3, 1 + i % 2) for i in range(7)]
    for index, part in enumerate((records[:4], records[4:])):
        write_shard(tmp_path / f"{index:06d}.tar", part)
    held = ShardSet([tmp_path])
    assert len(held) == 7 and held.keys() == [r.key for r in records]
    for index in (6, 0, 3, 5):
        same(held[index], records[index])
    with tarfile.open(tmp_path / "000000.tar") as tar:
        assert tar.getnames()[0].startswith("k000.")
    again = tmp_path / "again" / "x.tar"
    write_shard(again, records[:4])
    assert again.read_bytes() == (tmp_path / "000000.tar").read_bytes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"key": "a.b"}, "key"),
        ({"source": "E"}, "source"),
        ({"boxes": torch.zeros(4, 4)}, "boxes"),
        ({"points": torch.zeros(5, 4, 2)}, "points"),
        ({"mask": torch.ones(2, 4, 4, dtype=torch.bool)}, "mask"),
        ({"word_positions": (1, 2, 3, 4, 5)}, "text rows"),
        ({"references": ()}, "references"),
        ({"references": (Reference(torch.zeros(4)),)}, "picture or features"),
        ({"references": (Reference(torch.zeros(4), torch.zeros(3, 8, 8, dtype=torch.uint8)),)}, "box"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: dict[str, object], says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        replace(record(), **change)  # type: ignore[arg-type]


def test_damaged_shards_are_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no shard"):
        ShardSet([tmp_path])
    bad = tmp_path / "000000.tar"
    bad.write_bytes(b"not a tar at all" * 100)
    with pytest.raises(ManifestError, match=r"000000\.tar"):
        ShardSet([bad])
    write_shard(bad, [record("a"), record("a")])
    with pytest.raises(ManifestError, match="stands twice in it"):
        ShardSet([bad])
    write_shard(bad, [record("a")])
    members = encode(record("b"))
    members["latents.safetensors"] = b"\x00" * 40
    with pytest.raises(ManifestError, match="shard 3"):
        decode(members, "shard 3")
    write_shard(tmp_path / "1.tar", [record("a")])
    with pytest.raises(ManifestError, match="stands twice"):
        ShardSet([tmp_path])


def test_a_write_that_fails_leaves_no_shard(tmp_path: Path) -> None:
    def records():  # type: ignore[no-untyped-def]
        yield record("a")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_shard(tmp_path / "s.tar", records())
    assert list(tmp_path.iterdir()) == []


def test_texts_are_held_once_and_missed_by_name(tmp_path: Path) -> None:
    store = TextStore(tmp_path)
    key = text_key("a man", "tiny", 16)
    assert key != text_key("a man", "tiny", 226) != text_key("a man", "other", 226)
    store.put(key, torch.ones(16, 4))
    store.put(key, torch.zeros(16, 4))
    assert key in store and torch.equal(store.get(key), torch.ones(16, 4))
    with pytest.raises(MissingWeights, match="safetensors"):
        store.get(text_key("a woman", "tiny", 16))
    with pytest.raises(ManifestError, match="not the key"):
        store.get("../../etc/passwd")


def test_webdataset_reads_the_shards(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    records = [record(f"k{i}", 2, 2) for i in range(3)]
    write_shard(tmp_path / "000000.tar", records)
    held = list(webdataset.WebDataset(str(tmp_path / "000000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in held] == [r.key for r in records]
    for sample, mine in zip(held, records, strict=True):
        same(decode({k: v for k, v in sample.items() if not k.startswith("__")}), mine)
