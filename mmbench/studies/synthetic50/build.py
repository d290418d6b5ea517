"""Builds the set: screen identities, render references and control clips, write prompts, manifest and data card.

    python -m mmbench.studies.synthetic50.build --out DIR [--only references controls tables card] [--shard 0/2]

Everything is resumable: what is on disk stays. `identities.json` (committed) holds the fifty (group, seed) pairs, so
only a change of the sampler needs `--only screen`. Needs the face kit (`mmbench synth kit build`) and, for references,
screening and card, dlib.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable
from pathlib import Path

from mmbench.files import Progress, silent
from mmbench.studies.synthetic50.members import members, write_identities
from mmbench.studies.synthetic50.pictures import build_controls, build_references
from mmbench.studies.synthetic50.tables import build_tables
from mmbench.testsets.synthetic50 import root


def build(
    out: Path,
    steps: Iterable[str],
    shard: tuple[int, int] = (0, 1),
    say: Progress = silent,
) -> None:
    """Run steps in order. `shard` (k, n) takes the k-th of n runs of identities, so that n processes can
    share the rendering."""
    steps = list(steps)
    out.mkdir(parents=True, exist_ok=True)
    if "screen" in steps:
        from mmbench.studies.synthetic50.screen import screen

        write_identities(out, screen(out / "screen.jsonl"))
    elif not (out / "identities.json").is_file():
        shutil.copyfile(root() / "identities.json", out / "identities.json")
    fifty = members(out)
    mine = fifty[len(fifty) * shard[0] // shard[1] : len(fifty) * (shard[0] + 1) // shard[1]]  # neighbours share people
    if "references" in steps:
        build_references(out, mine, say)
    if "controls" in steps:
        build_controls(out, mine, say)
    if "tables" in steps:
        build_tables(out, fifty)
    if "card" in steps:
        from mmbench.studies.synthetic50.card import write_card

        write_card(out, fifty, say)


STEPS = ("screen", "references", "controls", "tables", "card")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=root())
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS[1:])
    parser.add_argument("--shard", default="0/1")
    arguments = parser.parse_args()
    part, of = (int(v) for v in arguments.shard.split("/"))
    build(
        arguments.out,
        arguments.only,
        (part, of),
        lambda done, total, what: print(f"{done}/{total} {what}", flush=True),
    )
