"""What made a run's numbers, as a reader's table: its record's keys in words, without what was left unset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAMES = {
    "items": "Clips",
    "mmbench_version": "mmbench",
    "settings_sha256": "SHA-256 of the settings",
    "fm_version": "Unit of FM inter (version)",
    "motion_smoothness_max": "motion smoothness at most",
    "text_alignment_min": "text alignment at least",
    "face_rate_min": "face rate at least",
    "identity_min": "identity at least",
    "identity_metric": "identity by",
    "random_weights": "untrained (random) weights",
    "python": "Python",
    "split_gru": "split GRU",
}
"""Keys whose words are not simply the key's own."""

WEIGHTS = "Weights (SHA-256)"


@dataclass(frozen=True)
class RecordLine:
    """One line: `name` in words within its `group` ("" for the whole run); `code` for hashes and commands."""

    group: str
    name: str
    value: str
    code: bool = False


def record_lines(record: Mapping[str, Any]) -> tuple[RecordLine, ...]:
    """The lines of a run's record, those of the whole run first; values that are None or empty are left out."""
    found: list[RecordLine] = []
    for key, value in record.items():
        if key == "attempts" and isinstance(value, list | tuple):
            for index, attempt in enumerate(value, 1):
                found += _nested(attempt, "Run" if len(value) == 1 else f"Run, attempt {index}")
        elif key == "weights" and isinstance(value, Mapping):
            found += [RecordLine(WEIGHTS, str(name), str(digest), code=True) for name, digest in value.items()]
        elif isinstance(value, Mapping):
            found += _nested(value, _capital(_words(key)))
        else:
            found += _line("", key, value)
    return tuple(sorted(found, key=lambda line: line.group != ""))


def grouped(lines: Sequence[RecordLine]) -> list[tuple[str, list[RecordLine]]]:
    """Lines by group, groups in the order of their first fact."""
    groups: dict[str, list[RecordLine]] = {}
    for line in lines:
        groups.setdefault(line.group, []).append(line)
    return list(groups.items())


def _nested(facts: Any, group: str, prefix: str = "") -> list[RecordLine]:
    if not isinstance(facts, Mapping):
        return _line(group, prefix or group, facts)
    found: list[RecordLine] = []
    for key, value in facts.items():
        if isinstance(value, Mapping) and key == "versions":
            found += [RecordLine(f"{group}: packages", str(name), str(version)) for name, version in value.items()]
        elif isinstance(value, Mapping):
            found += _nested(value, group, f"{prefix}{key}: ")
        else:
            found += _line(group, str(key), value, prefix)
    return found


def _line(group: str, key: str, value: Any, prefix: str = "") -> list[RecordLine]:
    text = _text(value)
    if not text:
        return []
    name = prefix + NAMES.get(key, _words(key))
    return [RecordLine(group, name if name == "mmbench" else _capital(name), text, _is_code(key))]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(inner)}" for key, inner in value.items() if _text(inner))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(filter(None, map(_text, value)))
    return str(value)


def _is_code(key: str) -> bool:
    return key == "command" or key.endswith("sha256")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _words(key: str) -> str:
    return key.replace("_", " ")
