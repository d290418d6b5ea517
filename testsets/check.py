"""Find what is wrong with a test set before hours of generation do."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from mmbench.errors import MMBenchError
from mmbench.testsets.load import load_testset
from mmbench.testsets.pictures import decode
from mmbench.testsets.types import PROMPTS_PER_IDENTITY, TestSet

MAX_REFERENCES = 4


def check_testset(name_or_path: str | Path) -> tuple[TestSet, list[str]]:
    """The set and everything odd about it: damaged, changed or doubled pictures, too many references, prompt
    counts.

    Raises ManifestError where it cannot be read at all.
    """
    testset = load_testset(name_or_path)
    recorded = _recorded_digests(testset.folder / "references.csv")
    problems: list[str] = []
    owners: dict[str, str] = {}
    for identity in testset.identities:
        if len(identity.references) > MAX_REFERENCES:
            problems.append(f"{identity.id}: {len(identity.references)} pictures, models take {MAX_REFERENCES}")
        if len(identity.prompts) != PROMPTS_PER_IDENTITY:
            problems.append(f"{identity.id}: {len(identity.prompts)} prompts instead of {PROMPTS_PER_IDENTITY}")
        for path in identity.references:
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            name = path.relative_to(testset.folder).as_posix()
            if recorded.get(name, digest) != digest:
                problems.append(f"{name}: changed since the set was built")
            if digest in owners:
                problems.append(f"{name}: the same picture as {owners[digest]}")
            owners.setdefault(digest, name)
            try:
                decode(data, name)
            except MMBenchError as error:
                problems.append(error.message)
    return testset, problems


def _recorded_digests(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["file"]: row["sha256"] for row in csv.DictReader(stream) if row.get("sha256")}
