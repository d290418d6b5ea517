"""Content fingerprints: every change is seen, equal content is equal, however it was written."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmbench.model.fast.fingerprint import encoder_mark, fingerprint

CHANGES = {
    "scaled": lambda x: x.mul_(1.5),
    "negated": lambda x: x.neg_(),
    "rolled": lambda x: x.copy_(x.roll(1)),
    "one": lambda x: x[3].add_(0.1),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("change", list(CHANGES))
def test_changes_past_the_version_counter_are_seen(dtype, change):
    weight = torch.nn.Parameter(torch.linspace(-1, 2, 40).to(dtype))
    before = fingerprint([weight])
    assert before == fingerprint([weight.detach().clone()])
    version = weight._version
    CHANGES[change](weight.data)
    assert weight._version == version
    assert fingerprint([weight]) != before


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20), st.integers(0, 19))
def test_one_changed_number_always_changes_it(values, where):
    tensor = torch.tensor(values, dtype=torch.float32)
    other = tensor.clone()
    bits = other.view(torch.int32)
    bits[where % len(values)] ^= 1
    assert fingerprint([tensor]) != fingerprint([other])


def test_chunks_do_not_matter(monkeypatch):
    from mmbench.model.fast import fingerprint as module

    tensor = torch.randn(1000)
    whole = fingerprint([tensor])
    monkeypatch.setattr(module, "_CHUNK", 64)
    assert fingerprint([tensor]) == whole


def test_unreadable_content_has_none():
    assert fingerprint([torch.empty(3, device="meta")]) is None
    assert fingerprint([]) == ()
    assert encoder_mark(torch.nn.Linear(2, 2, device="meta")) == ""


def test_marks_tell_encoders_apart():
    torch.manual_seed(0)
    a, b = torch.nn.Linear(300, 3), torch.nn.Linear(300, 3)
    assert encoder_mark(a) == encoder_mark(a)
    assert encoder_mark(a) != encoder_mark(b)
