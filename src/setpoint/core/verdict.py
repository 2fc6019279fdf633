"""The four answers to "is it fine?", and the exit code of each."""

from __future__ import annotations

from enum import StrEnum

EXIT_OK = 0
EXIT_BREACH = 1
EXIT_USAGE = 2
EXIT_NOT_ENOUGH = 3
EXIT_SILENT = 4
EXIT_INTERNAL = 5


class Verdict(StrEnum):
    """`unknown` is never shown as fine: it always says what is missing.

    Example:
        >>> worst([Verdict.OK, Verdict.UNKNOWN, Verdict.WARNING])
        <Verdict.UNKNOWN: 'unknown'>
    """

    OK = "ok"
    WARNING = "warning"
    UNKNOWN = "unknown"
    BREACH = "breach"


_HARM = list(Verdict)


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict that deserves attention first; `unknown` for none at all."""
    return max(verdicts, key=_HARM.index, default=Verdict.UNKNOWN)


def exit_code(verdict: Verdict, *, silent: bool = False) -> int:
    """Return the exit code of a verdict; `silent` is an unknown whose source has stopped."""
    if verdict is Verdict.BREACH:
        return EXIT_BREACH
    if verdict is Verdict.UNKNOWN:
        return EXIT_SILENT if silent else EXIT_NOT_ENOUGH
    return EXIT_OK
