"""Other cores and machines, by dask.distributed: the runs of several seeds here, the tasks of one run in ``remote``.

A run is a study and a directory: whoever takes it starts it, goes on with it, or finds it finished. So it can be
repeated, and a worker that dies costs no more than what its run had not saved.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from wavefoundry.artifacts.overrides import parsed
from wavefoundry.core import errors
from wavefoundry.core.errors import InputError, Interrupted, PhysicsError, WavefoundryError
from wavefoundry.reports.followed import Log
from wavefoundry.reports.lines import OF
from wavefoundry.studies.slurm import slurm_cluster

if TYPE_CHECKING:
    from wavefoundry.studies.progress import Context, Emit

POLL = 0.5
"""Seconds between two looks at the workers and at the logs of their runs."""


STOPPED, LOST = "stopped", "lost"
"""Outcomes of a run that was saved on request, and of one whose workers died."""


class SeedRun(NamedTuple):
    """A run: what to call it, the text of its study, and its directory."""

    name: str
    text: str
    folder: str


class Outcome(NamedTuple):
    """How a task ended: kind is empty, ``STOPPED``, ``LOST``, or the name of an error with its text."""

    kind: str = ""
    why: str = ""


class Crew(NamedTuple):
    """Who does the tasks. ``workers``: processes of this machine, 1 is this process alone.

    scheduler: address of a dask scheduler, or "slurm". slurm: arguments of ``dask_jobqueue.SLURMCluster``.
    """

    workers: int = 1
    scheduler: str | None = None
    slurm: Mapping[str, Any] = {}

    @classmethod
    def of(cls, workers: int, scheduler: str | None, slurm: Sequence[str]) -> Self:
        """As options of the command line ask for; ``slurm``: ``"key=value"``, value as in TOML.

        Raises:
            InputError: options that make no sense.
        """
        if not 1 <= workers <= 1000:
            raise InputError(f"--workers {workers} is not possible", where="--workers", why="1 to 1000 workers")
        if slurm and scheduler != "slurm":
            raise InputError("--slurm goes with --scheduler slurm", where="--slurm", fix="--scheduler slurm")
        settings = {".".join(key): value for key, value in (parsed(item, "--slurm", "cores=8") for item in slurm)}
        return cls(workers, scheduler, settings)

    @property
    def alone(self) -> bool:
        """Whether everything happens in this process."""
        return self.workers == 1 and self.scheduler is None


ONE = threading.Lock()
"""Of a worker: it does one job at a time, however many threads it has."""
STOPS: dict[str, int] = {}
"""Of a worker: the signals by which it was asked to stop, each by the token of those whose jobs these were."""


def take(task: SeedRun, requested: Callable[[], int | None], emit: Emit | None = None, client: Any = None) -> Outcome:
    """Do a task, from wherever it stands, and say how it ended.

    Args:
        task: the run. requested, emit, client: as for ``studies.perform``.
    """
    from wavefoundry.artifacts import spec as study_file
    from wavefoundry.artifacts.layout import SPEC
    from wavefoundry.artifacts.results import read_results
    from wavefoundry.studies import perform

    folder = Path(task.folder)
    try:
        started = (folder / SPEC).is_file()
        if started and read_results(folder) is not None:
            return Outcome()
        if requested() is not None:
            return Outcome(STOPPED)
        spec = study_file.loads(task.text, source=task.folder)
        perform(spec, folder, requested, resume=started, emit=emit, client=client)
    except Interrupted:
        return Outcome(STOPPED)
    except WavefoundryError as error:
        return Outcome(type(error).__name__, str(error))
    return Outcome()


class Dispatch:
    """Jobs that workers do; one whose worker dies is given out once more.

    Args:
        client: of the workers. context: hears of lost workers, and says when to stop.
    """

    def __init__(self, client: Any, context: Context):
        self.client, self.context = client, context
        self.token = secrets.token_hex(8)  # the workers of a scheduler outlive us: a stop is for our jobs alone
        self._running: dict[Any, tuple[str, Callable[..., Any], tuple[Any, ...]]] = {}
        self._again: set[str] = set()
        self._told = False
        if not workers_of(client):
            context.say("workers", "waiting for a worker")

    def submit(self, name: str, function: Callable[..., Any], *args: Any) -> None:
        """Give out a job: ``function(*args, token)``, in a worker that does nothing else meanwhile."""
        future = self.client.submit(_alone, function, args, self.token, pure=False, retries=0)
        self._running[future] = name, function, args

    @property
    def running(self) -> list[str]:
        """Names of the jobs that have not ended."""
        return [name for name, _, _ in self._running.values()]

    def ended(self) -> Iterator[tuple[str, Any]]:
        """Names and results of jobs that have ended meanwhile; an ``Outcome`` for those whose workers died.

        Waits for ``POLL`` seconds at most. A stop that was asked for is passed on to the workers.
        """
        import distributed

        with contextlib.suppress(distributed.TimeoutError):
            distributed.wait(list(self._running), timeout=POLL, return_when="FIRST_COMPLETED")
        if self.context.stopping and not self._told:
            self._told = True
            self.client.run(_stop, self.token, self.context.stopped_by())
        for future in [future for future in self._running if future.done()]:
            job = self._running.pop(future)
            try:
                yield job[0], future.result()
            except (distributed.KilledWorker, distributed.CancelledError) as error:
                if job[0] in self._again or self._told:
                    yield job[0], Outcome(STOPPED if self._told else LOST, f"its worker died: {error}")
                    continue
                self._again.add(job[0])
                self.context.warn(f"the worker of {job[0]} died: another one goes on with it")
                self.submit(*job[:2], *job[2])


def fan_out(tasks: Sequence[SeedRun], client: Any, context: Context) -> Iterator[tuple[int, Outcome]]:
    """Do runs by workers, in whichever order they end.

    Args:
        tasks: what to do. client: of the workers. context: hears of progress, and says when to stop.

    Yields:
        Number and outcome of every run.
    """
    jobs, numbers = Dispatch(client, context), {task.name: number for number, task in enumerate(tasks)}
    for task in tasks:
        jobs.submit(task.name, _take, task)
    logs = {task.name: Relay(task, context) for task in tasks}
    while jobs.running:
        for name in sorted(jobs.running):
            logs[name].look()
        for name, outcome in jobs.ended():
            logs[name].look()
            yield numbers[name], outcome


def workers_of(client: Any) -> int:
    """How many there are at this moment."""
    return len(client.scheduler_info(n_workers=-1)["workers"])


def _alone(function: Callable[..., Any], args: tuple[Any, ...], token: str) -> Any:
    with ONE:
        return function(*args, token)


def _take(task: SeedRun, token: str) -> Outcome:
    return take(task, lambda: STOPS.get(token))


def _stop(token: str, signum: int) -> None:
    """Ask a worker to stop the jobs of a token; called in its own process."""
    STOPS[token] = signum


class Relay:
    """Shows the events of a run of another process: all of them, as if it were made here.

    Args:
        task: the run; what its log holds already has been shown. context: shows them.
    """

    def __init__(self, task: SeedRun, context: Context):
        self._name, self._log, self._context = task.name, Log(Path(task.folder)), context
        self._log.look()
        self._shown = len(self._log.events)

    def look(self) -> None:
        """Show what is new."""
        with contextlib.suppress(WavefoundryError):
            self._log.look()
        self._shown = min(self._shown, len(self._log.events))  # cut back by a run that goes on from a checkpoint
        for event in self._log.events[self._shown :]:
            self._context.show(event | {OF: self._name})
        self._shown = len(self._log.events)


@contextlib.contextmanager
def client_of(crew: Crew) -> Iterator[Any]:
    """A dask client with the workers of a crew; local ones share the cores of this process among them.

    Raises:
        InputError: dask is not installed, no scheduler answers, or Slurm's settings do not do.
    """
    _require_dask()
    import dask.config as dask_config
    import distributed

    # a run that has lost its worker is not given to others without our knowledge, and may be silent for long
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.scheduler.worker-ttl": None}
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask_config.set(settings))
        if crew.scheduler is None:
            cluster: Any = distributed.LocalCluster(
                n_workers=crew.workers, threads_per_worker=1, processes=True, memory_limit=0, host="127.0.0.1",
                dashboard_address="127.0.0.1:0", silence_logs=50,
            )  # fmt: skip
            stack.enter_context(cluster)
            client = stack.enter_context(distributed.Client(cluster))
            client.register_plugin(_placed(crew.workers))
        elif crew.scheduler == "slurm":
            cluster = stack.enter_context(slurm_cluster(crew.slurm))
            cluster.scale(crew.workers)
            client = stack.enter_context(distributed.Client(cluster))
        else:
            try:
                client = stack.enter_context(distributed.Client(crew.scheduler, timeout="20s"))
            except (OSError, ValueError, distributed.TimeoutError):
                fix = "start one: dask scheduler, and on every node: dask worker ADDRESS --nthreads 1"
                what = f"no dask scheduler answers at {crew.scheduler}"
                raise InputError(what, where="--scheduler", fix=fix) from None
        yield client


def job_script(crew: Crew) -> str:
    """What would be handed to Slurm.

    Raises:
        InputError: as ``slurm_cluster``, or another scheduler was named.
    """
    if crew.scheduler != "slurm":
        raise InputError("--dry-run prints a job script of Slurm", where="--dry-run", fix="--scheduler slurm")
    _require_dask()
    with slurm_cluster(crew.slurm) as cluster:
        return cluster.job_script()


def _require_dask() -> None:
    if find_spec("distributed") is None or find_spec("dask_jobqueue") is None:
        raise InputError(
            "workers need dask.distributed and dask-jobqueue",
            where="--workers, --scheduler",
            fix="pip install dask distributed dask-jobqueue (the extra 'cluster' of this package)",
        )


def _placed(workers: int) -> Any:
    """A plugin of local workers: each gets cores of its own, and leaves Ctrl-C to the process that started it.

    XLA takes as many threads as its process has cores, so without this all workers would share all of them.
    """
    import distributed

    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    class Placed(distributed.WorkerPlugin):
        """See ``_placed``."""

        name = "wavefoundry-cores"

        def setup(self, worker: Any) -> None:
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                with contextlib.suppress(ValueError):
                    signal.signal(signum, signal.SIG_IGN)
            index = int(worker.name) if str(worker.name).isdecimal() else 0
            mine = cores[index % workers :: workers] or cores[index % max(len(cores), 1) :][:1]
            if mine:
                os.sched_setaffinity(0, mine)

    return Placed()


def error_of(outcome: Outcome) -> WavefoundryError:
    """The error that ended a task, in another process or this one."""
    return getattr(errors, outcome.kind, WavefoundryError)(outcome.why)


def is_failure(outcome: Outcome) -> bool:
    """Whether a run has ended without a result, for a reason that lets the others go on."""
    return outcome.kind in (PhysicsError.__name__, LOST)
