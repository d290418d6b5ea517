"""Seconds, memory and utilisation of a training step: `python tests/benchmarks/train_step.py --size 5b --device cuda`.

Both stages, random weights made on the device, nothing downloaded; writes `training-SIZE.md` and `.json` into `--out`.
Without `--device` it counts on the meta device only.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from mmbench.model.cost.training import profile_training, stage_memory
from mmbench.model.cost.training_report import as_markdown, write_training_profile


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="5b", choices=["5b", "nano", "smoke"])
    parser.add_argument("--device", choices=["cuda", "cpu"])
    parser.add_argument("--image-batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("reports/profile"))
    args = parser.parse_args()
    today = datetime.now(UTC).date()
    measured = None
    if args.device:
        measured = profile_training(args.size, args.device, args.image_batch, args.rounds, report=say)
        write_training_profile(args.out, args.size, [], measured, today)  # kept, should counting break off
    memory = [stage_memory(args.size, 1, args.image_batch), stage_memory(args.size)]
    for path in write_training_profile(args.out, args.size, memory, measured, today):
        say(f"wrote {path}")
    say(as_markdown(args.size, memory, measured, today))


if __name__ == "__main__":
    main()
