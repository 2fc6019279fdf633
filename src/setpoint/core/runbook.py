"""A runbook: what to check, in which order, what follows, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Answered = Literal["status", "diff", "cost", "outcomes", "route", "meter", "doctor"]
"""The questions that a check can ask."""


@dataclass(frozen=True, slots=True)
class RunbookCheck:
    """One thing to look at, and what is to be seen when it is well.

    Exactly one of `answer`, `query` and `command` says how to look.

    Attributes:
        name: What reports call it.
        answer: A question of Setpoint's about the model: its `verdict`, `headline`, and numbers by name.
        query: SQL over the model's tables from when the incident began; the columns of its first row.
        command: A program and its arguments: its `exit_code` and `output`.
        expect: A condition on that, which holds when it is well.
        otherwise: What it means when it does not.
    """

    name: str
    expect: str
    answer: Answered | Literal[""] = ""
    query: str = ""
    command: tuple[str, ...] = ()
    otherwise: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What follows from the checks.

    Attributes:
        failed: The checks that are not well; it holds when all of these are not. Empty holds always.
        verdict: What is to be done, such as `rollback`, `hotfix`, `ignore`, `wait`.
        said: Why, in a sentence.
    """

    failed: tuple[str, ...]
    verdict: str
    said: str


@dataclass(frozen=True, slots=True)
class Runbook:
    """A runbook.

    Attributes:
        name: What declarations call it.
        version: Rises with every change.
        title: What it is for.
        when: Kinds of findings, and names of guardrail metrics, that it is for.
        checks: In the order in which they are run.
        decide: The first rule that holds says what follows.
        actions: What a person can do, as commands.
        owner: Who keeps it; empty for the model's owner.
        text: Markdown for a person.
    """

    name: str
    version: int
    title: str
    when: tuple[str, ...]
    checks: tuple[RunbookCheck, ...]
    decide: tuple[Rule, ...] = ()
    actions: tuple[str, ...] = ()
    owner: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check saw.

    Attributes:
        name: The check's.
        is_well: Whether it saw what it expects; None when it could not be run.
        said: What it saw, or why it could not be run.
    """

    name: str
    is_well: bool | None
    said: str


def follows(runbook: Runbook, results: dict[str, CheckResult]) -> Rule | None:
    """Return the first rule that holds; None when none does.

    Example:
        >>> rule = Rule(("fresh",), "wait", "the source is late")
        >>> book = Runbook("late", 1, "", (), (), (rule,))
        >>> follows(book, {"fresh": CheckResult("fresh", False, "")}).verdict
        'wait'
    """
    failed = {name for name, one in results.items() if one.is_well is False}
    return next((rule for rule in runbook.decide if set(rule.failed) <= failed), None)
