"""RAFT's recurrence with the context's share taken out of the loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.models.optical_flow.raft import ConvGRU, UpdateBlock


@dataclass(frozen=True)
class _Gate:
    """Weights of one convolutional GRU: z and r fused, q alone; each without and with only the context."""

    zr: Tensor
    q: Tensor
    zr_context: Tensor
    q_context: Tensor
    zr_bias: Tensor
    q_bias: Tensor
    padding: tuple[int, int]


Shares = tuple[tuple["Tensor", "Tensor"], ...]


class SplitRecurrence:
    """The two convolutional GRUs of an update block on (hidden, context, motion).

    The context does not change over the iterations and convolution is linear in its input channels, so the
    context's third of each of the six convolutions is computed once a pair; z and r share one convolution.
    Equal to the stock block up to the order of float32 sums.
    """

    def __init__(self, update_block: UpdateBlock) -> None:
        hidden = int(update_block.hidden_state_size)
        motion = int(update_block.motion_encoder.out_channels)
        block = update_block.recurrent_block
        self._gates = tuple(_split(gru, hidden, motion) for gru in (block.convgru1, block.convgru2))

    def context_shares(self, context: Tensor) -> Shares:
        """What the context (B, C, h, w) adds to z and r, and to q, of each GRU, biases included."""
        import torch.nn.functional as F

        return tuple(
            (
                F.conv2d(context, gate.zr_context, gate.zr_bias, padding=gate.padding),
                F.conv2d(context, gate.q_context, gate.q_bias, padding=gate.padding),
            )
            for gate in self._gates
        )

    def __call__(self, hidden: Tensor, motion: Tensor, shares: Shares) -> Tensor:
        """The next hidden state, (B, hidden, h, w)."""
        import torch
        import torch.nn.functional as F

        for gate, (zr_share, q_share) in zip(self._gates, shares, strict=True):
            both = F.conv2d(torch.cat([hidden, motion], dim=1), gate.zr, padding=gate.padding)
            z, r = torch.sigmoid(both + zr_share).chunk(2, dim=1)
            reset = F.conv2d(torch.cat([r * hidden, motion], dim=1), gate.q, padding=gate.padding)
            q = torch.tanh(reset + q_share)
            hidden = (1 - z) * hidden + z * q
        return hidden


def _split(gru: ConvGRU, hidden: int, motion: int) -> _Gate:
    import torch

    def without_context(weight: Tensor) -> Tensor:
        return torch.cat([weight[:, :hidden], weight[:, -motion:]], dim=1).contiguous()

    def only_context(weight: Tensor) -> Tensor:
        return weight[:, hidden:-motion].contiguous()

    zr = torch.cat([gru.convz.weight, gru.convr.weight]).detach()
    q = gru.convq.weight.detach()
    return _Gate(
        zr=without_context(zr),
        q=without_context(q),
        zr_context=only_context(zr),
        q_context=only_context(q),
        zr_bias=torch.cat([gru.convz.bias, gru.convr.bias]).detach(),
        q_bias=gru.convq.bias.detach(),
        padding=gru.convz.padding,
    )
