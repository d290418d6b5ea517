"""Errors that a user can mend: told in one line, sent between processes, and what an absent extra says."""

from __future__ import annotations

import pickle
import re
from importlib.metadata import metadata

import pytest

from mmbench import errors
from mmbench.errors import EXTRAS, MissingDependency, MMBenchError, how_to_install, require_extra

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MMBenchError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_whole_from_another_process(kind: type[MMBenchError]) -> None:
    error = kind("a.mp4: cut short.", "Get it again.")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert type(again) is kind
    assert (again.message, again.remedy) == (error.message, error.remedy)
    assert str(again) == "a.mp4: cut short. Get it again."
    assert str(kind("a.mp4: cut short.")) == "a.mp4: cut short."


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_are_those_that_mmbench_declares(extra: str) -> None:
    declared = metadata("mmbench").get_all("Provides-Extra") or []
    assert extra in declared
    assert f"mmbench[{extra}]" in how_to_install(extra)


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_absent_package_names_itself_and_its_extra(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == EXTRAS[extra][0] else object())
    with pytest.raises(MissingDependency, match=re.escape(EXTRAS[extra][0])) as caught:
        require_extra(extra)
    assert f"mmbench[{extra}]" in caught.value.remedy
    for other in EXTRAS[extra][1:]:
        assert other not in re.findall(r"\w+", caught.value.message)
        require_extra(extra, other)


def test_what_is_there_is_no_error() -> None:
    require_extra("generate", "json", "numpy")
