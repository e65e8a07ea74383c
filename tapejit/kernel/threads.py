"""Large arrays on several cores: the stages of a kernel, shared out over threads.

A stage is shared out where that pays; the numbers are the same for any number of threads (see `passes.stages`). The
threads wait for work between calls, and are started when there is some for the first time. Start reading at
`Stages.run`.
"""

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from queue import SimpleQueue

import numpy as np

from .. import config
from . import blas
from .layout import Layout
from .memory import address_of, aligned

PART_WORK = 1 << 17
"""A part of a stage is worth at least so many additions: ten times what it costs to wake a thread, about."""

_RUN_ALL = -1

Job = Callable[[], int]


class _Shared:
    """Jobs that other threads take, each once, and what came of them."""

    def __init__(self, jobs: Iterable[tuple[int, Job]]) -> None:
        self._jobs = deque(jobs)
        self._count = len(self._jobs)
        self._ended: SimpleQueue[None] = SimpleQueue()
        self.results: list[tuple[int, int, BaseException | None]] = []

    def take(self) -> None:
        """Do one of the jobs, if any is left."""
        try:
            number, job = self._jobs.popleft()
        except IndexError:
            return
        try:
            self.results.append((number, job(), None))
        except BaseException as error:  # noqa: BLE001 (raised where the job was given)
            self.results.append((number, 0, error))
        self._ended.put(None)

    def wait(self) -> None:
        """Wait for all jobs. It may be called again after an exception, which can lose a message but no result."""
        while len(self.results) < self._count:
            self._ended.get()

    def outcomes(self) -> list[int]:
        """What the jobs returned, in their order; what the first of those raised that failed."""
        self.results.sort(key=lambda result: result[0])
        for _, _, error in self.results:
            if error is not None:
                raise error
        return [status for _, status, _ in self.results]


