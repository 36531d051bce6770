"""`rnn-zoo import`: weights of PyTorch or Keras -> a checkpoint."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoint_files import missing
from ..command_line import Parser
from ..errors import UserError
from ..importing.options import IMPORTED, POOLED, SEQUENCES, TOKENS
from ..models.keys_classifier import PROBLEM_TYPES
from ..output import say, warn
from ..units import UNITS
from . import start_libraries

if TYPE_CHECKING:
    from ..importing.original import Original
    from ..importing.roles import Choices

DESCRIPTION = """\
Makes a checkpoint of weights that were trained elsewhere, with the same outputs:

  weights.pt, .pth, .bin, .ckpt   torch.save(model.state_dict()), or a checkpoint that holds one
  weights.safetensors             the same tensors
  model.keras, model.weights.h5   Keras 3, read without Keras (pip install "rnn-zoo[keras]")
  model.h5                        the older format of Keras 2 and 3: a whole model, or weights

The model is an embedding (or one-hot vectors), layers of nn.LSTM, nn.GRU or nn.RNN, and a linear
layer: a language model, a tagger, perhaps with the CRF of pytorch-crf, or a classifier, perhaps
with a hidden layer with ReLU. What names and shapes of the tensors do not show has to be said,
and is asked for. What has no counterpart is listed, all at once, and nothing is written.

A pickle is read with torch.load(weights_only=True) alone, which runs nothing; a whole module that
was pickled is refused. The checkpoint is read again and compared with torch's own modules."""

EXAMPLES = f"""\
examples:
  rnn-zoo import char_rnn.pt runs/char_rnn --vocab chars.json --unit char
  rnn-zoo generate runs/char_rnn --prompt "The "
  rnn-zoo import tagger.pt runs/tagger --task {TOKENS} --vocab words.txt --unit word --labels tags.txt
  rnn-zoo import imdb.pt runs/imdb --task {SEQUENCES} --pooling last --labels neg,pos
  rnn-zoo import imdb.keras runs/imdb --vocab vocabulary.txt --unit keras --labels neg,pos"""


