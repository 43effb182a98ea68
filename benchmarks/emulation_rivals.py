"""The unitary student beside what else learns a frame from data: Fourier neural operator, linear estimators, GRU.

The student and the neural operator learn from the default curriculum (single barriers) and are judged on landscapes
that they never saw. A linear estimator is a matrix for one landscape and transfers to no other, so it is given what
they are not: runs on the very landscape it is judged on, other packets, as many frames. Two of them: least squares with
a ridge chosen on runs held out, and the unitary matrix nearest to the data (Procrustes), which cannot lose norm.

The neural operator is that of neuraloperator, in an environment of its own, named by its Python:
``--neuralop ENV/bin/python`` with ``pip install neuraloperator torch``. The GRU is the shipped one, trained elsewhere
on the paper's curriculum.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from _common import finite, parser, save, say, table

import wavefoundry as wf
from wavefoundry.problems.landscapes import drawn, suite
from wavefoundry.problems.schrodinger import energy_of
from wavefoundry.studies.emulation.curriculum import Trajectories
from wavefoundry.studies.emulation.evaluation import case_record, compare, overview, roll
from wavefoundry.studies.emulation.student import Student
from wavefoundry.studies.emulation.truth import LEAD, Reference, reference

COLUMNS = (
    "method", "learns from", "weights", "train CPU s", "us a frame", "corr mean", "corr worst", "corr end", "MAE",
    "norm drift",
)  # fmt: skip
MEASURED = ("corr_mean", "corr_worst", "corr_final", "mae", "norm_drift")
RIDGES = (1e-12, 1e-10, 1e-8, 1e-6, 1e-4)


class Rolled(NamedTuple):
    """Frames of all cases after the start, (cases, frames, n), and what they cost."""

    frames: np.ndarray
    weights: int
    train: float  # CPU seconds
    each: float  # CPU seconds a frame of a case
    about: dict[str, Any]


def judged(name: str, source: str, found: Rolled, truth: Reference, lead: int = 1) -> dict[str, Any]:
    """One row: means over the cases by the rules of a study."""
    count = found.frames.shape[1]
    curves = compare(found.frames, truth.frames[:, lead : lead + count], truth.fields, truth.grid)
    start = energy_of(truth.states, truth.fields, truth.grid)
    records = [case_record(item, curves, i, float(start[i])) for i, item in enumerate(truth.items)]
    over = overview(records)
    known = {"method": name, "learns_from": source, "weights": found.weights, "train_cpu_seconds": found.train}
    known |= {"cpu_seconds_per_frame": found.each} | {key: over[key] for key in (*MEASURED, "worst_case")}
    finite(known["corr_mean"], f"the correlation of {name}")
    return known | found.about | {"cases": {r["name"]: r["corr_mean"] for r in records}}


def of_student(student: Student, truth: Reference) -> Rolled:
    """A student of ours; its program is compiled before the clock starts."""
    roll(student, truth)
    begin = time.process_time()
    frames = roll(student, truth)
    each = (time.process_time() - begin) / (frames.shape[0] * frames.shape[1])
    return Rolled(frames, student.parameters, float(student.record["cost"]["cpu_seconds"]), each, {})


def of_operator(data: Trajectories, truth: Reference, frames: int, arguments: argparse.Namespace) -> Rolled:
    """The Fourier neural operator, trained in its own process."""
    settings = {
        key: getattr(arguments, key) for key in ("seconds", "modes", "hidden", "layers", "learning_rate", "seed")
    }
    with tempfile.TemporaryDirectory() as folder:
        names = [str(Path(folder) / name) for name in ("in.npz", "out.npz", "settings.json")]
        np.savez(
            names[0],
            count=frames,
            frames=data.frames,
            potentials=data.potentials,
            states=truth.states,
            fields=truth.fields,
        )
        Path(names[2]).write_text(json.dumps(settings))
        script = Path(__file__).resolve().with_name("_neuralop_train.py")
        subprocess.run([arguments.neuralop, str(script), *names], check=True)
        out = np.load(names[1])
        about = json.loads(str(out["about"]))
        found = out["frames"][:, 1:]
    weights, train, each = (about.pop(key) for key in ("weights", "train_cpu_seconds", "cpu_seconds_per_frame"))
    return Rolled(found, weights, train, each, about)


class Moments(NamedTuple):
    """What a linear estimator sees of pairs (x, y): sums of y x^H and x x^H, each (n, n)."""

    cross: np.ndarray
    gram: np.ndarray


def of_matrices(truth: Reference, frames: int, runs: int, seed: int) -> tuple[Rolled, Rolled]:
    """Both linear estimators, a matrix of each for every landscape."""
    items = drawn(seed + 1, runs + 2)
    states = np.stack([item.state(truth.grid) for item in items])
    spent, each, out = np.zeros(2), np.zeros(2), [[], []]
    chosen = []
    for field, psi, item in zip(truth.fields, truth.states, truth.items, strict=True):
        say(f"  {item.name}")
        solved = wf.propagate(states, field, frames, grid=truth.grid, dt=truth.frame_step)
        pairs, held = solved[:runs], solved[runs:]
        begin = time.process_time()
        seen = moments(pairs)
        common = time.process_time() - begin
        for k, fit in enumerate((ridge, procrustes)):
            begin = time.process_time()
            matrix, note = fit(seen, held)
            spent[k] += common + time.process_time() - begin
            chosen += [note] if note else []
            begin = time.process_time()
            out[k].append(powers(matrix, psi, frames))
            each[k] += (time.process_time() - begin) / frames / len(truth.items)
    n = truth.fields.shape[1]
    abouts: list[dict[str, Any]] = [{"ridges": chosen, "runs_per_landscape": runs}, {"runs_per_landscape": runs}]
    first, second = (
        Rolled(np.stack(out[k]), 2 * n * n * len(truth.items), float(spent[k]), float(each[k]), abouts[k])
        for k in (0, 1)
    )
    return first, second


def moments(frames: np.ndarray) -> Moments:
    """Of all pairs of successive frames, (runs, frames + 1, n)."""
    x, y = (part.reshape(-1, frames.shape[-1]).T for part in (frames[:, :-1], frames[:, 1:]))
    return Moments(y @ x.conj().T, x @ x.conj().T)


def ridge(seen: Moments, held: np.ndarray) -> tuple[np.ndarray, float]:
    """Least squares with the ridge that predicts the last frames of the held-out runs best."""
    values, vectors = np.linalg.eigh(seen.gram)
    turned, best = seen.cross @ vectors, (np.inf, np.zeros(0), 0.0)
    for size in RIDGES:
        matrix = (turned / (np.maximum(values, 0) + size * values[-1])) @ vectors.conj().T
        with np.errstate(all="ignore"):
            ends = np.stack([powers(matrix, run[0], len(run) - 1)[-1] for run in held])
            error = float(np.linalg.norm(ends - held[:, -1]))
        best = min(best, (error if np.isfinite(error) else np.inf, matrix, size), key=lambda one: one[0])
    return best[1], best[2]


def procrustes(seen: Moments, held: np.ndarray) -> tuple[np.ndarray, None]:
    """The unitary matrix with the least error on the pairs."""
    del held
    left, _, right = np.linalg.svd(seen.cross)
    return left @ right, None


def powers(matrix: np.ndarray, psi: np.ndarray, count: int) -> np.ndarray:
    """The state after 1, 2, ..., count applications."""
    out = []
    for _ in range(count):
        psi = matrix @ psi
        out.append(psi)
    return np.stack(out)


def arguments_of() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.set_defaults(layers=4)
    options.add_argument("--neuralop", metavar="PYTHON", help="the Python of an environment with neuraloperator")
    options.add_argument("--seconds", type=float, default=900, help="CPU seconds of its training")
    options.add_argument("--modes", type=int, default=384, help="its Fourier modes, of both signs")
    options.add_argument("--hidden", type=int, default=32, help="its channels")
    options.add_argument("--learning-rate", type=float, default=1e-3)
    options.add_argument("--runs", type=int, default=96, help="runs a landscape for the linear estimators")
    return options.parse_args()


def rows_of(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Train and judge all of them."""
    quick, frames = arguments.quick, 20 if arguments.quick else 400
    runs, cases = (8, 3) if quick else (arguments.runs, None)
    curriculum = wf.Curriculum.preset("quick" if quick else "default", frames=frames)
    data = curriculum.generate()
    items: Sequence[Any] = suite(data.grid)[:cases]
    truth = reference(items, data.grid, frames, data.frame_step, paper=False)
    say("unitary student ...")
    student = wf.distill(curriculum, wf.models.unitary(), **({"steps": 40, "polish": 2} if quick else {}))
    rows = [judged("unitary student", "the curriculum", of_student(student, truth), truth)]
    say("GRU ...")
    gru = wf.load_student("zoo:emulator-gru")
    rows.append(judged("GRU of 2203.10200", "its own 567 runs", of_student(gru, truth), truth, LEAD + 1))
    say("linear estimators ...")
    names = ("least squares", "unitary Procrustes")
    for name, found in zip(names, of_matrices(truth, frames, runs, arguments.seed), strict=True):
        rows.append(judged(name, f"{runs} runs of each landscape", found, truth))
    if arguments.neuralop:
        say("Fourier neural operator ...")
        rows.append(judged("FNO", "the curriculum", of_operator(data, truth, frames, arguments), truth))
    return rows


def main() -> None:
    """Train all of them, print a table."""
    arguments = arguments_of()
    if arguments.quick:
        arguments.seconds = 20.0
    rows = rows_of(arguments)
    cells = [
        [
            row["method"],
            row["learns_from"],
            row["weights"],
            row["train_cpu_seconds"],
            1e6 * row["cpu_seconds_per_frame"],
        ]
        + [f"{row[key]:.6f}" if key.startswith("corr") else row[key] for key in MEASURED]
        for row in rows
    ]
    table("one frame learned from data, suite of 24 landscapes, time 40", COLUMNS, cells)
    save("emulation_rivals", arguments, rows)


if __name__ == "__main__":
    main()
