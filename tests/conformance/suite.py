"""The common model tests of transformers over all `cases`; the file's name keeps it out of other runs of pytest."""

import tempfile
import unittest
from pathlib import Path
from unittest.mock import patch

import archive
import pytest
from cases import Case, cases
from not_applicable import take_out
from transformers.pipelines import SUPPORTED_TASKS

from rnn_zoo.tokenizers import build_char_tokenizer

common = archive.load()
pytestmark = pytest.mark.conformance


class ModelTester:
    """What the common tests ask for: a tiny configuration, inputs, and their sizes."""

    batch_size = 3
    encoder_seq_length = seq_length = 7
    num_hidden_layers = 2
    hidden_size = 24  # the width of the first hidden states: the embeddings'
    is_training = True

    def __init__(self, case: Case):
        self.config_class = case.model_class.config_class
        self.config_kwargs = {
            "vocab_size": 99,
            "embedding_size": self.hidden_size,
            "hidden_size": 32,
            "num_hidden_layers": self.num_hidden_layers,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            **case.overrides,
        }
        if self.config_class.is_encoder_decoder:
            self.decoder_seq_length = self.seq_length = 5  # the tests make labels of `seq_length`

    def get_config(self):
        return self.config_class(**self.config_kwargs)

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        inputs = self.tokens("", self.encoder_seq_length, config.vocab_size)
        if config.is_encoder_decoder:
            inputs |= self.tokens("decoder_", self.decoder_seq_length, config.decoder_vocab_size)
        return config, inputs

    def tokens(self, side, length, vocab_size):
        """Random ids and a random mask of one side."""
        shape = [self.batch_size, length]
        input_ids = common.test_modeling_common.ids_tensor(shape, vocab_size)
        attention_mask = common.test_modeling_common.random_attention_mask(shape)
        return {f"{side}input_ids": input_ids, f"{side}attention_mask": attention_mask}


class CommonTests(common.test_modeling_common.ModelTesterMixin, common.test_pipeline_mixin.PipelineTesterMixin):
    """The common tests of one case, as every model of the library has them."""

    case: Case
    has_attentions = False
    test_can_init_all_missing_weights_before_2023 = True  # the file of our configuration names no year
    training_overfit_learning_rate = 1e-2  # the default is for transformers
    training_overfit_steps = 500  # where the gradient has become small by a margin that does not hang on the processor

    def setUp(self):
        self.model_tester = ModelTester(self.case)
        self.config_tester = common.test_configuration_common.ConfigTester(
            self,
            config_class=self.model_tester.config_class,
            common_properties=["hidden_size", "num_hidden_layers"],
            **self.model_tester.config_kwargs,
        )

    def test_config(self):
        self.config_tester.run_common_tests()

    def run_task_tests(self, task, dtype="float32"):
        """With a model and a tokenizer made here, where the library loads a tiny model from the Hub."""
        model_class = self.case.model_class
        if task not in self.pipeline_model_mapping:
            self.skipTest(f"pipelines of other tasks than {' and '.join(self.pipeline_model_mapping)}")
        if self.is_encoder_decoder and task == "feature-extraction":  # so does the library's test of this pipeline
            self.skipTest("features of which side? an encoder-decoder gives none from the source alone")
        summary = {model_class.__name__: {"tokenizer_classes": ["PreTrainedTokenizerFast"], "processor_classes": []}}
        with (
            tempfile.TemporaryDirectory() as models,
            patch.object(common.test_pipeline_mixin, "TRANSFORMERS_TINY_MODEL_PATH", models),
            patch.object(common.test_pipeline_mixin, "tiny_model_summary", summary),
        ):
            folder = Path(models) / model_class.config_class.model_type / model_class.__name__
            build_char_tokenizer(["all that glisters is not gold"]).save_pretrained(folder)
            model_class(self.model_tester.get_config()).save_pretrained(folder)
            super().run_task_tests(task, dtype)


def pipeline_tasks(case: Case) -> list[str]:
    """The tasks whose pipelines run this model; of those for the base model, the one for texts."""
    return [
        task
        for task, spec in SUPPORTED_TASKS.items()
        if any(auto_class in spec["pt"] for auto_class in case.auto_classes)
        and (spec.get("type", "text") == "text" or task == "feature-extraction")  # our own has no type
        and task != "zero-shot"  # for a classifier of entailment
    ]


def make_tests(case: Case) -> type[unittest.TestCase]:
    """The test case with the mixins that the library gives to such a model."""
    bases = [CommonTests]
    is_encoder_decoder = case.model_class.config_class.is_encoder_decoder
    if case.model_class.can_generate():
        bases += [common.test_modeling_common.GenerationTesterMixin]
        if not is_encoder_decoder:  # the training test has the tokens themselves as labels
            bases += [common.test_training_mixin.TrainingTesterMixin]
    contents = {
        "case": case,
        "is_encoder_decoder": is_encoder_decoder,
        "model_tester": None,
        "all_model_classes": (case.model_class,),
        "pipeline_model_mapping": dict.fromkeys(pipeline_tasks(case), case.model_class),
    }
    return type(case.name, (*bases, unittest.TestCase), contents)


for case in cases():
    # Many tests ask by name what kind of model they have before them.
    for auto_class in case.auto_classes:
        auto_class._model_mapping._model_mapping[case.model_class.config_class.model_type] = case.model_class.__name__
test_cases = {case.name: make_tests(case) for case in cases()}
take_out(test_cases.values(), archive.VERSION)
globals().update(test_cases)
