"""What passes between the host and a device without the host waiting for it: a GPU works on what it was given earlier,
and each wait leaves it without work."""

from collections.abc import Sequence

import torch

# What `numbers_on` has copied to GPUs.
_copied: dict[tuple, torch.Tensor] = {}
MOST = 1024  # of these


def numbers_on(device: torch.device, numbers: Sequence[int] | Sequence[float], dtype: torch.dtype) -> torch.Tensor:
    """Numbers that are known beforehand, as a tensor `(N)` that nobody may change. To a GPU they are copied once."""
    if device.type in ("cpu", "meta") or torch.compiler.is_compiling():
        return torch.tensor(numbers, dtype=dtype, device="cpu").to(device)
    key = tuple(numbers), dtype, device
    table = _copied.get(key)
    if table is None:
        with torch.inference_mode(False):  # it serves training, too
            table = torch.tensor(numbers, dtype=dtype, device="cpu").to(device)
        if len(_copied) >= MOST:
            _copied.clear()
        if type(table) is torch.Tensor:  # and not one that only stands for it while something is traced
            _copied[key] = table
    return table


def is_seen(wrong: torch.Tensor, sentence: str) -> bool:
    """Whether one of `wrong`, truth values of any shape, is true. A graph cannot ask, and for a GPU the answer would
    have to be waited for: there it is `False`, and the device itself stops, later, with the sentence."""
    if torch.compiler.is_compiling() or wrong.device.type == "meta":
        return False
    if wrong.device.type == "cuda":
        torch._assert_async(~wrong.any(), sentence)
        return False
    return bool(wrong.any())
