"""The bundled set as it lies in the repository: complete, small, consistent, and free of the kit."""

from __future__ import annotations

import csv
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mmbench.studies.synthetic50.members import FRAMES, SIZE, members
from mmbench.studies.synthetic50.wording import prompts
from mmbench.synth.control import SYSTEMS
from mmbench.synth.identity import GROUPS, parse_name
from mmbench.testsets.load import load_testset
from mmbench.testsets.synthetic50 import root

REPOSITORY = Path(__file__).resolve().parents[2]
COUNTS = dict(zip(GROUPS, (8, 8, 7, 7, 7, 7, 6), strict=True))


def manifest() -> list[dict[str, str]]:
    with (root() / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as source:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in source.decode(video=0)]


def test_fifty_people_in_seven_groups() -> None:
    found = load_testset("synthetic50")
    assert Counter(identity.group for identity in found.identities) == COUNTS
    assert {len(identity.references) for identity in found.identities} == {1, 2, 3, 4}
    assert all(len(identity.prompts) == 4 for identity in found.identities)
    shorts = [prompt.short for identity in found.identities for prompt in identity.prompts]
    assert len(set(shorts)) == len(shorts) == 200


def test_references_are_pictures_of_their_own() -> None:
    sizes = Counter()
    for path in root().glob("references/*/*.jpg"):
        with Image.open(path) as image:
            sizes[image.size] += 1
    assert set(sizes) <= {(side, side) for side in (256, 320, 384)}
    assert len(sizes) == 3


def test_manifest_names_every_clip_once() -> None:
    rows = manifest()
    assert len(rows) == 400
    assert Counter(row["model"] for row in rows) == dict.fromkeys(SYSTEMS, 50)
    assert len({row["id"] for row in rows}) == 400
    assert {row["video"] for row in rows} == {str(p.relative_to(root())) for p in root().glob("controls/*/*.mp4")}
    indices = defaultdict(set)
    for row in rows:
        assert all((root() / name).is_file() for name in row["references"].split(";"))
        assert " img" not in row["prompt"] + row["prompt_long"]
        assert parse_name(row["identity"])[0] == row["group"]
        indices[row["prompt_index"]].add(row["identity"])
    assert {len(people) for people in indices.values()} == {12, 13}  # prompts take turns


def test_every_clip_opens_at_its_size() -> None:
    for path in root().glob("controls/*/*.mp4"):
        with av.open(str(path)) as source:
            stream = source.streams.video[0]
            assert (stream.width, stream.height, stream.frames) == (SIZE, SIZE, FRAMES), path
            assert stream.codec_context.name == "h264"
            assert stream.codec_context.pix_fmt == "yuv420p"
            assert stream.average_rate == 8


def test_bundle_is_small() -> None:
    files = [p for p in root().rglob("*") if p.is_file() and p.suffix != ".pyc"]
    assert sum(p.stat().st_size for p in files) < 25e6


@pytest.mark.parametrize("member", members(root())[::7], ids=lambda m: m.name)
def test_still_clips_repeat_one_frame_exactly(member: object) -> None:
    path = next(root().glob(f"controls/still/{member.name}_*.mp4"))  # type: ignore[attr-defined]
    frames = frames_of(path)
    assert len(frames) == FRAMES
    assert all(np.array_equal(frame, frames[0]) for frame in frames)


def test_vanish_ends_without_the_person() -> None:
    """Once the person is gone only grain separates the last frames, while the first still move."""
    for path in sorted(root().glob("controls/vanish/*.mp4"))[::10]:
        frames = np.stack(frames_of(path)).astype(float)
        steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
        assert steps[-6:].max() < 0.5 * steps[:6].max(), path


def test_strangers_and_drift_partners_are_others_of_the_group() -> None:
    fifty = members(root())
    assert Counter(m.stranger for m in fifty) == Counter(m.becomes for m in fifty) == Counter(m.name for m in fifty)
    for m in fifty:
        assert len({m.name, m.stranger, m.becomes}) == 3
        assert parse_name(m.stranger)[0] == parse_name(m.becomes)[0] == m.group


def test_prompts_on_disk_are_the_worded_ones() -> None:
    with (root() / "prompts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_name = defaultdict(list)
    for row in rows:
        by_name[row["identity"]].append((int(row["prompt_index"]), row["prompt"], row["prompt_long"]))
    for m in members(root()):
        wanted = [[(p.index, p.short, p.long) for p in prompts(m.group, sex, m.number)] for sex in ("male", "female")]
        assert by_name[m.name] in wanted


def test_card_quotes_what_was_measured() -> None:
    import json

    card = (root() / "CARD.md").read_text(encoding="utf-8")
    measured = json.loads((root() / "measured.json").read_text(encoding="utf-8"))
    for kind in ("screened", "unscreened"):
        assert [row["label"] for row in measured[kind]] == ["all", *GROUPS]
        for row in measured[kind]:
            assert f"| {row['hog']:.1f} | {row['cnn']:.1f} | {row['eer']:.2f} |" in card
    whole = measured["screened"][0]
    assert whole["hog"] >= 95 and whole["eer"] <= 2


def test_nothing_of_the_kit_is_in_the_repository() -> None:
    """No archive, no mesh, no morph target, no mask: only our pictures and the list of hashes."""
    done = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    names = done.stdout.splitlines()
    kit_like = (
        ".npz",
        ".npy",
        ".obj",
        ".target",
        ".mhclo",
        ".mhskel",
        ".mhw",
        ".mhmat",
        ".xz",
        ".tar",
        ".zip",
    )
    assert not [name for name in names if name.endswith(kit_like) and not name.startswith(("tests/", "reports/"))]
    assert not [name for name in names if "facekit" in name.lower() or "prototype" in name.lower()]
