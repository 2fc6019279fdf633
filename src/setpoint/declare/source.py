"""A YAML file as plain values, with the file and line of every key.

The scalars are those of YAML 1.2, so that `NO`, `on`, `12:30` and `2026-11-24` stay text and `1e-3` is a
number. Anchors work within a limit; merge keys (`<<`) and tags are refused: shared keys belong in
`defaults.yaml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, cast

import yaml

from setpoint.declare.problems import Problem, Problems, shown

if TYPE_CHECKING:
    from pathlib import Path as FilePath

Path = tuple[str | int, ...]
Place = tuple[str, int]

MAX_NODES = 20_000
MAX_BYTES = 1_000_000

_TAG = "tag:yaml.org,2002:"
_NULLS = {"", "~", "null", "Null", "NULL"}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2 instead of 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own


for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", "~nN"),
):
    _Loader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType] — PyYAML has no types of its own
        _TAG + _name, re.compile(f"^(?:{_pattern})$"), [*_first, *([""] * (_name == "null"))]
    )


@dataclass(slots=True)
class Source:
    """What a file says.

    Attributes:
        file: As errors name it.
        data: The mapping of the file.
        places: File and line of each key and list item, by its path from the root, which is `()`.
    """

    file: str
    data: dict[str, object] = field(default_factory=dict[str, object])
    places: dict[Path, Place] = field(default_factory=dict[Path, Place])

    def place(self, path: Path) -> Place:
        """Return where a path, or the nearest thing around it, is written."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (self.file, 1))

    def over(self, defaults: Source) -> Source:
        """Return these keys over those of `defaults`: mappings merge at every depth, all else replaces."""
        places = {path: place for path, place in defaults.places.items() if path}
        data = _merged(self.data, defaults.data, (), places)
        return Source(self.file, data, {**places, **self.places})


def _merged(
    upper: dict[str, object], lower: dict[str, object], at: Path, places: dict[Path, Place]
) -> dict[str, object]:
    found = dict(lower)
    for key, value in upper.items():
        beneath = found.get(key)
        if isinstance(value, dict) and isinstance(beneath, dict):
            inner = (cast("dict[str, object]", value), cast("dict[str, object]", beneath))
            found[key] = _merged(*inner, (*at, key), places)
            continue
        found[key] = value
        hidden = (*at, key)
        for path in [path for path in places if path[: len(hidden)] == hidden]:
            del places[path]
    return found


