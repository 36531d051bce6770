"""The tagger: losses, Viterbi through the pipeline, pieces that carry their word's label, and files."""

import pytest
import torch
from conftest import T, V, pad_rows, random_ids, tiny_config
from test_models import IOB2, build, close
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional as F
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    pipeline,
)

from rnn_zoo import RnnForTokenClassification, RnnModel
from rnn_zoo.models.crf import Crf
from rnn_zoo.tokenizers import build_word_character_tokenizer

LABELS = list(IOB2["id2label"].values())
kinds = pytest.mark.parametrize("kind", ["tagger", "crf"])


def labels_of(*shape):
    return torch.randint(0, len(LABELS), shape)


def lively(kind, **overrides):
    """A tagger whose labels vary."""
    model = build(kind, **overrides)
    for parameter in [model.classifier.weight, *(model.crf.parameters() if model.crf else [])]:
        torch.nn.init.normal_(parameter, std=2.0)
    return model


def entropy(model, ids, labels, **inputs):
    """The loss by hand: the mean over the words that have a label."""
    emissions = model.classifier(model.model(ids, **inputs).last_hidden_state)
    if model.crf is None:
        return F.cross_entropy(emissions.flatten(0, 1), labels.flatten())
    words = labels != -100
    tags = model.crf.scheme.to_tags(labels, words)
    return -model.crf.log_likelihood(emissions, tags, words).sum() / words.sum()


@kinds
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_loss_is_nats_a_word(kind, side):
    model = lively(kind)
    rows = [random_ids(n) for n in (T, 4, 1)]
    ids, mask = pad_rows(rows, side)
    labels = labels_of(3, T).masked_fill(mask == 0, -100)
    labels[0, 2] = -100  # a word without a label
    loss = model(ids, attention_mask=mask, labels=labels).loss
    close(loss, entropy(model, ids, labels, attention_mask=mask), 1e-5, check_dtype=False)
    items = torch.tensor(7)
    number = (labels != -100).sum()
    close(model(ids, attention_mask=mask, labels=labels, num_items_in_batch=items).loss, loss * number / 7, 1e-5)
    alone = [model(row[None], labels=labels[n, mask[n].bool()][None]).loss for n, row in enumerate(rows)]
    weights = [(labels[n] != -100).sum() for n in range(3)]
    close(loss, sum(a * w for a, w in zip(alone, weights, strict=True)) / number, 1e-5)


@kinds
def test_the_loss_reaches_every_parameter(kind):
    model = lively(kind).train()
    model(random_ids(3, T), labels=labels_of(3, T)).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("scheme", [None, "iob2", "iob1", "iobes"])
def test_the_best_logits_of_a_crf_are_the_viterbi_path(scheme):
    model = lively("crf", tag_scheme=scheme)
    ids, mask = pad_rows([random_ids(n) for n in (T, 5, 1)])
    logits = model(ids, attention_mask=mask).logits
    emissions = model.classifier(model.model(ids, attention_mask=mask).last_hidden_state)
    path, _ = model.crf.viterbi(emissions, mask, outside=True)
    assert torch.equal(logits.argmax(-1)[mask.bool()], path[mask.bool()])
    for row, real in zip(path.tolist(), mask.bool(), strict=True):
        tags = [LABELS[i] for i, here in zip(row, real, strict=True) if here]
        for before, after in zip(["O", *tags], tags, strict=False):
            assert scheme is None or after[0] != "I" or before[1:] == after[1:]


