"""Where else the events of a run go: TensorBoard, Weights & Biases, MLflow, or a file; each only where it is installed.

A sink that fails while the run is under way is left, with a warning: it is never a reason to lose a run.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from wavefoundry.artifacts.signals import undisturbed
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import from_home
from wavefoundry.core.values import known, plain
from wavefoundry.core.words import near
from wavefoundry.reports.lines import OF, Event

COUNTED = {"step": "step", "point": "index", "ticket": "round", "molecule": "index", "round": "round"}
"""Events that hold numbers, and the field that counts them."""
LONGEST = 2**20
"""Characters of a line of a file that are looked at, at most."""
LEFT_OUT = ("event", "seconds_left", "steps", "count")


class Sink(Protocol):
    """Takes numbers by name at a step."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write some numbers."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Scalars(NamedTuple):
    """The numbers of an event: its step, and values by name."""

    step: int
    values: dict[str, float]


def scalars(event: Event) -> Scalars | None:
    """The numbers of an event, named ``pretrain/energy`` or ``seed 3/point/v_score``; None where it has none.

    Couplings of a point are among them, so that a diagram can be drawn over them.
    """
    kind = str(event.get("event"))
    if kind not in COUNTED:
        return None
    count = event.get(COUNTED[kind])
    if not isinstance(count, int | float) or isinstance(count, bool):
        return None
    group = str(event.get("phase", kind)) if kind == "step" else kind
    flat = {key: value for key, value in event.items() if key not in (*LEFT_OUT, COUNTED[kind])}
    flat |= {f"couplings/{key}": value for key, value in (event.get("couplings") or {}).items()}
    group = f"{event[OF]}/{group}" if event.get(OF) else group
    found = {f"{group}/{key}": float(value) for key, value in flat.items() if known(value)}
    return Scalars(int(count), found) if found else None


class TensorBoard:
    """Event files of TensorBoard in a folder."""

    def __init__(self, target: str, name: str):
        writer = _module("tensorboardX", "tensorboard").SummaryWriter
        self._writer = writer(str(from_home(target or "runs/tensorboard") / name))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write some numbers."""
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)

    def close(self) -> None:
        """End it."""
        self._writer.close()


class WandB:
    """A run in a project of Weights & Biases; its own variables (``WANDB_MODE=offline``) say how."""

    def __init__(self, target: str, name: str):
        self._run = _module("wandb", "wandb").init(project=target or "wavefoundry", name=name)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write some numbers; the step is one of them, since phases count from zero again."""
        self._run.log({**values, "step": step})

    def close(self) -> None:
        """End it."""
        self._run.finish()


class MLflow:
    """A run in an experiment of MLflow; its own variables (``MLFLOW_TRACKING_URI``) say where."""

    def __init__(self, target: str, name: str):
        self._mlflow = _module("mlflow", "mlflow")
        self._mlflow.set_experiment(target or "wavefoundry")
        self._mlflow.start_run(run_name=name)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write some numbers."""
        self._mlflow.log_metrics(dict(values), step=step)

    def close(self) -> None:
        """End it."""
        self._mlflow.end_run()


class Lines:
    """A file with one JSON object for every step."""

    def __init__(self, target: str, name: str):
        if not target:
            raise InputError("the file has no name", where="--log-to", fix="--log-to jsonl:FILE")
        path = from_home(target)
        self._path, self._new = path, not path.exists()
        try:
            if path.is_file():
                with open(path, encoding="utf-8", errors="replace") as file:
                    _require_lines(file.readline(LONGEST), target)
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close
        except OSError as error:
            raise InputError(f"{target} cannot be written", where="--log-to", why=error.strerror or "") from None
        self._name = name

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write some numbers."""
        self._file.write(json.dumps(plain({"run": self._name, "step": step, **values})) + "\n")
        self._file.flush()

    def close(self) -> None:
        """End it."""
        self._file.close()
        if self._new and not self._path.stat().st_size:
            self._path.unlink()


SINKS: dict[str, type[Any]] = {
    "tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow, "jsonl": Lines,
}  # fmt: skip
"""By the name before the colon of ``--log-to NAME:TARGET``."""


def _require_lines(first: str, target: str) -> None:
    """Refuse to write behind the first line of something else."""
    if first:
        try:
            row = json.loads(first)
        except ValueError:
            row = None
        if not (isinstance(row, dict) and {"run", "step"} <= set(row)):
            why, fix = "the file is there already, and holds something else", "a file of its own"
            raise InputError(f"{target} is not written to", where="--log-to", why=why, fix=fix)


def _module(module: str, name: str) -> Any:
    try:
        with undisturbed():
            return import_module(module)
    except ImportError as error:
        fix = f"pip install {module}"
        raise InputError(f"{name} is not installed", where="--log-to", why=str(error), fix=fix) from None


@contextlib.contextmanager
def opened(wanted: Sequence[str], name: str, warn: Callable[[str], None]) -> Iterator[Callable[[Event], None]]:
    """Sinks by name, and the function that hands them an event.

    Args:
        wanted: ``NAME`` or ``NAME:TARGET`` each. name: of the run. warn: hears why a sink was left.

    Raises:
        InputError: an unknown name, or one whose package is not installed; before anything is written.
    """
    for text in wanted:
        kind = text.partition(":")[0]
        if kind not in SINKS:
            fix = near(kind, SINKS) or f"one of {', '.join(SINKS)}"
            raise InputError(f"events cannot go to '{kind}'", where="--log-to", fix=fix)
    with contextlib.ExitStack() as ends:
        open_sinks: dict[str, Sink] = {}
        for text in wanted:
            kind, _, target = text.partition(":")
            open_sinks[text] = _opened(text, SINKS[kind], target, name)
            ends.callback(_closed, text, open_sinks, warn)

        def take(event: Event) -> None:
            found = scalars(event) if open_sinks else None
            for text, sink in list(open_sinks.items()) if found else ():
                try:
                    sink.log(found.step, found.values)  # type: ignore[union-attr]
                except Exception as error:
                    open_sinks.pop(text)
                    warn(f"{text} takes no more events: {error}")

        yield take


def _opened(text: str, kind: type[Any], target: str, name: str) -> Sink:
    try:
        return kind(target, name)
    except InputError:
        raise
    except Exception as error:  # whatever a service or a file system says
        why = " ".join(str(error).split())[:300]
        raise InputError(f"{text} cannot be opened", where="--log-to", why=why) from None


@contextlib.contextmanager
def also(wanted: Sequence[str], name: str, show: Callable[[Event], None]) -> Iterator[Callable[[Event], None]]:
    """What shows events, and hands them to sinks too; see ``opened``."""
    with opened(wanted, name, lambda text: show({"event": "warning", "text": text})) as take:
        yield lambda event: (show(event), take(event))[0]


def _closed(text: str, open_sinks: dict[str, Sink], warn: Callable[[str], None]) -> None:
    sink = open_sinks.pop(text, None)
    if sink is None:
        return
    try:
        sink.close()
    except Exception as error:
        warn(f"{text} was not closed: {error}")
