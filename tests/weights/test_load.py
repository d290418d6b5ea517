"""Loading: tensors only, digests first, every key accounted for."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mmbench.errors import WeightsError
from mmbench.files import sha256_file
from mmbench.weights import load, load_file, load_strict, read_state
from mmbench.weights.cache import cached_file, set_user_path
from mmbench.weights.load import rename_keys
from mmbench.weights.registry import WeightFile, find


def make_net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


class Evil:
    """Unpickling this creates a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return (os.mkdir, (str(self.witness),))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_round_trip(tmp_path: Path, suffix):
    state = make_net().state_dict()
    file = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(state, file)
    else:
        safetensors.torch.save_file(state, file)
    loaded = load_file(file)
    assert loaded.sha256 == sha256_file(file)
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    load_strict(other, loaded.state, str(file))
    assert all(torch.equal(a, b) for a, b in zip(other.state_dict().values(), state.values(), strict=True))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_pickle_never_runs(tmp_path: Path):
    witness = tmp_path / "ran"
    for name, write in (("a.pth", lambda f: torch.save({"w": Evil(witness)}, f)), ("b.pkl", None)):
        file = tmp_path / name
        if write:
            write(file)
        else:
            file.write_bytes(pickle.dumps(Evil(witness)))
        with pytest.raises(WeightsError, match="it was not loaded") as caught:
            read_state(file)
        assert "weights_only" not in str(caught.value)  # torch's text advises to switch the protection off
    assert not witness.exists()


def test_code_in_a_torch_file_is_named(tmp_path: Path):
    torch.save({"w": Evil(tmp_path / "ran")}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=rf"a\.pth names code, {os.mkdir.__module__}\.mkdir"):
        read_state(tmp_path / "a.pth")


@pytest.mark.filterwarnings("ignore")
def test_script_archive_is_refused_without_unsafe_advice(tmp_path: Path):
    torch.jit.script(make_net()).save(str(tmp_path / "a.pth"))
    with pytest.raises(WeightsError, match="no file of tensors") as caught:
        read_state(tmp_path / "a.pth")
    assert "False" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_page_saved_as_weights_shows_what_it_is(tmp_path: Path, suffix):
    file = tmp_path / f"net{suffix}"
    file.write_bytes(b"<!DOCTYPE html>\n<p>404 \xe9 not found</p>")
    with pytest.raises(WeightsError, match="HTML page") as caught:
        read_state(file)
    assert r"begins with <!DOCTYPE html>\n<p>404" in caught.value.message
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("data", [b"", b"rubbish" * 50])
def test_damaged_file_is_named(tmp_path: Path, suffix, data):
    file = tmp_path / f"net{suffix}"
    file.write_bytes(data)
    with pytest.raises(WeightsError, match="net"):
        read_state(file)


def test_truncated_torch_file_is_named(tmp_path: Path):
    file = tmp_path / "net.pth"
    torch.save(make_net().state_dict(), file)
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(WeightsError, match="net"):
        read_state(file)


def test_key_selects_the_weights(tmp_path: Path):
    file = tmp_path / "net.pth"
    torch.save({"model": {"w": torch.ones(2)}, "epoch": 3}, file)
    assert list(read_state(file, "model")) == ["w"]
    with pytest.raises(WeightsError, match="epoch"):
        read_state(file, "state_dict")


def test_digest_is_checked_before_loading():
    file = cached_file(find("inception-2015-12-05"))
    file.parent.mkdir(parents=True)
    torch.save({"w": torch.ones(2)}, file)
    with pytest.raises(WeightsError, match="bytes, expected 95628359"):
        load("inception-2015-12-05")


def test_digest_of_a_published_file_is_compared(tmp_path: Path):
    file = tmp_path / "net.pth"
    torch.save({"w": torch.ones(2)}, file)
    wrong = WeightFile(name="n", kind="torch", licence="MIT", urls=("https://x/n.pth",), sha256="0" * 64)
    cached_file(wrong).parent.mkdir(parents=True)
    file.rename(cached_file(wrong))
    with pytest.raises(WeightsError, match="expected 0000"):
        load(wrong)


def test_own_file_is_loaded_with_its_own_digest(tmp_path: Path):
    own = tmp_path / "own.pth"
    torch.save({"w": torch.ones(2)}, own)
    set_user_path(find("inception-2015-12-05"), own)
    loaded = load("inception-2015-12-05")
    assert (loaded.sha256, loaded.path) == (sha256_file(own), own)
    assert loaded.name == "inception-2015-12-05 (own file own.pth)"


def test_strict_lists_missing_left_over_and_misshapen():
    net = make_net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state = dict(net.state_dict())
    state["0.bias"] = torch.zeros(7)
    state["extra"] = torch.zeros(1)
    del state["1.weight"]
    with pytest.raises(WeightsError) as caught:
        load_strict(net, state, "a file")
    for part in ("1 missing: 1.weight", "1 left over: extra", "0.bias (7,) for (4,)"):
        assert part in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_rename_drops_only_on_request_and_refuses_collisions():
    state = {"module.a": torch.ones(1), "module.b": torch.zeros(1), "module.a2": torch.ones(1)}
    renamed = rename_keys(state, lambda key: None if key.endswith("b") else "a")
    assert list(renamed) == ["a"]
    with pytest.raises(WeightsError, match="both become x"):
        rename_keys(state, lambda key: "x")