def import_weights(argv: list[str]) -> int:
    args = parse(argv)
    require_weights(args.weights)
    start_libraries()
    from ..importing.checkpoint import check_output, save
    from ..importing.vocabulary import build_tokenizer, open_tokenizer, read_tokens

    check_output(args.output, args.overwrite)
    labels = read_labels(args.labels)
    original = read(args.weights, choices_of(args, labels))
    tokenizer, added, rows = None, 0, original.vocab_size
    if args.tokenizer is not None:
        tokenizer = open_tokenizer(args.tokenizer)
    elif args.vocab is not None:
        tokens = read_tokens(args.vocab)
        tokenizer, added = build_tokenizer(tokens, args.unit, fold_case=args.lowercase)
    else:
        warn("no --vocab or --tokenizer: the checkpoint has no tokenizer, which other commands need")
    for note in original.notes:
        warn(note)
    stops = args.tokenizer is not None
    difference, greatest = save(original, args.output, args.weights, tokenizer, added, labels=labels, stops=stops)
    say(original.describe())
    if tokenizer is not None and added:
        names = ", ".join(tokenizer.convert_ids_to_tokens(list(range(rows, rows + added))))
        say(f"added to the vocabulary: {names}")
    say(f"compared with torch's own modules: outputs differ by {difference:.1e} at most (greatest: {greatest:.3g})")
    say(f"the checkpoint: {args.output}")
    sys.stdout.flush()
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="rnn-zoo import", description=DESCRIPTION, epilog=EXAMPLES)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("weights", type=Path, help="file of PyTorch, safetensors or Keras")
    parser.add_argument("output", type=Path, help="folder of the checkpoint that is made")
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that is there")
    model = parser.add_argument_group("the model, where the file does not say it")
    model.add_argument("--task", choices=IMPORTED)
    model.add_argument(
        "--cell-type",
        "--cell_type",
        choices=["lstm", "gru", "cho_gru", "rnn_tanh", "rnn_relu"],
        help="where the weights do not show it: tanh or ReLU [rnn_tanh]; a GRU with the reset gate behind the product "
        "or before it [gru]",
    )
    model.add_argument(
        "--pooling", choices=list(POOLED), help="how a classifier makes one vector of all states (docs/import.md)"
    )
    model.add_argument("--problem-type", "--problem_type", choices=PROBLEM_TYPES, help="of a classifier")
    model.add_argument("--labels", metavar="A,B|FILE", help="names of the labels; two for a model with one output too")
    model.add_argument("--one-hot", "--one_hot", action="store_true", help="the inputs are one-hot vectors")
    model.add_argument("--embedding", metavar="NAME", help="module that is the embedding")
    model.add_argument(
        "--rnn", metavar="NAME", action="append", default=[], help="recurrent module; several in their order"
    )
    model.add_argument("--dense", metavar="NAME", help="hidden linear layer of a classifier, with ReLU behind it")
    model.add_argument("--head", metavar="NAME", help="last linear layer")
    model.add_argument(
        "--ignore", dest="ignored", metavar="NAME", action="append", default=[], help="module that is left out"
    )
    text = parser.add_argument_group("the vocabulary")
    text.add_argument("--tokenizer", metavar="FOLDER|FILE", help="fast tokenizer, or tokenizer.json")
    text.add_argument("--vocab", metavar="FILE", type=Path, help="a token a line, or JSON: a list, or ids by token")
    text.add_argument("--unit", choices=UNITS, help="what a token of --vocab is, and how texts are cut")
    text.add_argument("--lowercase", action="store_true", help="texts are read in lower case")
    args = parser.parse_args(argv)
    if args.tokenizer is not None and (args.vocab is not None or args.unit is not None or args.lowercase):
        raise UserError("tokenizer: give it, or --vocab with --unit, not both")
    if (args.vocab is None) != (args.unit is None) or (args.lowercase and args.vocab is None):
        raise UserError("vocab: needs --unit, and --unit and --lowercase need --vocab")
    return args


def require_weights(path: Path) -> None:
    """Raises `UserError`, or what the system says, where there is no file to read; a pipe would be waited for."""
    if (problem := missing(path)) == "is no file":
        raise UserError(f"{path}: {problem}")
    path.open("rb").close()


def choices_of(args: argparse.Namespace, labels: list[str] | None) -> "Choices":
    from ..importing.roles import Choices

    names = ("task", "cell_type", "pooling", "problem_type", "one_hot", "embedding", "rnn", "dense", "head", "ignored")
    values = {name: getattr(args, name) for name in names}
    return Choices(num_labels=None if labels is None else len(labels), **values)


def read(path: Path, choices: "Choices") -> "Original":
    """What a file holds.

    Raises:
        UserError: if it is none that can be imported.
    """
    from ..importing.keras_file import is_hdf5, is_keras_zip, read_hdf5, read_older, read_zip
    from ..importing.keras_model import original_of_model
    from ..importing.keras_weights import parts_of_weights
    from ..importing.limits import size_of
    from ..importing.roles import original_of
    from ..importing.state_dict import parts_of_state_dict, read_state_dict

    try:
        is_zip, is_h5 = is_keras_zip(path), is_hdf5(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    if is_zip:
        return original_of_model(*read_zip(path), choices, str(path))
    if is_h5 and (model := read_older(path, path, size_of(path))) is not None:
        return original_of_model(*model, choices, str(path))
    if is_h5:
        return original_of(parts_of_weights(read_hdf5(path, path, size_of(path)), choices, str(path)), choices)
    return original_of(parts_of_state_dict(read_state_dict(path), choices, str(path)), choices)


def read_labels(given: str | None) -> list[str] | None:
    if given is None:
        return None
    from ..importing.vocabulary import read_tokens

    labels = given.split(",") if "," in given else read_tokens(Path(given))
    if len(set(labels)) < len(labels) or "" in labels:
        raise UserError(f"labels={given!r}: must be different names")
    return labels
