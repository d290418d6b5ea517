"""`mmbench generate`: the videos of a model for a test set, or one video."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

if TYPE_CHECKING:
    from mmbench.runs.generate.make import Generated, Machine
    from mmbench.runs.generate.plan import Shard, VideoSettings

Option = typer.Option

RANDOM = "Random weights: these videos are noise, for trying the machinery out."


def generate(
    model: Annotated[str, Option(help="A model's name, module:Class of your own, or folder:PATH of videos.")],
    testset: Annotated[str | None, Option(help="synthetic50, pubfig50, or the folder of a test set.")] = None,
    out: Annotated[Path | None, Option(help="Folder of the run (or the video of --prompt).")] = None,
    variant: Annotated[str | None, Option(help="Checkpoint, or `tiny`/`nano`; the published one by default.")] = None,
    limit: Annotated[int | None, Option(min=1, help="Only the first videos of the set.")] = None,
    shard: Annotated[str | None, Option(help="i/n: the i-th of n equal parts, for n machines on one folder.")] = None,
    prompt_id: Annotated[list[str] | None, Option(help="Only videos of these prompts of the set.")] = None,
    seed: Annotated[int, Option(min=0, help="Base of every video's seed; the seed itself with --prompt.")] = 0,
    name: Annotated[str | None, Option(help="The model's name in tables instead of its own.")] = None,
    size: Annotated[str | None, Option(help="HEIGHTxWIDTH instead of the model's own.")] = None,
    frames: Annotated[int | None, Option(min=1, help="Number of frames instead of the model's own.")] = None,
    steps: Annotated[int | None, Option(min=1, help="Sampling steps instead of the published number.")] = None,
    guidance: Annotated[float | None, Option(help="Guidance instead of the published weight.")] = None,
    negative: Annotated[str | None, Option(help="Negative prompt instead of the published one.")] = None,
    prompt_kind: Annotated[str | None, Option(help="long or short, instead of what was published.")] = None,
    first_frame: Annotated[str, Option(help="What makes opening pictures for image-to-video.")] = "photomaker_v2",
    first_frame_variant: Annotated[str | None, Option(help="Its checkpoint.")] = None,
    first_frames: Annotated[Path | None, Option(help="Folder of opening pictures that models share.")] = None,
    device: Annotated[str, Option(help="cpu, cuda, cuda:1, or auto.")] = "auto",
    dtype: Annotated[str, Option(help="float32, float16, bfloat16, or auto for the published one.")] = "auto",
    weights: Annotated[Path | None, Option(help="Folder of weights instead of the cache.")] = None,
    python: Annotated[Path | None, Option(help="Run the model in this interpreter's environment.")] = None,
    prompt: Annotated[str | None, Option(help="Make one video of this prompt (no test set).")] = None,
    reference: Annotated[list[Path] | None, Option(help="With --prompt: 1-4 pictures of the person.")] = None,
    first_frame_image: Annotated[Path | None, Option(help="With --prompt: the opening picture.")] = None,
) -> None:
    """Make the videos of a model. Run the same command again to continue; finished videos are never made twice."""
    from mmbench.errors import RequestError
    from mmbench.runs.generate.make import Machine
    from mmbench.runs.generate.plan import Shard, VideoSettings

    if (prompt is None) == (testset is None):
        raise RequestError("Give either --testset, or --prompt with --reference.", "`mmbench generate --help`")
    if ":" in model:
        # a class of the user's own is looked for where the command is run, as `python -m` does
        sys.path.insert(0, str(Path.cwd()))
    settings = VideoSettings(
        model=model if ":" in model else model.replace("-", "_"),
        testset=testset or "",
        label=name,
        variant=variant,
        seed=seed,
        size=_size(size),
        frames=frames,
        steps=steps,
        guidance=guidance,
        negative=negative,
        prompt_kind=_prompt_kind(prompt_kind),
        first_frame=first_frame,
        first_frame_variant=first_frame_variant,
    )
    machine = Machine(pick_device(device, python), dtype, weights, python)
    if prompt is not None:
        _one(settings, prompt, reference or [], out, first_frame_image, machine)
    else:
        part = Shard.parse(shard) if shard else None
        _all(settings, out, limit, part, prompt_id or [], first_frames, machine)


def _all(
    settings: VideoSettings,
    out: Path | None,
    limit: int | None,
    shard: Shard | None,
    prompts: list[str],
    first_frames: Path | None,
    machine: Machine,
) -> None:
    from mmbench.cli.progress import progress_bar
    from mmbench.runs.generate.make import default_folder, generate

    folder = out or default_folder(settings, machine.python)
    shared = first_frames or (None if out else folder.parent / "first_frames")
    with progress_bar() as progress:
        result = generate(
            settings,
            folder,
            limit=limit,
            shard=shard,
            prompts=prompts,
            machine=machine,
            first_frames=shared,
            progress=progress,
        )
    print_generated(result)
    typer.echo(f"Measure them: mmbench evaluate --manifest {result.manifest}")
    if result.failed:
        raise typer.Exit(1)


def print_generated(result: Generated) -> None:
    """What a run made, and why requests failed."""
    typer.echo(f"{result.label}: {result.made} videos made, {result.before} were there, {len(result.failed)} failed.")
    if result.random_weights:
        typer.echo(f"  {RANDOM}")
    if result.elsewhere:
        typer.echo(f"  {result.elsewhere} are being made by other processes; run again when they have ended.")
    for name, reason in result.failed[:20]:
        typer.echo(f"  failed {name}: {reason}")
    if len(result.failed) > 20:
        typer.echo(f"  ... all reasons are in {result.folder / 'failures'}")


def _one(
    settings: VideoSettings,
    prompt: str,
    references: list[Path],
    out: Path | None,
    first_frame: Path | None,
    machine: Machine,
) -> None:
    from mmbench.runs.generate.single import generate_one

    target = out or Path(f"{settings.model.replace(':', '_')}.mp4")
    made = generate_one(settings, prompt, references, target, first_frame=first_frame, machine=machine)
    cut = " (the prompt was cut)" if made.info.truncated else ""
    typer.echo(f"{target}: seed {made.info.seed}, {made.info.seconds:.1f} s{cut}")
    if made.random_weights:
        typer.echo(f"  {RANDOM}")


def _size(text: str | None) -> tuple[int, int] | None:
    from mmbench.errors import RequestError

    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise RequestError(f"{text!r} is no size.", "Write HEIGHTxWIDTH, for example 480x720.")
    return int(height), int(width)


def _prompt_kind(text: str | None) -> Literal["long", "short"] | None:
    from mmbench.errors import RequestError

    if text not in (None, "long", "short"):
        raise RequestError(f"{text!r} is no kind of prompt.", "Write long or short.")
    return cast("Literal['long', 'short'] | None", text)


def pick_device(name: str, python: Path | None = None) -> str:
    """The device to run on. One that is named must be here, unless the model runs in another interpreter's torch."""
    if name != "auto" and python is not None:
        return name
    if name != "auto":
        from mmbench.device import torch_device

        return str(torch_device(name))
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
