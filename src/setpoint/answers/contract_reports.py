"""A checked contract for machines and for pull requests: JUnit's XML, and Markdown."""

from __future__ import annotations

from typing import cast
from xml.sax.saxutils import escape, quoteattr

from setpoint.answers.answer import Answer
from setpoint.core.verdict import Verdict

_ODD: dict[int, str] = dict.fromkeys([*(set(range(32)) - {9, 10, 13}), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)], "?")
"""What XML cannot hold, however it is escaped."""


def junit(answer: Answer) -> str:
    """Return a check as JUnit's XML, a test case a rule: broken ones failed, unknown ones are errors.

    Args:
        answer: What `check` answered.
    """
    rules = _rules(answer)
    failed = sum(rule["verdict"] == Verdict.BREACH for rule in rules)
    unknown = sum(rule["verdict"] == Verdict.UNKNOWN for rule in rules)
    name = _attribute(answer.model or "contract")
    head = f'<testsuite name={name} tests="{len(rules)}" failures="{failed}" errors="{unknown}" skipped="0">'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', head]
    for rule in rules:
        case = f"  <testcase classname={name} name={_attribute(str(rule['rule']))}"
        said = f"{rule['said']}{_such_as(rule)}"
        sort = {Verdict.BREACH: "failure", Verdict.UNKNOWN: "error"}.get(Verdict(str(rule["verdict"])))
        if sort:
            lines += [f"{case}>", f"    <{sort} message={_attribute(said)}/>", "  </testcase>"]
        elif rule["verdict"] == Verdict.WARNING or rule["broken_total"]:
            lines += [f"{case}>", f"    <system-out>{escape(said.translate(_ODD))}</system-out>", "  </testcase>"]
        else:
            lines.append(f"{case}/>")
    return "\n".join([*lines, "</testsuite>", ""])


def markdown(answer: Answer) -> str:
    """Return a check as Markdown: the headline, and the rules that a person should look at.

    Args:
        answer: What `check` answered.
    """
    lines = [f"**{answer.mark} {_cell(answer.headline)}**", ""]
    lines += [f"- {_cell(reason)}" for reason in (*answer.because, *(f"unknown: {one}" for one in answer.unknowns))]
    rules = [rule for rule in _rules(answer) if rule["verdict"] != Verdict.OK or rule["broken_total"]]
    if rules:
        lines += ["", "| rule | verdict | found |", "|---|---|---|"]
        for rule in rules:
            said = _cell(f"{rule['said']}{_such_as(rule)}")
            lines.append(f"| `{_cell(str(rule['rule']))}` | {rule['verdict']} | {said} |")
    return "\n".join([*lines, ""])


def _rules(answer: Answer) -> list[dict[str, object]]:
    table = answer.table("rules")
    return [cast("dict[str, object]", dict(zip(table.columns, row, strict=True))) for row in table.rows]


def _such_as(rule: dict[str, object]) -> str:
    return "" if rule["example"] is None else f", such as {rule['example']}"


def _attribute(text: str) -> str:
    return quoteattr(text.translate(_ODD))


def _cell(text: str) -> str:
    one_line = " ".join(text.split())
    return escape(one_line).replace("|", "\\|").replace("`", "'")
