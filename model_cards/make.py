"""The checkpoints that ship in `src/rnn_zoo/zoo/`, and their cards here.

    python model_cards/make.py --ship runs/NAME ...   # takes what `rnn-zoo train NAME` left into the package
    python model_cards/make.py                        # writes all cards anew, from what the checkpoints hold
    python model_cards/make.py --check                # exit status 1 if a card is out of date

A shipped folder holds weights, configuration, tokenizer, numbers, recipe, pictures and card; no code, as the package
has it.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import yaml

from rnn_zoo import zoo
from rnn_zoo.card import CARD_FILE, make_card, save_card
from rnn_zoo.checkpoint_files import CODE_KEYS
from rnn_zoo.recipe.schema import keys

CARDS = Path(__file__).resolve().parent
SHIPPED = ("*.safetensors", "*.json", "*.png", "recipe.yaml")
ONE, ALL = 8_000_000, 90_000_000  # bytes at most


def ship(run: Path) -> Path:
    """Copies a run's checkpoint into the package, under the name of its recipe."""
    name = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["recipe"]
    folder = zoo.FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in sorted(path for pattern in SHIPPED for path in run.glob(pattern)):
        shutil.copyfile(path, folder / path.name)
    for path in (folder / "config.json", folder / "tokenizer_config.json"):
        values = json.loads(path.read_text(encoding="utf-8"))
        for reference in CODE_KEYS:  # to code that is not there
            values.pop(reference, None)
        path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    for key in [name for name, one in keys().items() if one.of_one_machine]:
        recipe.pop(key, None)
    if "data_dir" in recipe:
        given = recipe["data_dir"]
        folders = [f"data/{Path(folder).name}" for folder in (given if isinstance(given, list) else [given])]
        recipe["data_dir"] = folders if len(folders) > 1 else folders[0]
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    save_card(folder)
    return folder


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def cards() -> dict[Path, str]:
    """Every card file, in both places, and what should stand in it; pictures are named by their place."""
    found = {}
    for name in zoo.names():
        text = str(make_card(zoo.path(name)))
        found[zoo.path(name) / CARD_FILE] = text
        beside = f"../{zoo.FOLDER.relative_to(CARDS.parent).as_posix()}/{name}/"
        for picture in zoo.path(name).glob("*.png"):
            text = text.replace(f"]({picture.name})", f"]({beside}{picture.name})")
        found[CARDS / f"{name}.md"] = text
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--ship", type=Path, nargs="+", default=[], metavar="RUN", help="folders of trained checkpoints"
    )
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if a card is out of date")
    args = parser.parse_args()
    for run in args.ship:
        folder = ship(run)
        print(f"{folder.name}: {size(folder) / 1e6:.1f} MB")
    if not args.check:
        for name in zoo.names():
            save_card(zoo.path(name))  # and its learning curve
    wanted = cards()
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    surplus = [path for path in CARDS.glob("*.md") if path not in wanted]
    sizes = {name: size(zoo.path(name)) for name in zoo.names()}
    large = [name for name, bytes_ in sizes.items() if bytes_ > ONE]
    if large or sum(sizes.values()) > ALL:
        print(f"too large for the package: {', '.join(large) or 'all together'}", file=sys.stderr)
        return 1
    if args.check:
        for path in stale + surplus:
            print(f"{path.relative_to(CARDS.parent)} is out of date: run python model_cards/make.py", file=sys.stderr)
        return int(bool(stale or surplus))
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
    for path in surplus:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
