"""The pages of docs/reference/ say what the code says, and every link in the documents leads somewhere."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import sys
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


def _generated() -> Mapping[str, str]:
    spec = importlib.util.spec_from_file_location("setpoint_docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return cast("Mapping[str, str]", module.pages())


def test_the_reference_is_what_the_code_says() -> None:
    made = _generated()
    committed = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")}
    assert sorted(committed) == sorted(made)
    stale = [name for name, text in made.items() if committed[name] != text]
    assert stale == [], "run `python docs/generate.py`"


def test_every_public_name_is_in_the_reference() -> None:
    text = _generated()["python.md"]
    assert [name for name in setpoint.__all__ if f"\n## {name}\n" not in text] == []


def test_every_command_has_help_in_the_reference() -> None:
    text = _generated()["cli.md"]
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


def test_every_column_of_an_answer_is_in_the_reference() -> None:
    text = _generated()["answers.md"]
    for found in pkgutil.iter_modules(answers.__path__):
        module = importlib.import_module(f"{answers.__name__}.{found.name}")
        for name, columns in vars(module).items():
            if name.endswith("COLUMNS") and not name.startswith("_"):
                missing = [column for column in columns if f"`{column}`" not in text]
                assert not missing, f"{found.name}.{name}: list it in docs/generate.py"
