"""How the task `causal_lm` trains and is measured: a language model of one long stream, or of lines."""

import math
from functools import partial
from typing import Any

import torch
from rich.panel import Panel
from rich.text import Text
from transformers import (
    DataCollatorForLanguageModeling,
    EvalPrediction,
    GenerationConfig,
)

from ...data.document_stream import Documents
from ...data.long_text import pieces_of
from ...data.token_stream import LaneDataset, TokenStream
from ...errors import UserError
from ...models.modeling_causal_lm import RnnForCausalLM
from ...models.output_loss import IGNORED
from ...models.tokenization_rnn import CHAT_TEMPLATE
from ...output import pasted
from ...training.arguments import rows_a_step
from ...training.callbacks import KeepGenerationConfig, shown
from ...training.run_trainer import RunTrainer
from ...training.truncated_bptt import TruncatedBpttTrainer, perplexity_of
from ..task_run import TaskRun, from_tokenizer
from . import TASK
from .data import build_tokenizer, load_texts, rows_of_lines, stream_of
from .generation import hidden_ids
from .python_lines import accepted_share

SAMPLE_ROWS = 8  # texts sampled at once for a share that a single text would leave to chance


class CausalLmRun(TaskRun):
    """Text -> a stream of ids, or one row of ids a line -> a model that writes more of the kind."""

    task = TASK

    @classmethod
    def check(cls, recipe):
        if recipe.training.label_smoothing_factor:
            raise UserError(
                "label_smoothing_factor: not available for language models, it would smooth unshifted targets"
            )
        args = recipe.task_arguments
        if not args.streaming:
            return
        others = {"examples": args.examples != "stream", "max_characters": args.max_characters is not None}
        others |= {"reads_backward": recipe.model["reads_backward"], "embedded_data": bool(recipe.data.embedded_data)}
        for name in (name for name, given in others.items() if given):
            raise UserError(f"{name}: does not go with streaming, which reads documents as they come")

    @property
    def checked_by_trainer(self):
        lanes = ("bptt_length", "per_device_train_batch_size", "gradient_accumulation_steps")
        return frozenset(lanes if self.args.is_stream else ())

    @property
    def trainer_class(self):
        return TruncatedBpttTrainer if self.args.is_stream else RunTrainer

    def load_data(self, only=None):
        if self.args.streaming and only is None and self.recipe.training.max_steps < 1:
            raise UserError("streaming: the end of the documents is not known, so say how long to train: --max_steps")
        return load_texts(self.recipe.data, self.args, only, self.warn)

    def build_tokenizer(self, data):
        tokenizer = build_tokenizer(data["train"], self.recipe.data, self.args.vocabulary_characters)
        tokenizer.chat_template = CHAT_TEMPLATE  # in a file of its own, for programs that ask no tokenizer
        return tokenizer

    def build_model(self, data, tokenizer) -> RnnForCausalLM:
        """With a generation configuration that suits the text."""
        config = self.recipe.config(**from_tokenizer(tokenizer))
        try:
            model = RnnForCausalLM(config)
        except ValueError as error:
            raise UserError(str(error)) from error
        # A stream has no <bos>: there a text begins as after a line end, and it ends only where it is cut.
        stream = self.args.is_stream
        start = end = None
        if stream:
            ids = tokenizer("\n", add_special_tokens=False)["input_ids"]
            start = ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None
        else:
            end = tokenizer.eos_token_id
        model.generation_config = GenerationConfig(
            do_sample=True,
            temperature=0.8,
            top_k=0,  # temperature alone shapes the samples; the library's own default cuts them to the 50 likeliest
            max_new_tokens=500 if stream else 100,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=start if start is not None else tokenizer.bos_token_id,
            eos_token_id=end,
        )
        return model

    def build_trainer(self, model, tokenizer, data):
        args = self.recipe.training
        args.use_cache = True  # Trainer copies it into the model's configuration, and so into the checkpoint
        if self.args.is_stream:
            datasets: dict[str, Any] = {name: stream_of(text, tokenizer) for name, text in data.items()}
            texts = {name: text for name, text in datasets.items() if isinstance(text, TokenStream)}
            check_lanes(
                texts, rows_a_step(args), args.per_device_eval_batch_size * args.world_size, self.args.bptt_length
            )
            trainer: RunTrainer = TruncatedBpttTrainer(
                model,
                args,
                train_dataset=datasets.get("train"),
                eval_dataset=datasets.get("validation"),
                bptt_length=self.args.bptt_length,
                state_reset_probability=self.args.state_reset_probability,
                processing_class=tokenizer,
            )
        else:
            datasets = {name: rows_of_lines(text, tokenizer) for name, text in data.items()}
            trainer = RunTrainer(
                model,
                args,
                train_dataset=datasets.get("train"),
                eval_dataset=datasets.get("validation"),
                data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
                processing_class=tokenizer,
                compute_metrics=mean_over_tokens,
                preprocess_logits_for_metrics=partial(row_likelihoods, model=model),
            )
        trainer.add_callback(KeepGenerationConfig(model.generation_config))
        return trainer, datasets

    def describe(self, data) -> str:
        sizes = {
            name: f"streamed from {text.rows.num_shards:,} files" if isinstance(text, Documents) else f"{len(text):,}"
            for name, text in data.items()
        }
        return "characters: " + ", ".join(f"{name} {size}" for name, size in sizes.items())

    def speed(self, datasets, steps, seconds):
        if not isinstance(datasets["train"], TokenStream):
            return {}
        return {"tokens_per_second": rows_a_step(self.recipe.training) * self.args.bptt_length * steps / seconds}

    def result(self, measured) -> str:
        bits = measured.get("bits_per_character", measured.get("bits_per_token"))
        numbers = [(measured["loss"], "{:.4f} nats a token"), (bits, "{:.3f} bits")]
        numbers.append((measured["perplexity"], "perplexity {:.2f}"))
        return ", ".join(shown(number, form) for number, form in numbers)

    def finish(self, model, tokenizer, data, console):
        """Prints a sample at each temperature; returns them, with the share of acceptable lines where asked for."""
        args, stream = self.args, self.args.is_stream
        if args.sample_tokens < 1 or model.config.reads_backward:
            return {"samples": []}
        checked = args.sample_check == "python_lines"
        real_share = accepted_share(pieces_of(data["validation"])) if checked else None
        samples: list[dict[str, Any]] = []
        for temperature in args.sample_temperatures:
            rows = sample(
                model,
                tokenizer,
                args.sample_prompt if stream else "",
                SAMPLE_ROWS if checked or not stream else 1,
                temperature=temperature,
                max_new_tokens=args.sample_tokens,
            )
            shown = rows[0] if stream else "\n".join(rows)
            samples.append({"temperature": temperature, "text": shown})
            console.print(Panel(Text(shown.strip("\n")), title=f"temperature {temperature}", title_align="left"))
            if checked:
                share = accepted_share(rows)
                samples[-1] |= {"accepted_lines": share, "accepted_lines_of_real_text": real_share}
                if share is None or not real_share:
                    console.print("lines that Python's tokenize accepts: no whole line to judge")
                else:
                    console.print(
                        f"lines that Python's tokenize accepts: {share:.1%} of {SAMPLE_ROWS} such samples, "
                        f"{real_share:.1%} of real text ({share / real_share:.0%} of it)"
                    )
        return {"samples": samples}

    def next_command(self, output_dir) -> str:
        if self.recipe.model["reads_backward"]:
            return f"begin a classifier or tagger with it: rnn-zoo train RECIPE --language_model {pasted(output_dir)}"
        return f"write more with: rnn-zoo generate {pasted(output_dir)}"


