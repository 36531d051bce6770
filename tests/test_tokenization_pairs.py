"""The tokenizer of two vocabularies: which side reads what, batches, files, and the code that travels with them."""

import copy
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from conftest import EOS, PAD, UNK
from hub_server import HubServer
from transformers import AutoTokenizer, DataCollatorForSeq2Seq

from rnn_zoo import RnnTokenizer
from rnn_zoo.models.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from rnn_zoo.models.tokenization_pairs import TARGET_FILE, PairTokenizer
from rnn_zoo.tokenizers import TOKENIZER_BUILDERS, build_char_tokenizer, build_pair_tokenizer, for_translation

SOURCES = ["Nepal", "kathmandu", "\U0001f600 a\x00b <eos>"]
TARGETS = ["नेपाल", "काठमाडौं", "क\u094d\u200dष <eos>"]


@pytest.fixture
def tokenizer():
    return build_pair_tokenizer(SOURCES, TARGETS)


def same(one, other):
    """Whether two tokenizers give the same for all texts, to the ids and back."""
    assert (len(one), one.target_vocab_size) == (len(other), other.target_vocab_size)
    for source, target in zip(SOURCES, TARGETS, strict=True):
        encoded = one(source, text_target=target)
        assert dict(encoded) == dict(other(source, text_target=target))
        assert other.decode(encoded["labels"], skip_special_tokens=True) == target
        assert other.decode(encoded["input_ids"], skip_special_tokens=True, use_source_tokenizer=True) == source
    return True


def test_each_side_has_its_own_ids(tokenizer):
    sources, targets = (for_translation(build_char_tokenizer(texts)) for texts in (SOURCES, TARGETS))
    assert (len(tokenizer), tokenizer.target_vocab_size) == (len(sources), len(targets))
    assert tokenizer.get_vocab() == sources.get_vocab()
    for source, target in zip(SOURCES, TARGETS, strict=True):
        encoded = tokenizer(source, text_target=target)
        assert encoded["input_ids"] == sources(source)["input_ids"] == tokenizer(source)["input_ids"]
        assert encoded["labels"] == targets(target)["input_ids"] == tokenizer(text_target=target)["input_ids"]
        assert encoded["input_ids"].count(EOS) == encoded["labels"].count(EOS) == 1  # a literal <eos> is text
        assert encoded["input_ids"][-1] == encoded["labels"][-1] == EOS
    assert UNK in tokenizer("नेपाल")["input_ids"]
    assert tokenizer("", text_target="") == {"input_ids": [EOS], "attention_mask": [1], "labels": [EOS]}


def test_offsets_of_both_sides_cover_all_that_nfc_composes():
    text = "Rene\u0301 a"
    tokenizer = build_pair_tokenizer([text], [text])
    for encoded in (
        tokenizer(text, return_offsets_mapping=True),
        tokenizer(text_target=text, return_offsets_mapping=True),
        tokenizer.source(text, return_offsets_mapping=True),
    ):
        shown = [text[start:end] for start, end in encoded["offset_mapping"]]
        assert shown == ["R", "e", "n", "e\u0301", " ", "a", ""]


def test_what_a_model_writes_are_targets(tokenizer):
    encoded = tokenizer(SOURCES, text_target=TARGETS, padding=True, return_tensors="pt")
    assert tokenizer.batch_decode(encoded["labels"], skip_special_tokens=True) == TARGETS
    assert tokenizer.decode(encoded["labels"], skip_special_tokens=True) == TARGETS
    shown = tokenizer.batch_decode(encoded["input_ids"], skip_special_tokens=True, use_source_tokenizer=True)
    assert shown == SOURCES
    ids = tokenizer(text_target="नेपाल")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == [*"नेपाल", "<eos>"]
    assert tokenizer.convert_ids_to_tokens(ids[0]) == "न"
    assert tokenizer.convert_ids_to_tokens(ids, skip_special_tokens=True) == list("नेपाल")
    assert tokenizer.convert_tokens_to_string(list("नेपाल")) == "नेपाल"
    assert tokenizer.tokenize("Nepal") == list("Nepal")
    assert tokenizer.convert_ids_to_tokens(tokenizer("Nep")["input_ids"], use_source_tokenizer=True) == [
        *"Nep",
        "<eos>",
    ]


