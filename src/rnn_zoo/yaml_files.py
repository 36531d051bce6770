"""The one place where YAML comes in: plain `key: value` lines, of bounded size and depth.

Nothing is built of what a file says: no tag is followed, no alias expanded, and scalars stay as they are written.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .errors import UserError, one_line, told

MOST_BYTES = 2**18  # the longest recipe that ships has 4 kB
MOST_DEPTH = 8
QUICK = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is there
PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")}
SCALARS = {*PLAIN, "tag:yaml.org,2002:str"}  # all others are texts too


class Entry(NamedTuple):
    """One key of a file.

    Args:
        line: where it stands.
        values: as they are written; none for `null`, several for a list, JSON for a mapping.
        is_list: whether it is written as a list.
    """

    line: int
    values: list[str]
    is_list: bool = False


def read_entries(path: Path) -> dict[str, Entry]:
    """The keys of a file, with underscores for hyphens.

    Raises:
        UserError: for a file that cannot be read or is too long; for anything but keys with scalars, lists of scalars
            and mappings; for tags, anchors and aliases; for a key that stands twice.
    """
    root = _compose(path)
    entries: dict[str, Entry] = {}
    for key_node, value_node in root.value if root else []:
        line = key_node.start_mark.line + 1
        key = _key(key_node, f"{path}, line {line}").replace("-", "_")
        if key in entries:
            raise UserError(f"{path}, line {line}: {key!r} stands twice, first in line {entries[key].line}")
        entries[key] = _entry(value_node, line, f"{path}, line {line}: {key}")
    return entries


def _compose(path: Path) -> yaml.MappingNode | None:
    """The nodes of a file that holds nothing but what `read_entries` takes."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise UserError(f"{path}: is longer than {MOST_BYTES // 1024} kB, so it is no recipe")
        text = data.decode("utf-8")
        try:
            root = _checked(path, text, QUICK)
        except yaml.YAMLError:  # again, for the sentence that is the same on every machine
            root = _checked(path, text, yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: not readable as YAML: {one_line(error)}") from error
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: a recipe is a list of `key: value` lines")
    return root


def _checked(path: Path, text: str, loader: Any) -> yaml.Node | None:
    """The nodes of a text, behind a look at it in one pass that follows nothing and needs no stack."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        where = f"{path}, line {event.start_mark.line + 1 if event.start_mark else 1}"
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise UserError(f"{where}: a recipe has no anchors and aliases (& and *): write the value out")
        if tag is not None and tag not in SCALARS:
            raise UserError(f"{where}: a recipe has no tags ({tag}): write the plain value")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise UserError(f"{where}: more than {MOST_DEPTH} levels in one another")
    return yaml.compose(text, Loader=loader)


def _key(node: yaml.Node, where: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise UserError(f"{where}: a key is a word, not a list or a mapping")
    return node.value


def _entry(node: yaml.Node, line: int, where: str) -> Entry:
    if isinstance(node, yaml.MappingNode):
        return Entry(line, [json.dumps(_value(node, where), ensure_ascii=False)])
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode):
                raise UserError(f"{where}: a list holds plain values, no lists or mappings")
        return Entry(line, [item.value for item in node.value], is_list=True)
    return Entry(line, [] if node.tag == "tag:yaml.org,2002:null" else [node.value])


def _value(node: yaml.Node, where: str) -> Any:
    """What a value within a mapping is in JSON."""
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(key_node, where)
            if key in found:
                raise UserError(f"{where}: {key!r} stands twice")
            found[key] = _value(value_node, f"{where}.{key}")
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, where) for item in node.value]
    if node.tag not in PLAIN:
        return node.value
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (ValueError, KeyError, IndexError) as error:  # `!!bool x`, a whole number with thousands of digits
        raise UserError(f"{where}: not {node.tag.rpartition(':')[2]}: {told(error)}") from error
