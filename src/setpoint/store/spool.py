"""The way of an event from the caller's thread to the disk, without the caller waiting.

`put` appends to a bounded queue. One thread a process encodes the queue every `flush_seconds`,
appends it to the spool's segments and syncs them. An event is acknowledged once a completed
fdatasync covers it, so `flush_seconds` is the most that a crash can lose.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque

import msgspec

from setpoint.core.errors import StoreError
from setpoint.core.events import Event, Quarantined
from setpoint.core.ids import id_maker, process_token
from setpoint.core.model import Model
from setpoint.store.admission import Admission, Item
from setpoint.store.counting import Counting
from setpoint.store.exits import watch
from setpoint.store.layout import Layout
from setpoint.store.machine import Machine
from setpoint.store.segments import SegmentWriter, new_header
from setpoint.store.shapes import (
    simplify,
)

log = logging.getLogger("setpoint")

_SEGMENT_BYTES = 32 << 20
_LINES_AT_ONCE = 4096


class _Flush:
    """A mark in the queue: everything before it must reach the disk."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.succeeded = False


class Spool:
    """The queue, the writer thread and the open segments of one process.

    Thread-safe. A forked child starts with an empty queue, a name and segments of its own; what the
    parent had queued stays the parent's.

    Attributes:
        dropped: Events refused because the queue was full; also written with the tallies.
        failed: Events that could not be encoded or recorded at all; also written with the tallies.
        last_error: The last failure to write, in words; empty when the last write succeeded.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        flush_seconds: float = 0.2,
        rotate_seconds: float = 10.0,
        queue_limit: int = 100_000,
    ) -> None:
        self.layout = layout
        self.flush_seconds = flush_seconds
        self.rotate_seconds = rotate_seconds
        self.queue_limit = queue_limit
        self.drops: dict[str, int] = {}
        self.failures: dict[str, int] = {}
        self.failed = 0
        self.last_error = ""
        self.is_off = os.environ.get("SETPOINT_OFF", "") == "1"
        self._reset()
        watch(self)

    def _reset(self) -> None:
        self.process = process_token()
        self.make_id = id_maker()
        self._queue: deque[Item | _Flush] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._turning = threading.Lock()  # a closing caller and a thread that was just started write one at a time
        self._thread: threading.Thread | None = None
        self._closing = False
        self._models: dict[str, _ModelFiles] = {}

    def put(self, model: str, event: Event, *, is_kept: bool = True) -> None:
        """Queue one event; never blocks and never raises.

        Args:
            model: The model it belongs to.
            event: The event. It must not be changed afterwards.
            is_kept: False for a prediction that is counted but whose row is not stored.
        """
        queue = self._queue
        if len(queue) >= self.queue_limit:
            self.drops[model] = self.drops.get(model, 0) + 1
            self._wake.set()
            return
        if self.is_off:
            return
        queue.append((model, event, is_kept))
        if self._thread is None:
            self._start()

    def note_failure(self, model: str) -> None:
        """Count an event that could not be recorded; never raises."""
        self.failed += 1
        self.failures[model] = self.failures.get(model, 0) + 1

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything queued before this call is on the disk; False when it is not."""
        if self._thread is None:
            if not self._queue and not self.failures:
                return True
            self._start()
        mark = _Flush()
        self._queue.append(mark)
        deadline = time.monotonic() + timeout
        while not mark.done.is_set() and time.monotonic() < deadline:
            self._start()  # a thread that was just closing would never see the mark
            self._wake.set()
            mark.done.wait(0.05)
        return mark.succeeded

    def close(self, timeout: float = 10.0) -> bool:
        """Write everything, seal all segments and stop the thread; a later `put` starts it again."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._closing = True
            self._wake.set()
            thread.join(timeout)
            if thread.is_alive():
                return False
        # In this thread: an interpreter that shuts down starts no new ones.
        with self._turning:
            self._turn()
            for files in self._models.values():
                files.close()
            self._models = {}
            self.process = process_token()  # sequences start again: under the old name they would count as shipped
        return not self.last_error

    @property
    def dropped(self) -> int:
        """Events that found the queue full and are not in a tally yet."""
        return sum(self.drops.values())

    @property
    def queued(self) -> int:
        """Events that wait for the writer thread."""
        return len(self._queue)

    def _start(self) -> None:
        # Who waited here in a finalizer, while this very thread starts the writer, would wait forever.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                self._closing = False
                self._thread = threading.Thread(target=self._run, name="setpoint-spool", daemon=True)
                self._thread.start()
        finally:
            self._lock.release()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self.flush_seconds)
            self._wake.clear()
            try:
                with self._turning:
                    self._turn()
            except Exception:  # the thread must outlive every surprise: without it nothing is recorded
                self.failed += 1
                log.exception("setpoint met an error of its own while recording")
        self._thread = None

    def _turn(self) -> None:
        """Write what is queued, sync it and release those who wait for it."""
        if self.last_error and not self._retry():
            return  # the queue is the bound on what a full disk keeps in memory
        taken = [self._queue.popleft() for _ in range(len(self._queue))]
        marks = [item for item in taken if isinstance(item, _Flush)]
        grouped: dict[str, list[Item]] = {}
        for item in taken:
            if type(item) is tuple:
                grouped.setdefault(item[0], []).append(item)
        for model in [*self.drops, *self.failures]:
            grouped.setdefault(model, [])
        succeeded = True
        for model, events in grouped.items():
            succeeded &= self._write_model(model, events, force=bool(marks))
        now = time.monotonic()
        for model, files in self._models.items():
            if model not in grouped:
                succeeded &= files.settle(now, force=bool(marks))
        for mark in marks:
            mark.succeeded = succeeded
            mark.done.set()

    def _write_model(self, model: str, events: list[Item], *, force: bool) -> bool:
        files = self._models.get(model)
        if files is None:
            files = self._models[model] = _ModelFiles(self, model)
        files.counting.dropped += self.drops.pop(model, 0)
        files.counting.failed += self.failures.pop(model, 0)
        return files.write(events, time.monotonic(), force=force)

    def _retry(self) -> bool:
        now = time.monotonic()
        return all(files.settle(now) for files in list(self._models.values()))

    def forget_parent(self) -> None:
        """Start afresh in a forked child: what the parent queued and opened stays the parent's."""
        parents = self._models
        self.drops, self.failures = {}, {}
        self.failed = 0
        self._reset()
        for files in parents.values():
            files.abandon()