def check_lanes(datasets: dict[str, TokenStream], train_lanes: int, eval_lanes: int, bptt_length: int) -> None:
    """Says at once, not after hours, that a split is too short for its lanes."""
    trains = "validation" in datasets  # otherwise one split is evaluated, perhaps the training text
    for name, stream in datasets.items():
        training = name == "train" and trains
        try:
            LaneDataset(stream, train_lanes if training else eval_lanes, bptt_length)
        except UserError as error:
            option = "per_device_train_batch_size" if training else "per_device_eval_batch_size"
            raise UserError(f"{name}: {error} (--{option})") from error


def row_likelihoods(logits, labels: torch.Tensor, model: RnnForCausalLM) -> torch.Tensor:
    """`logits (B, T, V)`, `labels (B, T)` -> for each row its negative log-likelihood and its targets, `(B, 2)`."""
    scores = logits[0] if isinstance(logits, tuple) else logits
    targets = model.next_of(labels, IGNORED).masked_fill(labels == IGNORED, IGNORED)  # padding reads nothing
    nats = torch.nn.functional.cross_entropy(
        scores.transpose(1, 2).float(), targets, ignore_index=IGNORED, reduction="none"
    )
    return torch.stack([nats.sum(1), (targets != IGNORED).sum(1).float()], dim=1)


def mean_over_tokens(prediction: EvalPrediction) -> dict[str, float]:
    """The mean over all tokens; Trainer's own mean over batches would weigh short rows more."""
    nats, targets = prediction.predictions.sum(0).tolist()
    loss = nats / targets
    return {
        "loss": loss,
        "perplexity": perplexity_of(loss),
        "bits_per_token": loss / math.log(2),
        "tokens": int(targets),
    }


def sample(model, tokenizer, prompt: str, rows: int, **options) -> list[str]:
    """Texts that begin with `prompt`, an empty one with the model's own beginning; `<eos>` and padding left out."""
    device = model.device
    if prompt:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"].to(device)
    else:
        ids = torch.full((1, 1), model.generation_config.bos_token_id, device=device)
    output = model.generate(input_ids=ids.expand(rows, -1), do_sample=True, **options)
    hidden = hidden_ids(model, tokenizer)
    texts = [[i for i in row if i not in hidden] for row in output[:, ids.shape[1] :].tolist()]
    return [prompt + text for text in tokenizer.batch_decode(texts)]
