"""The classifier: pooling, losses, documents of sentences, long texts in pieces, pipelines, and files."""

import copy
import logging
import math

import pytest
import torch
from conftest import FIRST_WORD, ONE_OF_EACH_KIND, PAD, E, H, T, V, pad_rows, random_ids, tiny_config
from huggingface_hub.errors import StrictDataclassError
from test_models import close, close_all, tensors
from torch.nn import functional as F
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    pipeline,
)

from rnn_zoo import RnnForCausalLM, RnnForSequenceClassification, init_from_language_model
from rnn_zoo.models.pooling import POOLINGS, hop_penalty
from rnn_zoo.models.sentences import split_sentences
from rnn_zoo.tokenizers import build_char_tokenizer, build_wordpunct_tokenizer, with_spelling

LABELS = 3
STOP, ASK = FIRST_WORD, FIRST_WORD + 1  # the tokens that end a sentence
TYPES = ["single_label_classification", "multi_label_classification", "regression"]
ATTENTIVE = ["attention", "self_attentive"]
DOCUMENTS = {"hierarchical": True, "sentence_end_token_ids": [STOP, ASK]}

every_pooling = pytest.mark.parametrize("pooling", POOLINGS)
every_cell = pytest.mark.parametrize("cell", ONE_OF_EACH_KIND)
both_directions = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "bidirectional"])
flat_and_hierarchical = pytest.mark.parametrize("level", [{}, DOCUMENTS], ids=["flat", "hierarchical"])


def build(pooling="concat", cell="lstm", **overrides):
    """A classifier in evaluation, float64, whose scores and weights depend visibly on the text."""
    values = {"pooling": pooling, "cell_type": cell, "num_labels": LABELS, "attention_hops": 2}
    model = RnnForSequenceClassification(tiny_config(**values | overrides)).double().eval()
    for name, parameter in model.named_parameters():
        if "bias" in name or name.startswith(("classifier", "dense")) or "pooling" in name:
            torch.nn.init.uniform_(parameter, -1, 1)
    return model


def labels_of(problem_type, rows, labels=LABELS):
    if problem_type == "single_label_classification":
        return torch.randint(labels, (rows,))
    return (torch.rand(rows, labels) > 0.5).float() if problem_type.startswith("multi") else torch.randn(rows, labels)


def grads_of(y, tensors):
    return torch.autograd.grad(y, tensors, retain_graph=True, allow_unused=True, materialize_grads=True)


# Pooling


def pooled_by_hand(pooling, kind, y, bidirectional):
    """The vector and the weights of one text, state by state: `y (T, C)` -> `(size)`, `(R, T)` or `None`."""
    T, C = y.shape
    if kind == "last":
        half = C // 2
        return torch.cat([y[-1, :half], y[0, half:]]) if bidirectional else y[-1], None
    if kind == "mean":
        return sum(y[t] for t in range(T)) / T, None
    if kind == "max":
        return torch.stack([max(y[t, c] for t in range(T)) for c in range(C)]), None
    if kind == "concat":
        parts = zip(pooling.kinds, ("last", "mean", "max"), strict=True)
        return torch.cat([pooled_by_hand(part, name, y, bidirectional)[0] for part, name in parts]), None
    key, score = pooling.key_projection, pooling.scores.weight
    vectors, rows = [], []
    for hop in range(len(score)):
        exponents = [torch.exp(score[hop] @ torch.tanh(key.weight @ y[t] + key.bias)) for t in range(T)]
        rows.append(torch.stack([exponent / sum(exponents) for exponent in exponents]))
        vectors.append(sum(rows[-1][t] * y[t] for t in range(T)))
    return torch.cat(vectors), torch.stack(rows)


@every_pooling
@both_directions
@pytest.mark.parametrize("size", [None, 5])
def test_pooling_is_the_plain_loop(pooling, bidirectional, size):
    config = tiny_config(bidirectional=bidirectional, pooling_attention_size=size, attention_hops=3)
    pool = POOLINGS[pooling](config).double()
    for parameter in pool.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    y = torch.randn(4, T, config.output_size, dtype=torch.float64, requires_grad=True)
    masks = [None, torch.tensor([[1] * T, [0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0, 0]])]
    sources = [y, *pool.parameters()]
    for mask in masks:
        vectors, weights = pool(y, None if mask is None else mask.bool())
        assert vectors.shape == (4, pool.size)
        assert (weights is None) == (pool.hops == 0)
        for n in range(4):
            real = slice(None) if mask is None else mask[n].bool()
            vector, row = pooled_by_hand(pool, pooling, y[n, real], bidirectional)
            close(vectors[n], vector)
            factors = torch.randn_like(vector)
            close_all(grads_of(vectors[n] @ factors, sources), grads_of(vector @ factors, sources))
            if weights is not None:
                close(weights[n][:, real], row)
                assert mask is None or weights[n][:, ~real].eq(0).all()
                factors = torch.randn_like(row)
                total = (weights[n][:, real] * factors).sum()
                close_all(grads_of(total, sources), grads_of((row * factors).sum(), sources))


@every_pooling
@pytest.mark.parametrize("filling", [math.nan, math.inf, -math.inf])
def test_what_stands_under_the_mask_does_not_count(pooling, filling):
    pool = POOLINGS[pooling](tiny_config(bidirectional=True)).double()
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [0] * T]).bool()
    clean = torch.randn(3, T, 2 * H, dtype=torch.float64)
    results = []
    for y in (clean, clean.masked_fill(~mask[..., None], filling)):
        y.requires_grad_()
        vector, weights = pool(y, mask)
        results.append([vector, *torch.autograd.grad(vector.square().sum(), [y, *pool.parameters()])])
        results[-1] += [] if weights is None else [weights]
    close_all(*results)
    assert results[0][0][2].eq(0).all()  # a row without real steps


