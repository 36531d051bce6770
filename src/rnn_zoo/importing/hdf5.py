"""Tensors and texts of an HDF5 file, within limits: no links are followed, and no data that lie elsewhere are read."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from typing import Any

import torch

from ..errors import UserError, one_line
from .limits import check_bytes

DEEPEST, MOST_ITEMS = 32, 100_000  # groups in groups, and groups and tensors in all, of an HDF5 file
MOST_PACKED = 2000  # how many times as large as on the disk a tensor may be


@contextmanager
def opened_hdf5(file: Any, source: object, held: int) -> Iterator[Any]:
    """An HDF5 file to read from.

    Raises:
        UserError: if it is damaged, or its tensors are much larger than what it holds on the disk, `held` bytes.
    """
    try:
        import h5py
    except ImportError as error:
        raise UserError(f'{source}: reading Keras needs h5py: pip install "rnn-zoo[keras]"') from error
    try:
        with h5py.File(file, "r") as opened:
            tensors = [item for _, item in items_of(opened, source) if getattr(item, "size", None)]
            claimed = sum(4 * item.size for item in tensors if is_held(item))
            check_bytes(f"{source}: its tensors have", claimed, held)
            yield opened
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{source}: is damaged, or no HDF5 file: {one_line(error)}") from error


def is_held(item: Any) -> bool:
    """Whether the numbers of a dataset can be in the file at all."""
    return bool(item.nbytes <= MOST_PACKED * item.id.get_storage_size())


def tensor_of(item: Any, name: str, source: object) -> torch.Tensor:
    """The numbers of a dataset of an HDF5 file.

    Raises:
        UserError: if they are elsewhere, or not there, or are no floating-point numbers.
    """
    if item.external or item.is_virtual:
        raise UserError(f"{source}: the data of {name} are in another file, which is not read")
    if item.shape is None:
        raise UserError(f"{source}: {name} holds no numbers")
    if not is_held(item):
        raise UserError(f"{source}: {name} claims {item.nbytes:,} bytes, which the file does not hold")
    if item.dtype.kind != "f":
        raise UserError(f"{source}: {name} holds {item.dtype}, not floating-point numbers (quantized?)")
    return torch.from_numpy(item[()].astype("float32"))


def items_of(file: Any, source: object) -> Iterator[tuple[str, Any]]:
    """What is in an HDF5 file, by its places; links are not followed, and what has several names has one.

    Raises:
        UserError: if it is deeper or more than models are.
    """
    import h5py

    seen = {h5py.h5o.get_info(file.id).addr}
    waiting = [("", file)]
    while waiting:
        place, group = waiting.pop()
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            name, item = f"{place}{key}", group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if name.count("/") > DEEPEST or len(seen) > MOST_ITEMS:
                raise UserError(
                    f"{source}: holds more than {MOST_ITEMS:,} groups and tensors, or groups deeper than {DEEPEST}"
                )
            yield name, item
            if isinstance(item, h5py.Group):
                waiting.append((f"{name}/", item))


def inside(group: Any, name: str, source: object) -> Any:
    """What lies at a place in a group; no links are followed."""
    for part in name.split("/"):
        if type(group.get(part, getlink=True)).__name__ != "HardLink":
            raise UserError(f"{source}: {name} is not in the file, or a link, which is not followed")
        group = group[part]
    return group


def names_in(group: Any, name: str) -> list[str]:
    """A list of names that Keras keeps as an attribute, in several where it is long."""
    several = takewhile(group.attrs.__contains__, (f"{name}{n}" for n in count()))
    parts = [name] if name in group.attrs else several
    return [text if isinstance(text, str) else text.decode("utf-8") for part in parts for text in group.attrs[part]]


def attribute(group: Any, name: str) -> str:
    """A text that is kept as an attribute; empty if there is none."""
    value = group.attrs.get(name, "")
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
