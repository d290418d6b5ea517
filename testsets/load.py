"""Read a test set: bundled, built, of another benchmark, or any folder in the layout of one of these.

Our layout: `identities.json` (an object with `name`, `licence` and `identities`, each with `id`, `group`,
`class_word` and `references`, paths relative to the folder) and `prompts.csv` (columns `identity`,
`prompt_index`, `prompt`, `prompt_long`, optionally `prompt_id`; both texts carry the trigger word after the
class word). The layouts of others: `mmbench/testsets/imported/`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mmbench.errors import ManifestError
from mmbench.files import cache_folder, read_json
from mmbench.names import key
from mmbench.tables import printable, read_table, whole_number
from mmbench.testsets.imported.sets import NAMES as IMPORTED
from mmbench.testsets.imported.sets import named, read_imported, recognised
from mmbench.testsets.types import GROUPS, Identity, Prompt, TestSet
from mmbench.trigger import TRIGGER, marks

BUNDLED = ("synthetic50", "nano70")
BUILT = ("pubfig50",)
PROMPT_COLUMNS = ("identity", "prompt_index", "prompt", "prompt_long")


def testsets_dir() -> Path:
    """Where built sets lie: `MMBENCH_TESTSETS`, else `testsets` in the cache (`files.cache_root`)."""
    return cache_folder("testsets", "MMBENCH_TESTSETS")


def find_testset(name_or_path: str | Path) -> Path:
    """Folder of a set: a bundled name, that of a set built or downloaded before, or a path. Raises ManifestError."""
    name = str(name_or_path)
    if name in BUNDLED:
        return Path(__file__).parent / name
    if name in BUILT and not Path(name, "identities.json").is_file():
        folder = testsets_dir() / name
        if not (folder / "identities.json").is_file():
            raise ManifestError(
                f"The test set {name} is not built: its pictures may not be shipped.",
                f"Build it: mmbench testset build {name} (see testsets/README.md), or use synthetic50.",
            )
        return folder
    folder = Path(name_or_path)
    if (folder / "identities.json").is_file() or recognised(folder) is not None:
        return folder
    if imported := named(name):
        kept = testsets_dir() / name
        if imported.find(kept) is None:
            raise imported.absent(kept)
        return kept
    raise ManifestError(
        f"{name} is no test set: neither one of {', '.join(BUNDLED + BUILT + IMPORTED)} nor a folder with "
        "identities.json or in the layout of one of these.",
        "testsets/README.md shows the layouts.",
    )


def load_testset(name_or_path: str | Path) -> TestSet:
    """The identities of a test set with their references and prompts, in the files' order.

    Raises ManifestError naming file and entry: unknown group, missing picture, a prompt of an unknown
    identity, an identity without picture or prompt, a class word that does not stand before the trigger. A folder of
    another benchmark is read as `mmbench.testsets.imported.sets` says; its error names how to get it.

        >>> import mmbench
        >>> bundled = mmbench.load_testset("synthetic50")
        >>> len(bundled.identities), bundled.size
        (50, 200)
        >>> bundled.identities[0].prompts[0].short.split(" img")[0]
        'A man'
    """
    folder = find_testset(name_or_path)
    if not (folder / "identities.json").is_file() and (imported := recognised(folder)):
        return read_imported(imported, folder)
    document = _read_json(folder / "identities.json")
    prompts = _read_prompts(folder / "prompts.csv")
    shown = document.get("shown")
    if shown is not None and (type(shown) is not int or shown < 1):
        raise ManifestError(
            f"{folder / 'identities.json'}: `shown` is {shown!r}.",
            "Say how many pictures of a person models are given.",
        )
    identities = tuple(_identity(folder, row, prompts, shown) for row in document["identities"])
    names = [identity.id for identity in identities]
    if len({key(name) for name in names}) < len(names):  # files are named after them, on every system
        raise ManifestError(f"{folder / 'identities.json'}: two identities share a name.", "Rename one.")
    if unknown := sorted(prompts.keys() - set(names)):
        raise ManifestError(
            f"{folder / 'prompts.csv'}: unknown identities {unknown[:5]}.", "Add them or drop the lines."
        )
    return TestSet(str(document.get("name", folder.name)), folder, str(document.get("licence", "")), identities)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = read_json(path, "Build the set again.")
    except OSError as cause:
        raise ManifestError(f"{path}: cannot be read: {cause}.", "Build the set again.") from cause
    if not isinstance(document, dict) or not isinstance(document.get("identities"), list):
        raise ManifestError(f"{path}: needs an object with a list `identities`.", "See testsets/README.md.")
    return document


def _read_prompts(path: Path) -> dict[str, list[Prompt]]:
    table = read_table(path, (*PROMPT_COLUMNS, "prompt_id"))
    if not table.lines or not set(PROMPT_COLUMNS) <= set(table.columns):
        raise ManifestError(f"{path}: needs identity, prompt_index, prompt and prompt_long.", "See testsets/README.md.")
    found: dict[str, list[Prompt]] = {}
    for line in table.lines:
        short, long = line.text("prompt"), line.text("prompt_long")
        try:
            index = whole_number(line.name("prompt_index"), table.decimal_comma)
        except ValueError:
            index = -1
        if index < 0 or not short or not long or not printable(short + long):
            said = "an empty text, one that is no UTF-8, or no whole prompt_index"
            raise ManifestError(f"{path}, line {line.number}: {said}.", "Mend the line.")
        name = line.name("prompt_id") or f"{index}"
        found.setdefault(line.name("identity"), []).append(Prompt(name, index, short, long))
    return found


def _identity(folder: Path, row: dict[str, Any], prompts: dict[str, list[Prompt]], shown: int | None) -> Identity:
    where = folder / "identities.json"
    try:
        name, group, class_word = str(row["id"]), str(row["group"]), str(row["class_word"])
        references = tuple(folder / str(path) for path in row["references"])
    except (KeyError, TypeError) as cause:
        raise ManifestError(f"{where}: {row} lacks {cause}.", "See testsets/README.md.") from cause
    own = tuple(sorted(prompts.get(name, ()), key=lambda prompt: prompt.index))
    if group not in GROUPS:
        raise ManifestError(f"{where}: {name} is of the unknown group {group!r}.", f"Use one of: {', '.join(GROUPS)}.")
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise ManifestError(f"{where}: {name!r} cannot be part of a file name.", "Use letters, digits, '-' and '_'.")
    if not references or not own:
        raise ManifestError(f"{where}: {name} has no {'prompt' if references else 'picture'}.", "Add one or drop it.")
    if len({prompt.index for prompt in own}) < len(own):
        raise ManifestError(f"{folder / 'prompts.csv'}: {name} has two prompts with one index.", "Number them apart.")
    for path in references:
        if not path.is_file():
            raise ManifestError(f"{where}: {name}'s picture {path} is missing.", "Build the set again.")
    for prompt in own:
        for text in (prompt.short, prompt.long):
            if not marks(text, class_word):
                raise ManifestError(
                    f"{folder / 'prompts.csv'}: prompt {prompt.index} of {name} does not hold "
                    f"'{class_word} {TRIGGER}' once: {text[:60]!r}.",
                    "Write the trigger word after the class word, once in each text.",
                )
    return Identity(name, group, class_word, references, own, references[:shown])
