"""Training the adapter through the loop: what moves, what is released, sharded processes, and that it learns a face."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from mmbench.model.network.configs import size_named
from mmbench.model.train.build import Parts
from mmbench.model.train.checkpoint import WEIGHTS
from mmbench.model.train.drawn import drawn_settings
from mmbench.model.train.loop import Trainer, train
from mmbench.model.train.settings import TrainSettings

NO_DROPS = {"identity": 0, "text": 0, "both": 0}
CENTRE = "mmbench.model.train.drawn:thumbnail_recogniser"


def adapter_settings(steps: int = 2, **changes: Any) -> TrainSettings:
    """An adapter on a random base, clips and the identity loss."""
    stage = {"name": "clips", "data": [{"shards": ["clips"]}], "steps": steps, "batch": 2, "lr": 1e-3}
    loss = {"identity": {"recogniser": CENTRE, "max_timestep": 999, "crop": 4}, **changes.pop("loss", {})}
    return drawn_settings(**{"stages": [stage], "loss": loss, **changes})


@pytest.mark.parametrize("drops", [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_frozen_weights_never_move_and_trained_ones_do(world: Path, tmp_path: Path, drops: tuple[float, ...]) -> None:
    """Two steps through the loop, under every drop. With a drop for all, what only an identity reaches stays."""
    named = dict(zip(("identity", "text", "both"), drops, strict=True))
    settings = adapter_settings(
        loss={"drops": named}, optimiser={"weight_decay": 0}
    )  # decay moves what has no gradient
    trainer = Trainer(settings, world, tmp_path)
    before = {name: p.detach().clone() for name, p in trainer.parts.module.named_parameters()}
    trainer.run()
    moved = {n for n, p in trainer.parts.module.named_parameters() if not torch.equal(p.detach(), before[n])}
    trained = set(trainer.parts.trained())
    assert moved <= trained
    if not named["identity"] and not named["both"] and not named["text"]:
        assert moved == trained - {"transformer.null_face"}
    elif named["text"]:  # the identity stays, its fusion into the text does not
        assert {n for n in trained - moved if "fusion" not in n} <= {"transformer.null_face"}
    else:
        assert "transformer.null_face" in moved


def test_the_identity_loss_adds_to_the_denoising_loss(world: Path, tmp_path: Path) -> None:
    told: list[Any] = []
    train(
        adapter_settings(1, loss={"drops": {"identity": 0, "text": 0, "both": 0}}), world, tmp_path, report=told.append
    )
    assert -1 <= told[0].identity <= 1
    assert told[0].loss > told[0].denoising > 0


def test_the_release_loads_into_a_pipeline_and_says_how_it_was_made(world: Path, tmp_path: Path) -> None:
    from mmbench.model.pipeline.adapter_file import read_adapter

    result = train(adapter_settings(2), world, tmp_path)
    folder = result.releases[0]
    held = load_file(result.checkpoint / WEIGHTS)
    full, half = (read_adapter(folder / name) for name in ("fp32", "."))
    for made, dtype in ((full, torch.float32), (half, torch.bfloat16)):
        tensors = {f"transformer.{n}": t for n, t in made.transformer.items()}
        tensors |= {f"face_encoder.{n}": t for n, t in made.face_encoder.items()}
        assert tensors.keys() == held.keys()
        assert all(torch.equal(tensors[n], held[n].to(dtype)) for n in held)
    note = json.loads((folder / "training.json").read_text())
    assert (note["variant"], note["stage"], note["steps"]) == ("Full", "clips", 2)
    assert (half.training.variant, half.training.stage, half.training.step) == ("Full", "clips", 2)
    again = adapter_settings(1, model={"adapter": str(folder / "fp32")})
    trainer = Trainer(again, world, tmp_path / "again")
    assert all(torch.equal(p.detach(), held[n]) for n, p in trainer.parts.trained().items())


SCRIPT = """
import sys
from pathlib import Path
from mmbench.model.train.loop import train
from mmbench.model.train.settings import TrainSettings
settings = TrainSettings.from_yaml(Path(sys.argv[1]))
train(settings, Path(sys.argv[2]), Path(sys.argv[3]), resume="resume" in sys.argv)
"""


@pytest.mark.skipif(tuple(map(int, torch.__version__.split(".")[:2])) < (2, 7), reason="torch 2.6 shards on GPUs only")
def test_sharded_processes_learn_what_one_does(world: Path, tmp_path: Path) -> None:
    """FSDP2 over two processes against one process: the same weights after two steps, resumed after the first too."""
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)

    def run(name: str, processes: int, **machine: Any) -> Path:
        settings = adapter_settings(2, machine={"micro_batch": 1, **machine}, keep={"every": 1, "last": 9})
        path = tmp_path / f"{name}.yaml"
        path.write_text(settings.to_yaml())
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        done = subprocess.run(
            [*start, str(script), str(path), str(world), str(tmp_path / name)],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return tmp_path / name / "checkpoints" / "step-00000002" / WEIGHTS

    sharded, alone = load_file(run("sharded", 2, parallel="fsdp")), load_file(run("alone", 1))
    assert sharded.keys() == alone.keys()
    for name, value in alone.items():
        # Adam turns rounding of a gradient near zero into a step of up to the rate, 1e-3 twice
        assert (sharded[name] - value).abs().max() < 2.1e-3, name
        assert (sharded[name] - value).abs().mean() < 2e-4, name


def sampled(parts: Parts, batch: Any, steps: int = 20) -> Tensor:
    """Clean latents of a batch's people by DDIM in the trained module, from one noise for all."""
    noising, device = parts.noising, batch.latents.device
    x = torch.randn(1, *batch.latents.shape[1:], generator=torch.Generator().manual_seed(1)).repeat(
        len(batch), 1, 1, 1, 1
    )
    times = torch.linspace(999, 0, steps + 1).round().long()
    for now, then in itertools.pairwise(times):
        t = torch.full((len(batch),), int(now), device=device)
        v = parts.module(
            noisy=x,
            text=batch.text,
            word_positions=batch.word_positions,
            timestep=t,
            rotary=parts.rotary(x),
            pixels=batch.pixels,
            id_vectors=batch.id_vectors,
            ref_valid=batch.ref_valid,
        )
        clean = noising.clean(v, x, t)
        spread = (1 - noising.abar[now]).sqrt()
        noise = (x - noising.abar[now].sqrt() * clean) / spread
        x = noising.abar[then].sqrt() * clean + (1 - noising.abar[then]).sqrt() * noise
    return clean


