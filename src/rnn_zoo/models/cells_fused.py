"""The classic cells on fused kernels: the whole sequence is one call.

Sizes: `B` batch, `T` time, `D` input, `H` hidden, `G` gates.
"""

import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .device_kernels import autocasts_in_vain, in_one_piece, initial
from .kernels_cpu import GRU, RNN_RELU, RNN_TANH, Recurrence, is_faster_on_cpu, run_on_cpu
from .packed_weight import PackedWeight
from .real_steps import RealSteps, at_end, is_real
from .recurrent_cell import CellSteps, RecurrentCell, State
from .recurrent_weight import RecurrentWeight, fill_recurrent

# A gate's pre-activation that makes sigmoid exactly 0 or 1 in every dtype, fp16 included (largest value 65504).
SATURATE = 1e4


class FusedCell(RecurrentCell):
    """A cell whose whole sequence is one call of a fused kernel: of torch (cuDNN on a GPU, oneDNN for the LSTM on a
    CPU), or of ours where torch has none (`kernels_cpu.py`: GRU and simple RNN on a CPU, in training and with a mask).

    The parameters have the names, shapes and gate order of one layer of `torch.nn.RNN/GRU/LSTM`: `weight_ih (G·H, D)`,
    `weight_hh (G·H, H)`, `bias_ih (G·H)`, `bias_hh (G·H)`. They are used through the functional kernel, so that they
    stay ordinary parameters (weight dropout, LoRA) and `torch.compile` can follow.
    """

    kind = "fused"
    recurrent_weights = ("weight_hh",)
    has_bf16_kernel: ClassVar[bool] = False  # of this CPU, if it has units for it
    cpu_kernel: ClassVar[Recurrence | None] = None  # ours, where torch has no fused one for a CPU
    num_gates: ClassVar[int]
    cudnn_mode: ClassVar[str]

    def __init__(self, input_size: int, hidden_size: int, **shares: float):
        super().__init__(input_size, hidden_size, **shares)
        rows = self.num_gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """W_ih x + b_ih + b_hh, for all gates: `(..., D)` -> `(..., G·H)`."""
        return self.input_product(x, self.bias_ih + self.bias_hh)

    def input_product(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """W_ih x + bias: `(..., D)` -> `(..., G·H)`."""
        if x.dim() != 2 or self.num_gates == 1 or isinstance(self.weight_ih, PackedWeight):
            return F.linear(x, self.weight_ih, bias)
        return self.gate_product(bias.expand(x.shape[0], -1), x, self.weight_ih).transpose(0, 1).flatten(1)

    def gates(self, z: torch.Tensor, h: torch.Tensor, W: RecurrentWeight) -> State:
        """z + W(h), `(B, G·H)`, of each gate `(B, H)`."""
        if W.product is not F.linear:
            return (z + W(h)).chunk(self.num_gates, -1)
        return self.gate_product(z, W.kept(h), W.weight).unbind()

    def gate_product(self, z: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """z + weight x of one step, each gate apart: `z (B, G·H)`, `x (B, D)`, `weight (G·H, D)` -> `(G, B, H)`.

        One product a gate lets several cores share a step; a single small product runs on one of them.
        """
        G, H = self.num_gates, self.hidden_size
        z, weight = z.view(-1, G, H).transpose(0, 1), weight.view(G, H, -1).transpose(1, 2)
        return torch.baddbmm(z, x.expand(G, -1, -1), weight)  # (G, B, H)

    def kernel(self, x: torch.Tensor, state: State, weights: list[torch.Tensor]) -> tuple[torch.Tensor, State]:
        """The fused kernel over whole rows: `x (B, T, D)`, `state` each `(B, H)`, weights `in_one_piece`
        -> `y (B, T, H)`, final state.

        Its argument `train` keeps what the backward pass needs: it follows gradients, not the training mode, so that
        gradients can be asked for in evaluation mode on a GPU as well.
        """
        raise NotImplementedError

    def masked_kernel(self, x, state, weights, lengths):
        """The same over rows whose real steps come first, `lengths (B)` of them; what follows does not count."""
        y, _ = self.kernel(x, state, in_one_piece(weights, self.flatten))
        return y, (last_output(y, lengths, state[0]),)

    def forward(self, x: torch.Tensor, state: State | None = None, mask: torch.Tensor | None = None):
        """See the module of `RecurrentCell`; in full precision where a low one is slow."""
        if torch.compiler.is_exporting() or not autocasts_in_vain(x, self.has_bf16_kernel):
            return super().forward(x, state, mask)
        with torch.autocast("cpu", enabled=False):
            dtype = self.weight_ih.dtype
            given = None if state is None else tuple(s.to(dtype) for s in state)
            return super().forward(x.to(dtype), given, mask)

    def sequence(self, x: torch.Tensor, state: State, mask: torch.Tensor | None):
        """The plain loop in one call of a kernel."""
        if self.zones_out or (self.training and self.recurrent_dropout):
            return super().sequence(x, state, mask)  # the kernels know none of it
        inference = not (torch.is_grad_enabled() or self.training)
        if mask is None and x.shape[1] == 1 and x.device.type == "cpu" and inference:
            y, state = self.step(x[:, 0], state)  # the kernel would pack its weights anew for each token
            return y[:, None], state
        weights = [self.weight_ih, *(w.weight for w in self.sequence_weights()), self.bias_ih, self.bias_hh]
        if self.cpu_kernel is not None and is_faster_on_cpu([x, *state, *weights], mask):
            y, h = run_on_cpu(self.cpu_kernel, self.h_of_torch, x, state[0], weights, mask)
            return y, (h,)
        return self.by_torch(x, state, weights, mask)

    def by_torch(self, x, state, weights, mask):
        """The whole sequence by torch's kernel."""
        if mask is None:
            return self.kernel(x, state, in_one_piece(weights, self.flatten))
        steps = RealSteps(mask)
        y, state = self.masked_kernel(steps.to_front(x), state, weights, steps.lengths)
        return steps.back(y), state

    def h_of_torch(self, x, h, weights, mask):
        """The same for a cell with the one state h."""
        y, (h,) = self.by_torch(x, (h,), weights, mask)
        return y, h

    def flatten(self, weights: list[torch.Tensor]) -> None:
        """Moves the cell's weights into one piece of memory, in the order of cuDNN."""
        mode = torch.backends.cudnn.rnn.get_cudnn_mode(self.cudnn_mode)
        sizes = self.input_size, mode, self.hidden_size, 0, 1, True, False
        torch._cudnn_rnn_flatten_weight(weights, len(weights), *sizes)

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """Input weights uniform in ±1/√H (as torch); recurrent weights `orthogonal`, a square of its own for each gate
        (Saxe et al. 2014), or `uniform` in ±1/√H; biases 0, but for a forget gate (see the LSTM)."""
        bound = 1 / math.sqrt(self.hidden_size)
        init.uniform_(self.weight_ih, -bound, bound)
        init.zeros_(self.bias_ih)
        init.zeros_(self.bias_hh)
        fill_recurrent(self.weight_hh, bound, recurrent_init)


def last_output(y: torch.Tensor, lengths: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """`y (B, T, H)` at the last of each row's `lengths (B)` steps, `h (B, H)` for a row without any."""
    return torch.where(lengths[:, None] > 0, at_end(y, lengths), h)


class SimpleCell(FusedCell):
    """The simple recurrent network (Elman 1990).

    h_t = activation(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), y_t = h_t
    """

    num_gates = 1

    def activation(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def sequence_kernel(self, *arguments) -> tuple[torch.Tensor, torch.Tensor]:
        """torch's kernel for whole sequences with this activation."""
        raise NotImplementedError

    def kernel(self, x, state, weights):
        y, h = self.sequence_kernel(x, initial(state[0]), weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return y, (h[0],)

    def recur(self, z, state, weights):
        (h,), (W,) = state, weights
        h = self.activation(z + W(h) if W.product is not F.linear else torch.addmm(z, W.kept(h), W.weight.t()))
        return h, (h,)


class RnnTanhCell(SimpleCell):
    """The simple recurrent network with tanh (Elman 1990)."""

    cpu_kernel = RNN_TANH
    cudnn_mode = "RNN_TANH"

    def activation(self, x):
        return torch.tanh(x)

    def sequence_kernel(self, *arguments):
        return torch.rnn_tanh(*arguments)


class RnnReluCell(SimpleCell):
    """The simple recurrent network with a rectifier, max(0, ·) (Le, Jaitly, Hinton 2015)."""

    cpu_kernel = RNN_RELU
    cudnn_mode = "RNN_RELU"

    def activation(self, x):
        return torch.relu(x)

    def sequence_kernel(self, *arguments):
        return torch.rnn_relu(*arguments)


class GruCell(FusedCell):
    """The gated recurrent unit (Cho et al. 2014), in the form that cuDNN computes.

    r_t = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)
    z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
    n_t = tanh(W_in x_t + b_in + r_t ⊙ (W_hn h_{t-1} + b_hn))
    h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}, y_t = h_t

    The paper applies the reset gate before the recurrent product, W_hn (r_t ⊙ h_{t-1}), and swaps z_t and 1 - z_t.
    """

    num_gates = 3
    cpu_kernel = GRU
    cudnn_mode = "GRU"

    def kernel(self, x, state, weights):
        y, h = torch.gru(x, initial(state[0]), weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return y, (h[0],)

    def project(self, x):
        return self.input_product(x, self.bias_ih)  # b_hh stays with W_hh: the reset gate multiplies b_hn

    def recur(self, z, state, weights):
        (h,), (W,) = state, weights
        ir, iz, in_ = z.chunk(3, -1)
        hr, hz, hn = self.gates(self.bias_hh.expand(h.shape[0], -1), h, W)
        r = torch.sigmoid(ir + hr)
        z = torch.sigmoid(iz + hz)
        n = torch.tanh(in_ + r * hn)
        h = (1 - z) * n + z * h
        return h, (h,)


class LstmCell(FusedCell):
    """The LSTM (Hochreiter and Schmidhuber 1997) with a forget gate (Gers, Schmidhuber, Cummins 2000), no peepholes.

    i_t = σ(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)
    f_t = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)
    g_t = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)
    o_t = σ(W_io x_t + b_io + W_ho h_{t-1} + b_ho)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t), y_t = h_t
    """

    state_names = ("h", "c")
    has_bf16_kernel = True
    num_gates = 4
    cudnn_mode = "LSTM"

    def kernel(self, x, state, weights):
        y, h, c = torch.lstm(
            x, [initial(s) for s in state], weights, True, 1, 0.0, torch.is_grad_enabled(), False, True
        )
        return y, (h[0], c[0])

    def masked_kernel(self, x, state, weights, lengths):
        # The kernel returns c only after the last step. One more input feature, 1 after a row's end, closes the input
        # gate and opens the forget gate there, so that c is carried unchanged to that last step.
        weight_ih, *rest = weights
        H = self.hidden_size
        close = weight_ih.new_zeros(4 * H, 1)
        close[:H] = -SATURATE
        close[H : 2 * H] = SATURATE
        after_end = (~is_real(x, lengths)).to(x.dtype)  # (B, T)
        widened = in_one_piece([torch.cat([weight_ih, close], 1), *rest], self.flatten)
        y, (_, c) = self.kernel(torch.cat([x, after_end[..., None]], -1), state, widened)
        return y, (last_output(y, lengths, state[0]), c)

    def recur(self, z, state, weights):
        (h, c), (W,) = state, weights
        i, f, g, o = self.gates(z, h, W)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)

    def steps(self):
        return CellSteps(self) if self.zones_out else LstmSteps(self)

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """As the other cells; the forget gate's bias is `forget_gate_bias` (1.0: Jozefowicz et al. 2015, section 4)."""
        super().init_weights(forget_gate_bias, recurrent_init)
        if not getattr(self.bias_ih, "_is_hf_initialized", False):
            self.bias_ih.data[self.hidden_size : 2 * self.hidden_size] = forget_gate_bias


class LstmSteps(CellSteps):
    """Steps of an LSTM in memory that is kept: the gates of a step take the place of those before it.

    The operators are those of `LstmCell`, in its order: the numbers are the same. Each state is a new one.

    Args:
        cell: an `LstmCell` on a CPU, and not under autocast.
    """

    cell: LstmCell

    def __init__(self, cell: LstmCell):
        super().__init__(cell)
        self.places: tuple[int, ...] = ()  # of the cell's parameters
        self.form: tuple = ()  # of the memory for the gates: B, dtype

    def advance(self, z, state):
        h, c = state
        if not self.is_ready(h):
            return super().advance(z, state)
        torch.baddbmm(z.view(self.four).transpose(0, 1), h.expand(4, -1, -1), self.weight_hh, out=self.gates)
        return self.end(c)

    def step(self, x, state):
        h, c = state
        if not self.is_ready(h):
            return super().step(x, state)
        torch.add(self.bias_ih, self.bias_hh, out=self.bias)
        torch.baddbmm(self.bias, x.expand(4, -1, -1), self.weight_ih, out=self.gates)
        self.gates.baddbmm_(h.expand(4, -1, -1), self.weight_hh)
        return self.end(c)

    def end(self, c: torch.Tensor) -> tuple[torch.Tensor, State]:
        """The gates' pre-activations are there: the rest of the step."""
        self.open.sigmoid_()
        self.o.sigmoid_()
        c = self.f * c
        c += self.i.mul_(self.g.tanh_())
        h = torch.tanh(c).mul_(self.o)
        return h, (h, c)

    def is_ready(self, h: torch.Tensor) -> bool:
        """Whether a step like that of `h (B, H)` can be taken in memory that is kept; it is made here."""
        if torch.is_grad_enabled():
            return False
        parameters = self.cell._parameters.values()
        places = tuple([weight.data_ptr() for weight in parameters])  # type: ignore[union-attr]
        form = h.shape[0], h.dtype
        if places != self.places or form != self.form:
            if any(type(weight) is not nn.Parameter or weight.dtype != h.dtype for weight in parameters):
                return False
            with torch.inference_mode(False):  # what is made inside could not be written to outside
                self.prepare(h)
            self.places, self.form = places, form
        return True

    def prepare(self, h: torch.Tensor) -> None:
        """The memory of the gates `(4, B, H)`, and the parameters as the products take them."""
        cell, H = self.cell, self.cell.hidden_size
        self.four = -1, 4, H
        self.gates = torch.empty(4, h.shape[0], H, dtype=h.dtype)
        self.open = self.gates[:2]
        self.i, self.f, self.g, self.o = self.gates.unbind()
        weights = cell.weight_ih.detach(), cell.weight_hh.detach()
        self.weight_ih, self.weight_hh = (w.view(4, H, -1).transpose(1, 2) for w in weights)
        self.bias_ih, self.bias_hh = (b.detach().view(4, 1, H) for b in (cell.bias_ih, cell.bias_hh))
        self.bias = torch.empty_like(self.bias_ih)
