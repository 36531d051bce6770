"""Files that `rnn-zoo import` reads, of each format: damaged, nearly valid, or made to do harm."""

import functools
import io
import json
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from reliability.checkpoints import CONTENTS, VALUES, cut, nested, place_in
from reliability.harness import Door
from rnn_zoo.commands.import_weights import import_weights

V, E, H = 11, 4, 3
HUGE = 10**9


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        self.rnn = nn.LSTM(E, H, batch_first=True)
        self.head = nn.Linear(H, V)


# ---- valid files, made once ----
@functools.cache
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: tensor.detach().clone() for name, tensor in Net().state_dict().items()}


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


@functools.cache
def safetensors() -> bytes:
    return save(state())


@functools.cache
def pickled() -> bytes:
    return saved(state())


@functools.cache
def pickled_long_ago() -> bytes:
    return saved(state(), _use_new_zipfile_serialization=False)


def keras_weights() -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(0)
    shapes = {
        "layers/embedding/vars/0": (V, E),
        "layers/lstm/cell/vars/0": (E, 4 * H),
        "layers/lstm/cell/vars/1": (H, 4 * H),
        "layers/lstm/cell/vars/2": (4 * H,),
        "layers/dense/vars/0": (H, V),
        "layers/dense/vars/1": (V,),
    }
    return {name: numbers.normal(size=shape).astype("float32") for name, shape in shapes.items()}


