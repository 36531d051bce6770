"""Documents that are read as they come: chunks, lanes, places of readers, and what is refused."""

import gzip
import json
import random
import signal
from itertools import islice

import datasets
import pytest
import torch
from command_line import examples, weights
from runs import argv_of, at_step, check_same, forked_together
from test_resume_elsewhere import STILL
from test_several_processes import nothing, signalled, told
from test_trainer import VOCAB
from torch.testing import assert_close
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

from rnn_zoo import RnnConfig, RnnForCausalLM, TruncatedBpttTrainer
from rnn_zoo.data.document_stream import Documents, DocumentStream, LaneReader, files_of_documents
from rnn_zoo.data.keys import DataArguments
from rnn_zoo.errors import UserError
from rnn_zoo.tasks.causal_lm.data import load_texts
from rnn_zoo.tasks.causal_lm.keys import LanguageModelArguments
from rnn_zoo.tokenizers import build_char_tokenizer
from rnn_zoo.training.run_trainer import RunTrainer

WORDS = ["नमस्ते ", "a ", "recurrent ", "network\n", "\U0001f600 ", "state "]


def a_document(chance: random.Random) -> str:
    return "".join(chance.choices(WORDS, k=chance.randint(0, 12)))


def write_documents(folder, files: int = 8, rows: int = 5) -> list[list[str]]:
    """JSON lines in `folder/train`; the texts of each file."""
    (folder / "train").mkdir(parents=True)
    chance, texts = random.Random(0), []
    for number in range(files):
        texts.append([a_document(chance) for _ in range(rows)])
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts[-1])
        (folder / "train" / f"{number}.jsonl").write_text(lines, encoding="utf-8")
    one = json.dumps({"text": "".join(map("".join, texts[:3]))}) + "\n"
    for split in ("valid", "test"):
        (folder / f"{split}.jsonl").write_text(one, encoding="utf-8")
    return texts


def ids_of(text: str) -> torch.Tensor:
    return torch.tensor([ord(character) for character in text], dtype=torch.int32)


def documents_in(folder, extension: str = "jsonl", **given) -> Documents | None:
    return files_of_documents(DataArguments(data_dir=str(folder), file_extension=extension, **given), "text", "train")


def expected_chunks(texts: list[str], steps: int) -> list[tuple[list[int], list[int], bool]]:
    """By the definition: chunks of each document, the last one padded."""
    found = []
    for ids in (ids_of(text).tolist() for text in texts):
        for place in range(0, len(ids) - 1, steps):
            inputs, targets = ids[place:-1][:steps], ids[place + 1 :][:steps]
            fill = steps - len(inputs)
            found.append((inputs + [0] * fill, targets + [-100] * fill, place == 0))
    return found


def taken(reader: LaneReader, chunks: int) -> list[tuple[list[int], list[int], bool]]:
    return [
        (inputs.tolist(), targets.tolist(), begins)
        for inputs, targets, begins in (reader.chunk() for _ in range(chunks))
    ]


def test_each_lane_reads_files_of_its_own_and_goes_on_where_it_was(tmp_path):
    texts = write_documents(tmp_path)
    stream = DocumentStream(documents_in(tmp_path), ids_of)
    every = sorted(expected_chunks([text for file in texts for text in file], 7))
    seen = []
    for lane in range(3):
        own = [row["text"] for row in stream.documents.lane(lane, 3)]
        expected = expected_chunks(own, 7)
        assert taken(LaneReader(stream, lane, 3, 7), 2 * len(expected)) == expected * 2  # and from the first again
        seen += expected
        for place in range(0, len(expected) + 2, 3):
            reader, other = LaneReader(stream, lane, 3, 7), LaneReader(stream, lane, 3, 7)
            taken(reader, place)
            other.load(json.loads(json.dumps(reader.state())))
            assert taken(other, 9) == taken(reader, 9)
    assert sorted(seen) == every


@pytest.mark.parametrize("extension", ["txt", "txt.gz", "jsonl", "parquet"])
def test_files_of_documents(tmp_path, extension):
    r"""Line ends are `"\n"`, a mark is none of the text; names that begin with train count as well as a folder."""
    texts = [f"first {n}\nsecond\n" for n in range(3)]
    for number, text in enumerate(texts):
        path = tmp_path / f"train-{number}.{extension}"
        given = text.replace("\n", "\r\n")
        if extension == "parquet":
            datasets.Dataset.from_dict({"text": [given]}).to_parquet(path)
        elif extension == "jsonl":
            path.write_text(json.dumps({"text": given}) + "\n")
        else:
            data = given.encode("utf-8-sig")
            path.write_bytes(gzip.compress(data) if extension.endswith("gz") else data)
    for name in ("valid.txt", "trainers.txt"):
        (tmp_path / name).write_text("not of train")
    (tmp_path / "devanagari.txt").write_text("not of validation")
    documents = documents_in(tmp_path, extension.removesuffix(".gz"))
    assert documents.rows.num_shards == 3
    assert sorted(documents.texts()) == texts
    data = DataArguments(data_dir=str(tmp_path))
    assert list(files_of_documents(data, "text", "validation").texts()) == ["not of train"]
    assert "".join(documents.beginning(20)) == "".join(islice(documents.texts(), 2))[:20]


def load(folder, **given):
    own = {"streaming": True} | {name: given.pop(name) for name in ("text_column",) if name in given}
    return load_texts(
        DataArguments(data_dir=str(folder), **{"file_extension": "jsonl"} | given), LanguageModelArguments(**own)
    )


