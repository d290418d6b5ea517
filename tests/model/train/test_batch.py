"""A sample is a function of its number; drops, references and padding do what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmbench.errors import ManifestError
from mmbench.model.train.batch import Batch, SampleOptions, StageData, collate, of_strangers, reference_pixels, sample
from mmbench.model.train.loss.drops import DropRates
from mmbench.model.train.plan import seeded
from mmbench.model.train.record import Reference
from mmbench.model.train.shards import ShardSet
from mmbench.model.train.text_store import TextStore

OPTIONS = SampleOptions(image_size=32)


def test_a_sample_is_a_function_of_its_number(world: Path) -> None:
    def read(number: int, *seed: object) -> torch.Tensor:
        data = StageData([ShardSet([world / "clips"])], TextStore(world / "texts"), OPTIONS, *seed)
        return data[(0, number)].noise

    assert torch.equal(read(4, 0), read(4, 0))
    assert not torch.equal(read(4, 0), read(4, 1)) and not torch.equal(read(4, 0), read(7, 0))


def test_strangers_are_the_next_samples_references_and_nothing_else(world: Path) -> None:
    def read(strangers: bool, numbers: range) -> list[Batch]:
        options = replace(OPTIONS, strangers=strangers, references=1, augment=False)
        data = StageData([ShardSet([world / "clips"])], TextStore(world / "texts"), options, 0)
        return [data[(0, number)] for number in numbers]

    own, other = read(False, range(3)), read(True, range(3))
    for held, following, shown in zip(own, own[1:], other, strict=False):
        assert torch.equal(shown.latents, held.latents) and torch.equal(shown.noise, held.noise)
        assert shown.id_vectors.tolist() in [r.id_vectors.tolist() for r in (following,)]
    stacked = collate(own)
    rolled = of_strangers(stacked)
    assert torch.equal(rolled.id_vectors, stacked.id_vectors[[2, 0, 1]])
    assert torch.equal(rolled.latents, stacked.latents) and torch.equal(rolled.points, stacked.points)
    with pytest.raises(ManifestError, match="no stranger"):
        of_strangers(collate(own[:1]))


def test_drops_take_what_they_name(world: Path) -> None:
    record, texts = ShardSet([world / "clips"])[0], TextStore(world / "texts")
    for rates, keep_identity, keep_text in (
        (DropRates(0, 0, 0), True, True),
        (DropRates(1, 0, 0), False, True),
        (DropRates(0, 1, 0), True, False),
        (DropRates(0, 0, 1), False, False),
    ):
        held = sample(record, texts, replace(OPTIONS, drops=rates), seeded(0))
        assert (bool(held.keep_identity), bool(held.keep_text)) == (keep_identity, keep_text)
        assert torch.equal(held.text, texts.get(record.text) if keep_text else texts.empty())
        assert held.word_positions.tolist() == ([1, -1, -1, -1] if keep_text else [-1] * 4)


def test_references_are_padded_and_marked(world: Path) -> None:
    record, texts = ShardSet([world / "images"])[0], TextStore(world / "texts")
    several = replace(record, references=record.references * 3)
    draws = [sample(several, texts, OPTIONS, seeded(n)) for n in range(20)]
    counts = {len(s.id_vectors) for s in draws}
    assert counts == {1, 2, 3}
    batch = collate(draws)
    assert batch.pixels is not None and batch.pixels.shape == (20, 3, 3, 32, 32)
    assert batch.ref_valid.sum(dim=1).tolist() == [len(s.id_vectors) for s in draws]
    assert not batch.id_vectors[~batch.ref_valid].any() and not batch.pixels[~batch.ref_valid].any()
    one = sample(several, texts, replace(OPTIONS, references=1), seeded(0))
    assert len(one.id_vectors) == 1


def test_features_take_the_place_of_pictures(world: Path) -> None:
    record, texts = ShardSet([world / "images"])[0], TextStore(world / "texts")
    vector = record.references[0].id_vector
    features = replace(record, references=(Reference(vector, features=torch.randn(2, 17, 32)),))
    held = sample(features, texts, OPTIONS, seeded(0))
    assert held.pixels is None and held.features is not None and held.features.shape == (1, 2, 17, 32)
    with pytest.raises(ManifestError, match="a source each"):
        collate([held, sample(record, texts, OPTIONS, seeded(0))])


def test_self_references_vary_and_others_do_not(world: Path) -> None:
    reference = ShardSet([world / "images"])[0].references[0]
    fixed = [reference_pixels(reference, 32, seeded(n), False) for n in range(3)]
    assert all(torch.equal(fixed[0], other) for other in fixed)
    varied = [reference_pixels(reference, 32, seeded(n), True) for n in range(4)]
    assert len({float(v.sum()) for v in varied}) == 4


def test_another_codec_s_latents_and_mixed_shapes_are_refused(world: Path) -> None:
    texts = TextStore(world / "texts")
    clip, image = ShardSet([world / "clips"])[0], ShardSet([world / "images"])[0]
    with pytest.raises(ManifestError, match="do not fit latents"):
        sample(clip, texts, replace(OPTIONS, spatial=4), seeded(0))
    with pytest.raises(ManifestError, match="several shapes"):
        collate([sample(clip, texts, OPTIONS, seeded(0)), sample(image, texts, OPTIONS, seeded(0))])
