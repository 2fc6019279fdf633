"""What README and docs/ show really happens: every block runs, and what it shows is compared.

CONTRIBUTING.md, "Documentation that runs", says how to write one.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.commands import setpoint

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
WORDS = ("git clone", "cd", "make", "pip install", "uv", "python3 -m venv", "source")  # set up a machine
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

_FENCE = re.compile(r"(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *(?P<language>[\w-]*)(?P<rest>.*)")
_NOT_RUN = re.compile(r"\s*<!-- *not run:(?P<reason>.*?)-->\s*")
_TITLE = re.compile(r'title="(?P<name>[^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block; `reason` is why it is not run, None for one that is."""

    line: int
    language: str
    title: str
    text: str
    reason: str | None

    @property
    def steps(self) -> list[tuple[str, list[str]]]:
        """The commands of a console block, each with the lines that are shown below it."""
        steps: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if steps and steps[-1][0].endswith("\\"):
                steps[-1] = (steps[-1][0][:-1] + line.removeprefix(">").strip(), [])
            elif line.startswith("$ "):
                steps.append((line[2:].strip(), []))
            elif steps:
                steps[-1][1].append(line)
            else:
                steps.append((line, []))  # no command at all: refused when it is run
        return steps


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown text."""
    lines = enumerate(text.splitlines(), 1)
    reason: str | None = None
    for number, line in lines:
        fence = _FENCE.fullmatch(line)
        if fence is None:
            said = _NOT_RUN.fullmatch(line)
            if said is not None:
                reason = said["reason"].strip()
            elif line.strip():
                reason = None
            continue
        inside: list[str] = []
        for _, inner in lines:
            if inner.strip().startswith(fence["ticks"]) and not inner.strip().strip(fence["ticks"][0]):
                break
            inside.append(inner.removeprefix(fence["indent"]))
        title = _TITLE.search(fence["rest"])
        yield Block(number, fence["language"], title["name"] if title else "", "\n".join(inside) + "\n", reason)
        reason = None


def same(expected: str, found: str) -> bool:
    """Whether a text is what was expected, where `...` stands for any text, alone on a line for any lines."""
    pattern = ""
    for line in expected.rstrip().splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("...")) + r"\n"
    lines = "".join(line.rstrip() + "\n" for line in found.rstrip().splitlines())
    return re.fullmatch(pattern, lines) is not None


class Reader:
    """Does what a document says, in an empty folder."""

    def __init__(self, document: str, folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.printed = io.StringIO()
        self.exit_code = 0

    def follow(self, block: Block) -> None:
        if block.reason is not None:
            return
        if block.title:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            self._python(block)
        elif block.language == "output":
            found = self.printed.getvalue()
            assert same(block.text, found), f"{self._where(block)} expected:\n{block.text}\nprinted:\n{found}"
            self.printed = io.StringIO()
        elif block.language == "console":
            for command, shown in block.steps:
                self._console(block, command, "\n".join(shown))

    def _where(self, block: Block) -> str:
        return f"{self.document}:{block.line}"

    def _python(self, block: Block) -> None:
        if ">>> " in block.text:
            test = doctest.DocTestParser().get_doctest(block.text, self.names, self.document, self.document, block.line)
            report = io.StringIO()
            runner = doctest.DocTestRunner(optionflags=OPTIONS)
            result = runner.run(test, out=report.write, clear_globs=False)
            assert not result.failed, f"{self._where(block)}\n{report.getvalue()}"
            self.names |= test.globs
            return
        code = compile("\n" * block.line + block.text, str(ROOT / self.document), "exec", dont_inherit=True)
        with contextlib.redirect_stdout(self.printed):
            exec(code, self.names)  # noqa: S102 — running the documentation is the test

    def _console(self, block: Block, command: str, shown: str) -> None:
        where = f"{self._where(block)} $ {command}"
        if command == "echo $?":
            assert shown.strip() == str(self.exit_code), f"{where} was {self.exit_code}"
            return
        words = shlex.split(command)
        assert words[:1] == ["setpoint"], f"{where}: only setpoint runs here; say `<!-- not run: REASON -->`"
        assert not {"|", ">", "<", "&&", ";"} & set(words), f"{where}: there is no shell here"
        done = self._run(*words[1:])
        self.exit_code = done.returncode
        assert "Traceback (most recent call last)" not in done.stdout, f"{where} failed:\n{done.stdout}"
        assert done.returncode in {0, 1, 3, 4} or shown.strip(), f"{where} failed:\n{done.stdout}"
        if shown.strip():
            assert same(shown, done.stdout), f"{where} expected:\n{shown}\nprinted:\n{done.stdout}"

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command as it is installed for the first page that people read, and without a process of its own."""
        if self.document != "README.md":
            return setpoint(*words, cwd=self.folder, environment=FIXED, is_one_stream=True)
        return subprocess.run(
            [str(Path(sys.executable).with_name("setpoint")), *words],
            cwd=self.folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=250,
        )


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SETPOINT_")}
    return kept | FIXED


