"""Trains a tiny model for each row of the table in `training/together.py`, on any engine.

`engines.py FOLDER ROWS SETTINGS`, in each process, leaves in FOLDER the weights of each row after a few steps, and what
was measured.
"""

import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"

import torch
from accelerate import DistributedType, PartialState
from datasets import Dataset
from transformers import (
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    Seq2SeqTrainingArguments,
)

from rnn_zoo import (
    RnnConfig,
    RnnForCausalLM,
    RnnForSequenceClassification,
    RnnSeq2SeqConfig,
    RnnSeq2SeqForConditionalGeneration,
    TokenStream,
    TruncatedBpttTrainer,
)
from rnn_zoo.tasks.translation.run import ScheduledSampling
from rnn_zoo.tokenizers import build_wordpunct_tokenizer
from rnn_zoo.training.fine_tuning import fine_tuning_parts
from rnn_zoo.training.keys import RegularizationArguments, TransferArguments
from rnn_zoo.training.order_of_rows import LengthBatches, lengths_of_pairs
from rnn_zoo.training.run_trainer import GeneratingTrainer, RunTrainer

ROWS, STEPS = 8, 4  # of a step over all processes; an epoch has two
MEASURED = 13  # rows, which no number of processes shares evenly
WORDS = ["a", "fine", "film", "but", "dull", "and", "long", ",", "not", "so", "bad", ".", "यह", "कहानी", "अच्छी", "है"]
TEXTS = [" ".join(WORDS[(7 * n + k) % len(WORDS)] for k in range(1 + n % 5)) for n in range(2 * ROWS)]
SIZES = {"vocab_size": 40, "embedding_size": 5, "hidden_size": 6, "num_hidden_layers": 2, "initializer_range": 0.5}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "unk_token_id": 3}
CLASSIFIER = {"id2label": {0: "bad", 1: "good"}, "bidirectional": True}
PARTS = {
    "run": lambda: [],
    "train_sampling_strategy": lambda: [LengthBatches()],
    "layer_lr_decay": lambda: fine_tuning_parts(TransferArguments(layer_lr_decay=0.5)),
    "direct_learning_rate": lambda: fine_tuning_parts(TransferArguments(direct_learning_rate=0.2)),
    "lr_schedule": lambda: fine_tuning_parts(TransferArguments(lr_schedule="one_cycle")),
    "gradual_unfreezing": lambda: fine_tuning_parts(TransferArguments(gradual_unfreezing=True)),
    "adversarial_epsilon": lambda: fine_tuning_parts(None, RegularizationArguments(adversarial_epsilon=0.1)),
    "weight_averaging": lambda: fine_tuning_parts(None, RegularizationArguments(weight_averaging=0.5)),
}


def train(row: str, folder: Path, processes: int = 1, **settings) -> RunTrainer:
    """Trains the tiny model of a row of the table."""
    args = Seq2SeqTrainingArguments(
        str(folder / row),
        **{
            "max_steps": STEPS,
            "per_device_train_batch_size": ROWS // processes,
            "per_device_eval_batch_size": ROWS // processes,
            "learning_rate": 0.02,
            "logging_steps": 1,
            "eval_strategy": "epoch",
            "save_strategy": "no",
            "report_to": "none",
            "use_cpu": True,
            "disable_tqdm": True,
            "ddp_find_unused_parameters": False,
            "predict_with_generate": row == "predict_with_generate",
            "label_smoothing_factor": 0.1 if row == "run" else 0.0,
        }
        | settings,
    )
    if args.fsdp:  # which accelerate leaves to GPUs
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    torch.manual_seed(0)
    words = build_wordpunct_tokenizer(TEXTS)
    if row == "bptt_length":
        ids = torch.tensor([n for text in TEXTS * 8 for n in words(text)["input_ids"]], dtype=torch.int32)
        stream = TokenStream(ids, len(ids))
        model = RnnForCausalLM(RnnConfig(**SIZES, **IDS))
        trainer: RunTrainer = TruncatedBpttTrainer(model, args, stream, stream, state_reset_probability=0.3)
    elif row in ("predict_with_generate", "scheduled_sampling"):
        config = RnnSeq2SeqConfig(**SIZES, **IDS, decoder_start_token_id=1, scheduled_sampling=0.4 * (row[0] == "s"))
        model = RnnSeq2SeqForConditionalGeneration(config)
        model.generation_config.max_new_tokens = 5
        rows = [words(text) | {"labels": words(text)["input_ids"][::-1]} for text in TEXTS]
        trainer = GeneratingTrainer(
            model,
            args,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(rows[:MEASURED]),
            data_collator=DataCollatorForSeq2Seq(words, model=model),
            compute_metrics=lambda found: {"written": len(found.predictions)},
            parts=[LengthBatches(lengths_of_pairs), *([ScheduledSampling()] if row[0] == "s" else [])],
        )
    else:
        more = {"direct_ngram_order": 2, "direct_ngram_size": 64} if row == "direct_learning_rate" else {}
        rows = [words(text) | {"labels": n % 2} for n, text in enumerate(TEXTS)]
        trainer = RunTrainer(
            RnnForSequenceClassification(RnnConfig(**SIZES, **IDS, **CLASSIFIER, **more)),
            args,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(rows[:MEASURED]),
            data_collator=DataCollatorWithPadding(words),
            parts=PARTS[row](),
        )
    trainer.train()
    return trainer


def outcome(trainer: RunTrainer) -> dict:
    """Weights, gathered from where they are, what was measured, and which engine there was."""
    return {
        "weights": trainer.accelerator.get_state_dict(trainer.model),
        "loss": [step["loss"] for step in trainer.state.log_history if "loss" in step],
        "eval_loss": [step["eval_loss"] for step in trainer.state.log_history if "eval_loss" in step],
        "engine": f"{trainer.accelerator.distributed_type.value} {type(trainer.model_wrapped).__name__}",
        "scheduled_sampling": getattr(trainer.accelerator.unwrap_model(trainer.model), "scheduled_sampling", None),
    }


if __name__ == "__main__":
    folder, rows, settings = Path(sys.argv[1]), sys.argv[2].split(","), json.loads(sys.argv[3])
    torch.set_num_threads(1)
    for row in rows:
        torch._dynamo.reset()
        trainer = train(row, folder, int(os.environ.get("WORLD_SIZE", "1")), **settings)
        found = outcome(trainer)  # by all processes
        if trainer.is_world_process_zero():
            torch.save(found, folder / f"{row}.pt")
    trainer.accelerator.end_training()
