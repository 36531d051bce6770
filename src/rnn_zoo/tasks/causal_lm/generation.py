"""Text without end: a language model writes token after token in constant memory, from a state one can keep.

Sizes: `B` batch, `T` time, `V` vocabulary.
"""

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers.decoders import DecodeStream
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from ...models.keys import one_of
from ...models.modeling_causal_lm import RnnForCausalLM
from ...models.packed_weight import PRECISIONS
from ...models.packed_weight import refusal_of as precision_refusal
from ...models.ranges import first_refusal
from ...models.real_steps import gather_time
from ...models.recurrent_state import RecurrentState
from ...models.step_decoder import StepDecoder
from .keys import RANGES

FORMAT = "rnn_zoo.generation_stream"
READ_AT_ONCE = 1024  # tokens of a prompt, so that its length does not decide the memory
SETTINGS = {"do_sample": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0}  # with their neutral values
# What else a generation configuration may say without changing what a stream writes.
ALLOWED = {
    *SETTINGS,
    *("max_new_tokens", "max_length", "max_time", "use_cache", "cache_implementation", "trust_remote_code"),
    *("pad_token_id", "bos_token_id", "eos_token_id", "num_return_sequences", "return_dict_in_generate"),
    *("output_scores", "output_logits", "output_hidden_states", "output_attentions", "transformers_version"),
}