def read_source(path: FilePath, file: str | None = None) -> Source:
    """Read a YAML file.

    Raises:
        Problems: The file cannot be read, is not YAML, or is not a mapping of keys.
    """
    file = file or str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _problem(file, 0, f"cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_BYTES:
        raise _problem(file, 0, f"found {len(raw):,} bytes, expected at most {MAX_BYTES:,}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _problem(file, line, "found a byte that is not UTF-8", "save the file as UTF-8") from error
    return read_text(text, file)


def read_text(text: str, file: str) -> Source:
    r"""Read the text of a YAML file; see `read_source`.

    Example:
        >>> read_text("owner:\n  team: fraud", "m.yaml").places["owner", "team"]
        ('m.yaml', 2)
    """
    try:
        root = cast("yaml.Node | None", yaml.compose(text, Loader=_Loader))  # pyright: ignore[reportUnknownMemberType] — as above
    except yaml.MarkedYAMLError as error:
        raise _syntax_problem(file, text, error) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _problem(
            file, line, f"found the character {chr(cast('int', error.character))!r}, which YAML forbids"
        ) from error
    except RecursionError as error:
        raise _problem(file, 0, "nests too deep to be a declaration") from error
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value in _NULLS):
        raise _problem(file, 1, "the file is empty, expected keys such as `task: binary`")
    reader = _Reader(file)
    data = reader.value(root, (), ())
    if not isinstance(data, dict):
        reader.say(root, (), f"found {shown(data)}, expected a mapping of keys", "write `key: value` lines")
    if reader.problems:
        raise Problems(reader.problems)
    return Source(file, cast("dict[str, object]", data), reader.places)


class _Reader:
    """Turns YAML nodes into values and remembers their lines."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[Path, Place] = {}
        self.problems: list[Problem] = []
        self.nodes = 0

    def say(self, node: yaml.Node, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self.file, _line(node), dotted(path), message, hint))

    def value(self, node: yaml.Node, path: Path, above: tuple[yaml.Node, ...]) -> object:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            hint = "an anchor (&name) that is used many times multiplies what it holds"
            raise _problem(self.file, _line(node), f"found more than {MAX_NODES:,} values", hint)
        if any(node is one for one in above):
            raise _problem(self.file, _line(node), "an anchor holds itself")
        self.places.setdefault(path, (self.file, _line(node)))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self.mapping(node, path, (*above, node))
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(item, (*path, index), (*above, node)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path)
        self.say(
            node,
            path,
            f"found the tag {node.tag.replace(_TAG, '!!')}, expected plain values",
            "remove the tag",
        )
        return None

    def mapping(self, node: yaml.MappingNode, path: Path, above: tuple[yaml.Node, ...]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if not isinstance(key_node, yaml.ScalarNode):
                self.say(key_node, path, "found a key that is not text")
                continue
            key = cast("str", key_node.value)
            inner = (*path, key)
            if key in found:
                message = f"the key is written twice, first on line {self.places[inner][1]}"
                self.say(key_node, inner, message, "keep one of the two")
                continue
            if key == "<<" and key_node.style is None:
                self.say(key_node, inner, "merge keys are not read", "put shared keys into defaults.yaml")
                continue
            self.places[inner] = (self.file, _line(key_node))
            found[key] = self.value(value_node, inner, above)
        return found

    def scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        text = cast("str", node.value)
        sort = node.tag.removeprefix(_TAG)
        try:
            match sort:
                case "str":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return int(text)
                case "float":
                    number = float(re.sub(r"\.(inf|nan)$", r"\1", text.lower()))
                    if number or not re.match(r"[^e]*[1-9]", text.lower()):
                        return number
                    self.say(node, path, f"found {shown(text)}, which is too small to be read", "what is nothing is 0")
                case _:
                    message = f"found the tag {node.tag.replace(_TAG, '!!')}, expected plain values"
                    self.say(node, path, message, "remove the tag")
        except (ValueError, KeyError):
            self.say(node, path, f"found {shown(text)}, which is no {sort} that can be read")
        return None


def dotted(path: Path) -> str:
    """Return a path as people write it.

    Example:
        >>> dotted(("cohorts", 1, "where"))
        'cohorts[1].where'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _line(node: yaml.Node) -> int:
    return cast("int", node.start_mark.line) + 1


def _problem(file: str, line: int, message: str, hint: str = "") -> Problems:
    return Problems([Problem(file, line, "", message, hint)])


def _syntax_problem(file: str, text: str, error: yaml.MarkedYAMLError) -> Problems:
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else 0
    lines = text.split("\n")
    problem = str(error.problem or error.context or "cannot be read").replace("\\t", "\t")
    if "\t" in problem or (line < len(lines) and lines[line].lstrip(" ").startswith("\t")):
        return _problem(file, line + 1, "found a tab character, expected spaces", "indent with spaces")
    if "mapping values are not allowed" in problem:
        hint = "indent keys of one mapping alike, and quote text that holds a colon"
        return _problem(file, line + 1, "found a colon where no key can stand", hint)
    if "another document" in problem:
        return _problem(file, line + 1, "found a second document (---), expected one model a file")
    context = f"{error.context}: " if error.context else ""
    return _problem(file, line + 1, f"not YAML: {context}{problem}")


def fail(file: str, line: int, message: str, hint: str = "") -> NoReturn:
    """Raise one problem that no key is to blame for."""
    raise _problem(file, line, message, hint)


def is_text(plain: str) -> bool:
    """Return whether a word without quotes is read as text rather than as a number, a truth value or nothing.

    Example:
        >>> is_text("NO"), is_text("null"), is_text("1e-3")
        (True, False, False)
    """
    resolvers = _Loader.yaml_implicit_resolvers.get(plain[:1], [])
    return not any(pattern.match(plain) for _, pattern in resolvers)
