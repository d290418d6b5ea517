"""The perceiver: one class for tau_id, tau_face, PhotoMaker-V2 and IP-Adapter-like resamplers.

A few latents read many features. In every layer the key and value come from [features ; latents], so one
attention is cross- and self-attention at once (Magic Mirror section 3.2; PhotoMaker-V2's and IP-Adapter's
resamplers are the same function with other widths).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbench.errors import WeightsError
from mmbench.model.network.adapter import cast_for


class PerceiverAttention(nn.Module):
    """Latents attend to [features ; latents], both normalised; no biases."""

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        inner = heads * head_dim
        self.heads = heads
        self.norm_features = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        """features [B, S, width], latents [B, Q, width] -> [B, Q, width] (without the residual)."""
        features, latents = self.norm_features(features), self.norm_latents(latents)
        query = self.to_q(latents).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key_value = self.to_kv(torch.cat([features, latents], dim=1))
        key, value = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in key_value.chunk(2, dim=-1))
        attended = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.to_out(attended.transpose(1, 2).flatten(2))
        return out


class PerceiverLayer(nn.Module):
    """Attention and a bias-free GELU MLP, each normalised first and added to the latents."""

    def __init__(self, width: int, heads: int, head_dim: int, ff_mult: int) -> None:
        super().__init__()
        self.attention = PerceiverAttention(width, heads, head_dim)
        self.ff_norm = nn.LayerNorm(width)
        self.ff_in = nn.Linear(width, ff_mult * width, bias=False)
        self.ff_out = nn.Linear(ff_mult * width, width, bias=False)

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        latents = latents + self.attention(features, latents)
        out: Tensor = latents + self.ff_out(F.gelu(self.ff_in(self.ff_norm(latents))))
        return out


class Perceiver(nn.Module):
    """Reads S features into Q latents.

    Latents are given to `forward`, or learned where `num_queries` is set (N(0, 1) / sqrt(width)).
    `heads` defaults to width / head_dim, as in PhotoMaker-V2; IP-Adapter-Plus is
    `Perceiver(1280, 768, 768, depth=4, head_dim=64, num_queries=16)`, DynamiCrafter's image resampler
    `Perceiver(1280, 1024, 1024, depth=4, head_dim=64, heads=12, num_queries=256)`.
    """

    def __init__(
        self,
        feature_dim: int,
        width: int,
        output_dim: int,
        depth: int,
        head_dim: int = 128,
        heads: int | None = None,
        ff_mult: int = 4,
        num_queries: int | None = None,
    ) -> None:
        super().__init__()
        heads = max(1, width // head_dim) if heads is None else heads
        self.queries = None
        if num_queries is not None:
            self.queries = nn.Parameter(torch.randn(1, num_queries, width) / width**0.5)
        self.proj_in = nn.Linear(feature_dim, width)
        self.layers = nn.ModuleList(PerceiverLayer(width, heads, head_dim, ff_mult) for _ in range(depth))
        self.proj_out = nn.Linear(width, output_dim)
        self.norm_out = nn.LayerNorm(output_dim)
        self.gradient_checkpointing = False
        self._gradient_checkpointing_func: Callable[..., Tensor] | None = None

    def forward(self, features: Tensor, latents: Tensor | None = None) -> Tensor:
        """features [B, S, feature_dim], latents [B, Q, width] or None -> [B, Q, output_dim]."""
        if latents is None:
            if self.queries is None:
                raise ValueError("this perceiver has no learned queries: pass latents [B, Q, width]")
            latents = self.queries.expand(features.shape[0], -1, -1)
        features = self.proj_in(cast_for(features, self.proj_in.weight))
        for layer in self.layers:
            if self.gradient_checkpointing and self._gradient_checkpointing_func and torch.is_grad_enabled():
                latents = self._gradient_checkpointing_func(layer, features, latents)
            else:
                latents = layer(features, latents)
        out: Tensor = self.norm_out(self.proj_out(latents))
        return out


class IdentityPerceiver(nn.Module):
    """tau_id: a face-recognition vector makes the queries, which then read the image tokens.

    MLP 512 -> 4 * 512 -> tokens * width with GELU, LayerNorm: the queries; perceiver; output added to the
    queries. The defaults are PhotoMaker-V2's widths (217,122,816 parameters). The vector is the raw,
    not L2-normalised embedding: the released projection was trained on it.
    """

    def __init__(
        self,
        embedding_dim: int = 512,
        feature_dim: int = 1024,
        width: int = 2048,
        depth: int = 4,
        head_dim: int = 128,
        num_tokens: int = 2,
        ff_mult: int = 4,
        query_mult: int = 4,
    ) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.width = width
        self.query_in = nn.Linear(embedding_dim, query_mult * embedding_dim)
        self.query_out = nn.Linear(query_mult * embedding_dim, num_tokens * width)
        self.query_norm = nn.LayerNorm(width)
        self.perceiver = Perceiver(feature_dim, width, width, depth, head_dim, ff_mult=ff_mult)

    def forward(self, embedding: Tensor, features: Tensor) -> Tensor:
        """embedding [n, embedding_dim], features [n, S, feature_dim] -> [n, num_tokens, width]."""
        queries = self.query_out(F.gelu(self.query_in(cast_for(embedding, self.query_in.weight))))
        queries = self.query_norm(queries.unflatten(-1, (self.num_tokens, self.width)))
        out: Tensor = queries + self.perceiver(features, queries)
        return out


_LAYER_KEYS = {
    "0.norm1.weight": "attention.norm_features.weight",
    "0.norm1.bias": "attention.norm_features.bias",
    "0.norm2.weight": "attention.norm_latents.weight",
    "0.norm2.bias": "attention.norm_latents.bias",
    "0.to_q.weight": "attention.to_q.weight",
    "0.to_kv.weight": "attention.to_kv.weight",
    "0.to_out.weight": "attention.to_out.weight",
    "1.0.weight": "ff_norm.weight",
    "1.0.bias": "ff_norm.bias",
    "1.1.weight": "ff_in.weight",
    "1.3.weight": "ff_out.weight",
}


def resampler_keys(depth: int, learned_queries: bool) -> dict[str, str]:
    """Upstream key -> our key of one `Perceiver`: IP-Adapter, PhotoMaker-V2 and DynamiCrafter share names."""
    keys = {f"{m}.{p}": f"{m}.{p}" for m in ("proj_in", "proj_out", "norm_out") for p in ("weight", "bias")}
    if learned_queries:
        keys["latents"] = "queries"
    for layer in range(depth):
        keys.update({f"layers.{layer}.{up}": f"layers.{layer}.{our}" for up, our in _LAYER_KEYS.items()})
    return keys


def tau_id_keys(depth: int = 4) -> dict[str, str]:
    """Upstream key -> our key of `IdentityPerceiver` (PhotoMaker-V2's `qformer_perceiver.` left off)."""
    keys = {
        f"{up}.{p}": f"{our}.{p}"
        for up, our in (
            ("token_proj.0", "query_in"),
            ("token_proj.2", "query_out"),
            ("token_norm", "query_norm"),
        )
        for p in ("weight", "bias")
    }
    resampler = resampler_keys(depth, learned_queries=False)
    keys.update({f"perceiver_resampler.{up}": f"perceiver.{our}" for up, our in resampler.items()})
    return keys


def take_keys(state: Mapping[str, Tensor], keys: Mapping[str, str], prefix: str, source: str) -> dict[str, Tensor]:
    """The tensors of `state` under `prefix`, renamed by `keys` (upstream -> ours); all, and no other.

    `source` names the file in the error. Raises WeightsError on a missing or an unknown key under `prefix`.
    """
    present = {name.removeprefix(prefix) for name in state if name.startswith(prefix)}
    missing, unknown = sorted(keys.keys() - present), sorted(present - keys.keys())
    if missing or unknown:
        raise WeightsError(
            f"{source}: under '{prefix}' {len(missing)} keys are missing {missing[:3]} and {len(unknown)} "
            f"are unknown {unknown[:3]}.",
            "The file is not the expected checkpoint, or is damaged: fetch it again.",
        )
    return {our: state[prefix + up] for up, our in keys.items()}