def test_splits_of_a_stream(tmp_path):
    texts = write_documents(tmp_path)
    splits = load(tmp_path)
    assert splits.keys() == {"train", "validation", "test"}
    assert sorted(splits["train"].texts()) == sorted(text for file in texts for text in file)
    assert splits["validation"].rstrip("\n") == "".join(map("".join, texts[:3])).rstrip("\n")
    for given, word in (
        ({"text_column": "body"}, "text_column='body'"),
        ({"file_extension": "csv"}, "streaming reads txt, jsonl, parquet"),
        ({"file_extension": "parquet"}, "streaming needs a train split of its own"),
    ):
        with pytest.raises(UserError, match=word):
            list(load(tmp_path, **given)["train"].texts())
    (tmp_path / "valid.jsonl").unlink()
    with pytest.raises(UserError, match=r"streaming needs a validation split of its own \(files validation\*\.jsonl"):
        load(tmp_path)


def test_documents_are_known_again_wherever_they_are_and_read_again_when_they_change(tmp_path, monkeypatch):
    """Also where the files that have changed have the same size; with a validation part that is long."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "kept")
    monkeypatch.setattr("rnn_zoo.tasks.causal_lm.data.LARGE", 1)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        write_documents(folder)
    monkeypatch.chdir(tmp_path)
    names = [load(folder)["train"].fingerprint for folder in (first, "first", second)]
    assert len(set(names)) == 1
    assert list(documents_in(first).texts()) == list(documents_in(second).texts())
    before = "".join(load(first)["validation"].pieces())
    for folder in (first, second):
        valid = folder / "valid.jsonl"
        valid.write_text(valid.read_text().replace("state", "stats"))
        assert "".join(load(folder)["validation"].pieces()) == before.replace("state", "stats") != before


def a_trainer(folder, train, kind=TruncatedBpttTrainer, **given):
    torch.manual_seed(0)
    model = RnnForCausalLM(RnnConfig(vocab_size=VOCAB, hidden_size=8, embedding_size=8))
    settings = {"max_steps": 3, "per_device_train_batch_size": 2, "use_cpu": True, "report_to": "none"}
    own = {name: given.pop(name) for name in ("data_collator", "bptt_length") if name in given}
    args = TrainingArguments(output_dir=str(folder / "out"), **settings | given)
    return kind(model, args, train_dataset=train, **own)


def test_what_cannot_be_streamed_is_a_sentence(tmp_path):
    write_documents(tmp_path, files=3)
    stream = DocumentStream(documents_in(tmp_path), ids_of)
    with pytest.raises(UserError, match="3 files cannot be shared by 4 lanes"):
        a_trainer(tmp_path, stream, per_device_train_batch_size=4).get_train_dataloader()
    with pytest.raises(UserError, match="dataloader_num_workers=1"):
        a_trainer(tmp_path, stream, dataloader_num_workers=1).get_train_dataloader()
    empty = datasets.Dataset.from_dict({"text": ["", "a"]}).to_iterable_dataset()
    reader = LaneReader(DocumentStream(Documents(empty, "text", "here", ""), ids_of), 0, 1, 4)
    with pytest.raises(UserError, match="here: the files of a lane have no document to read"):
        reader.chunk()
    with pytest.raises(
        UserError, match=r"train_dataset: truncated back-propagation reads one stream .* no IterableDataset"
    ):
        a_trainer(tmp_path, empty)


@pytest.mark.parametrize("kind", [Trainer, RunTrainer])
def test_rows_that_come_one_by_one_train_as_those_of_a_list(tmp_path, kind):
    """Stock `Trainer`, and ours for rows, on an `IterableDataset` of the library."""
    tokenizer = build_char_tokenizer(["abcdefghij"])
    rows = datasets.Dataset.from_dict({"input_ids": [list(range(4, 9 + n % 4)) for n in range(6)]})
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    found = []
    for given in (rows, rows.to_iterable_dataset()):
        trainer = a_trainer(tmp_path, given, kind, data_collator=collator, train_sampling_strategy="sequential")
        trainer.train()
        found.append(trainer.model.state_dict())
    assert all(torch.equal(one, found[1][name]) for name, one in found[0].items())


def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = examples("scale.md")
    names: dict = {}
    exec(compile(example, "docs/scale.md", "exec"), names)
    assert names["trainer"].state.global_step == 4
    assert (tmp_path / "runs/stream/checkpoint-4/lane_readers.json").exists()


@pytest.mark.ci
@pytest.mark.parametrize("processes", [1, 2])
def test_a_stream_goes_on_exactly_with_other_processes(tmp_path, processes):
    """A run that is stopped, and gone on with by as many, or by twice as many of half the rows, is the one that nothing
    has stopped."""
    write_documents(tmp_path / "data")
    flags = STILL | {"streaming": True, "file_extension": "jsonl", "data_dir": tmp_path / "data", "bptt_length": 4}

    def argv(folder, rows: int) -> list[str]:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        return argv_of(folder, "causal_lm", per_device_train_batch_size=rows, **flags)

    whole, logs = tmp_path / "whole", tmp_path / "logs"
    assert forked_together(argv(whole, 4 // processes), logs, *[nothing] * processes) == [0] * processes, told(logs)
    stop = at_step(3, lambda: signalled(signal.SIGTERM))
    for others in (1, 2):
        folder = tmp_path / f"stopped-{others}"
        stopped = forked_together(argv(folder, 4 // processes), logs, *[nothing] * (processes - 1), stop)
        assert stopped == [143] * processes, told(logs)
        going_on = [*argv(folder, 4 // others), "--resume_from_checkpoint"]
        assert forked_together(going_on, logs, *[nothing] * others) == [0] * others, told(logs)
        if others == processes:
            check_same(folder / "out", whole / "out")
        for name, weight in weights(whole / "out").items():
            assert_close(weights(folder / "out")[name], weight, rtol=0, atol=1e-6)
