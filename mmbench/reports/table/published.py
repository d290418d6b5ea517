"""The paper's tables as data. Published rows stand below measured ones: other clips, no raw data, never ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict, model_validator

from mmbench.errors import ManifestError
from mmbench.reports.table.tables import Cell, Table, TableRow

PACKAGE = "mmbench.published"
DEFAULT = ("table1_v2",)


class PublishedColumn(BaseModel):
    """One printed column. `metric` is our name of the same quantity (or a name of its own where we have none);
    printed value x `scale` is in our unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    label: str
    higher_is_better: bool
    decimals: int = 3
    scale: float = 1.0


class PublishedRow(BaseModel):
    """One printed row; None where the paper prints nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    values: tuple[float | None, ...]


class PublishedTable(BaseModel):
    """One table of a paper, as printed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    source: str
    notes: tuple[str, ...]
    columns: tuple[PublishedColumn, ...]
    rows: tuple[PublishedRow, ...]

    @model_validator(mode="after")
    def _rectangular(self) -> PublishedTable:
        for row in self.rows:
            if len(row.values) != len(self.columns):
                raise ValueError(f"{self.id}, {row.model}: {len(row.values)} values for {len(self.columns)} columns")
        return self


@cache
def published_tables() -> dict[str, PublishedTable]:
    """All published tables by id, in alphabetical order."""
    import yaml

    files = [file for file in resources.files(PACKAGE).iterdir() if file.name.endswith(".yaml")]
    loaded = [PublishedTable.model_validate(yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files]
    return {table.id: table for table in sorted(loaded, key=lambda table: table.id)}


def with_published(table: Table, ids: Sequence[str] = DEFAULT) -> Table:
    """`table` with the rows of published tables below its own, in its own columns.

    A column the paper does not have is "absent" in that row. Raises ManifestError for an unknown id.
    """
    known = published_tables()
    unknown = [name for name in ids if name not in known]
    if unknown:
        raise ManifestError(
            f"There is no published table {', '.join(map(repr, unknown))}.", f"Known: {', '.join(known)}."
        )
    rows = [_row(published, row, table) for name in ids for published in [known[name]] for row in published.rows]
    rows = [row for row in rows if any(cell.state == "value" for cell in row.cells)]
    notes = [f"{known[name].source}: {note}" for name in ids for note in known[name].notes]
    if rows:
        notes = [
            "Published rows are quoted, measured on other clips by others, without intervals; never ranked.",
            *notes,
        ]
    return replace(table, published=(*table.published, *rows), notes=(*table.notes, *(notes if rows else ())))


def _row(published: PublishedTable, row: PublishedRow, table: Table) -> TableRow:
    values = {
        column.metric: value * column.scale
        for column, value in zip(published.columns, row.values, strict=True)
        if value is not None
    }
    cells = tuple(
        Cell("value", mean=values[column.facts.name]) if column.facts.name in values else Cell("absent")
        for column in table.columns
    )
    return TableRow(model=row.model, cells=cells, kind="published", source=published.source)
