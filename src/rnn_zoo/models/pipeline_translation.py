"""`pipeline` for translators: transformers 5 has none of its own any more.

And what any use of `generate` by texts needs: which options it takes, how many translations it gives.
"""

from typing import Any

import torch
from transformers import Pipeline

from .given_texts import checked_texts, says_nothing

# Arguments of `generate` that are made of the texts.
SOURCES = ("inputs", "input_ids", "attention_mask", "inputs_embeds", "encoder_outputs")
# Those that have a row for each text of a batch.
TARGETS = (
    *("decoder_input_ids", "decoder_attention_mask", "decoder_inputs_embeds"),
    *("cache_params", "past_key_values", "labels"),
)
# What would do wrong to a translator, whose decoder begins without a prompt; with the values that do nothing.
FOR_LANGUAGE_MODELS = {"guidance_scale": 1, "token_healing": False}


class RnnTranslationPipeline(Pipeline):
    """Texts -> translations, as the translation pipeline of transformers 4 gave them.

    ::

        translate = pipeline("rnn-translation", model=path)  # with rnn_zoo imported
        translate = pipeline("translation", model=path, trust_remote_code=True)  # without
        translate("Ein Hund rennt.", num_beams=5)  # [{"translation_text": "A dog is running."}]

    A list of texts gives a list of such dictionaries; with `num_return_sequences` above 1 each text gives a list. Other
    arguments of `generate` are taken as well; what is not given, or `None`, the checkpoint's generation configuration
    decides. What `return_dict_in_generate` adds to the texts is left out. `max_source_length` cuts sources to so many
    tokens; otherwise they are read whole.

    A blank text has the empty translation, and the model is not run for it. Blank is also a text of which the tokenizer
    leaves nothing (`says_nothing`).

    Raises:
        ValueError: for what is no text, as `None` in a list, a length below 1, or options that `generate` refuses.
    """

    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = True

    def _sanitize_parameters(self, max_source_length=None, **generate_options):
        tokenize_options = {}
        if max_source_length is not None:
            if max_source_length < 1:
                raise ValueError(f"max_source_length={max_source_length}: must be at least 1")
            tokenize_options = {"truncation": True, "max_length": max_source_length}
        return tokenize_options, checked_options(generate_options, self.tokenizer), {}

    def __call__(self, texts: str | list[str], **kwargs):
        """See the class."""
        if isinstance(texts, list):
            texts = checked_texts(texts)
        results = super().__call__(texts, **kwargs)
        if isinstance(texts, list) and all(isinstance(result, list) and len(result) == 1 for result in results):
            return [result[0] for result in results]
        return results

    def preprocess(self, text, **tokenize_options):
        (text,) = checked_texts([text])
        encoded = dict(self.tokenizer(text, return_tensors="pt", return_attention_mask=True, **tokenize_options))
        if says_nothing(self.tokenizer, text, self.tokenizer(text)["input_ids"]):
            return dict.fromkeys(encoded, torch.zeros(1, 1, dtype=torch.long))  # a row of padding
        return encoded

    def _forward(self, model_inputs, **generate_options):
        said = model_inputs["attention_mask"].bool().any(1)  # (texts)
        count = translations_of_each(self.model, generate_options)
        ids = torch.zeros(len(said), count, 0, dtype=torch.long)
        if said.any():
            inputs = {name: tensor[said] for name, tensor in model_inputs.items()}
            written = sequences_of(self.model.generate(**inputs, **generate_options))
            ids = written.new_zeros(len(said), count, written.shape[1])
            ids[said] = written.unflatten(0, (-1, count))
        return {"output_ids": ids, "said": said}  # (texts, translations of each, T), (texts)

    def postprocess(self, model_outputs):
        (rows,) = model_outputs["output_ids"]
        texts = (
            self.tokenizer.batch_decode(rows, skip_special_tokens=True) if model_outputs["said"] else [""] * len(rows)
        )
        return [{"translation_text": text} for text in texts]


def checked_options(options: dict[str, Any], tokenizer, batched: bool = False) -> dict[str, Any]:
    """The options of `generate` for texts of a tokenizer; one that is `None` is not given.

    Args:
        options: by their names.
        tokenizer: of the texts.
        batched: whether texts are translated in batches and another order, so that no option can have a row for each.

    Raises:
        ValueError: for rows of a batch, a number of beams or translations below 1, or an option that would do wrong to
            a translator, or to one with two vocabularies.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in (*SOURCES, *TARGETS) if batched else SOURCES:
        if name in given:
            raise ValueError(f"{name}: is no option for texts; rows of your own are for model.generate")
    for name, neutral in FOR_LANGUAGE_MODELS.items():
        if given.get(name, neutral) != neutral:
            raise ValueError(f"{name}={given[name]!r}: is for language models, not for translators")
    for name in ("num_beams", "num_return_sequences"):
        if name in given and not (isinstance(given[name], int) and given[name] >= 1):
            raise ValueError(f"{name}={given[name]!r}: must be a whole number of at least 1")
    if "stop_strings" in given and hasattr(tokenizer, "target"):  # the library would look for them among sources
        raise ValueError("stop_strings: cannot be looked for where source and target have a vocabulary each")
    return given


def translations_of_each(model, options: dict[str, Any]) -> int:
    """How many translations of a text `generate` gives, with options by `checked_options`."""
    configs = (options.get("generation_config"), model.generation_config)
    numbers = (getattr(config, "num_return_sequences", None) for config in configs)
    return next((number for number in (options.get("num_return_sequences"), *numbers) if number), 1)


def sequences_of(outputs) -> torch.Tensor:
    """The ids `(rows, T)` that `generate` has written, whatever it returns beside them."""
    return outputs if isinstance(outputs, torch.Tensor) else outputs.sequences