FIXED = {
    "COLUMNS": "110",
    "NO_COLOR": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
    "TERM": "dumb",
    "TZ": "UTC",
}


def _read(document: str) -> list[Block]:
    return list(blocks((ROOT / document).read_text(encoding="utf-8")))


NOT_RUN = [
    pytest.param(document, block, id=f"{document}:{block.line}")
    for document in DOCUMENTS
    if (ROOT / document).exists()
    for block in _read(document)
    if block.reason is not None
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_does_what_it_says(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reader = Reader(document, tmp_path)
    for block in _read(document):
        reader.follow(block)


@pytest.mark.parametrize(("document", "block"), NOT_RUN)
def test_a_block_that_is_not_run_says_why(document: str, block: Block) -> None:
    assert block.reason
    assert block.language == "console"
    for command, _ in block.steps:
        assert re.match(rf"(?:{'|'.join(WORDS)})(?: |$)", command), f"{command} could be run"
    pytest.skip(f"{document}:{block.line} not run: {block.reason}")  # so that the summary lists it


def test_blocks_are_found_with_their_reasons_and_titles() -> None:
    text = """<!-- not run: sets up -->

```console
$ make demo
```
````yaml title="model.yaml"
a: |
  ```
````
```python
1
```
"""
    found = [(b.line, b.language, b.title, b.text, b.reason) for b in blocks(text)]
    assert found == [
        (3, "console", "", "$ make demo\n", "sets up"),
        (6, "yaml", "model.yaml", "a: |\n  ```\n", None),
        (10, "python", "", "1\n", None),
    ]


def test_a_long_command_goes_on_in_the_next_line() -> None:
    block = Block(1, "console", "", "$ setpoint read \\\n    file\nshown\n\n$ echo $?\n0\n", None)
    assert block.steps == [("setpoint read file", ["shown", ""]), ("echo $?", ["0"])]


@pytest.mark.parametrize(
    ("expected", "found", "is_same"),
    [
        ("a\nb", "a\nb  \n\n", True),
        ("a ... c", "a bb c", True),
        ("a\n...\nz", "a\nz", True),
        ("a\n...\nz", "a\nb\nc\nz", True),
        ("...", "", True),
        ("a.c", "abc", False),
        ("a", "a\nb", False),
        ("a\n...", "b", False),
    ],
)
def test_dots_stand_for_any_text(expected: str, found: str, is_same: bool) -> None:  # noqa: FBT001 — a column
    assert same(expected, found) is is_same


def test_a_wrong_output_and_a_wrong_command_are_refused(tmp_path: Path) -> None:
    reader = Reader("page.md", tmp_path)
    reader.follow(Block(1, "python", "", "print(1 + 1)\n", None))
    with pytest.raises(AssertionError, match=r"page\.md:5 expected"):
        reader.follow(Block(5, "output", "", "3\n", None))
    with pytest.raises(AssertionError, match="only setpoint runs here"):
        reader.follow(Block(9, "console", "", "$ curl example.org\n", None))
    with pytest.raises(AssertionError, match="Expected:"):
        reader.follow(Block(12, "python", "", ">>> 1 + 1\n3\n", None))
