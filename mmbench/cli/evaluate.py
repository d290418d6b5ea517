"""`mmbench evaluate` and `mmbench run`."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmbench.cli import completion, sharing
from mmbench.cli.progress import progress_bar
from mmbench.cli.words import Once, safe

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.runs.evaluate.evaluate import EvaluateResult

MOST_LACKING = 12
"""Reasons that are told of clips, and of models; the report has all."""


def evaluate(
    folder: Annotated[Path | None, typer.Argument(help="Folder of videos (any format, also frame folders).")] = None,
    references: Annotated[
        Path | None, typer.Option(help="Reference image, or a folder with <identity>.png or <identity>/*.png.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="CSV: video or identity, prompt[, prompt_long]; or a map from names to prompts in JSON."),
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="What paths mean: '{model}/{identity}_{prompt}_{seed}'; {} is of no account.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="CSV instead of a folder: model, video[, references, prompt, ...].")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder or URL of the run; give it again to continue.")] = Path(
        "runs/evaluation"
    ),
    name: Annotated[str | None, typer.Option(help="Name of the model that made the folder's videos.")] = None,
    metrics: Annotated[
        str, typer.Option(help="Comma-separated metrics; all by default.", autocompletion=completion.metrics)
    ] = "",
    settings: Annotated[Path | None, typer.Option(help="YAML with evaluation settings.")] = None,
    face_backend: Annotated[str | None, typer.Option(help="dlib, retinaface or insightface.")] = None,
    flow_backend: Annotated[
        str | None, typer.Option(help="raft (VBench's network) or dis (needs no weights; another measure).")
    ] = None,
    flow: Annotated[str | None, typer.Option(help="early: stop when the verdict is certain; full: every pair.")] = None,
    flow_precision: Annotated[
        str | None, typer.Option(help="fp32, bf16 or fp16; pairs near the threshold are measured again in fp32.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="How ViCLIP, CLIP and Inception multiply: fp32, tf32 (NVIDIA) or bf16.")
    ] = None,
    fm_version: Annotated[int | None, typer.Option(help="Unit of fm_inter: 2 (frame) or 1 (face).")] = None,
    prompt_field: Annotated[str | None, typer.Option(help="Score text alignment against: short or long.")] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where networks run: cpu, cuda or cuda:1. On a GPU insightface needs the extra insightface-gpu; "
            "HOG and DIS stay on the processor."
        ),
    ] = None,
    decode: Annotated[
        str | None, typer.Option(help="Who decodes videos: cpu, or cuda for the GPU's own decoder (the same pixels).")
    ] = None,
    network_gib: Annotated[
        float | None, typer.Option(help="GiB of the GPU for a process's weights; networks beyond it take turns.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0: one a core, on a GPU what its memory holds.")] = 0,
    shard: sharing.Shard = None,
    engine: sharing.Engine = "local",
    address: sharing.Address = "",
    gpus_per_worker: sharing.GpusPerWorker = 0.0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse inputs of which anything is passed over, cut, merged or overruled.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try again what broke, or lacked weights or a package.")
    ] = False,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Tiny untrained networks, to test the machinery.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Tell at the end what decoding, each network and the metrics took.")
    ] = False,
) -> None:
    """Measure videos: yours, or a model's. Rerun the same command to continue after an interruption, or start it
    several times at once: processes on one folder share the work."""
    from mmbench.cli.inputs import collect, tell
    from mmbench.remote.path import path_of
    from mmbench.remote.schemes import is_url
    from mmbench.runs.evaluate.evaluate import default_workers
    from mmbench.runs.evaluate.evaluate import evaluate as run_evaluation
    from mmbench.runs.evaluate.profile import profiled
    from mmbench.runs.inputs.folder import FolderSource

    chosen = {
        ("metrics",): tuple(n.strip() for n in metrics.split(",") if n.strip()) or None,
        ("face", "backend"): face_backend,
        ("flow", "backend"): flow_backend,
        ("flow", "mode"): flow,
        ("flow", "precision"): flow_precision,
        ("text", "prompt"): prompt_field,
        ("fm_version",): fm_version,
        ("device",): device,
        ("decode",): decode,
        ("network_gib",): network_gib,
        ("precision",): precision,
        ("random_weights",): random_weights or None,
    }
    options = _settings(settings, chosen)
    source = None if folder is None else FolderSource(folder, references, prompts, name, pattern)
    inputs = collect(manifest, source)
    tell(inputs, strict=strict)
    workers = workers or default_workers(options)
    spread = sharing.spread_of(shard, engine, address, workers, gpus_per_worker)
    times = out / "profile" / time.strftime("%Y%m%d-%H%M%S")
    with progress_bar() as progress, profiled(times) if profile else nullcontext():
        result = run_evaluation(
            inputs.items,
            out,
            options,
            workers=workers,
            retry=retry,
            notes=inputs.notes,
            progress=progress,
            spread=spread,
        )
    print_result(result)
    if profile:
        print_profile(times)
    if is_url(out):
        typer.echo(f"kept at {path_of(out)}; the folder here is a copy")
    if not result.complete:
        raise typer.Exit(1)


def print_profile(folder: Path) -> None:
    """The table of `--profile`: seconds of all processes together."""
    from rich.console import Console
    from rich.table import Table

    from mmbench.runs.evaluate.profile import read_profile

    clips, parts = read_profile(folder)
    if not clips:
        typer.echo("Nothing was measured now, so there is no profile.")
        return
    table = Table("part", "seconds", "share", "ms a frame", title=f"{clips} clips, all processes together")
    for part in parts:
        table.add_row(
            part.name, f"{part.seconds:.2f}", f"{part.share:.1%}", f"{part.a_frame:.2f}" if part.a_frame else ""
        )
    Console(highlight=False).print(table)
    typer.echo(f"A line a clip: {folder}")


def run(
    settings: Annotated[
        Path | None,
        typer.Argument(help="YAML: testset or manifest, generate, evaluate, report. Default: the bundled set."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/<name of the file>.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder of the report; default: <out>/report.")] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0: one a core, on a GPU what its memory holds.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse inputs of which anything is passed over, cut, merged or overruled.")
    ] = False,
) -> None:
    """The whole way: generate, evaluate, report. Rerun the same command to continue."""
    from mmbench.cli.board import print_leaderboard
    from mmbench.cli.generate import print_generated
    from mmbench.cli.inputs import tell
    from mmbench.cli.making import see_own_code
    from mmbench.config import RunSettings
    from mmbench.runs.evaluate.evaluate import default_workers
    from mmbench.studies.whole_run import default_settings, run_all

    path = settings or default_settings()
    chosen = RunSettings.from_yaml(path)
    see_own_code((*chosen.generate.models, chosen.generate.first_frame))
    with progress_bar() as progress:
        done = run_all(
            chosen,
            path.resolve().parent,
            out or Path("runs") / path.stem,
            report,
            workers=workers or default_workers(chosen.evaluate),
            progress=progress,
            tell=tell,
            strict=strict,
        )
    for generated in done.generated:
        print_generated(generated)
    once = Once()
    for cause in done.lacking:
        typer.echo(f"no videos: {cause.message} {once(cause.remedy)}".rstrip(), err=True)
    print_result(done.evaluation, once)
    print_leaderboard(done.report, once)
    if not done.complete:
        raise typer.Exit(1)


def print_result(result: EvaluateResult, once: Once | None = None) -> None:
    """Summary of a run: what was measured, what failed and why, what is missing and how to get it, each advice once."""
    from rich.console import Console

    once = once or Once()
    console = Console(highlight=False)
    measured = len(result.ids) - len(result.failed)
    console.print(
        f"{measured} of {len(result.ids)} clips measured ({result.measured_now} now), rows in {safe(result.run)}",
        soft_wrap=True,
    )
    if result.left:
        console.print(f"{result.left} clips belong to other parts and are not measured yet.")
    for note in result.notes:
        console.print(safe(note), soft_wrap=True)
    for row in result.failed[:20]:
        assert row.error is not None
        console.print(
            f"[red]failed[/red] {safe(row.item.id)}: {safe(row.error.message)} {safe(once(row.error.remedy))}".rstrip()
        )
    if len(result.failed) > 20:
        console.print(f"... and {len(result.failed) - 20} more: see the report")
    for item, score in result.errors[:20]:
        console.print(f"[red]error[/red] {safe(item)}, {safe(score.metric)}: {safe(score.reason)}")
    told = {"clip": 0, "model": 0}
    for what, lacking in result.lacking:
        told[what] += 1
        if told[what] <= MOST_LACKING:
            of = f"{lacking.owners} {what}{'' if lacking.owners == 1 else 's'}"
            why = f"{safe(lacking.reason.removesuffix('.'))}. {safe(once(lacking.remedy))}"
            console.print(f"[yellow]missing[/yellow] {', '.join(lacking.metrics)} ({of}): {why.rstrip()}")
    if result.worth_a_retry:
        console.print("What failed before was not tried again: --retry does, and measures nothing else.")


def _settings(path: Path | None, chosen: dict[tuple[str, ...], Any]) -> EvaluateSettings:
    """Settings of the file, with the command's options on top."""
    from pydantic import ValidationError

    from mmbench.config import EvaluateSettings, faults
    from mmbench.errors import ManifestError

    data = (EvaluateSettings.from_yaml(path) if path else EvaluateSettings()).model_dump()
    for keys, value in chosen.items():
        if value is not None:
            level = data
            for key in keys[:-1]:
                level = level[key]
            level[keys[-1]] = value
    try:
        return EvaluateSettings.model_validate(data)
    except ValidationError as cause:
        raise ManifestError(f"{faults(cause)}.", "`mmbench evaluate --help` lists the choices.") from cause
