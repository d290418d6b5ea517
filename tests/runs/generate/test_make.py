"""Generation runs of small models of our own: what is made, what is skipped, what is recorded."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmbench.config import GenerateSettings
from mmbench.errors import ManifestError, MediaError, MissingWeights, RequestError
from mmbench.files import sha256_file
from mmbench.runs.evaluate.items import read_manifest
from mmbench.runs.generate.make import Generated
from mmbench.runs.generate.make import generate as generate_into
from mmbench.runs.generate.plan import plan_jobs, seed_for
from mmbench.runs.status import PartStatus, run_status
from mmbench.testsets import load_testset
from mmbench.video.read import probe

TOY = '''
"""Models without weights: noise from the seed, shifted by the prompt and the pictures."""

import os
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mmbench.baselines.contract import Baseline, FirstFrame, Native, Options, Video, VideoInfo, option

LOG = os.environ.get("TOY_LOG")


def log(line):
    if LOG:
        with open(LOG, "a") as stream:
            stream.write(line + "\\n")


@dataclass(frozen=True)
class ToyOptions(Options):
    brighter: int = option(0, "added to every value", 0, 50)


class Toy(Baseline):
    name = "toy"
    options_type = ToyOptions
    kind = "identity"
    variants = ("default", "other")
    tiny_variants = ("tiny",)
    licence = "CC0"
    libraries = ("toy-library",)

    def weights_in_use(self, weights_dir, variant):
        return [{"name": "toy.bin", "revision": "3", "sha256": "ab"}]

    def native(self, variant=None):
        return Native(size=(32, 48), frames=3, fps=8, steps=1)

    def load(self, device, dtype, variant, weights_dir):
        log("load " + self.name)
        if os.environ.get("TOY_BREAK"):
            raise OSError("the weights cannot be read")

    def close(self):
        log("close " + self.name)

    def generate(self, request):
        prompt = self.prompt_for(request)
        if os.environ.get("TOY_FAIL", "never") in prompt:
            raise RuntimeError("the toy broke")
        if os.environ.get("TOY_INTERRUPT", "never") in prompt:
            raise KeyboardInterrupt
        if os.environ.get("TOY_DIE", "never") in prompt:
            os._exit(3)
        log(f"video {request.seed}")
        rng = np.random.default_rng([request.seed, len(prompt)])
        frames = rng.integers(0, 200, (3, 4, 6, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
        pictures = request.references + ((request.first_frame,) if request.first_frame else ())
        shift = np.uint8(sum(int(np.asarray(picture).mean()) for picture in pictures) % 50)
        shift += np.uint8(self.resolve_options(request.options)["brighter"])
        info = VideoInfo(request.seed, 0.01, None, prompt, len(prompt) > 300, {"steps": 1})
        return Video(frames + shift, 8.0, info)


class ToyI2V(Toy):
    name = "toy_i2v"
    kind = "i2v"
    default_prompt_kind = "short"


class Opening(FirstFrame):
    name = "opening"
    options_type = ToyOptions
    tiny_variants = ("tiny",)

    def load(self, device, dtype, variant, weights_dir):
        log("load opening")

    def close(self):
        log("close opening")

    def make(self, prompt, references, size, seed, negative=None):
        assert " img" in prompt
        if os.environ.get("TOY_FAIL_OPENING", "never") in prompt:
            raise RuntimeError("no face")
        log(f"opening {seed}")
        rng = np.random.default_rng(seed)
        noise = rng.integers(0, 200, (*size, 3), dtype=np.uint8)
        return Image.fromarray(noise + np.uint8(self.options.brighter))
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with toy_models.py on the import path; returns the log the models write."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "toy_models.py").write_text(TOY)
    log = tmp_path / "toy.log"
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("TOY_LOG", str(log))
    monkeypatch.setenv("MMBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    sys.modules.pop("toy_models", None)
    return log


def write_testset(folder: Path, identities: int = 3, prompts: int = 2) -> Path:
    """A well-formed set with one 16-pixel picture an identity."""
    (folder / "references").mkdir(parents=True)
    rng = np.random.default_rng(7)
    rows, lines = [], ["identity,prompt_index,prompt_id,prompt,prompt_long"]
    for number in range(identities):
        name = f"man_{number:02d}"
        reference = f"references/{name}.png"
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / reference)
        rows.append({"id": name, "group": "man", "class_word": "man", "references": [reference]})
        for index in range(prompts):
            lines.append(f"{name},{index},p:{index},a man img waves {index},A man img of {number} waves {index}")
    (folder / "identities.json").write_text(json.dumps({"name": "small", "licence": "", "identities": rows}))
    (folder / "prompts.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def testset(tmp_path: Path) -> Path:
    return write_testset(tmp_path / "set")


def settings(testset: Path, model: str = "toy_models:Toy", **changes: object) -> tuple[GenerateSettings, Path]:
    return GenerateSettings.filled(models=(model,), **changes), testset


def generate(wanted: tuple[GenerateSettings, Path], out: Path, progress=None, **changes: object) -> Generated:
    chosen, testset = wanted
    changed = {**dict(chosen), **changes}
    return generate_into(GenerateSettings.filled(**changed), testset, out, progress=progress)


def events(log: Path, word: str) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith(word)] if log.is_file() else []


def test_run_makes_every_video_with_sidecar_and_manifest(toy, testset, tmp_path):
    steps = []
    out = tmp_path / "run"
    result = generate(settings(testset), out, progress=lambda *step: steps.append(step))
    assert (result.label, result.made, result.before, result.failed) == ("toy", 6, 0, ())
    assert steps[0] == (0, 6, "videos of toy")
    assert steps[-1] == (6, 6, "videos of toy")
    items = read_manifest(result.manifest)
    assert [item.id for item in items] == [f"toy/man_{i:02d}_{p:02d}" for i in range(3) for p in range(2)]
    for item in items:
        assert probe(item.video).n_frames == 3
        assert item.model == "toy"
        assert item.group == "man"
        assert all(path.is_file() for path in item.references)
        assert item.prompt == f"a man waves {item.prompt_index}"
        assert item.prompt_long == f"A man of {int(item.identity[-2:])} waves {item.prompt_index}"
        assert item.seed == seed_for(0, item.identity, f"p:{item.prompt_index}")
        assert item.fps == 8
        record = json.loads(item.video.with_suffix(".json").read_text())
        assert record["prompt_used"] == item.prompt_long
        assert record["prompt_truncated"] is False
        assert {"settings", "versions", "seconds", "peak_bytes", "video_sha256", "random_weights"} <= set(record)


def test_manifest_has_the_columns_evaluate_reads(toy, testset, tmp_path):
    result = generate(settings(testset), tmp_path / "run", limit=1)
    with result.manifest.open() as stream:
        header = next(csv.reader(stream))
    assert ",".join(header) == (
        "id,model,identity,group,video,references,shown,prompt,prompt_long,prompt_index,seed,fps,condition,"
        "conditioned_on,prompt_form,random_weights,error"
    )


def test_run_folder_can_be_moved(toy, testset, tmp_path):
    generate(settings(testset, model="toy_models:ToyI2V", first_frame="toy_models:Opening"), tmp_path / "run")
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    for item in read_manifest(moved / "manifest.csv"):
        assert item.video.is_file()
        assert item.condition is not None
        assert item.condition.is_file()
        assert all(path.is_file() for path in item.references)


def test_second_run_makes_nothing_and_loads_nothing(toy, testset, tmp_path):
    generate(settings(testset), tmp_path / "run")
    toy.unlink()
    result = generate(settings(testset), tmp_path / "run")
    assert (result.made, result.before) == (0, 6)
    assert not toy.exists()


def test_damaged_video_is_made_again_as_it_was(toy, testset, tmp_path):
    generate(settings(testset), tmp_path / "run")
    video = tmp_path / "run" / "videos" / "man_01_00.mp4"
    whole = video.read_bytes()
    video.write_bytes(whole[:100])
    video.with_name("man_02_00.json").unlink()
    result = generate(settings(testset), tmp_path / "run")
    assert (result.made, result.before) == (2, 4)
    assert video.read_bytes() == whole


def test_videos_do_not_depend_on_order_or_shards(toy, testset, tmp_path):
    generate(settings(testset), tmp_path / "whole")
    made = [generate(settings(testset), tmp_path / "parts", shard=f"{index}/3").made for index in (3, 1, 2)]
    assert sum(made) == 6 and max(made) < 6
    names = sorted(path.name for path in (tmp_path / "whole" / "videos").glob("*.mp4"))
    assert names == sorted(path.name for path in (tmp_path / "parts" / "videos").glob("*.mp4"))
    for name in names:
        one, other = ((tmp_path / run / "videos" / name).read_bytes() for run in ("whole", "parts"))
        assert one == other
    assert (tmp_path / "whole/manifest.csv").read_text() == (tmp_path / "parts/manifest.csv").read_text()


def test_failure_is_recorded_and_does_not_stop_the_others(toy, testset, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FAIL", "of 1 waves 0")
    result = generate(settings(testset), tmp_path / "run")
    assert result.made == 5
    assert result.failed == (("man_01_00", "video: RuntimeError: the toy broke"),)
    failure = tmp_path / "run" / "failures" / "man_01_00.json"
    assert "the toy broke" in json.loads(failure.read_text())["traceback"]
    listed = {item.id: item.extra.get("error", "") for item in read_manifest(result.manifest)}
    assert len(listed) == 6
    assert [name for name, error in listed.items() if "the toy broke" in error] == ["toy/man_01_00"]
    monkeypatch.delenv("TOY_FAIL")
    again = generate(settings(testset), tmp_path / "run")
    assert (again.made, again.before, again.failed) == (1, 5, ())
    assert not failure.exists()
    assert not [item for item in read_manifest(again.manifest) if "error" in item.extra]


def test_first_frames_come_first_and_the_maker_is_freed(toy, testset, tmp_path):
    chosen = settings(testset, model="toy_models:ToyI2V", first_frame="toy_models:Opening")
    generate(chosen, tmp_path / "run")
    words = [line.split()[0] + " " + line.split()[1] for line in toy.read_text().splitlines()]
    kinds = [word if word.startswith(("load", "close")) else word.split()[0] for word in words]
    assert kinds == [
        *("load opening", *["opening"] * 6, "close opening"),
        *("load toy_i2v", *["video"] * 6, "close toy_i2v"),
    ]
    record = json.loads((tmp_path / "run/videos/man_00_00.json").read_text())
    assert record["prompt_used"] == "a man waves 0", "image-to-video models get the short prompt"
    opening = record["first_frame"]
    assert opening["maker"] == "opening"
    assert {"seed", "prompt", "references", "options", "dtype", "truncated", "settings", "sha256"} <= set(opening)
    assert {"licence", "versions", "weights"} <= set(opening)


def test_first_frames_are_shared_and_kept(toy, testset, tmp_path):
    chosen = settings(testset, model="toy_models:ToyI2V", first_frame="toy_models:Opening")
    generate(chosen, tmp_path / "a", first_frames=tmp_path / "frames")
    toy.unlink()
    generate(chosen, tmp_path / "b", first_frames=tmp_path / "frames")
    assert events(toy, "opening") == []
    assert (tmp_path / "a/videos/man_00_00.mp4").read_bytes() == (tmp_path / "b/videos/man_00_00.mp4").read_bytes()
    other = settings(testset, model="toy_models:ToyI2V", first_frame="toy_models:Opening", seed=1)
    generate(other, tmp_path / "c", first_frames=tmp_path / "frames")
    assert len(events(toy, "opening")) == 6, "another seed needs other pictures"


def test_first_frames_of_other_versions_are_kept_and_told_of(toy, testset, tmp_path, recwarn):
    chosen = settings(testset, model="toy_models:ToyI2V", first_frame="toy_models:Opening")
    generate(chosen, tmp_path / "a", first_frames=tmp_path / "frames")
    generate(chosen, tmp_path / "b", first_frames=tmp_path / "frames")
    assert not [one for one in recwarn if "first frames were made" in str(one.message)]
    for path in sorted((tmp_path / "frames").glob("*.json"))[:4]:
        account = json.loads(path.read_text())
        path.write_text(json.dumps({**account, "versions": dict.fromkeys(account["versions"], "0.0.1")}))
    toy.unlink()
    with pytest.warns(UserWarning, match=r"4 first frames were made with \S+ 0\.0\.1, now"):
        generate(chosen, tmp_path / "c", first_frames=tmp_path / "frames")
    assert events(toy, "opening") == []


def test_missing_weights_are_found_before_first_frames_are_made(toy, testset, tmp_path):
    chosen = settings(testset, model="dynamicrafter", first_frame="toy_models:Opening")
    with pytest.raises(MissingWeights, match="mmbench weights get"):
        generate(chosen, tmp_path / "run")
    assert events(toy, "opening") == []


def test_interrupted_run_can_be_measured(toy, testset, tmp_path, monkeypatch):
    monkeypatch.setattr("mmbench.runs.generate.work.MANIFEST_EVERY", 2)
    monkeypatch.setenv("TOY_INTERRUPT", "of 2 waves 1")
    with pytest.raises(KeyboardInterrupt):
        generate(settings(testset), tmp_path / "run")
    assert len(read_manifest(tmp_path / "run" / "manifest.csv")) == 4
    monkeypatch.delenv("TOY_INTERRUPT")
    assert generate(settings(testset), tmp_path / "run").made == 1


def test_failed_first_frame_fails_its_video_only(toy, testset, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FAIL_OPENING", "of 2 waves 1")
    chosen = settings(testset, model="toy_models:ToyI2V", first_frame="toy_models:Opening")
    result = generate(chosen, tmp_path / "run")
    assert result.made == 5
    assert result.failed == (("man_02_01", "first frame: RuntimeError: no face"),)


def test_a_person_of_whom_nothing_could_begin_does_not_stop_the_measuring(toy, testset, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FAIL_OPENING", "of 2 waves")
    chosen = settings(testset, model="toy_models:ToyI2V", first_frame="toy_models:Opening")
    result = generate(chosen, tmp_path / "run")
    assert len(result.failed) == 2
    items = read_manifest(result.manifest)
    assert [bool(item.references) for item in items] == [True] * 4 + [False] * 2
    assert all(path.is_file() for item in items for path in item.references)


def test_other_settings_need_another_folder(toy, testset, tmp_path):
    generate(settings(testset), tmp_path / "run", limit=1)
    with pytest.raises(ManifestError, match="seed was 0, now 7"):
        generate(settings(testset, seed=7), tmp_path / "run")
    with pytest.raises(ManifestError, match="another run"):
        generate(settings(write_testset(tmp_path / "set2", 4)), tmp_path / "run")
    generate(settings(testset, variant="default"), tmp_path / "run")


def test_an_option_belongs_to_what_a_folder_holds(toy, testset, tmp_path):
    generate(settings(testset), tmp_path / "plain")
    generate(settings(testset, options={"brighter": "9"}), tmp_path / "bright")
    one, other = (tmp_path / run / "videos" / "man_00_00.mp4" for run in ("plain", "bright"))
    assert one.read_bytes() != other.read_bytes()
    assert json.loads(one.with_suffix(".json").read_text())["options"] == {"brighter": 0}
    assert json.loads(other.with_suffix(".json").read_text())["options"] == {"brighter": 9}
    with pytest.raises(ManifestError, match=r"options was \{\}, now \{'brighter': 9\}"):
        generate(settings(testset, options={"brighter": 9}), tmp_path / "plain")
    # the published value said aloud is the published value, and text is what it says
    assert generate(settings(testset, options={"brighter": 0}), tmp_path / "plain").made == 0
    assert generate(settings(testset, options={"brighter": 9.0}), tmp_path / "bright").made == 0
    toy.unlink()
    with pytest.raises(RequestError, match="no option 'darker'") as error:
        generate(settings(testset, options={"darker": 9}), tmp_path / "other")
    assert "brighter" in error.value.remedy
    assert not toy.exists()
    assert not (tmp_path / "other").exists()


def test_a_folder_begun_before_options_existed_is_continued(toy, testset, tmp_path):
    generate(settings(testset), tmp_path / "run", limit=1)
    record = tmp_path / "run" / "run.json"
    written = json.loads(record.read_text())
    for key in ("options", "first_frame_options", "dtype"):
        del written["settings"][key]
    record.write_text(json.dumps(written))
    assert generate(settings(testset), tmp_path / "run").before == 1
    record.write_text(json.dumps(written))
    with pytest.raises(ManifestError, match="another run"):
        generate(settings(testset, options={"brighter": 9}), tmp_path / "run")


def test_first_frames_of_another_option_are_made_again(toy, testset, tmp_path):
    chosen = settings(testset, "toy_models:ToyI2V", first_frame="toy_models:Opening")
    generate(chosen, tmp_path / "a", first_frames=tmp_path / "frames", limit=1)
    generate(chosen, tmp_path / "b", first_frames=tmp_path / "frames", limit=1, first_frame_options={"brighter": 9})
    assert len(events(toy, "opening")) == 2
    videos = [run / "videos" / "man_00_00.mp4" for run in (tmp_path / "a", tmp_path / "b")]
    assert videos[0].read_bytes() != videos[1].read_bytes()
    for video in videos:  # nobody's picture is replaced by another run's
        record = json.loads(video.with_suffix(".json").read_text())
        (item,) = read_manifest(video.parents[1] / "manifest.csv")
        assert sha256_file(item.condition) == record["first_frame"]["sha256"]
    with pytest.raises(RequestError, match="opening has no option 'darker'"):
        generate(chosen, tmp_path / "c", first_frame_options={"darker": 9})


def test_a_failed_start_leaves_no_folder_that_blocks(toy, testset, tmp_path, monkeypatch):
    chosen = settings(testset, "dynamicrafter", first_frame="toy_models:Opening")
    with pytest.raises(MissingWeights):
        generate(chosen, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("TOY_BREAK", "1")
    with pytest.raises(OSError, match="cannot be read"):
        generate(settings(testset), tmp_path / "run")
    monkeypatch.delenv("TOY_BREAK")
    assert generate(settings(testset, seed=7), tmp_path / "run").made == 6


def test_wrong_request_is_refused_before_loading(toy, testset, tmp_path):
    with pytest.raises(RequestError, match="32x48"):
        generate(settings(testset, size=(64, 64)), tmp_path / "run")
    with pytest.raises(RequestError, match="3 frames"):
        generate(settings(testset, frames=9), tmp_path / "run")
    with pytest.raises(RequestError, match="variant"):
        generate(settings(testset, variant="huge"), tmp_path / "run")
    with pytest.raises(RequestError, match="no model"):
        generate(settings(testset, model="no_such_model"), tmp_path / "run")
    assert events(toy, "load") == []


def test_tiny_variant_is_marked(toy, testset, tmp_path):
    result = generate(settings(testset, variant="tiny"), tmp_path / "run", limit=1)
    assert (result.label, result.random_weights) == ("toy-tiny", True)
    assert json.loads((tmp_path / "run/videos/man_00_00.json").read_text())["random_weights"] is True


def test_folder_of_finished_videos_is_a_model(toy, testset, tmp_path):
    from mmbench.video.write import write_video

    finished = tmp_path / "my_model"
    frames = np.zeros((3, 32, 48, 3), np.uint8)
    for who in range(3):
        for prompt in range(2):
            write_video(finished / f"a_man_of_{who}_waves_{prompt}.mp4", frames + np.uint8(60 * who), 12)
    result = generate(settings(testset, model=f"folder:{finished}"), tmp_path / "run")
    assert (result.label, result.made) == ("my_model", 6)
    assert all(item.model == "my_model" and item.fps == 12 for item in read_manifest(result.manifest))
    named = generate(settings(testset, model=f"folder:{finished}", label="Mine, v2"), tmp_path / "named", limit=1)
    assert named.label == "Mine__v2"
    (finished / "a_man_of_2_waves_1.mp4").unlink()
    with pytest.raises(RequestError, match="a_man_of_2_waves_1"):
        generate(settings(testset, model=f"folder:{finished}"), tmp_path / "other")


def test_only_some_prompts(toy, testset, tmp_path):
    result = generate(settings(testset), tmp_path / "run", prompts=["p:1"])
    assert [item.prompt_index for item in read_manifest(result.manifest)] == [1, 1, 1]
    with pytest.raises(RequestError, match="p:9"):
        generate(settings(testset), tmp_path / "run", prompts=["p:9"])


def test_model_in_another_process(toy, testset, tmp_path, monkeypatch):
    here = generate(settings(testset), tmp_path / "here", limit=2)
    there = generate(settings(testset), tmp_path / "there", limit=2, python=Path(sys.executable))
    assert there.failed == ()
    bright = settings(testset, options={"brighter": 9}, python=Path(sys.executable))
    generate(bright, tmp_path / "bright", limit=1)
    generate(settings(testset, options={"brighter": 9}), tmp_path / "bright", limit=1)
    far = tmp_path / "bright" / "videos" / "man_00_00.mp4"
    assert json.loads(far.with_suffix(".json").read_text())["options"] == {"brighter": 9}
    assert far.read_bytes() != (tmp_path / "here" / "videos" / "man_00_00.mp4").read_bytes()
    with pytest.raises(RequestError, match="no option 'darker'"):
        generate(settings(testset, options={"darker": 9}, python=Path(sys.executable)), tmp_path / "dark")
    for item, other in zip(read_manifest(here.manifest), read_manifest(there.manifest), strict=True):
        assert item.video.read_bytes() == other.video.read_bytes()


def test_a_model_elsewhere_gives_the_account_of_its_own_environment(toy, testset, tmp_path):
    chosen, _ = settings(testset)
    accounts = []
    for name, python in (("here", None), ("there", Path(sys.executable))):
        generate((chosen, testset), tmp_path / name, limit=1, python=python)
        account = json.loads((tmp_path / name / "videos" / "man_00_00.json").read_text())
        accounts.append({key: value for key, value in account.items() if key != "seconds"})
    assert accounts[0] == accounts[1]
    assert accounts[1]["licence"] == "CC0"
    assert {"toy-library", "mmbench"} == set(accounts[1]["versions"])
    assert accounts[1]["weights"] == [{"name": "toy.bin", "revision": "3", "sha256": "ab"}]


def test_model_process_that_dies_is_started_again(toy, testset, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_DIE", "of 1 waves 0")  # three identities in turn: the second one's
    result = generate(settings(testset), tmp_path / "run", limit=3, python=Path(sys.executable))
    assert result.made == 2
    assert [name for name, _ in result.failed] == ["man_01_00"]


def test_seeds_are_fixed_for_ever(testset):
    # printf '42|man_01|human:4' | sha256sum | cut -c1-8
    assert f"{seed_for(42, 'man_01', 'human:4'):08x}" == "0df9f650"
    jobs = plan_jobs(load_testset(testset), 42)
    assert len({job.seed for job in jobs}) == len(jobs)
    assert all(0 <= job.seed < 2**32 for job in jobs)


def app():
    import typer

    from mmbench.cli.generate import generate as command

    cli = typer.Typer()
    cli.command()(command)
    return cli


def test_cli_run_and_exit_code(toy, testset, tmp_path, monkeypatch):
    call = ["--model", "toy_models:Toy", "--testset", str(testset), "--out", str(tmp_path / "run"), "--device", "cpu"]
    monkeypatch.setenv("TOY_FAIL", "of 1 waves 0")
    result = CliRunner().invoke(app(), call)
    assert result.exit_code == 1, result.output
    assert "5 videos made, 0 were there, 1 failed" in result.output
    monkeypatch.delenv("TOY_FAIL")
    result = CliRunner().invoke(app(), [*call, "--shard", "1/1"])
    assert result.exit_code == 0, result.output
    assert "1 videos made, 5 were there, 0 failed" in result.output
    assert "mmbench evaluate --manifest" in result.output


def test_cli_options(toy, testset, tmp_path):
    call = ["--model", "toy_models:Toy", "--testset", str(testset), "--limit", "1", "--device", "cpu"]
    out = tmp_path / "run"
    result = CliRunner().invoke(app(), [*call, "--out", str(out), "--option", "brighter=9"])
    assert result.exit_code == 0, result.output
    assert json.loads((out / "videos" / "man_00_00.json").read_text())["options"] == {"brighter": 9}
    for wrong, said in (("darker=9", "no option 'darker'"), ("brighter", "NAME=VALUE"), ("brighter=99", "cannot be")):
        result = CliRunner().invoke(app(), [*call, "--out", str(tmp_path / "no"), "--option", wrong])
        assert isinstance(result.exception, RequestError)
        assert said in str(result.exception)
    for wrong in (["--size", "wide"], ["--prompt-kind", "middling"], ["--dtype", "float7"], ["--shard", "4/3"]):
        result = CliRunner().invoke(app(), [*call, "--out", str(tmp_path / "no"), *wrong])
        assert isinstance(result.exception, RequestError), wrong
    assert not (tmp_path / "no").exists()


def test_cli_single_video(toy, testset, tmp_path):
    reference = testset / "references" / "man_00.png"
    out = tmp_path / "one" / "one.mp4"
    call = ["--prompt", "a man img waves", "--reference", str(reference), "--out", str(out), "--device", "cpu"]
    plain = ["--model", "toy_models:Toy", *call, "--seed", "9"]
    result = CliRunner().invoke(app(), plain)
    assert result.exit_code == 0, result.output
    assert probe(out).n_frames == 3
    assert sorted(path.name for path in out.parent.iterdir()) == ["one.json", "one.mp4"]
    record = json.loads(out.with_suffix(".json").read_text())
    assert (record["seed"], record["prompt_used"]) == (9, "a man waves")
    result = CliRunner().invoke(app(), plain)
    assert "is there already" in result.output
    assert len(events(toy, "video")) == 1
    result = CliRunner().invoke(app(), [*plain, "--option", "brighter=9"])
    assert result.exit_code == 0, result.output
    assert json.loads(out.with_suffix(".json").read_text())["options"] == {"brighter": 9}
    opening = ["--first-frame", "toy_models:Opening"]
    result = CliRunner().invoke(app(), ["--model", "toy_models:ToyI2V", *opening, *call])
    assert result.exit_code == 0, result.output
    assert len(list(out.parent.glob("one_32x48_*.png"))) == 1
    given = [*call, "--first-frame-image", str(reference)]
    given[1] = call[1] = "a man waves"
    result = CliRunner().invoke(app(), ["--model", "toy_models:ToyI2V", *given])
    assert result.exit_code == 0, result.output
    assert json.loads(out.with_suffix(".json").read_text())["first_frame"]["maker"] == "given"
    result = CliRunner().invoke(app(), ["--model", "toy_models:ToyI2V", *opening, *call])
    assert isinstance(result.exception, RequestError)
    assert "--first-frame-image" in str(result.exception)


def test_a_single_video_has_the_sidecar_of_a_run(toy, testset, tmp_path):
    from mmbench.runs.generate.single import generate_one

    chosen, _ = settings(testset)
    generate((chosen, testset), tmp_path / "run", limit=1)
    (there,) = (tmp_path / "run" / "videos").glob("*.json")
    one = generate_one(chosen, "a man img waves", [testset / "references" / "man_00.png"], tmp_path / "one.mp4")
    assert one.made
    assert set(one.account) - {"asked"} == set(json.loads(there.read_text()))


def test_a_single_video_that_fails_raises_and_leaves_nothing(toy, testset, tmp_path, monkeypatch):
    from mmbench.runs.generate.single import generate_one

    monkeypatch.setenv("TOY_FAIL", "waves")
    out = tmp_path / "one" / "one.mp4"
    with pytest.raises(RuntimeError, match="the toy broke"):
        generate_one(settings(testset)[0], "a man img waves", [testset / "references" / "man_00.png"], out)
    assert not any(out.parent.iterdir())


def test_cli_single_video_refuses_before_any_work(toy, testset, tmp_path, monkeypatch):
    def worked(*arguments):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("mmbench.baselines.session.Session.load", worked)
    reference = str(testset / "references" / "man_00.png")
    call = ["--model", "toy_models:Toy", "--prompt", "a man img waves", "--device", "cpu"]
    unwritable = CliRunner().invoke(app(), [*call, "--reference", reference, "--out", str(tmp_path / "one")])
    assert isinstance(unwritable.exception, MediaError)
    assert "cannot write a video" in str(unwritable.exception)
    absent = CliRunner().invoke(app(), [*call, "--reference", "nobody.png", "--out", str(tmp_path / "one.mp4")])
    assert isinstance(absent.exception, MediaError)
    assert "nobody.png" in str(absent.exception)


def test_cli_needs_a_set_or_a_prompt(toy):
    assert isinstance(CliRunner().invoke(app(), ["--model", "toy_models:Toy"]).exception, RequestError)


def test_status_of_a_run_of_videos(toy, testset, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FAIL", "of 1 waves 0")
    generate(settings(testset), tmp_path / "run", shard="1/2")
    first = run_status(tmp_path / "run")
    assert first.what == "videos" and len(first.parts) == 2 and first.parts[0].missing == 0 < first.parts[1].missing
    generate(settings(testset), tmp_path / "run", shard="2/2")
    both = run_status(tmp_path / "run")
    assert (both.whole.done, both.whole.failed, both.whole.missing) == (5, 1, 0)
    assert both.reasons == (("RuntimeError: the toy broke", 1),)
    monkeypatch.delenv("TOY_FAIL")
    generate(settings(testset), tmp_path / "run")
    assert run_status(tmp_path / "run", 1).whole == PartStatus(0, 6, 0, 0)
