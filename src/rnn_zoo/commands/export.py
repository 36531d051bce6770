"""`rnn-zoo export`: a checkpoint -> graphs for other runtimes."""

import argparse
import sys
from pathlib import Path

from ..checkpoints import folder_of, look_for
from ..command_line import Parser, add_checkpoint
from ..errors import UserError
from ..export_options import FORMATS, OPSET, OPSETS, RUNTIME
from ..models.ranges import Range
from ..output import warn
from ..tasks import TASKS
from . import start_libraries

DESCRIPTION = """\
Writes a checkpoint as graphs that run without rnn_zoo: ONNX, for onnxruntime and others, or programs
of torch.export, for plain torch. Batch and length are free. A language model and a translator's decoder
take their state and give it back; a CRF decodes inside the graph.

The folder holds the graphs, the tokenizer, config.json and a README.md that names every input and
output. What the other runtime computes is compared with torch before the folder is there."""

EXAMPLES = """\
examples:
  rnn-zoo export char_lm_shakespeare
  rnn-zoo export runs/ner_sample --output tagger-onnx
  rnn-zoo export translate_dates --int8
  rnn-zoo export you/ner_sample --revision v2 --format torch"""


def export(argv: list[str]) -> int:
    parser = Parser(prog="rnn-zoo export", description=DESCRIPTION, epilog=EXAMPLES)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_checkpoint(parser)
    parser.add_argument("--format", default="onnx", help=f"{' or '.join(FORMATS)} [onnx]")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where [exports/CHECKPOINT-FORMAT]")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export in that folder")
    parser.add_argument(
        "--opset", type=int, within=Range(), help=f"version of ONNX's operators, {OPSETS[0]} to {OPSETS[-1]} [{OPSET}]"
    )
    parser.add_argument(
        "--int8", action="store_true", help="weights of ONNX as integers of eight bits: a quarter of the size"
    )
    args = parser.parse_args(argv)
    place = look_for(args.checkpoint, args.revision)
    start_libraries()
    from ..export import export as write
    from ..tasks.opening import load, task_of

    folder = folder_of(place, args.revision)
    if isinstance(place, Path):
        source = {"checkpoint": place.resolve().name}
    else:
        source = {"checkpoint": place, "commit": folder.name}  # the cache names its folders so
    task, head = task_of(folder, place)
    if task is None:
        heads = ", ".join(known.head_name for known in TASKS.values())
        raise UserError(
            f"{place}: holds {head or 'no model'}, which has no head that is exported (those of {heads} are)"
        )
    model, tokenizer = load(folder, task.name)
    output = args.output
    if output is None:
        output = Path("exports") / f"{source['checkpoint'].split('/')[-1]}-{args.format}{'-int8' if args.int8 else ''}"
    done = write(
        model,
        tokenizer,
        output,
        args.format,
        opset=args.opset,
        int8=args.int8,
        overwrite=args.overwrite,
        source=source,
    )
    if done.difference is None:
        warn(f"not compared with torch, as {RUNTIME} is not installed")
    else:
        warn(f"greatest difference from torch on random batches: {done.difference:.1e}")
    for file in done.files:
        print(done.folder / file)
    sys.stdout.flush()
    return 0
