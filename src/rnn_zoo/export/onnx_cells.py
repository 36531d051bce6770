"""ONNX's own operators for the cells that it has: one node for a whole sequence, where `scan` is a loop of many.

Sizes: `B` batch, `T` time, `D` input, `H` hidden, `G` gates.
"""

from typing import ClassVar

import torch
from torch import nn

from ..models.cells_fused import FusedCell, GruCell, LstmCell, RnnReluCell, RnnTanhCell
from ..models.modeling_rnn_seq2seq import RnnDecoder
from ..models.real_steps import RealSteps
from ..models.recurrent_cell import State


class OnnxCell(nn.Module):
    """A cell as an operator of ONNX, for a graph only: outside of an export it computes nothing.

    Masked steps may stand anywhere; ONNX knows how many steps of a row are real, if they come first. So they move to
    its front, and the outputs move back.

    Args:
        cell: whose weights these are.
    """

    operator: str
    order: tuple[int, ...]  # of torch's gates, as ONNX has them
    attributes: ClassVar[dict] = {}
    W: torch.Tensor  # (1, G·H, D)
    R: torch.Tensor  # (1, G·H, H)
    B: torch.Tensor  # (1, 2·G·H)

    def __init__(self, cell: FusedCell):
        super().__init__()
        self.hidden_size = cell.hidden_size

        def gates(weight: torch.Tensor) -> torch.Tensor:  # (G·H, ·) -> (1, G·H, ·), in the order of ONNX
            parts = weight.detach().chunk(len(self.order))
            return torch.cat([parts[n] for n in self.order])[None]

        self.register_buffer("W", gates(cell.weight_ih))
        self.register_buffer("R", gates(cell.weight_hh))
        self.register_buffer("B", torch.cat([gates(cell.bias_ih), gates(cell.bias_hh)], 1))

    def forward(self, x: torch.Tensor, state: State | None = None, mask: torch.Tensor | None = None):
        """As `RecurrentCell.forward`, for at least one step."""
        B, T, _ = x.shape
        H = self.hidden_size
        size = 2 if self.operator == "LSTM" else 1
        state = tuple(x.new_zeros(B, H) for _ in range(size)) if state is None else state
        steps = RealSteps(mask)
        y, *new = torch.onnx.ops.symbolic_multi_out(
            self.operator,
            [
                steps.to_front(x).transpose(0, 1),
                self.W,
                self.R,
                self.B,
                None if steps.lengths is None else steps.lengths.clamp(min=1).to(torch.int32),
                *(s[None] for s in state),
            ],
            {"hidden_size": H, **self.attributes},
            dtypes=[x.dtype] * (1 + size),
            shapes=[[T, 1, B, H], *[[1, B, H]] * size],
        )
        y, new = y.squeeze(1).transpose(0, 1), [s.squeeze(0) for s in new]
        if mask is not None:
            some = mask.any(1, keepdim=True)
            new = [torch.where(some, s, old) for s, old in zip(new, state, strict=True)]
        return steps.back(y), tuple(new)


class OnnxLstm(OnnxCell):
    operator = "LSTM"
    order = (0, 3, 1, 2)  # i, f, g, o -> i, o, f, c


class OnnxGru(OnnxCell):
    operator = "GRU"
    order = (1, 0, 2)  # r, z, n -> z, r, h
    attributes: ClassVar[dict] = {"linear_before_reset": 1}


class OnnxRnnTanh(OnnxCell):
    operator = "RNN"
    order = (0,)


class OnnxRnnRelu(OnnxRnnTanh):
    attributes: ClassVar[dict] = {"activations": ["Relu"]}


# Cells that are an operator of ONNX; every other one is exported by its `scan`.
OPERATORS: dict[type[nn.Module], type[OnnxCell]] = {
    LstmCell: OnnxLstm,
    GruCell: OnnxGru,
    RnnTanhCell: OnnxRnnTanh,
    RnnReluCell: OnnxRnnRelu,
}


def use_operators(module: nn.Module) -> None:
    """Puts ONNX's operators in the place of the cells in `module` that have one; a decoder that reads what it has found
    takes single steps, and keeps its cells."""
    if isinstance(module, RnnDecoder) and module.config.input_feeding:
        return
    for name, child in list(module.named_children()):
        if isinstance(child, FusedCell) and type(child) in OPERATORS and not child.zones_out:
            setattr(module, name, OPERATORS[type(child)](child))
        else:
            use_operators(child)
