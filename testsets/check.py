"""Find what is wrong with a test set before hours of generation do."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from mmbench.errors import MMBenchError
from mmbench.files import sha256
from mmbench.testsets.load import load_testset
from mmbench.testsets.pictures import decode
from mmbench.testsets.pubfig50.references import HasFace, need_face
from mmbench.testsets.types import TestSet

MAX_REFERENCES = 4


def check_testset(name_or_path: str | Path, has_face: HasFace | None = None) -> tuple[TestSet, list[str]]:
    """The set and everything odd about it: damaged, changed or doubled pictures, too many of them, uneven prompts.

    With `has_face` also every picture in which no face is seen: the evaluation would refuse it. Raises
    ManifestError where the set cannot be read at all.
    """
    testset = load_testset(name_or_path)
    recorded = _recorded_digests(testset.folder / "references.csv")
    problems: list[str] = []
    owners: dict[str, str] = {}
    usual = Counter(len(identity.prompts) for identity in testset.identities).most_common(1)[0][0]
    for identity in testset.identities:
        if len(identity.references) > MAX_REFERENCES:
            problems.append(f"{identity.id}: {len(identity.references)} pictures, models take {MAX_REFERENCES}")
        if len(identity.prompts) != usual:
            problems.append(f"{identity.id}: {len(identity.prompts)} prompts, others have {usual}")
        for path in identity.references:
            data = path.read_bytes()
            digest = sha256(data)
            name = path.relative_to(testset.folder).as_posix()
            if recorded.get(name, digest) != digest:
                problems.append(f"{name}: changed since the set was built")
            if digest in owners:
                problems.append(f"{name}: the same picture as {owners[digest]}")
            owners.setdefault(digest, name)
            try:
                need_face(decode(data, name), name, has_face)
            except MMBenchError as error:
                problems.append(error.message)
    return testset, problems


def _recorded_digests(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["file"]: row["sha256"] for row in csv.DictReader(stream) if row.get("sha256")}
