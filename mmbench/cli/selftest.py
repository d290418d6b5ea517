"""`mmbench selftest`: the numbers of this installation against committed ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Option = typer.Option


def selftest(
    device: Annotated[str, Option(help="cpu, cuda or cuda:1.")] = "cpu",
    against: Annotated[Path | None, Option(help="Numbers of another machine (--write); the bundled ones else.")] = None,
    write: Annotated[Path | None, Option(help="Write this machine's numbers into a file.")] = None,
    golden_clip: Annotated[Path | None, Option(help="OpenS2V-Nexus' singleface_3.mp4.")] = None,
    golden_picture: Annotated[Path | None, Option(help="Its reference, crop_man/11.jpg of OpenS2V-Eval.")] = None,
) -> None:
    """Run every column whose weights are here on bundled clips, and compare with committed numbers."""
    from rich.console import Console
    from rich.markup import escape

    from mmbench.cli.progress import progress_bar
    from mmbench.errors import RequestError
    from mmbench.runs import selftest as own

    if (golden_clip is None) != (golden_picture is None):
        raise RequestError("The golden pair is a clip and a picture.", "Give --golden-clip and --golden-picture.")
    pair = (golden_clip, golden_picture) if golden_clip is not None and golden_picture is not None else None
    with progress_bar() as progress:
        result = own.selftest(device, against or own.COMMITTED, pair, progress)
    console = Console(highlight=False, soft_wrap=True)
    colours = {"ok": "green", "differs": "red", "error": "red", "missing": "yellow", "new": "blue"}
    lacking: dict[str, dict[str, None]] = {}
    for check in result.checks:
        if check.state == "missing":
            lacking.setdefault(check.text, {})[check.column] = None
            continue
        line = f"[{colours[check.state]}]{check.state:<8}[/] {check.clip:<11}{check.column:<26}"
        if check.value is not None:
            line += f"{check.value:.6g}"
            if check.expected is not None:
                line += f"  (committed {check.expected:.6g}, within {check.within:.2g})"
        console.print(line + f"  {escape(check.text)}")
    for text, columns in lacking.items():
        console.print(f"[yellow]missing[/yellow]  {escape(', '.join(columns))}: {escape(text)}")
    counts = {state: sum(check.state == state for check in result.checks) for state in colours}
    console.print(", ".join(f"{number} {state}" for state, number in counts.items() if number))
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items() if name != "device")
    console.print(f"Device {result.device}; {escape(versions)}")
    if write is not None:
        own.write(result, write)
        console.print(f"Written: {escape(str(write))}")
    if not result.sound:
        raise typer.Exit(1)
