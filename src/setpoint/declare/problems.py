"""What is wrong with a declaration: where, what was found, what was expected, what was probably meant."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from setpoint.core.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST_SHOWN = 60
_MOST_LISTED = 12


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that does not hold.

    Attributes:
        file: As the reader was given it.
        line: Counted from 1; 0 when the whole file is meant.
        key: Dotted, such as `features.delay.kind`; empty when no key is meant.
        message: What was found and what was expected.
        hint: What to do next; may be empty.
    """

    file: str
    line: int
    key: str
    message: str
    hint: str = ""

    @property
    def text(self) -> str:
        """The problem without its hint, led by its place as editors jump to it."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, self.message) if part)


class Problems(Exception):
    """Problems on their way to one DeclarationError."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(*problems)
        self.problems = tuple(problems)


def declaration_error(problems: Iterable[Problem]) -> DeclarationError:
    """Return one error that tells all problems, in the order of their places, each once.

    Example:
        >>> print(declaration_error([Problem("m.yaml", 3, "keep", "found 2, expected at most 1")]))
        m.yaml:3: keep: found 2, expected at most 1
    """
    told = sorted(set(problems))
    if len(told) == 1:
        return DeclarationError(told[0].text, hint=told[0].hint)
    parts = [f"{problem.text}{f' ({problem.hint})' if problem.hint else ''}" for problem in told]
    lines = "\n".join("  " + part.replace("\n", "\n  ") for part in parts)
    hints = list(dict.fromkeys(problem.hint for problem in told if problem.hint))
    return DeclarationError(f"{len(told)} problems\n{lines}", hint=hints[0] if len(hints) == 1 else "")


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return the known word that looks most like this one, as a hint; empty when none does.

    Example:
        >>> did_you_mean("Ower", ["owner", "keep"])
        'did you mean owner?'
    """
    folded = {one.casefold(): one for one in known}
    close = get_close_matches(str(word).casefold(), list(folded), n=1, cutoff=0.6)
    return f"did you mean {folded[close[0]]}?" if close else ""


def listed(words: Iterable[str]) -> str:
    """Return words as a list to read.

    Example:
        >>> listed(["keep", "hash", "drop"])
        'keep, hash or drop'
    """
    all_words = list(words)
    if len(all_words) > _MOST_LISTED:
        return f"{', '.join(all_words[:_MOST_LISTED])} ..."
    return " or ".join(part for part in (", ".join(all_words[:-1]), all_words[-1]) if part)


def shown(value: object) -> str:
    """Return a value as an error shows it: as YAML spells it, and never long.

    Example:
        >>> shown(True), shown({"a": 1}), shown("x")
        ('true', 'a mapping', "'x'")
    """
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list():
            return "a list" if value else "an empty list"
        case _:
            text = repr(value)
            return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."
