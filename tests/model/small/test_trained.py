"""The bundled nano model taken apart and put together again: the same weights, and not a stale part."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from mmbench.baselines.magic_mirror.model import OWN_NANO, TRAINED_NANO, nano_folder
from mmbench.errors import MissingWeights, WeightsError
from mmbench.model.network.map_tower import load_tower
from mmbench.model.small.trained import TOWER, assemble, open_trained, unpack


def test_the_parts_are_the_models(tmp_path: Path) -> None:
    out = unpack(TRAINED_NANO, tmp_path / "start")
    whole, alone = open_trained(TRAINED_NANO), assemble(out, out / TOWER, None)
    held = whole.transformer.state_dict()
    for name in set(held) - set(whole.transformer.identity_parameter_names()):
        torch.testing.assert_close(alone.transformer.state_dict()[name], held[name], rtol=0, atol=0)
    for name, tensor in load_tower(out / TOWER).state_dict().items():
        torch.testing.assert_close(tensor, whole.face_encoder.vision.state_dict()[name], rtol=0, atol=0)


def test_parts_of_the_same_files_are_kept_and_of_others_are_not(tmp_path: Path) -> None:
    source = tmp_path / "model"
    shutil.copytree(TRAINED_NANO, source)
    out = unpack(source, tmp_path / "start")
    before = (out / TOWER).stat().st_mtime_ns
    unpack(source, out)
    assert (out / TOWER).stat().st_mtime_ns == before
    (source / "other.safetensors").write_bytes((out / TOWER).read_bytes())
    unpack(source, out)
    assert (out / TOWER).stat().st_mtime_ns != before
    with pytest.raises(MissingWeights, match="no trained nano model"):
        unpack(tmp_path / "nowhere", tmp_path / "x")


def test_a_tower_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / TOWER).write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="no vision tower"):
        load_tower(tmp_path / TOWER)


def test_ones_own_nano_model_comes_first(tmp_path: Path) -> None:
    assert nano_folder(tmp_path) == TRAINED_NANO
    (tmp_path / OWN_NANO).mkdir(parents=True)
    assert nano_folder(tmp_path) == tmp_path / OWN_NANO
