"""What a device asks for before it runs a fused kernel: a precision, contiguous states, weights in one piece."""

import threading
from collections.abc import Callable

import torch
from torch import nn

# Held by the thread that looks where weights are, and moves them: a second one must not see them half moved.
_moving = threading.Lock()

# Whether this CPU has matrix units for bfloat16 (AMX); elsewhere the LSTM's kernel is slow in it, or missing.
BF16_UNITS = hasattr(torch.cpu, "get_capabilities") and bool(torch.cpu.get_capabilities().get("amx_bf16"))


def autocasts_in_vain(x: torch.Tensor, has_bf16_kernel: bool) -> bool:
    """Whether autocast would choose a precision in which the kernels of this CPU are slow, or missing.

    Args:
        x: the input of the kernel.
        has_bf16_kernel: whether it has a fast one for bfloat16, where the CPU has units for it.
    """
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    return not (has_bf16_kernel and BF16_UNITS and torch.get_autocast_dtype("cpu") == torch.bfloat16)


def initial(state: torch.Tensor) -> torch.Tensor:
    """A state before the first step, `(B, H)` -> `(1, B, H)`: kernels have an axis for layers; cuDNN's refuse what is
    not contiguous."""
    return state[None].contiguous()


def in_one_piece(weights: list[torch.Tensor], flatten: Callable[[list[torch.Tensor]], None]) -> list[torch.Tensor]:
    """The weights as cuDNN wants them, in one piece of memory; it copies them at every call otherwise.

    Parameters move there for good, but only those that nobody else manages: who keeps the memory of a parameter and
    writes to it (FSDP, DeepSpeed) would write to memory that the kernel does not read any more. Of those, and of
    weights that are new at each call, each call reads a copy.

    Args:
        weights: in the order of torch's kernels.
        flatten: moves them, in place.
    """
    if not is_on_gpu(weights[0]):
        return weights
    if not all(type(w) is nn.Parameter for w in weights):
        return joined(weights)
    if torch.compiler.is_compiling() or not torch.backends.cudnn.is_acceptable(weights[0]):
        return weights
    with _moving:
        pieces = {w.untyped_storage().data_ptr() for w in weights}
        if len(pieces) == 1:
            return weights
        if all(map(is_nobody_elses, weights)) and len(pieces) == len(weights):
            with torch.no_grad(), torch.cuda.device_of(weights[0]):
                flatten(weights)
            return weights
    return joined(weights)


def is_on_gpu(weight: torch.Tensor) -> bool:
    return weight.is_cuda


def is_on_cpu(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu" and not is_on_gpu(tensor)


def is_nobody_elses(weight: torch.Tensor) -> bool:
    """Whether it is a plain parameter with memory of its own, and there are no other processes: with them its memory is
    often that of a manager, which does not tell (FSDP2 keeps one object for each whole weight and fills it anew)."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return False
    return type(weight) is nn.Parameter and weight.untyped_storage().nbytes() == weight.nbytes


def joined(weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """Copies that lie one after the other; gradients flow through them."""
    parts = torch.cat([w.reshape(-1) for w in weights]).split([w.numel() for w in weights])
    return [part.view_as(w) for part, w in zip(parts, weights, strict=True)]
