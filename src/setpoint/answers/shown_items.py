"""What changed in the items that rankings show between two windows: judged, in words, and as the cells of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from setpoint.answers.answer import Cell
from setpoint.answers.feature_changes import COLUMNS, judged, with_days
from setpoint.answers.sides import days_of, time_before, whole_of
from setpoint.core.metric import counted, number
from setpoint.core.model import Task
from setpoint.core.window import Window
from setpoint.inputs.detection import Drift, in_words
from setpoint.inputs.exposure_drift import ExposureDetector, ShownDay
from setpoint.inputs.questions import Question
from setpoint.store.evidence import RowEvidence


@dataclass(frozen=True, slots=True)
class ShownItems:
    """How what rankings show changed between two windows; nothing for models that do not rank.

    Attributes:
        drifts: How each question was answered, the least likely first.
        before: What it came to in the reference.
        now: What it came to in the current window.
        draws: Exposures in which different items are counted.
        days: Days of the current window.
        unknown: Why nothing can be said; empty when something can, or there is nothing to say.
    """

    drifts: Sequence[Drift] = ()
    before: Mapping[Question, float] = field(default_factory=dict[Question, float])
    now: Mapping[Question, float] = field(default_factory=dict[Question, float])
    draws: int = 0
    days: int = 0
    unknown: str = ""

    @property
    def changed(self) -> list[Drift]:
        """What changed by more than chance and the usual difference between days explain."""
        return [drift for drift in self.drifts if drift.is_alarm]

    @property
    def said(self) -> str:
        """What changed, in words."""
        return ", ".join(f"{drift.feature} {in_words(drift.foremost)}" for drift in self.changed)

    def lines(self) -> list[tuple[str, ...]]:
        """Return what changed as lines of the printed table of features."""
        return [
            (
                drift.feature,
                *(self._brief(drift, side) for side in (self.before, self.now)),
                with_days(drift.foremost, self.days),
                "",
                f"{drift.p:.0e}",
                "",
                "",
                "",
            )
            for drift in self.changed
        ]

    def rows(self) -> list[tuple[Cell, ...]]:
        """Return everything as rows of `COLUMNS`; what a question came to stands where a feature has its mean."""
        names = COLUMNS[COLUMNS.index("p") : COLUMNS.index("note")]
        found: list[tuple[Cell, ...]] = []
        for drift in self.drifts:
            question = drift.foremost.question
            cells: dict[str, Cell] = {
                "feature": drift.feature,
                "impact": 0.0,
                "moved_ratio": drift.moved,
                "importance": 0.0,
                "changed": drift.is_alarm,
                **dict(zip(names, judged(drift), strict=True)),
                "reference_mean": self.before.get(question),
                "current_mean": self.now.get(question),
            }
            found.append(tuple(cells.get(column) for column in COLUMNS))
        return found

    def _brief(self, drift: Drift, side: Mapping[Question, float]) -> str:
        match drift.foremost.question:
            case "coverage":
                return f"{counted(side['coverage'], 'item')} in {self.draws:,}"
            case "concentration":
                return f"as if {1.0 / max(side['concentration'], _LEAST):,.4g} alike"
            case _:
                return f"{number(side['new_items'], 'share')} new"


_LEAST = 1e-12


def shown_items(evidence: RowEvidence, reference: Window | None, current: Window | None) -> ShownItems:
    """Return how what rankings show changed between two windows.

    Args:
        evidence: The model's states.
        reference: The earlier window; None for rows that are not among the predictions, or only some of a window's.
        current: The later one.
    """
    if evidence.model.task is not Task.RANKING:
        return ShownItems()
    if reference is None or current is None:
        return ShownItems(unknown="what is shown is compared between two windows of the predictions alone")
    history = time_before(evidence, reference)
    earlier = whole_of(evidence, history, evidence.exposure_by_day(history)) if history else ()
    detector = ExposureDetector(_days(evidence, reference), [ShownDay.of(*day) for day in earlier])
    days = _days(evidence, current)
    now = detector.measures(days)
    few = f"no day of the current window shows more than {counted(detector.draws, 'item')}, a quarter of what is usual"
    unknown = detector.unknown or ("" if now else few)
    return ShownItems(detector.judge(days, is_window=True), detector.usual, now, detector.draws, len(days), unknown)


def _days(evidence: RowEvidence, window: Window) -> list[ShownDay]:
    return [ShownDay.of(*day) for day in days_of(evidence, window, evidence.exposure_by_day(window))]
