"""`mmbench nano`: the nano world's people, eyes and test set; its models are trained by `mmbench train nano-...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Magic Mirror on rendered people, small enough for a processor.", no_args_is_help=True)
Data = Annotated[Path, typer.Option(help="Folder of the rendered people.")]
WORLD = Path("data/world")


@app.command()
def world(
    people: Annotated[int, typer.Option(min=1, help="People to train on.")] = 1400,
    validation: Annotated[int, typer.Option(min=1, help="People to look at on the way.")] = 70,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 1,
    out: Data = WORLD,
) -> None:
    """Render the people: about a second each on one core. Run the same command again to continue."""
    from mmbench.cli.progress import progress_bar
    from mmbench.synth.world.store import render_world

    with progress_bar() as progress:
        render_world(out, "validation", validation, workers, progress)
        render_world(out, "train", people, workers, progress)
    typer.echo(f"{people} people to train on and {validation} to validate with in {out}.")


@app.command()
def eyes(
    world: Data = WORLD,
    out: Annotated[Path, typer.Option(help="Folder to write the codec and the recogniser to.")] = Path("data/eyes"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each recogniser.")] = 1500,
    batch: Annotated[int, typer.Option(min=2, help="Pictures a step.")] = 256,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Fit the codec and train the recogniser that models see their references with."""
    from mmbench.studies.nano.making import CONDITIONING, EyesOptions, make_eyes

    _say_recogniser(CONDITIONING, make_eyes(world, out, device, EyesOptions(steps, batch), _say))


@app.command()
def judges(
    world: Data = WORLD,
    codec: Annotated[Path, typer.Option(help="Codec of `mmbench nano eyes`.")] = Path("data/eyes/codec"),
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("data/judges"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each.")] = 1500,
    batch: Annotated[int, typer.Option(min=16, help="Pictures a step; an eighth as many clips.")] = 256,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Train what measures: a recogniser of the other half of the people, and an encoder of clips and captions."""
    from mmbench.studies.nano.making import CLIP_ENCODER, JUDGE, EyesOptions, make_judges

    card = make_judges(world, codec, out, device, EyesOptions(steps, batch), _say)
    _say_recogniser(JUDGE, card)
    read = card[CLIP_ENCODER]["clips"]
    typer.echo(
        f"{CLIP_ENCODER}: right about the action {read['action']:.3f}, group {read['group']:.3f}, shirt "
        f"{read['shirt']:.3f}, wall {read['wall']:.3f} of {read['clips']} clips; frames {read['frames']:.3f}"
    )


@app.command()
def testset(
    out: Annotated[Path, typer.Option(help="Folder of the test set.")] = Path("data/nano70"),
    people: Annotated[int, typer.Option(min=1, help="People, going round the seven groups.")] = 70,
    after: Annotated[int, typer.Option(min=0, help="People of the split to leave out; 70 are in nano70.")] = 0,
) -> None:
    """Render the test set: people never trained on, with pictures and captions."""
    from mmbench.cli.progress import progress_bar
    from mmbench.studies.nano.testset import build_testset

    with progress_bar() as progress:
        build_testset(out, people, progress, after=after)
    typer.echo(f"Test set of {people} people in {out}.")


@app.command()
def clips(
    testset: Annotated[Path, typer.Argument(help="Folder of the test set.")] = Path("testsets/nano70"),
    work: Annotated[Path, typer.Option(help="Folder of the models' runs.")] = Path("runs/nano70"),
    controls: Annotated[bool, typer.Option("--controls/--no-controls", help="Render the control systems too.")] = True,
) -> None:
    """Make the test set's clips again: rendered control systems, the trained model, its base."""
    from mmbench.cli.progress import progress_bar
    from mmbench.studies.nano.clips import build_clips

    with progress_bar() as progress:
        manifest = build_clips(testset, work, controls=controls, progress=progress)
    typer.echo(f"Manifest: {manifest}")


@app.command()
def start(out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("runs/nano-start")) -> None:
    """Take the bundled nano model apart: base, codec, texts, vision tower and adapter, to train on."""
    from mmbench.baselines.magic_mirror.model import TRAINED_NANO
    from mmbench.model.small.trained import unpack

    typer.echo(f"Base, vision tower and adapter in {unpack(TRAINED_NANO, out)}.")


@app.command()
def assemble(
    out: Annotated[
        Path,
        typer.Option(help="Folder to write. As magic_mirror/nano below --weights it is nano-trained."),
    ],
    base: Annotated[Path, typer.Option(help="Base of `mmbench train nano-base`.")] = Path("runs/nano-base/base"),
    tower: Annotated[Path, typer.Option(help="Vision tower of `mmbench nano eyes`.")] = Path(
        "data/eyes/tower.safetensors"
    ),
    adapter: Annotated[Path, typer.Option(help="Adapter of the last stage.")] = Path("runs/nano-video/adapter/fp32"),
) -> None:
    """Put base, tower and adapter together into one diffusers folder, as the one that is bundled."""
    from mmbench.model.small.trained import assemble as put_together

    put_together(base, tower, adapter).save_pretrained(str(out))
    typer.echo(f"Model in {out}.")


def _say(step: int, steps: int, loss: float) -> None:
    if step % 250 == 0:
        typer.echo(f"step {step} of {steps}, loss {loss:.3f}", err=True)


def _say_recogniser(name: str, card: dict[str, Any]) -> None:
    held = card[name]["pictures"]
    typer.echo(
        f"{name}: equal error {held['equal_error']:.3f}, rank-1 {held['rank1']:.3f} of {held['people']}, "
        f"within the group {held['rank1_in_group']:.3f}"
    )
