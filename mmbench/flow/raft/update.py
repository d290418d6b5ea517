"""RAFT's update block with the work taken out of its loop that does not depend on the iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torchvision.models.optical_flow.raft import ConvGRU, UpdateBlock

Padding = tuple[int, int]


@dataclass(frozen=True)
class _Conv:
    """One convolution, its weights laid out channels last."""

    weight: Tensor
    bias: Tensor | None
    padding: Padding

    def __call__(self, images: Tensor) -> Tensor:
        import torch.nn.functional as F

        return F.conv2d(images, self.weight, self.bias, padding=self.padding)


@dataclass(frozen=True)
class _Gru:
    """A convolutional GRU: z and r fused, q alone; each over (hidden, motion), and over the context."""

    zr: _Conv
    q: _Conv
    zr_context: _Conv
    q_context: _Conv


@dataclass
class UpdateState:
    """What the iterations over one batch of pairs carry.

    `hidden` (B, C, h, w); `shares`, what the context adds to z and r, and to q, of each GRU, biases included;
    `joined` (B, C + M, h, w), the input of every gate, hidden (or r * hidden) before the motion features.
    """

    hidden: Tensor
    shares: tuple[tuple[Tensor, Tensor], ...]
    joined: Tensor


class SplitUpdate:
    """The update block of RAFT, equal to the stock one up to the order of float32 sums (2e-5 px of flow).

    The context does not change over the iterations and convolution is linear in its input channels, so the
    context's third of each of the six gate convolutions is computed once a pair; z and r share a convolution;
    the gates' input is written in place instead of joined anew; all is laid out channels last, which the
    convolutions of one-dimensional kernels compute up to twice as fast on a processor.
    """

    def __init__(self, block: UpdateBlock, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._hidden = int(block.hidden_state_size)
        self._motion = int(block.motion_encoder.out_channels)
        encoder = block.motion_encoder
        self._correlation_convs = [self._conv(encoder.convcorr1[0]), self._conv(encoder.convcorr2[0])]
        self._flow_convs = [self._conv(encoder.convflow1[0]), self._conv(encoder.convflow2[0])]
        self._motion_conv = self._conv(encoder.conv[0])
        recurrent = block.recurrent_block
        self._grus = [self._split(gru) for gru in (recurrent.convgru1, recurrent.convgru2)]
        self._head = [self._conv(block.flow_head.conv1), self._conv(block.flow_head.conv2)]

    def start(self, hidden: Tensor, context: Tensor) -> UpdateState:
        """Begin the iterations from the context encoder's `hidden` and `context`, each (B, C, h, w)."""
        hidden, context = (self._last(tensor) for tensor in (hidden, context))
        shares = tuple((gru.zr_context(context), gru.q_context(context)) for gru in self._grus)
        batch, _, height, width = hidden.shape
        joined = hidden.new_empty((batch, height, width, self._hidden + self._motion)).permute(0, 3, 1, 2)
        return UpdateState(hidden, shares, joined)

    def step(self, state: UpdateState, flow: Tensor, correlation: Tensor) -> Tensor:
        """One iteration: replaces `state.hidden`, returns the change of flow (B, 2, h, w)."""
        import torch

        self._write_motion(state.joined[:, self._hidden :], self._last(flow), self._last(correlation))
        slot = state.joined[:, : self._hidden]
        for gru, (zr_share, q_share) in zip(self._grus, state.shares, strict=True):
            slot.copy_(state.hidden)
            z, r = gru.zr(state.joined).add_(zr_share).sigmoid_().chunk(2, dim=1)
            torch.mul(r, state.hidden, out=slot)
            q = gru.q(state.joined).add_(q_share).tanh_()
            state.hidden = torch.lerp(state.hidden, q, z)
        return self._head[1](self._head[0](state.hidden).relu_())

    def _write_motion(self, out: Tensor, flow: Tensor, correlation: Tensor) -> None:
        """The motion features (B, M, h, w), the flow itself in the last two channels."""
        import torch

        moved = flow
        for conv in self._correlation_convs:
            correlation = conv(correlation).relu_()
        for conv in self._flow_convs:
            moved = conv(moved).relu_()
        both = self._motion_conv(torch.cat([correlation, moved], dim=1))
        torch.clamp_min(both, 0, out=out[:, :-2])
        out[:, -2:].copy_(flow)

    def _split(self, gru: ConvGRU) -> _Gru:
        import torch

        hidden, motion, padding = self._hidden, self._motion, gru.convz.padding
        zr, q = torch.cat([gru.convz.weight, gru.convr.weight]), gru.convq.weight
        zr_bias = torch.cat([gru.convz.bias, gru.convr.bias])

        def without_context(weight: Tensor) -> _Conv:
            joined = torch.cat([weight[:, :hidden], weight[:, -motion:]], dim=1)
            return _Conv(self._last(joined), None, padding)

        def only_context(weight: Tensor, bias: Tensor) -> _Conv:
            return _Conv(self._last(weight[:, hidden:-motion]), self._last(bias), padding)

        return _Gru(without_context(zr), without_context(q), only_context(zr, zr_bias), only_context(q, gru.convq.bias))

    def _conv(self, conv: Any) -> _Conv:
        return _Conv(self._last(conv.weight), self._last(conv.bias), conv.padding)

    def _last(self, tensor: Tensor) -> Tensor:
        """In the working dtype, channels last."""
        import torch

        layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
        return tensor.detach().to(dtype=self.dtype, memory_format=layout)