@every_pooling
@flat_and_hierarchical
@both_directions
@every_cell
@pytest.mark.parametrize("side", ["left", "right", "holes"])
def test_a_padded_text_is_the_text_alone(pooling, level, bidirectional, cell, side):
    """Scores, weights and gradients; the last row has no token."""
    model = build(pooling, cell, bidirectional=bidirectional, num_hidden_layers=1, **level)
    lengths = [T, 4, 1, 0]
    if side == "holes":
        ids = random_ids(4, T)
        mask = torch.tensor([[1, 1, 0, 1, 0, 1, 1], [0, 1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0, 0], [0] * T])
    else:
        ids, mask = pad_rows([random_ids(n) for n in lengths], side)
    outputs = model(ids, attention_mask=mask, output_attentions=True)
    parameters = list(model.parameters())
    factors = torch.randn_like(outputs.logits)
    found = grads_of((outputs.logits * factors).sum(), parameters)
    total = 0.0
    for n in range(4):
        real = mask[n].bool()
        alone = model(ids[n, real][None], output_attentions=True)
        close(outputs.logits[n], alone.logits[0])
        total = total + (alone.logits[0] * factors[n]).sum()
        if pooling in ATTENTIVE:
            close(outputs.attentions[0][n][:, real], alone.attentions[0][0])
            assert outputs.attentions[0][n][:, ~real].eq(0).all()
    close_all(found, grads_of(total, parameters))
    assert (outputs.attentions is None) == (pooling not in ATTENTIVE)


@every_pooling
@flat_and_hierarchical
@both_directions
def test_texts_without_a_token(pooling, level, bidirectional):
    """An empty text has the vector 0, however it is given, and finite gradients."""
    model = build(pooling, bidirectional=bidirectional, **level).train()
    ids = random_ids(2, T)
    given = [(ids[:, :0], None), (ids[:, :0], torch.ones(2, 0)), (ids, torch.zeros(2, T))]
    for some, mask in given:
        outputs = model(some, attention_mask=mask, labels=torch.tensor([0, 1]), output_attentions=True)
        close(outputs.logits, model.classifier.bias.expand(2, LABELS))
        grads = grads_of(outputs.loss, list(model.parameters()))
        assert all(g.isfinite().all() for g in grads)
    assert model(ids[:0]).logits.shape == (0, LABELS)
    assert model(ids[:0, :0]).logits.shape == (0, LABELS)


def test_the_head_has_a_hidden_layer_on_request():
    model, ids = build("mean", classifier_hidden_size=5), random_ids(2, T)
    vector = model.model(ids).last_hidden_state.mean(1)
    close(model(ids).logits, model.classifier(F.relu(model.dense(vector))))


def test_new_projections_are_initialized_as_they_say():
    weights = [
        RnnForSequenceClassification(tiny_config(hidden_size=50, pooling=pooling)).pooling.key_projection.weight
        for pooling in ATTENTIVE
    ]
    for weight in weights:
        bound = math.sqrt(6 / 100)
        assert 0.97 * bound < weight.abs().max() <= bound


# Losses


def test_the_loss_of_one_label_a_text():
    weights, smoothing = [0.5, 1, 3], 0.2
    model = build(problem_type=TYPES[0], class_weights=weights, label_smoothing=smoothing)
    ids, labels = random_ids(4, T), torch.tensor([2, -100, 0, 1])
    logs = model(ids).logits.log_softmax(-1)
    for training in (False, True):
        model.train(training)
        share = smoothing if training else 0.0
        expected = 0.0
        for n, label in enumerate(labels.tolist()):
            for k in range(LABELS):
                if label >= 0:
                    target = (1 - share) * (k == label) + share / LABELS
                    expected = expected - weights[k] * target * logs[n, k]
        close(model(ids, labels=labels).loss, expected / 3, 1e-5, check_dtype=False)
        close(model(ids, labels=labels, num_items_in_batch=7).loss, expected / 7, 1e-5, check_dtype=False)


def test_the_loss_of_several_labels_a_text():
    weights, smoothing = [0.5, 1, 3], 0.2
    model = build(problem_type=TYPES[1], class_weights=weights, label_smoothing=smoothing)
    ids, labels = random_ids(4, T), labels_of(TYPES[1], 4)
    chance = model(ids).logits.sigmoid()
    for training in (False, True):
        model.train(training)
        expected = 0.0
        for n in range(4):
            for k in range(LABELS):
                target = labels[n, k] * (1 - smoothing) + smoothing / 2 if training else labels[n, k]
                expected = expected - weights[k] * target * chance[n, k].log() - (1 - target) * (1 - chance[n, k]).log()
        for given in (labels, labels.long(), labels.bool()):
            close(model(ids, labels=given).loss, expected / 12, 1e-5, check_dtype=False)
        close(model(ids, labels=labels, num_items_in_batch=24).loss, expected / 24, 1e-5, check_dtype=False)


@pytest.mark.parametrize("numbers", [1, 3])
def test_the_loss_of_numbers(numbers):
    model, ids = build(problem_type="regression", num_labels=numbers), random_ids(4, T)
    labels = torch.randn(4, numbers)
    expected = sum((model(ids).logits[n, k] - labels[n, k]) ** 2 for n in range(4) for k in range(numbers))
    for given in [labels, labels[:, 0]] if numbers == 1 else [labels]:
        close(model(ids, labels=given).loss, expected / (4 * numbers), 1e-5, check_dtype=False)
    close(model(ids, labels=labels, num_items_in_batch=5).loss, expected / 5, 1e-5, check_dtype=False)


