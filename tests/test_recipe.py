"""Recipes: files and flags, their mistakes, what is saved, and that every shipped recipe trains and leaves a model."""

import dataclasses
import itertools
import json
import math
import re
import typing
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from huggingface_hub.errors import StrictDataclassError
from toy_files import write_toy_files
from transformers import AutoTokenizer, PreTrainedConfig, Seq2SeqTrainingArguments, TrainingArguments

import rnn_zoo_cli
from rnn_zoo import CELLS, RnnConfig
from rnn_zoo.errors import UserError
from rnn_zoo.models.keys import keys_of
from rnn_zoo.models.modeling_rnn import RnnPreTrainedModel
from rnn_zoo.ranges import number_of
from rnn_zoo.recipe.command_line import look_ahead
from rnn_zoo.recipe.file import find_recipe, recipe_files
from rnn_zoo.recipe.library_keys import LIBRARY_KEYS
from rnn_zoo.recipe.parser import RecipeParser
from rnn_zoo.recipe.recipe import check_ranges, read_recipe
from rnn_zoo.recipe.schema import groups, help_of, keys, keys_of_task, own_fields, ranges
from rnn_zoo.tasks import TASKS
from rnn_zoo.tasks.causal_lm.embedded import EMBEDDED_TEXTS
from rnn_zoo.tasks.sequence_classification.data import EMBEDDED_LABELLED, NAMED_LANGUAGES
from rnn_zoo.tasks.token_classification.data import EMBEDDED_SENTENCES
from rnn_zoo.tasks.translation.locale_pairs import EMBEDDED_PAIRS


@pytest.fixture
def write(tmp_path):
    """Writes a recipe file and returns its path."""

    def write(text: str):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused_early(path, flags: list[str]) -> str | None:
    try:
        look_ahead(path, flags)
    except UserError as error:
        return str(error)
    return None


def refused(path, *flags) -> str:
    """The one sentence that refuses a recipe."""
    with pytest.raises(UserError) as caught:
        read_recipe(path, list(flags))
    assert "\n" not in str(caught.value)
    # The command looks before it loads libraries: what it refuses then, it refuses in the same words.
    assert refused_early(path, list(flags)) in (None, str(caught.value))
    return str(caught.value)


# ---- keys ----
KINDS = [kind for group in groups() for kind in group.kinds]
CONFIGS = tuple(dict.fromkeys(task.config_class for task in TASKS.values()))
# Keys of ours that may be any text.
ANY_TEXT = {
    *("description", "published", "license", "language", "data_name", "data_source", "example", "limits"),
    *("embedded_data", "dataset_name", "dataset_config_name", "dataset_revision", "data_dir", "file_extension"),
    *("encoding", "language_model", "text_column", "sample_prompt", "token_column", "tag_column", "word_vectors"),
    *("tokenizer_name", "document_column", "label_column", "train_file", "source_lang", "target_lang"),
    "rename_labels",
    "rename_tags",
    *("bleu_tokenize", "task", "baseline"),  # these two, and embedded_data, are named by the tasks
}


def given_by_recipe(kind: type) -> set[str]:
    return {name for name, one in keys_of(kind).items() if one.given_by == "recipe"}


def test_no_key_stands_in_two_groups():
    for one, other in itertools.combinations([{*group.fields} for group in groups()] + [{*LIBRARY_KEYS}], 2):
        assert not one & other


def test_the_table_of_the_librarys_keys_is_whole():
    fields = {f.name: f for f in dataclasses.fields(Seq2SeqTrainingArguments)}
    assert LIBRARY_KEYS.keys() == {name for name, f in fields.items() if f.init}
    hints = typing.get_type_hints(Seq2SeqTrainingArguments)
    numbers = {name: number.kind for name in fields if (number := number_of(hints[name]))}
    assert numbers == {name: one.type for name, one in LIBRARY_KEYS.items() if one.within}
    more = fields.keys() - {f.name for f in dataclasses.fields(TrainingArguments)}
    assert {name for name, one in LIBRARY_KEYS.items() if one.of_generation} == more


