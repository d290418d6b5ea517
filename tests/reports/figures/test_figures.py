"""Figures: what they show of planted rows, what they refuse, and that they are written as their endings say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmbench.errors import ManifestError, RequestError
from mmbench.items import Item
from mmbench.reports.figures.ablation import ablation_figure, read_ablation
from mmbench.reports.figures.curves import curves_figure, curves_of_rows
from mmbench.reports.figures.grid import grid_figure
from mmbench.reports.figures.models import means_figure, paired_figure
from mmbench.reports.figures.style import save_figure
from mmbench.reports.numbers.samples import Samples, take_samples
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.scores import Score
from mmbench.video.write import write_video


@pytest.fixture
def samples(make_row: Callable[..., ItemRow]) -> Samples:
    rows = [
        make_row(name, f"p{n}", id_similarity=level + 0.001 * n, face_rate=1.0)
        for name, level in (("ours", 0.9), ("theirs", 0.8), ("$x_1$ <b>", 0.7))
        for n in range(12)
    ]
    return take_samples(rows)


def test_means_are_the_samples_means(samples: Samples, facts: Any) -> None:
    figure = means_figure(samples, facts, ["id_similarity"])
    (panel,) = figure.axes
    dots = [line.get_xdata()[0] for line in panel.lines if len(line.get_xdata()) == 1]
    assert sorted(dots) == pytest.approx([0.7055, 0.8055, 0.9055])
    assert [label.get_text() for label in panel.get_yticklabels()][::-1] == list(samples.models)


def test_paired_differences_have_the_sign_of_the_other_model(samples: Samples, facts: Any) -> None:
    figure = paired_figure(samples, facts, "theirs", ["id_similarity"])
    (panel,) = figure.axes
    dots = {round(float(line.get_ydata()[0])): line for line in panel.lines if len(line.get_xdata()) == 1}
    names = [label.get_text() for label in panel.get_yticklabels()]
    shown = {names[at]: float(line.get_xdata()[0]) for at, line in dots.items()}
    assert shown == pytest.approx({"ours": 0.1, "$x_1$ <b>": -0.1})


def test_what_cannot_be_drawn(samples: Samples, facts: Any, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no value of 'fm_ref'"):
        means_figure(samples, facts, ["fm_ref"])
    with pytest.raises(RequestError, match="no model 'x'"):
        paired_figure(samples, facts, "x")
    with pytest.raises(RequestError, match="while a model trained"):
        curves_of_rows(samples.rows)
    with pytest.raises(ManifestError, match=r"ablation\.json"):
        read_ablation(tmp_path)
    with pytest.raises(RequestError, match=r"End it in \.pdf"):
        save_figure(means_figure(samples, facts), tmp_path / "figure.doc")


@pytest.mark.parametrize(("suffix", "head"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_files_are_what_their_endings_say(
    samples: Samples, facts: Any, tmp_path: Path, suffix: str, head: bytes
) -> None:
    paths = [save_figure(means_figure(samples, facts, ["id_similarity"]), tmp_path / f"{k}.{suffix}") for k in range(2)]
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(head)
    assert first == second, "equal rows, equal files"


def test_curves_by_step() -> None:
    rows = [
        ItemRow(Item(f"{step}/{k}", f"image@{step}", f"p{k}", Path("x.mp4"), step=step), (Score.ok("fm_inter", v),))
        for step, held in ((10, (0.1, 0.3)), (20, (0.5, 0.7)))
        for k, v in enumerate(held)
    ]
    curves = curves_of_rows(rows)
    assert curves == {"fm_inter": {"image": {10: (pytest.approx(0.2),), 20: (pytest.approx(0.6),)}}}
    from mmbench.metrics.registry import facts_by_name

    (panel,) = curves_figure(curves, facts_by_name()).axes
    assert list(panel.lines[0].get_xdata()) == [10, 20]
    with pytest.raises(RequestError, match="no curve of 'face_rate'"):
        curves_figure(curves, facts_by_name(), ["face_rate"])


def test_ablations_from_their_document() -> None:
    def arm(name: str, mean: float) -> dict[str, Any]:
        held = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}
        return {"name": name, "means": {"fm_inter": held}, "by_seed": {"fm_inter": [mean - 0.05, mean + 0.05]}}

    facts = {"fm_inter": {"title": "FM inter", "unit": "1", "higher_is_better": True}}
    document = {"facts": facts, "arms": [arm("A", 0.2), arm("Full", 0.4)], "curves": {}}
    (panel,) = ablation_figure(document).axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["Full", "A"]
    with pytest.raises(RequestError, match="did not measure 'x'"):
        ablation_figure(document, ["x"])


def test_a_grid_shows_what_all_columns_have(tmp_path: Path) -> None:
    items = []
    for model, shade in (("a", 60), ("b", 180)):
        for person in range(3):
            path = tmp_path / f"{model}{person}.mp4"
            if (model, person) != ("b", 2):
                write_video(path, np.full((3, 32, 32, 3), shade, np.uint8), 8.0)
            items.append(Item(f"{model}{person}", model, f"p{person}", path, prompt_index=0, seed=0))
    figure = grid_figure(items, ["b", "a"], rows=3, shares=(0.0,))
    shown = [[len(axes.images) for axes in figure.axes[row * 3 : row * 3 + 3]] for row in range(3)]
    assert shown == [[0, 1, 1], [0, 1, 1], [0, 0, 1]], "no reference; the clip that is not there is an empty place"
    middle = np.asarray(figure.axes[1].images[0].get_array())
    assert abs(int(middle[16, 16, 0]) - 180) < 6, "columns are in the order asked for"
    with pytest.raises(RequestError, match="in every column"):
        grid_figure(items, ["a", "c"])
