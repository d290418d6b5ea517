"""Prompts of PubFig-50: VBench's texts by line number, their subject replaced by the identity's words and trigger."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from mmbench.errors import ManifestError
from mmbench.files import Progress, sha256, sha256_file
from mmbench.testsets.types import GROUPS, PROMPTS_PER_IDENTITY
from mmbench.trigger import TRIGGER
from mmbench.weights.http import Limits, download

DATA = Path(__file__).parent
SourceName = Literal["human", "action"]
PRONOUNS = {"he": r"\b(she|hers?|herself)\b", "she": r"\b(he|his|him|himself)\b", "they": r"\b(s?he|his|hers?|him)\b"}


@dataclass(frozen=True)
class Rule:
    """How one VBench line becomes a prompt: the first occurrence of `find` becomes `put`, in either text."""

    file: SourceName
    line: int
    main: bool
    pronouns: str
    groups: tuple[str, ...]
    long: tuple[str, str]
    short: tuple[str, str]

    @property
    def id(self) -> str:
        """ "human:29": the file and the line, from 1."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class PromptSource:
    """One text file of VBench at the pinned commit."""

    url: str
    sha256: str
    name: str


@dataclass(frozen=True)
class Template:
    """A prompt before it is given to an identity; {subject}, {a_subject} and {A_subject} stand for it."""

    id: str
    groups: tuple[str, ...]
    short: str
    long: str

    def fill(self, group: str) -> tuple[str, str]:
        """(short, long) for a group: "An elderly man img ...", one trigger in each."""
        words = f"{group} {TRIGGER}"
        phrase = f"{'an' if group[0] in 'aeiou' else 'a'} {words}"
        forms = {"{subject}": words, "{a_subject}": phrase, "{A_subject}": phrase[0].upper() + phrase[1:]}
        return _fill(self.short, forms), _fill(self.long, forms)


def _fill(text: str, forms: dict[str, str]) -> str:
    for mark, words in forms.items():
        text = text.replace(mark, words)
    return text


@cache
def rules() -> tuple[Rule, ...]:
    """The choice of lines and the replacements, from `pubfig50/prompts.yaml`."""
    return tuple(
        Rule(
            file=row["file"],
            line=row["line"],
            main=row["main"],
            pronouns=row["pronouns"],
            groups=tuple(row["groups"]),
            long=(row["long"][0], row["long"][1]),
            short=(row["short"][0], row["short"][1]),
        )
        for row in _document("prompts.yaml")["prompts"]
    )


@cache
def sources() -> dict[tuple[str, str], PromptSource]:
    """VBench's files by (file, "short" or "long")."""
    where = _document("prompts.yaml")["source"]
    base = f"https://raw.githubusercontent.com/{where['repository']}/{where['commit']}"
    return {
        (file, length): PromptSource(f"{base}/{facts['path']}", facts["sha256"], Path(facts["path"]).name)
        for file, pair in where["files"].items()
        for length, facts in pair.items()
    }


def fetch_sources(folder: Path, progress: Progress | None = None, given: Path | None = None) -> Path:
    """VBench's four files in `folder`, copied from the folder `given` or downloaded, checked by sha256.

    Raises ManifestError for a wrong or missing file of `given`, DownloadError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources().values():
        target = folder / source.name
        if target.is_file() and _sha256(target) == source.sha256:
            continue
        if given is not None:
            if not (given / source.name).is_file():
                raise ManifestError(f"{given} holds no {source.name}.", f"Get it from {source.url}.")
            target.write_bytes((given / source.name).read_bytes())
        else:
            download(source.url, target, Limits(max_bytes=1_000_000), progress, source.name)
        if (digest := _sha256(target)) != source.sha256:
            target.unlink()
            raise ManifestError(f"{source.name} has sha256 {digest}, expected {source.sha256}.", f"Get {source.url}.")
    return folder


def read_templates(folder: Path, *, main_only: bool = True, file: SourceName | None = None) -> tuple[Template, ...]:
    """The chosen prompts with their marks in place, from VBench's files in `folder`.

    `main_only` keeps the 77 of the main set; without it and with `file`, the 40 single-character ("human") or
    the 40 action prompts. Raises ManifestError where a rule's phrase is not in its line, or the text
    contradicts its pronouns.
    """
    lines = {key: (folder / source.name).read_text(encoding="utf-8").split("\n") for key, source in sources().items()}
    chosen = [rule for rule in rules() if (rule.main or not main_only) and file in (None, rule.file)]
    return tuple(_template(rule, lines[rule.file, "short"], lines[rule.file, "long"]) for rule in chosen)


def _template(rule: Rule, short_lines: list[str], long_lines: list[str]) -> Template:
    texts = []
    for (find, put), lines in ((rule.short, short_lines), (rule.long, long_lines)):
        text = lines[rule.line - 1].strip()
        if find not in text:
            raise ManifestError(f"prompts.yaml: line {rule.line} of {rule.file} lacks {find!r}.", "Mend the rule.")
        texts.append(text.replace(find, put, 1))
    if clash := re.search(PRONOUNS[rule.pronouns], texts[1], re.IGNORECASE):
        raise ManifestError(f"prompts.yaml: {rule.id} says {clash[0]!r} of a {rule.pronouns!r}.", "Mend the rule.")
    return Template(rule.id, rule.groups, texts[0], texts[1])


@cache
def baby_templates() -> tuple[Template, ...]:
    """Our four prompts for babies."""
    rows = _document("baby_prompts.yaml")["prompts"]
    return tuple(Template(row["id"], ("baby",), row["short"], row["long"]) for row in rows)


def assign(
    identities: list[tuple[str, str]], templates: tuple[Template, ...], count: int = PROMPTS_PER_IDENTITY
) -> dict[str, tuple[Template, ...]]:
    """`count` prompts for each (identity, group), in the order given: always the least used of those that fit.

    Ties go to prompts that fit fewer groups, then by a hash of identity and prompt: the choice depends on
    nothing but the two lists, and all 77 prompts of the main set are used.
    Raises ManifestError when a group has too few.
    """
    used = {template.id: 0 for template in templates}
    chosen: dict[str, tuple[Template, ...]] = {}
    for identity, group in identities:
        fitting = [template for template in templates if group in template.groups]
        if len(fitting) < count:
            raise ManifestError(
                f"Only {len(fitting)} prompts fit the group {group!r}.", f"Groups: {', '.join(GROUPS)}."
            )
        fitting.sort(key=lambda template: (used[template.id], len(template.groups), _tie(identity, template.id)))
        chosen[identity] = tuple(fitting[:count])
        for template in chosen[identity]:
            used[template.id] += 1
    return chosen


def _tie(identity: str, prompt: str) -> str:
    return sha256(f"{identity}|{prompt}".encode())


def _sha256(path: Path) -> str:
    return sha256_file(path)


@cache
def _document(name: str) -> Any:
    import yaml

    return yaml.safe_load((DATA / name).read_text(encoding="utf-8"))
