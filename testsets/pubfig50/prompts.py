"""Prompts of PubFig-50: VBench's texts by line number, their subject replaced by the identity's words and trigger."""

from __future__ import annotations

import re
from collections.abc import Iterable
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
MOST_SHARED = 2
"""Prompts that two identities may have in common, where a group has prompts enough."""
_IRREGULAR = {"are": "is", "were": "was", "have": "has", "do": "does", "go": "goes", "can": "can", "will": "will"}
PRONOUNS = {"he": r"\b(she|hers?|herself)\b", "she": r"\b(he|his|him|himself)\b", "they": r"\b(s?he|his|hers?|him)\b"}


@dataclass(frozen=True)
class Rule:
    """How one VBench line becomes a prompt: the first occurrence of `find` becomes `put`, in either text.

    `edits` are further such pairs for the long text.
    """

    file: SourceName
    line: int
    main: bool
    pronouns: str
    groups: tuple[str, ...]
    long: tuple[str, str]
    short: tuple[str, str]
    edits: tuple[tuple[str, str], ...] = ()

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
    """A prompt before it is given to an identity; {subject}, {a_subject} and {A_subject} stand for it.

    Where `pronouns` are "they", the texts speak of the one person so, and a filled text says he or she instead.
    """

    id: str
    groups: tuple[str, ...]
    short: str
    long: str
    pronouns: str = ""

    def fill(self, group: str) -> tuple[str, str]:
        """(short, long) for a group: "An elderly man img ...", one trigger in each."""
        words = f"{group} {TRIGGER}"
        phrase = f"{'an' if group[0] in 'aeiou' else 'a'} {words}"
        forms = {"{subject}": words, "{a_subject}": phrase, "{A_subject}": phrase[0].upper() + phrase[1:]}
        short, long = _fill(self.short, forms), _fill(self.long, forms)
        return (of_one(short, group), of_one(long, group)) if self.pronouns == "they" else (short, long)


def _fill(text: str, forms: dict[str, str]) -> str:
    for mark, words in forms.items():
        text = text.replace(mark, words)
    return text


def of_one(text: str, group: str) -> str:
    """A text of one person called "they" with he or she, by group; verbs behind the pronoun take their ending.

    >>> of_one("As they swing, they carefully watch. They are glad of their luck.", "elderly woman")
    'As she swings, she carefully watches. She is glad of her luck.'
    """
    man = group.split()[-1] in ("man", "boy")
    forms = {"they": "he" if man else "she", "their": "his" if man else "her", "them": "him" if man else "her"}
    forms |= {"themselves": "himself" if man else "herself", "theirs": "his" if man else "hers"}

    def verb(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}{_third_person(found[3])}"

    def pronoun(found: re.Match[str]) -> str:
        word = forms[found[0].lower()]
        return word.capitalize() if found[0][0].isupper() else word

    text = re.sub(r"\b([Tt]hey )((?:\w+ly )?)(\w+)", verb, text)
    return re.sub(rf"\b({'|'.join(sorted(forms, key=len, reverse=True))})\b", pronoun, text, flags=re.IGNORECASE)


def _third_person(verb: str) -> str:
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if re.search(r"(s|x|z|ch|sh)$", verb):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search(r"[^aeiou]y$", verb) else f"{verb}s"


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
            edits=tuple((find, put) for find, put in row.get("edits", ())),
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
    for changes, lines in (((rule.short,), short_lines), ((rule.long, *rule.edits), long_lines)):
        text = lines[rule.line - 1].strip()
        for find, put in changes:
            if find not in text:
                raise ManifestError(f"prompts.yaml: line {rule.line} of {rule.file} lacks {find!r}.", "Mend the rule.")
            text = text.replace(find, put, 1)
        texts.append(text)
    if clash := re.search(PRONOUNS[rule.pronouns], texts[1], re.IGNORECASE):
        raise ManifestError(f"prompts.yaml: {rule.id} says {clash[0]!r} of a {rule.pronouns!r}.", "Mend the rule.")
    return Template(rule.id, rule.groups, texts[0], texts[1], rule.pronouns)


@cache
def baby_templates() -> tuple[Template, ...]:
    """Our four prompts for babies."""
    rows = _document("baby_prompts.yaml")["prompts"]
    return tuple(Template(row["id"], ("baby",), row["short"], row["long"]) for row in rows)


def assign(
    identities: list[tuple[str, str]], templates: tuple[Template, ...], count: int = PROMPTS_PER_IDENTITY
) -> dict[str, tuple[Template, ...]]:
    """`count` prompts for each (identity, group), in the order given: always the least used of those that fit.

    No two identities share more than MOST_SHARED prompts where there are prompts enough; ties go by a hash of identity
    and prompt. A prompt that nobody got then takes the place of the most used one that may be spared. The choice
    depends on nothing but the two lists, and all 77 prompts of the main set are used.
    Raises ManifestError when a group has too few.
    """
    used = {template.id: 0 for template in templates}
    chosen: dict[str, list[Template]] = {}
    for identity, group in identities:
        fitting = [template for template in templates if group in template.groups]
        if len(fitting) < count:
            raise ManifestError(
                f"Only {len(fitting)} prompts fit the group {group!r}.", f"Groups: {', '.join(GROUPS)}."
            )
        fitting.sort(key=lambda template: (used[template.id], _tie(identity, template.id)))
        own: list[Template] = []
        for spared in (False, True):  # the second round takes what is left, where every prompt is shared too much
            for template in fitting:
                if len(own) < count and template not in own and (spared or _apart([*own, template], chosen.values())):
                    own.append(template)
        chosen[identity] = own
        for template in own:
            used[template.id] += 1
    for template in templates:
        if not used[template.id]:
            _make_room(template, identities, chosen, used)
    return {identity: tuple(own) for identity, own in chosen.items()}


def _make_room(
    template: Template,
    identities: list[tuple[str, str]],
    chosen: dict[str, list[Template]],
    used: dict[str, int],
) -> None:
    """Give an unused prompt to an identity that it fits, for its most used one, if others have that too."""
    places = [
        (-used[one.id], _tie(identity, template.id), identity, place)
        for identity, group in identities
        if group in template.groups
        for place, one in enumerate(chosen[identity])
        if used[one.id] > 1
    ]
    for _, _, identity, place in sorted(places):
        before = chosen[identity]
        after = [*before[:place], template, *before[place + 1 :]]
        if _apart(after, (own for name, own in chosen.items() if name != identity)):
            chosen[identity] = after
            used[before[place].id] -= 1
            used[template.id] += 1
            return


def _apart(own: list[Template], others: Iterable[list[Template]]) -> bool:
    """Whether prompts share no more with anybody's than two may."""
    ids = {template.id for template in own}
    return all(len(ids & {template.id for template in other}) <= MOST_SHARED for other in others)


def _tie(identity: str, prompt: str) -> str:
    return sha256(f"{identity}|{prompt}".encode())


def _sha256(path: Path) -> str:
    return sha256_file(path)


@cache
def _document(name: str) -> Any:
    import yaml

    return yaml.safe_load((DATA / name).read_text(encoding="utf-8"))
