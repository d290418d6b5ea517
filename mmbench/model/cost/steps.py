"""Seconds and memory of one denoising step, with random weights of the real size: the measured half of Table 3.

One step is one guided prediction (batch 2) at the size's default clip. Rows are timed in turn, round after
round in one process, so a ratio of two rows is a median of paired runs. Each row reports the peak of the
loop with nothing but the transformer on the device (text encoder, VAE and face encoder are not resident
then).
"""

from __future__ import annotations

import inspect
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from torch import Tensor

from mmbench.errors import RequestError
from mmbench.model.fast.forward import FastPlan, modulation_released
from mmbench.model.fast.tables import tabulate_schedule, tabulate_video
from mmbench.model.network.configs import ModelSize, size_named
from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.network.transformer import ADAPTER_PREFIXES, MagicMirrorTransformer3DModel

STOCK, OPTIMISED, MIRROR, DIRECT = "stock base", "optimised base", "Magic Mirror", "Magic Mirror, direct path"
ROWS = (STOCK, OPTIMISED, MIRROR, DIRECT)
"""Stock: diffusers' own class, eager. Optimised: our fast path, no identity. Direct: everything every step.
"""


@dataclass(frozen=True)
class StepRow:
    """One row: seconds of every timed step, their median, and the peak of the loop in GiB (None on a CPU)."""

    name: str
    seconds: tuple[float, ...]
    median_seconds: float
    peak_gib: float | None


@dataclass(frozen=True)
class Ratio:
    """Median over rounds of seconds(name) / seconds(to), with its extremes."""

    name: str
    to: str
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class StepProfile:
    """The measured table of one size on one device."""

    size: str
    device: str
    dtype: str
    torch_version: str
    diffusers_version: str
    attention_backend: str
    rows: tuple[StepRow, ...]
    ratios: tuple[Ratio, ...]
    fast_against_direct: float


