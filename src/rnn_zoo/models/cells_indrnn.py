"""The simple recurrent network whose units see only themselves."""

import torch
from torch import nn
from transformers import initialization as init

from .cells_gated import GatedCell


class IndRnnCell(GatedCell):
    """The independently recurrent network (Li et al. 2018, "Independently Recurrent Neural Network (IndRNN): Building A
    Longer and Deeper RNN").

    h_t = max(0, W x_t + u ⊙ h_{t-1} + b), y_t = h_t

    The recurrent weights are a vector u: layers above mix the units. It begins uniform in [0, 1], where a state is kept
    or fades; the paper bounds |u| by the T-th root of 2 for texts of T steps, we do not.
    """

    recurrent_weights = ()
    num_gates = 1
    weight_u: nn.Parameter

    def weight_shapes(self):
        D, H = self.input_size, self.hidden_size
        return {"weight_ih": (H, D), "weight_u": (H,), "bias": (H,)}

    def recur(self, z, state, weights):
        (h,) = state
        h = torch.relu(torch.addcmul(z, self.weight_u, h))
        return h, (h,)

    def init_weights(self, forget_gate_bias, recurrent_init):
        super().init_weights(forget_gate_bias, recurrent_init)
        init.uniform_(self.weight_u, 0, 1)