@pytest.mark.parametrize(("problem_type", "none"), [(TYPES[1], -100), (TYPES[2], math.nan)])
def test_what_is_no_label_does_not_count(problem_type, none):
    model, ids, labels = build(problem_type=problem_type).train(), random_ids(4, T), labels_of(problem_type, 4)
    missing = torch.zeros(4, LABELS, dtype=torch.bool)
    missing[0, 1] = missing[2] = True
    loss = F.binary_cross_entropy_with_logits if problem_type == TYPES[1] else F.mse_loss
    expected = loss(model(ids).logits[~missing].float(), labels[~missing])
    given = labels.masked_fill(missing, none)
    close(model(ids, labels=given).loss, expected, 1e-5)
    items = (given != -100).sum()  # as Trainer counts them
    close(model(ids, labels=given, num_items_in_batch=2 * items).loss, expected / 2, 1e-5)
    nothing = model(ids, labels=torch.full_like(labels, none)).loss
    nothing.backward()
    assert nothing == 0
    assert all(parameter.grad.eq(0).all() for parameter in model.parameters())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("options", [{}, {"class_weights": [1, 2, 3]}], ids=["plain", "weights"])
def test_labels_taken_away_for_smoothing(tmp_path, options):
    model, ids, labels = build(**options).float(), random_ids(4, T), labels_of(TYPES[0], 4)
    data = [{"input_ids": row, "labels": label} for row, label in zip(ids, labels, strict=True)]
    arguments = TrainingArguments(
        str(tmp_path), max_steps=1, label_smoothing_factor=0.2, use_cpu=True, report_to="none", disable_tqdm=True
    )
    trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data)
    if options:
        for attempt in (trainer.evaluate, trainer.train):
            with pytest.raises(ValueError, match=r"class_weights=\[1, 2, 3\].*label_smoothing_factor"):
                attempt()
        return
    with torch.no_grad():
        expected = F.cross_entropy(model(ids).logits, labels, label_smoothing=0.2)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(float(expected), rel=1e-4)


def test_another_number_of_labels_set_after_loading():
    model = build()
    model.config.id2label = {0: "a", 1: "b"}
    with pytest.raises(ValueError, match=r"id2label has 2 labels.*built for 3: load it with them"):
        model(random_ids(2, T), labels=torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("number", "labels", "meant"),
    [
        (3, torch.tensor([0, 2]), TYPES[0]),
        (3, torch.tensor([0, 2], dtype=torch.int32), TYPES[0]),
        (3, torch.tensor([[0.0, 1, 1], [1, 0, 0]]), TYPES[1]),
        (3, torch.tensor([[False, True, True], [True, False, False]]), TYPES[1]),
        (1, torch.tensor([0.5, 2.0]), TYPES[2]),
        (1, torch.tensor([4, 2]), TYPES[2]),
    ],
)
def test_the_first_labels_decide_what_kind_they_are(number, labels, meant):
    model, ids = build(num_labels=number), random_ids(2, T)
    told = build(num_labels=number, problem_type=meant)
    told.load_state_dict(model.state_dict())
    assert model.config.problem_type is None
    assert torch.equal(model(ids, labels=labels).loss, told(ids, labels=labels).loss)
    assert model.config.problem_type == meant


def penalty_by_hand(weights):
    R = len(weights)
    products = [[sum(a * b for a, b in zip(weights[i], weights[j], strict=True)) for j in range(R)] for i in range(R)]
    return sum((products[i][j] - float(i == j)) ** 2 for i in range(R) for j in range(R))


@flat_and_hierarchical
@pytest.mark.parametrize("problem_type", TYPES)
def test_the_penalty_of_hops_that_look_at_the_same_words(level, problem_type):
    """It is that of each text, whatever is counted, in training alone, and not that of a text without a label."""
    options = {"problem_type": problem_type, **level}
    plain = build("self_attentive", **options)
    model = build("self_attentive", attention_penalty=0.3, **options)
    model.load_state_dict(plain.state_dict())
    ids, mask = pad_rows([random_ids(n) for n in (T, 4, 6)])
    labels, counted = labels_of(problem_type, 3), [0, 1, 2]
    if problem_type == TYPES[0]:
        labels[1], counted = -100, [0, 2]
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    weights = plain(**inputs, output_attentions=True).attentions[-1]
    close(hop_penalty(weights), torch.stack([penalty_by_hand(rows) for rows in weights]))
    expected = plain(**inputs).loss
    assert torch.equal(model(**inputs).loss, expected)
    penalty = 0.3 * sum(penalty_by_hand(weights[n]) for n in counted) / len(counted)
    close(model.train()(**inputs).loss, expected + penalty, 1e-5, check_dtype=False)
    items = (labels != -100).sum()
    close(model(**inputs, num_items_in_batch=2 * items).loss, (expected + penalty) / 2, 1e-5, check_dtype=False)


@every_pooling
@flat_and_hierarchical
def test_the_loss_reaches_every_parameter(pooling, level):
    model = build(pooling, bidirectional=True, classifier_hidden_size=5, **level).train()
    ids = random_ids(8, 2 * T)
    ids[:, ::4] = STOP
    model(ids, labels=labels_of(TYPES[0], 8)).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@every_pooling