# Of the configurations, which no recipe sets: the tokenizer gives them, or the data, or the class of the model.
NO_KEYS = {
    *("vocab_size", "character_vocab_size", "pad_token_id", "bos_token_id", "eos_token_id", "unk_token_id"),
    *("decoder_vocab_size", "share_encoder_decoder_embeddings", "decoder_start_token_id", "is_encoder_decoder"),
    *("use_cache", "sentence_end_token_ids", "class_weights"),
}


def test_the_keys_of_the_model_are_those_of_the_configurations():
    known: set[str] = set()
    for config in CONFIGS:
        own = keys_of(config).keys()
        assert own - given_by_recipe(config) == own & NO_KEYS
        for name in given_by_recipe(config):  # what two have in common has the same default in both
            assert own_fields()[name].default == getattr(config, name), (config.__name__, name)
        known |= own
    assert groups()[-1].fields.keys() == known - NO_KEYS
    for task in TASKS.values():
        assert keys_of(task.config_class) == keys_of(task.config_keys)


@pytest.mark.parametrize("kind", [*KINDS, *CONFIGS], ids=lambda kind: kind.__name__)
def test_every_field_says_everything_of_itself(kind):
    """A new one without help, or without what it may be, fails."""
    inherited = {f.name for f in dataclasses.fields(PreTrainedConfig)} if kind in CONFIGS else set()
    for f in dataclasses.fields(kind):
        if f.name in inherited - keys_of(kind).keys():
            continue
        about = keys_of(kind)[f.name]
        assert about.help.endswith("."), f.name
        assert "\n" not in about.help
        is_id = f.name.endswith(("_id", "_ids")) or f.name == "class_weights"
        assert (about.within is not None) == (number_of(f.type) is not None and not is_id), f.name
        is_text = str in (f.type, *typing.get_args(f.type), *sum(map(typing.get_args, typing.get_args(f.type)), ()))
        assert bool(about.names) == (is_text and f.name not in ANY_TEXT), f.name
        assert not (about.shapes_weights and about.on_resume != "refused"), f.name
        if kind in CONFIGS:
            assert f"\n    {f.name} (`" in kind.__doc__


def test_every_key_is_a_flag_and_has_a_help_text():
    flags = {action.dest for action in RecipeParser()._actions}
    assert keys().keys() == flags
    for name in own_fields():
        assert help_of(name).endswith("."), name
    assert help_of("task") == f"What the model is for: {', '.join(TASKS)}."
    assert "ner_sample (token_classification)" in help_of("embedded_data")
    assert help_of("tokenizer_type").endswith(" One of char, word, wordpunct, bpe, unigram.")


# ---- files ----
@pytest.mark.parametrize("name", recipe_files())
def test_shipped_recipes_parse(name):
    path = find_recipe(name)
    recipe = read_recipe(path)
    assert recipe.name == name == path.stem
    assert recipe.run.description
    sizes = {"vocab_size": 100, "unk_token_id": 3, "character_vocab_size": 50}
    own = keys_of(TASKS[recipe.run.task].config_class)
    config = recipe.config(**{key: value for key, value in sizes.items() if key in own})
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(recipe.values) == {key for key, value in written.items() if value is not None}
    for key in written.keys() & recipe.model.keys():
        assert getattr(config, key) == written[key]
    sources = [recipe.data.embedded_data, recipe.data.dataset_name]
    assert sum(source is not None for source in sources) <= 1
    assert recipe.data.embedded_data in {
        None,
        *(*EMBEDDED_TEXTS, *EMBEDDED_SENTENCES, *EMBEDDED_LABELLED, NAMED_LANGUAGES, *EMBEDDED_PAIRS),
    }


def test_unknown_key_is_named_with_file_line_and_nearest(write):
    path = write("# a comment\ncell_type: lstm\n\nhiden_size: 8\n")
    assert refused(path) == f"{path}, line 4: unknown key 'hiden_size'; did you mean 'hidden_size'?"
    path = write("xyzzy: 8\n")
    assert refused(path) == f"{path}, line 1: unknown key 'xyzzy'"
    for key in NO_KEYS - {"use_cache"}:  # the tokenizer decides them
        assert f"unknown key '{key}'" in refused(write(f"{key}: 8\n"))


