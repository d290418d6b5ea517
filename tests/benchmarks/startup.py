"""Seconds `mmbench --help` takes, beside a bare interpreter and the import of typer in the same run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

REPEATS = 9


def median_seconds(*command: str) -> float:
    """Median wall time of a command, the first (cold) run left out."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Print the table."""
    bare = median_seconds(sys.executable, "-c", "pass")
    typer = median_seconds(sys.executable, "-c", "import typer")
    ours = median_seconds(sys.executable, "-m", "mmbench", "--help")
    print(f"python -c pass   {bare:6.3f} s   1.0x")
    print(f"import typer     {typer:6.3f} s   {typer / bare:.1f}x")
    print(f"mmbench --help   {ours:6.3f} s   {ours / bare:.1f}x   (goal: below 0.3 s)")


if __name__ == "__main__":
    main()