@flat_and_hierarchical
def test_one_batch_is_learnt(pooling, level):
    config = tiny_config(hidden_size=24, num_hidden_layers=1, num_labels=LABELS, pooling=pooling, **level)
    model = RnnForSequenceClassification(config).train()
    ids, labels = random_ids(6, T), torch.tensor([0, 1, 2, 0, 1, 2])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(100):
        loss = model(ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.04:
            break
    assert loss < 0.05
    assert torch.equal(model.eval()(ids).logits.argmax(-1), labels)


def arguments(folder, **options):
    values = {"use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
    return TrainingArguments(output_dir=str(folder), **values | options)


@pytest.mark.ci
@pytest.mark.parametrize("problem_type", TYPES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_accumulated_quarters_are_one_batch(problem_type, tmp_path):
    options = {"problem_type": problem_type, "attention_penalty": 0.2}
    if problem_type != "regression":
        options |= {"class_weights": [1, 0.5, 2], "label_smoothing": 0.1}
    labels = labels_of(problem_type, 8)
    if problem_type == TYPES[0]:
        labels[3] = -100
    ids, mask = pad_rows([random_ids(n) for n in (T, 2, 5, 3, 6, 4, 7, 1)])
    data = [{"input_ids": i, "attention_mask": m, "labels": x} for i, m, x in zip(ids, mask, labels, strict=True)]
    start, trained = build("self_attentive", **options).float().state_dict(), []
    for size, accumulation in [(8, 1), (2, 4)]:
        model = build("self_attentive", **options).float()
        model.load_state_dict(start)
        steps = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation, "max_steps": 2}
        steps |= {"learning_rate": 0.5, "optim": "sgd", "train_sampling_strategy": "sequential"}
        Trainer(model, arguments(tmp_path, **steps), train_dataset=data).train()
        trained.append(model.state_dict())
    assert any(not torch.allclose(trained[0][name], start[name], atol=1e-3) for name in start)
    for name in start:
        close(trained[1][name], trained[0][name], 1e-6)


# Documents


def sentences_by_hand(ids):
    """A list of tokens -> its sentences, each a list of positions."""
    sentences = []
    for t, token in enumerate(ids):
        if not sentences or (ids[t - 1] in (STOP, ASK) and token not in (STOP, ASK)):
            sentences.append([])
        sentences[-1].append(t)
    return sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ab.cd?ef", ["ab.", "cd?", "ef"]),
        ("ab?..cd", ["ab?..", "cd"]),
        (".ab.", [".", "ab."]),
        ("?.ab", ["?.", "ab"]),
        ("ab", ["ab"]),
        ("...", ["..."]),
        ("", []),
        ("__", []),
        ("__ab._cd__", ["ab.", "cd"]),
        ("a_b_._?_c_", ["ab.?", "c"]),
        ("a.__", ["a."]),
    ],
)
def test_where_sentences_end(text, expected):
    """Padding is written _; it belongs to no sentence and ends none. Beside a longer document, and alone."""
    letter = {".": STOP, "?": ASK, "_": PAD} | {c: ord(c) - ord("a") + 7 for c in "abcdef"}
    back = {n: c for c, n in letter.items()}
    for texts in ([text], ["ab.cd.ef.a?!".replace("!", "?"), text, "_" * 12]):
        width = max(map(len, texts))
        ids = torch.tensor([[letter[c] for c in t.ljust(width, "_")] for t in texts]).view(len(texts), width)
        found = split_sentences(ids, ids != PAD, [STOP, ASK])
        rows = [
            "".join(back[n] for n in row[real].tolist()) for row, real in zip(found.rows(ids), found.words, strict=True)
        ]
        counts = found.mask.sum(1).tolist()
        row = min(len(texts) - 1, 1)
        assert rows[sum(counts[:row]) :][: counts[row]] == expected
        assert sum(counts) == len(rows)
        assert found.mask.shape == (len(texts), max(counts))
        if len(texts) == 1:
            close_all([*found.rows(ids)], [*split_sentences(ids, ids != PAD, [STOP, ASK]).rows(ids)])
            if "_" not in text:
                assert torch.equal(split_sentences(ids, None, [STOP, ASK]).tokens, found.tokens)


@every_pooling
@both_directions
def test_a_document_is_read_sentence_by_sentence(pooling, bidirectional):
    model = build(pooling, bidirectional=bidirectional, **DOCUMENTS)
    ids, mask = pad_rows([random_ids(n) for n in (15, 9, 4)], "left")
    ids[0, [3, 7, 8]] = torch.tensor([STOP, ASK, STOP])
    ids[1, [6, 10, 14]] = STOP
    ids[2, 11:].masked_fill_(ids[2, 11:] <= ASK, ASK + 1)  # one sentence without an end
    outputs = model(ids, attention_mask=mask, output_attentions=True)
    for n in range(3):
        places = mask[n].nonzero().flatten()
        text = ids[n, places]
        vectors, word_rows = [], []
        sentences = sentences_by_hand(text.tolist())
        assert len(sentences) > 1 or n == 2
        for sentence in sentences:
            y = model.model(text[sentence][None]).last_hidden_state[0]
            vector, weights = pooled_by_hand(model.pooling, pooling, y, bidirectional)
            vectors.append(vector)
            word_rows.append(weights)
        y = model.sentence_stack(torch.stack(vectors)[None])[0][0]
        vector, weights = pooled_by_hand(model.sentence_pooling, pooling, y, bidirectional)
        close(outputs.logits[n], model.classifier(vector))
        if pooling in ATTENTIVE:
            of_words, of_sentences = outputs.attentions
            close(of_sentences[n][:, : len(sentences)], weights)
            close(of_sentences[n].sum(-1), torch.ones(model.pooling.hops, dtype=torch.float64))
            for sentence, row in zip(sentences, word_rows, strict=True):
                close(of_words[n][:, places[sentence]], row)
                close(of_words[n][:, places[sentence]].sum(-1), torch.ones(model.pooling.hops, dtype=torch.float64))
    if pooling not in ATTENTIVE:
        assert outputs.attentions is None
    assert outputs.cache_params is None
    assert model(ids, attention_mask=mask).attentions is None


def test_sentences_are_spelt_too():
    sizes = {"character_vocab_size": 9, "character_hidden_size": 6}
    model = build("attention", **sizes, **DOCUMENTS)
    rows = [random_ids(n) for n in (T, 4)]
    rows[0][2] = STOP
    ids, mask = pad_rows(rows)
    letters = torch.randint(1, 9, (2, T, 5)) * mask[..., None]
    together = model(ids, attention_mask=mask, character_ids=letters).logits
    close(together[1], model(ids[1:, :4], character_ids=letters[1:, :4]).logits[0])
    assert not torch.allclose(together, model(ids, attention_mask=mask, character_ids=letters.roll(1, 1)).logits)


# Long texts in pieces


