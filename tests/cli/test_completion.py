"""What the shell's completion offers."""

from __future__ import annotations

from mmbench.cli import completion


def test_names_are_offered_by_their_beginning() -> None:
    assert completion.metrics("motion") == ["motion_smoothness"]
    assert completion.metrics("face_rate,motion") == ["face_rate,motion_smoothness"]
    assert "face_rate,face_rate" not in completion.metrics("face_rate,")
    assert "id_margin" in completion.columns("id_m")
    assert completion.orders("over") == ["overall"]
    assert "magic-mirror" in completion.models("magic-") and "magic_mirror" in completion.models("magic")
    assert completion.testsets("s") == ["synthetic50"]
    assert "raft-things" in completion.weights("raft") and "cogvideox" in completion.weights("cog")
    assert completion.weights("nothing like it") == []
