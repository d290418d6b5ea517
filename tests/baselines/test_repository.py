"""A repository whose listing is not registered: whatever its own indices name has to be there before it is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmbench.baselines.loading.repository import Repository
from mmbench.errors import MissingWeights, WeightsError

MADE = Repository("someone/a-model", "Apache-2.0", 16 * 10**9, limits="not for sale")


def fill(root: Path) -> Path:
    folder = MADE.place(root)
    for name in ("transformer", "vae"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "spiece.model").write_bytes(b"pieces")
    parts = {"transformer": ["diffusers", "T"], "vae": ["diffusers", "V"], "tokenizer": ["transformers", "K"]}
    index = {"_class_name": "P", **parts, "image_encoder": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index))
    for number in (1, 2):
        save_file({str(number): torch.zeros(number)}, folder / "transformer" / f"part-{number}.safetensors")
    shards = {"weight_map": {"1": "part-1.safetensors", "2": "part-2.safetensors"}}
    (folder / "transformer" / "part.safetensors.index.json").write_text(json.dumps(shards))
    save_file({"v": torch.zeros(3)}, folder / "vae" / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("model_index.json", "model_index.json"),
        ("vae/model.safetensors", "vae/*.safetensors"),
        ("transformer/part-2.safetensors", "part-2.safetensors"),
    ],
)
def test_what_is_absent_is_named_with_size_licence_and_command(lost: str, named: str, tmp_path: Path) -> None:
    folder = fill(tmp_path)
    assert MADE.require(tmp_path) == folder
    (folder / lost).unlink()
    with pytest.raises(MissingWeights) as found:
        MADE.require(tmp_path)
    assert named in str(found.value)
    for told in ("someone/a-model", "16 GB", "Apache-2.0", "not for sale", "hf download someone/a-model"):
        assert told in str(found.value)


def test_every_file_that_makes_the_pictures_has_its_digest(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    wanted = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    first = {entry["name"]: entry["sha256"] for entry in MADE.in_use(tmp_path)}
    assert set(first) == {f"someone/a-model/{path} (not checked)" for path in wanted}
    (folder / "tokenizer" / "spiece.model").write_bytes(b"other pieces")
    with pytest.raises(WeightsError, match=r"spiece.model changed.*hf download someone/a-model.*origin.json"):
        MADE.in_use(tmp_path)
    for record in folder.rglob("*.origin.json"):
        record.unlink()
    second = {entry["name"]: entry["sha256"] for entry in MADE.in_use(tmp_path)}
    changed = [name for name in first if first[name] != second[name]]
    assert changed == ["someone/a-model/tokenizer/spiece.model (not checked)"]


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_an_index_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    folder = fill(tmp_path)
    (folder / "model_index.json").write_text(text)
    with pytest.raises(WeightsError, match="no index"):
        MADE.require(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'])
def test_an_index_of_shards_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    folder = fill(tmp_path)
    (folder / "transformer" / "part.safetensors.index.json").write_text(text)
    with pytest.raises(WeightsError, match="no index of shards"):
        MADE.require(tmp_path)


def test_of_a_repository_with_parts_nothing_else_is_asked_for_or_counted(tmp_path: Path) -> None:
    fill(tmp_path)
    part = Repository(MADE.name, MADE.licence, MADE.about, parts=("vae", "tokenizer"))
    folder = part.require(tmp_path)
    (folder / "transformer" / "part-2.safetensors").unlink()
    wanted = ("model_index.json", "vae/config.json", "vae/model.safetensors", "tokenizer/spiece.model")
    names = {entry["name"] for entry in part.in_use(tmp_path)}
    assert names == {f"someone/a-model/{path} (not checked)" for path in wanted}
    (folder / "tokenizer" / "spiece.model").unlink()
    with pytest.raises(MissingWeights, match="lacks tokenizer of") as found:
        part.require(tmp_path)
    wanted = ("vae/*", "tokenizer/*", "*model_index.json")
    assert str(found.value).endswith(" ".join(f"--include '{path}'" for path in wanted))