class GenerationStream:
    """An endless iterator over the tokens that a language model writes; each is a tensor `(B)`.

    What it holds does not grow with the text. `save` keeps it in a file; a stream loaded from there, in another process
    as well, writes the tokens that this one would have written. Greedy tokens are those of `model.generate`.

    >>> stream = GenerationStream(model, temperature=0.8, seed=1)
    >>> stream.read(tokenizer("def ", return_tensors="pt")["input_ids"])
    >>> tokens = [next(stream) for _ in range(500)]
    >>> stream.save("story.safetensors")

    Without a prompt the text begins with the generation configuration's `bos_token_id`.

    Args:
        model: the language model; it is put into evaluation mode.
        do_sample: whether tokens are drawn; otherwise each is the likeliest. They are where a `temperature`, `top_k` or
            `top_p` is given.
        temperature: scores are divided by it, above 0.
        top_k: only so many likeliest tokens are drawn from, 0 for all.
        top_p: only the likeliest tokens that together have this probability are drawn from, in (0, 1].
        weights: `float16` or `int8`: tokens are written with weights of lower precision, of which a CPU reads half as
            many bytes or a quarter; prompts are read in `float32`. Needs a model in float32 on a CPU. Weights are
            packed at the first token, and anew where torch counts a change of one.
        seed: of the stream's own random numbers, from 0 to 2^63 - 1; `None` for another text each time.

    What is not given is read from `model.generation_config`, or else changes nothing (where `generate` would draw from
    the 50 likeliest tokens). The stream ends nowhere by itself, also not at `eos_token_id`.

    Raises:
        ValueError: for a setting out of range, or one in `model.generation_config` that only `generate` heeds.
    """

    def __init__(
        self,
        model: RnnForCausalLM,
        *,
        do_sample: bool | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        weights: str = "float32",
    ):
        if not hasattr(model, "scores"):
            raise ValueError(
                f"a {type(model).__name__} cannot be streamed: must be a language model; of a PEFT model give "
                "get_base_model()"
            )
        if model.config.reads_backward:
            raise ValueError("reads_backward: this model gives the token before a text, so that none can be written on")
        given = {"do_sample": do_sample, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        config = model.generation_config
        for name, value in config.to_diff_dict().items():
            if name not in ALLOWED and value not in (None, False, 0, 1, [], {}):
                raise ValueError(f"generation_config.{name}={value!r}: only model.generate heeds it")
        if do_sample is None and any(value is not None for value in (temperature, top_k, top_p)):
            given["do_sample"] = True
        self.settings: dict[str, Any] = {}
        for name, neutral in SETTINGS.items():
            choices = (given[name], getattr(config, name), neutral)
            self.settings[name] = next(value for value in choices if value is not None)
        if refusal := first_refusal(self.settings | {"seed": seed}, RANGES):
            raise ValueError(refusal)
        self.model = model.eval()
        self.warpers = warpers(self.settings)
        self.generator = torch.Generator(model.device)
        if seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(seed)
        self.cache_params: RecurrentState | None = None
        self.logits: torch.Tensor | None = None  # (B, V), of the token that follows, if all so far was read
        self.token: torch.Tensor | None = None  # (B), chosen, but not read yet
        one_of("weights", weights, PRECISIONS)
        suits = StepDecoder.suits(model)
        if weights != "float32":
            if not suits or model.dtype != torch.float32:
                raise ValueError(f"weights={weights!r}: needs a plain model in float32 on a CPU; use float32")
            if refusal := precision_refusal(weights):
                raise ValueError(refusal)
        self._decoder = StepDecoder(model, weights) if suits else None

    def __iter__(self):
        return self

    @torch.no_grad()
    def read(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> None:
        """Reads a prompt, at the beginning or in between.

        Args:
            input_ids: `(B, T)`.
            attention_mask: `(B, T)`, 1 on real tokens; the padding may stand on either side.
        """
        if input_ids.dim() != 2:
            raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}: needed is (batch, length)")
        self.model.eval()
        ids = input_ids.to(self.model.device)
        if ids.shape[1] == 0:
            if self.token is None and self.logits is None:
                self.token = self._begin(ids.shape[0])
            return
        state, logits = self.cache_params, self.logits
        if self.token is not None:
            state, logits = self._read(self.token[:, None], None, state, logits)
        for start in range(0, ids.shape[1], READ_AT_ONCE):
            piece = slice(start, start + READ_AT_ONCE)
            mask = None if attention_mask is None else attention_mask[:, piece]
            state, logits = self._read(ids[:, piece], mask, state, logits)
        self.cache_params, self.logits, self.token = state, logits, None  # all of it was read, or nothing

    def _begin(self, rows: int) -> torch.Tensor:
        start = self.model.generation_config.bos_token_id
        if start is None:
            raise ValueError("nothing was read and the model has no bos_token_id to begin with")
        return torch.full((rows,), start, device=self.model.device)

    def _read(
        self, ids: torch.Tensor, mask: torch.Tensor | None, state: RecurrentState | None, logits: torch.Tensor | None
    ) -> tuple[RecurrentState, torch.Tensor]:
        """Reads `ids (B, T)`: the new state, and the scores after the last real token of each row."""
        outputs = self.model.model(
            input_ids=ids, attention_mask=mask, cache_params=state, use_cache=True, return_dict=True
        )
        if mask is None:
            return outputs.cache_params, self.model.scores(outputs.last_hidden_state[:, -1])
        mask = mask.to(ids.device).bool()
        last = torch.where(mask, torch.arange(ids.shape[1], device=ids.device), 0).amax(1)  # (B)
        new = self.model.scores(gather_time(outputs.last_hidden_state, last[:, None])[:, 0])
        return outputs.cache_params, new if logits is None else torch.where(mask.any(1)[:, None], new, logits)

    def _score(self, token: torch.Tensor) -> None:
        """Reads one token `(B)`."""
        if self._decoder is not None and self.cache_params is not None and self._decoder.still_suits():
            self.logits, self.cache_params = self._decoder(token, self.cache_params)
        else:
            self.cache_params, self.logits = self._read(token[:, None], None, self.cache_params, None)
        self.token = None

    @torch.no_grad()
    def __next__(self) -> torch.Tensor:
        if self.logits is None and self.token is None:
            self.token = self._begin(1)
        if self.token is not None:
            self._score(self.token)
        assert self.logits is not None
        scores = self.logits.float()
        if self.settings["do_sample"]:
            probabilities = self.warpers(None, scores).softmax(-1)
            self.token = torch.multinomial(probabilities, 1, generator=self.generator)[:, 0]
        else:
            self.token = scores.argmax(-1)
        self.logits = None
        return self.token

    def save(self, path: str | os.PathLike) -> None:
        """Keeps the stream in a safetensors file: state, the token not yet read, random numbers, settings."""
        tensors = {} if self.cache_params is None else self.cache_params.to_dict()
        for name in ("logits", "token"):
            if getattr(self, name) is not None:
                tensors[name] = getattr(self, name)
        tensors["generator"] = self.generator.get_state()
        about = {"format": FORMAT, "settings": json.dumps(self.settings), "device": self.generator.device.type}
        path = Path(path)
        half_written = path.with_name(path.name + ".part")
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, half_written, metadata=about)
            half_written.replace(path)
        except SafetensorError as error:
            raise OSError(f"{path}: could not be written ({error})") from error
        finally:
            half_written.unlink(missing_ok=True)

    @classmethod
    def load(cls, model: RnnForCausalLM, path: str | os.PathLike, **settings) -> "GenerationStream":
        """Goes on where `save` was called, with `model`, which must be the same one.

        Args:
            model: the language model.
            path: the file.
            settings: of the constructor; what is not given is as it was.

        Raises:
            ValueError: if the file is no stream, or one of another model.
            FileNotFoundError: if there is none.
        """
        about, tensors = read_stream(path, str(model.device))
        kept = {name: value for name, value in about["settings"].items() if name in SETTINGS}
        stream = cls(model, **kept | settings)
        generator = tensors.pop("generator").cpu()
        if settings.get("seed") is None:
            if about["device"] == model.device.type:
                try:
                    stream.generator.set_state(generator)
                except (RuntimeError, TypeError) as error:
                    raise ValueError(f"{path}: damaged: its random numbers cannot be gone on from") from error
            elif stream.settings["do_sample"]:
                raise ValueError(
                    f"{path}: kept on {about['device']}, whose random numbers {model.device.type} cannot continue: "
                    "load it with a seed"
                )
        stream.logits, stream.token = tensors.pop("logits", None), tensors.pop("token", None)
        size = model.config.vocab_size
        if (stream.logits is not None and stream.logits.shape[-1] != size) or (
            stream.token is not None and bool(((stream.token >= size) | (stream.token < 0)).any())
        ):
            raise ValueError(f"{path}: comes from a model with another vocabulary than the {size} ids of this one")
        if tensors:
            try:
                stream.cache_params = RecurrentState.from_dict(tensors)
                model.model.check_state(stream.cache_params, stream.cache_params.batch_size, model.dtype)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
        rows = {len(one) for one in (stream.logits, stream.token) if one is not None}
        rows |= {stream.cache_params.batch_size} if stream.cache_params is not None else set()
        if len(rows) > 1:
            raise ValueError(f"{path}: damaged: its parts are of {' and '.join(map(str, sorted(rows)))} texts")
        return stream


