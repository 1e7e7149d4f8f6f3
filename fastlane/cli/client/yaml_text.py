"""YAML as the commands read it: each value with its line, and no key twice. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import yaml

MAX_PLACES = 100_000
"""Values of a text of YAML, with those that its aliases repeat. A few lines of aliases can stand for millions."""
TAG = "tag:yaml.org,2002:"
MERGE = f"{TAG}merge"
KINDS = tuple(f"{TAG}{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq"))
"""What JSON has, too."""


class FileFault(Exception):
    """The faults of a file, a line each. ``jobs``: the jobs that can be read, for the server's faults."""

    def __init__(self, text: str, jobs: tuple[Any, ...] = ()) -> None:
        super().__init__(text)
        self.jobs = jobs


@dataclass(frozen=True, slots=True)
class YamlText:
    """What a text has, and the line of each value by its place: names of keys, and numbers of items."""

    content: Any
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def line(self, place: Iterable[str]) -> int:
        """The line of a place, or of what it is in."""
        names = tuple(place)
        while names and names not in self.lines:
            names = names[:-1]
        return self.lines.get(names, 1)


class Loader(yaml.SafeLoader):
    """Refuses a key that appears twice, of which YAML would keep the last one, and numbers that JSON does not have. A time is a text, as
    the server takes it."""

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        """See yaml."""
        found: float = super().construct_yaml_float(node)
        if not isfinite(found):
            raise FileFault(f"line {node.start_mark.line + 1}: {node.value} is not a number")
        return found

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """See yaml. Refuses tags of what JSON does not have, and values that are not of their tag's kind."""
        line = node.start_mark.line + 1
        if node.tag not in KINDS:
            raise FileFault(f"line {line}: the tag {node.tag.replace(TAG, '!!')} is not known here; leave it out")
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, IndexError):
            raise FileFault(f"line {line}: the value cannot be read as {node.tag.removeprefix(TAG)}; put a text in quotes") from None

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """See yaml. A key that also comes by a merge is not there twice: the map's own value counts."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                if (key.tag, key.value) in seen:
                    raise FileFault(f"line {key.start_mark.line + 1}: {key.value!r} appears twice")
                seen.add((key.tag, key.value))
        return node


class StrictLoader(Loader):
    """Reads YAML 1.2's words, as Docker does: only true and false are booleans, and ``22:22`` is a text."""


def _resolvers(kind: type[Loader], left_out: tuple[str, ...]) -> dict[str, list[tuple[str, Any]]]:
    return {
        first: [(tag, pattern) for tag, pattern in rows if not tag.endswith(left_out)]
        for first, rows in kind.yaml_implicit_resolvers.items()
    }


Loader.add_constructor("tag:yaml.org,2002:float", Loader.construct_yaml_float)
Loader.yaml_implicit_resolvers = _resolvers(Loader, (":timestamp", ":value"))
StrictLoader.yaml_implicit_resolvers = _resolvers(Loader, (":bool", ":int", ":float"))
for _tag, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0o?[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def read_yaml(text: str, kind: type[Loader] = Loader) -> YamlText:
    """The content of a text of YAML, with the lines of its values. Raises FileFault."""
    try:
        loader = kind(text)
        try:
            node = loader.get_single_node()
            content = None if node is None else loader.construct_document(node)
            lines: dict[tuple[str, ...], int] = {}
            if node is not None:
                _add_lines(node, (), lines)
            return YamlText(content, lines)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise FileFault(f"is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise FileFault("is nested too deep, or has an alias of what it is in") from None


def _add_lines(node: yaml.Node, place: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> None:
    if len(lines) > MAX_PLACES:
        raise FileFault(f"has more than {MAX_PLACES:,} values, with those that its aliases repeat")
    if isinstance(node, yaml.MappingNode):
        parts = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        parts = [(str(number), value, value) for number, value in enumerate(node.value)]
    else:
        return
    for name, marked, value in parts:
        lines[(*place, name)] = marked.start_mark.line + 1
        _add_lines(value, (*place, name), lines)
