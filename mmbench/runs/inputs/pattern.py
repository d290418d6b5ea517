"""Patterns that say what the parts of a path mean: `{model}/{identity}_{prompt}_{seed}`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from mmbench.errors import ManifestError
from mmbench.names import key, readable

NUMBERS = ("seed", "prompt_index", "step")
FIELDS = ("model", "identity", "group", "prompt", *NUMBERS)
_FIELD = re.compile(r"\{([A-Za-z_]\w*)?\}")


@dataclass(frozen=True)
class Pattern:
    """A pattern for paths without their endings: `{field}` stands for one part, `{}` for one of no account.

    `{prompt}` is a text, or a number (the prompt's index). Fields other than FIELDS are kept with the item.
    """

    text: str

    def __post_init__(self) -> None:
        names = self.fields
        if not names or len(set(names)) < len(names) or re.search(r"[{}]", _FIELD.sub("", self.text)):
            raise ManifestError(
                f"--pattern {self.text!r} names {'no field' if not names else 'a field twice, or has a loose brace'}.",
                f"Write it like '{{model}}/{{identity}}_{{prompt}}_{{seed}}'; fields: {', '.join(FIELDS)}.",
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, in order."""
        return tuple(name for name in _FIELD.findall(self.text) if name)

    def read(self, relative: str, identities: Collection[str] = ()) -> dict[str, str] | None:
        """The fields of a path, or None where it does not fit. `identities` are the only ones there can be.

        Of identities that fit, the longest counts. Raises ManifestError where the rest can be cut in two ways.
        """
        name = readable(relative)
        lazy, greedy = (self._match(name, identities, hungry) for hungry in ("?", ""))
        if lazy != greedy:
            raise ManifestError(
                f"--pattern {self.text!r} fits {name!r} in two ways: {_said(lazy)} or {_said(greedy)}.",
                "Rename the clip, or write a manifest: `mmbench manifest` begins one.",
            )
        if lazy is not None and identities and "identity" in lazy:
            lazy["identity"] = {key(one): one for one in identities}.get(key(lazy["identity"]), lazy["identity"])
        return lazy

    def _match(self, name: str, identities: Collection[str], hungry: str) -> dict[str, str] | None:
        expression, at = "", 0
        for found in _FIELD.finditer(self.text):
            expression += re.escape(readable(self.text[at : found.start()]))
            field, at = found[1], found.end()
            if field == "identity" and identities:
                inner = "|".join(re.escape(one) for one in sorted(identities, key=len, reverse=True))
            else:
                inner = "[0-9]+" if field in NUMBERS else f"[^/]+{hungry}"
            expression += f"(?P<{field}>{inner})" if field else f"(?:{inner})"
        expression += re.escape(readable(self.text[at:]))
        match = re.fullmatch(expression, name) or re.fullmatch(expression, name, re.IGNORECASE)
        return match.groupdict() if match else None


def _said(fields: dict[str, str] | None) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in (fields or {}).items())
