"""Layers x directions x masks x state over any cell: the only place that knows how cells are stacked.

Sizes: `B` batch, `T` time, `D` input, `H` hidden, `L` layers.
"""

from collections.abc import Callable

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .cells import CELLS
from .dropout import locked_dropout
from .recurrent_cell import SHARES, CellSteps, RecurrentCell
from .recurrent_state import LayerState


class RecurrentLayer(GradientCheckpointingLayer):
    """One layer: normalization, a cell for each direction, dropout, residual connection.

    y = x + dropout([cell(norm(x)); reverse(cell'(reverse(norm(x))))])

    where `norm`, `x +` and the second cell are there only if the configuration asks for them; with `reads_backward`
    the only cell is the reversed one. States come and go as
    single tensors: reentrant gradient checkpointing loses the gradients of those inside tuples.
    """

    def __init__(self, config, input_size: int, dropout: float):
        super().__init__()
        cell, shares = CELLS[config.cell_type], {name: getattr(config, name) for name in SHARES}
        directions = 2 if config.bidirectional else 1
        self.cells = nn.ModuleList(cell(input_size, config.hidden_size, **shares) for _ in range(directions))
        self.norm = nn.LayerNorm(input_size, eps=config.layer_norm_eps) if config.layer_norm else nn.Identity()
        self.add_input = config.residual and input_size == config.output_size
        self.dropout = dropout
        self.reads_backward: bool = config.reads_backward

    def state_shapes(self) -> list[list[tuple[int, ...]]]:
        """For each direction the shapes of the cell's states, without the batch."""
        cells: list[RecurrentCell] = list(self.cells)  # type: ignore[arg-type]
        return [list(cell.state_shapes()) for cell in cells]

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None, *states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """`x (B, T, D)`, `mask (B, T)`, the states of all directions -> `y (B, T, directions·H)`, new states."""
        z = self.norm(x)
        size = len(states) // len(self.cells)
        outputs: list[torch.Tensor] = []
        new_states: list[torch.Tensor] = []
        for direction, cell in enumerate(self.cells):
            backward = self.reads_backward or direction == 1
            # Flipping the whole time axis moves padding to the other side, where the cell freezes its state as well.
            y, new = cell(
                z.flip(1) if backward else z,
                states[direction * size : (direction + 1) * size] or None,
                mask.flip(1) if backward and mask is not None else mask,
            )
            outputs.append(y.flip(1) if backward else y)
            new_states += new
        y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        y = locked_dropout(y, self.dropout, self.training)
        return (x + y if self.add_input else y), *new_states