def in_pieces_by_hand(model, ids, mask, labels, length):
    """The loss of a loop that keeps every piece, and detaches the state between two."""
    state, pieces = None, []
    for start in range(0, ids.shape[1], length):
        here = slice(start, start + length)
        part = None if mask is None else mask[:, here]
        read = model.model(ids[:, here], attention_mask=part, cache_params=state, use_cache=True)
        state = read.cache_params.detach()
        pieces.append(read.last_hidden_state)
    vector, _ = model.pooling(torch.cat(pieces, 1), None if mask is None else mask.bool())
    return F.cross_entropy(model.classifier(vector).float(), labels)


@every_pooling
@every_cell
@pytest.mark.parametrize("length", [1, 3, 20])
def test_a_text_in_pieces_is_the_whole_text(pooling, cell, length):
    """Scores and loss are those of the whole, gradients those of a loop that detaches the state."""
    model = build(pooling, cell, backprop_length=length).train()
    ids, mask = pad_rows([random_ids(n) for n in (10, 4, 1)], "left")
    labels = torch.tensor([2, 0, 1])
    outputs = model(ids, attention_mask=mask, labels=labels, use_cache=True)
    whole = model.eval()(ids, attention_mask=mask, labels=labels, use_cache=True)
    close(outputs.logits, whole.logits)
    close(outputs.loss, whole.loss, 1e-6)
    close_all(tensors(outputs.cache_params), tensors(whole.cache_params))
    assert length == 20 or not any(s.requires_grad for s in tensors(outputs.cache_params))

    expected = in_pieces_by_hand(model, ids, mask, labels, length)
    parameters = list(model.parameters())
    found = grads_of(outputs.loss, parameters)
    close_all(found, grads_of(expected, parameters), 1e-6)
    truncated = any(not torch.allclose(a, b) for a, b in zip(found, grads_of(whole.loss, parameters), strict=True))
    assert truncated == (length < 10)


def test_pieces_go_on_from_a_state_and_give_it_back():
    model = build("mean", backprop_length=3).train()
    first, second = random_ids(2, 5), random_ids(2, T)
    state = model(first, use_cache=True).cache_params
    found = model(second, cache_params=state, use_cache=True)
    whole = model.eval()(second, cache_params=state)
    close(found.logits, whole.logits)
    close_all(tensors(found.cache_params), tensors(whole.cache_params))
    embeds = model.train().get_input_embeddings()(second)
    close(model(inputs_embeds=embeds, cache_params=state).logits, found.logits)
    assert model(second).cache_params is None


@pytest.mark.parametrize("way", ["argument", "configuration"])
def test_hidden_states_are_those_of_the_whole_text(way):
    model, ids = build("mean", backprop_length=3).train(), random_ids(2, T)
    model.config.output_hidden_states = way == "configuration"
    states = model(ids, output_hidden_states=True if way == "argument" else None).hidden_states
    assert [s.shape for s in states] == [(2, T, E), (2, T, H), (2, T, H)]


