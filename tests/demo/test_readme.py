"""README tells of the replays what they print: every number of its table stands in a report of a whole run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.commands import setpoint
from tests.demo.readme import README, strangers
from tests.demo.real_posts import REAL

from setpoint.demo.posts import FILE


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not (REAL / FILE).exists(), reason="the e-mails are not on this machine")
def test_the_table_of_replays_has_only_numbers_that_they_print(tmp_path: Path) -> None:
    # That of lead scoring is in `test_lead_scoring.py`, where more is asked of the same run.
    environment = {"SETPOINT_DATA": str(REAL)}
    done = setpoint("demo", "moderation", "--folder", "replay", cwd=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    assert strangers("moderation", done.stdout) == set()


def test_make_demo_ends_with_one_line_of_each_replay() -> None:
    recipe = (README.parent / "Makefile").read_text().partition("\ndemo:")[2].partition("\n\n")[0]
    typed = [line.split("setpoint ")[1] for line in recipe.splitlines() if "setpoint " in line]
    assert typed == ["demo", "demo lead-scoring --brief", "demo moderation --brief"]
