"""Other people's programs on checkpoints, in processes that have no rnn_zoo: their own trainers, evaluators, encoders.

The scripts make the calls of the library's examples (`run_clm`, `run_glue`, `run_ner`, `run_translation`), in their
order.
"""

import importlib.util
import shutil

import pytest
import torch
from command_line import BLOCKER, examples, fresh_process
from conftest import tiny_config, tiny_seq2seq_config

from rnn_zoo import RnnForCausalLM, RnnSeq2SeqForConditionalGeneration
from rnn_zoo.tokenizers import build_char_tokenizer, build_pair_tokenizer, build_word_tokenizer

LINES = ["all that glisters is not gold", "a dog ran", "the cat sat on the mat"]
PAIRS = [("zwei", "two"), ("ein hund", "a dog"), ("drei", "three"), ("hund", "dog")]

HEADER = f"""{BLOCKER}
import itertools
import sys
from functools import partial

import numpy as np
import torch
import transformers
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainingArguments,
    default_data_collator,
    pipeline,
)

torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()
LINES, PAIRS = {LINES!r}, {PAIRS!r}
TRUST = {{"trust_remote_code": True}}


def opened(auto, path, **options):
    config = AutoConfig.from_pretrained(path, **TRUST, **options)
    tokenizer = AutoTokenizer.from_pretrained(path, **TRUST)
    model = auto.from_pretrained(path, config=config, **TRUST)
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer))
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    assert type(tokenizer).__module__.startswith("transformers_modules."), type(tokenizer)
    return model, tokenizer


def arguments(out, kind=TrainingArguments, **options):
    options = {{"max_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 0.1}} | options
    return kind(out, use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no", **options)


def saved_and_opened_again(trainer, auto, out):
    trainer.save_model(out)
    trainer.args.output_dir = f"{{out}}_again"
    trainer.model = auto.from_pretrained(out, **TRUST).eval()
    return trainer


def same(a, b):
    np.testing.assert_allclose(a, b, atol=1e-5)
"""

RUN_CLM = """
def run_clm(path, processes):
    model, tokenizer = opened(AutoModelForCausalLM, path)
    text = Dataset.from_dict({"text": LINES * 4})

    def tokenize_function(examples):
        return tokenizer(examples["text"])

    def group_texts(examples, block_size=8):
        joined = {key: list(itertools.chain(*rows)) for key, rows in examples.items()}
        total = len(joined["input_ids"]) // block_size * block_size
        blocks = {key: [row[n : n + block_size] for n in range(0, total, block_size)] for key, row in joined.items()}
        return blocks | {"labels": blocks["input_ids"].copy()}

    tokens = text.map(tokenize_function, batched=True, num_proc=processes, remove_columns=["text"])
    rows = tokens.map(group_texts, batched=True, num_proc=processes)
    trainer = Trainer(
        model=model,
        args=arguments("clm"),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
        data_collator=default_data_collator,
        compute_metrics=lambda pairs: {"accuracy": (pairs.predictions[:, :-1] == pairs.label_ids[:, 1:]).mean()},
        preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(dim=-1),
    )
    trainer.train()
    before = trainer.evaluate()
    after = saved_and_opened_again(trainer, AutoModelForCausalLM, "clm").evaluate()
    same(before["eval_loss"], after["eval_loss"])
    same(before["eval_accuracy"], after["eval_accuracy"])
    scratch = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained("clm", **TRUST), **TRUST)
    assert type(scratch).__name__ == "RnnForCausalLM"
    answer = pipeline("text-generation", model="clm", **TRUST)([{"role": "user", "content": "a dog"}], max_new_tokens=3)
    assert answer[0]["generated_text"][-1]["role"] == "assistant"
"""

RUN_GLUE = """
def run_glue(path):
    model, tokenizer = opened(AutoModelForSequenceClassification, path, num_labels=3, finetuning_task="own")
    model.config.label2id = {"x": 0, "y": 1, "z": 2}
    model.config.id2label = {0: "x", 1: "y", 2: "z"}
    rows = Dataset.from_dict({"sentence": LINES + [""], "label": [0, 1, 2, 1]})
    rows = rows.map(
        lambda examples: tokenizer(examples["sentence"], padding="max_length", max_length=12, truncation=True),
        batched=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments("glue"),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
        data_collator=default_data_collator,
        compute_metrics=lambda pairs: {"accuracy": (pairs.predictions.argmax(1) == pairs.label_ids).mean()},
    )
    trainer.train()
    before = trainer.predict(rows.remove_columns("label")).predictions
    same(before, saved_and_opened_again(trainer, AutoModelForSequenceClassification, "glue").predict(rows).predictions)
    classify = pipeline("text-classification", model="glue", **TRUST)
    alone = [classify(text)[0] for text in [*LINES, ""]]
    assert {answer["label"] for answer in alone} <= {"x", "y", "z"}
    for answer, expected in zip(classify([*LINES, ""], batch_size=4), alone, strict=True):
        assert answer["label"] == expected["label"]
        same(answer["score"], expected["score"])
"""

