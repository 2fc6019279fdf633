"""The replay of a moderation model that over-flags: an upstream pipeline changes, the model does not.

Real e-mails stand in for posts. They come from three sources, each through its own normaliser; the one of the partner
feed, a tenth of the posts, gets a new version. Everything is done with what a user has: a project of files, an
`Endpoint`, and the commands `clock`, `apply`, `tick`, `incident list`, `incident show` and `why`. Only time is made:
the store's clock is a replay, and no command moves that of an endpoint that is open, so `recorder.layout.clock` is set
before each of some thousand posts, as the tutorial "First answers" does.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from setpoint.core.clock import DAY, duration_text, moment, parse_time, text
from setpoint.core.metric import counted, number
from setpoint.demo.commands import answered, new_folder, typed
from setpoint.demo.pages import Pages, paged
from setpoint.demo.posts import Post, load, without_tags
from setpoint.demo.report import Report, usual_rules
from setpoint.predictions.endpoint import Endpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from setpoint.store.layout import ReplayClock

MODEL = "moderation"
Fault = Literal["upper", "tags", "none"]
FAULTS: Mapping[Fault, str] = {
    "upper": "the normaliser of a source with a tenth of the posts starts to upper-case",
    "tags": "the normalisers of all sources stop removing HTML",
    "none": "nothing goes wrong",
}
SHARES = {"web": 0.6, "app": 0.3, "partner": 0.1}
_BROKEN = "partner"
_FIRST_DAY = "2026-03-02"
_LENGTH = 1500
_A_DAY, _TICKED = 150, 24
_OUTCOME_AFTER = 2 * DAY
_THRESHOLD = 0.5

_PROJECT = """
store: ./store
on_call:
  moderators: {{address: {address}}}
"""
_DECLARED = """
name: moderation
reference: {healthy}
task: binary
owner: {{team: trust-and-safety, on_call: moderators}}
business_metric: {{name: posts_wrongly_removed, unit: posts, better: lower}}
features:
  text: {{kind: text, policy: keep}}
cohorts: [source]
route:
  strategy: fallback
  versions: {{v7: 1}}
  shadow: {{v6: 1}}
  fallback: [plain]
guardrails:
- name: over-flagging
  metric: flagged_ratio
  above: 0.55
  over: 3d
  cohort: source
  actions: [fall_back, page]
  mode: act
- name: other-words
  finding: input_drift
  actions: [ticket]
  mode: act
