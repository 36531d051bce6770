"""Records what every checkpoint that ships makes of fifty texts: `python tests/golden/record.py`.

`recorded/<checkpoint>.json` holds for each line of `recorded/texts.txt` four numbers of its scores and what a user
gets. It is written anew only for a checkpoint that was trained anew: a change of the code has to give the same.
"""

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

import rnn_zoo
from rnn_zoo import Classifier, GenerationStream, Tagger, Translator, zoo

RECORDED = Path(__file__).parent / "recorded"
TEXTS = (RECORDED / "texts.txt").read_text(encoding="utf-8").splitlines()
NEW_TOKENS = 20


def digest(scores: torch.Tensor) -> list[float]:
    """A number that any change of any score changes, and three that tell how."""
    flat = scores.double().flatten()
    flat = flat.where(flat > -1e30, -1e3)  # the score of what a CRF does not allow is the least number there is
    waves = torch.cos(torch.arange(1, len(flat) + 1, dtype=torch.float64) * 0.7)
    return [float(value) for value in (flat @ waves, flat.sum(), flat.min(), flat.max())]


@torch.no_grad()
def record(name: str) -> list[dict[str, Any]]:
    """Of each text the scores, in double precision, and what the model's class for users gives."""
    place = zoo.path(name)
    head = getattr(rnn_zoo, AutoConfig.from_pretrained(place).architectures[0])
    model = head.from_pretrained(place, dtype=torch.float64).eval()
    tokenizer = AutoTokenizer.from_pretrained(place)
    said = SAID[head.__name__](model, tokenizer)
    rows = []
    for text, answer in zip(TEXTS, said, strict=True):
        inputs = tokenizer(text, return_tensors="pt")
        row = {"said": answer}
        known = {key: inputs[key] for key in ("input_ids", "attention_mask", "character_ids") if key in inputs}
        if model.config.is_encoder_decoder:
            known["decoder_input_ids"] = torch.full((1, 1), model.config.decoder_start_token_id)
        rows.append(row | {"scores": digest(model(**known).logits)})
    return rows


def written(model, tokenizer) -> list[str]:
    texts = []
    for text in TEXTS:
        stream = GenerationStream(model, do_sample=False)
        if len(ids := tokenizer(text)["input_ids"]):
            stream.read(torch.tensor([ids]))
        texts.append(tokenizer.decode([int(token) for token in islice(stream, NEW_TOKENS)]))
    return texts


SAID = {
    "RnnForCausalLM": written,
    "RnnForTokenClassification": lambda model, tokenizer: [
        [[*entity[:3]] for entity in found] for found in Tagger(model, tokenizer).tag_texts(TEXTS)
    ],
    "RnnForSequenceClassification": lambda model, tokenizer: [
        found.labels for found in Classifier(model, tokenizer).classify(TEXTS)
    ],
    "RnnSeq2SeqForConditionalGeneration": lambda model, tokenizer: [
        found.text for found in Translator(model, tokenizer)(TEXTS)
    ],
}


def main(names: list[str]) -> int:
    for name in names or zoo.names():
        lines = [json.dumps(row, ensure_ascii=False) for row in record(name)]
        (RECORDED / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