def read_stream(path: str | os.PathLike, device: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What `GenerationStream.save` has written: settings and device, and the tensors, each of the kind that it must be.

    Raises:
        ValueError: for any other file.
        FileNotFoundError: if there is none.
    """
    try:
        with safe_open(path, "pt", device=device) as file:
            about: dict[str, Any] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error})") from error
    if about.get("format") != FORMAT:
        raise ValueError(f"{path}: holds no stream that GenerationStream.save has kept")
    try:
        settings = json.loads(about.get("settings", ""))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged: its settings are not readable as JSON") from error
    switch, *numbers = (settings.get(name) for name in SETTINGS) if isinstance(settings, dict) else (None,)
    if not isinstance(switch, bool) or not all(type(number) in (int, float) for number in numbers):
        raise ValueError(f"{path}: damaged: its settings must be {', '.join(SETTINGS)}")
    forms = {"generator": (1, torch.uint8), "token": (1, torch.int64), "logits": (2, None)}
    for name, (dimensions, dtype) in forms.items():
        tensor = tensors.get(name)
        if tensor is None and name != "generator":
            continue
        if (
            tensor is None
            or tensor.dim() != dimensions
            or not (tensor.is_floating_point() if dtype is None else tensor.dtype == dtype)
        ):
            raise ValueError(f"{path}: damaged: {name!r} is missing or of another kind")
    if any(tensor.dim() == 0 for tensor in tensors.values()):
        raise ValueError(f"{path}: damaged: holds single numbers")
    return about | {"settings": settings, "device": about.get("device")}, tensors


def warpers(settings: dict[str, Any]) -> LogitsProcessorList:
    """What shapes the distribution that tokens are drawn from, in the order of `generate`."""
    chosen = LogitsProcessorList()
    if settings["temperature"] != 1.0:
        chosen.append(TemperatureLogitsWarper(float(settings["temperature"])))
    if settings["top_k"] != 0:
        chosen.append(TopKLogitsWarper(settings["top_k"]))
    if settings["top_p"] != 1.0:
        chosen.append(TopPLogitsWarper(settings["top_p"]))
    return chosen


# ---- tokens -> text ----
def hidden_ids(model, tokenizer) -> set[int]:
    """Tokens that are not text: padding, the beginning, and the end where the model stops at it.

    A word tokenizer's `<eos>` inside a stream is a line end, and is shown.
    """
    return {tokenizer.pad_token_id, tokenizer.bos_token_id} | stop_ids(model)


def stop_ids(model) -> set[int]:
    """Tokens at which the model ends a text."""
    stops = model.generation_config.eos_token_id
    return {stops} if isinstance(stops, int) else set(stops or [])


def continuation(stream: GenerationStream, tokenizer, prompt: str, length: int) -> Iterator[str]:
    """What a stream writes behind a prompt, in pieces, each as soon as it is whole characters.

    Args:
        stream: of one text; at its beginning, or anywhere else.
        tokenizer: of its model.
        prompt: is read first, and is no part of the pieces; may be empty.
        length: up to so many tokens are written, or to where the model stops.

    Raises:
        ValueError: for a stream of several texts, or a prompt that is none.
    """
    if not isinstance(prompt, str):
        raise ValueError(f"prompt: must be a string, not {type(prompt).__name__}")
    latest = stream.logits if stream.token is None else stream.token
    if latest is not None and len(latest) != 1:
        raise ValueError(f"stream: holds {len(latest)} texts; must hold one")
    hidden = hidden_ids(stream.model, tokenizer)
    stops = stop_ids(stream.model)
    ids = [] if stream.token is None else stream.token.tolist()  # of a text that goes on: what it ended with
    if prompt:
        read = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"].long()
        stream.read(read)
        ids += read[0].tolist()
    ids = [token for token in ids if token not in hidden]
    decoder = DecodeStream(ids=ids, skip_special_tokens=False)
    shown = tokenizer.decode(ids)
    for step in islice(stream, length):
        token = int(step)
        if token not in hidden:
            ids.append(token)
            if piece := decoder.step(tokenizer.backend_tokenizer, token):
                shown += piece
                yield piece
        if token in stops:
            break
    whole = tokenizer.decode(ids)  # what was held back, waiting for the rest of a character
    if whole.startswith(shown) and whole != shown:
        yield whole[len(shown) :]
