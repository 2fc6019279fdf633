"""What the replay shows, in words that are all computed from the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from setpoint.answers.answer import Answer
from setpoint.project.log import Log

MONTHS = {
    "July": "2013-07-01..2013-08-01",
    "August": "2013-08-01..2013-09-01",
    "September": "2013-09-01..2013-10-01",
    "October": "2013-10-01..2013-11-01",
    "November": "2013-11-01..2013-12-01",
    "December": "2013-12-01..2014-01-01",
}
_RULE = 0.2


@dataclass(frozen=True, slots=True)
class Month:
    """One month of the replay.

    Attributes:
        name: Its name.
        auc: Quality, with its interval.
        low: Lower end of the interval.
        high: Upper end of the interval.
        verdict: Against the expectation.
        temp_psi: PSI of the temperature against July; None for July itself.
        temp_mean: Mean temperature, in °F.
    """

    name: str
    auc: float | None
    low: float | None
    high: float | None
    verdict: str
    temp_psi: float | None
    temp_mean: float | None


def tell(log: Log, model: str) -> str:
    """Return the answers to the three questions and what the six months show."""
    months = read_months(log, model)
    windows = f"--reference {MONTHS['July']} --current {MONTHS['October']}"
    parts = [
        "Is this model still working as expected?    $ setpoint status flights --over 31d",
        log.status(model, over="31d").text(),
        f"\nWhat changed in the data?    $ setpoint diff {model} {windows}",
        log.diff(model, reference=MONTHS["July"], current=MONTHS["October"]).text(),
        "\nWhat is our all-in cost per correct prediction?    $ setpoint cost flights --over 31d",
        log.cost(model, over="31d").text(),
        "\nWhat six months of real flights show",
        *_table(months),
        *(f"  {sentence}" for sentence in sentences(months)),
    ]
    return "\n".join(parts)


def read_months(log: Log, model: str) -> list[Month]:
    """Return quality and temperature of each month."""
    months: list[Month] = []
    for name, window in MONTHS.items():
        metrics = {cast("str", row[0]): row for row in log.status(model, over=window).table("metrics").rows}
        auc = metrics["auc"]
        temp = {} if name == "July" else _feature(log.diff(model, reference=MONTHS["July"], current=window), "temp")
        months.append(
            Month(
                name,
                cast("float | None", auc[1]),
                cast("float | None", auc[2]),
                cast("float | None", auc[3]),
                cast("str", auc[8] or "unknown"),
                temp.get("psi"),
                temp.get("current_mean"),
            )
        )
    return months


def sentences(months: list[Month]) -> list[str]:
    """Return what the months show: every claim is derived from the numbers."""
    return [*_about_temperature(months), _about_autumn(months)]


def _about_temperature(months: list[Month]) -> list[str]:
    drifted = [m for m in months if m.temp_psi is not None and m.temp_psi > _RULE]
    if not drifted:
        return ["Temperature did not drift beyond the usual PSI rule of 0.2."]
    most = max(drifted, key=lambda m: m.temp_psi or 0.0)
    when = f"{_listed([m.name for m in drifted])}, most in {most.name} ({most.temp_psi:.1f})"
    said = [f"Temperature drifted with the season: its PSI against July passes the usual rule of 0.2 in {when}."]
    known = [m for m in months if m.auc is not None]
    worst = min(known, key=lambda m: m.auc or 0.0, default=None)
    if worst is None:
        return [*said, "Whether that did harm is unknown: no month has a quality number."]
    fine = [m.name for m in drifted if m.verdict == "ok"]
    if worst.name == most.name:
        said.append(f"Quality was lowest in the same month, so the two may go together: AUC {worst.auc:.3f}.")
    else:
        said.append(
            f"The drift alone is not what does harm: quality was lowest in {worst.name} (AUC {worst.auc:.3f}),"
            f" where the temperature's PSI was {_psi(worst)}, and not in {most.name} (AUC {_auc(most)})."
        )
    if fine:
        said.append(f"In {_listed(fine)} the temperature had drifted and the model kept its promise.")
    return said


def _about_autumn(months: list[Month]) -> str:
    bad = [m.name for m in months if m.verdict == "breach"]
    slipping = [m.name for m in months if m.verdict == "warning"]
    good = [m.name for m in months if m.verdict == "ok"]
    unknown = [m.name for m in months if m.verdict == "unknown"]
    if not bad and not slipping and not unknown:
        return "The model kept its promise in every month."
    parts = []
    if good:
        parts.append(f"kept it in {_listed(good)}")
    if slipping:
        parts.append(f"may have slipped in {_listed(slipping)}")
    if bad:
        parts.append(f"broke it in {_listed(bad)}")
    if unknown:
        parts.append(f"cannot be judged in {_listed(unknown)}")
    return f"Against its promise the model {'; '.join(parts)}."


def _table(months: list[Month]) -> list[str]:
    lines = ["  month      AUC and 95 % interval    promise   temp    PSI of temp against July"]
    for m in months:
        quality = "unknown" if m.auc is None else f"{m.auc:.3f} [{m.low:.3f}, {m.high:.3f}]"
        temp = "" if m.temp_mean is None else f"{m.temp_mean:.0f} °F"
        lines.append(f"  {m.name:<10} {quality:<24} {m.verdict:<9} {temp:<7} {_psi(m)}".rstrip())
    return lines


def _feature(answer: Answer, name: str) -> dict[str, float | None]:
    table = answer.table("features")
    for row in table.rows:
        if row[0] == name:
            return cast("dict[str, float | None]", dict(zip(table.columns, row, strict=True)))
    return {}


def _psi(month: Month) -> str:
    return "" if month.temp_psi is None else f"{month.temp_psi:.2f}"


def _auc(month: Month) -> str:
    return "unknown" if month.auc is None else f"{month.auc:.3f}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
