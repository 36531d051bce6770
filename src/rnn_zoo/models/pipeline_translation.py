"""`pipeline` for translators: transformers 5 has none of its own any more."""

from transformers import Pipeline


class RnnTranslationPipeline(Pipeline):
    """Texts -> translations, as the translation pipeline of transformers 4 gave them.

    ::

        translate = pipeline("rnn-translation", model=path)  # with rnn_zoo imported
        translate = pipeline("translation", model=path, trust_remote_code=True)  # without
        translate("Ein Hund rennt.", num_beams=5)  # [{"translation_text": "A dog is running."}]

    A list of texts gives a list of such dictionaries; with `num_return_sequences` above 1 each text gives a list. Other
    arguments of `generate` are taken as well; what is not given, the checkpoint's generation configuration decides.
    `max_source_length` cuts sources to so many tokens; otherwise they are read whole.
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
        return tokenize_options, generate_options, {}

    def __call__(self, texts: str | list[str], **kwargs):
        """See the class."""
        results = super().__call__(texts, **kwargs)
        if isinstance(texts, list) and all(isinstance(result, list) and len(result) == 1 for result in results):
            return [result[0] for result in results]
        return results

    def preprocess(self, text, **tokenize_options):
        if not isinstance(text, str):
            raise ValueError(f"texts: must be strings, not {type(text).__name__}")
        return dict(self.tokenizer(text, return_tensors="pt", **tokenize_options))

    def _forward(self, model_inputs, **generate_options):
        rows = model_inputs["input_ids"].shape[0]
        output_ids = self.model.generate(**model_inputs, **generate_options)
        return {"output_ids": output_ids.unflatten(0, (rows, -1))}  # (texts, translations of each, T)

    def postprocess(self, model_outputs):
        (rows,) = model_outputs["output_ids"]
        texts = self.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [{"translation_text": text} for text in texts]
