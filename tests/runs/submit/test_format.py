"""Which clips come with a submission, and what tells test sets apart."""

from __future__ import annotations

import shutil
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import mmbench
from mmbench.items import Item
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile
from mmbench.runs.submit.format import chosen, digest_of_testset
from tests.runs.submit.board import Made


def _row(number: int, digest: str) -> ItemRow:
    clip = MeasuredFile(1, 1, 1, 8.0, "container", digest)
    return ItemRow(Item(str(number), "m", "p", Path(f"{number}.mp4")), clip=clip)


@given(st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), unique=True, max_size=12), st.randoms())
def test_the_choice_is_of_the_videos_alone(digests: list[str], random: object) -> None:
    rows = [_row(number, digest) for number, digest in enumerate(digests)]
    picked = [row.clip.sha256 for row in chosen(rows, 3) if row.clip]
    assert len(picked) == min(3, len(rows))
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    renamed = [_row(100 + number, row.clip.sha256) for number, row in enumerate(shuffled) if row.clip]
    assert [row.clip.sha256 for row in chosen(renamed, 3) if row.clip] == picked


def test_every_clip_is_chosen_somewhere_and_one_that_failed_nowhere() -> None:
    seen = set()
    for other in range(200):
        rows = [*(_row(number, f"{number:064x}") for number in range(5)), _row(9, f"{1000 + other:064x}")]
        failed = ItemRow(Item("f", "m", "p", Path("f.mp4")))
        seen |= {row.item.id for row in chosen([*rows, failed], 2)}
    assert seen == {"0", "1", "2", "3", "4", "9"}


def test_any_change_of_a_test_set_is_another_one(made: Made, tmp_path: Path) -> None:
    digest = digest_of_testset(made.testset)
    copy = tmp_path / "copy"
    shutil.copytree(made.testset.folder, copy)
    assert digest_of_testset(mmbench.load_testset(copy)) == digest  # wherever it lies
    prompts = (copy / "prompts.csv").read_text(encoding="utf-8")
    (copy / "prompts.csv").write_text(prompts.replace(" img ", " img then ", 1), encoding="utf-8")
    assert digest_of_testset(mmbench.load_testset(copy)) != digest
    (copy / "prompts.csv").write_text(prompts, encoding="utf-8")
    picture = mmbench.load_testset(copy).identities[0].references[0]
    picture.write_bytes(picture.read_bytes() + b"\0")
    assert digest_of_testset(mmbench.load_testset(copy)) != digest
