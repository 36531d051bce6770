"""How the task `translation` trains and is measured: an encoder and a decoder, from a text to another."""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text
from transformers import DataCollatorForSeq2Seq, GenerationConfig

from ...data.length_batches import longest_first
from ...data.stored_rows import StoredRows, selected
from ...errors import UserError
from ...models.given_texts import says_nothing
from ...models.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration
from ...models.tokenization_pairs import PairTokenizer
from ...output import pasted
from ...training.arguments import require_whole_splits, rows_a_step
from ...training.order_of_rows import LengthBatches, lengths_of_pairs
from ...training.parts import Part
from ...training.run_trainer import GeneratingTrainer
from ..task_run import TaskRun, from_tokenizer
from . import ATTENTION_FILE, TASK
from .data import load_pairs
from .encoding import build_tokenizer, rows_of_pairs
from .locale_pairs import Pair
from .pairs import place_of
from .translator import Translator

SHOWN_PAIRS = 6
GROUP = "exact_match_"  # and the name of a group, as a number is called


class TranslationRun(TaskRun):
    """Pairs of texts -> rows of ids of both -> a translator; measured by BLEU, chrF and exact matches."""

    task = TASK

    @classmethod
    def check(cls, recipe):
        if recipe.training.label_smoothing_factor:
            raise UserError("label_smoothing_factor: use label_smoothing, which leaves the evaluation as it is")
        require_whole_splits(recipe.training, "BLEU is that of all texts of a split")
        if recipe.training.generation_config is not None:
            raise UserError("generation_config: use num_beams, length_penalty and max_target_length")
        best = (recipe.training.metric_for_best_model or "loss").removeprefix("eval_")
        if best != "loss" and not recipe.training.predict_with_generate:
            raise UserError(f"metric_for_best_model={best!r}: needs predict_with_generate")

    @property
    def trainer_class(self):
        return GeneratingTrainer

    def parts(self):
        sampling = [ScheduledSampling()] if self.recipe.model["scheduled_sampling"] else []
        return [LengthBatches(lengths_of_pairs), *sampling]

    def load_data(self, only=None) -> dict[str, Sequence[Pair]]:
        return load_pairs(self.recipe.data, self.args, self.warn, only)

    def build_tokenizer(self, data):
        return build_tokenizer(data["train"], self.recipe.data, self.args)

    def build_model(self, data, tokenizer) -> RnnSeq2SeqForConditionalGeneration:
        """With a generation configuration that searches as the recipe says."""
        settings: dict[str, Any] = from_tokenizer(tokenizer)
        if isinstance(tokenizer, PairTokenizer):
            settings |= {
                "decoder_vocab_size": tokenizer.target_vocab_size,
                "share_encoder_decoder_embeddings": False,
            }
        config = self.recipe.config(**settings, decoder_start_token_id=tokenizer.bos_token_id)
        try:
            model = RnnSeq2SeqForConditionalGeneration(config)
        except ValueError as error:
            raise UserError(str(error)) from error
        model.generation_config = GenerationConfig(
            max_new_tokens=self.args.max_target_length,
            num_beams=self.args.num_beams,
            length_penalty=self.args.length_penalty,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.bos_token_id,
        )
        return model

    def build_trainer(self, model, tokenizer, data):
        from .translations import signatures, translation_metrics  # sacrebleu is slow to import

        args = self.recipe.training
        for name, beams in (("num_beams", self.args.num_beams), ("generation_num_beams", args.generation_num_beams)):
            if beams is not None and (refusal := model.config.refusal_of_beams(beams, name)):
                raise UserError(refusal)
        try:
            self.signatures = signatures(self.args.bleu_tokenize)  # or an error, before hours of training
        except (ImportError, ValueError) as error:
            raise UserError(f"bleu_{error}") from error
        pairs = {
            name: part if name == "train" else selected(part, longest_first(source_lengths(part)))
            for name, part in data.items()
        }
        rows = {
            name: rows_of_pairs(part, tokenizer, self.args, self.warn, f"{self.recipe.data.source} ({name})")
            for name, part in pairs.items()
        }
        measured = {name: part for name, part in pairs.items() if name != "train"} or pairs
        for name, part in measured.items():
            if empty := [n for n, pair in enumerate(part) if not pair.target.strip()]:
                place = place_of(part, empty[0], f"{self.recipe.data.source} ({name})")
                raise UserError(f"{place}: the target is empty, with which no translation can be compared")
        self.metrics = {
            name: translation_metrics(
                getattr(tokenizer, "target", tokenizer),
                [self.reference(pair) for pair in part],
                groups=[pair.group for pair in part] if all(pair.group for pair in part) else None,
                blank={
                    n
                    for n, (pair, ids) in enumerate(zip(part, rows[name]["input_ids"], strict=True))
                    if says_nothing(tokenizer, pair.source, ids)
                },
                tokenize=self.args.bleu_tokenize,
            )
            for name, part in measured.items()
        }
        trainer = GeneratingTrainer(
            model,
            args,
            parts=self.parts(),
            train_dataset=rows.get("train"),
            eval_dataset=rows.get("validation"),
            data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
            processing_class=tokenizer,
            compute_metrics=self.metrics.get("validation") if args.predict_with_generate else None,
        )
        return trainer, rows

    def reference(self, pair: Pair) -> str:
        """The true target, in the form in which the tokenizer writes: equal letters are then equal strings."""
        form = self.recipe.data.unicode_normalization
        return unicodedata.normalize("NFC", pair.target) if form == "NFC" else pair.target

    def describe(self, data) -> str:
        return "pairs: " + ", ".join(f"{name} {len(part):,}" for name, part in data.items())

    def describe_model(self, config) -> str:
        directions = "bidirectional " if config.encoder_bidirectional else ""
        return (
            f"encoder {config.num_hidden_layers} x {config.hidden_size} {directions}{config.cell_type}, decoder "
            f"{config.decoder_layers} x {config.decoder_hidden_size} {config.decoder_cell_type}, attention "
            f"{config.attention}"
        )

    def speed(self, datasets, steps, seconds):
        return {"pairs_per_second": rows_a_step(self.recipe.training) * steps / seconds}

    def measure(self, trainer, datasets, name, **options):
        """By the search that the recipe asks for, whatever the evaluations in training did; signed by sacrebleu."""
        args = trainer.args
        before = trainer.compute_metrics, args.predict_with_generate
        trainer.compute_metrics, args.predict_with_generate = self.metrics[name], True
        options |= {"num_beams": self.args.num_beams, "length_penalty": self.args.length_penalty}
        options |= {"max_new_tokens": self.args.max_target_length}
        try:
            measured = super().measure(trainer, datasets, name, **options)
        finally:
            trainer.compute_metrics, args.predict_with_generate = before
        return measured | self.signatures

    def result(self, measured) -> str:
        groups = {name.removeprefix(GROUP): value for name, value in measured.items() if name.startswith(GROUP)}
        least = min(groups, key=groups.__getitem__, default=None)
        of_least = "" if least is None else f" (least: {least}, {groups[least]:.2%})"
        exact = f"{measured['exact_match']:.2%} exact{of_least}"
        signed = f"BLEU|{measured['bleu_signature']}  chrF|{measured['chrf_signature']}"
        return f"BLEU {measured['bleu']:.2f}, chrF {measured['chrf']:.2f}, {exact}\n  {signed}"

    def finish(self, model, tokenizer, data, console):
        """Shows how a few sentences of the validation part are translated, and draws where the model looked."""
        from ...inspect.attention import save_attention

        shown = data["validation"][:: max(1, len(data["validation"]) // SHOWN_PAIRS)][:SHOWN_PAIRS]
        attention = model.config.attention != "none"
        translator = Translator(model, tokenizer, max_source_length=self.args.max_source_length)
        found = translator([pair.source for pair in shown], attention=attention)
        table = Table("source", "translation", "reference", box=None, padding=(0, 2, 0, 0))
        for pair, translation in zip(shown, found, strict=True):
            table.add_row(Text(pair.source), Text(translation.text), Text(pair.target))
        console.print(table)
        if attention:
            maps = [translation.attention for translation in found if translation.attention is not None]
            if maps:
                save_attention(self.output / ATTENTION_FILE, maps)
            where = self.place / ATTENTION_FILE if maps else "nowhere, as it has written nothing"
            self.say(f"where the model looked: {where}")
        return {}

    def next_command(self, output_dir) -> str:
        return f'translate with: rnn-zoo translate {pasted(output_dir)} "some text"'


def source_lengths(pairs: Sequence[Pair]) -> np.ndarray:
    """The characters of each source, `(N)`."""
    if isinstance(pairs, StoredRows):
        return pairs.lengths("source")
    return np.array([len(pair.source) for pair in pairs], dtype=np.int64)


class ScheduledSampling(Part):
    """Raises the share of the model's own words among the decoder's inputs from 0 to `config.scheduled_sampling`.

    The linear schedule of Bengio et al. 2015, section 2.4.
    """

    key = "scheduled_sampling"

    def on_step_begin(self, args, state, control, **kwargs):
        model, done = self.trainer.model, state.global_step / max(state.max_steps, 1)
        model.scheduled_sampling = model.config.scheduled_sampling * done