@pytest.mark.parametrize(
    "line",
    [
        "hidden_size: large",
        "hidden_size: 1.5",
        "hidden_size: [8, 16]",
        "learning_rate: fast",
        "residual: perhaps",
        "sample_temperatures: [0.5, warm]",
        "lr_scheduler_type: cosin",
        "examples: line",
        "sample_check: java_lines",
    ],
)
def test_wrong_type_is_named_with_file_and_line(write, line):
    path = write(f"cell_type: gru\n{line}\nnum_hidden_layers: 2\n")
    message = refused(path)
    assert message.startswith(f"{path}, line 2: ")
    assert any(part in message for part in (line.split(":")[0], "perhaps"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: causal_ml", "task='causal_ml': unknown; did you mean 'causal_lm'? (choose from "),
        ("baseline: crfsuite", "baseline='crfsuite': unknown to the task causal_lm (choose from none)"),
        ("task: token_classification\nbaseline: crfsuit", "baseline='crfsuit': unknown to the task token_"),
        ("task: token_classification\nbptt_length: 8", "bptt_length: is no key of the task token_classification"),
        ("tag_column: '1'", "tag_column: is no key of the task causal_lm"),
        ("use_crf: true", "use_crf: is no key of the task causal_lm"),
        ("label_smoothing_factor: 0.1", "label_smoothing_factor: not available for language models"),
        (
            "task: token_classification\nuse_crf: true\nlabel_smoothing_factor: 0.1",
            "label_smoothing_factor: not available with use_crf",
        ),
        (
            "task: token_classification\nrare_word_dropout: 1\nword_dropout: 0.1",
            "rare_word_dropout: takes the place of word_dropout",
        ),
        (
            "task: token_classification\nprediction_loss_only: true",
            "prediction_loss_only: must be false, entities are scored over all sentences",
        ),
        ("task: token_classification\naffix_length: 2\nread_characters: false", "affix_length: needs read_characters"),
        ("task: token_classification\nmax_word_length: 0", "max_word_length=0: must be at least 1"),
        ("task: token_classification\ntokenizer_type: bpe", "tokenizer_type: is no key of the task token_class"),
        ("input_feeding: true", "input_feeding: is no key of the task causal_lm"),
        ("source_lang: en", "source_lang: is no key of the task causal_lm"),
        ("task: token_classification\ndecoder_layers: 2", "decoder_layers: is no key of the task token_classification"),
        ("task: translation\nbidirectional: true", "bidirectional: is no key of the task translation"),
        ("task: translation\nsample_tokens: 5", "sample_tokens: is no key of the task translation"),
        ("task: translation\nlabel_smoothing_factor: 0.1", "label_smoothing_factor: use label_smoothing"),
        ("task: translation\nlength_penalty: nan", "length_penalty=nan: must be a number"),
        ("task: translation\nnum_beams: 0", "num_beams=0: must be at least 1"),
        ("task: translation\nbaseline: crfsuite", "baseline='crfsuite': unknown to the task translation (choose from"),
    ],
)
def test_what_does_not_go_with_a_task_is_refused(write, text, message):
    assert refused(write(text + "\n")).startswith(message)


# ---- numbers ----
def test_every_number_has_a_range_that_its_default_is_in():
    """Whatever group it is of: no key can be forgotten."""
    parser = RecipeParser()
    check_ranges(vars(parser.parse_known_args([])[0]))
    absurd = {float: ("nan", "inf", "-inf", "1e999"), int: (str(10**12), str(-(10**12)), "9" * 400)}
    numbers = [action for action in parser._actions if action.type in absurd]
    assert {action.dest for action in numbers} == ranges().keys()
    assert {"seed", "weight_decay", "hidden_size", "sample_temperatures", "decoder_layers"} <= ranges().keys()
    for action in numbers:
        for value in absurd[action.type]:
            given = vars(parser.parse_known_args([f"--{action.dest}={value}"])[0])
            with pytest.raises(UserError, match=rf"^{action.dest}=\S+: must be "):
                check_ranges(given)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("adam_beta1", "5", "in [0, 1)"),
        ("adam_epsilon", "0", "above 0"),
        ("seed", "99999999999", "from 0 to 4294967295"),
        ("data_seed", "-1", "from 0 to 4294967295"),
        ("weight_decay", "nan", "finite and at least 0"),
        ("max_grad_norm", "-1", "at least 0"),
        ("max_steps", "-2", "at least -1"),
        ("save_steps", "inf", "finite and at least 0"),
        ("dataloader_num_workers", "99999", "from 0 to 1024"),
        ("validation_fraction", "1", "in [0, 1)"),
        ("sample_temperatures", "[0.5, 0]", "above 0"),
        ("layer_lr_decay", "1.5", "in (0, 1]"),
        ("hidden_size", "99999999999", "at most 2147483647"),
        ("scheduled_sampling", "nan", "in [0, 1)"),
        ("forget_gate_bias", "-inf", "a number that is finite"),
        ("lr_scheduler_kwargs", "{power: 2, lr_end: .nan}", "a number that is finite"),
        ("optim_args", "eps=1e-8,clip=inf", "a number that is finite"),
    ],
)
def test_a_number_out_of_its_range_is_refused_with_what_is_allowed(write, key, value, allowed):
    message = refused(write(f"{key}: {value}\n"))
    assert message.startswith(key)
    assert message.endswith(f": must be {allowed}")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_a_configuration_refuses_what_is_no_number(config):
    for name, about in keys_of(config).items():
        if about.within is None:
            continue
        for value in (math.nan, math.inf) if isinstance(getattr(config, name), float) else (10**12,):
            is_list = "list" in str(config.__dataclass_fields__[name].type)
            given, allowed = ([value], "needed are ") if is_list else (value, "must be ")
            with pytest.raises(StrictDataclassError, match=re.escape(f"{name}={given}: {allowed}")):
                config(**{name: given})


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if not task.generates])
def test_keys_of_generation_are_for_tasks_that_generate(write, task):
    values = {"predict_with_generate": "true", "generation_num_beams": "4", "generation_max_length": "9"}
    for key in sorted(name for name, one in LIBRARY_KEYS.items() if one.of_generation):
        message = refused(write(f"task: {task}\n{key}: {values.get(key, 'true')}\n"))
        assert message == f"{key}: is no key of the task {task}"
    recipe = read_recipe(write("".join(f"{key}: {value}\n" for key, value in values.items()) + "task: translation\n"))
    assert recipe.training.generation_num_beams == 4
    assert recipe.training.predict_with_generate is True


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_the_keys_of_its_own_configuration(write, task):
    kind = TASKS[task].config_class
    recipe = read_recipe(write(f"task: {task}\nhidden_size: 16\n"))
    assert recipe.model.keys() == given_by_recipe(kind)
    config = recipe.config(vocab_size=10)
    assert type(config) is kind
    assert config.hidden_size == 16