def peak_memory(model, ids):
    """Bytes at the highest point of a forward and a backward pass, beyond what was there before."""
    labels = torch.zeros(len(ids), dtype=torch.long)
    model(ids, labels=labels).loss.backward()  # so that the gradients are there before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        model(ids, labels=labels).loss.backward()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def test_a_piece_s_memory_does_not_grow_with_the_text():
    """What is kept of each step is its output and what pooling needs of it, not the gates of all layers."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "embedding_size": 32, "pooling": "mean"}
    peaks = {}
    for length in (None, 50):
        model = RnnForSequenceClassification(tiny_config(backprop_length=length, **sizes)).train()
        peaks[length] = [peak_memory(model, random_ids(2, steps)) for steps in (200, 800)]
    grown = {length: (long - short) / (2 * 600) for length, (short, long) in peaks.items()}  # bytes for each token
    output = 32 * 4
    assert grown[50] < 6 * output  # the output, in its pieces and joined, and its gradient
    assert grown[None] > 4 * grown[50]


def test_a_piece_is_computed_with_the_same_dropout_again():
    rates = {"embedding_dropout": 0.2, "hidden_dropout": 0.5, "output_dropout": 0.3, "word_dropout": 0.3}
    model = build("mean", backprop_length=3, **rates).train()
    ids, labels, found = random_ids(2, T), torch.tensor([0, 2]), []
    for by_hand in (False, True):
        torch.manual_seed(7)
        loss = in_pieces_by_hand(model, ids, None, labels, 3) if by_hand else model(ids, labels=labels).loss
        found.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    close_all(*found, 1e-6)


# Mistakes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pooling": "selfattentive"}, "did you mean 'self_attentive'"),
        ({"attention_hops": 0}, "attention_hops=0: must be at least 1"),
        ({"pooling_attention_size": 0}, "pooling_attention_size=0: must be at least 1"),
        ({"classifier_hidden_size": 0}, "classifier_hidden_size=0: must be at least 1"),
        ({"backprop_length": 0}, "backprop_length=0: must be at least 1"),
        ({"backprop_length": 5, "bidirectional": True}, "backprop_length=5: not for bidirectional models"),
        ({"backprop_length": 5} | DOCUMENTS, "backprop_length=5: not for hierarchical models"),
        ({"attention_penalty": -1.0}, "attention_penalty=-1.0: must be at least 0"),
        ({"attention_penalty": 0.1}, "attention_penalty=0.1: needs pooling='self_attentive'"),
        ({"label_smoothing": 1.0}, r"label_smoothing=1.0: must be in \[0, 1\)"),
        ({"class_weights": [1.0, -2.0]}, "class_weights=.*: each must be finite and at least 0"),
        ({"class_weights": [1.0, math.nan]}, "class_weights=.*: each must be finite and at least 0"),
        ({"problem_type": "multilabel_classification"}, "did you mean 'multi_label_classification'"),
        ({"problem_type": "regression", "class_weights": [1.0, 2.0]}, "class_weights=.*: has no meaning for a regress"),
        ({"problem_type": "regression", "label_smoothing": 0.1}, "label_smoothing=0.1: has no meaning for a regress"),
    ],
)
def test_configurations_that_mean_nothing(options, words):
    with pytest.raises(StrictDataclassError, match=words):
        tiny_config(**options)


def test_heads_that_cannot_be():
    with pytest.raises(ValueError, match="hierarchical: needs sentence_end_token_ids"):
        build(hierarchical=True)
    with pytest.raises(ValueError, match="hierarchical: needs sentence_end_token_ids"):
        build(hierarchical=True, sentence_end_token_ids=[])
    with pytest.raises(ValueError, match="class_weights: has 2 for 3 labels"):
        build(class_weights=[1, 2.5])


@pytest.mark.parametrize(
    ("problem_type", "shape", "needed"),
    [
        (TYPES[0], (3,), r"\(2,\)"),
        (TYPES[0], (2, 3), r"\(2,\)"),
        (TYPES[0], (1, 2), r"\(2,\)"),
        (TYPES[1], (2,), r"\(2, 3\)"),
        (TYPES[1], (3, 2), r"\(2, 3\)"),
        (TYPES[1], (2, 4), r"\(2, 3\)"),
        (TYPES[2], (2,), r"\(2, 3\)"),
        (TYPES[2], (2, 1), r"\(2, 3\)"),
    ],
)
def test_labels_of_another_shape(problem_type, shape, needed):
    labels = torch.zeros(shape, dtype=torch.long if problem_type == TYPES[0] else torch.float32)
    given = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"labels have shape {given}: needed for {problem_type} is {needed}"):
        build(problem_type=problem_type)(random_ids(2, T), labels=labels)


@pytest.mark.parametrize("label", [3, -1])
def test_labels_that_the_model_does_not_have(label):
    with pytest.raises(IndexError, match=rf"labels holds {label} \(row 1, .*0 to 2"):
        build()(random_ids(3, T), labels=torch.tensor([-100, label, 9]))


def test_numbers_are_no_labels():
    with pytest.raises(ValueError, match=r"labels are torch.float32: needed for single_label_classification are int"):
        build(problem_type=TYPES[0])(random_ids(2, T), labels=torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("options", [DOCUMENTS, {"backprop_length": 3}], ids=["hierarchical", "pieces"])
def test_inputs_that_do_not_belong_together(options):
    model = build(character_vocab_size=9, character_hidden_size=6, **options).train()
    ids, letters = random_ids(2, T), torch.randint(1, 9, (2, T, 5))
    for width in (T - 1, T + 2):
        with pytest.raises(ValueError, match=rf"attention_mask has shape \(2, {width}\).*\(2, 7\)"):
            model(ids, attention_mask=torch.ones(2, width), character_ids=letters)
        with pytest.raises(ValueError, match=rf"character_ids has shape \(2, {width}, 5\).*\(2, 7\)"):
            model(ids, character_ids=torch.ones(2, width, 5, dtype=torch.long))
    with pytest.raises(ValueError, match="character_ids is missing"):
        model(ids)
    with pytest.raises(ValueError, match="neither given"):
        model()
    with pytest.raises(ValueError, match=r"input_ids has shape \(2,\)"):
        model(ids[:, 0])
    with pytest.raises(ValueError, match="past_key_values"):
        model(ids, character_ids=letters, past_key_values=())


def test_what_a_hierarchical_model_does_not_take():
    model, ids = build(**DOCUMENTS), random_ids(2, T)
    with pytest.raises(ValueError, match="inputs_embeds: a hierarchical model needs input_ids"):
        model(inputs_embeds=model.get_input_embeddings()(ids))
    with pytest.raises(ValueError, match="cache_params: a hierarchical model reads each sentence from the beginning"):
        model(ids, cache_params=build()(ids).cache_params)


# Files and other heads


@pytest.fixture
def reports():
    """What the library logs of loading, from warnings upwards."""
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.WARNING)  # a command that ran before has silenced it
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)
    logger.setLevel(level)


@every_cell
@pytest.mark.parametrize("tied", [False, True], ids=["apart", "tied"])
def test_the_encoder_comes_from_a_language_model(tmp_path, cell, tied, reports):
    source = RnnForCausalLM(tiny_config(cell_type=cell, tie_word_embeddings=tied))
    source.save_pretrained(tmp_path)
    model, info = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, num_labels=LABELS, pooling="attention", output_loading_info=True
    )
    assert type(model) is RnnForSequenceClassification
    for name, parameter in source.model.named_parameters():
        assert torch.equal(model.get_parameter(f"model.{name}"), parameter), name
    new = {name for name, _ in model.named_parameters() if not name.startswith("model.")}
    assert info["missing_keys"] == new
    assert all(model.get_parameter(name).isfinite().all() for name in new)
    assert any("classifier.weight" in line and "TRAIN" in line.upper() for line in reports)  # that it has to be trained


def test_a_forward_model_does_not_become_one_of_both_directions(tmp_path):
    source = RnnForCausalLM(tiny_config())
    source.save_pretrained(tmp_path)
    for level in ({}, DOCUMENTS):
        with pytest.raises(ValueError, match=r"reads in one direction only.*both directions.*init_from_language_model"):
            RnnForSequenceClassification.from_pretrained(tmp_path, bidirectional=True, **level)
        forward = RnnForSequenceClassification.from_pretrained(tmp_path, **level)
        assert torch.equal(forward.model.embed_tokens.weight, source.model.embed_tokens.weight)
    model = RnnForSequenceClassification(tiny_config(bidirectional=True)).eval()
    assert init_from_language_model(model, source) == V
    ids = random_ids(2, T)
    close(model.model(ids).last_hidden_state[..., :H], source.eval().model(ids).last_hidden_state, 1e-6)


@every_pooling
@flat_and_hierarchical
def test_a_classifier_comes_back_from_its_file(tmp_path, pooling, level):
    options = {"class_weights": [1, 0.5, 2], "classifier_hidden_size": 5, "pooling_attention_size": 3}
    model, ids = build(pooling, bidirectional=True, **options, **level), random_ids(2, T)
    model(ids, labels=torch.tensor([0, 1]))
    model.save_pretrained(tmp_path)
    back, info = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert back.config.problem_type == TYPES[0]
    close(back(ids).logits, model(ids).logits)
    other = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, num_labels=5, class_weights=None, ignore_mismatched_sizes=True
    )
    assert other(ids).logits.shape == (2, 5)
    for name, parameter in model.pooling.named_parameters():
        assert torch.equal(other.pooling.get_parameter(name), parameter)


def test_the_vocabulary_can_grow():
    model, ids = build("attention", **DOCUMENTS), random_ids(2, T)
    logits = model(ids).logits
    model.resize_token_embeddings(V + 3)
    close(model(ids).logits, logits)
    assert model(torch.full_like(ids, V + 2)).logits.isfinite().all()


TEXT = "A good film. Not bad? नमस्ते दुनिया!"


@pytest.fixture
def checkpoint(tmp_path):
    """Writes a classifier of characters; called with its options."""

    def write(**options):
        tokenizer = build_char_tokenizer([TEXT])
        ends = tokenizer.convert_tokens_to_ids([".", "?"])
        names = {"id2label": {0: "bad", 1: "so-so", 2: "good"}, "vocab_size": len(tokenizer)}
        build(**names, sentence_end_token_ids=ends, **options).float().save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        return str(tmp_path)

    return write


@every_pooling
@flat_and_hierarchical
def test_pipeline(checkpoint, pooling, level, reports):
    """On one text, on several in batches, on no text and on one of unknown characters."""
    level = {"hierarchical": bool(level)}
    path = checkpoint(pooling=pooling, bidirectional=True, problem_type=TYPES[0], **level)
    classify = pipeline("text-classification", model=path)
    texts = ["A good film.", "Not bad? A film. नमस्ते", "", "ξ", "A" * 100]
    model, tokenizer = classify.model, classify.tokenizer
    alone = [classify(text) for text in texts]
    for text, (found,) in zip(texts, alone, strict=True):
        with torch.no_grad():
            chances = model(torch.tensor([tokenizer(text)["input_ids"]], dtype=torch.long)).logits.softmax(-1)[0]
        assert found["label"] == model.config.id2label[int(chances.argmax())]
        assert found["score"] == pytest.approx(chances.max().item(), abs=1e-5)
    texts.remove("")  # the library's own padding of batches cannot bear it
    del alone[2]
    for (one,), other in zip(alone, classify(texts, batch_size=3), strict=True):
        assert other["label"] == one["label"]
        assert other["score"] == pytest.approx(one["score"], abs=1e-5)
    assert {found["label"] for found in classify(TEXT, top_k=None)} == {"bad", "so-so", "good"}
    assert not reports


@pytest.mark.parametrize("spells", [False, True])
def test_zero_shot_classification_reads_a_text_and_a_hypothesis(spells):
    """As the library asks: a list of pairs, each of which the model reads one after the other."""
    texts = ["This film is fine .", "about sports or food"]
    tokenizer = build_wordpunct_tokenizer(texts)
    sizes = {"vocab_size": len(tokenizer), "id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}
    if spells:
        tokenizer = with_spelling(tokenizer, texts)
        sizes["character_vocab_size"] = tokenizer.character_vocab_size
    model = build(**sizes, label2id={"contradiction": 0, "neutral": 1, "entailment": 2}).float()
    classify = pipeline("zero-shot-classification", model=model, tokenizer=tokenizer)
    found = classify(texts, ["sports", "food"], hypothesis_template="about {} .", multi_label=True, batch_size=2)
    for text, row in zip(texts, found, strict=True):
        for label, score in zip(row["labels"], row["scores"], strict=True):
            inputs = tokenizer(f"{text} about {label} .", return_tensors="pt")
            with torch.no_grad():
                logits = model(**inputs).logits[0, [0, 2]]
            assert score == pytest.approx(logits.softmax(-1)[1].item(), abs=1e-5)


def test_pipelines_know_what_the_labels_were(checkpoint, tmp_path):
    """Also of a model that was told by its first labels only."""
    path = checkpoint()
    model = AutoModelForSequenceClassification.from_pretrained(path)
    model(random_ids(2, T), labels=torch.ones(2, LABELS))
    model.save_pretrained(path)
    scores = [found["score"] for found in pipeline("text-classification", model=path)("A film", top_k=None)]
    ids = pipeline("text-classification", model=path).tokenizer("A film", return_tensors="pt")["input_ids"]
    close(torch.tensor(sorted(scores)), model.eval()(ids).logits[0].sigmoid().sort().values.detach(), 1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_trainer_trains_with_the_stock_collator(checkpoint, tmp_path):
    path = checkpoint(pooling="attention", output_attentions=True, output_hidden_states=True)
    model = AutoModelForSequenceClassification.from_pretrained(path)
    tokenizer = pipeline("text-classification", model=path).tokenizer
    texts = ["A good film", "bad", "Not bad", "film A", "good good", "नमस्ते"]
    data = [{**tokenizer(text), "label": n % 3} for n, text in enumerate(texts)]
    options = arguments(tmp_path / "out", max_steps=80, learning_rate=0.05)
    trainer = Trainer(
        model, options, train_dataset=data, eval_dataset=data, data_collator=DataCollatorWithPadding(tokenizer)
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before / 4
    predicted = trainer.predict(data)
    assert predicted.predictions.shape == (6, 3)  # the scores alone
    assert (predicted.predictions.argmax(-1) == predicted.label_ids).all()


# Other ways to compute


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("level", [{}, DOCUMENTS, {"backprop_length": 3}], ids=["flat", "hierarchical", "pieces"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_no_gradient(level, reentrant):
    model = build("self_attentive", hidden_dropout=0.3, **level).train()
    ids, mask = pad_rows([random_ids(n) for n in (10, 4)])
    parameters, found = list(model.parameters()), []
    for checkpointed in (False, True):
        if checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        torch.manual_seed(1)
        model.zero_grad()
        outputs = model(ids, attention_mask=mask, labels=torch.tensor([1, 0]))
        outputs.loss.backward()
        found.append([outputs.loss, *(p.grad for p in parameters)])
    close_all(*found)


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")
@every_pooling
def test_a_classifier_compiles_and_exports(pooling):
    model, ids = build(pooling, bidirectional=True, num_hidden_layers=1, problem_type=TYPES[0]), random_ids(2, T)
    labels, mask = torch.tensor([0, 2]), torch.ones_like(ids)
    mask[0, 4:] = 0
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    found, expected = (run(ids, attention_mask=mask, labels=labels) for run in (compiled, model))
    close(found.logits, expected.logits)
    close(found.loss, expected.loss)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    program = torch.export.export(
        model,
        (),
        {"input_ids": ids, "attention_mask": mask},
        dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
    ).module()
    for size in [(3, 5), (1, 1), (2, 11)]:
        ids, mask = random_ids(*size), (torch.rand(size) > 0.3).long()
        close(program(input_ids=ids, attention_mask=mask).logits, model(ids, attention_mask=mask).logits)


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")
def test_a_hierarchical_classifier_compiles_in_parts():
    """Where sentences end depends on the text, so that it is no one graph."""
    model, ids = build("attention", **DOCUMENTS), random_ids(3, 2 * T)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        close(compiled(ids).logits, model(ids).logits)


@pytest.mark.parametrize(
    ("dtype", "way", "level"),
    [
        (torch.bfloat16, "weights", {}),
        (torch.bfloat16, "autocast", DOCUMENTS),
        (torch.float16, "weights", DOCUMENTS),
        (torch.float16, "autocast", {}),
    ],
    ids=["bfloat16", "bfloat16 autocast, documents", "float16, documents", "float16 autocast"],
)
@every_pooling
def test_low_precision_is_near_float32(pooling, level, dtype, way):
    reference = build(pooling, bidirectional=True, **level).float()
    ids, mask = pad_rows([random_ids(n) for n in (T, 4, 2, 0)])
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 1, 2, 0])}
    expected = reference(**inputs)
    exact = torch.cat([g.flatten() for g in grads_of(expected.loss, list(reference.parameters()))])
    if way == "weights":
        model = build(pooling, bidirectional=True, **level).to(dtype)
        model.load_state_dict(reference.state_dict())
        outputs = model(**inputs)
        assert outputs.logits.dtype == dtype
    else:
        model = reference
        with torch.autocast("cpu", dtype=dtype):
            outputs = model(**inputs)
    rough = torch.cat([g.flatten() for g in grads_of(outputs.loss, list(model.parameters()))]).float()
    close(outputs.logits.float(), expected.logits, 0.1)
    close(outputs.loss.float(), expected.loss, 0.03)
    assert F.cosine_similarity(rough, exact, dim=0) > 0.99


@flat_and_hierarchical
def test_lora_trains_the_adapter_and_the_head(tmp_path, level):
    from peft import LoraConfig, PeftModel, get_peft_model  # here, as it takes long to import

    base = build("attention", classifier_hidden_size=5, **level).float()
    config = LoraConfig(
        task_type="SEQ_CLS",
        r=2,
        target_parameters=["weight_ih", "weight_hh"],
        modules_to_save=["dense", "pooling"] + (["sentence_pooling"] if level else []),
    )
    model = get_peft_model(copy.deepcopy(base), config)
    inputs = {"input_ids": random_ids(4, 2 * T), "labels": torch.tensor([0, 1, 2, 0])}
    close(model(**inputs).logits, base(**inputs).logits, 1e-5)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    model.train()
    for _ in range(4):
        loss = model(**inputs).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if "lora_" in name or "modules_to_save" in name}
    assert any("classifier" in name for name in changed)
    assert any("lora_" in name for name in changed)
    expected = model.eval()(**inputs).logits
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(copy.deepcopy(base), tmp_path).eval()
    close(loaded(**inputs).logits, expected, 1e-5)
    merged = loaded.merge_and_unload()
    assert merged.state_dict().keys() == base.state_dict().keys()
    close(merged(**inputs).logits, expected, 1e-4)


# ---- normalization over the batch ----
@pytest.mark.parametrize("hidden", [None, 5])
def test_the_head_normalizes_over_the_batch(hidden):
    """As ULMFiT's head: normalization, dropout, layer, and the same again behind a ReLU."""
    model = build("mean", classifier_batch_norm=True, classifier_hidden_size=hidden).train()
    vector = torch.randn(6, model.pooling.size, dtype=next(model.parameters()).dtype)

    def normalized(x, norm):
        return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt() * norm.weight + norm.bias

    x = normalized(vector, model.norms[0])
    if hidden:
        x = normalized(torch.relu(model.dense(x)), model.norms[1])
    torch.testing.assert_close(model._head(vector), model.classifier(x))
    before = model.norms[0].running_mean.clone()
    model.eval()
    torch.testing.assert_close(model._head(vector)[:1], model._head(vector[:1]))  # a text by itself, when used
    assert torch.equal(model.norms[0].running_mean, before)


def test_a_batch_of_one_text_cannot_be_normalized():
    model = build("mean", classifier_batch_norm=True).train()
    with pytest.raises(ValueError, match="a batch of one text has no variance"):
        model(random_ids(1, T))


def test_statistics_of_batches_are_saved(tmp_path):
    model = build("max", classifier_batch_norm=True).train()
    model(random_ids(4, T))
    model.eval().save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert model.norms[0].running_mean.abs().max() > 0
    assert torch.equal(again.norms[0].running_mean, model.norms[0].running_mean)
    ids = random_ids(2, T)
    torch.testing.assert_close(again(ids).logits, model(ids).logits)
