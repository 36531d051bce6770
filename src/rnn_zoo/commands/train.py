"""`rnn-zoo train`: a recipe -> a trained model."""

import dataclasses
import json

from rich.console import Console
from rich.table import Table

from ..launchers import is_told
from ..output import lasting_output, warn
from ..recipe.command_line import look_ahead
from ..recipe.file import find_recipe
from ..recipe.library_keys import LIBRARY_KEYS
from ..recipe.schema import groups, help_of
from . import start_libraries

HELP = """usage: rnn-zoo train RECIPE [--key value ...]

Trains a model by a recipe: the name of a shipped one (`rnn-zoo list --recipes`) or a .yaml file of your own. Each key
of a recipe is also a flag, with underscores or hyphens; flags win. On several GPUs:
accelerate launch -m rnn_zoo train RECIPE

  rnn-zoo train char_lm_shakespeare --data_dir data/tinyshakespeare
  rnn-zoo train char_lm_shakespeare --data_dir data/tinyshakespeare --cell_type gru --output_dir runs/gru
  rnn-zoo train char_lm_python --resume_from_checkpoint        go on after Ctrl-C, a kill, a closed terminal
  rnn-zoo train ner_nepali_bilstm_crf --data_dir data/nepali   files in CoNLL columns
  rnn-zoo train sentiment_sst2_bilstm --data_dir data/sst2     label<TAB>text lines
  rnn-zoo train translate_multi30k_de_en --data_dir data/captions   train.de, train.en, valid.de, ...
"""


def train(argv: list[str]) -> int:
    if not argv or {"-h", "--help"} & set(argv):
        print(HELP)
        print_keys()
        return 0 if argv else 2
    path = find_recipe(argv[0])
    look_ahead(path, argv[1:])
    start_libraries()
    import torch

    from ..recipe.recipe import read_recipe
    from ..run import run

    try:
        with lasting_output():
            run.train(read_recipe(path, argv[1:]))
    except run.Interrupted as stopped:
        with lasting_output():
            if not is_told(str(stopped)):
                warn(str(stopped))
        return stopped.status
    finally:
        # A process that ends while its group's threads live may abort.
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return 0


def print_keys() -> None:
    """The keys of a recipe by group; those of TrainingArguments by name only, the library documents them."""
    console = Console(highlight=False)
    for group in groups():
        console.print(f"[bold]{group.title}[/bold]")
        table = Table.grid(padding=(0, 2))
        for name, f in group.fields.items():
            default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
            table.add_row(f"  --{name}", f"{help_of(name)} \\[{json.dumps(default)}]")
        console.print(table)
    console.print("[bold]the training (transformers.Seq2SeqTrainingArguments)[/bold]")
    console.print("  " + ", ".join(LIBRARY_KEYS))
