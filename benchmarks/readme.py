"""Writes the measured parts of README.md and docs/export.md from `benchmarks/results/`, so that no number in them is
typed by hand.

python benchmarks/readme.py            # rewrites them
python benchmarks/readme.py --check    # exit status 1 if one is out of date
"""

import argparse
import json
import re
import statistics
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def load(name: str) -> Any:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def sample() -> str:
    """The main job's result: what it measured and one of its samples."""
    metrics = load("char_lm_python.json")
    chosen = next(s for s in metrics["samples"] if s["temperature"] == 0.5)
    validation = metrics["validation"]
    code = textwrap.dedent(chosen["text"].strip("\n")).rstrip()
    return (
        f"After {metrics['train']['seconds']:.0f} s of training on two CPU cores ({metrics['parameters']:,} "
        f"parameters, validation {validation['loss']:.3f} nats = {validation['bits_per_character']:.2f} bits per "
        f"character), sampled at temperature 0.5:\n\n```python\n{code}\n```\n\n"
        f"Python's `tokenize` accepts {chosen['accepted_lines']:.0%} of the lines sampled so, and "
        f"{chosen['accepted_lines_of_real_text']:.0%} of the lines of real source."
    )


def results() -> str:
    """Tiny Shakespeare within a time budget, and the training speed."""
    rows = ["| cell | parameters | training | characters/s | validation, nats/character |", "|---|---|---|---|---|"]
    for row in load("char_lm_shakespeare.json").values():
        rows.append(
            f"| {row['settings']['cell_type']} | {row['parameters'] / 1e6:.2f}M | {row['seconds']:.0f} s, "
            f"{row['steps']:,} steps | {row['characters_per_second']:,} | **{row['validation_nats']:.3f}** |"
        )
    speed = load("training_throughput.json")
    ratio = {key: sorted(values)[len(values) // 2] for key, values in speed["ratios"].items()}
    rows += [
        "",
        "Tiny Shakespeare, first 90 % for training, the whole last 10 % for validation with carried state, on two CPU "
        "cores (`python benchmarks/shakespeare_budgets.py --data_dir FOLDER`; settings in `benchmarks/results/`). "
        "To compare: 1.886 after 142 s for nanoGPT's CPU configuration (transformer, 0.8M) on such a machine, 1.4697 "
        "for its GPU configuration (10.7M), as its README has it.",
        "",
        f"A step of `TruncatedBpttTrainer` takes {ratio['ms']:.2f} × the time and {ratio['memory_mib']:.2f} × the "
        "memory of a bare loop around `torch.nn.LSTM` (medians of alternating runs, "
        "`benchmarks/training_throughput.py`).",
        "",
        *generation(),
        *on_gpu(),
    ]
    return "\n".join(rows)


LANGUAGES = {
    "ner_conll2003_bilstm_crf": "English news (CoNLL-2003)",
    "ner_wnut17_bilstm_crf": "English messages (WNUT-17)",
    "ner_hindi_bilstm_crf": "Hindi (HiNER, part)",
    "ner_nepali_bilstm_crf": "Nepali (nepali-ner)",
    "ner_marathi_bilstm_crf": "Marathi (MahaNER, part)",
}


def with_spread(scores: dict[str, Any]) -> str:
    deviation = "" if scores["deviation"] is None else f" ± {scores['deviation']:.1f}"
    return f"**{scores['mean']:.1f}**{deviation}"


def tagging() -> str:
    """Taggers beside their baseline, and their speed."""
    found = load("ner.json")
    rows = [
        "| entities, F1 | BiLSTM-CRF, validation | CRFsuite | BiLSTM-CRF, test | CRFsuite | training |",
        "|---|---|---|---|---|---|",
    ]
    for recipe, title in LANGUAGES.items():
        result = found[recipe]
        baseline = result["baseline"]
        test = with_spread(result["test"]["f1"]) if "test" in result else "–"
        test_baseline = f"{baseline['test']['f1']:.1f}" if "test" in baseline else "–"
        rows.append(
            f"| {title} | {with_spread(result['validation']['f1'])} | {baseline['validation']['f1']:.1f} | {test} | "
            f"{test_baseline} | {result['seconds']['mean']:.0f} s |"
        )
    speed, conll = load("tagging_speed.json"), found["ner_conll2003_bilstm_crf"]
    return "\n".join(
        [
            *rows,
            "",
            f"Means and standard deviations of {len(conll['seeds'])} seeds, without pretrained vectors "
            f"(`benchmarks/seeds.py`; {conll['environment']['threads']} thread each). CRFsuite is what one would take "
            "instead: a CRF on hand-made features, which a recipe trains beside the model. Published for CoNLL-2003: "
            f"{conll['published']}. Where there is no test score, the data at hand had no test part; Hindi, Nepali and "
            "Marathi are parts of their sets, split otherwise than in publications.",
            "",
            f"The CoNLL-2003 model ({speed['parameters'] / 1e6:.1f}M parameters) tags "
            f"{speed['median_sentences_per_second']:,.0f} sentences/s in batches on {speed['threads']} CPU cores, "
            f"tokenizer included, and takes {speed['ms_a_sentence_of_20_words']:.1f} ms for one sentence of 20 words "
            f"({speed['ms_through_the_pipeline']:.1f} ms through the pipeline; `benchmarks/tagging_speed.py`).",
        ]
    )


TEXTS = {
    "sentiment_imdb_bilstm": "whole film reviews (IMDB)",
    "sentiment_imdb_ulmfit": "the same, from a language model of them (lm_imdb)",
    "sentiment_sst2_bilstm": "sentences of film reviews (SST-2)",
    "topic_trec6": "what a question asks for (TREC-6)",
    "topic_trec6_transfer": "the same, from a language model of English prose (lm_wikitext2)",
    "sentiment_mahasent_mr": "Marathi opinions on films (MahaSent-MD)",
}


def classification() -> str:
    """Classifiers beside their bag of words, and their speed."""
    found = load("classification.json")
    measured = {recipe: found[recipe] for recipe in TEXTS}
    same_data = found["sentiment_imdb_bilstm"]["baseline"]  # for the one that begins with a language model
    rows = [
        "| texts, accuracy | parameters | validation | TF-IDF | test | TF-IDF | training |",
        "|---|---|---|---|---|---|---|",
    ]
    for recipe, result in measured.items():
        bag, cells = result.get("baseline", same_data), []
        for part in ("validation", "test"):
            ours = with_spread(result[part]["accuracy"]) if part in result else "–"
            theirs = f"{bag[part]['accuracy']:.1f}" if part in result else "–"
            cells += [ours, theirs]
        rows.append(
            f"| {TEXTS[recipe]} | {result['parameters'] / 1e6:.1f}M | {' | '.join(cells)} | "
            f"{result['seconds']['mean']:,.0f} s, {cores(result)} |"
        )
    titles: dict[str, str] = {}  # of each published number, the first that it is compared with
    for recipe, result in measured.items():
        titles.setdefault(result["published"] or "", TEXTS[recipe])
    told = [f"{title}: {published}" for published, title in titles.items() if published]
    direct = [TEXTS[recipe] for recipe in measured if has_ngrams(recipe)]
    speed = load("classifying_speed.json")
    text = [
        *rows,
        "",
        "Means and standard deviations where there are several seeds, without pretrained vectors "
        "(`benchmarks/seeds.py`). TF-IDF is what one would take instead: words and pairs of words (Marathi: runs of 2 "
        "to 5 characters) and logistic regression, which a recipe trains beside the model. Scores of runs of words are "
        f"a part of these models, beside the recurrent network (`direct_ngram_order`): {'; '.join(direct)}. "
        f"Published: {'; '.join(told)}.",
        "",
        f"The IMDB model classifies {speed['median_texts_per_second']:,.0f} reviews/s "
        f"({speed['mean_words']:.0f} words each) in batches on {speed['threads']} CPU cores, tokenizer "
        f"included, and takes {speed['ms_through_the_pipeline']:.0f} ms for one through the pipeline "
        "(`benchmarks/classifying_speed.py`).",
    ]
    return "\n".join(text)


def has_ngrams(recipe: str) -> bool:
    """Whether a recipe's classifier has direct connections from n-grams."""
    return "direct_ngram_order" in yaml.safe_load((ROOT / "recipes" / f"{recipe}.yaml").read_text(encoding="utf-8"))


PAIRS = {
    "translate_multi30k_de_en": "German → English captions (Multi30k, test2016)",
    "translate_multi30k_en_de": "English → German captions (Multi30k, test2016)",
    "translate_tatoeba_en_mr": "English → Marathi short sentences (Tatoeba)",
    "translate_tatoeba_en_hi": "English → Hindi short sentences (Tatoeba, 2,466 pairs)",
    "translate_cldr_names": "names → Hindi, Marathi, Nepali, by letters (CLDR)",
    "translate_dates": "dates of 26 languages → ISO, by letters (CLDR)",
}


def cores(result: dict[str, Any]) -> str:
    threads = result["environment"]["threads"]
    return "1 core" if threads == 1 else f"{threads} cores"


def translation() -> str:
    """Translators, and their speed."""
    found = load("translation.json")
    rows = ["| pairs | parameters | training | BLEU | chrF | exact |", "|---|---|---|---|---|---|"]
    for recipe, title in PAIRS.items():
        if recipe not in found:  # not measured yet
            continue
        result = found[recipe]
        of = "test" if "test" in result else "validation"
        bleu, chrf, exact = (result[of][name]["mean"] for name in ("bleu", "chrf", "exact_match"))
        rows.append(
            f"| {title}{'' if of == 'test' else ', validation'} | {result['parameters'] / 1e6:.1f}M | "
            f"{result['seconds']['mean']:.0f} s, {cores(result)} | **{bleu:.1f}** | {chrf:.1f} | {exact:.1f} % |"
        )
    captions, dates = found["translate_multi30k_de_en"], found["translate_dates"]
    by_locale = {
        name.rpartition("_")[2]: min(run[name] for run in dates["test"]["runs"])
        for name in dates["test"]["runs"][0]
        if name.startswith("exact_match_")
    }
    least = min(by_locale, key=by_locale.__getitem__)
    if round(by_locale[least], 1) == 100:
        exact_dates = f"each of the {len(by_locale)} languages has 100.0 % exact"
    else:
        exact_dates = f"the worst of the {len(by_locale)} languages ({least}) has {by_locale[least]:.1f} % exact"
    speed = load("translation_speed.json")
    return "\n".join(
        [
            *rows,
            "",
            "BLEU and chrF by sacrebleu, cased and detokenised, beam 5, one seed (dates: greedy) "
            "(`benchmarks/seeds.py`). Lower-cased, the captions have "
            f"{captions['test']['bleu_lowercased']['mean']:.1f} BLEU into English and "
            f"{found['translate_multi30k_en_de']['test']['bleu_lowercased']['mean']:.1f} into German. Published: "
            f"{captions['published']}; {found['translate_multi30k_en_de']['published']}. No day of the dates' test "
            f"part occurs in training, in any language; {exact_dates}.",
            "",
            f"The German model translates the {speed['sentences']:,} test sentences in "
            f"{statistics.median(speed['seconds_greedy']):.1f} s greedily and in "
            f"{statistics.median(speed['seconds_5_beams']):.1f} s with 5 beams, on {speed['threads']} cores; a "
            f"training step takes {speed['step_by_products']['median']:.2f} × its own matrix products "
            "(`benchmarks/translation_speed.py`).",
        ]
    )


def generation() -> list[str]:
    """Tokens per second, one at a time."""
    ways = {"nn.LSTM": "a loop around `torch.nn.LSTM`", "generate": "`model.generate`", "rnn-zoo": "`rnn-zoo generate`"}
    rows = ["| one token at a time, tokens/s | " + " | ".join(ways.values()) + " |", "|---|---|---|---|"]
    for name, title in {
        "generation_1.json": "batch 1",
        "generation_1_keep.json": "batch 1, freed memory kept",
        "generation_32.json": "batch 32",
        "generation_32_keep.json": "batch 32, freed memory kept",
    }.items():
        result = load(name)
        speeds = {way: statistics.median(values) for way, values in result["tokens_per_second"].items()}
        ratios = {way: f" ({statistics.median(values):.1f} ×)" for way, values in result["ratios"].items()}
        rows.append(f"| {title} | " + " | ".join(f"{speeds[way]:,.0f}{ratios.get(way, '')}" for way in ways) + " |")
    return [
        *rows,
        "",
        "A 2 × 512 LSTM over characters, greedy, on two CPU cores; medians, and medians of the ratios of alternating "
        "runs. torch's module packs its weights anew for each token, into memory that the process asks the system for "
        "and gives back; the rows with freed memory kept show it at its best (`benchmarks/generation_speed.py`).",
    ]


def on_gpu() -> list[str]:
    """What `benchmarks/gpu.py` has measured, as far as it was run."""
    names = ("throughput", "generation", "compile", "training")
    found = {name: load(f"gpu_{name}.json") for name in names if (RESULTS / f"gpu_{name}.json").exists()}
    found = {name: result for name, result in found.items() if result["status"] == "passed"}
    if not found:
        return []
    rows = []
    for part in ("throughput", "generation", "compile"):
        for what, measured in found.get(part, {}).items():
            if not isinstance(measured, dict) or "ratios" not in measured:
                continue
            for way, ratios in measured["ratios"].items():
                speed = statistics.median(measured["per_second"][way])
                spread = f"{statistics.median(ratios):.2f} × ({ratios[0]:.2f} to {ratios[-1]:.2f})"
                rows.append(f"| {part}: {what} | {way} | {speed:,.0f} | {spread} {measured['base']} |")
    if rows:
        rows = ["| measured | way | a second | to compare |", "|---|---|---|---|", *rows, ""]
    sentences = []
    for recipe, measured in found.get("training", {}).items():
        if isinstance(measured, dict) and "steps" in measured:
            sentences.append(
                f"`{recipe}`: {measured['steps']:,} steps in {measured['train']['seconds']:.0f} s, validation "
                f"{measured['validation']['loss']:.3f} nats."
            )
    where = next(iter(found.values()))["environment"]
    end = f"On one {where['device']}, torch {where['torch']}: medians and spread of alternating runs"
    return [
        "",
        *rows,
        " ".join([f"{end} (`benchmarks/gpu.py`; units are tokens, of a generating translator sentences).", *sentences]),
    ]


def exported_speed() -> str:
    """Tokens per second of an exported language model."""
    ways = {"nn.LSTM": "a loop around `torch.nn.LSTM`", "onnxruntime": "onnxruntime", "int8": "onnxruntime, `--int8`"}
    rows = ["| one token at a time, tokens/s | " + " | ".join(ways.values()) + " |", "|---|---|---|---|"]
    for name, title in {"export_1.json": "batch 1", "export_1_keep.json": "batch 1, freed memory kept"}.items():
        result = load(name)
        cells = []
        for way in ways:
            speeds, ratios = result["tokens_per_second"][way], result["ratios"].get(way)
            ratio = f" ({statistics.median(ratios):.1f} ×, {ratios[0]:.1f} to {ratios[-1]:.1f})" if ratios else ""
            cells.append(f"{statistics.median(speeds):,.0f}{ratio}")
        rows.append(f"| {title} | {' | '.join(cells)} |")
    threads = {load(name)["threads"] for name in ("export_1.json", "export_1_keep.json")}
    assert threads == {1}, threads
    return "\n".join(rows)


def exported_texts() -> str:
    """What ONNX's own operators are worth."""
    found = load("export_1.json")["whole_texts"]
    speeds = {way: statistics.median(values) for way, values in found["tokens_per_second"].items()}
    lstm, scan = (speeds[way] / speeds["torch"] for way in ("LSTM", "Scan"))
    return (
        f"Whole texts, {found['rows']} rows of {found['length']} tokens in one call, are read {lstm:.1f} times as fast "
        f"as by torch; with ONNX's `Scan` in the place of its `LSTM` it would be {scan:.1f} times."
    )


def exported_quality() -> str:
    """What eight bits cost."""
    rows = ["| checkpoint | measured | torch | ONNX | `--int8` | MB | `--int8` |", "|---|---|---|---|---|---|---|"]
    for name, found in load("export_quality.json").items():
        digits = 3 if "characters" in found else 1
        values = [f"{found[way]:.{digits}f}" for way in ("torch", "onnx", "int8")]
        sizes = [f"{found[f'bytes_{way}'] / 1e6:.1f}" for way in ("onnx", "int8")]
        rows.append(f"| `{name}` | {' | '.join([found['measure'], *values, *sizes])} |")
    return "\n".join(rows)


# Of each page its measured parts, by the names of their markers.
PAGES = {
    "README.md": {
        "sample": sample,
        "tagging": tagging,
        "classification": classification,
        "translation": translation,
        "results": results,
    },
    "docs/export.md": {"speed": exported_speed, "whole": exported_texts, "quality": exported_quality},
}


def render(page: str, text: str) -> str:
    """A page's text with the measured parts put between their markers."""
    for name, part in PAGES[page].items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text, found = pattern.subn(lambda match, part=part: f"{match[1]}{part()}\n{match[2]}", text)
        if found != 1:
            raise SystemExit(f"{page}: the markers of {name!r} stand {found} times, expected once")
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if a page is out of date")
    args = parser.parse_args()
    status = 0
    for page in PAGES:
        old = (ROOT / page).read_text(encoding="utf-8")
        new = render(page, old)
        if args.check and new != old:
            print(f"{page} is out of date: run python benchmarks/readme.py", file=sys.stderr)
            status = 1
        elif new != old:
            (ROOT / page).write_text(new, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