RUN_NER = """
def run_ner(path, **options):
    label_list = ["O", "B-ANIMAL", "I-ANIMAL", "B-THING", "I-THING"]
    model, tokenizer = opened(AutoModelForTokenClassification, path, num_labels=len(label_list), **options)
    model.config.label2id = {label: n for n, label in enumerate(label_list)}
    model.config.id2label = dict(enumerate(label_list))
    words = [line.split() for line in LINES]
    tags = [[3 if word in ("gold", "mat") else 1 if word in ("cat", "dog") else 0 for word in line] for line in words]

    def tokenize_and_align_labels(examples):
        encoded = tokenizer(examples["tokens"], truncation=True, is_split_into_words=True)
        labels = []
        for n, row in enumerate(examples["ner_tags"]):
            before = [None, *encoded.word_ids(n)]
            labels.append([-100 if i is None or i == j else row[i] for i, j in zip(before[1:], before)])
        return encoded | {"labels": labels}

    rows = Dataset.from_dict({"tokens": words, "ner_tags": tags}).map(tokenize_and_align_labels, batched=True)
    trainer = Trainer(
        model=model,
        args=arguments("ner"),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
        data_collator=DataCollatorForTokenClassification(tokenizer),
        compute_metrics=lambda pairs: {"tokens": (pairs.label_ids != -100).sum()},
    )
    trainer.train()
    before = trainer.predict(rows)
    assert before.metrics["test_tokens"] == sum(map(len, words))
    again = saved_and_opened_again(trainer, AutoModelForTokenClassification, "ner")
    same(before.predictions, again.predict(rows).predictions)
    same(before.metrics["test_loss"], again.evaluate()["eval_loss"])
    tag = pipeline("token-classification", model="ner", **TRUST)
    assert [len(found) for found in tag([*LINES, ""], batch_size=2)] == [len(tag(line)) for line in [*LINES, ""]]
"""

RUN_TRANSLATION = """
def run_translation(path):
    model, tokenizer = opened(AutoModelForSeq2SeqLM, path)
    assert model.config.decoder_start_token_id is not None

    def preprocess_function(examples):
        encoded = tokenizer([pair["de"] for pair in examples["translation"]], max_length=12, truncation=True)
        labels = tokenizer(text_target=[pair["en"] for pair in examples["translation"]], max_length=12, truncation=True)
        return encoded | {"labels": labels["input_ids"]}

    rows = Dataset.from_dict({"translation": [{"de": de, "en": en} for de, en in PAIRS]})
    rows = rows.map(preprocess_function, batched=True, remove_columns=["translation"])

    def compute_metrics(pairs):
        predictions, labels = pairs
        texts = tokenizer.batch_decode(np.where(predictions != -100, predictions, 0), skip_special_tokens=True)
        known = tokenizer.batch_decode(np.where(labels != -100, labels, 0), skip_special_tokens=True)
        assert known == [en for _, en in PAIRS]
        return {"length": np.mean([len(text) for text in texts])}

    trainer = Seq2SeqTrainer(
        model=model,
        args=arguments("translation", Seq2SeqTrainingArguments, predict_with_generate=True, generation_max_length=9),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model, label_pad_token_id=-100),
        compute_metrics=compute_metrics,
    )
    trainer.train()
    before = trainer.evaluate(num_beams=2)
    after = saved_and_opened_again(trainer, AutoModelForSeq2SeqLM, "translation").evaluate(num_beams=2)
    same(before["eval_loss"], after["eval_loss"])
    assert before["eval_length"] == after["eval_length"]
    translate = pipeline("translation", model="translation", **TRUST)
    assert len(translate([PAIRS[0][0], ""], batch_size=2)) == 2
"""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Untrained models with their tokenizers: a language model of characters, one of words, a translator."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("strangers")
    for name, build in (("characters", build_char_tokenizer), ("words", build_word_tokenizer)):
        tokenizer = build([line + "\n" for line in LINES])
        tokenizer.save_pretrained(folder / name)
        RnnForCausalLM(tiny_config(vocab_size=len(tokenizer), initializer_range=1.0)).save_pretrained(folder / name)
    tokenizer = build_pair_tokenizer(*zip(*PAIRS, strict=True))
    sizes = {"vocab_size": len(tokenizer), "decoder_vocab_size": tokenizer.target_vocab_size}
    config = tiny_seq2seq_config(**sizes, share_encoder_decoder_embeddings=False)
    RnnSeq2SeqForConditionalGeneration(config).save_pretrained(folder / "translator")
    tokenizer.save_pretrained(folder / "translator")
    return folder


