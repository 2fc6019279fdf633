r"""Patterns that mean the same in Python and in SQL: the part of regular expressions that both know.

Python and RE2, which DuckDB uses, differ where nobody looks: `$` before a line break, `\d` of other scripts,
`\s`, `{,3}`. A pattern is read once, what they do not share is refused, and the rest is spelled out. As in JSON
Schema and ODCS a pattern may match anywhere: write `^...$` for the whole text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from setpoint.core.errors import UsageError

_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r" \t\n\r\f\v"}
_KEPT = frozenset("tnrfvbB")
_REPEAT = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")
_MOST = 1000  # RE2 repeats no more often
_END = {"python": r"\Z", "re2": r"\z"}


@lru_cache(maxsize=512)
def matcher(pattern: str) -> re.Pattern[str]:
    r"""Return a pattern for `search` in Python.

    Raises:
        UsageError: It is no pattern, or not one that SQL understands alike.

    Example:
        >>> bool(matcher(r"^\d+$").search("12")), bool(matcher(r"^\d+$").search("12\n"))
        (True, False)
    """
    try:
        return re.compile(_translated(pattern, "python"), re.ASCII)
    except (re.error, OverflowError) as error:
        msg = f"{pattern!r} is no pattern: {error}"
        raise UsageError(msg) from error


def pattern_for_sql(pattern: str) -> str:
    r"""Return a pattern for DuckDB's `regexp_matches`.

    Example:
        >>> pattern_for_sql("^A.$")
        '^A[^\\n]\\z'
    """
    return _translated(pattern, "re2")


def _translated(pattern: str, dialect: str) -> str:
    out: list[str] = []
    at = 0
    can_repeat = False
    while at < len(pattern):
        letter = pattern[at]
        if letter == "\\":
            text, at = _escape(pattern, at, inside=False)
        elif letter == "[":
            text, at = _class(pattern, at)
        elif letter == "(":
            text, at = _group(pattern, at)
        elif letter in "*+?" or (letter == "{" and _REPEAT.match(pattern, at)):
            if not can_repeat:
                _refuse(pattern, f"nothing to repeat before {letter}")
            text, at = _repeat(pattern, at)
        else:
            if letter == "{":
                _refuse(pattern, "{ that repeats nothing")
            text, at = {"$": _END[dialect], ".": r"[^\n]"}.get(letter, letter), at + 1
        can_repeat = letter not in "(|^$*+?{"
        out.append(text)
    return "".join(out)


def _refuse(pattern: str, what: str) -> None:
    msg = f"{pattern!r} is no pattern that Python and SQL read alike: {what}"
    raise UsageError(msg, hint=r"known: . [...] ( | ) * + ? {2,5} ^ $ \d \w \s \b, and a backslash before punctuation")


def _escape(pattern: str, at: int, *, inside: bool) -> tuple[str, int]:
    letter = pattern[at + 1 : at + 2]
    if letter in _CLASSES:
        return (_CLASSES[letter] if inside else f"[{_CLASSES[letter]}]"), at + 2
    if letter.lower() in _CLASSES and not inside and letter:
        return f"[^{_CLASSES[letter.lower()]}]", at + 2
    is_known = letter in _KEPT and not (inside and letter in "bB")
    if not letter or not (is_known or (letter.isascii() and not letter.isalnum() and letter != "_")):
        _refuse(pattern, f"\\{letter}")
    return pattern[at : at + 2], at + 2


def _class(pattern: str, at: int) -> tuple[str, int]:
    out = ["["]
    at += 1
    if pattern[at : at + 1] == "^":
        out.append("^")
        at += 1
    first = True
    while at < len(pattern) and (first or pattern[at] != "]"):
        letter = pattern[at]
        if letter == "\\":
            text, at = _escape(pattern, at, inside=True)
        else:
            text, at = (f"\\{letter}" if letter in "[]&~|" else letter), at + 1
        out.append(text)
        first = False
    if at >= len(pattern):
        _refuse(pattern, "[ without ]")
    return "".join([*out, "]"]), at + 1


def _group(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("(?:", at):
        return "(?:", at + 3
    if pattern.startswith("(?", at):
        _refuse(pattern, pattern[at : at + 4])
    return "(?:", at + 1


def _repeat(pattern: str, at: int) -> tuple[str, int]:
    found = _REPEAT.match(pattern, at)
    if found and max(int(found[1]), int(found[3] or 0)) > _MOST:
        _refuse(pattern, f"more than {_MOST:,} times")
    end = found.end() if found else at + 1
    if pattern[end : end + 1] == "?":
        end += 1
    if pattern[end : end + 1] in {"*", "+", "?"} or _REPEAT.match(pattern, end):
        _refuse(pattern, pattern[at : end + 1])
    return pattern[at:end], end