def test_the_sides_are_plain_tokenizers(tokenizer, tmp_path):
    for name, texts in (("source", SOURCES), ("target", TARGETS)):
        side = getattr(tokenizer, name)
        assert type(side) is RnnTokenizer
        side.save_pretrained(tmp_path / name)
        assert not (tmp_path / name / TARGET_FILE).exists()
        alone = AutoTokenizer.from_pretrained(tmp_path / name)
        for text in texts:
            ids = side(text)["input_ids"]
            assert alone(text)["input_ids"] == alone(text_target=text)["input_ids"] == ids
            assert side.decode(ids, skip_special_tokens=True) == alone.decode(ids, skip_special_tokens=True) == text
    assert same(tokenizer, tokenizer)


def test_batches_are_padded_on_the_right_or_as_told(tokenizer):
    batch = tokenizer(SOURCES, text_target=TARGETS, padding=True, return_tensors="pt")
    for key, text_key, texts in (("input_ids", "text", SOURCES), ("labels", "text_target", TARGETS)):
        for row, text in zip(batch[key], texts, strict=True):
            ids = tokenizer(**{text_key: text})["input_ids"]
            assert row.tolist() == ids + [PAD] * (len(row) - len(ids))
    tokenizer.padding_side = "left"
    assert tokenizer(text_target=TARGETS, padding=True, return_tensors="pt")["input_ids"][0, 0] == PAD


def test_both_sides_are_cut_before_their_eos(tokenizer):
    long = tokenizer("Nepal" * 20, text_target="ने" * 50, truncation=True, max_length=7, max_target_length=4)
    assert (len(long["input_ids"]), len(long["labels"])) == (7, 4)
    assert long["input_ids"][-1] == long["labels"][-1] == EOS
    assert len(tokenizer("Nepal" * 2000, text_target="ने" * 5000)["labels"]) == 10_001  # nothing is left of the limit


def test_the_stock_collator_pads_rows_and_labels(tokenizer):
    rows = [
        {key: value for key, value in tokenizer(s, text_target=t).items() if key != "attention_mask"}
        for s, t in zip(SOURCES, TARGETS, strict=True)
    ]
    batch = DataCollatorForSeq2Seq(tokenizer)([dict(row) for row in rows])
    for n, row in enumerate(rows):
        real = batch["attention_mask"][n].bool()
        assert batch["input_ids"][n, real].tolist() == row["input_ids"]
        assert batch["labels"][n][batch["labels"][n] != -100].tolist() == row["labels"]
        assert torch.equal(real, torch.arange(len(real)) < len(row["input_ids"]))


def test_an_error_or_another_thread_leaves_the_sides_in_place(tokenizer):
    with pytest.raises((ValueError, TypeError)):
        tokenizer("Nepal", text_target=5)
    assert same(tokenizer, build_pair_tokenizer(SOURCES, TARGETS))
    expected = dict(tokenizer(SOURCES, text_target=TARGETS))
    with ThreadPoolExecutor(4) as pool:
        for encoded in pool.map(lambda _: dict(tokenizer(SOURCES, text_target=TARGETS)), range(200)):
            assert encoded == expected


@pytest.mark.parametrize("builder", [name for name in TOKENIZER_BUILDERS if name != "wordpunct"])  # not for translators
def test_files_bring_the_same_tokenizer_back(builder, tmp_path):
    texts = ["one two", "two three", "नेपाल \U0001f600"], ["uno dos", "dos tres", "क\u094dष \x00"]
    tokenizer = build_pair_tokenizer(*texts, builder)
    tokenizer(list(texts[0]), text_target=list(texts[1]), padding="max_length", truncation=True, max_length=3)
    tokenizer.save_pretrained(tmp_path / "first")
    AutoTokenizer.register(RnnSeq2SeqConfig, PairTokenizer, exist_ok=True)
    back = AutoTokenizer.from_pretrained(tmp_path / "first")
    back.save_pretrained(tmp_path / "second")
    copies = [back, PairTokenizer.from_pretrained(tmp_path / "second")]
    copies += [pickle.loads(pickle.dumps(back)), copy.deepcopy(back), copy.copy(back)]
    for found in copies:
        assert type(found) is PairTokenizer
        assert found.padding_side == "right"
        assert found.split_special_tokens
        for source, target in zip(*texts, strict=True):
            encoded = tokenizer(source, text_target=target)
            assert dict(found(source, text_target=target)) == dict(encoded)
            assert found.decode(encoded["labels"], skip_special_tokens=True) == target


