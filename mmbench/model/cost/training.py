"""What training costs: parameters, optimiser and activation bytes on the meta device, seconds and memory on a GPU.

Both stages at any size, with random weights: stage 1 is one-frame videos, stage 2 clips. The model, the losses and the
optimiser are those of the training loop.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbench.errors import RequestError
from mmbench.model.cost.profile import COGVIDEOX_VAE
from mmbench.model.network.configs import ModelSize, size_named
from mmbench.model.train.batch import Batch
from mmbench.model.train.build import Parts, decoder
from mmbench.model.train.loss.identity import IdentityLoss, IdentityLossOptions
from mmbench.model.train.loss.objective import NoiseSchedule
from mmbench.model.train.step import sample_losses

BUDGET_GIB = {
    "frozen weights": 10.4 + 1.0,
    "trained weights": 6.5,
    "gradients": 6.5,
    "AdamW's moments": 13.0,
    "checkpointed activations and one block": 7.5,
}
"""What was planned for stage 2 at full size on one card of 80 GB (74.5 GiB), float32 AdamW, one clip."""
PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "A800": 312.0}
"""Dense bf16 peak by the card's name, as its maker states it."""
LOW, HIGH = 200, 700
"""A timestep at which the identity loss applies, and one at which it does not."""


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of one stage, counted on the meta device with bf16 frozen and float32 trained weights.

    saved: what autograd keeps for the backward pass with checkpointing; saved_whole: without it. Weights and what
    shares memory with them are not counted. block: the largest part of saved_whole that one block keeps.
    """

    stage: str
    micro_batch: int
    trained: int
    frozen_bytes: int
    trained_bytes: int
    optimiser_bytes: int
    saved: int
    saved_whole: int
    blocks: int

    @property
    def block(self) -> int:
        """Bytes that one block keeps while it is recomputed, on average."""
        return self.saved_whole // self.blocks


@dataclass(frozen=True)
class StepTime:
    """One stage on one device. flops: of one step without recomputing, flops_run with it; utilisation: the first over
    the card's bf16 peak, None where the peak is not known."""

    stage: str
    micro_batch: int
    timestep: int
    seconds: tuple[float, ...]
    median_seconds: float
    peak_gib: float | None
    flops: float
    flops_run: float
    utilisation: float | None
    loss: float


@dataclass(frozen=True)
class TrainingProfile:
    """The measured steps of a size on a device."""

    size: str
    device: str
    torch_version: str
    diffusers_version: str
    trained: int
    steps: tuple[StepTime, ...]


def random_parts(size: ModelSize, device: torch.device, frozen: torch.dtype, identity: bool) -> Parts:
    """The full variant with random weights made on the device itself, frozen parts in `frozen`, trained in float32."""
    from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler

    from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
    from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
    from mmbench.model.small.nano import COGVIDEOX_5B_SCHEDULE, randomise_zeros
    from mmbench.model.train.module import MagicMirrorModel

    with default_dtype(frozen), torch.device(device):
        transformer = MagicMirrorTransformer3DModel(**size.transformer)
        face_encoder = MagicMirrorFaceEncoder(**size.face_encoder)
    if device.type != "meta":
        randomise_zeros(transformer)  # what starts at zero would pass no gradient on
        randomise_zeros(face_encoder)
    module = MagicMirrorModel(transformer, face_encoder)
    module.freeze()
    scheduler = CogVideoXDDIMScheduler(**COGVIDEOX_5B_SCHEDULE)
    noising = NoiseSchedule.from_scheduler(scheduler).to("cpu" if device.type == "meta" else device)
    spatial = 8 if size.codec is None else size.codec[0]
    image_size = face_encoder.config.image_size
    parts = Parts(module.train(), transformer, face_encoder, noising, 1.0, spatial, image_size, scheduler)
    if identity:
        parts.vae, recogniser = _decoder_and_recogniser(size, device, frozen)
        parts.identity = IdentityLoss(decoder(parts.vae), recogniser, spatial, IdentityLossOptions())
    return parts


