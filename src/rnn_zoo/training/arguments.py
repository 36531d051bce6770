"""What is asked of `TrainingArguments` before a training begins."""

from transformers import TrainingArguments

from ..errors import UserError


def require_whole_splits(args: TrainingArguments, reason: str) -> None:
    """Refuses arguments by which a metric would see only a part of a split, or nothing.

    Raises:
        UserError: for the first of them, with the reason.
    """
    needed = {"eval_do_concat_batches": True, "batch_eval_metrics": False, "prediction_loss_only": False}
    for name, value in needed.items():
        if getattr(args, name) != value:
            raise UserError(f"{name}: must be {str(value).lower()}, {reason}")


def rows_a_step(args: TrainingArguments) -> int:
    """Rows, or lanes of a stream, of one optimizer step: over all devices, processes and accumulated batches."""
    return args.train_batch_size * args.world_size * args.gradient_accumulation_steps


def rows_of_an_epoch(rows: int, batch_size: int, processes: int, drop_last: bool) -> int:
    """How many of `rows` rows an epoch trains on: several processes fill up their last batches with the first rows.

    Args:
        rows: of the training data.
        batch_size: of one process.
        processes: that share the rows.
        drop_last: whether an incomplete batch is left out.
    """
    at_once = batch_size * processes
    surplus = rows % at_once
    if drop_last:
        return rows - surplus
    return rows if processes == 1 or not surplus else rows - surplus + at_once