def test_every_task_has_all_it_needs():
    for name, task in TASKS.items():
        assert dataclasses.is_dataclass(task.arguments_class), name
        assert task.decided <= keys_of_task(task) < keys().keys()
        assert issubclass(task.model_class, RnnPreTrainedModel)
        assert getattr(transformers, task.auto_class)._model_mapping[task.config_class] is task.model_class
        assert task.noun


def test_broken_files(write, tmp_path):
    path = write("cell_type: lstm\nhidden_size: 8\n\ncell-type: gru\n")
    assert refused(path) == f"{path}, line 4: 'cell_type' stands twice, first in line 1"
    for text in ("- cell_type\n", "cell_type\n", "8\n"):
        path = write(text)
        assert refused(path) == f"{path}: a recipe is a list of `key: value` lines"
    for text in ("cell_type: [lstm\n", "a: b: c\n", "\tcell_type: lstm\n", "a: 1\n---\nb: 2\n", 'x: "open\n'):
        path = write(text)
        assert refused(path).startswith(f"{path}: not readable as YAML: ")
    path.write_bytes(b"description: \xff\n")
    assert refused(path).startswith(f"{path}: not readable as YAML: ")
    assert str(tmp_path) in refused(tmp_path / "none.yaml")


def test_an_empty_file_is_the_defaults(write):
    for text in ("", "# nothing\n", "published:\n"):
        recipe = read_recipe(write(text))
        assert recipe.model == {name: getattr(RnnConfig, name) for name in given_by_recipe(RnnConfig)}
        assert recipe.values == {}


