"""Generation over a local Ray cluster of two nodes: the videos of one process, whatever dies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmbench.config import GenerateSettings
from mmbench.engine.ray import RayCluster
from mmbench.runs.evaluate.items import read_manifest
from mmbench.runs.generate.make import Generated, generate

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.slow

TOY = """
import os
import signal
import numpy as np
from PIL import Image
from mmbench.baselines.contract import Baseline, FirstFrame, Native, Video, VideoInfo

class Toy(Baseline):
    name = "toy"
    kind = "identity"

    def native(self, variant=None):
        return Native(size=(32, 32), frames=3, fps=8)

    def load(self, device, dtype, variant, weights_dir):
        with open(os.environ["TOY_LOG"], "a") as log:
            log.write(f"loaded {os.getpid()}\\n")

    def generate(self, request):
        if "deadly" in request.prompt:
            os.kill(os.getpid(), signal.SIGKILL)
        if "broken" in request.prompt:
            raise ValueError("this one cannot be made")
        rng = np.random.default_rng(request.seed)
        if request.first_frame is not None:
            rng = np.random.default_rng(request.seed + int(np.asarray(request.first_frame).sum()))
        frames = rng.integers(0, 255, (3, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
        return Video(frames, 8.0, VideoInfo(request.seed, 0.0, None, request.prompt, False))

class I2V(Toy):
    name = "i2v"
    kind = "i2v"

class Opening(FirstFrame):
    name = "opening"

    def load(self, device, dtype, variant, weights_dir):
        pass

    def make(self, prompt, references, size, seed, negative=None):
        return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))
"""


@pytest.fixture
def testset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five people, four prompts each, and a model of our own that workers can import."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "ray_toy.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(code))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("TOY_LOG", str(code / "log"))
    folder = tmp_path / "set"
    (folder / "references").mkdir(parents=True)
    people, lines = [], ["identity,prompt_index,prompt,prompt_long"]
    for number in range(5):
        name = f"man_{number:02d}"
        Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(folder / "references" / f"{name}.png")
        people.append({"id": name, "group": "man", "class_word": "man", "references": [f"references/{name}.png"]})
        lines += [f"{name},{index},a man img,a man img waves" for index in range(4)]
    (folder / "identities.json").write_text(json.dumps({"name": "ray", "identities": people}))
    (folder / "prompts.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def nodes(testset: Path) -> Iterator[Any]:
    """A cluster of a head without processors and two nodes with one each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def videos(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "videos").glob("[!.]*.mp4")}


def made(testset: Path, out: Path, model: str = "Toy", **more: Any) -> Generated:
    return generate(GenerateSettings(models=(f"ray_toy:{model}",), first_frame="ray_toy:Opening"), testset, out, **more)


@pytest.mark.parametrize("model", ["Toy", "I2V"])
def test_a_node_is_lost_and_videos_are_those_of_one_process(
    model: str, nodes: Any, testset: Path, tmp_path: Path
) -> None:
    made(testset, tmp_path / "one", model)
    gone: list[int] = []

    def progress(done: int, total: int, what: str) -> None:
        if what.startswith("videos") and done >= 5 and not gone:
            nodes.remove_node(nodes.workers[0], allow_graceful=False)
            gone.append(done)

    result = made(testset, tmp_path / "ray", model, progress=progress, cluster=RayCluster(workers=2))
    assert gone and result.made + result.before == 20 and not result.failed and not result.elsewhere
    assert videos(tmp_path / "ray") == videos(tmp_path / "one")
    assert len(read_manifest(result.manifest)) == 20
    again = made(testset, tmp_path / "ray", model, cluster=RayCluster(workers=2))
    assert (again.made, again.before) == (0, 20)


def test_what_kills_its_actor_or_cannot_be_made_is_a_failure_with_its_reason(
    nodes: Any, testset: Path, tmp_path: Path
) -> None:
    lines = (testset / "prompts.csv").read_text().splitlines()
    lines[3], lines[9] = lines[3] + " deadly", lines[9] + " broken"
    (testset / "prompts.csv").write_text("\n".join(lines) + "\n")
    result = made(testset, tmp_path / "ray", cluster=RayCluster(workers=2))
    reasons = sorted(reason for _, reason in result.failed)
    assert result.made == 18 and len(reasons) == 2
    assert "ValueError: this one cannot be made" in reasons[0] and "An actor of Ray died" in reasons[1]
    assert len(list((tmp_path / "ray" / "failures").iterdir())) == 2
