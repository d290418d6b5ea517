"""Folders of videos: whatever is passed over, merged or overruled is said."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest

from mmbench.errors import ManifestError
from mmbench.runs.inputs.collection import Collection, summary
from mmbench.runs.inputs.folder import FolderSource, collect_folder
from mmbench.runs.inputs.manifest import collect_manifest, write_manifest


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def collect(root: Path, **more: object) -> Collection:
    return collect_folder(FolderSource(root / "v", root / "refs", **more))


def table(found: Collection) -> list[tuple[str, str]]:
    return [(item.model, item.identity) for item in found.items]


def test_nothing_to_say_of_a_plain_folder(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "refs/bob.png", "refs/.DS_Store", "v/ours/anna_0.mp4", "v/ours/bob_0.mp4")
    found = collect(tmp_path)
    assert found.notes == ()
    found.strict()
    assert summary(found.items) == "1 model x 2 identities x 1 clip = 2 clips"


def test_everything_left_out_is_named(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *("refs/anna/1.png", "refs/anna/._1.png", "refs/anna/notes.txt", "refs/anna.jpg", "refs/bob.png"),
        *("refs/empty/x.doc", "v/anna_0.mp4", "v/readme.txt", "v/._anna_0.mp4", "v/Thumbs.db", "v/.anna_1.mp4"),
        *("v/odd/1.png", "v/odd/notes.pdf", *(f"v/{k}.json" for k in range(5))),
    )
    found = collect(tmp_path)
    assert [path.name for path in found.items[0].references] == ["1.png", "anna.jpg"]
    said = " | ".join(found.notes)
    for part in (
        "odd/1.png (a picture beside clips or other files, and no frame of a folder)",
        "5 files .json, odd/notes.pdf, readme.txt (no video by its name)",
        "empty (it holds no picture)",
        "anna.jpg: taken for further pictures of anna",
        "anna/notes.txt, empty/x.doc (no picture by its name)",
        "no clip shows bob",
    ):
        assert part in said


def test_links_in_circles_and_second_names_of_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "v/anna_0.mp4", "v/more/anna_1.mp4", "elsewhere/anna_2.mp4", "anna_9.mp4")
    (tmp_path / "v/anna_0.mp4").write_bytes(b"x")
    (tmp_path / "v/back").symlink_to("..")
    (tmp_path / "v/self").symlink_to(".")
    (tmp_path / "v/anna_copy.mp4").symlink_to("anna_0.mp4")
    (tmp_path / "v/linked").symlink_to(tmp_path / "elsewhere")
    found = collect(tmp_path)
    assert [item.video.name for item in found.items] == ["anna_0.mp4", "anna_2.mp4", "anna_1.mp4"]
    said = " | ".join(found.notes)
    assert "back, self (a link to a folder it lies in)" in said
    assert "anna_copy.mp4 (the same file as anna_0.mp4)" in said


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("anna/modelA.mp4", "anna/modelB.mp4", "bob/modelA.mp4", "bob/modelB.mp4"), "{identity}/{model}"),
        (("anna_modelA.mp4", "anna_modelB.mp4", "bob_modelA.mp4", "bob_modelB.mp4"), "{identity}_{model}"),
        (("x/modelA/anna.mp4", "x/modelB/anna.mp4", "x/modelA/bob.mp4", "x/modelB/bob.mp4"), "{}/{model}/{identity}"),
    ],
)
def test_models_are_never_merged_in_silence(tmp_path: Path, names: tuple[str, ...], pattern: str) -> None:
    touch(tmp_path, "refs/anna.png", "refs/bob.png", *(f"v/{name}" for name in names))
    merged = collect(tmp_path)
    assert len({item.model for item in merged.items}) == 1
    assert any("modelA, modelB are taken for one model" in note for note in merged.notes)
    apart = collect(tmp_path, pattern=pattern)
    pairs = [("modelA", "anna"), ("modelA", "bob"), ("modelB", "anna"), ("modelB", "bob")]
    assert sorted(table(apart)) == pairs
    assert apart.notes == ()
    assert summary(apart.items) == "2 models x 2 identities x 1 clip = 4 clips"


def test_a_given_name_says_that_one_model_made_them(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "v/anna_waves.mp4", "v/anna_smiles.mp4")
    assert collect(tmp_path, name="ours").notes == ()
    assert len(collect(tmp_path).notes) == 1


def test_both_forms_of_accents_and_capitals_are_one_name(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Zoë")
    touch(
        tmp_path, "refs/Zoë.png", f"v/{decomposed}_0.mp4", "v/ZOË_1.mp4", "v/李明_0.mp4", "refs/李.png", "refs/李明.png"
    )
    found = collect(tmp_path, name="m")
    assert sorted(table(found)) == [("m", "Zoë"), ("m", "Zoë"), ("m", "李明")]


def test_names_that_are_no_utf_8_are_items_all_the_same(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "v/anna_0.mp4")
    try:
        (tmp_path / "v" / os.fsdecode(b"anna_caf\xe9.mp4")).touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    found = collect(tmp_path, name="m")
    assert [item.id for item in found.items] == ["m/anna_0", "m/anna_caf\\xe9"]
    write_manifest(tmp_path / "m.csv", found.items)
    assert [item.video.resolve() for item in collect_manifest(tmp_path / "m.csv").items] == [
        item.video.resolve() for item in found.items
    ]


def test_two_files_of_one_name_are_two_items(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", *(f"v/anna_{unicodedata.normalize(form, 'é')}.mp4" for form in ("NFC", "NFD")))
    if len(list((tmp_path / "v").iterdir())) == 2:
        assert len({item.id for item in collect(tmp_path, name="m").items}) == 2


def test_a_pattern_reads_everything_and_says_what_it_does_not_fit(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "refs/anna_b.png", "v/cog/anna_b_a-man_waves_42.mp4", "v/cog/anna_3_7.mp4")
    touch(tmp_path, "v/other.mp4")
    found = collect(tmp_path, pattern="{model}/{identity}_{prompt}_{seed}")
    first, second = sorted(found.items, key=lambda item: item.identity, reverse=True)
    assert (first.model, first.identity, first.prompt, first.seed) == ("cog", "anna_b", "a man waves", 42)
    assert (second.identity, second.prompt, second.prompt_index, second.seed) == ("anna", None, 3, 7)
    assert found.notes == ("1 clips do not fit the pattern {model}/{identity}_{prompt}_{seed} (other.mp4)",)


@pytest.mark.parametrize("pattern", ["", "x", "{model}/{model}", "{a b}", "{model"])
def test_patterns_that_say_nothing_are_refused(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "refs/anna.png", "v/anna.mp4")
    if pattern:
        with pytest.raises(ManifestError, match="--pattern"):
            collect(tmp_path, pattern=pattern)


def test_a_pattern_that_fits_in_two_ways_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "me.png", "v/a_b_c.mp4")
    with pytest.raises(ManifestError, match="in two ways"):
        collect_folder(FolderSource(tmp_path / "v", tmp_path / "me.png", pattern="{model}_{prompt}"))


def test_the_map_of_opens2v_and_consisid(tmp_path: Path) -> None:
    touch(tmp_path, "Images/anna/1.png", "Images/bob/1.png", *(f"v/{m}/single_{k}.mp4" for m in "ab" for k in (1, 2)))
    (tmp_path / "Images/bob/1.png").write_bytes(b"another picture")
    prompts = tmp_path / "eval.json"
    entries = {
        f"single_{k}": {"prompt": f"text {k}", "img_paths": [f"Images/{who}/1.png"], "class_label": ["man"]}
        for k, who in ((1, "anna"), (2, "bob"), (3, "bob"))
    }
    prompts.write_text(json.dumps(entries))
    found = collect_folder(FolderSource(tmp_path / "v", prompts=prompts))
    assert summary(found.items) == "2 models x 2 identities x 1 clip = 4 clips"
    assert {(item.identity, item.prompt) for item in found.items} == {("anna/1", "text 1"), ("bob/1", "text 2")}
    assert found.items[0].references == (tmp_path / "Images/anna/1.png",)
    assert found.notes == ("eval.json: 1 of 3 prompts fit no video (single_3)",)
    touch(tmp_path, "refs/single.png")
    overruled = collect(tmp_path, prompts=prompts)
    assert {item.identity for item in overruled.items} == {"single"}
    assert any("its pictures are overruled" in note for note in overruled.notes)


def test_the_list_and_the_names_of_vbench(tmp_path: Path) -> None:
    touch(tmp_path, "me.png", "v/A man waves, smiling.-0.mp4", "v/A man waves, smiling.-1.mp4", "v/a_dog_runs.mp4")
    prompts = tmp_path / "VBench_full_info.json"
    texts = ("A man waves, smiling.", "a dog runs")
    prompts.write_text(json.dumps([{"prompt_en": text, "dimension": ["x"]} for text in texts]))
    found = collect_folder(FolderSource(tmp_path / "v", tmp_path / "me.png", prompts, name="m"))
    assert [item.prompt for item in found.items] == [texts[0], texts[0], texts[1]]
    prompts.write_text(json.dumps({"a_dog_runs.mp4": "Hund"}))
    plain = collect_folder(FolderSource(tmp_path / "v", tmp_path / "me.png", prompts, name="m"))
    assert [item.prompt for item in plain.items] == [None, None, "Hund"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "entry 1 is neither a text nor an object"),
        ("3", "neither a map nor a list"),
        ("{}", "holds no prompt"),
        ('{"anna_0": {"prompt": "x", "img_paths": 3}}', "no list of paths"),
        ("{", "damaged"),
    ],
)
def test_maps_that_are_none_are_refused(tmp_path: Path, text: str, said: str) -> None:
    touch(tmp_path, "refs/anna.png", "v/anna_0.mp4")
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ManifestError, match=said):
        collect(tmp_path, prompts=tmp_path / "p.json")


@pytest.mark.parametrize(
    "links", [{"anna_1.mp4": "anna_1.mp4"}, {"anna_a.mp4": "anna_b.mp4", "anna_b.mp4": "anna_a.mp4"}, {"x": "gone"}]
)
def test_links_that_lead_nowhere_are_named_and_the_rest_is_found(tmp_path: Path, links: dict[str, str]) -> None:
    touch(tmp_path, "refs/anna/1.png", "v/anna_0.mp4")
    for name, target in links.items():
        (tmp_path / "v" / name).symlink_to(target)
    found = collect(tmp_path)
    assert [item.video.name for item in found.items if item.video.exists()] == ["anna_0.mp4"]
    told = " ".join((*found.notes, *(item.video.name for item in found.items)))
    assert all(name in told for name in links)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ('video,prompt\nanna_0,"A man waves.\nThen he smiles."\n', "A man waves.\nThen he smiles."),
        ("identity;prompt_index;prompt\r\nanna;0.0;zwei, drei\r\n", "zwei, drei"),
        ("\ufeffvideo\tprompt\nANNA_0.MP4\t x\u2028y \n", " x\u2028y "),
    ],
)
def test_prompts_come_back_as_written(tmp_path: Path, text: str, prompt: str) -> None:
    touch(tmp_path, "refs/anna.png", "v/anna_0.mp4")
    (tmp_path / "p.csv").write_text(text, newline="")
    found = collect(tmp_path, prompts=tmp_path / "p.csv")
    assert (found.items[0].prompt, found.notes) == (prompt, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video,prompt\nanna_0,A man waves, then smiles\n", "line 2: 3 cells"),
        ("identity,prompt_index,prompt\nanna,0.5,x\n", "line 2: prompt_index is '0.5'"),
        ("video,prompt\nanna_0,x\nANNA_0,y\n", "line 2 and line 3 hold two prompts for ANNA_0"),
        ("video,prompt\n,x\n", "line 2: names neither"),
    ],
)
def test_prompts_that_cannot_be_meant_are_named(tmp_path: Path, text: str, said: str) -> None:
    touch(tmp_path, "refs/anna.png", "v/anna_0.mp4")
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ManifestError, match=said):
        collect(tmp_path, prompts=tmp_path / "p.csv")


def test_prompts_and_videos_left_over_are_said(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "v/anna_0.mp4", "v/anna_1.mp4")
    (tmp_path / "p.csv").write_text("video,prompt\nanna_0,x\nnobody,y\nanna_1,\n")
    assert collect(tmp_path, prompts=tmp_path / "p.csv").notes == (
        "p.csv: the prompt is empty in line 4",
        "p.csv: 1 of 2 prompts fit no video (nobody)",
        "p.csv: has no prompt for v/anna_1",
    )


def test_a_manifest_to_finish_keeps_what_nothing_is_known_of(tmp_path: Path) -> None:
    touch(tmp_path, "refs/anna.png", "v/anna_0.mp4", "v/who.mp4")
    with pytest.raises(ManifestError, match=r"fits who\.mp4"):
        collect(tmp_path)
    found = collect(tmp_path, unfinished=True)
    write_manifest(tmp_path / "m.csv", found.items)
    read = collect_manifest(tmp_path / "m.csv").items
    assert [(item.video.name, len(item.references)) for item in read] == [("anna_0.mp4", 1), ("who.mp4", 0)]