@pytest.mark.parametrize("form", ["1e-3", "0.001", "1.0E-3", "'1e-3'", "!!str 1e-3"])
def test_numbers_mean_in_a_file_what_they_mean_as_flags(write, form):
    assert read_recipe(write(f"learning_rate: {form}\n")).training.learning_rate == 1e-3


def test_values_of_each_kind(write):
    recipe = read_recipe(
        write(
            "residual: true\nlayer_norm: no\nembedding_size: 16\nhidden_dropout: 0\nsample_prompt: ''\n"
            "sample_temperatures: [0.1, 2]\nlr-scheduler-kwargs: {num_cycles: 2}\neval_strategy: no\n"
            'published: "1.5: nats, {as} printed"\ndata_dir: ~\n'
        )
    )
    assert recipe.model["residual"] is True
    assert recipe.model["layer_norm"] is False
    assert recipe.model["embedding_size"] == 16
    assert recipe.model["hidden_dropout"] == 0.0
    assert recipe.task_arguments.sample_prompt == ""
    assert recipe.task_arguments.sample_temperatures == [0.1, 2.0]
    assert recipe.run.published == "1.5: nats, {as} printed"
    assert recipe.training.lr_scheduler_kwargs == {"num_cycles": 2}
    assert recipe.training.eval_strategy == "no"
    assert recipe.data.data_dir is None


# ---- flags ----
FILE = "hidden_size: 8\nresidual: true\nsample_temperatures: [0.5, 0.8]\nlearning_rate: 1e-3\n"


@pytest.mark.parametrize(
    "flags", [["--hidden_size", "16"], ["--hidden-size", "16"], ["--hidden_size=16"], ["--hidden-size=16"]]
)
def test_flags_override_the_file_with_underscores_or_hyphens(write, flags):
    recipe = read_recipe(write(FILE), flags)
    assert recipe.model["hidden_size"] == 16
    assert recipe.training.learning_rate == 1e-3
    assert recipe.values["hidden_size"] == ["16"]
    assert list(recipe.values) == ["hidden_size", "residual", "sample_temperatures", "learning_rate"]


def test_the_last_flag_wins(write):
    recipe = read_recipe(write(FILE), ["--hidden_size", "16", "--cell-type", "gru", "--hidden-size=32"])
    assert recipe.model["hidden_size"] == 32
    assert recipe.values["hidden_size"] == ["32"]
    assert recipe.model["cell_type"] == "gru"


@pytest.mark.parametrize(
    ("key", "flags", "value"),
    [
        ("bidirectional", ["--bidirectional"], True),
        ("bidirectional", ["--bidirectional", "true"], True),
        ("bidirectional", ["--bidirectional=yes"], True),
        ("residual", ["--residual", "false"], False),
        ("residual", ["--residual=0"], False),
        ("log_on_each_node", ["--no_log_on_each_node"], False),
        ("log_on_each_node", ["--no-log-on-each-node"], False),
        ("overwrite_output_dir", ["--overwrite-output-dir"], True),
    ],
)
def test_booleans(write, key, flags, value):
    recipe = read_recipe(write(FILE), [*flags, "--hidden_size", "16"])
    groups = {**recipe.model, **vars(recipe.run), **vars(recipe.training)}
    assert groups[key] is value
    assert recipe.model["hidden_size"] == 16


@pytest.mark.parametrize("flag", ["--no_residual", "--no-residual"])
def test_a_boolean_of_the_file_can_be_negated(write, flag):
    assert read_recipe(write(FILE), [flag]).model["residual"] is False


