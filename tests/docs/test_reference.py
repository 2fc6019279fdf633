"""The pages of docs/reference/ say what the code says, and every link in the documents leads somewhere."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

import setpoint
from setpoint import answers

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
_FENCED = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)


@pytest.fixture(scope="module")
def generated() -> Mapping[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        return cast("Mapping[str, str]", importlib.import_module("generate").pages())


def test_the_reference_is_what_the_code_says(generated: Mapping[str, str]) -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")}
    assert sorted(committed) == sorted(generated)
    stale = [name for name, text in generated.items() if committed[name] != text]
    assert stale == [], "run `python docs/generate.py`"


def test_every_public_name_is_in_the_reference(generated: Mapping[str, str]) -> None:
    text = generated["python.md"]
    assert [name for name in setpoint.__all__ if f"\n## {name}\n" not in text] == []


def test_every_command_has_help_in_the_reference(generated: Mapping[str, str]) -> None:
    text = generated["cli.md"]
    assert re.findall(r"^\|.*\|\s*\|$", text.split("## ", 1)[0], re.MULTILINE) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} does not exist"
        if anchor and found.suffix == ".md":
            assert anchor in _anchors(found), f"{target}: no such heading"


def _anchors(page: Path) -> set[str]:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


def test_every_column_of_an_answer_is_in_the_reference(generated: Mapping[str, str]) -> None:
    text = generated["answers.md"]
    for found in pkgutil.iter_modules(answers.__path__):
        module = importlib.import_module(f"{answers.__name__}.{found.name}")
        for name, columns in vars(module).items():
            if name.endswith("COLUMNS") and not name.startswith("_"):
                missing = [column for column in columns if f"`{column}`" not in text]
                assert not missing, f"{found.name}.{name}: list it in docs/pages/answer_tables.py"
