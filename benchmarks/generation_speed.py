"""Tokens per second when one token is written at a time, against a bare loop around `torch.nn.LSTM` with T = 1.

Ways, alternating in one process, all greedy:

- `nn.LSTM`: embedding, module, output layer, argmax, and nothing else;
- `generate`: `model.generate`, as any user of transformers calls it;
- `rnn-zoo`: what the command `rnn-zoo generate` does after loading: the stream, the decoding and the writing of letters
  (at batch 1; at larger batches the stream alone).

`nn.LSTM` packs its weights anew for each token, into memory that glibc asks the system for and gives back each time:
most of its time goes into that. With `--keep-memory` the process keeps what it has freed, which is the fastest that the
bare loop can be.

    python benchmarks/generation_speed.py
    python benchmarks/generation_speed.py --keep-memory --batch 32 --tokens 200 --json result.json
"""

import argparse
import contextlib
import json
import os
import string
import sys
import time
from itertools import islice

import torch
from ratios import KEEP_MEMORY, compare

from rnn_zoo import CELLS, GenerationStream, RnnConfig, RnnForCausalLM
from rnn_zoo.tasks.causal_lm.answers import write
from rnn_zoo.tokenizers import build_char_tokenizer


def modules(model: RnnForCausalLM, args: argparse.Namespace) -> torch.nn.LSTM:
    """`torch.nn.LSTM` with the model's weights."""
    lstm = torch.nn.LSTM(args.hidden, args.hidden, args.layers, batch_first=True).eval()
    for n, layer in enumerate(model.model.stack.layers):
        for name, weight in layer.cells[0].named_parameters():
            getattr(lstm, f"{name}_l{n}").data.copy_(weight.data)
    return lstm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cell", default="lstm", choices=list(CELLS), help="of our model; the bare loop is an LSTM")
    parser.add_argument("--keep-memory", action="store_true", help="do not give freed memory back (glibc)")
    parser.add_argument("--json", help="write the result to this file as well")
    args = parser.parse_args()
    if args.keep_memory and not os.environ.keys() >= KEEP_MEMORY.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP_MEMORY)

    torch.manual_seed(0)
    tokenizer = build_char_tokenizer([string.printable])
    config = RnnConfig(
        vocab_size=len(tokenizer),
        hidden_size=args.hidden,
        num_hidden_layers=args.layers,
        cell_type=args.cell,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    model = RnnForCausalLM(config).eval()
    lstm = modules(model, args) if args.cell == "lstm" else torch.nn.LSTM(args.hidden, args.hidden, args.layers).eval()
    prompt = torch.full((args.batch, 1), tokenizer.convert_tokens_to_ids("a"))

    @torch.no_grad()
    def bare() -> torch.Tensor:
        token, state, text = prompt, None, [prompt]
        for _ in range(args.tokens):
            y, state = lstm(model.model.embed_tokens(token), state)
            token = model.lm_head(y).argmax(-1)
            text.append(token)
        return torch.cat(text, 1)

    def generate() -> torch.Tensor:
        return model.generate(prompt, max_new_tokens=args.tokens, do_sample=False)

    def ours() -> None:
        if args.batch > 1:
            stream = GenerationStream(model, do_sample=False)
            stream.read(prompt)
            for _ in islice(stream, args.tokens):
                pass
            return
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            write(GenerationStream(model, do_sample=False), tokenizer, "a", args.tokens)

    ways = {"nn.LSTM": bare, "generate": generate, "rnn-zoo": ours}
    if args.cell == "lstm":
        assert torch.equal(bare(), generate()), "the ways write different texts"
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(args.rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if round_:  # the first is for warming up
                speeds[name].append(args.batch * args.tokens / (time.perf_counter() - start))
    print(f"{args.layers} x {args.hidden} {args.cell}, batch {args.batch}, {torch.get_num_threads()} threads")
    ratios = compare(speeds, "nn.LSTM")
    if args.json:
        arguments = {name: value for name, value in vars(args).items() if name != "json"}
        result = {"arguments": arguments, "threads": torch.get_num_threads(), "tokens_per_second": speeds}
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(result | {"ratios": ratios}, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()