@kinds
def test_marginals_are_probabilities_on_request(kind):
    model = lively(kind)
    ids, mask = pad_rows([random_ids(n) for n in (T, 4)])
    logits = model(ids, attention_mask=mask, output_marginals=True).logits
    close(logits[mask.bool()].exp().sum(-1), torch.ones(T + 4, dtype=torch.float64), 1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_emissions_while_training_have_a_gradient(training):
    model = lively("crf").train(training)
    assert model(random_ids(2, T)).logits.requires_grad == training


@kinds
def test_one_batch_is_learnt(kind):
    model = RnnForTokenClassification(tiny_config(hidden_size=24, **({"use_crf": kind == "crf"} | IOB2))).train()
    ids, labels = random_ids(3, T), labels_of(3, T)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(200):
        loss = model(ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    assert torch.equal(model.eval()(ids).logits.argmax(-1), labels)


@pytest.mark.ci
@kinds
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_accumulated_quarters_are_one_batch(kind, tmp_path):
    lengths = [T, 2, 5, 3, 6, 4, 7, 1]
    data = []
    for n in lengths:
        ids, mask = pad_rows([random_ids(n), random_ids(T)])
        labels = labels_of(T).masked_fill(mask[0] == 0, -100)
        data.append({"input_ids": ids[0], "attention_mask": mask[0], "labels": labels})
    start, trained = build(kind).float().state_dict(), []
    for size, accumulation in [(8, 1), (2, 4)]:
        model = build(kind).float()
        model.load_state_dict(start)
        arguments = TrainingArguments(
            output_dir=str(tmp_path / str(size)),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_steps=2,
            learning_rate=0.5,
            optim="sgd",
            train_sampling_strategy="sequential",
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        Trainer(model, arguments, train_dataset=data).train()
        trained.append(model.state_dict())
    assert any(not torch.allclose(trained[0][name], start[name], atol=1e-3) for name in start)
    for name in start:
        close(trained[1][name], trained[0][name], 1e-6)


# Words and pieces


def pieces_tokenizer():
    """WordPiece with a <cls> before and a <sep> after the text."""
    vocabulary = ["<pad>", "<cls>", "<sep>", "<unk>", "Kath", "##man", "##du", "is", "in", "Nepal", "##s", "."]
    backend = Tokenizer(models.WordPiece({t: n for n, t in enumerate(vocabulary)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.WordPiece()
    from tokenizers.processors import TemplateProcessing

    backend.post_processor = TemplateProcessing(single="<cls> $A <sep>", special_tokens=[("<cls>", 1), ("<sep>", 2)])
    special = {"pad_token": "<pad>", "cls_token": "<cls>", "sep_token": "<sep>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


@kinds
def test_a_crf_runs_over_words_and_pieces_carry_their_label(kind):
    tokenizer, model = pieces_tokenizer(), lively(kind)
    model.mark_words(tokenizer)
    encoded = tokenizer("Kathmandu is in Nepals.", return_tensors="pt")
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
    assert tokens == ["<cls>", "Kath", "##man", "##du", "is", "in", "Nepal", "##s", ".", "<sep>"]
    words = model.token_kinds(encoded["input_ids"], encoded["attention_mask"])
    assert words[0].nonzero().flatten().tolist() == [1, 4, 5, 6, 8]
    logits = model(encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits[0]
    if kind == "crf":
        emissions = model.classifier(model.model(encoded["input_ids"]).last_hidden_state)
        path, _ = model.crf.viterbi(emissions, words, outside=True)
        assert torch.equal(logits.argmax(-1)[words[0]], path[words])
    begin, inside = [1, 3], [2, 4]
    for piece, word in [(2, 1), (3, 1), (7, 6)]:
        assert torch.equal(logits[piece, 0], logits[word, 0])
        pair = torch.stack([logits[word, begin], logits[word, inside]])
        assert torch.equal(logits[piece, inside], pair.amax(0))
        assert torch.equal(logits[piece, begin], pair.amin(0))
    assert logits[0].eq(0).all()


@pytest.mark.parametrize("mark", ["\u0120", "\u2581"])
def test_marks_at_the_beginning_of_words(mark):
    vocabulary = ["<pad>", "<bos>", "<eos>", "<unk>", f"{mark}a", "b", f"{mark}c", "d"]
    backend = Tokenizer(models.WordLevel({t: n for n, t in enumerate(vocabulary)}, unk_token="<unk>"))
    model = build("tagger")
    model.mark_words(PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>"))
    # The first token of a text begins a word even without its mark.
    ids = torch.tensor([[5, 5, 4, 7, 6, 2, 0], [0, 0, 4, 5, 6, 7, 7]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1, 1]])
    assert model.token_kinds(ids, mask).int().tolist() == [[1, 0, 1, 0, 1, 0, 0], [0, 0, 1, 0, 1, 0, 0]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strategy", ["none", "simple", "first"])
def test_pipeline_with_pieces(tmp_path, strategy):
    """The same entities with each strategy, at the right places, as Viterbi finds them."""
    tokenizer = pieces_tokenizer()
    model = lively("crf", vocab_size=len(tokenizer)).float()
    model.mark_words(tokenizer)
    torch.nn.init.zeros_(model.classifier.weight)
    bias = dict.fromkeys(model.crf.scheme.tags, -5.0) | {"S-LOC": 5.0}  # every word an entity of its own
    model.classifier.bias.data = torch.tensor([bias[tag] for tag in model.crf.scheme.tags])
    torch.nn.init.zeros_(model.crf.transitions)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    tag = pipeline("token-classification", model=str(tmp_path), aggregation_strategy=strategy)
    text = "Kathmandu is in Nepals."
    found = tag(text)
    if strategy == "none":
        assert [e["entity"] for e in found] == ["B-LOC", "I-LOC", "I-LOC", "B-LOC", "B-LOC", "B-LOC", "I-LOC", "B-LOC"]
    else:
        shown = [text[e["start"] : e["end"]] for e in found]
        assert [e["entity_group"] for e in found] == ["LOC"] * 5
        assert shown == ["Kathmandu", "is", "in", "Nepals", "."]
    assert tag([text, "Nepal"], batch_size=2) == [tag(text), tag("Nepal")]


SENTENCES = [["Sita", "lives", "in", "Pokhara", "."], ["काठमाडौं", "नेपाल", "को", "राजधानी", "हो", "।"]]


def emptied(model):
    model.to_empty(device="cpu")
    return False


def moved_away(model):
    model.to("meta")
    return True


@pytest.mark.parametrize("take", [emptied, moved_away])
def test_weights_alone_bring_a_tagger_back(take):
    """Whatever took its memory: what no checkpoint holds comes from the configuration."""
    model = build("crf")
    model.model.drop_rare_words(torch.arange(V), 1.0)
    ids, labels = random_ids(2, T), torch.zeros(2, T, dtype=torch.long)
    expected, weights, rates = model(ids, labels=labels), model.state_dict(), model.model.word_dropout_rates.clone()
    weights = {name: weight.clone() for name, weight in weights.items()}
    model.load_state_dict(weights, assign=take(model))
    found = model(ids, labels=labels)
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(found.loss, expected.loss)
    assert torch.equal(model.model.word_dropout_rates, rates)
    with torch.device("meta"):
        empty = RnnForTokenClassification(model.config).double().eval()
    empty.load_state_dict(weights, assign=True)
    assert torch.equal(empty(ids).logits, expected.logits)


@pytest.fixture
def spelled(tmp_path):
    """A tagger with characters, in files; its tokenizer."""
    tokenizer = build_word_character_tokenizer(SENTENCES)
    sizes = {"vocab_size": len(tokenizer), "character_vocab_size": tokenizer.character_vocab_size}
    lively("crf", **sizes).float().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "text", ["Sita lives in Pokhara.", "काठमाडौं नेपालको राजधानी हो।", "😀 Gita's", "Sita\u200b in", "x"]
)
def test_pipeline_on_raw_text_reads_the_spelling(spelled, text):
    model = AutoModelForTokenClassification.from_pretrained(spelled)
    tokenizer = AutoTokenizer.from_pretrained(spelled)
    with torch.no_grad():
        encoded = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        offsets = encoded.pop("offset_mapping")[0].tolist()
        best = model(**encoded).logits[0].argmax(-1).tolist()
    expected = [(*place, LABELS[label]) for place, label in zip(offsets, best, strict=True) if label]
    found = pipeline("token-classification", model=str(spelled))(text)
    assert [(e["start"], e["end"], e["entity"]) for e in found] == expected


def test_pipeline_in_batches_is_one_by_one(spelled):
    tag = pipeline("token-classification", model=str(spelled), aggregation_strategy="simple")
    texts = ["Sita lives in Pokhara.", "Sita", "काठमाडौं नेपाल", "in in in in in in in in in"]
    together = tag(texts, batch_size=3)
    for one, batch in zip([tag(text) for text in texts], together, strict=True):
        assert [(e["start"], e["end"], e["entity_group"]) for e in one] == [
            (e["start"], e["end"], e["entity_group"]) for e in batch
        ]


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_trainer_trains_on_words_with_the_stock_collator(spelled, tmp_path):
    model, tokenizer = AutoModelForTokenClassification.from_pretrained(spelled), AutoTokenizer.from_pretrained(spelled)
    data = [tokenizer(s, is_split_into_words=True) | {"labels": [1] + [0] * (len(s) - 1)} for s in SENTENCES]
    arguments = TrainingArguments(
        str(tmp_path / "out"),
        max_steps=60,
        learning_rate=0.03,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    collator = DataCollatorForTokenClassification(tokenizer)
    trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data, data_collator=collator)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before / 4
    predicted = trainer.predict(data)
    assert predicted.predictions.shape == (2, 6, len(LABELS))
    right = predicted.predictions.argmax(-1) == predicted.label_ids
    assert right[predicted.label_ids != -100].all()


# Labels that are set after loading, as the library's scripts do

OTHERS = {
    "renamed": ["O", "B-X", "I-X", "B-Y", "I-Y"],
    "in another order": ["B-Y", "B-X", "I-X", "I-Y", "O"],
    "types without a beginning": ["I-X", "I-Y", "O", "I-Z", "B-Z"],
    "parts of speech": ["NOUN", "VERB", "o", "B-X", "."],
}


def set_labels(model, labels):
    model.config.label2id = {label: n for n, label in enumerate(labels)}
    model.config.id2label = dict(enumerate(labels))


@pytest.mark.parametrize("moment", ["forward", "train", "save"])
@pytest.mark.parametrize(
    ("scheme", "labels"),
    [
        ("iobes", "renamed"),
        ("iobes", "in another order"),
        ("iob2", "types without a beginning"),
        ("iob1", "in another order"),
        (None, "parts of speech"),
        ("no crf", "in another order"),
    ],
)
def test_labels_set_after_loading_are_those_of_the_file(tmp_path, scheme, labels, moment):
    names = OTHERS[labels]
    kind, options = ("tagger", {}) if scheme == "no crf" else ("crf", {"tag_scheme": scheme})
    lively(kind, **options).save_pretrained(tmp_path / "old")
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "old")
    set_labels(model, names)
    ids, gold, pieces = random_ids(3, T), labels_of(3, T), torch.arange(V) % 3 > 0
    model.token_kinds.kinds[:] = pieces.int()
    if moment == "train":
        model.train().zero_grad()
    if moment != "save":
        expected, loss = model.eval()(ids).logits, model(ids, labels=gold).loss
    model.save_pretrained(tmp_path / "new")
    back = AutoModelForTokenClassification.from_pretrained(tmp_path / "new")
    if moment != "save":
        close(back(ids).logits, expected)
        close(back(ids, labels=gold).loss, loss)
    fresh = RnnForTokenClassification(back.config)
    assert model.begin_inside == back.begin_inside == fresh.begin_inside
    if model.crf is not None:
        for name, buffer in fresh.crf.named_buffers():
            assert torch.equal(model.crf.get_buffer(name), buffer), name
        assert model.crf.scheme.tags == fresh.crf.scheme.tags
    words = model.eval()(ids).logits.argmax(-1)[pieces[ids]]
    assert scheme in (None, "no crf") or names[words[0]][0] != "I" or labels.startswith("types")


@pytest.mark.parametrize(
    ("labels", "scheme"), [(["O", "B-X", "I-X"], "iob2"), (["B-X", "o", "I-X"], None), (["S-X", "E-X", "O"], None)]
)
def test_a_head_of_labels_without_names_gets_them_later(tmp_path, labels, scheme, caplog):
    """As `run_ner.py`: another number of labels first, then their names."""
    lively("crf").save_pretrained(tmp_path / "old")
    model = AutoModelForTokenClassification.from_pretrained(
        tmp_path / "old", num_labels=3, ignore_mismatched_sizes=True
    )
    set_labels(model, labels)
    torch.nn.init.normal_(model.crf.transitions)
    logits = model(random_ids(2, T)).logits
    assert f"tag_scheme='iobes' is now {scheme!r}" in caplog.text
    assert model.config.tag_scheme == scheme
    ids = random_ids(2, T)
    model.save_pretrained(tmp_path / "new")
    back = AutoModelForTokenClassification.from_pretrained(tmp_path / "new")
    assert back.crf.scheme.labels == tuple(labels)
    close(back(ids).logits, model(ids).logits)
    assert logits.shape == (2, T, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id2label": dict(enumerate(["O", "B-X", "I-X"]))}, r"id2label has 3 labels.*built for 5: load it with them"),
        ({"id2label": dict(enumerate(["O", "B-X", "B-Y", "B-Z", "I-Z"]))}, r"7 tags inside.*'iobes'.*built for 9"),
        ({"id2label": dict(enumerate("ABCDE"))}, r"'A' \(id 0\) is not IOB.*scheme None"),
        ({"id2label": dict(enumerate(["O", "o", "B-X", "I-X", "B-Y"]))}, r"'o' \(id 1\) is not IOB"),
        ({"id2label": dict(enumerate(["O", "O", "B-X", "I-X", "B-Y"]))}, r"'O' has two ids"),
        ({"id2label": dict(enumerate(LABELS, 1))}, r"the ids 1, 2, 3, 4, 5: needed are 0, 1"),
        ({"tag_scheme": None}, r"5 tags inside.*None.*built for 9"),
        ({"use_crf": False}, r"use_crf=False: cannot change"),
    ],
)
def test_labels_for_which_the_head_has_no_place_are_refused_before_training(tmp_path, change, words):
    model = lively("crf")
    for name, value in change.items():
        setattr(model.config, name, value)
    for attempt in (lambda: model(random_ids(2, T)), model.train, lambda: model.save_pretrained(tmp_path / "new")):
        with pytest.raises(ValueError, match=words):
            attempt()
    assert not (tmp_path / "new").exists()


def test_no_graph_of_labels_that_were():
    model, ids = lively("crf", num_hidden_layers=1), random_ids(2, T)
    set_labels(model, OTHERS["in another order"])
    with pytest.raises(ValueError, match=r"model\.follow_labels\(\)"):
        torch.export.export(model, (), {"input_ids": ids})
    compiled = torch.compile(model.eval(), fullgraph=True, backend="eager")
    assert model.labels == tuple(OTHERS["in another order"])
    close(compiled(ids).logits, model(ids).logits, 1e-6)


# A loss that Trainer makes without the model


def trainer_of(model, tmp_path, data, **options):
    arguments = TrainingArguments(
        str(tmp_path), max_steps=2, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True, **options
    )
    return Trainer(model, arguments, train_dataset=data, eval_dataset=data)


@pytest.mark.filterwarnings("ignore::UserWarning")
@kinds
def test_labels_taken_away_for_smoothing(kind, tmp_path):
    """Right without a CRF; the CRF's loss cannot be made of its max-marginals."""
    model, smoothing = lively(kind).float(), 0.2
    data = [{"input_ids": random_ids(T), "labels": labels_of(T)} for _ in range(4)]
    start = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = trainer_of(model, tmp_path, data, label_smoothing_factor=smoothing)
    if kind == "crf":
        for attempt in (trainer.evaluate, trainer.train):
            with pytest.raises(ValueError, match=r"use_crf.*label_smoothing_factor.*train without"):
                attempt()
        assert all(torch.equal(value, start[name]) for name, value in model.state_dict().items())
        return
    ids, labels = (torch.stack([row[name] for row in data]) for name in ("input_ids", "labels"))
    with torch.no_grad():
        expected = F.cross_entropy(model(ids).logits.flatten(0, 1), labels.flatten(), label_smoothing=smoothing)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(float(expected), rel=1e-4)
    trainer.train()


# Files and mistakes


@kinds
@pytest.mark.parametrize("options", [{"tag_scheme": None}, {}], ids=["no scheme", "scheme"])
def test_a_head_for_other_labels_begins_anew(tmp_path, kind, options):
    model = lively(kind)
    model.save_pretrained(tmp_path)
    other = AutoModelForTokenClassification.from_pretrained(
        tmp_path, num_labels=3, ignore_mismatched_sizes=True, **options
    )
    assert other(random_ids(2, T)).logits.shape == (2, T, 3)
    assert torch.equal(other.model.embed_tokens.weight, model.model.embed_tokens.weight)
    assert all(p.isfinite().all() for p in other.parameters())


@kinds
def test_the_encoder_of_a_tagger_comes_from_a_base_model(tmp_path, kind):
    base = build("bidirectional")
    base.save_pretrained(tmp_path)
    options = {"use_crf": kind == "crf", **IOB2}
    model = RnnForTokenClassification.from_pretrained(tmp_path, **options)
    for name, parameter in base.named_parameters():
        assert torch.equal(model.get_parameter(f"model.{name}"), parameter)
    assert model.token_kinds.kinds.eq(1).all()
    if model.crf is not None:
        fresh = Crf(model.crf.scheme)
        for name, buffer in fresh.named_buffers():
            assert torch.equal(model.crf.get_buffer(name), buffer)
    assert isinstance(model.model, RnnModel)


def test_marked_words_are_kept_in_the_file_and_when_the_vocabulary_grows(tmp_path):
    tokenizer, model = pieces_tokenizer(), build("crf")
    model.mark_words(tokenizer)
    model.save_pretrained(tmp_path)
    back = AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert torch.equal(back.token_kinds.kinds, model.token_kinds.kinds)
    back.resize_token_embeddings(V + 3)
    assert torch.equal(back.token_kinds.kinds[:V], model.token_kinds.kinds)
    assert back.token_kinds.kinds[V:].eq(1).all()
    assert back(torch.full((1, 2), V + 2)).logits.shape == (1, 2, len(LABELS))


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")
@kinds
def test_a_tagger_compiles_and_exports(kind):
    model, ids = lively(kind, num_hidden_layers=1), random_ids(2, T)
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    close(compiled(ids, attention_mask=mask).logits, model(ids, attention_mask=mask).logits, 1e-6)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    program = torch.export.export(
        model,
        (),
        {"input_ids": ids, "attention_mask": mask},
        dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
    ).module()
    for size in [(3, 5), (1, 1), (2, 11)]:
        ids = random_ids(*size)
        mask = (torch.rand(size) > 0.3).long()
        close(program(input_ids=ids, attention_mask=mask).logits, model(ids, attention_mask=mask).logits, 1e-6)


@kinds
def test_mistakes(kind):
    model, ids = build(kind), random_ids(2, T)
    with pytest.raises(ValueError, match=r"labels have shape \(2, 6\).*\(2, 7\)"):
        model(ids, labels=labels_of(2, T - 1))
    with pytest.raises((ValueError, IndexError), match=r"labels.*\b9\b.*0 to 4"):
        model(ids, labels=torch.full((2, T), 9))


def test_labels_that_are_not_iob_have_no_scheme():
    words = {"id2label": {0: "NOUN", 1: "VERB"}, "use_crf": True}
    assert RnnForTokenClassification(tiny_config(**words))(random_ids(2, T)).logits.shape == (2, T, 2)
    with pytest.raises(ValueError, match=r"NOUN.*not IOB"):
        RnnForTokenClassification(tiny_config(**words, tag_scheme="iobes"))