class _Team:
    """Threads that run jobs for others.

    `lead` gives a job to a thread of its own that Ctrl-C doesn't reach: a kernel whose stages have begun is not left in
    the middle. Only the main thread needs it, so there is one; jobs that it waits for go to the other threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[_Shared | None] = SimpleQueue()
        self._leading: SimpleQueue[_Shared | None] = SimpleQueue()
        self._helpers: list[threading.Thread] = []
        self._leader: threading.Thread | None = None

    def lead(self, job: Job) -> int:
        """What a job returns; Ctrl-C is heard when it is done."""
        if threading.current_thread() is not threading.main_thread():
            return job()
        if self._leader is None:  # only this thread gets here
            self._leader = _started(self._leading, "tapejit-leader")
        shared, given = _Shared([(0, job)]), False
        interrupted: BaseException | None = None
        while True:
            try:
                if not given:
                    self._leading.put(shared)  # twice does no harm
                    given = True
                shared.wait()
                break
            except BaseException as error:  # noqa: BLE001 (raised below)
                interrupted = error
        if interrupted is not None:
            raise interrupted
        return shared.outcomes()[0]

    def share(self, jobs: Sequence[Job]) -> list[int]:
        """What several jobs return that run side by side: here, and on threads that have nothing else to do."""
        others = len(jobs) - 1
        if len(self._helpers) < others:
            with self._lock:
                while len(self._helpers) < others:
                    self._helpers.append(_started(self._jobs, f"tapejit-{len(self._helpers) + 1}"))
        shared = _Shared(enumerate(jobs))
        for _ in range(others):
            self._jobs.put(shared)
        try:
            for _ in jobs:
                shared.take()
        finally:  # the others use what is the caller's
            shared.wait()
        return shared.outcomes()

    def stop(self) -> None:
        """End the threads."""
        for _ in self._helpers:
            self._jobs.put(None)
        if self._leader is not None:
            self._leading.put(None)
        for thread in (*self._helpers, *([self._leader] if self._leader else ())):
            thread.join(1.0)


def _started(jobs: "SimpleQueue[_Shared | None]", name: str) -> threading.Thread:
    thread = threading.Thread(target=_work, args=(jobs,), name=name, daemon=True)
    thread.start()
    return thread


def _work(jobs: "SimpleQueue[_Shared | None]") -> None:
    """What a thread does all its life."""
    while (shared := jobs.get()) is not None:
        shared.take()
        del shared  # nothing is held while it waits


_TEAM = [_Team()]


def _forget() -> None:
    """After a fork the child has no threads."""
    _TEAM[0] = _Team()


def _stop() -> None:
    """At the end of the process."""
    _TEAM[0].stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
atexit.register(_stop)


def lead(job: Job) -> int:
    """What a job returns that Ctrl-C does not interrupt; it is heard after it."""
    return _TEAM[0].lead(job)


class Stages:
    """Runs a kernel whose stages can be shared out.

    Parameters
    ----------
    call : callable
        The kernel.
    layout : Layout
        Its layout.
    """

    __slots__ = ("_call", "_details", "_layout", "_scratch", "_slot", "_tables")

    def __init__(self, call: Callable[[int, int, int, int], int], layout: Layout) -> None:
        self._call = call
        self._layout = layout
        kinds = [slot.kind for slot in layout.slots]
        self._slot = kinds.index("scratch") if "scratch" in kinds else None
        self._details = [index for index, kind in enumerate(kinds) if kind == "detail"]
        self._scratch: list[np.ndarray] = []
        self._tables: list[np.ndarray] = []

    def threads(self) -> int:
        """How many threads a call would use now."""
        most = config.num_threads()
        return 1 if most == 1 else max(_parts(stage, most) for stage in self._layout.stages)

    def run(self, table: np.ndarray, statuses: list[int]) -> None:
        """Run all stages; Ctrl-C is heard after them.

        Parameters
        ----------
        table : ndarray of int64
            The kernel's table, which nobody else uses meanwhile.
        statuses : list of int
            Gets the status when all is done, also where this call is interrupted after that. Where several parts of a
            stage fail, it is that of the first of them, as without threads.
        """

        def job() -> int:
            statuses.append(self.run_shared(table, self.threads()))
            return statuses[-1]

        lead(job)

    def run_shared(self, table: np.ndarray, threads: int) -> int:
        """Run all stages, on so many threads; what `run` does away from Ctrl-C."""
        tables = [table, *self._further_tables(table, threads - 1)]
        addresses = list(map(address_of, tables))
        for number, stage in enumerate(self._layout.stages):
            parts = _parts(stage, threads)
            if parts == 1:
                status = self._call(addresses[0], number, 0, stage[0])
                if status:
                    return status
                continue
            borders = _borders(stage, parts)
            statuses = _TEAM[0].share(
                [
                    partial(self._call, addresses[part], number, borders[part], borders[part + 1])
                    for part in range(parts)
                ]
            )
            for part, status in enumerate(statuses):
                if status:
                    table[self._details] = tables[part][self._details]
                    return status
        return 0

    def _further_tables(self, table: np.ndarray, count: int) -> list[np.ndarray]:
        """Copies of the table, each with scratch of its own."""
        while len(self._tables) < count:
            self._tables.append(table.copy())
            self._scratch.append(aligned((self._layout.scratch,), np.dtype(np.uint8)))
        for own, scratch in zip(self._tables[:count], self._scratch, strict=False):
            np.copyto(own, table[: len(own)])
            if self._slot is not None:
                own[self._slot] = address_of(scratch)
        return self._tables[:count]


def stages_for(call: Callable[[int, int, int, int], int], layout: Layout) -> Stages | None:
    """What shares out a kernel's stages; None where none of them ever pays."""
    return Stages(call, layout) if any(_parts(stage, 2) > 1 for stage in layout.stages) else None


def _parts(stage: tuple[int, int, int], threads: int) -> int:
    """Over how many threads a stage is shared out."""
    extent, grain, work = stage
    return max(1, min(threads, -(-extent // grain), work // PART_WORK))


def _borders(stage: tuple[int, int, int], parts: int) -> list[int]:
    """Where the parts begin, and the end."""
    extent, grain, _ = stage
    grains = -(-extent // grain)
    return [min(grains * part // parts * grain, extent) for part in range(parts + 1)]


def set_num_threads(count: int) -> None:
    """Change how many threads large steps and matrix products use, for the whole process.

    Parameters
    ----------
    count : int
        At least 1; at first ``TAPEJIT_NUM_THREADS``, or 1.

    Raises
    ------
    ValueError
        If it is less than 1.

    Notes
    -----
    What tapejit's own loops compute does not depend on it, to the bit. A step uses more than one thread only where each
    has some ten microseconds of work or more.

    Examples
    --------
    >>> tj.set_num_threads(2)
    >>> tj.num_threads()
    2
    >>> tj.set_num_threads(1)
    """
    config.set_num_threads(count)
    if blas.library.cache_info().currsize:  # else it asks when it is loaded
        blas.set_num_threads(config.num_threads())


def num_threads() -> int:
    """How many threads large steps and matrix products use; see `set_num_threads`."""
    return config.num_threads()
