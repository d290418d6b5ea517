"""The command line: parse, call, print. Every command has a typed Python function behind it.

A file a command: `generators`, `testset`, `synth`, `nano`, `data` (what there is to work on), `train`, `model` (what is
made of it), `weights`, `generate`, `evaluate`, `report`, `plot` (a benchmark's steps), `status` (how far they are),
`ablate`, `validity`, `study` (questions to it), `submit` (boards of many runs), `inspect` (what is installed),
`selftest` (whether it gives its numbers). They share `making` (options of videos), `sharing` (options of split work),
`inputs` (what was found), `progress`, `board` (a table on a terminal), `words` (texts of others on a terminal) and
`completion` (the shell's).
"""

from __future__ import annotations

import io
import signal
import sys

import typer

from mmbench.errors import MMBenchError
from mmbench.version import __version__

INTERRUPTED, STOPPED = 130, 143
"""Exit codes of Ctrl-C and of SIGTERM: 128 and the signal's number."""

app = typer.Typer(
    name="mmbench",
    help="Magic Mirror in the open, and the benchmark for identity-preserved video generation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mmbench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Magic Mirror in the open, and the benchmark for identity-preserved video generation."""


def _register() -> None:
    """Add the commands; `short_help` where the first sentence would be cut off on 80 columns."""
    from mmbench.cli import (
        ablate,
        data,
        evaluate,
        generate,
        generators,
        inputs,
        inspect,
        model,
        nano,
        plot,
        report,
        selftest,
        status,
        study,
        submit,
        synth,
        testset,
        train,
        validity,
        weights,
    )

    app.command("run")(evaluate.run)
    app.command("generate")(generate.generate)
    app.command("generators", short_help="List the models: sizes, weights, limits of use.")(generators.generators)
    app.command("evaluate")(evaluate.evaluate)
    app.command("manifest", short_help="Write the CSV of a folder's videos for you to finish.")(inputs.manifest)
    app.command("status", short_help="How far a run has come: done, failed, missing, by part.")(status.status)
    app.command("slurm", short_help="Print a job script that does a run in parts.")(status.slurm)
    app.command("report", short_help="Leaderboard of a run: page, Markdown, CSV, LaTeX, JSON.")(report.report)
    app.command("rows", short_help="A run's rows as Parquet or CSV: a line a clip, or a number.")(report.rows)
    app.command("table", short_help="The short table of a report, into a Markdown file.")(report.table)
    app.command("compare", short_help="Is A better than B? Paired differences with intervals.")(report.compare)
    app.command("plot", short_help="Figures: means, paired differences, ablations, curves, grids.")(plot.plot)
    app.command("train", short_help="Train the adapter (or a base) from a settings file.")(train.train)
    app.add_typer(data.app, name="data", short_help="Training data: build, check, show what was dropped.")
    app.add_typer(model.app, name="model")
    app.add_typer(testset.app, name="testset", short_help="Test sets: build PubFig-50, check or show a set.")
    app.add_typer(synth.app, name="synth", short_help="Synthetic people of known truth: kit, clips, controls.")
    app.add_typer(nano.app, name="nano", short_help="The nano world: people, eyes, test set.")
    app.add_typer(ablate.app, name="ablate", short_help="The paper's ablations: one thing changed, else equal.")
    app.add_typer(study.app, name="study", short_help="Blind user studies: marks, pairs, votes, reports.")
    app.add_typer(submit.app, name="submit", short_help="Boards that others join: pack, check, build, compare.")
    app.add_typer(weights.app, name="weights", short_help="Weight files: list, get, check, use your own.")
    app.command("validity", short_help="Check every metric against rendered, known truth.")(validity.validity)
    app.command("doctor", short_help="What is installed, and what each metric still needs.")(inspect.doctor)
    app.command("explain")(inspect.explain)
    app.command("selftest", short_help="Columns that can run here against committed numbers.")(selftest.selftest)


_register()


def main() -> None:
    """Entry point of `mmbench`. User errors, paths that cannot be used among them, are one message and exit code 2;
    Ctrl-C is 130. SIGTERM, which batch systems send before they take a machine away, is an orderly end too: 143.
    """
    signal.signal(signal.SIGTERM, _stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")
    try:
        app(standalone_mode=True)
    except MMBenchError as error:
        _fail(error.message, error.remedy)
    except OSError as error:
        if error.filename is None or error.strerror is None:  # no path of the user's: not a user error
            raise
        _fail(f"{error.filename}: {error.strerror}.", "Name another path, or make this one usable.")
    except SystemExit as ending:
        if ending.code in (INTERRUPTED, STOPPED):  # typer turns Ctrl-C into this exit, without a word
            said = "Interrupted" if ending.code == INTERRUPTED else "Stopped"
            typer.echo(f"{said}. Everything finished is kept: run the same command again to continue.", err=True)
        raise


def _stop(number: int, frame: object) -> None:
    raise SystemExit(STOPPED)  # not the signal's own way: claims are given back, workers ended, files closed


def _fail(message: str, remedy: str) -> None:
    typer.secho(f"error: {message}", fg="red", err=True)
    if remedy:
        typer.echo(f"remedy: {remedy}", err=True)
    sys.exit(2)
