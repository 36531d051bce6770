"""Lines of text -> rows -> a judge; its label needs no column."""

from functools import partial

from datasets import Dataset
from transformers import DataCollatorWithPadding

from rnn_zoo.data.formats import lines_of, read_text
from rnn_zoo.data.held_out import with_held_out
from rnn_zoo.data.sources import read_splits
from rnn_zoo.tasks.task_run import TaskRun, from_tokenizer
from rnn_zoo.tokenizers import build_char_tokenizer
from rnn_zoo.training.run_trainer import RunTrainer

from . import TASK
from .modeling import RnnForPalindromes


class PalindromeRun(TaskRun):
    task = TASK

    def load_data(self, only=None):
        data = self.recipe.data
        read = partial(read_text, encoding=data.encoding)
        texts = read_splits(data, [data.file_extension], {}, read, dict, only)
        most = self.args.longest_text
        splits = {name: [line for line in lines_of(text) if len(line) <= most] for name, text in texts.items()}
        return splits if "train" not in splits else with_held_out(splits, data, str, self.warn, "few texts")

    def build_tokenizer(self, data):
        return build_char_tokenizer(data["train"])

    def build_model(self, data, tokenizer):
        return RnnForPalindromes(self.recipe.config(**from_tokenizer(tokenizer)))

    def build_trainer(self, model, tokenizer, data):
        rows = {}
        for name, texts in data.items():
            encoded = tokenizer(texts)
            labels = [int(text == text[::-1]) for text in texts]
            rows[name] = Dataset.from_dict({**encoded, "labels": labels})
        trainer = RunTrainer(
            model,
            self.recipe.training,
            train_dataset=rows.get("train"),
            eval_dataset=rows.get("validation"),
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            compute_metrics=lambda said: {"accuracy": float((said.predictions.argmax(-1) == said.label_ids).mean())},
        )
        return trainer, rows

    def describe(self, data):
        return f"texts: {', '.join(f'{name} {len(part)}' for name, part in data.items())}"

    def result(self, measured):
        return f"accuracy {measured['accuracy']:.1%}"

    def next_command(self, output_dir):
        return f"judge with: rnn-zoo palindrome {output_dir} abba"
