"""Motions as closed-form curves of time: the exact state of every frame, with a settable amplitude.

Amplitude 1 is a lively natural motion; 0 leaves the starting pose. Every curve is a function of clip time
0..1, so frame count and rate do not change the path. `MOTIONS` lists what each does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from mmbench.synth.algebra import smoothstep
from mmbench.synth.expression import Expression
from mmbench.synth.person import Gaze, Pose
from mmbench.synth.scene import State

Motion = Literal[
    "static",
    "nod",
    "shake",
    "turn",
    "smile",
    "talk",
    "blink",
    "sway",
    "look",
    "camera-pan",
    "camera-zoom",
    "mixed",
]
MOTIONS: tuple[Motion, ...] = get_args(Motion)
"""By name, what moves.

static nothing; nod, shake, turn the head; smile, talk, blink the face; sway the person moves sideways; look head and
eyes wander; camera-pan and camera-zoom move the camera alone, the face rigid; mixed a bit of everything natural.
"""


@dataclass(frozen=True)
class Start:
    """Random but fixed per clip: rest pose, phases and sides."""

    pose: Pose
    phase: float
    side: int
    blink_at: float


def _wave(t: float, cycles: float, phase: float = 0.0) -> float:
    return float(np.sin(2 * np.pi * cycles * t + phase))


def _blink(t: float, at: tuple[float, ...], width: float = 0.045) -> float:
    """Lid closure 0..1: a triangle with a flat top, two widths long, at each time."""
    return float(max(np.clip(1.35 - abs(t - moment) / width, 0, 1) for moment in at))


def _turned(state: State, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> State:
    p = state.pose
    return replace(state, pose=Pose(p.yaw + yaw, p.pitch + pitch, p.roll + roll))


def _nod(s: State, t: float, a: float, start: Start) -> State:
    return _turned(s, pitch=10 * a * _wave(t, 2))


def _shake(s: State, t: float, a: float, start: Start) -> State:
    return _turned(s, yaw=18 * a * _wave(t, 2))


def _turn(s: State, t: float, a: float, start: Start) -> State:
    return replace(s, pose=replace(s.pose, yaw=start.side * a * (50 * float(smoothstep(0, 1, t)) - 25)))


def _smile(s: State, t: float, a: float, start: Start) -> State:
    grin = 0.9 * a * float(smoothstep(0.1, 0.6, t))
    return replace(s, expression=replace(s.expression, smile=grin, teeth=0.45 * grin))


def _talk(s: State, t: float, a: float, start: Start) -> State:
    beat = _wave(t, 3.1, 2 * start.phase)
    jaw = max(0.0, 0.26 + 0.22 * _wave(t, 5, start.phase) + 0.12 * _wave(t, 8.3))
    face = Expression(
        open=a * jaw,
        pucker=0.4 * a * max(0.0, beat),
        wide=0.4 * a * max(0.0, -beat),
        brow_up=0.35 * a * max(0.0, _wave(t, 1)),
    )
    blink = _blink(t, (start.blink_at,)) if a > 0 else 0.0
    face = replace(face, blink_left=blink, blink_right=blink)
    return _turned(replace(s, expression=face), yaw=3 * a * _wave(t, 1.3, start.phase), pitch=2 * a * _wave(t, 1.9))


def _blinking(s: State, t: float, a: float, start: Start) -> State:
    lid = min(1.0, a) * _blink(t, (0.25, 0.7))
    return replace(s, expression=replace(s.expression, blink_left=lid, blink_right=lid))


def _sway(s: State, t: float, a: float, start: Start) -> State:
    step = 0.16 * a * start.side * _wave(t, 1, start.phase)
    return _turned(
        replace(s, shift=(step, 0.02 * a * _wave(t, 2))),
        roll=2.5 * a * start.side * _wave(t, 1, start.phase + 0.5),
    )


def _look(s: State, t: float, a: float, start: Start) -> State:
    gaze = Gaze(9 * a * _wave(t, 1, start.phase), 3 * a * _wave(t, 1.6))
    return _turned(
        replace(s, gaze=gaze), yaw=11 * a * _wave(t, 1, start.phase - 0.6), pitch=4 * a * _wave(t, 1.6, -0.6)
    )


def _camera_pan(s: State, t: float, a: float, start: Start) -> State:
    return replace(s, pan=(0.5 * a * start.side * (t - 0.5), 0.12 * a * (t - 0.5)))


def _camera_zoom(s: State, t: float, a: float, start: Start) -> State:
    return replace(s, zoom=float((1 + 0.5 * abs(a)) ** (t if start.side > 0 else 1 - t)))


def _mixed(s: State, t: float, a: float, start: Start) -> State:
    grin = 0.75 * a * float(smoothstep(0.15, 0.55, t))
    lid = _blink(t, (start.blink_at,)) if a > 0 else 0.0
    jaw = 0.22 * a * max(0.0, _wave(t, 3, start.phase))
    face = Expression(
        smile=grin,
        teeth=0.35 * grin,
        open=jaw,
        brow_up=0.3 * a * max(0, _wave(t, 1)),
        blink_left=lid,
        blink_right=lid,
    )
    s = replace(s, expression=face, gaze=Gaze(4 * a * _wave(t, 1, start.phase), 0.0))
    s = replace(s, shift=(0.05 * a * start.side * _wave(t, 1, 0.7), 0.0))
    return _turned(
        s,
        yaw=start.side * 13 * a * _wave(t, 1, start.phase),
        pitch=6 * a * _wave(t, 1.5),
        roll=3.5 * a * _wave(t, 1, 1.0),
    )


_CURVES: dict[Motion, Callable[[State, float, float, Start], State]] = {
    "nod": _nod, "shake": _shake, "turn": _turn, "smile": _smile, "talk": _talk, "blink": _blinking, "sway": _sway,
    "look": _look, "camera-pan": _camera_pan, "camera-zoom": _camera_zoom, "mixed": _mixed,
}  # fmt: skip


def start_of(motion: Motion, seed: int) -> Start:
    """The rest pose and phases a seed draws. `static` and the camera motions start frontal."""
    rng = np.random.default_rng([seed, MOTIONS.index(motion)])
    pose = Pose(float(rng.uniform(-8, 8)), float(rng.uniform(-4, 4)), float(rng.uniform(-3, 3)))
    if motion in ("static", "camera-pan", "camera-zoom"):
        pose = Pose()
    return Start(pose, float(rng.uniform(0, 2 * np.pi)), int(rng.choice([-1, 1])), float(rng.uniform(0.2, 0.7)))


def trajectory(
    motion: Motion, frames: int, seed: int = 0, amplitude: float = 1.0, start: Start | None = None
) -> list[State]:
    """The state of every frame. `start` overrides the rest pose and phases that `seed` would draw."""
    begin = start or start_of(motion, seed)
    states = []
    for k in range(frames):
        t = k / max(frames - 1, 1)
        state = State(pose=begin.pose)
        curve = _CURVES.get(motion)
        states.append(curve(state, t, amplitude, begin) if curve else state)
    return states


def perform(parts: Sequence[tuple[Motion, float]], frames: int, seed: int = 0) -> list[State]:
    """Several motions at once, each with its amplitude, laid over one another in order on the first one's rest pose."""
    begin = start_of(parts[0][0], seed)
    states = []
    for k in range(frames):
        t = k / max(frames - 1, 1)
        state = State(pose=begin.pose)
        for motion, amplitude in parts:
            curve = _CURVES.get(motion)
            state = curve(state, t, amplitude, begin) if curve else state
        states.append(state)
    return states


def tremble(states: list[State], seed: int, degrees: float = 5.0, shift: float = 0.012) -> list[State]:
    """Frame-to-frame tremor on top: independent normal head angles (degrees) and shifts (head heights)."""
    rng = np.random.default_rng([seed, 41])
    shaken = []
    for state in states:
        yaw, pitch, roll = rng.normal(0, degrees, 3) * (1.0, 0.8, 0.7)
        dx, dy = rng.normal(0, shift, 2)
        moved = replace(state, shift=(state.shift[0] + float(dx), state.shift[1] + float(dy)))
        shaken.append(_turned(moved, float(yaw), float(pitch), float(roll)))
    return shaken