class StepBench:
    """Random weights and inputs of one size, and the four ways to take a step with them."""

    def __init__(self, size: ModelSize, device: torch.device, dtype: torch.dtype, num_steps: int) -> None:
        self.device = device
        torch.manual_seed(0)
        names = inspect.signature(CogVideoXTransformer3DModel.__init__).parameters.keys()
        with torch.device("meta"):
            config = MagicMirrorTransformer3DModel(**size.transformer).config
        base_config = {k: v for k, v in config.items() if k in names}
        identity_config = {k: v for k, v in config.items() if k not in names and not k.startswith("_")}
        with _default_dtype(dtype), torch.device(device):
            self.stock = CogVideoXTransformer3DModel(**base_config).eval().requires_grad_(False)
            self.latents, self.text, self.rotary, self.face = _random_inputs(config, size, dtype)
        self.model: MagicMirrorTransformer3DModel | None = None
        self.identity_config = identity_config
        self.timesteps = tuple(999 - 1000 * i // num_steps for i in range(num_steps))
        self.attention_backend: str | None = None
        self.plans: dict[str, FastPlan] = {}

    def add_identity(self, attention_backend: str | None) -> None:
        """Put the adapters on the stock weights (not copied) and fill the tables."""
        model = MagicMirrorTransformer3DModel.from_transformer(self.stock, **self.identity_config)
        model.eval().requires_grad_(False)
        for name, parameter in model.named_parameters():
            if name.startswith(ADAPTER_PREFIXES) and not name.endswith("norm.weight"):
                torch.nn.init.normal_(parameter, std=0.02)  # also what starts at zero: nothing may be skipped
        self.model = model
        self.attention_backend = attention_backend
        self.fill_tables()

    def fill_tables(self, rows: tuple[str, ...] = (OPTIMISED, MIRROR)) -> None:
        """Compute the tables of the named rows from the present weights and inputs, and drop all others."""
        if self.model is None:
            raise ValueError("call add_identity() first")
        self.plans = {}
        if not rows:
            return
        schedule = tabulate_schedule(self.model, self.timesteps)
        if MIRROR in rows:
            video = tabulate_video(self.model, schedule, self.face, copies=2)
            self.plans[MIRROR] = FastPlan(schedule, video, self.attention_backend)
        if OPTIMISED in rows:
            base_only = replace(schedule, face={}, can_time={})
            self.plans[OPTIMISED] = FastPlan(base_only, None, self.attention_backend)

    def predict(self, row: str, step: int) -> Tensor:
        """The transformer's prediction for both halves of guidance, the way `row` says; `step` starts over."""
        step %= len(self.timesteps)
        timestep = torch.full((2,), self.timesteps[step], device=self.device)
        model = self.stock if row == STOCK else self.model
        if model is None:
            raise ValueError("call add_identity() before taking a step with the adapter")
        if row == STOCK:
            out = model(self.latents, self.text, timestep, image_rotary_emb=self.rotary)
        elif row == DIRECT:
            face = self.face.copies(2)
            out = model(self.latents, self.text, timestep, image_rotary_emb=self.rotary, face=face)
        else:
            plan = self.plans[row]
            out = model(self.latents, self.text, timestep, image_rotary_emb=self.rotary, plan=plan, step=step)
        sample: Tensor = out.sample
        return sample

    @torch.no_grad()
    def timed_step(self, row: str, step: int) -> float:
        """Seconds of one guided prediction."""
        _synchronise(self.device)
        start = time.perf_counter()
        negative, positive = self.predict(row, step).float().chunk(2)
        negative + 6.0 * (positive - negative)
        _synchronise(self.device)
        return time.perf_counter() - start

    def peak_gib(self, row: str) -> float | None:
        """Peak memory of a loop of two steps, with the modulation weights released where tables replace them."""
        if self.device.type != "cuda":
            return None
        scope: AbstractContextManager[None] = nullcontext()
        if self.model is not None:
            self.fill_tables(tuple({row} & {OPTIMISED, MIRROR}))
            if row in self.plans:
                scope = modulation_released(self.model)
        with scope:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            for step in range(2):
                self.timed_step(row, step)
            return torch.cuda.max_memory_allocated(self.device) / 2**30


def check_device(size: str, device: str) -> None:
    """Refuse what cannot run: CUDA without a device, the full size (12.5 GiB in bf16) on a CPU."""
    if device == "cuda" and not torch.cuda.is_available():
        raise RequestError("No CUDA device is available.", "Use --device none to count, or --device cpu for nano.")
    if device == "cpu" and size == "5b":
        raise RequestError("A step of the full size takes hours on a CPU.", "Use --config nano, or --device cuda.")


def profile_steps(
    size: str = "nano",
    device: str = "cpu",
    rounds: int = 7,
    warmup: int = 2,
    attention_backend: str | None = None,
    report: Callable[[str], None] | None = None,
) -> StepProfile:
    """Measure every row; `report` gets one line after each. bf16 on CUDA, float32 on a CPU."""
    import diffusers

    say = report or (lambda _: None)
    place = torch.device(device)
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    bench = StepBench(size_named(size), place, dtype, num_steps=50)
    peaks = {STOCK: bench.peak_gib(STOCK)}
    say(_peak(STOCK, peaks[STOCK]))
    bench.add_identity(attention_backend)
    for row in ROWS[1:]:
        peaks[row] = bench.peak_gib(row)
        say(_peak(row, peaks[row]))
    bench.fill_tables()
    with torch.no_grad():
        direct, fast = bench.predict(DIRECT, 3).float(), bench.predict(MIRROR, 3).float()
    difference = ((direct - fast).norm() / direct.norm()).item()
    say(f"fast path against direct path: relative difference {difference:.2e}")
    del direct, fast

    seconds: dict[str, list[float]] = {row: [] for row in ROWS}
    for turn in range(warmup + rounds):
        for row in ROWS:
            taken = bench.timed_step(row, turn)
            if turn >= warmup:
                seconds[row].append(taken)
            say(f"round {turn - warmup} {row}: {taken:.4f} s")
    rows = tuple(StepRow(r, tuple(seconds[r]), statistics.median(seconds[r]), peaks[r]) for r in ROWS)
    ratios = tuple(
        _ratio(seconds, *pair) for pair in ((OPTIMISED, STOCK), (MIRROR, OPTIMISED), (MIRROR, STOCK), (DIRECT, STOCK))
    )
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    return StepProfile(
        size,
        name,
        str(dtype).removeprefix("torch."),
        torch.__version__,
        diffusers.__version__,
        attention_backend or "default",
        rows,
        ratios,
        difference,
    )


def _ratio(seconds: dict[str, list[float]], name: str, to: str) -> Ratio:
    each = [a / b for a, b in zip(seconds[name], seconds[to], strict=True)]
    return Ratio(name, to, statistics.median(each), min(each), max(each))


def _random_inputs(
    config: dict[str, int], size: ModelSize, dtype: torch.dtype
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], FaceEmbeds]:
    """Latents and text of both halves of guidance, rotation tables, and the embeddings of one identity."""
    spatial = 8 if size.codec is None else size.codec[0]
    frames, height, width = (size.frames - 1) // 4 + 1, size.height // spatial, size.width // spatial
    latents = torch.randn(1, frames, config["in_channels"], height, width, dtype=dtype).repeat(2, 1, 1, 1, 1)
    text = torch.randn(2, config["max_text_seq_length"], config["text_embed_dim"], dtype=dtype)
    patch, head_dim = config["patch_size"], config["attention_head_dim"]
    angles = torch.rand(frames * (height // patch) * (width // patch), head_dim // 2, dtype=torch.float32)
    angles = (6.28 * angles).repeat_interleave(2, dim=1)
    face = FaceEmbeds(
        torch.randn(1, config["num_id_tokens"], config["face_dim"], dtype=dtype),
        torch.randn(1, config["num_face_tokens"], config["face_dim"], dtype=dtype),
    )
    return latents, text, (angles.cos(), angles.sin()), face


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak(row: str, gib: float | None) -> str:
    return f"{row}: peak {gib:.2f} GiB" if gib is not None else f"{row}: peak memory is known on CUDA only"
