"""What the shell's completion offers: names of metrics, models, test sets and weights. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable


def metrics(incomplete: str) -> list[str]:
    """Metrics, and after a comma a further one."""
    from mmbench.metrics.registry import metric_names

    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [f"{before}{comma}{name}" for name in _beginning(metric_names(), last) if name not in taken]


def columns(incomplete: str) -> list[str]:
    """Columns of a report: metrics and their companions."""
    from mmbench.metrics.registry import facts_by_name

    return _beginning(facts_by_name(), incomplete)


def orders(incomplete: str) -> list[str]:
    """What a table can be ordered by."""
    return [*_beginning(("overall", "manifest"), incomplete), *columns(incomplete)]


def models(incomplete: str) -> list[str]:
    """Registered models, written as they were begun: with hyphens or underscores."""
    from mmbench.baselines.registry import installed

    shown = [name.replace("_", "-") for name in installed()] if "-" in incomplete else list(installed())
    return _beginning(shown, incomplete)


def testsets(incomplete: str) -> list[str]:
    """Test sets by name; folders are the shell's own."""
    from mmbench.testsets.imported.sets import NAMES
    from mmbench.testsets.load import BUILT, BUNDLED

    return _beginning((*BUNDLED, *BUILT, *NAMES), incomplete)


def weights(incomplete: str) -> list[str]:
    """Weight files and their groups."""
    from mmbench.weights.registry import registry

    entries = registry().values()
    groups = dict.fromkeys(group for entry in entries for group in entry.groups)
    return _beginning([*groups, *(entry.name for entry in entries)], incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
