"""The README's example runs as printed."""

from __future__ import annotations

import re
from pathlib import Path

import mmbench.model


def test_readme_example(capsys):
    text = (Path(mmbench.model.__file__).parent / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), scope)
    assert scope["frames"].shape == (9, 64, 64, 3)
    assert 0 <= scope["frames"].min() <= scope["frames"].max() <= 1
    assert scope["image"].size == (64, 64)
    assert len(scope["clips"]) == 2
    assert "random" in capsys.readouterr().out
