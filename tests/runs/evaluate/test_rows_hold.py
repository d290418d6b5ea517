"""Rows of real faces hold while references, prompt and rate do: the same command again is as a new folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import mmbench.testsets
from mmbench.config import EvaluateSettings, FaceSettings, FlowSettings
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import EvaluateResult, evaluate
from mmbench.runs.evaluate.items import read_manifest

METRICS = ("id_similarity", "fm_ref", "fm_inter", "dynamic_degree", "face_rate", "text_alignment")
OPTIONS = EvaluateSettings(
    metrics=METRICS, face=FaceSettings(frames="sampled"), flow=FlowSettings(backend="dis"), random_weights=True
)


@pytest.fixture(scope="module")
def people() -> list[Item]:
    """A truthful clip each of three people of synthetic50."""
    items = read_manifest(Path(mmbench.testsets.__path__[0]) / "synthetic50" / "manifest.csv")
    first = {item.identity: item for item in reversed(items) if item.model == "truth"}
    return [first[identity] for identity in sorted(first)[:3]]


def values(result: EvaluateResult) -> list[dict[str, float | None]]:
    """Every row's numbers by name."""
    return [{score.metric: score.value for score in row.scores} for row in result.rows]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The clips decoded from now on."""
    from mmbench.video import read

    seen: list[Path] = []
    original = read.stream_frames

    def stream(source: object, path: Path, limits: object) -> object:
        seen.append(path)
        return original(source, path, limits)  # type: ignore[arg-type]

    monkeypatch.setattr(read, "stream_frames", stream)
    return seen


def test_another_reference_prompt_or_rate_is_another_number(
    tmp_path: Path, people: list[Item], nearly: Callable[[object, object], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = tmp_path / "anna.png"
    shutil.copyfile(people[0].references[0], reference)
    items = [replace(people[0], references=(reference,), prompt="a woman waves", fps=None), people[1]]
    first = evaluate(items, tmp_path / "run", OPTIONS)
    assert first.complete and evaluate(items, tmp_path / "run", OPTIONS).measured_now == 0
    decoded = counted(monkeypatch)

    # another person's picture under the same name: the faces of the clips are known, and nothing is decoded
    shutil.copyfile(people[2].references[0], reference)
    replaced = evaluate(items, tmp_path / "run", OPTIONS)
    assert replaced.measured_now == 2, "the run's people have changed, and with them everybody's margin"
    assert not decoded
    before, now = values(first), values(replaced)
    assert before[0]["id_similarity"] is not None and now[0]["id_similarity"] is not None
    assert before[0]["id_similarity"] - now[0]["id_similarity"] > 0.03, "a stranger is less like"
    assert now[1]["id_similarity"] == before[1]["id_similarity"] and now[1]["id_margin"] != before[1]["id_margin"]
    banks = {score.bank for row in (*first.rows, *replaced.rows) for score in row.scores if score.metric == "id_margin"}
    assert len(banks) == 2 and "" not in banks
    assert nearly(values(evaluate(items, tmp_path / "fresh", OPTIONS)), now)

    decoded.clear()
    edited = [replace(items[0], prompt="a woman sings", fps=items[0].fps or 24.0), items[1]]
    again = evaluate(edited, tmp_path / "run", OPTIONS)
    assert again.measured_now == 1 and set(decoded) == {items[0].video}
    assert again.rows[0].item.prompt == "a woman sings"
    assert again.rows[0].clip is not None and again.rows[0].clip.fps == 24.0
    text = again.rows[0].score("text_alignment")
    assert text is not None and text.details["prompt"] == "a woman sings"
    assert nearly(values(evaluate(edited, tmp_path / "fresh-2", OPTIONS)), values(again))


def test_people_join_and_leave(
    tmp_path: Path, people: list[Item], nearly: Callable[[object, object], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody's impostors are those of the run as it is, and no clip is looked at twice for that."""
    options = OPTIONS.model_copy(update={"metrics": ("id_similarity",)})
    evaluate(people[:2], tmp_path / "run", options)
    decoded = counted(monkeypatch)
    joined = evaluate(people[2:], tmp_path / "run", options)
    assert decoded == [people[2].video]
    assert [row.item.id for row in joined.rows] == [people[2].id]
    decoded.clear()
    everybody = evaluate(people, tmp_path / "run", options)
    assert everybody.measured_now == 0
    assert nearly(values(evaluate(people, tmp_path / "fresh", options)), values(everybody))
    fewer = evaluate(people[:2], tmp_path / "run", options)
    assert fewer.measured_now == 0 and any("left out" in note for note in fewer.notes), "as it was at first"
    assert nearly(values(evaluate(people[:2], tmp_path / "fresh-2", options)), values(fewer))


def test_who_was_shown_what_is_measured_again_and_decodes_nothing(
    tmp_path: Path, people: list[Item], nearly: Callable[[object, object], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copying depends on which picture was shown; similarity does not. Rows and record carry it."""
    several = next(item for item in people if len(item.references) > 1)
    options = OPTIONS.model_copy(update={"metrics": ("id_similarity", "copy_gap")})
    first = evaluate([several], tmp_path / "run", options)
    named = replace(several, shown=several.references[:1])
    assert values(evaluate([named], tmp_path / "run", options)) == values(first), "the first one is shown anyway"
    decoded = counted(monkeypatch)
    other = replace(several, shown=several.references[1:2])
    second = evaluate([other], tmp_path / "run", options)
    assert second.measured_now == 1 and not decoded
    assert values(second)[0]["copy_gap"] != values(first)[0]["copy_gap"]
    assert values(second)[0]["id_similarity"] == values(first)[0]["id_similarity"]
    assert second.rows[0].item.shown == tuple(path.absolute() for path in other.shown)
    assert nearly(values(evaluate([other], tmp_path / "fresh", options)), values(second))