runbook: over-flagging
"""


@dataclass(frozen=True)
class Versions:
    """What answers.

    Attributes:
        live: The model in force, fitted on words as they are spelled.
        previous: The version before it, fitted likewise on fewer posts.
        plain: What is fallen back to: it knows fewer words, and no difference between cases.
    """

    live: Pipeline
    previous: Pipeline
    plain: Pipeline


@dataclass(frozen=True)
class Arrived:
    """A post as it came to be moderated.

    Attributes:
        at: When, microseconds.
        is_spam: Whether it was, as people said later.
        is_changed: Whether it came through the pipeline that changed.
        text: As the model saw it.
        unchanged: As it would have seen it through the pipelines of before.
        is_flagged: What was answered, by whichever version.
    """

    at: int
    is_spam: bool
    is_changed: bool
    text: str
    unchanged: str
    is_flagged: bool


@dataclass
class Replay:
    """What became of a replay.

    Attributes:
        arrived: Every post.
        begun: The place of the first post after which something was wrong.
        seen: The place of the post after which an incident was open; None while there was none.
        incident: That: its row of `setpoint incident list`.
        timeline: What happened in it: the rows of `setpoint incident show`.
        why: What it was put down to: the answer of `setpoint why`.
        pages: What the webhook was told.
    """

    arrived: list[Arrived] = field(default_factory=list[Arrived])
    begun: int = 0
    seen: int | None = None
    incident: dict[str, Any] | None = None
    timeline: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    why: dict[str, Any] = field(default_factory=dict[str, Any])
    pages: list[dict[str, object]] = field(default_factory=list[dict[str, object]])

    @property
    def is_acted_on(self) -> bool:
        """Whether the fallback answers: from then on a look a day will do."""
        return any("fall_back" in event["said"] for event in self.timeline)


def run(
    folder: Path,
    *,
    fault: Fault = "upper",
    trained: int = 2500,
    days: int = 15,
    most: int = 500,
    looks: tuple[int, int] = (_A_DAY, _TICKED),
) -> Report:
    """Replay the incident, and return what it came to; the project and its store stay for further questions.

    Args:
        folder: Where the project is made; one of an earlier replay is replaced.
        fault: What goes wrong.
        trained: Posts to fit the versions on.
        days: Healthy days before it.
        most: Posts after it began, at most.
        looks: Posts between two looks of the loop, before it began and since.

    Raises:
        UsageError: The posts cannot be had, or there is something else in the folder.
    """
    import numpy as np  # noqa: PLC0415 — the demo's extra brings it

    posts = load()
    new_folder(folder, MODEL)
    drawn = np.random.default_rng(7)
    mixed = [posts[n] for n in drawn.permutation(len(posts))]
    sources = [str(one) for one in drawn.choice(list(SHARES), size=len(mixed), p=list(SHARES.values()))]
    _say(f"fit three versions on {trained:,} posts")
    versions = fitted(mixed[:trained])
    live = list(zip(mixed, sources, strict=True))[trained : trained + days * _A_DAY + most]
    with paged() as pages:
        _project(folder, pages, days)
        _say(f"moderate {len(live):,} posts, {_A_DAY} a day, setpoint tick every few hours until it falls back")
        replay = _replayed(folder, versions, live, fault, days * _A_DAY, looks)
        replay.pages = pages.bodies
    return _reported(replay, versions, fault)


def fitted(posts: Sequence[Post]) -> Versions:
    """Fit the three versions on posts as readers see them."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 — the demo's extra
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 — as above
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 — as above

    texts, labels = [without_tags(post.text)[:_LENGTH] for post in posts], [post.is_spam for post in posts]

    def fit(count: int, words: TfidfVectorizer) -> Pipeline:
        return make_pipeline(words, LogisticRegression(C=10, max_iter=1000)).fit(texts[:count], labels[:count])

    return Versions(
        fit(len(posts), TfidfVectorizer(lowercase=False)),
        fit(len(posts) * 3 // 5, TfidfVectorizer(lowercase=False, min_df=2)),
        fit(len(posts), TfidfVectorizer(min_df=3, max_features=3000)),
    )


def normalised(post: Post, source: str, fault: Fault) -> tuple[str, str]:
    """Return what a source's normaliser makes of a post, and the version of that pipeline."""
    if fault == "tags":
        return post.text[:_LENGTH], f"{source}-normaliser-8"
    if fault == "upper" and source == _BROKEN:
        return without_tags(post.text)[:_LENGTH].upper(), f"{source}-normaliser-8"
    return without_tags(post.text)[:_LENGTH], f"{source}-normaliser-7"


def _project(folder: Path, pages: Pages, days: int) -> None:
    """Write the project's files, and put them in force."""
    start = parse_time(_FIRST_DAY, "UTC")
    healthy = f"{_FIRST_DAY}..{moment(start + days * DAY).date().isoformat()}"
    (folder / "setpoint.yaml").write_text(_PROJECT.format(address=pages.address))
    (folder / "models" / f"{MODEL}.yaml").write_text(_DECLARED.format(healthy=healthy))
    typed(folder, "clock", _FIRST_DAY)
    typed(folder, "apply")


def _replayed(
    folder: Path,
    versions: Versions,
    live: Sequence[tuple[Post, str]],
    fault: Fault,
    begun: int,
    looks: tuple[int, int],
) -> Replay:
    """Let posts come in one after another, their outcomes two days later, and run the loop as a service would."""
    waiting: deque[tuple[int, Post]] = deque()
    answering = {
        "v7": _answering(versions.live),
        "v6": _answering(versions.previous),
        "plain": _answering(versions.plain),
    }
    with closing(Endpoint(folder / "store", MODEL, answering)) as endpoint:
        clock, replay = cast("ReplayClock", endpoint.recorder.layout.clock), Replay(begun=begun)
        step, start = DAY // _A_DAY, clock.now()
        for n, (post, source) in enumerate(live):
            now = start + n * step
            clock.set(now)
            while waiting and waiting[0][0] <= now:
                at, old = waiting.popleft()
                endpoint.recorder.outcome(old.is_spam, key=old.post_id, observed_at=at)
            seen_text, pipeline = normalised(post, source, fault if n >= begun else "none")
            reply = endpoint.predict(
                {"text": seen_text}, key=post.post_id, unit=post.post_id, source=source, feature_version=pipeline
            )
            endpoint.shadows.wait()  # a replay has no time between posts: copies would find the queue full
            is_changed = pipeline.endswith("8")
            unchanged, _ = normalised(post, source, "none")
            replay.arrived.append(Arrived(now, post.is_spam, is_changed, seen_text, unchanged, bool(reply.prediction)))
            waiting.append((now + _OUTCOME_AFTER, post))
            if (n + 1) % looks[n >= begun and not replay.is_acted_on] == 0:
                _look(folder, endpoint, replay, n)
        _look(folder, endpoint, replay, len(live) - 1)
    return replay


def _look(folder: Path, endpoint: Endpoint, replay: Replay, n: int) -> None:
    """Let it be the time that the endpoint has reached, run the loop, and ask whether something is wrong."""
    endpoint.recorder.flush(60)
    typed(folder, "clock", moment(endpoint.recorder.layout.clock.now()).isoformat(), is_shown=False)
    typed(folder, "tick", is_shown=False)
    known = answered(folder, "incident", "list", is_shown=False)["tables"]["incidents"]
    if not known:
        return
    replay.incident = first = min(known, key=lambda one: one["incident"])
    replay.seen = n if replay.seen is None else replay.seen
    shown = answered(folder, "incident", "show", first["incident"], is_shown=False)
    replay.timeline = shown["tables"]["timeline"]
    raised = [event["at"] for event in replay.timeline if event["kind"] == "raised"]
    if not replay.why or shown["as_of_micros"] in raised:
        replay.why = answered(folder, "why", first["incident"])


def _answering(model: Pipeline) -> Callable[[Mapping[str, object]], dict[str, object]]:
    def answer(inputs: Mapping[str, object]) -> dict[str, object]:
        score = float(model.predict_proba([inputs["text"]])[0, 1])
        return {"score": score, "prediction": score >= _THRESHOLD}

    return answer


def _reported(replay: Replay, versions: Versions, fault: Fault) -> Report:
    """Return what a replay came to, beside what the usual rules say of the same posts."""
    import numpy as np  # noqa: PLC0415 — the demo's extra brings it

    scores = versions.live.predict_proba([one.text for one in replay.arrived])[:, 1]
    is_spam = np.array([one.is_spam for one in replay.arrived])
    since = np.arange(len(scores)) >= replay.begun
    rules = usual_rules(scores[~since], scores[since], outcomes_before=is_spam[~since], outcomes_since=is_spam[since])
    if replay.incident is None or replay.seen is None:
        pages = counted(len(replay.pages), "page")
        began = "" if fault == "none" else text(replay.arrived[replay.begun].at, "UTC")
        return Report(MODEL, FAULTS[fault], began, decided=f"no incident, {pages}, no rollback", rules=rules)
    incident, events = replay.incident, replay.timeline
    first = replay.arrived[replay.begun].at
    is_early = incident["started_at"] < first - DAY
    waited = duration_text(incident["opened_at"] - first)
    because = [event["said"] for event in events if event["kind"] == "verdict" or "not well" in event["said"]]
    because += [replay.why["headline"], *replay.why["because"][:2]]
    return Report(
        MODEL,
        FAULTS[fault],
        "" if fault == "none" else text(first, "UTC"),
        f"after {replay.seen + 1 - replay.begun} posts ({waited}), {_outcomes_then(replay)} of theirs"
        if not is_early
        else "before it began: a false alarm",
        incident["title"],
        f"{_done(replay)}; {counted(len(replay.pages), 'message')} to {_asked(replay.pages)}",
        tuple(because),
        _unseen(replay, scores >= _THRESHOLD, "" if fault == "tags" else " of that source"),
        rules,
        _flagged(replay, versions.live, scores >= _THRESHOLD),
    )


def _done(replay: Replay) -> str:
    """Return what was decided, each for the first time, and after how many posts since it began."""
    places: dict[str, int] = {}
    for event in replay.timeline:
        if event["kind"] == "decision":
            came = sum(one.at <= event["at"] for one in replay.arrived[replay.begun :])
            places.setdefault(event["said"].partition(": ")[2].partition(":")[0], came)
    together = {came: [name for name, at in places.items() if at == came] for came in places.values()}
    return ", ".join(f"{' and '.join(names)} after {came} posts" for came, names in together.items())


def _flagged(replay: Replay, live: Pipeline, flags: NDArray[np.bool_]) -> tuple[tuple[str, str], ...]:
    """Return which share of posts the live model flags: before it began, since, and had the pipelines stayed."""
    import numpy as np  # noqa: PLC0415 — the demo's extra brings it

    since, is_spam = replay.arrived[replay.begun :], np.array([one.is_spam for one in replay.arrived])
    stayed = live.predict_proba([one.unchanged for one in since])[:, 1] >= _THRESHOLD
    parts = ((flags[: replay.begun], is_spam[: replay.begun]), (flags[replay.begun :], is_spam[replay.begun :]))
    told: list[tuple[str, str]] = []
    for name, chosen in (("flagged", None), ("good flagged", False), ("bad flagged", True)):
        counts = [
            (int(hit.sum()), len(hit))
            for flagged, spam in (*parts, (stayed, parts[1][1]))
            for hit in [flagged if chosen is None else flagged[spam == chosen]]
        ]
        before, after, had = (f"{number(hits / total, 'share')} ({hits:,} of {total:,})" for hits, total in counts)
        told.append((name, f"{before} before, {after} since; {had} of the same posts had the pipelines stayed"))
    return tuple(told)


def _outcomes_then(replay: Replay) -> str:
    """Return in words how many outcomes of posts since the fault there were when it was seen."""
    seen_at = replay.arrived[replay.seen or 0].at
    came = sum(one.at + _OUTCOME_AFTER <= seen_at for one in replay.arrived[replay.begun :])
    return f"with {counted(came, 'outcome')}" if came else "without any outcome"


def _asked(pages: Sequence[Mapping[str, object]]) -> str:
    return str(pages[0].get("team", "nobody")) if pages else "nobody"


def _unseen(replay: Replay, flags: NDArray[np.bool_], whose: str) -> str:
    """Return what the live model would have done to the posts that were hit until outcomes came, and what was done."""
    told_at = replay.arrived[replay.begun].at + _OUTCOME_AFTER
    places = [n for n, one in enumerate(replay.arrived) if one.is_changed and one.at < told_at and n >= replay.begun]
    good = [n for n in places if not replay.arrived[n].is_spam]
    bad = [n for n in places if replay.arrived[n].is_spam]
    would, did = sum(bool(flags[n]) for n in good), sum(replay.arrived[n].is_flagged for n in good)
    missed, still = sum(not flags[n] for n in bad), sum(not replay.arrived[n].is_flagged for n in bad)
    after = duration_text(_OUTCOME_AFTER)
    return (
        f"until outcomes came ({after}): {would} of {len(good)} good posts{whose} flagged, and {missed} of"
        f" {len(bad)} bad ones missed; with what was done {did} and {still}"
    )


def _say(words: str) -> None:
    print(words, file=sys.stderr)
