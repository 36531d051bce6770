"""Trainers whose batches hold rows of nearly one length."""

from torch.utils.data import Sampler, SequentialSampler
from transformers import Seq2SeqTrainer, TrainerCallback

from ..data.length_batches import LengthSampler
from .arguments import rows_a_step
from .transfer import TransferTrainer


class LengthBatchedTrainer(TransferTrainer):
    """A `Trainer` that shuffles whole batches of rows of nearly one length, so that little is computed for padding.

    The rows of an optimizer step are the same however many processes share it, and a resumed run goes on in the same
    order. A `train_sampling_strategy` other than the default is left to `Trainer`. Evaluation keeps the order of the
    rows. Rows need `input_ids`; where they are pairs, the lengths of `labels` count first.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.train_dataset is not None and self.args.train_sampling_strategy == "random":
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            lengths = self.lengths(self.train_dataset)
            self.length_sampler: LengthSampler | None = LengthSampler(lengths, rows_a_step(self.args), seed)
            self.add_callback(NextOrder(self.length_sampler))
        else:
            self.length_sampler = None

    @staticmethod
    def lengths(rows) -> list:
        """What rows of nearly one length have nearly alike."""
        return [len(ids) for ids in rows["input_ids"]]

    def _get_train_sampler(self, train_dataset=None) -> Sampler | None:
        return super()._get_train_sampler(train_dataset) if self.length_sampler is None else self.length_sampler

    def _get_eval_sampler(self, eval_dataset) -> Sampler | None:
        # Metrics have their references in the order of the rows, which `group_by_length` would change.
        return None if eval_dataset is None else SequentialSampler(eval_dataset)


class LengthBatchedSeq2SeqTrainer(LengthBatchedTrainer, Seq2SeqTrainer):
    """A `Seq2SeqTrainer` of pairs whose targets, and then whose sources, are of nearly one length.

    Evaluations see each row once, however many processes share them: `Seq2SeqTrainer.evaluate` asks for a plain gather,
    which keeps the rows that fill up the last batch.
    """

    @staticmethod
    def lengths(rows) -> list:
        return list(zip(map(len, rows["labels"]), map(len, rows["input_ids"]), strict=True))

    def evaluation_loop(self, *args, **kwargs):
        self.gather_function = self.accelerator.gather_for_metrics
        return super().evaluation_loop(*args, **kwargs)


class NextOrder(TrainerCallback):
    """Tells a sampler which epoch begins, also in the middle of a run."""

    def __init__(self, sampler: LengthSampler):
        self.sampler = sampler

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.sampler.epoch = int(state.epoch or 0)
