from __future__ import annotations

import shutil
from pathlib import Path

import pytest

NOTES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def note(request):
    """Record one measured difference; all of them are printed at the end of the run."""
    return request.config.stash.setdefault(NOTES, []).append


@pytest.fixture(scope="session", autouse=True)
def vbench_cache(tmp_path_factory):
    """VBench reads its cache folder when first imported and downloads a word list there unless it has one."""
    import open_clip

    folder = tmp_path_factory.mktemp("vbench_cache")
    (folder / "ViCLIP").mkdir()
    words = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    shutil.copy(words, folder / "ViCLIP" / words.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VBENCH_CACHE_DIR", str(folder))
        yield folder


def pytest_terminal_summary(terminalreporter):
    notes = terminalreporter.config.stash.get(NOTES, [])
    if notes:
        terminalreporter.section("measured differences")
        for text in notes:
            terminalreporter.write_line(text)