class RecurrentStack(nn.Module):
    """The layers of a model, from its input features to the last hidden states.

    Args:
        config: any configuration with the fields of `RnnConfig`.
        input_size: `D`, features of the input.
    """

    def __init__(self, config, input_size: int):
        super().__init__()
        last = config.num_hidden_layers - 1
        self.layers = nn.ModuleList(
            RecurrentLayer(
                config,
                input_size if n == 0 else config.output_size,
                dropout=config.hidden_dropout if n < last else 0.0,
            )
            for n in range(config.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(config.output_size, eps=config.layer_norm_eps) if config.layer_norm else nn.Identity()
        self.output_dropout = config.output_dropout

    def state_shapes(self) -> list[list[list[tuple[int, ...]]]]:
        """For each layer and direction the shapes of the cell's states, without the batch."""
        layers: list[RecurrentLayer] = list(self.layers)  # type: ignore[arg-type]
        return [layer.state_shapes() for layer in layers]

    def forward(
        self, x: torch.Tensor, states: tuple[LayerState, ...] | None = None, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, tuple[LayerState, ...], tuple[torch.Tensor, ...]]:
        """Runs all layers.

        Args:
            x: `(B, T, D)`.
            states: the state of each layer, `None` for zeros.
            mask: `(B, T)`, true on real steps; others freeze the state and have output 0 before normalization.

        Returns:
            The output `(B, T, directions·H)`, the new states, and the output of each layer.
        """
        new_states, hidden_states = [], []
        for n, layer in enumerate(self.layers):
            given = () if states is None else (s for direction in states[n] for s in direction)
            x, *new = layer(x, mask, *given)
            size = len(new) // len(layer.cells)  # type: ignore[arg-type]
            new_states.append(tuple(tuple(new[i : i + size]) for i in range(0, len(new), size)))
            hidden_states.append(x)
        x = self.norm(x)
        if mask is not None:
            x = x * mask[..., None].to(x.dtype)
        return locked_dropout(x, self.output_dropout, self.training), tuple(new_states), tuple(hidden_states)


class StackStep:
    """One step of a stack with one direction: what its `forward` computes, with nothing looked up twice.

    Args:
        stack: a `RecurrentStack`, without `recurrent_weight_dropout` and `recurrent_dropout` if it is in training.
        rows: `B`, in training: the dropout masks that all steps share are drawn here.
        steps: of a cell, the way it takes its steps.
    """

    def __init__(
        self, stack: RecurrentStack, rows: int | None = None, steps: Callable[[RecurrentCell], CellSteps] = CellSteps
    ):
        layers: list[RecurrentLayer] = list(stack.layers)  # type: ignore[arg-type]
        self.layers: list[tuple[RecurrentCell, nn.Module | None, bool]] = [
            (layer.cells[0], None if isinstance(layer.norm, nn.Identity) else layer.norm, layer.add_input)  # type: ignore[misc]
            for layer in layers
        ]
        self.norm = stack.norm
        self.steps: list[CellSteps] = [steps(cell) for cell, _, _ in self.layers]
        self.keep: list[torch.Tensor] | None = None
        if stack.training and rows is not None:
            ones = next(stack.parameters()).new_ones(rows, 1, self.layers[0][0].hidden_size)
            rates = [*(layer.dropout for layer in layers), stack.output_dropout]
            self.keep = [locked_dropout(ones, rate, True)[:, 0] for rate in rates]  # each (B, H)

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """What the first layer computes from its input alone, `(B, D)` -> `(B, P)`."""
        cell, norm, _ = self.layers[0]
        return cell.project(x if norm is None else norm(x))

    def __call__(
        self, x: torch.Tensor, states: tuple[LayerState, ...], z: torch.Tensor, outputs: list | None = None
    ) -> tuple[torch.Tensor, tuple[LayerState, ...]]:
        """`x (B, D)`, the state of each layer, `z = project(x)` -> the stack's output `(B, H)`, new states.

        The output of each layer, `(B, H)`, is appended to `outputs`.
        """
        new_states: list[LayerState] = []
        for n, ((_, norm, add_input), steps, (state,)) in enumerate(zip(self.layers, self.steps, states, strict=True)):
            y, new = steps.step(x if norm is None else norm(x), state) if n else steps.advance(z, state)
            if self.keep is not None:
                y = y * self.keep[n]
            x = x + y if add_input else y
            new_states.append((new,))
            if outputs is not None:
                outputs.append(x)
        if type(self.norm) is not nn.Identity:
            x = self.norm(x)
        return (x if self.keep is None else x * self.keep[-1]), tuple(new_states)


class SlowStackStep:
    """What `StackStep` computes, by calling the stack: slower, and training draws its dropout masks anew at each step.

    Args:
        stack: a `RecurrentStack`.
    """

    def __init__(self, stack: RecurrentStack):
        self.stack = stack

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """As `StackStep.project`, but nothing is computed ahead."""
        return x

    def __call__(
        self, x: torch.Tensor, states: tuple[LayerState, ...], z: torch.Tensor, outputs: list | None = None
    ) -> tuple[torch.Tensor, tuple[LayerState, ...]]:
        """As `StackStep.__call__`."""
        y, new_states, hidden_states = self.stack(x[:, None], states)
        if outputs is not None:
            outputs += [h[:, 0] for h in hidden_states]
        return y[:, 0], new_states


def steps_of(stack: RecurrentStack, rows: int) -> StackStep | SlowStackStep:
    """The fast way to take single steps, or the slow one where something stands around a module whose `forward` the
    fast one passes by: a hook (of offloaded weights, for instance) or an adapter."""
    plain = has_plain_layers(stack) and not any(is_hindered(module) for module in parts_passed_by(stack))
    return StackStep(stack, rows) if plain else SlowStackStep(stack)


def has_plain_layers(stack: RecurrentStack) -> bool:
    """Whether its layers are what `StackStep` takes them for: not wrapped, for instance by an adapter."""
    layers: list[RecurrentLayer] = list(stack.layers)  # type: ignore[arg-type]
    return all(type(layer) is RecurrentLayer and isinstance(layer.cells[0], RecurrentCell) for layer in layers)


def parts_passed_by(stack: RecurrentStack) -> list[nn.Module]:
    """The modules in a stack whose `forward` `StackStep` does not call, or not for each token."""
    layers: list[RecurrentLayer] = list(stack.layers)  # type: ignore[arg-type]
    return [module for layer in layers for module in (layer, layer.norm, layer.cells[0])]


def is_hindered(module: nn.Module) -> bool:
    """Whether a call would do more than the `forward` of its class: hooks, or another `forward`."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__)
