"""How a runbook is spelled: YAML for what runs, Markdown beside it for people; seven are shipped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, ValidationError, model_validator

from setpoint.core.runbook import Answered, Rule, Runbook, RunbookCheck
from setpoint.declare.explain import explain
from setpoint.declare.parts import Part
from setpoint.declare.problems import Problem, Problems, did_you_mean
from setpoint.declare.source import read_source, read_text
from setpoint.declare.spellings import Condition, Word, refuse

if TYPE_CHECKING:
    from setpoint.declare.source import Source

FOLDER = "runbooks"


class CheckDeclaration(Part):
    """One thing to look at, and what is to be seen when it is well."""

    name: Word
    """What reports call it."""
    answer: Answered | None = None
    """A question about the model: its verdict, headline, and numbers by name."""
    query: str = ""
    """SQL over predictions, outcomes, calls, tallies and changes since the incident began."""
    command: list[Word] = Field(default_factory=list[str])
    """A program and its arguments: its exit_code and output."""
    expect: Condition
    """A condition that holds when it is well, such as: verdict = 'ok'."""
    otherwise: str = ""
    """What it means when it does not."""

    @model_validator(mode="after")
    def _looks_somewhere(self) -> Self:
        told = [name for name in ("answer", "query", "command") if getattr(self, name)]
        if len(told) != 1:
            refuse(f"found {' and '.join(told) or 'none of answer, query, command'}, expected one of them", whole=True)
        return self

    def to_core(self) -> RunbookCheck:
        """Return the core noun."""
        return RunbookCheck(self.name, self.expect, self.answer or "", self.query, tuple(self.command), self.otherwise)


class RuleDeclaration(Part):
    """What follows from the checks."""

    failed: list[Word] = Field(default_factory=list[str])
    """The checks that are not well; without any it always holds."""
    verdict: Word
    """What is to be done: rollback, hotfix, ignore, wait ..."""
    said: Word
    """Why, in a sentence."""


class RunbookDeclaration(Part):
    """What to check, in which order, what follows, and what to do."""

    version: Annotated[int, Field(ge=1)]
    """Rises with every change."""
    title: Word
    """What it is for."""
    when: Annotated[list[Word], Field(min_length=1)]
    """Kinds of findings, and metrics of guardrails, that it is for."""
    checks: Annotated[list[CheckDeclaration], Field(min_length=1)]
    """In the order in which they are run."""
    decide: list[RuleDeclaration] = Field(default_factory=list[RuleDeclaration])
    """The first rule that holds says what follows."""
    actions: list[Word] = Field(default_factory=list[str])
    """What a person can do, as commands."""
    owner: str = ""
    """Who keeps it."""

    @model_validator(mode="after")
    def _rules_are_on_checks(self) -> Self:
        known = {check.name for check in self.checks}
        for rule in self.decide:
            strangers = [name for name in rule.failed if name not in known]
            if strangers:
                refuse(
                    f"found a rule on {strangers[0]}, which is no check", f"known: {', '.join(known)}", at=("decide",)
                )
        return self

    def to_core(self, name: str, text: str) -> Runbook:
        """Return the core noun under a name, with its Markdown."""
        return Runbook(
            name,
            self.version,
            self.title,
            tuple(self.when),
            tuple(check.to_core() for check in self.checks),
            tuple(Rule(tuple(rule.failed), rule.verdict, rule.said) for rule in self.decide),
            tuple(self.actions),
            self.owner,
            text,
        )


def shipped_runbooks() -> dict[str, Runbook]:
    """Return the runbooks that come with Setpoint, by name.

    Example:
        >>> sorted(shipped_runbooks())[:3]
        ['cost-rose', 'inputs-changed', 'latency-rose']
    """
    return dict(_shipped())


@cache
def _shipped() -> dict[str, Runbook]:
    found: dict[str, Runbook] = {}
    for file in resources.files("setpoint.declare").joinpath(FOLDER).iterdir():
        name, dot, ending = file.name.rpartition(".")
        if dot and ending == "yaml":
            found[name] = _runbook(read_text(file.read_text(encoding="utf-8"), file.name), name, "")
    return found


def load_runbooks(folder: Path) -> dict[str, Runbook]:
    """Return the runbooks of a project's own, in its `runbooks` folder, by name.

    Args:
        folder: Where `setpoint.yaml` is.

    Raises:
        Problems: One does not hold.
    """
    found: dict[str, Runbook] = {}
    problems: list[Problem] = []
    for path in sorted((folder / FOLDER).glob("*.yaml")):
        beside = path.with_suffix(".md")
        text = beside.read_text(encoding="utf-8") if beside.exists() else ""
        try:
            found[path.stem] = _runbook(read_source(path), path.stem, text)
        except Problems as more:
            problems += more.problems
    if problems:
        raise Problems(problems)
    return found


def unknown_runbook(name: str, own: Mapping[str, Runbook]) -> tuple[str, str] | None:
    """Return what is wrong with the name of a runbook, and what to do; None when there is one, or none is named."""
    if not name or name in own:
        return None
    known = {*own, *shipped_runbooks()}
    if name in known:
        return None
    hint = did_you_mean(name, known) or f"write {FOLDER}/{name}.yaml, or name one of {', '.join(sorted(known))}"
    return f"found {name}, expected the name of a runbook", hint


def _runbook(source: Source, name: str, text: str) -> Runbook:
    try:
        told = RunbookDeclaration.model_validate(source.data)
    except ValidationError as error:
        raise Problems(explain(error, RunbookDeclaration, source)) from None
    return told.to_core(name, text)
