"""`mmbench generate`: the videos of a model for a test set, or one video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli import completion, making, sharing
from mmbench.cli.making import Option
from mmbench.cli.words import plain

if TYPE_CHECKING:
    from mmbench.config import GenerateSettings
    from mmbench.engine.ray import RayCluster
    from mmbench.runs.generate.make import Generated

RANDOM = "Random weights: these videos are noise, for trying the machinery out."


def generate(
    model: Annotated[
        str,
        Option(
            help="A model's name, module:Class of your own, or folder:PATH of videos.", autocompletion=completion.models
        ),
    ],
    testset: Annotated[
        str | None,
        Option(
            help="A test set's name or its folder; testsets/README.md lists them.", autocompletion=completion.testsets
        ),
    ] = None,
    out: Annotated[Path | None, Option(help="Folder of the run (or the video of --prompt).")] = None,
    variant: making.Variant = None,
    option: making.Options = None,
    limit: making.Limit = None,
    shard: sharing.Shard = None,
    engine: sharing.Engine = "local",
    address: sharing.Address = "",
    workers: Annotated[int, Option(min=1, help="With --engine ray: actors, each with the model.")] = 1,
    gpus_per_worker: sharing.GpusPerWorker = 0.0,
    prompt_id: making.PromptIds = None,
    seed: making.Seed = 0,
    name: Annotated[str | None, Option(help="The model's name in tables instead of its own.")] = None,
    size: making.Size = None,
    frames: making.Frames = None,
    steps: making.Steps = None,
    guidance: making.Guidance = None,
    negative: making.Negative = None,
    prompt_kind: Annotated[
        str | None,
        Option(
            "--prompt-form",
            "--prompt-kind",
            help="long or short, instead of what was published; face: with the face in view, for identity columns.",
        ),
    ] = None,
    first_frame: making.FirstFrame = "photomaker_v2",
    first_frame_variant: making.FirstFrameVariant = None,
    first_frame_option: making.FirstFrameOptions = None,
    first_frames: making.FirstFrames = None,
    device: making.Device = "auto",
    dtype: making.Dtype = "auto",
    weights: making.Weights = None,
    python: making.Python = None,
    prompt: Annotated[str | None, Option(help="Make one video of this prompt (no test set).")] = None,
    reference: Annotated[list[Path] | None, Option(help="With --prompt: 1-4 pictures of the person.")] = None,
    first_frame_image: Annotated[Path | None, Option(help="With --prompt: the opening picture.")] = None,
) -> None:
    """Make the videos of a model. Run the same command again to continue; finished videos are never made twice."""
    from mmbench.errors import RequestError

    settings: GenerateSettings = making.settings_from(
        models=(model,),
        label=name,
        variant=variant,
        options=making.read_pairs(option, "--option"),
        limit=limit,
        shard=shard,
        prompts=tuple(prompt_id or ()),
        seed=seed,
        size=size,
        frames=frames,
        steps=steps,
        guidance=guidance,
        negative=negative,
        prompt_kind=prompt_kind,
        first_frame=first_frame,
        first_frame_variant=first_frame_variant,
        first_frame_options=making.read_pairs(first_frame_option, "--first-frame-option"),
        first_frames=first_frames,
        device=device,
        dtype=dtype,
        weights=weights,
        python=python,
    )
    if prompt is not None and testset is None:
        _one(settings, prompt, reference or [], out, first_frame_image)
    elif testset is not None and prompt is None:
        _all(settings, testset, out, sharing.spread_of(None, engine, address, workers, gpus_per_worker).cluster)
    else:
        raise RequestError("Give either --testset, or --prompt with --reference.", "`mmbench generate --help`")


def _all(settings: GenerateSettings, testset: str, out: Path | None, cluster: RayCluster | None) -> None:
    from mmbench.cli.progress import progress_bar
    from mmbench.runs.generate.make import default_folder, generate

    folder = out or default_folder(settings, testset)
    if settings.first_frames is None and out is None:
        settings = settings.model_copy(update={"first_frames": folder.parent / "first_frames"})
    sharing.shard_of(settings.shard)
    with progress_bar() as progress:
        result = generate(settings, testset, folder, progress=progress, cluster=cluster)
    print_generated(result)
    typer.echo(f"Measure them: mmbench evaluate --manifest {result.manifest}")
    if result.failed:
        raise typer.Exit(1)


def print_generated(result: Generated) -> None:
    """What a run made, and why requests failed."""
    counts = f"{result.made} videos made, {result.before} were there, {len(result.failed)} failed."
    typer.echo(f"{plain(result.label)}: {counts}")
    if result.random_weights:
        typer.echo(f"  {RANDOM}")
    if result.elsewhere:
        typer.echo(f"  {result.elsewhere} are being made by other processes; run again when they have ended.")
    for name, reason in result.failed[:20]:
        typer.echo(f"  failed {plain(name)}: {plain(reason)}")
    if len(result.failed) > 20:
        typer.echo(f"  ... all reasons are in {result.folder / 'failures'}")


def _one(
    settings: GenerateSettings, prompt: str, references: list[Path], out: Path | None, first_frame: Path | None
) -> None:
    from mmbench.runs.generate.single import generate_one

    target = out or Path(f"{settings.model.replace(':', '_')}.mp4")
    one = generate_one(settings, prompt, references, target, first_frame=first_frame)
    if not one.made:
        typer.echo(f"{target} is there already, made from the same request.")
        return
    cut = " (the prompt was cut)" if one.account["prompt_truncated"] else ""
    typer.echo(f"{target}: seed {one.account['seed']}, {one.account['seconds']:.1f} s{cut}")
    if one.account["random_weights"]:
        typer.echo(f"  {RANDOM}")
