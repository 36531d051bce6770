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