def _decoder_and_recogniser(size: ModelSize, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """CogVideoX's decoder and an IResNet-50 with random weights (small ones beside a small size)."""
    from mmbench.face.insightface.iresnet import IResNet, iresnet_shape

    if size.codec is not None:
        from mmbench.model.small.nano import fitted_codec

        shape = iresnet_shape((1, 1, 1, 1), (4, 4, 8, 8), size.face_encoder["embedding_dim"])
        return fitted_codec(size).to(device), IResNet(shape).to(device)
    from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX

    with default_dtype(dtype), torch.device(device):
        vae = AutoencoderKLCogVideoX(**COGVIDEOX_VAE).eval().requires_grad_(False)
        vae.encoder = None
        return vae, IResNet(iresnet_shape((3, 4, 14, 3)))


def random_batch(parts: Parts, size: ModelSize, frames: int, count: int, timestep: int) -> Batch:
    """`count` random samples of `frames` frames on the module's device, all with the identity, text and a face."""
    device = parts.transformer.proj_out.weight.device
    config, face = parts.transformer.config, parts.face_encoder.config
    grid = ((frames - 1) // 4 + 1, size.height // parts.spatial, size.width // parts.spatial)
    kept = torch.ones(count, dtype=torch.bool, device=device)
    with torch.device(device):
        latents, noise = torch.randn(2, count, grid[0], config.in_channels, grid[1], grid[2]).unbind(0)
        from mmbench.face.cut import TEMPLATE

        middle = torch.tensor([size.width / 2, size.height / 2])
        points = (torch.tensor(TEMPLATE, dtype=torch.float32) - 56) * min(1.0, size.height / 160) + middle
        return Batch(
            latents=latents,
            noise=noise,
            timestep=torch.full((count,), timestep),
            text=torch.randn(count, config.max_text_seq_length, config.text_embed_dim),
            word_positions=torch.tensor([[3, -1, -1, -1]]).repeat(count, 1),
            id_vectors=torch.randn(count, 1, face.embedding_dim),
            ref_valid=kept[:, None],
            pixels=torch.randn(count, 1, 3, face.image_size, face.image_size),
            features=None,
            keep_identity=kept,
            keep_text=kept,
            face_only=kept,
            face_cells=torch.ones(count, grid[0], grid[1], grid[2], dtype=torch.bool),
            points=points.repeat(count, 1, 1),
        )


def stage_memory(size_name: str = "5b", frames: int | None = None, micro_batch: int = 1) -> TrainingMemory:
    """Count one stage's bytes on the meta device; `frames` None is the size's clip. Attention counts as fused."""
    size = size_named(size_name)
    frames = size.frames if frames is None else frames
    parts = random_parts(size, torch.device("meta"), torch.bfloat16, identity=False)
    saved = []
    for checkpointing in (False, True):
        if checkpointing:
            parts.module.enable_gradient_checkpointing()
        batch = random_batch(parts, size, frames, micro_batch, LOW)
        with _counting(parts.module) as counted, fused_attention():
            _meta_loss(parts, batch)
        saved.append(sum(counted.values()))
    trained = parts.trained()
    numbers = sum(p.numel() for p in trained.values())
    frozen = sum(p.numel() * p.element_size() for p in parts.module.parameters() if not p.requires_grad)
    return TrainingMemory(
        "image" if frames == 1 else "video",
        micro_batch,
        numbers,
        frozen,
        4 * numbers,
        _optimiser_bytes(trained),
        saved[1],
        saved[0],
        len(parts.transformer.transformer_blocks),
    )


def _meta_loss(parts: Parts, batch: Batch) -> Tensor:
    """The model's call and the squared error of its answer; the schedule's tables have no place on meta."""
    rotary_rows = batch.latents.shape[1] * (batch.latents.shape[3] // 2) * (batch.latents.shape[4] // 2)
    patch = parts.transformer.config.patch_size
    rotary_rows = rotary_rows * 4 // patch**2
    angles = torch.empty(rotary_rows, parts.transformer.config.attention_head_dim, device="meta")
    v = parts.module(
        noisy=batch.latents,
        text=batch.text,
        word_positions=batch.word_positions,
        timestep=batch.timestep,
        rotary=(angles, angles),
        pixels=batch.pixels,
        id_vectors=batch.id_vectors,
        ref_valid=batch.ref_valid,
        keep_identity=batch.keep_identity,
        keep_text=batch.keep_text,
    )
    loss: Tensor = (v - batch.noise).square().mean()
    return loss


def _optimiser_bytes(trained: dict[str, nn.Parameter]) -> int:
    """Bytes of AdamW's state after a step, from the optimiser itself."""
    optimiser = torch.optim.AdamW(list(trained.values()), foreach=False)
    for parameter in trained.values():
        parameter.grad = torch.empty_like(parameter)
    optimiser.step()
    held = [value for state in optimiser.state.values() for value in state.values() if isinstance(value, Tensor)]
    for parameter in trained.values():
        parameter.grad = None
    return sum(value.numel() * value.element_size() for value in held if value.ndim)


@contextmanager
def _counting(module: nn.Module) -> Iterator[dict[int, int]]:
    """Bytes of every storage that autograd saves within the block, weights left out."""
    weights = {parameter.untyped_storage()._cdata for parameter in module.parameters()}
    counted: dict[int, int] = {}
    kept: list[Tensor] = []  # alive, so that no storage's address is given out twice

    def pack(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage._cdata not in weights:
            counted[storage._cdata] = storage.nbytes()
            kept.append(saved)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        yield counted


class _Fused(torch.autograd.Function):
    """Stands for fused attention where there is none: the same inputs, outputs and saved tensors, no numbers."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        query, key, value, _, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


@contextmanager
def fused_attention() -> Iterator[None]:
    """On the meta device attention would be counted unfused, with its whole matrix: count it as a GPU runs it."""
    real = F.scaled_dot_product_attention

    def attend(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        out: Tensor = _Fused.apply(query, key, value)
        return out

    F.scaled_dot_product_attention = attend
    try:
        yield
    finally:
        F.scaled_dot_product_attention = real


def profile_training(
    size_name: str = "5b",
    device: str = "cuda",
    image_batch: int = 8,
    rounds: int = 3,
    report: Callable[[str], None] | None = None,
) -> TrainingProfile:
    """Time optimiser steps of both stages with random weights; bf16 frozen weights on a GPU, float32 elsewhere."""
    import diffusers

    say = report or (lambda _: None)
    place, size = torch.device(device), size_named(size_name)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise RequestError("No CUDA device is available.", "Count on the meta device instead.")
    on_gpu = place.type == "cuda"
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    parts = random_parts(size, place, torch.bfloat16 if on_gpu else torch.float32, identity=True)
    parts.module.enable_gradient_checkpointing()
    trained = parts.trained()
    optimiser = torch.optim.AdamW(list(trained.values()), lr=1e-5)
    say(f"built: {sum(p.numel() for p in trained.values()):,} trained parameters")
    steps = []
    for stage, frames, count, timestep in (
        ("image", 1, image_batch, LOW),
        ("image", 1, image_batch, HIGH),
        ("video", size.frames, 1, LOW),
        ("video", size.frames, 1, HIGH),
    ):
        batch = random_batch(parts, size, frames, count, timestep)
        taken = _time_stage(parts, optimiser, batch, stage, timestep, rounds)
        steps.append(taken)
        peak = "" if taken.peak_gib is None else f", peak {taken.peak_gib:.1f} GiB"
        say(f"{stage} x {count}, t {timestep}: {taken.median_seconds:.3f} s{peak}, loss {taken.loss:.3f}")
    name = torch.cuda.get_device_name(place) if on_gpu else f"CPU, {torch.get_num_threads()} thread(s)"
    return TrainingProfile(
        size_name,
        name,
        torch.__version__,
        diffusers.__version__,
        sum(p.numel() for p in trained.values()),
        tuple(steps),
    )


def _time_stage(
    parts: Parts, optimiser: torch.optim.Optimizer, batch: Batch, stage: str, timestep: int, rounds: int
) -> StepTime:
    """One counted step to warm up, then `rounds` timed ones."""
    from torch.utils.flop_counter import FlopCounterMode

    place = batch.latents.device
    forward, backward = FlopCounterMode(display=False), FlopCounterMode(display=False)
    _step(parts, optimiser, batch, forward, backward)
    if place.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(place)
    seconds, loss = [], 0.0
    for _ in range(rounds):
        _synchronise(place)
        start = time.perf_counter()
        loss = _step(parts, optimiser, batch, nullcontext(), nullcontext())
        _synchronise(place)
        seconds.append(time.perf_counter() - start)
    run = forward.get_total_flops() + backward.get_total_flops()
    # the backward pass takes the checkpointed forward once more
    needed = run - forward.get_total_flops()
    median = statistics.median(seconds)
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else ""
    peak = next((value for card, value in PEAK_TFLOPS.items() if card in name), None)
    return StepTime(
        stage,
        len(batch),
        timestep,
        tuple(seconds),
        median,
        torch.cuda.max_memory_allocated(place) / 2**30 if place.type == "cuda" else None,
        needed,
        run,
        None if peak is None else needed / median / (peak * 1e12),
        loss,
    )


def _step(parts: Parts, optimiser: torch.optim.Optimizer, batch: Batch, forward: Any, backward: Any) -> float:
    """One optimiser step; the contexts go around its two passes."""
    optimiser.zero_grad(set_to_none=True)
    with forward:
        loss = sample_losses(parts, parts.module, batch).total.mean()
    with backward:
        torch.autograd.backward(loss)
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimiser.step()
    return float(loss.detach())


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """New floating tensors are of this type within the block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
