"""`mmbench ablate`: the paper's comparisons of one choice, all else equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli import completion, making
from mmbench.cli.making import Option

if TYPE_CHECKING:
    from mmbench.studies.prompt_length import PromptLength

app = typer.Typer(help="Repeat the paper's ablations: one thing changed, all else equal.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Repeat the paper's ablations: one thing changed, all else equal."""


@app.command("prompt-length")
def prompt_length(
    model: Annotated[
        list[str], Option(help="An image-to-video model; repeat for several.", autocompletion=completion.models)
    ],
    testset: Annotated[
        str,
        Option(
            help="A test set's name or its folder; testsets/README.md lists them.", autocompletion=completion.testsets
        ),
    ],
    out: Annotated[Path, Option(help="Folder of the comparison; give it again to continue.")] = Path(
        "runs/prompt_length"
    ),
    variant: making.Variant = None,
    option: making.Options = None,
    prompt_id: Annotated[
        list[str] | None, Option(help="Only these prompts; the figure's are human:29 and human:75 of pubfig50.")
    ] = None,
    limit: making.Limit = None,
    seed: making.Seed = 0,
    size: making.Size = None,
    frames: making.Frames = None,
    steps: making.Steps = None,
    guidance: making.Guidance = None,
    negative: making.Negative = None,
    first_frame: making.FirstFrame = "photomaker_v2",
    first_frame_variant: making.FirstFrameVariant = None,
    first_frame_option: making.FirstFrameOptions = None,
    first_frames: making.FirstFrames = None,
    device: making.Device = "auto",
    dtype: making.Dtype = "auto",
    weights: making.Weights = None,
    python: making.Python = None,
    measure: Annotated[bool, Option("--measure/--no-measure", help="Evaluate the videos and compare.")] = True,
    settings: Annotated[Path | None, Option(help="YAML with evaluation settings.")] = None,
    workers: Annotated[
        int, Option(help="Processes of the evaluation; 0: one a core, on a GPU what its memory holds.")
    ] = 0,
) -> None:
    """Short against long prompts for image-to-video models, from the same first frames and seeds (Fig. 11)."""
    from mmbench.cli.generate import print_generated
    from mmbench.cli.progress import progress_bar
    from mmbench.studies.prompt_length import ablate_prompt_length

    wanted = making.settings_from(
        models=tuple(model),
        variant=variant,
        options=making.read_pairs(option, "--option"),
        prompts=tuple(prompt_id or ()),
        limit=limit,
        seed=seed,
        size=size,
        frames=frames,
        steps=steps,
        guidance=guidance,
        negative=negative,
        first_frame=first_frame,
        first_frame_variant=first_frame_variant,
        first_frame_options=making.read_pairs(first_frame_option, "--first-frame-option"),
        first_frames=first_frames,
        device=device,
        dtype=dtype,
        weights=weights,
        python=python,
    )
    with progress_bar() as progress:
        done = ablate_prompt_length(wanted, testset, out, progress=progress)
    for run in done.runs:
        print_generated(run)
    typer.echo(f"Manifest of all: {done.manifest}")
    complete = not any(run.failed for run in done.runs)
    if measure:
        complete = _measured(done, out / "evaluation", settings, workers) and complete
    if not complete:
        raise typer.Exit(1)


def _training(name: str, preset: str) -> Callable[..., None]:
    """The command of an ablation that trains."""

    def command(
        settings: Annotated[
            str, typer.Argument(help="YAML of a training whose stages are those of the preset, or a preset.")
        ] = preset,
        out: Annotated[Path, Option(help="Folder of the trained arms; ablations of equal settings share it.")] = Path(
            "runs/ablations"
        ),
        seed: Annotated[
            list[int] | None, Option(help="Seed of training; repeat for several. Default: 0, 1, 2.")
        ] = None,
        report: Annotated[Path | None, Option(help="Folder of the page; default: NAME below --out.")] = None,
        workers: Annotated[int, Option(min=1, help="Processes of the evaluation.")] = 1,
    ) -> None:
        from mmbench.cli.progress import progress_bar
        from mmbench.cli.train import step_progress
        from mmbench.model.train.settings import read_settings
        from mmbench.studies.ablations.study import SEEDS, AblateOptions, ablate

        chosen, folder = read_settings(settings)
        with step_progress() as step, progress_bar() as progress:
            options = AblateOptions(seed or SEEDS, report, workers, lambda text: typer.echo(text, err=True), step)
            found, page = ablate(name, chosen, folder, out, options, progress=progress)
        for claim in found.claims:
            said = f"{claim.claim.better} above {claim.claim.worse} in {claim.metric}"
            typer.echo(f"{claim.verdict}: {said}, by {claim.difference.mean:+.4f} (adjusted p {claim.p_holm:.3g})")
        typer.echo(f"Page: {page}")

    return command


for _name, _help, _preset in (
    ("modules", "The parts of the model, one by one (Table 3 of v2).", "nano-ablation"),
    ("stages", "Pictures alone, clips alone, both (Fig. 7 of v2).", "nano-ablation"),
    ("can", "With and without Conditioned Adaptive Normalization, over training (Fig. 8).", "nano-ablation"),
    (
        "norm",
        "The base's adaptive norms alone, tuned on other looks (Fig. 14).",
        "nano-norm",
    ),
):
    app.command(_name, help=_help)(_training(_name, _preset))


@app.command()
def modulation(
    testset: Annotated[
        str, Option(help="Whose pictures are shown: a test set's name or folder.", autocompletion=completion.testsets)
    ] = "nano70",
    variant: Annotated[str, Option(help="Magic Mirror's variant.")] = "nano-trained",
    out: Annotated[Path, Option(help="Folder of the figure and its points.")] = Path("runs/ablations/modulation"),
    people: Annotated[int, Option(min=2, help="So many people's pictures.")] = 14,
    steps: Annotated[int, Option(min=3, help="Timesteps of the schedule.")] = 50,
    weights: making.Weights = None,
    device: making.Device = "auto",
) -> None:
    """How the scales of the adaptive norms lie, by modality, layer and time (Fig. 9)."""
    from mmbench.studies.ablations.modulation import study_modulation

    found, figure = study_modulation(
        testset, out, variant=variant, people=people, steps=steps, weights=weights, device=making.pick_device(device)
    )
    for name, value in found.silhouettes.items():
        typer.echo(f"silhouette by {name}: {value:+.3f}")
    typer.echo(f"CAN's residuals: {found.of_time:.0%} of the variance by time, {found.of_people:.0%} by the person")
    typer.echo(f"Figure: {figure}")


def _measured(made: PromptLength, run: Path, settings: Path | None, workers: int) -> bool:
    """Evaluate the videos and print short against long for each model; False when something was not measured."""
    from rich.console import Console

    from mmbench.cli.evaluate import print_result
    from mmbench.cli.progress import progress_bar
    from mmbench.cli.report import print_comparison
    from mmbench.config import EvaluateSettings
    from mmbench.runs.evaluate.evaluate import default_workers
    from mmbench.studies.prompt_length import measure_prompt_length

    chosen = EvaluateSettings.from_yaml(settings) if settings else EvaluateSettings()
    many = workers or default_workers(chosen)
    with progress_bar() as progress:
        done = measure_prompt_length(made, run, chosen, workers=many, progress=progress)
    print_result(done.evaluation)
    for comparison in done.comparisons:
        print_comparison(comparison, Console(highlight=False))
    typer.echo("Text alignment is scored against the short prompt for both.")
    return done.evaluation.complete
