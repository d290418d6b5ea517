"""Parameter counts of the full-size models against the paper's Table 3 (v1) and Table 6 (v2)."""

from __future__ import annotations

import pytest

from mmbench.baselines.counts import published_parameters, report

# Billions as printed: Table 3 (v1) for cogvideox and magic_mirror, Table 6 (v2) for the others.
PAPER = {"cogvideox": "10.5", "cogvideox_i2v": "10.6", "consisid": "11.1", "magic_mirror": "12.8"}


@pytest.mark.parametrize(("name", "printed"), PAPER.items())
def test_counts_round_to_the_papers(name: str, printed: str) -> None:
    assert f"{published_parameters(name).paper / 1e9:.1f}" == printed


def test_id_animator_in_both_conventions() -> None:
    counts = published_parameters("id_animator")
    assert f"{counts.paper / 1e9:.2f}" == "1.52"
    assert f"{counts.everything / 1e9:.2f}" == "2.21"
    assert counts.parts["face_adapter"] == 29_918_208 + 31_899_648
    assert report("id_animator") == "id_animator: 1.52 B by the paper's convention, 2.21 B in all"


def test_the_learned_positions_make_the_image_to_video_figure() -> None:
    counts = published_parameters("cogvideox_i2v")
    assert counts.parts["position_table"] == 17_776 * 3_072
    assert f"{(counts.everything - counts.parts['position_table']) / 1e9:.1f}" == "10.5"


def test_consisid_with_the_table_would_round_up() -> None:
    counts = published_parameters("consisid")
    assert f"{(counts.paper + counts.parts['position_table']) / 1e9:.1f}" == "11.2"
    assert counts.everything > counts.paper


def test_models_without_a_figure_in_the_paper() -> None:
    assert published_parameters("dynamicrafter").parts["unet"] == 1_438_854_980
    assert f"{published_parameters('easyanimate').parts['transformer'] / 1e9:.3f}" == "11.798"


def test_minimax_h3_has_the_size_its_makers_state() -> None:
    """Their README: a transformer of 33 billion, and the whole of Qwen3-VL-32B."""
    counts = published_parameters("minimax_h3")
    assert f"{counts.parts['transformer_ref'] / 1e9:.0f}" == "33"
    assert f"{counts.parts['text_encoder'] / 1e9:.0f}" == "33"
    assert counts.paper == counts.everything
