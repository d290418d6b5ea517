"""A model in another process: same frames, same errors, and a crash or a hang is an error that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mmbench.baselines.contract import Request
from mmbench.baselines.registry import create
from mmbench.baselines.remote.client import Remote
from mmbench.errors import GenerationError, MissingWeights, RequestError

HANG = 3600.0  # seconds: a guard against waiting for ever, beyond what any machine needs

TOY = """
import os, time
import numpy as np
from mmbench.baselines.contract import Baseline, Native, Video, VideoInfo

class Toy(Baseline):
    name = "toy"
    kind = "identity"
    edition = 3
    variants = ("one", "two")

    def native(self, variant=None):
        return Native(size=(16, 24), frames=3, fps=8)

    def load(self, device, dtype, variant, weights_dir):
        print("this goes to stderr, not into the protocol", flush=True)
        os.write(1, b"and so does this\\n")

    def generate(self, request):
        if "crash" in request.prompt:
            os._exit(7)
        if "hang" in request.prompt:
            time.sleep(3600)
        if "fail" in request.prompt:
            raise ZeroDivisionError("by hand")
        picture = np.asarray(request.references[0].resize((24, 16)))
        frames = np.stack([picture] * 3) + np.uint8(request.seed)
        return Video(frames, 8, VideoInfo(request.seed, 0.5, None, request.prompt, False, {"steps": request.steps}))
"""


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Remote]:
    (tmp_path / "toy_model.py").write_text(TOY)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    remote = Remote("toy_model:Toy", environment=[("PYTHONPATH", os.pathsep.join(paths))], timeout=HANG)
    yield remote
    remote.close()


def test_frames_and_facts_cross_the_pipe(toy: Remote, request_for: Callable[..., Request]) -> None:
    assert (toy.kind, toy.edition, toy.variants, toy.prompt_kind) == ("identity", 3, ("one", "two"), "long")
    assert toy.native("two").size == (16, 24)
    toy.load("cpu", "auto", "one", Path())
    request = request_for(steps=9, size=(16, 24))
    video = toy.generate(request)
    expected = np.asarray(request.references[0].resize((24, 16)))
    assert np.array_equal(video.frames, np.stack([expected] * 3) + np.uint8(3))
    assert video.info.settings == {"steps": 9}
    assert video.info.prompt_used == request.prompt
    assert toy.parameters().parts == {}


def test_errors_cross_the_pipe(
    toy: Remote, request_for: Callable[..., Request], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RequestError, match="16x24"):
        toy.check(request_for(size=(17, 24)))
    with pytest.raises(GenerationError, match="ZeroDivisionError: by hand"):
        toy.generate(request_for(prompt="fail"))
    assert "Traceback" in capfd.readouterr().err
    assert toy.generate(request_for()).frames.shape == (3, 16, 24, 3)


def test_a_crash_is_an_error_and_the_next_call_starts_anew(toy: Remote, request_for: Callable[..., Request]) -> None:
    with pytest.raises(GenerationError, match="exit code 7"):
        toy.generate(request_for(prompt="crash"))
    toy.load("cpu", "auto", "two", Path())
    assert toy.generate(request_for()).frames.shape == (3, 16, 24, 3)


def test_a_hang_ends_with_the_process(toy: Remote, request_for: Callable[..., Request]) -> None:
    toy._timeout = 1.0
    process = toy._process
    assert process is not None
    with pytest.raises(GenerationError, match="did not answer"):
        toy.generate(request_for(prompt="hang"))
    assert process.wait(timeout=HANG) != 0


def test_closing_ends_the_process(toy: Remote) -> None:
    process = toy._process
    assert process is not None
    toy.close()
    assert process.wait(timeout=HANG) == 0
    toy.close()


def test_a_wrong_interpreter_or_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no model 'nonesuch'"):
        Remote("nonesuch")
    bad = tmp_path / "python"
    bad.write_text(f"#!{sys.executable}\nraise SystemExit(3)\n")
    bad.chmod(0o755)
    with pytest.raises(GenerationError, match="exit code 3"):
        Remote("cogvideox", python=bad)


@pytest.mark.slow
def test_a_real_wrapper_makes_the_same_frames_remotely(
    tiny_folder: Callable[[str], Path], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    folder = tiny_folder("cogvideox_i2v")
    local = create("cogvideox_i2v")
    local.load("cpu", "auto", "tiny", folder)
    remote = Remote("cogvideox_i2v", environment=[("OMP_NUM_THREADS", "1")])
    remote.load("cpu", "auto", "tiny", folder)
    frames = [model.generate(request_for()).frames.astype(int) for model in (remote, local)]
    assert np.abs(frames[0] - frames[1]).max() <= 1  # of 255: weights loaded twice, so sums may round otherwise
    assert remote.parameters() == local.parameters()
    with pytest.raises(MissingWeights, match="CogVideoX-5b-I2V"):
        remote.load("cpu", "auto", "5b", tmp_path)
    remote.close()
