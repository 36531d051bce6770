"""What it answers."""

import torch

from rnn_zoo.checkpoints import place_of
from rnn_zoo.command_line import given_lines
from rnn_zoo.tasks.opening import load

from . import TASK


@torch.no_grad()
def judge(model, tokenizer, text: str) -> str:
    return ("no", "yes")[int(model(**tokenizer(text, return_tensors="pt")).logits.argmax())]


def answer(args) -> int:
    model, tokenizer = load(place_of(args.checkpoint), TASK.name, args.revision)
    for line in given_lines(args.text, args.file, "judge")[0]:
        print(judge(model, tokenizer, line))
    return 0
