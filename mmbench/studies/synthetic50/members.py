"""The fifty people: who they are, what their files are called, and the format of their clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmbench.files import read_json, write_json
from mmbench.studies.synthetic50.wording import CLASS_WORD
from mmbench.synth.control import System
from mmbench.synth.identity import GROUPS, Group, parse_name

FPS, FRAMES, SIZE, CRF = 8, 24, 256, 25
LICENCE = "CC0-1.0: rendered by mmbench, no real person (LICENSE)"


@dataclass(frozen=True)
class Member:
    """One of the fifty: its place in the set and its group mates in a ring (stranger +1, drift +2)."""

    number: int
    name: str
    group: Group
    seed: int
    stranger: str
    becomes: str

    @property
    def prompt_index(self) -> int:
        """Which of the four prompts the control clips play."""
        return self.number % 4

    @property
    def n_references(self) -> int:
        return 1 + (self.number * 3 + self.number // 4) % 4


def members(folder: Path) -> list[Member]:
    """The fifty in order, from identities.json (one fixed derangement inside each group)."""
    document = read_json(folder / "identities.json")
    names = [str(row["id"]) for row in document["identities"]]
    by_group = {g: [n for n in names if parse_name(n)[0] == g] for g in GROUPS}
    made = []
    for number, name in enumerate(names):
        group, seed = parse_name(name)
        ring = by_group[group]
        at = ring.index(name)
        made.append(Member(number, name, group, seed, ring[(at + 1) % len(ring)], ring[(at + 2) % len(ring)]))
    return made


def reference_paths(member: Member) -> list[str]:
    return [f"references/{member.name}/{k}.jpg" for k in range(1, member.n_references + 1)]


def clip_path(system: System, member: Member) -> str:
    return f"controls/{system}/{member.name}_{member.prompt_index}.mp4"


def write_identities(out: Path, pairs: list[tuple[Group, int]]) -> None:
    """identities.json in the layout every test set has, plus each identity's sampler seed."""
    names = [f"{group.replace(' ', '-')}-{seed:02d}" for group, seed in pairs]
    entries = []
    for number, (name, (group, seed)) in enumerate(zip(names, pairs, strict=True)):
        member = Member(number, name, group, seed, name, name)
        entries.append(
            {
                "id": name,
                "group": group,
                "class_word": CLASS_WORD[group],
                "seed": seed,
                "references": reference_paths(member),
            }
        )
    document = {"name": "synthetic50", "licence": LICENCE, "shown": 1, "identities": entries}
    write_json(out / "identities.json", document)
