"""Learning rates that rise and fall once, as a part of a training."""

from functools import partial

from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

from .parts import Part

CUT = {"slanted_triangular": 0.1, "one_cycle": 0.3}  # share of the steps in which the rate rises
LOWEST = {"slanted_triangular": 1 / 32, "one_cycle": 1 / 25}  # of the highest rate, at the beginning
BETA1 = 0.85, 0.95  # AdamW's first beta falls while the rate rises, and back


class Schedule(Part):
    """The slanted triangle of ULMFiT (Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text
    Classification", section 3.2), or the one cycle of Smith 2018 ("A disciplined approach to neural network
    hyper-parameters").

    Args:
        kind: `slanted_triangular` or `one_cycle`.
    """

    key = "lr_schedule"

    def __init__(self, kind: str):
        self.kind = kind

    def schedule(self, optimizer, steps):
        rising = self.trainer.args.get_warmup_steps(steps) or round(CUT[self.kind] * steps)
        if self.kind == "slanted_triangular":
            return LambdaLR(optimizer, partial(slanted_triangle, rising=rising, steps=steps))
        low, high = BETA1
        rising = min(max(rising, 2), steps + 1)  # torch counts the first step as one of those that rise
        return OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=steps + 1,  # Trainer takes a step after the last one too
            pct_start=rising / (steps + 1),
            div_factor=1 / LOWEST[self.kind],
            base_momentum=low,
            max_momentum=high,
        )


def slanted_triangle(step: int, rising: int, steps: int) -> float:
    """The share of the highest rate at a step: from a 32nd to 1 in `rising` steps, then back (equation 3, ratio 32)."""
    lowest = LOWEST["slanted_triangular"]
    share = step / max(rising, 1) if step < rising else (steps - step) / max(steps - rising, 1)
    return lowest + (1 - lowest) * max(share, 0.0)
