"""`mmbench nano`: the nano world's people, eyes and test set; its models are trained by `mmbench train nano-...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    out: Annotated[Path, typer.Option(help="Folder to write the codec and the recognisers to.")] = Path("data/eyes"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each recogniser.")] = 1500,
    batch: Annotated[int, typer.Option(min=2, help="Pictures a step.")] = 256,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Fit the codec and train two recognisers on disjoint halves of the people: one conditions, the other judges."""
    from mmbench.studies.nano.making import CONDITIONING, JUDGE, EyesOptions, make_eyes

    card = make_eyes(world, out, device, EyesOptions(steps, batch), _say)
    for name in (CONDITIONING, JUDGE):
        held = card[name]["pictures"]
        typer.echo(
            f"{name}: equal error {held['equal_error']:.3f}, rank-1 {held['rank1']:.3f} of {held['people']}, "
            f"within the group {held['rank1_in_group']:.3f}"
        )


@app.command()
def testset(
    out: Annotated[Path, typer.Option(help="Folder of the test set.")] = Path("data/nano70"),
    people: Annotated[int, typer.Option(min=1, help="People, going round the seven groups.")] = 70,
) -> None:
    """Render the test set: people never trained on, with pictures and captions."""
    from mmbench.cli.progress import progress_bar
    from mmbench.studies.nano.testset import build_testset

    with progress_bar() as progress:
        build_testset(out, people, progress)
    typer.echo(f"Test set of {people} people in {out}.")


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
