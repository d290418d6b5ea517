"""A model's own options: declared once, read from text or YAML alike, refused when unknown, and felt in the frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mmbench.baselines.contract import Baseline, Request
from mmbench.baselines.options import Options, as_mapping, changed, describe, option, read_options
from mmbench.baselines.registry import BASELINES, FIRST_FRAMES, create, create_first_frame
from mmbench.errors import RequestError


@dataclass(frozen=True)
class Toys(Options):
    """One option of every type."""

    strength: float = option(1.0, "a number", 0, 1.5)
    start: int = option(0, "a whole number", 0)
    mode: Literal["shared", "off"] = option("shared", "a word")
    maybe: float | None = option(None, "a number or nothing", 0, 10)
    switch: bool = option(True, "on or off")
    note: str = option("", "a text")


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "strength": st.floats(0, 1.5),
        "start": st.integers(0, 10**9),
        "mode": st.sampled_from(["shared", "off"]),
        "maybe": st.none() | st.floats(0, 10),
        "switch": st.booleans(),
        "note": st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=8),
    },
)


@given(VALUES)
def test_text_yaml_and_values_give_the_same_options(values: dict[str, object]) -> None:
    read = read_options(Toys, values, "toys")  # type: ignore[arg-type]
    assert as_mapping(read) == {**as_mapping(Toys()), **values}
    typed = {name: str(value) for name, value in values.items()}
    assert read_options(Toys, typed, "toys") == read
    assert read_options(Toys, yaml.safe_load(yaml.safe_dump(values)), "toys") == read
    different = changed(Toys, as_mapping(read))
    assert read_options(Toys, different, "toys") == read
    assert different == {name: value for name, value in values.items() if value != getattr(Toys(), name)}


@given(st.text(min_size=1, max_size=12).filter(lambda name: name not in {entry.name for entry in fields(Toys)}))
def test_an_unknown_option_is_refused_with_the_known_ones_named(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_options(Toys, {name: 1}, "toys")
    assert repr(name) in caught.value.message
    assert all(entry.name in caught.value.remedy for entry in fields(Toys))


@given(st.one_of(st.floats(max_value=-1e-9), st.floats(min_value=1.5001), st.just(math.nan), st.just(math.inf)))
def test_a_number_out_of_bounds_is_refused(value: float) -> None:
    for given_value in (value, str(value)):
        with pytest.raises(RequestError, match="strength cannot be"):
            read_options(Toys, {"strength": given_value}, "toys")


@pytest.mark.parametrize(
    "wrong",
    [{"start": 0.5}, {"start": True}, {"start": "many"}, {"mode": "other"}, {"switch": 3}, {"note": 3}, {"start": -1}],
)
def test_a_value_of_another_type_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="cannot be"):
        read_options(Toys, wrong, "toys")  # type: ignore[arg-type]


def test_yamls_bare_off_is_the_word() -> None:
    assert read_options(Toys, yaml.safe_load("mode: off"), "toys").mode == "off"


def test_every_model_declares_its_options_with_a_line_each() -> None:
    models = [*(create(name) for name in BASELINES), *(create_first_frame(name) for name in FIRST_FRAMES)]
    for model in models:
        assert model.resolve_options({}) == as_mapping(model.options_type())
        assert model.changed_options({}) == {}
        for fact in describe(model.options_type):
            assert fact.says
            assert fact.values
        with pytest.raises(RequestError, match="no option 'no_such_option'"):
            model.resolve_options({"no_such_option": 1})
    magic = create("magic_mirror")
    assert {"identity_scale", "identity_guidance", "identity_start_step"} <= set(magic.resolve_options({}))
    with pytest.raises(RequestError, match="identity_guidance_scale means nothing"):
        magic.resolve_options({"identity_guidance_scale": 3})


def test_a_request_with_a_wrong_option_is_refused_before_loading(request_for: Callable[..., Request]) -> None:
    for name in BASELINES:
        with pytest.raises(RequestError, match="no option 'strength'"):
            create(name).check(request_for(options={"strength": 1}))


@pytest.mark.parametrize(
    ("name", "variant", "options"),
    [
        ("magic_mirror", "nano", {"identity_scale": 0.5}),
        ("magic_mirror", "nano", {"identity_scale": 0}),
        ("magic_mirror", "nano", {"identity_guidance": "base"}),
        ("magic_mirror", "nano", {"identity_guidance": "split", "identity_guidance_scale": 2}),
        ("magic_mirror", "nano", {"identity_start_step": 2}),
        ("magic_mirror", "nano", {"dynamic_guidance": "off"}),
        ("cogvideox", "tiny", {"dynamic_guidance": False}),
        ("consisid", "tiny", {"dynamic_guidance": True}),
        ("dynamicrafter", "tiny", {"eta": 0}),
        ("dynamicrafter", "tiny", {"guidance_rescale": 0}),
        ("dynamicrafter", "tiny", {"rate_condition": 3}),
        ("easyanimate", "tiny", {"reference_noise": 0.5}),
    ],
)
def test_options_change_frames_for_their_own_request_and_are_recorded(
    name: str,
    variant: str,
    options: dict[str, object],
    loaded: Callable[[str, str], Baseline],
    request_for: Callable[..., Request],
) -> None:
    model = loaded(name, variant)
    published = model.generate(request_for())
    other = model.generate(request_for(options=options))
    assert not np.array_equal(other.frames, published.frames)
    assert np.array_equal(model.generate(request_for()).frames, published.frames)
    for option_name, value in options.items():
        assert other.info.settings[option_name] == value


def test_the_merge_step_of_first_frames_can_be_chosen(
    tiny_folder: Callable[[str], object], request_for: Callable[..., Request]
) -> None:
    def make(**options: object) -> np.ndarray:
        maker = create_first_frame("photomaker_v2", options)  # type: ignore[arg-type]
        maker.load("cpu", "auto", "tiny", tiny_folder("photomaker_v2"))  # type: ignore[arg-type]
        return np.asarray(maker.make("A woman img smiles", request_for().references, (48, 72), 3))

    assert np.array_equal(make(), make(start_merge_step=0)), "a fifth of three steps is none"
    assert not np.array_equal(make(steps=5, start_merge_step=0), make(steps=5, start_merge_step=3))
    with pytest.raises(RequestError, match="none of 5 steps sees the identity"):
        make(steps=5, start_merge_step=4)