def layer(kind: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": kind.lower(), **config}}


CONFIG = {
    "class_name": "Sequential",
    "config": {
        "layers": [
            layer("InputLayer", batch_shape=[None, 7]),
            layer("Embedding", input_dim=V, output_dim=E, mask_zero=False),
            layer("LSTM", units=H, use_bias=True, return_sequences=True, stateful=False),
            layer("Dense", units=V, activation="softmax"),
        ]
    },
}


def hdf5(build: Callable[[h5py.File], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        with h5py.File(Path(folder) / "file.h5", "w") as file:
            build(file)
        return (Path(folder) / "file.h5").read_bytes()


def plain(file: h5py.File) -> None:
    for name, values in keras_weights().items():
        file[name] = values


def with_one(build: Callable[[h5py.File], None]) -> Callable[[h5py.File], None]:
    """The valid weights, the dense layer's bias made by another function."""

    def make(file: h5py.File) -> None:
        plain(file)
        del file["layers/dense/vars/1"]
        build(file)

    return make


BIAS = "layers/dense/vars/1"
HOSTILE_HDF5 = {
    "a huge sparse one": lambda f: f.create_dataset(BIAS, (HUGE, 10**6), "f4", chunks=True),
    "zeros, packed": lambda f: f.create_dataset(BIAS, (5_000_000,), "f4", compression="gzip", fillvalue=0),
    "a link outside": lambda f: f.__setitem__(BIAS, h5py.ExternalLink("/etc/hostname", "/")),
    "a link in a circle": lambda f: f.__setitem__(BIAS, h5py.SoftLink("/" + BIAS)),
    "a group in itself": lambda f: f.__setitem__("layers/dense/vars/1", f["layers"]),
    "external data": lambda f: f.create_dataset(BIAS, (V,), "f4", external=[("/etc/hostname", 0, 44)]),
    "no space": lambda f: f.create_dataset(BIAS, data=h5py.Empty("f4")),
    "text": lambda f: f.create_dataset(BIAS, data=["a"] * V),
    "whole numbers": lambda f: f.create_dataset(BIAS, data=np.arange(V)),
    "NaN": lambda f: f.create_dataset(BIAS, data=np.full(V, np.nan, "f4")),
    "a compound": lambda f: f.create_dataset(BIAS, data=np.zeros(V, [("a", "f4"), ("b", "i4")])),
    "references": lambda f: f.create_dataset(BIAS, (V,), h5py.ref_dtype),
    "a number": lambda f: f.create_dataset(BIAS, data=np.float32(1)),
    "five dimensions": lambda f: f.create_dataset(BIAS, data=np.zeros((1, 2, 1, 2, 1), "f4")),
    "nothing along an axis": lambda f: f.create_dataset(BIAS, (0, V), "f4"),
    "a long name": lambda f: f.create_dataset("layers/" + "9" * 5000 + "/vars/0", data=np.zeros((2, 2), "f4")),
    "deep groups": lambda f: f.create_dataset("/".join(["layers"] * 300 + ["vars/0"]), data=np.zeros((2, 2), "f4")),
}


@functools.cache
def hostile_hdf5(name: str) -> bytes:
    return hdf5(with_one(HOSTILE_HDF5[name]))


@functools.cache
def weights_h5() -> bytes:
    return hdf5(plain)


def zipped(config: bytes, weights: bytes, method: int = zipfile.ZIP_STORED, **others: bytes) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, data in {"config.json": config, "model.weights.h5": weights, **others}.items():
            archive.writestr(name, data)
    return file.getvalue()


@functools.cache
def keras() -> bytes:
    return zipped(json.dumps(CONFIG).encode(), weights_h5())


@functools.cache
def bomb(method: int) -> bytes:
    return zipped(json.dumps(CONFIG).encode(), bytes(120 * 2**20), method)


# ---- hostile pickles ----
class Call:
    def __reduce__(self):
        return (print, ("a pickle has run",))


HOSTILE_STATES: dict[str, Callable[[], Any]] = {
    "a call": lambda: {"rnn.weight_ih_l0": Call()},
    "a view of one number": lambda: state() | {"head.bias": torch.zeros(1).expand(HUGE)},
    "a huge view": lambda: state() | {"embedding.weight": torch.zeros(1, 1).expand(HUGE, E)},
    "sparse": lambda: state() | {"embedding.weight": torch.sparse_coo_tensor([[0], [0]], [1.0], (HUGE, E))},
    "on no device": lambda: state() | {"embedding.weight": torch.empty(HUGE, E, device="meta")},
    "complex": lambda: state() | {"head.bias": torch.zeros(V, dtype=torch.complex64)},
    "whole numbers": lambda: {name: tensor.long() for name, tensor in state().items()},
    "half": lambda: {name: tensor.half() for name, tensor in state().items()},
    "NaN": lambda: state() | {"head.bias": torch.full((V,), float("nan"))},
    "a list": lambda: list(state().values()),
    "two models": lambda: {"a": state(), "b": state()},
    "numbers": lambda: {"epoch": 3},
    "a number as a name": lambda: {3: torch.zeros(2)},
    "in itself": lambda: circle(),
    "unlike layers": lambda: unlike_layers(),
    "many inputs": lambda: many_inputs(),
    "no features": lambda: {name: tensor[..., :0] for name, tensor in state().items()},
    "long names": lambda: {f"{'a' * 5000}.{name}": tensor for name, tensor in state().items()},
    "a huge number of a layer": lambda: state() | {"rnn.weight_hh_l" + "9" * 5000: torch.zeros(4 * H, H)},
    "many tensors": lambda: {f"x{n}.weight": torch.zeros(2, 2) for n in range(5000)},
    "quantized": lambda: state() | {"head.bias": torch.quantize_per_tensor(torch.zeros(V), 0.1, 0, torch.qint8)},
}


def circle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["model"] = value
    return value


def unlike_layers() -> dict[str, torch.Tensor]:
    """A layer of 1,500 features between 60 of one: all of ours have one size."""
    sizes = [1] * 30 + [1500] + [1] * 30
    found = {"embedding.weight": torch.zeros(V, 1), "head.weight": torch.zeros(V, 1), "head.bias": torch.zeros(V)}
    before = 1
    for n, size in enumerate(sizes):
        found |= {f"rnn{n}.weight_ih_l0": torch.zeros(size, before), f"rnn{n}.weight_hh_l0": torch.zeros(size, size)}
        before = size
    return found


def many_inputs() -> dict[str, torch.Tensor]:
    width = 200_000  # as one-hot vectors 160 GB
    found = {"rnn.weight_ih_l0": torch.zeros(1, width), "rnn.weight_hh_l0": torch.zeros(1, 1)}
    return found | {"head.weight": torch.zeros(width, 1), "head.bias": torch.zeros(width)}


@functools.cache
def hostile(name: str, zipped_form: bool) -> bytes:
    return saved(HOSTILE_STATES[name](), _use_new_zipfile_serialization=zipped_form)


@functools.cache
def packed_torch() -> bytes:
    """A valid file whose records are packed, with gigabytes more of them."""
    source, file = zipfile.ZipFile(io.BytesIO(pickled())), io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name) if not name.endswith("data/0") else bytes(120 * 2**20))
    return file.getvalue()


# ---- doors ----
def imported(room: Path, name: str, data: bytes, *flags: str) -> None:
    path = room / name
    path.write_bytes(data)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_weights([str(path), str(room / "out"), *flags])


def enter_file(name: str, *flags: str) -> Callable[[Any, Path], None]:
    def enter(case: Any, room: Path) -> None:
        imported(room, name, case() if callable(case) else case, *flags)

    return enter


def mutated(make: Callable[[], bytes], name: str = "file") -> st.SearchStrategy[Any]:
    """Functions that give the bytes of a valid file with a damage or two."""
    how = st.sampled_from(["truncated", "flipped", "doubled", "shortened"])
    damages = st.lists(st.builds(cut, st.just(name), st.floats(0, 1), st.integers(1, 255), how), max_size=3)

    def damaged(changes: list[Any]) -> Callable[[], bytes]:
        def give() -> bytes:
            data: bytes | None = make()
            for change in changes:
                data = change.change(data)
            return data or b""

        return give

    return damages.map(damaged)


def bound(function: Callable[..., bytes], *values: Any) -> Callable[[], bytes]:
    return lambda: function(*values)


def changed_config(steps: list[int], new: Any, take: bool) -> Callable[[], bytes]:
    def give() -> bytes:
        value = json.loads(json.dumps(CONFIG))
        if found := place_in(value, steps):
            container, key = found
            if take:
                del container[key]
            else:
                container[key] = new
        return zipped(json.dumps(value).encode("utf-8", "surrogatepass"), weights_h5())

    return give


JUNK = st.one_of(st.binary(max_size=60), st.sampled_from(CONTENTS))
STATES = st.builds(lambda name, form: bound(hostile, name, form), st.sampled_from(list(HOSTILE_STATES)), st.booleans())
SAFETENSORS_HEAD = st.builds(
    nested,
    st.just("file.safetensors"),
    st.lists(st.integers(0, 50), min_size=1, max_size=4),
    VALUES,
    st.sampled_from(["replaced", "taken out", "renamed"]),
)


def head_changed(damage: Any) -> Callable[[], bytes]:
    return lambda: damage.change(safetensors())


# A vocabulary beside valid weights.
VOCABULARIES = st.one_of(
    JUNK,
    st.lists(st.text(max_size=3), max_size=14).map(lambda tokens: json.dumps(tokens).encode()),
    st.dictionaries(st.text(max_size=3), st.one_of(st.integers(-2, 12), VALUES), max_size=14).map(
        lambda tokens: json.dumps(tokens).encode()
    ),
    st.permutations([*"abcdefghijk"]).map(lambda tokens: json.dumps("".join(tokens)).encode()),
    st.text(max_size=14).map(lambda text: json.dumps(text).encode()),
)


def enter_vocabulary(case: tuple[bytes, str, str], room: Path) -> None:
    data, unit, ending = case
    (room / f"vocab{ending}").write_bytes(data)
    flags = ["--vocab", str(room / f"vocab{ending}"), "--unit", unit]
    imported(room, "net.safetensors", safetensors(), *flags)


PICKLES = [pickle.dumps([1, 2]), pickle.dumps({"a": 1}), b"\x80\x02" + b"(" * 100_000, b"\x80\x02" + b"]" * 5000 + b"."]
DOORS = [
    Door(
        "import: state_dict of torch",
        "imports",
        st.one_of(
            mutated(pickled), mutated(pickled_long_ago), STATES, JUNK, st.sampled_from(PICKLES), st.just(packed_torch)
        ),
        enter_file("net.pt"),
    ),
    Door(
        "import: safetensors",
        "imports",
        st.one_of(mutated(safetensors), SAFETENSORS_HEAD.map(head_changed), JUNK),
        enter_file("net.safetensors"),
    ),
    Door(
        "import: Keras",
        "imports",
        st.one_of(
            mutated(keras),
            st.builds(changed_config, st.lists(st.integers(0, 50), min_size=1, max_size=6), VALUES, st.booleans()),
            st.sampled_from([*CONTENTS]).map(lambda content: bound(zipped, content, b"")),
            mutated(weights_h5).map(lambda give: lambda: zipped(json.dumps(CONFIG).encode(), give())),
            st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]).map(
                lambda method: bound(bomb, method)
            ),
            JUNK,
        ),
        enter_file("model.keras"),
    ),
    Door(
        "import: HDF5",
        "imports",
        st.one_of(
            mutated(weights_h5), st.sampled_from(list(HOSTILE_HDF5)).map(lambda name: bound(hostile_hdf5, name)), JUNK
        ),
        enter_file("model.weights.h5"),
    ),
    Door(
        "import: vocabulary",
        "imports",
        st.tuples(VOCABULARIES, st.sampled_from(["char", "word", "keras"]), st.sampled_from([".json", ".txt"])),
        enter_vocabulary,
    ),
]
