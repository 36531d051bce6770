"""`rnn-zoo bench`: how fast this machine runs the models, against other ways to do the same."""

import argparse
import json
from importlib import import_module
from pathlib import Path

from ..bench import SUITES
from ..command_line import Parser
from ..errors import UserError
from ..folders import require_place, write_whole
from ..models.keys import one_of
from ..models.ranges import Range


def bench(argv: list[str]) -> int:
    listed = "\n".join(f"  {name:7} {what}" for name, what in SUITES.items())
    parser = Parser(
        prog="rnn-zoo bench",
        description="Times ways to do the same thing in turn, in one process, and prints how many times as fast\n"
        f"each is as the first: the median, and the spread. Let nothing else run meanwhile.\n\nsuites:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--suite", action="append", metavar="NAME", help="may be given again; all, or one of those above [train]"
    )
    parser.add_argument("--cell", action="append", metavar="NAME", help="may be given again; all, or a name [lstm]")
    parser.add_argument("--device", default="cpu", help="as cpu or cuda:0 [cpu]")
    parser.add_argument("--threads", type=int, within=Range(1), help="of the processor [as many as torch takes]")
    for flag, number, what in (
        ("batch", 16, "rows"),
        ("length", 64, "steps of a row"),
        ("input-size", 64, "features of the input"),
        ("hidden", 512, "features of the state"),
        ("rounds", 9, "timings of each way"),
    ):
        flags = dict.fromkeys([f"--{flag}", f"--{flag.replace('-', '_')}"])
        parser.add_argument(*flags, type=int, within=Range(1), default=number, help=f"{what} [{number}]")
    parser.add_argument(
        "--output", metavar="FOLDER", help="write the figures there as JSON and as a picture, named after the machine"
    )
    args = parser.parse_args(argv)
    suites = chosen("--suite", args.suite or ["train"], SUITES)
    folder = None if args.output is None else Path(args.output)
    if folder is not None:
        require_place(folder, "--output")

    import torch

    from ..bench.pairs import Sizes, measure
    from ..bench.report import as_json, lines_of, machine, name_of, save_plot
    from ..models.cells import CELLS

    cells = chosen("--cell", args.cell or ["lstm"], CELLS)
    device = device_of(args.device)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    sizes = Sizes(tuple(cells), device, args.batch, args.length, args.input_size, args.hidden, args.rounds)
    about = machine(device)
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(f"batch {sizes.batch}, length {sizes.length}, input {sizes.input_size}, hidden {sizes.hidden}", flush=True)
    results: dict[str, list] = {}
    for suite in suites:
        for comparison in import_module(f"..bench.{suite}", __package__).comparisons(sizes):
            found = measure(comparison, sizes)
            results.setdefault(suite, []).append(found)
            print(*lines_of(found), sep="\n", flush=True)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"bench_{name_of(about)}.json"
        write_whole(path, json.dumps(as_json(results, sizes, about), indent=2) + "\n")
        save_plot([found for suite in results.values() for found in suite], about, path.with_suffix(".svg"))
        print(path, path.with_suffix(".svg"), sep="\n")
    return 0


def chosen(flag: str, given: list[str], known) -> list[str]:
    """The names that were given; `all` stands for each.

    Raises:
        UserError: for one that is not known.
    """
    if "all" in given:
        return list(known)
    for name in given:
        try:
            one_of(flag, name, ["all", *known])
        except ValueError as error:
            raise UserError(str(error)) from error
    return list(dict.fromkeys(given))


def device_of(given: str):
    """
    Raises:
        UserError: for a device that is not here.
    """
    import torch

    try:
        device = torch.device(given)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"--device={given!r}: {str(error).splitlines()[0]}") from error
    if device.type == "meta":
        raise UserError("--device='meta': nothing is computed there")
    return device
