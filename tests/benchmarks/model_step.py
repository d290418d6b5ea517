"""Speed and memory of a denoising step: `python tests/benchmarks/model_step.py [--size 5b --device cuda
--out DIR]`.

Prints the ratios adapter step / base step (median of paired runs in one process) and, on a GPU, first
checks the kernels against float32 on the CPU, then compares attention backends at the real shape and takes
the fastest.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict
from pathlib import Path

import torch

from mmbench.model.cost.steps import DIRECT, MIRROR, STOCK, StepBench, profile_steps
from mmbench.model.network.configs import ModelSize
from mmbench.model.network.face_embeds import FaceEmbeds

BACKENDS = ("native", "_native_flash", "_native_cudnn")


def say(line: str) -> None:
    print(line, flush=True)


def small_size() -> ModelSize:
    """Head width and segment lengths as at full size (head_dim 64, odd row counts), few layers."""
    transformer = {
        "num_attention_heads": 4,
        "num_layers": 4,
        "text_embed_dim": 64,
        "max_text_seq_length": 37,
        "face_dim": 128,
    }
    return ModelSize("small", 96, 144, 9, 4, transformer)


def check_kernels() -> dict[str, float]:
    """Relative difference of each path on the GPU from the direct path in float64 on the CPU, same weights."""
    torch.backends.cuda.matmul.allow_tf32 = False
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        bench = StepBench(small_size(), torch.device("cuda"), torch.float32, num_steps=4)
        bench.add_identity(None)
        reference = StepBench(small_size(), torch.device("cpu"), torch.float32, num_steps=4)
        reference.add_identity(None)
        for name, value in bench.model.named_parameters():
            value.data = value.data.to(dtype)
            reference.model.get_parameter(name).data = value.data.double().cpu()
        reference.latents, reference.text = (
            bench.latents.to(dtype).double().cpu(),
            bench.text.to(dtype).double().cpu(),
        )
        reference.rotary = tuple(x.cpu() for x in bench.rotary)
        face = FaceEmbeds(bench.face.identity.to(dtype), bench.face.tokens.to(dtype))
        reference.face = FaceEmbeds(face.identity.double().cpu(), face.tokens.double().cpu())
        bench.latents, bench.text, bench.face = bench.latents.to(dtype), bench.text.to(dtype), face
        with torch.no_grad():
            want = reference.predict(DIRECT, 1)
            bench.fill_tables()
            for row in (DIRECT, MIRROR):
                got = bench.predict(row, 1).double().cpu()
                found[f"{row} {dtype}"] = ((got - want).norm() / want.norm()).item()
                say(f"{row} on CUDA in {dtype} against float64: {found[f'{row} {dtype}']:.2e}")
    return found


def time_backends(shape: tuple[int, int, int, int]) -> dict[str, float]:
    """Milliseconds of one self-attention of the shape [B, N, heads, head_dim] by each backend."""
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    q, k, v = torch.randn(3, *shape, device="cuda", dtype=torch.bfloat16).unbind(0)
    found = {}
    for backend in BACKENDS:
        times = []
        for _ in range(8):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            dispatch_attention_fn(q, k, v, backend=backend)
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end))
        found[backend] = statistics.median(times[2:])
        say(f"attention {backend}: {found[backend]:.2f} ms")
    return found


def kernel_breakdown(size: str, backend: str) -> str:
    """Where the time of one step goes, by kernel, for the optimised base and for Magic Mirror."""
    from torch.profiler import ProfilerActivity, profile

    from mmbench.model.network.configs import size_named

    bench = StepBench(size_named(size), torch.device("cuda"), torch.bfloat16, 50)
    bench.add_identity(backend)
    text = []
    for row in (STOCK, "optimised base", MIRROR):
        bench.timed_step(row, 0)
        with profile(activities=[ProfilerActivity.CUDA]) as prof:
            bench.timed_step(row, 1)
        text.append(
            row + "\n" + prof.key_averages().table(sort_by="cuda_time_total", row_limit=14, max_name_column_width=70)
        )
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="nano", choices=["5b", "nano", "smoke"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--breakdown", action="store_true", help="also print kernel times (CUDA)")
    args = parser.parse_args()
    if args.device == "cpu":
        torch.set_num_threads(1)
    held: dict[str, object] = {}

    def keep(name: str, value: object) -> None:
        held[name] = value
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / "model_step.json").write_text(json.dumps(held, indent=1))

    backend = None
    if args.device == "cuda":
        keep("kernels_against_float64", check_kernels())
        if args.size == "5b":
            keep("attention_ms", times := time_backends((2, 17776, 48, 64)))
            backend = min(times, key=lambda name: times[name])
            time_backends((2, 17808, 48, 64))
    profile = profile_steps(args.size, args.device, args.rounds, attention_backend=backend, report=say)
    keep("steps", asdict(profile))
    for row in profile.rows:
        peak = "" if row.peak_gib is None else f", peak {row.peak_gib:.2f} GiB"
        say(f"{row.name}: {row.median_seconds:.4f} s{peak}")
    for ratio in profile.ratios:
        say(f"{ratio.name} / {ratio.to}: {ratio.median:.4f} [{ratio.low:.4f}, {ratio.high:.4f}]")
    if args.breakdown and args.device == "cuda":
        say(kernel_breakdown(args.size, backend or "native"))


if __name__ == "__main__":
    main()