class _File:
    """The segment of one table."""

    def __init__(self) -> None:
        self.segment: SegmentWriter | None = None
        self.sequence = 0
        self.pending: list[bytes] = []


class _ModelFiles:
    """All segments of one model in this process, and what is known of its rows' types."""

    def __init__(self, spool: Spool, model: str) -> None:
        self.counting = Counting()
        self._spool = spool
        self._model = model
        self._files: dict[str, _File] = {}
        self._machine = Machine()
        self._tally_sequence = 0
        self._tallied_at = time.monotonic()
        self._admission = Admission(_declared(spool.layout, model), self.counting, self._quarantined)

    def write(self, events: list[Item], now: float, *, force: bool) -> bool:
        """Encode events, append them to their segments, sync; False when the disk refused."""
        for start in range(0, len(events), _LINES_AT_ONCE):
            batches, failed = self._admission.admit(events[start : start + _LINES_AT_ONCE])
            self._spool.failed += failed
            self.counting.failed += failed
            for table, batch in batches.items():
                self._file(table).pending.append(_encoded(batch))
        return self.settle(now, force=force)

    def settle(self, now: float, *, force: bool = False) -> bool:
        """Append what waits, sync, rotate what is old; False when the disk refused."""
        try:
            for table, file in self._files.items():
                self._append_pending(table, file, now)
            self.write_tallies(now, force=force)
            for file in self._files.values():
                if file.segment is not None:
                    file.segment.sync()
                    self._rotate_when_due(file, now)
        except OSError as error:
            if not self._spool.last_error:
                log.warning("setpoint cannot write its spool, keeps the events and tries again: %s", error)
            self._spool.last_error = str(error)
            return False
        self._spool.last_error = ""
        return True

    def write_tallies(self, now: float, *, force: bool) -> None:
        """Write what was counted since the last time, every few seconds or when asked."""
        if not force and now - self._tallied_at < _TALLY_SECONDS:
            return
        self._tallied_at = now
        self._tally_sequence += 1
        recorded_at = self._spool.layout.clock.now()
        tallies = self.counting.drain(self._spool.process, self._tally_sequence, recorded_at)
        if tallies:
            tallies[0].machine_seconds = self._machine.look()
            file = self._file("tallies")
            file.pending.append(_encoded([*tallies]))
            self._append_pending("tallies", file, now)
            if file.segment is not None:
                file.segment.sync()

    def close(self) -> None:
        """Seal all segments; what the disk refuses now is lost with the process, and said."""
        self.settle(time.monotonic(), force=True)
        for table, file in self._files.items():
            if file.pending:
                self._spool.failed += sum(lines.count(b"\n") for lines in file.pending)
                log.warning("setpoint lost events of %s.%s at exit: %s", self._model, table, self._spool.last_error)
            if file.segment is not None:
                file.segment.close()

    def abandon(self) -> None:
        """Forget the parent's segments in a forked child."""
        for file in self._files.values():
            if file.segment is not None:
                file.segment.abandon()

    def _quarantined(self, table: str, event: Event, reason: str) -> Quarantined:
        simplify(event)
        return Quarantined(
            quarantine_id=self._spool.make_id(self._spool.layout.clock.now()),
            source_table=table,
            recorded_at=self._spool.layout.clock.now(),
            reason=reason,
            raw=_encoder.encode(event).decode(),
            process=self._spool.process,
        )

    def _file(self, table: str) -> _File:
        file = self._files.get(table)
        if file is None:
            file = self._files[table] = _File()
        return file

    def _append_pending(self, table: str, file: _File, now: float) -> None:
        known = self._admission.columns(table)
        if known.have_changed and file.segment is not None:
            file.segment.close()
            file.segment = None
        known.have_changed = False
        while file.pending:
            if file.segment is None:
                file.sequence += 1
                header = new_header(self._model, table, self._spool.process, file.sequence, known.fixed, known.inputs)
                file.segment = SegmentWriter(self._spool.layout.spool(self._model, table), header, now)
            file.segment.append(file.pending[0])
            file.pending.pop(0)

    def _rotate_when_due(self, file: _File, now: float) -> None:
        segment = file.segment
        if segment is None:
            return
        if segment.size >= _SEGMENT_BYTES or now - segment.opened_at >= self._spool.rotate_seconds:
            segment.close()
            file.segment = None


def _encoded(batch: list[Event]) -> bytes:
    """Return events as lines; an odd one, such as a NumPy key, is made plain and spares the others."""
    try:
        return _encoder.encode_lines(batch)
    except Exception:
        for event in batch:
            simplify(event)
        return _encoder.encode_lines(batch)


_TALLY_SECONDS = 5.0
_encoder = msgspec.json.Encoder()


def _declared(layout: Layout, model: str) -> Model:
    try:
        return layout.declaration(model) or Model(name=model)
    except (OSError, StoreError) as error:
        log.warning("setpoint cannot read the declaration of %s and records without it: %s", model, error)
        return Model(name=model)