def test_lists_and_signs(write):
    recipe = read_recipe(write(FILE), ["--sample_temperatures", "0.3", "1", "--learning-rate", "2e-4"])
    assert recipe.task_arguments.sample_temperatures == [0.3, 1.0]
    assert recipe.values["sample_temperatures"] == ["0.3", "1"]
    assert recipe.training.learning_rate == 2e-4
    recipe = read_recipe(write(FILE), ["--forget_gate_bias", "-1.5", "--max-steps", "-1"])
    assert recipe.model["forget_gate_bias"] == -1.5
    assert recipe.training.max_steps == -1


def test_mistaken_flags(write):
    path = write(FILE)
    assert refused(path, "--hiden_size", "8") == "unknown key 'hiden_size'; did you mean 'hidden_size'?"
    assert refused(path, "--hiden-size=8") == "unknown key 'hiden_size'; did you mean 'hidden_size'?"
    assert "'gru'" in refused(path, "gru")
    assert "'-x'" in refused(path, "-x", "8")
    assert "'9'" in refused(path, "--hidden_size", "8", "9")
    assert "'junk'" in refused(path, "--residual", "false", "junk")
    assert "--hidden_size" in refused(path, "--hidden_size")
    assert "'eight'" in refused(path, "--hidden_size", "eight")
    assert "no_hidden_size" in refused(path, "--no_hidden_size")


@pytest.mark.parametrize("flag", ["--hidden_siz", "--hidden", "--resid", "--learning_rat", "--max_step"])
def test_abbreviations_are_refused(write, flag):
    assert refused(write(FILE), flag, "8").startswith(f"unknown key '{flag[2:]}'; did you mean")


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (["--resume_from_checkpoint"], "last"),
        (["--resume-from-checkpoint", "--hidden_size", "16"], "last"),
        (["--hidden_size", "16", "--resume_from_checkpoint"], "last"),
        (["--resume_from_checkpoint", "some/checkpoint-7"], "some/checkpoint-7"),
        (["--resume-from-checkpoint=some/checkpoint-7"], "some/checkpoint-7"),
    ],
)
def test_resume_without_a_value_means_the_last_checkpoint(write, flags, value):
    assert read_recipe(write(FILE), flags).training.resume_from_checkpoint == value


@pytest.mark.parametrize(
    "flags",
    [
        ["--load_best_model_at_end", "--save_strategy", "epoch", "--eval_strategy", "steps"],
        ["--dataloader_prefetch_factor", "2"],
        ["--lr_scheduler_kwargs", "{a"],
    ],
)
def test_what_training_arguments_refuse_is_one_sentence(write, flags):
    refused(write(FILE), *flags)


# ---- saved recipes ----
def test_a_saved_recipe_is_the_same_recipe(write, tmp_path):
    flags = ["--hidden-size", "16", "--sample_prompt", "\n", "--sample_temperatures", "0.1", "1", "--layer_norm"]
    flags += ["--description", "größer: 100 % of {it} # no comment", "--no-log-on-each-node"]
    flags += ["--lr_scheduler_kwargs", '{"num_cycles": 2}', "--published", "~", "--output_dir", str(tmp_path / "out")]
    first = read_recipe(write(FILE), flags)
    first.save(tmp_path / "saved.yaml")
    second = read_recipe(tmp_path / "saved.yaml")
    assert second.values == first.values
    assert (second.run, second.data, second.model) == (first.run, first.data, first.model)
    assert second.training.to_dict() == first.training.to_dict()


@pytest.mark.parametrize("name", recipe_files())
def test_a_saved_shipped_recipe_is_the_same_recipe(name, tmp_path):
    first = read_recipe(find_recipe(name))
    first.save(tmp_path / f"{name}.yaml")
    second = read_recipe(tmp_path / f"{name}.yaml")
    assert (second.run, second.data, second.model, second.values) == (first.run, first.data, first.model, first.values)
    assert second.training.to_dict() == first.training.to_dict()