@pytest.mark.slow
def test_overfitting_one_clip(world: Path, tmp_path: Path) -> None:
    """The whole nano base on one clip: below 5 % of the first loss."""
    from mmbench.model.train.drawn import make_world

    one = make_world(tmp_path / "one", "nano", people=1)
    stage = {"name": "clip", "data": [{"shards": ["clips"]}], "steps": 1500, "batch": 4, "lr": 3e-3, "warmup": 20}
    model = {
        "size": "nano",
        "train": "all",
        "dtype": "fp32",
        "transformer": {"patch_size": 1},
    }
    losses: list[float] = []
    settings = drawn_settings(
        model=model,
        stages=[stage],
        loss={"face_share": 0, "drops": NO_DROPS},
        machine={"micro_batch": 4},
        keep={"every": 9999},
    )
    train(settings, one, tmp_path / "out", report=lambda step: losses.append(step.loss))
    assert sum(losses[-20:]) / 20 < 0.05 * losses[0]


@pytest.mark.slow
def test_a_sample_is_its_reference_and_no_impostor(world: Path, tmp_path: Path) -> None:
    """A base that knows four people but not which, then an adapter: every sample is nearest its own reference."""
    stage = {"name": "images", "data": [{"shards": ["images"]}], "steps": 700, "batch": 8, "lr": 3e-3, "warmup": 20}
    common = {"loss": {"face_share": 0, "drops": NO_DROPS}, "machine": {"micro_batch": 8}, "keep": {"every": 9999}}
    small = {"patch_size": 1}
    base = train(
        drawn_settings(model={"train": "all", "transformer": small}, stages=[stage], **common), world, tmp_path / "base"
    )
    model = {"base": str(base.releases[0])}
    trainer = Trainer(drawn_settings(model=model, stages=[{**stage, "steps": 500}], **common), world, tmp_path / "out")
    trainer.run()
    from mmbench.model.train.batch import SampleOptions, collate, sample
    from mmbench.model.train.loss.drops import DropRates
    from mmbench.model.train.plan import seeded
    from mmbench.model.train.shards import ShardSet
    from mmbench.model.train.text_store import TextStore

    options = SampleOptions(drops=DropRates(0, 0, 0), image_size=size_named("smoke").face_encoder["image_size"])
    people, texts = ShardSet([world / "images"]), TextStore(world / "texts")
    batch = collate([sample(people[i], texts, options, seeded(i)) for i in range(len(people))])
    with torch.no_grad():
        made = sampled(trainer.parts, batch)
        codec = trainer.parts.vae
        frames = codec.decode(made.permute(0, 2, 1, 3, 4)).sample[:, :, 0]
        truth = codec.decode(batch.latents.permute(0, 2, 1, 3, 4)).sample[:, :, 0]
        from mmbench.model.train.drawn import thumbnail_recogniser

        recogniser = thumbnail_recogniser()
        side = recogniser.side
        vectors = [F.normalize(recogniser(F.interpolate(x, (side, side))), dim=-1) for x in (frames, truth)]
    similarity = vectors[0] @ vectors[1].T
    assert (similarity.argmax(dim=1) == torch.arange(len(people))).all(), similarity
    margin = similarity.diag() - similarity.masked_fill(torch.eye(len(people)).bool(), -2).amax(dim=1)
    assert margin.min() > 0.02, similarity


def test_the_thumbnail_recogniser_is_frozen_and_has_gradients() -> None:
    from mmbench.model.train.drawn import thumbnail_recogniser

    recogniser = thumbnail_recogniser()
    assert isinstance(recogniser, nn.Module) and not any(p.requires_grad for p in recogniser.parameters())
    cuts = torch.rand(2, 3, recogniser.side, recogniser.side, requires_grad=True)
    recogniser(cuts).sum().backward()
    assert cuts.grad is not None and cuts.grad.abs().sum() > 0