@pytest.mark.ci
def test_scripts_of_the_library_train_save_and_open_again(checkpoints, tmp_path):
    script = HEADER + RUN_CLM + RUN_GLUE + RUN_NER + RUN_TRANSLATION
    script += "\nfolder = sys.argv[1]\n"
    script += "run_clm(f'{folder}/characters', processes=None)\n"
    script += "run_glue(f'{folder}/characters')\n"
    script += "run_ner(f'{folder}/words', use_crf=True)\n"
    script += "run_ner(f'{folder}/characters')\n"
    script += "run_translation(f'{folder}/translator')\n"
    fresh_process(tmp_path, script, checkpoints)


@pytest.mark.slow
def test_rows_are_made_in_several_processes(checkpoints, tmp_path):
    fresh_process(tmp_path, HEADER + RUN_CLM + "\nrun_clm(f'{sys.argv[1]}/words', processes=2)\n", checkpoints)


def needs(package):
    """Marks a test of a library that the other tests do without."""
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed")


EVALUATE = """
from pathlib import Path
import lm_eval
from lm_eval.tasks import TaskManager

folder = sys.argv[1]
documents = [{"start": "the cat", "ends": [" sat", " ran"], "right": 0}]
documents += [{"start": "", "ends": ["a", "dog"], "right": 1}]
Path("own.jsonl").write_text("".join(json.dumps(one) + "\\n" for one in documents))
shared = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(Path("own.jsonl").resolve())}}}
shared |= {"test_split": "test", "doc_to_text": "{{start}}"}
TASKS = {
    "own_choice": {"output_type": "multiple_choice", "doc_to_choice": "{{ends}}", "doc_to_target": "right"},
    "own_text": {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{start}} sat"},
    "own_writing": {"output_type": "generate_until", "doc_to_target": "{{start}}"}
    | {"generation_kwargs": {"until": ["sat"], "max_gen_toks": 4}},
}
METRICS = {"own_choice": "acc", "own_text": "bits_per_byte", "own_writing": "exact_match"}
Path("tasks").mkdir()
for name, task in TASKS.items():
    task = {"task": name, "metric_list": [{"metric": METRICS[name]}]} | shared | task
    Path(f"tasks/{name}.yaml").write_text(json.dumps(task))  # as YAML reads it

for name in ("characters", "words"):
    found = []
    for batch_size, chat in ((1, False), (2, False), (2, True)):
        results = lm_eval.simple_evaluate(
            model="hf",
            model_args=f"pretrained={folder}/{name},trust_remote_code=True,device=cpu,dtype=float32,max_length=64",
            tasks=[name for name in TASKS if not chat or name != "own_text"],
            task_manager=TaskManager(include_path="tasks", include_defaults=False),
            batch_size=batch_size,
            bootstrap_iters=0,
            apply_chat_template=chat,
        )
        found.append({task: values[f"{METRICS[task]},none"] for task, values in results["results"].items()})
    assert found[0].keys() == TASKS.keys()
    same([found[0][task] for task in TASKS], [found[1][task] for task in TASKS])
"""


@needs("lm_eval")
@pytest.mark.slow
def test_lm_eval_scores_a_task_of_its_own(checkpoints, tmp_path):
    fresh_process(tmp_path, HEADER + "import json\n" + EVALUATE, checkpoints)


ENCODE = """
import sentence_transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

folder, texts = sys.argv[1], [*LINES, "", "a", ""]
for name in ("characters", "words"):
    reader = Transformer(f"{folder}/{name}", model_kwargs=TRUST, processor_kwargs=TRUST, config_kwargs=TRUST)
    pooling = Pooling(reader.get_embedding_dimension(), pooling_mode="mean")
    model = SentenceTransformer(modules=[reader, pooling], device="cpu")
    vectors = model.encode(texts, batch_size=3)
    same(vectors, np.stack([model.encode(text) for text in texts]))
    assert np.abs(vectors[0]).max() > 0 and not vectors[3].any()
    model.save(f"{name}_encoder")
    again = SentenceTransformer(f"{name}_encoder", device="cpu", trust_remote_code=True)
    same(again.encode(texts), vectors)
"""


@needs("sentence_transformers")
@pytest.mark.slow
def test_sentence_transformers_encode_with_an_empty_text_in_the_batch(checkpoints, tmp_path):
    fresh_process(tmp_path, HEADER + ENCODE, checkpoints)


@needs("trl")
@pytest.mark.slow
def test_the_page_on_trl_runs(checkpoints, tmp_path):
    """With the files of a stranger: a folder `model`, and no package."""
    shutil.copytree(checkpoints / "characters", tmp_path / "model")
    script = BLOCKER + "import torch\ntorch.set_num_threads(1)\n" + "\n".join(examples("trl.md"))
    fresh_process(tmp_path, script)
