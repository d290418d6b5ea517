"""Is a data set as its ledgers say, and can it be trained on?"""

from __future__ import annotations

from pathlib import Path

import torch

from mmbench.data.build import counts
from mmbench.data.ledger import Ledger
from mmbench.errors import MMBenchError
from mmbench.files import Progress, silent
from mmbench.model.train.record import TrainingRecord
from mmbench.model.train.shards import ShardSet
from mmbench.model.train.text_store import EMPTY, TextStore

SHARDS = ("images", "clips")


def check(out: Path, progress: Progress = silent) -> tuple[int, list[str]]:
    """How many records there are, and what is wrong with them, each as one line naming the place."""
    texts, problems, total = TextStore(out / "texts"), [], 0
    known: dict[str, str] = {}
    for source, steps in counts(out).items():
        problems += [f"{source}: the stage {step.stage} is not finished" for step in steps if not step.complete]
        for name in SHARDS:
            ledger = Ledger(out / source / f"{name}.jsonl")
            expected = [row.key for row in ledger.kept()]
            if not expected:
                continue
            try:
                records = ShardSet([out / source / name])
            except MMBenchError as cause:
                problems.append(str(cause))
                continue
            if sorted(records.keys()) != sorted(expected):
                problems.append(f"{source}/{name}: {len(records)} records in shards, {len(expected)} in the ledger")
            for index in range(len(records)):
                progress(index, len(records), f"{source}/{name}")
                total += 1
                try:
                    record = records[index]
                except MMBenchError as cause:
                    problems.append(str(cause))
                    continue
                problems += [f"{source}/{name}, {record.key}: {fault}" for fault in _faults(record, texts, known)]
    if total and EMPTY not in texts:
        problems.append(f"{texts.folder}: the text of the empty caption is missing")
    return total, problems


def _faults(record: TrainingRecord, texts: TextStore, known: dict[str, str]) -> list[str]:
    found = []
    if not bool(torch.isfinite(record.latents.float()).all()):
        found.append("its latents are not finite")
    seen = record.boxes[~record.boxes.isnan().any(dim=1)]
    outside = (seen[:, 2] <= 0) | (seen[:, 3] <= 0) | (seen[:, 0] >= record.width) | (seen[:, 1] >= record.height)
    if not len(seen):
        found.append("no frame has a face")
    elif bool(outside.all()):
        found.append("its face lies outside the picture")
    if not record.word_positions:
        found.append("its caption has no identity word")
    if record.text not in known:
        try:
            rows = texts.get(record.text)
            known[record.text] = "" if bool(torch.isfinite(rows.float()).all()) else "its text is not finite"
        except MMBenchError as cause:
            known[record.text] = str(cause)
    if known[record.text]:
        found.append(known[record.text])
    if any(not bool(torch.isfinite(reference.id_vector).all()) for reference in record.references):
        found.append("a reference's vector is not finite")
    return found
