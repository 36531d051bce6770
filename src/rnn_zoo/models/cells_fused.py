"""The classic cells on torch's fused kernels: the whole sequence is one call.

Sizes: `B` batch, `T` time, `D` input, `H` hidden, `G` gates.
"""

import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .dropout import drop_weight
from .recurrent_cell import RecurrentCell, State

# A gate's pre-activation that makes sigmoid exactly 0 or 1 in every dtype, fp16 included (largest value 65504).
SATURATE = 1e4
# Whether this CPU has matrix units for bfloat16 (AMX); elsewhere the LSTM's kernel is slow in it, or missing.
BF16_UNITS = hasattr(torch.cpu, "get_capabilities") and bool(torch.cpu.get_capabilities().get("amx_bf16"))


class FusedCell(RecurrentCell):
    """A cell whose whole sequence is one call of torch's kernel: cuDNN on a GPU, oneDNN (for the LSTM) on a CPU.

    The parameters have the names, shapes and gate order of one layer of `torch.nn.RNN/GRU/LSTM`: `weight_ih (G·H, D)`,
    `weight_hh (G·H, H)`, `bias_ih (G·H)`, `bias_hh (G·H)`. They are used through the functional kernel, so that they
    stay ordinary parameters (weight dropout, LoRA) and `torch.compile` can follow.
    """

    num_gates: ClassVar[int]
    cudnn_mode: ClassVar[str]

    def __init__(self, input_size: int, hidden_size: int, recurrent_weight_dropout: float = 0.0):
        super().__init__(input_size, hidden_size, recurrent_weight_dropout)
        rows = self.num_gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        self._flattened: tuple[int, ...] = ()
        self.init_weights(forget_gate_bias=0.0, recurrent_init="uniform")

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """W_ih x + b_ih + b_hh, for all gates: `(..., D)` -> `(..., G·H)`."""
        return self.input_product(x, self.bias_ih + self.bias_hh)

    def input_product(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """W_ih x + bias: `(..., D)` -> `(..., G·H)`."""
        if x.dim() != 2 or self.num_gates == 1:
            return F.linear(x, self.weight_ih, bias)
        return self.gate_product(bias.expand(x.shape[0], -1), x, self.weight_ih).transpose(0, 1).flatten(1)

    def gate_product(self, z: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """z + weight x of one step, each gate apart: `z (B, G·H)`, `x (B, D)`, `weight (G·H, D)` -> `(G, B, H)`.

        One product a gate lets several cores share a step; a single small product runs on one of them.
        """
        G, H = self.num_gates, self.hidden_size
        z, weight = z.view(-1, G, H).transpose(0, 1), weight.view(G, H, -1).transpose(1, 2)
        return torch.baddbmm(z, x.expand(G, -1, -1), weight)  # (G, B, H)

    def kernel(self, x: torch.Tensor, state: State, weights: list[torch.Tensor]) -> tuple[torch.Tensor, State]:
        """The fused kernel over whole rows: `x (B, T, D)`, `state` each `(B, H)` -> `y (B, T, H)`, final state.

        Its argument `train` keeps what the backward pass needs: it follows gradients, not the training mode, so that
        gradients can be asked for in evaluation mode on a GPU as well.
        """
        raise NotImplementedError

    def masked_kernel(self, x, state, weights, lengths):
        """The same over rows whose real steps come first, `lengths (B)` of them; what follows does not count."""
        y, _ = self.kernel(x, state, weights)
        return y, (last_output(y, lengths, state[0]),)

    def forward(self, x: torch.Tensor, state: State | None = None, mask: torch.Tensor | None = None):
        """See the module's contract."""
        if torch.compiler.is_exporting():
            if self.training and self.recurrent_weight_dropout:
                raise ValueError("recurrent_weight_dropout is not exported: call model.eval() first")
            return self.scan(x, state, mask)
        if state is None:
            state = self.initial_state(x)
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not self.autocasts_on_cpu():
            with torch.autocast("cpu", enabled=False):  # low precision kernels are slow or missing
                dtype = self.weight_ih.dtype
                return self.forward(x.to(dtype), tuple(s.to(dtype) for s in state), mask)
        if 0 in x.shape[:2]:  # the kernels refuse what is empty; gradients are 0, and not missing
            nothing = sum(tensor[:0].sum() for tensor in (x, *state, *self.parameters()))
            return x.new_zeros(*x.shape[:2], self.hidden_size) + nothing, state
        inference = not (torch.is_grad_enabled() or self.training)
        if mask is None and x.shape[1] == 1 and x.device.type == "cpu" and inference:
            y, state = self.step(x[:, 0], state)  # the kernel would pack its weights anew for each token
            return y[:, None], state
        return self.sequence(x, state, mask)

    def autocasts_on_cpu(self) -> bool:
        """Whether autocast may choose a lower precision on this CPU, because its kernel has one that is fast."""
        return False

    def sequence(self, x: torch.Tensor, state: State, mask: torch.Tensor | None):
        weight_hh = drop_weight(self.weight_hh, self.recurrent_weight_dropout, self.training)
        weights = [self.weight_ih, weight_hh, self.bias_ih, self.bias_hh]
        if x.is_cuda:
            weights = self.one_chunk(weights)
        if mask is None:
            return self.kernel(x, state, weights)
        # The real steps of each row move to its front, in order; the kernel runs; the outputs move back.
        mask = mask.bool()
        order = mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)  # (B, T)
        x = gather_time(x.masked_fill(~mask[..., None], 0), order)  # not even an infinity under the mask counts
        y, state = self.masked_kernel(x, state, weights, mask.sum(1))
        back = (mask.cumsum(1) - 1).clamp(min=0)  # (B, T)
        return gather_time(y, back) * mask[..., None].to(y.dtype), state

    def one_chunk(self, weights: list[torch.Tensor]) -> list[torch.Tensor]:
        """cuDNN wants its weights in one piece of memory and copies them at every call otherwise."""
        if weights[1] is not self.weight_hh:  # dropped weights are new at each call
            sizes = [w.numel() for w in weights]
            return [
                part.view_as(w)
                for part, w in zip(torch.cat([w.reshape(-1) for w in weights]).split(sizes), weights, strict=True)
            ]
        if torch.compiler.is_compiling() or not torch.backends.cudnn.is_acceptable(self.weight_ih):
            return weights
        pointers = tuple(w.data_ptr() for w in weights)
        if pointers != self._flattened and len(set(pointers)) == len(weights):
            with torch.no_grad(), torch.cuda.device_of(self.weight_ih):
                mode = torch.backends.cudnn.rnn.get_cudnn_mode(self.cudnn_mode)
                torch._cudnn_rnn_flatten_weight(
                    weights, len(weights), self.input_size, mode, self.hidden_size, 0, 1, True, False
                )
            self._flattened = tuple(w.data_ptr() for w in weights)
        return weights

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """Input weights uniform in ±1/√H (as torch); recurrent weights `orthogonal`, a square of its own for each gate
        (Saxe et al. 2014), or `uniform` in ±1/√H; biases 0, but for a forget gate (see the LSTM)."""
        bound = 1 / math.sqrt(self.hidden_size)
        init.uniform_(self.weight_ih, -bound, bound)
        init.zeros_(self.bias_ih)
        init.zeros_(self.bias_hh)
        if recurrent_init == "uniform":
            init.uniform_(self.weight_hh, -bound, bound)
        elif not getattr(self.weight_hh, "_is_hf_initialized", False) and not self.weight_hh.is_meta:
            # A slice of a loaded parameter does not know that it was loaded: ask the whole one first.
            for gate in self.weight_hh.data.split(self.hidden_size):
                nn.init.orthogonal_(gate)


def gather_time(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """`x (B, T, D)`, `index (B, T)` -> `x[b, index[b, t]]`, `(B, T, D)`."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


def last_output(y: torch.Tensor, lengths: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """`y (B, T, H)` at the last of each row's `lengths (B)` steps, `h (B, H)` for a row without any."""
    last = gather_time(y, (lengths - 1).clamp(min=0)[:, None]).squeeze(1)
    return torch.where(lengths[:, None] > 0, last, h)


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
        y, h = self.sequence_kernel(x, state[0][None], weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return y, (h[0],)

    def recur(self, z, state):
        h = self.activation(torch.addmm(z, state[0], self.weight_hh.t()))
        return h, (h,)


class RnnTanhCell(SimpleCell):
    """The simple recurrent network with tanh (Elman 1990)."""

    cudnn_mode = "RNN_TANH"

    def activation(self, x):
        return torch.tanh(x)

    def sequence_kernel(self, *arguments):
        return torch.rnn_tanh(*arguments)


class RnnReluCell(SimpleCell):
    """The simple recurrent network with a rectifier, max(0, ·) (Le, Jaitly, Hinton 2015)."""

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
    cudnn_mode = "GRU"

    def kernel(self, x, state, weights):
        y, h = torch.gru(x, state[0][None], weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return y, (h[0],)

    def project(self, x):
        return self.input_product(x, self.bias_ih)  # b_hh stays with W_hh: the reset gate multiplies b_hn

    def recur(self, z, state):
        (h,) = state
        ir, iz, in_ = z.chunk(3, -1)
        hr, hz, hn = self.gate_product(self.bias_hh.expand(h.shape[0], -1), h, self.weight_hh).unbind()
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
    num_gates = 4
    cudnn_mode = "LSTM"

    def autocasts_on_cpu(self) -> bool:
        return BF16_UNITS and torch.get_autocast_dtype("cpu") == torch.bfloat16

    def kernel(self, x, state, weights):
        hx = [s[None].contiguous() for s in state]
        y, h, c = torch.lstm(x, hx, weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return y, (h[0], c[0])

    def masked_kernel(self, x, state, weights, lengths):
        # The kernel returns c only after the last step. One more input feature, 1 after a row's end, closes the input
        # gate and opens the forget gate there, so that c is carried unchanged to that last step.
        weight_ih, *rest = weights
        H = self.hidden_size
        close = weight_ih.new_zeros(4 * H, 1)
        close[:H] = -SATURATE
        close[H : 2 * H] = SATURATE
        after_end = (torch.arange(x.shape[1], device=x.device) >= lengths[:, None]).to(x.dtype)  # (B, T)
        y, (_, c) = self.kernel(
            torch.cat([x, after_end[..., None]], -1), state, [torch.cat([weight_ih, close], 1), *rest]
        )
        return y, (last_output(y, lengths, state[0]), c)

    def recur(self, z, state):
        h, c = state
        i, f, g, o = self.gate_product(z, h, self.weight_hh).unbind()  # each (B, H)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)

    def init_weights(self, forget_gate_bias: float, recurrent_init: str) -> None:
        """As the other cells; the forget gate's bias is `forget_gate_bias` (1.0: Jozefowicz et al. 2015, section 4)."""
        super().init_weights(forget_gate_bias, recurrent_init)
        if not getattr(self.bias_ih, "_is_hf_initialized", False):
            self.bias_ih.data[self.hidden_size : 2 * self.hidden_size] = forget_gate_bias
