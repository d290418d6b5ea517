"""How a fault of ours, of a library or of a plug-in is told: what failed, where, and whom to tell."""

from __future__ import annotations

import traceback


def fault(what: object, cause: Exception) -> tuple[str, str]:
    """Message and remedy for an error that no user caused."""
    where = traceback.extract_tb(cause.__traceback__)
    place = f" ({where[-1].name}, line {where[-1].lineno} of {where[-1].filename})" if where else ""
    return (
        f"{what}: {type(cause).__name__}: {cause}{place}.",
        "This is a fault of mmbench or of a library: please report it.",
    )