def test_files_can_have_a_prefix(tokenizer, tmp_path):
    names = {os.path.basename(path) for path in tokenizer.save_pretrained(tmp_path, filename_prefix="a")}
    assert names == {"a-tokenizer.json", "a-tokenizer_config.json", f"a-{TARGET_FILE}"} <= set(os.listdir(tmp_path))


def test_without_the_second_file_one_sentence_says_so(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / TARGET_FILE).unlink()
    with pytest.raises(OSError, match=f"no {TARGET_FILE}"):
        PairTokenizer.from_pretrained(tmp_path)


@pytest.mark.ci
def test_checkpoints_open_without_the_package_from_a_folder_and_from_the_hub(tokenizer, tmp_path):
    PairTokenizer.register_for_auto_class("AutoTokenizer")
    folder = tmp_path / "pairs"
    tokenizer.save_pretrained(folder)
    assert {"tokenizer.json", TARGET_FILE, "tokenization_pairs.py"} <= set(os.listdir(folder))
    script = (
        "import json, sys; sys.modules['rnn_zoo'] = None\n"
        "from transformers import AutoTokenizer\n"
        "places, sources, targets = json.load(sys.stdin)\n"
        "results = []\n"
        "for place in places:\n"
        "    tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=True)\n"
        "    assert type(tokenizer).__module__.startswith('transformers_modules.'), type(tokenizer)\n"
        "    encoded = tokenizer(sources, text_target=targets)\n"
        "    back = tokenizer.batch_decode(encoded['labels'], skip_special_tokens=True)\n"
        "    results.append([encoded['input_ids'], encoded['labels'], back, tokenizer.target_vocab_size])\n"
        "    tokenizer.save_pretrained(sys.argv[1])\n"  # and what it saved opens again: it is the second place
        "print('RESULTS', json.dumps(results))\n"
    )
    again = tmp_path / "again"
    with HubServer() as hub:
        hub.add("models/some/pairs", {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
        done = subprocess.run(
            [sys.executable, "-I", "-c", script, str(again)],
            input=json.dumps([[str(folder), str(again), "some/pairs"], SOURCES, TARGETS]),
            env={**os.environ, **hub.environment(tmp_path / "home")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert any(TARGET_FILE in request for request in hub.requests)
    encoded = tokenizer(SOURCES, text_target=TARGETS)
    expected = [encoded["input_ids"], encoded["labels"], TARGETS, tokenizer.target_vocab_size]
    assert json.loads(done.stdout.split("RESULTS ")[1]) == [expected] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SOURCES, TARGETS, "chr"), "builder='chr': unknown; did you mean 'char'"),
        (([], TARGETS), "source side: texts: no character"),
        ((SOURCES, [""]), "target side: texts: no character"),
        ((SOURCES, TARGETS, "bpe", 5), "source side: vocab_size=5: must be at least 260"),
    ],
)
def test_mistakes(arguments, message):
    options = {"vocab_size": arguments[3]} if len(arguments) > 3 else {}
    with pytest.raises(ValueError, match=message):
        build_pair_tokenizer(*arguments[:3], **options)


def test_sides_that_do_not_fit_are_refused(tokenizer):
    other = copy.deepcopy(tokenizer.target)
    other.eos_token = "<bos>"
    with pytest.raises(ValueError, match="must be the same"):
        PairTokenizer.of(tokenizer.source, other)
    with pytest.raises(ValueError, match=r"PairTokenizer\.of"):
        PairTokenizer(tokenizer_object=tokenizer.backend_tokenizer).decode([1])
