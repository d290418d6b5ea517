"""`mmbench synth`: the face kit, clips of synthetic people, and the bundled control clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmbench.cli import sharing

app = typer.Typer(help="Synthetic people with known ground truth: kit, clips, control systems.", no_args_is_help=True)
kit_app = typer.Typer(help="The morphable head, built from CC0 sources.", no_args_is_help=True)
app.add_typer(kit_app, name="kit")

Workers = Annotated[int, typer.Option(min=1, max=256, help="Processes.")]


@kit_app.command("build")
def kit_build(
    source: Annotated[Path | None, typer.Option(help="Archive of the CC0 files instead of downloading them.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; the cache or MMBENCH_FACEKIT by default.")] = None,
) -> None:
    """Make the kit from 842 pinned CC0 files (9 MB), each checked against its sha256."""
    from mmbench.cli.progress import progress_bar
    from mmbench.synth.kit_build import build_kit

    with progress_bar() as progress:
        path = build_kit(source, out, progress=progress)
    typer.echo(f"Kit written to {path}.")


@kit_app.command("path")
def kit_path() -> None:
    """Print where the kit lies, or is looked for. Ends with status 1 when it is not there."""
    from mmbench.synth.kit import kit_path as where

    typer.echo(str(where()))
    if not where().is_file():
        raise typer.Exit(1)


def _size(text: str) -> tuple[int, int]:
    """Height and width of "256" or "480x720" (height x width)."""
    from mmbench.errors import RequestError

    height, _, width = text.lower().partition("x")
    if not height.isdigit() or (width and not width.isdigit()):
        raise RequestError(f"{text!r} is not a size.", "Write SIDE or HEIGHTxWIDTH, for example 480x720.")
    return int(height), int(width or height)


@app.command()
def render(
    identity: Annotated[
        list[str] | None, typer.Option(help="GROUP-SEED, for example elderly-woman-02. Repeatable.")
    ] = None,
    people: Annotated[int, typer.Option(min=0, help="This many new identities besides, over all groups.")] = 0,
    motion: Annotated[
        list[str] | None,
        typer.Option(help="static nod shake turn smile talk blink sway look camera-pan camera-zoom mixed"),
    ] = None,
    clips: Annotated[
        int, typer.Option(min=1, help="Clips for each identity and motion, each in a scene of its own.")
    ] = 1,
    size: Annotated[str, typer.Option(help="SIDE or HEIGHTxWIDTH in pixels.")] = "256",
    frames: Annotated[int, typer.Option(min=1, help="Frames a clip.")] = 49,
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 8.0,
    amplitude: Annotated[float, typer.Option(help="Strength of the motion; 0 is stillness.")] = 1.0,
    seed: Annotated[int, typer.Option(help="First clip's seed.")] = 0,
    truth: Annotated[
        bool, typer.Option("--truth", help="Write landmarks, pose, labels, depth and flow as NAME.npz.")
    ] = False,
    workers: Workers = 1,
    shard: sharing.Shard = None,
    out: Annotated[Path, typer.Option(help="Folder to write to; an interrupted batch continues there.")] = Path(
        "synthetic"
    ),
) -> None:
    """Render clips of synthetic people. Run the same command again to continue."""
    from typing import cast

    from mmbench.cli.progress import progress_bar
    from mmbench.errors import RequestError
    from mmbench.synth.batch import ClipJob, jobs, render_batch
    from mmbench.synth.batch import people as new_people
    from mmbench.synth.motion import Motion

    names = [*(identity or ()), *new_people(people)]
    if not names:
        raise RequestError("Nobody to render.", "Give --identity GROUP-SEED or --people N.")
    height, width = _size(size)
    like = ClipJob("man-00", "mixed", 0, frames, height, width, amplitude, fps=fps, truth=truth)
    todo = jobs(names, [cast(Motion, m) for m in motion or ["mixed"]], clips, like, seed)
    part = sharing.shard_of(shard)
    with progress_bar() as progress:
        written = render_batch(todo, out, workers, progress, shard=part)
    typer.echo(f"{len(written)} clips in {out}.")


@app.command()
def controls(
    out: Annotated[Path, typer.Option(help="Folder to write the set to; an interrupted build continues there.")],
    part: Annotated[str, typer.Option(help="K/N: only the K-th of N runs of identities, to share the work.")] = "0/1",
) -> None:
    """Render the bundled test set synthetic50 anew: references, control clips, prompts, manifest."""
    from mmbench.cli.progress import progress_bar
    from mmbench.errors import RequestError
    from mmbench.studies.synthetic50.build import build

    number, _, of = part.partition("/")
    if not (number.isdigit() and of.isdigit() and int(number) < int(of)):
        raise RequestError(f"{part!r} is not K/N with K < N.", "Write for example 0/2 and 1/2.")
    with progress_bar() as progress:
        build(out, ("references", "controls", "tables"), (int(number), int(of)), progress)
    typer.echo(f"synthetic50 written to {out}.")