# ---- finding one ----
def test_recipes_are_found_by_name_or_path(write, monkeypatch):
    for name, path in recipe_files().items():
        assert find_recipe(name) == path
    path = write(FILE)
    assert find_recipe(str(path)) == path
    monkeypatch.chdir(path.parent)
    assert find_recipe("mine.yaml").resolve() == path.resolve()


def test_unknown_recipes_are_refused_with_the_nearest_name(tmp_path):
    assert "did you mean char_lm_python" in refused_name("char_lm_pyhton")
    assert "rnn-zoo list" in refused_name("zzz")
    assert "did you mean" not in refused_name("zzz")
    assert refused_name(str(tmp_path / "none.yaml")).endswith("none.yaml: no such file")
    assert refused_name(str(tmp_path / "none.yml")).endswith("none.yml: no such file")


def refused_name(name: str) -> str:
    with pytest.raises(UserError) as caught:
        find_recipe(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- the configuration ----
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cell_type", "ltsm"], "cell_type='ltsm': unknown; did you mean 'lstm'? (choose from"),
        (["--recurrent-init", "orthogonl"], "recurrent_init='orthogonl': unknown; did you mean 'orthogonal'?"),
        (["--hidden_size", "0", "--embedding_size", "8"], "hidden_size=0: must be at least 1"),
        (["--hidden_dropout", "1"], "hidden_dropout=1.0: must be in [0, 1)"),
    ],
)
def test_what_the_configuration_refuses_is_one_sentence(write, flags, message):
    with pytest.raises(UserError) as caught:
        read_recipe(write(FILE), flags).config(vocab_size=10)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_is_a_value_of_its_key(write, cell):
    config = read_recipe(write(f"cell_type: {cell}\nhidden_size: 8\n")).config(vocab_size=10, pad_token_id=0)
    assert (config.cell_type, config.hidden_size, config.vocab_size, config.pad_token_id) == (cell, 8, 10, 0)


def test_the_parser_leaves_no_process():
    with pytest.raises(UserError):
        RecipeParser().error("argument --x: wrong")


