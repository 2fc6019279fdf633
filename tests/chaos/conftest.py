"""A controller that is killed on the way."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ACTOR = Path(__file__).with_name("controller_actor.py")
Actor = Callable[[str, Path], int]


@pytest.fixture(scope="module")
def actor() -> Iterator[Actor]:
    """Give what does a controller's work on a store, is killed at a place on the way, and returns by which signal."""
    with subprocess.Popen([sys.executable, str(ACTOR)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def work(place: str, folder: Path) -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{place} {folder}\n".encode())
            process.stdin.flush()
            return int(process.stdout.readline())

        yield work
