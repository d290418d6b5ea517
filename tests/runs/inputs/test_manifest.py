"""Manifests of any writer become the items that were meant, or an error with the line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmbench.errors import ManifestError
from mmbench.items import Item
from mmbench.names import readable
from mmbench.runs.inputs.manifest import MANIFEST_COLUMNS, collect_manifest, write_manifest

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=15)
PROMPT = TEXT.filter(lambda text: bool(text.strip()))
NAME = (
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=10)
    .map(readable)
    .filter(lambda name: name == name.strip() and name.strip("."))
)
FEW = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


ITEM = st.fixed_dictionaries(
    {
        "model": NAME,
        "identity": NAME,
        "references": st.lists(NAME.map(lambda name: f"{name}.png"), max_size=3),
        "shown": st.integers(0, 3),
        "group": maybe(NAME),
        "prompt": maybe(PROMPT),
        "prompt_long": maybe(PROMPT),
        "prompt_index": maybe(st.integers(0, 999)),
        "seed": maybe(st.integers(0, 2**31)),
        "fps": maybe(st.floats(1, 240)),
    }
)


def pictures(folder: Path, names: list[str], shown: int) -> dict[str, tuple[Path, ...]]:
    references = tuple(folder / name for name in names)
    return {"references": references, "shown": references[:shown]}


def made(folder: Path, rows: list[dict]) -> list[Item]:
    return [
        Item(
            **{**row, **pictures(folder, row["references"], row["shown"])},
            id=f"item {place}",
            video=folder / f"clip, {place}.mp4",
        )
        for place, row in enumerate(rows)
    ]


@FEW
@given(rows=st.lists(ITEM, min_size=1, max_size=4))
def test_written_items_come_back(tmp_path: Path, rows: list[dict]) -> None:
    items = made(tmp_path, rows)
    path = tmp_path / "m.csv"
    write_manifest(path, items)
    assert list(collect_manifest(path).items) == items


@FEW
@given(rows=st.lists(ITEM, min_size=1, max_size=4), writer=st.sampled_from(["pandas", "excel", "json"]))
def test_tables_of_other_programs_give_the_same_items(tmp_path: Path, rows: list[dict], writer: str) -> None:
    items = made(tmp_path, rows)
    frame = pd.DataFrame(
        [
            {
                **{name: getattr(item, name) for name in MANIFEST_COLUMNS},
                "video": item.video.name,
                "references": json.dumps([path.name for path in item.references]),
                "shown": json.dumps([path.name for path in item.shown]),
                "conditioned_on": ";".join(item.conditioned_on),
            }
            for item in items
        ]
    )  # whole numbers beside an empty cell are floats by now
    path = tmp_path / ("m.json" if writer == "json" else "m.csv")
    if writer == "pandas":
        frame.to_csv(path, index=False)
    elif writer == "excel":
        frame.to_csv(path, index=False, sep=";", decimal=",", encoding="utf-8-sig", lineterminator="\r\n")
    else:
        path.write_text(frame.to_json(orient="records", double_precision=15))
    read = list(collect_manifest(path).items)
    if writer == "json":  # pandas rounds in JSON
        for item, other in zip(items, read, strict=True):
            assert (item.fps or 0.0) == pytest.approx(other.fps or 0.0, rel=1e-12)
    else:
        assert [item.fps for item in read] == [item.fps for item in items]
    strip = [{**vars(item), "fps": None} for item in read]
    assert strip == [{**vars(item), "fps": None} for item in items]


def read(tmp_path: Path, text: str | bytes) -> tuple[Item, ...]:
    path = tmp_path / "m.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return collect_manifest(path).items


def test_references_are_optional(tmp_path: Path) -> None:
    items = read(tmp_path, "model,video\na,x/1.mp4\na,x/2.mp4\nb,y/1.mp4\n")
    assert [(item.identity, item.references) for item in items] == [("1", ()), ("2", ()), ("1", ())]


def test_references_of_one_name_in_two_folders_are_two_people(tmp_path: Path) -> None:
    lines = ["model,video,references", "a,1.mp4,anna/1.png", "a,2.mp4,bob/1.png", "a,3.mp4,anna/1.png", "a,4.mp4,c.png"]
    assert [item.identity for item in read(tmp_path, "\n".join(lines))] == ["anna/1", "bob/1", "anna/1", "c"]


def test_copies_of_one_picture_are_one_person(tmp_path: Path) -> None:
    for model, picture in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / model).mkdir()
        (tmp_path / model / "anna.png").write_bytes(picture)
    lines = ["model,video,references,identity", *(f"{m},{m}/1.mp4,{m}/anna.png," for m in "ab")]
    assert [item.identity for item in read(tmp_path, "\n".join(lines))] == ["anna", "anna"]
    lines += ["c,c/1.mp4,c/anna.png,"]
    assert [item.identity for item in read(tmp_path, "\n".join(lines))] == ["a/anna", "a/anna", "c/anna"]
    named = [lines[0], *(f"{line}anna" for line in lines[1:])]
    (tmp_path / "m.csv").write_text("\n".join(named[:3]))
    assert collect_manifest(tmp_path / "m.csv").notes == ()
    (tmp_path / "m.csv").write_text("\n".join(named))
    assert len(collect_manifest(tmp_path / "m.csv").notes) == 1


def test_references_as_lists_and_with_semicolons(tmp_path: Path) -> None:
    (tmp_path / "a;b.png").touch()
    text = "model,video,references\nm,1.mp4,a;b.png\nm,2.mp4,a.png; b.png\nm,3.mp4,\"['a;b.png', 'c.png']\"\n"
    found = [[path.name for path in item.references] for item in read(tmp_path, text)]
    assert found == [["a;b.png"], ["a.png", "b.png"], ["a;b.png", "c.png"]]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("a,v.mp4,r.png,A man waves, then smiles,,", "line 2: 7 cells"),
        ("a,v.mp4,r.png,waves,42.5,", "line 2: seed is '42.5', not a whole number"),
        ("a,v.mp4,r.png,waves,,nan", "line 2: fps is 'nan'"),
        ("a,v.mp4,r.png,waves,,inf", "line 2: fps is 'inf'"),
        ("a,v.mp4,r\0.png,waves,,", "line 2: references: 'r\\x00.png' holds a NUL"),
        (f"a,v.mp4,{'r' * 300}.png,waves,,", "line 2: references: no system takes a name as long as"),
        (f"a,v.mp4,{'r/' * 2100}.png,waves,,", "line 2: references: no system takes a name as long as"),
        (f"a,v.mp4,r.png,{'x' * 140000},,", "line 2: a cell holds more than 131,072 characters"),
        (",v.mp4,r.png,waves,,", "line 2: the cell 'model' is empty"),
    ],
)
def test_one_bad_cell_is_a_sentence_with_its_line(tmp_path: Path, cells: str, said: str) -> None:
    with pytest.raises(ManifestError) as error:
        read(tmp_path, f"model,video,references,prompt,seed,fps\n{cells}\n")
    assert said in error.value.message


@pytest.mark.parametrize("name", ["v\0.mp4", "v" * 300 + ".mp4"])
def test_a_video_that_cannot_be_is_a_row_later(tmp_path: Path, name: str) -> None:
    (item,) = read(tmp_path, f"model,video\nm,{name}\n")
    assert item.video.name == name


def test_prompts_that_are_no_utf_8_are_named_and_paths_are_not(tmp_path: Path) -> None:
    (item,) = read(tmp_path, b"model,video\nm,caf\xe9.mp4\n")
    assert item.video.name == "caf\udce9.mp4"
    assert item.id == "m/caf\\xe9"
    with pytest.raises(ManifestError, match="line 2: prompt holds bytes that are no UTF-8"):
        read(tmp_path, b"model,video,prompt\nm,a.mp4,caf\xe9\n")


def test_what_is_merged_overruled_or_renamed_is_said(tmp_path: Path) -> None:
    (tmp_path / "Clips").mkdir()
    (tmp_path / "Clips" / "b.mp4").touch()
    path = tmp_path / "m.csv"
    path.write_text(
        "system,model,video,references,promt,id\n"
        "x,mm,a.mp4,r.png,hello,1\n"
        ",MM,clips\\b.mp4,r.png,,2\n"
        "mm,mm,a.mp4,r.png,,3\n"
    )
    found = collect_manifest(path)
    assert found.items[1].video == tmp_path / "Clips" / "b.mp4"
    said = " | ".join(found.notes)
    for part in (
        "`model` overrules another `system` in line 2",
        "'promt' is kept but not used (did you mean 'prompt'?)",
        "line 3: clips\\b.mp4 is read as Clips/b.mp4",
        "mm, MM are taken for 2 models",
        "line 4 of m.csv names the video of line 2 of m.csv once more",
    ):
        assert part in said
    with pytest.raises(ManifestError, match="Refused, as strict asks"):
        found.strict()
    with pytest.warns(UserWarning) as warned:
        found.told()
    assert [str(warning.message) for warning in warned] == [f"{note}." for note in found.notes]


def test_other_references_of_one_identity_are_said(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("model,video,identity,references\nm,a.mp4,anna,1.png\nm,b.mp4,anna,2.png\n")
    assert collect_manifest(path).notes == (
        "identity anna has other references in line 3 of m.csv than in line 2 of m.csv",
    )


def test_a_map_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text('{"a": {"prompt": "x"}}')
    with pytest.raises(ManifestError, match="a list of objects"):
        collect_manifest(path)