# ---- every shipped recipe trains ----
@pytest.mark.ci
@pytest.mark.parametrize("name", recipe_files())
def test_every_shipped_recipe_runs_two_steps(name, tmp_path, tmp_path_factory, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    shipped, out = read_recipe(find_recipe(name)), tmp_path / "out"
    data = write_toy_files(tmp_path / "data", shipped)
    flags = {"data_dir": data, "output_dir": out, "max_steps": 2, "eval_strategy": "steps", "save_strategy": "steps"}
    flags |= {"eval_steps": 2, "logging_steps": 1, "hidden_size": 8, "embedding_size": 8, "num_hidden_layers": 1}
    flags |= {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 2, "min_frequency": 1, "save_steps": 2}
    flags |= {"gradient_accumulation_steps": 1, "load_best_model_at_end": False}
    if shipped.run.task == "causal_lm":
        flags |= {"bptt_length": 16, "sample_tokens": 20}
    if shipped.run.task == "translation":
        flags |= {"decoder_hidden_size": 8, "max_target_length": 12}
    if shipped.transfer.language_model is not None:
        elsewhere = tmp_path_factory.mktemp("language_model")
        of_it, language_model = Path(shipped.transfer.language_model).name, elsewhere / "out"
        texts = write_toy_files(elsewhere / "data", read_recipe(find_recipe(of_it)))
        of_texts = {**flags, "data_dir": texts, "output_dir": language_model, "bptt_length": 16, "sample_tokens": 0}
        assert rnn_zoo_cli.main(["train", of_it, *(f"--{key}={value}" for key, value in of_texts.items())]) == 0
        flags |= {"language_model": language_model}
        capfd.readouterr()
    argv = ["train", name, *(f"--{key}={value}" for key, value in flags.items())]
    status = rnn_zoo_cli.main(argv)
    printed = capfd.readouterr()
    assert status == 0, printed.err
    assert "step 2/2" in printed.out

    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["recipe"] == name
    assert metrics["task"] == shipped.run.task
    assert metrics["steps"] == 2
    assert math.isfinite(metrics["train"]["loss"])
    recipe = read_recipe(out / "recipe.yaml")
    assert recipe.training.max_steps == 2
    assert recipe.model == read_recipe(find_recipe(name), argv[2:]).model

    model = getattr(transformers, TASKS[shipped.run.task].auto_class).from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert sum(p.numel() for p in model.parameters()) == metrics["parameters"]
    assert model.config.vocab_size == len(tokenizer)
    texts = {"text": "a text", "text_target": "a text"} if shipped.run.task == "translation" else {"text": "a text"}
    inputs = tokenizer(**texts, return_tensors="pt")
    assert tokenizer.unk_token_id not in inputs["input_ids"]
    with torch.no_grad():
        assert model(**inputs).logits.isfinite().all()
    assert {path.name for path in tmp_path.iterdir()} == {"data", "out"}
    check = {
        "causal_lm": check_language_model,
        "token_classification": check_tagger,
        "sequence_classification": check_classifier,
        "translation": check_translator,
    }
    assert check.keys() == TASKS.keys()
    check[shipped.run.task](recipe, metrics, printed.out, model)

    split = "test" if "test" in metrics else "validation"
    assert rnn_zoo_cli.main(["evaluate", str(out), "--split", split]) == 0
    assert json.loads(capfd.readouterr().out)["loss"] == pytest.approx(metrics[split]["loss"], rel=1e-4)


def check_language_model(recipe, metrics, printed, model):
    assert model.config.use_cache
    documents = recipe.task_arguments.examples == "documents"
    assert ("test" in metrics) != documents  # the test texts of a classifier are not for its language model
    for split in ("validation",) if documents else ("validation", "test"):
        assert math.isfinite(metrics[split]["loss"])
        assert metrics[split]["perplexity"] == pytest.approx(math.exp(metrics[split]["loss"]))
        assert metrics[split]["tokens"] > 0
    assert len(metrics["samples"]) == len(recipe.task_arguments.sample_temperatures)
    if recipe.task_arguments.examples == "stream" and recipe.data.tokenizer_type == "char":
        bits = metrics["validation"]["loss"] / math.log(2)
        assert metrics["validation"]["bits_per_character"] == pytest.approx(bits)


def check_tagger(recipe, metrics, printed, model):
    are_entities = recipe.task_arguments.data_tag_scheme != "none"
    score, number = ("f1", "number_PER") if are_entities else ("token_accuracy", "number_B-PER")
    for split in ("validation", "test"):
        assert math.isfinite(metrics[split]["loss"])
        assert 0 <= metrics[split][score] <= 1
        assert metrics[split][number] == 40
    if recipe.run.baseline != "none":
        assert metrics["baseline"]["splits"]["test"][number] == 40
        assert "python-crfsuite" in printed


def check_classifier(recipe, metrics, printed, model):
    assert list(model.config.id2label.values()) == ["other", "self"]
    for split in ("validation", "test"):
        assert math.isfinite(metrics[split]["loss"])
        assert 0 <= metrics[split]["accuracy"] <= 1
        confusion = torch.tensor(metrics[split]["confusion"])
        assert int(confusion.sum()) == 40
        assert int(confusion.trace()) == round(40 * metrics[split]["accuracy"])
    if recipe.run.baseline != "none":
        assert metrics["baseline"]["splits"]["test"]["accuracy"] > 0.9
        assert "TF-IDF" in printed


def check_translator(recipe, metrics, printed, model):
    args = recipe.task_arguments
    for split in ("validation", "test"):
        assert math.isfinite(metrics[split]["loss"])
        assert 0 <= metrics[split]["bleu"] <= 100
        assert 0 <= metrics[split]["chrf"] <= 100
        assert 0 <= metrics[split]["exact_match"] <= 1
    settings = model.generation_config
    assert (settings.num_beams, settings.max_new_tokens) == (args.num_beams, args.max_target_length)
    assert ("where the model looked" in printed) == (model.config.attention != "none")
    assert model.config.share_encoder_decoder_embeddings == (not args.separate_vocabularies)
