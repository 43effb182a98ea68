"""What a finished diagram shows: where its transition lies, and what the network has learned on the way to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wavefoundry.core import tree
from wavefoundry.core.components import stage
from wavefoundry.core.overlaps import Overlap, blind_to_flip, overlap
from wavefoundry.core.statistics import mean_and_error
from wavefoundry.core.types import Wavefunction
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.strings import strings_of
from wavefoundry.studies.diagram import transition
from wavefoundry.studies.diagram.pretraining import SNAPSHOT
from wavefoundry.studies.diagram.rivals import held_against
from wavefoundry.studies.diagram.states import LatticeState, log_psi_of
from wavefoundry.studies.progress import Progress
from wavefoundry.studies.task import Output, Task

TRANSITION, FEATURES = "transition", "features"
ROWS = 32
"""Independent parts of the samples of a state, for error bars."""
PICTURED = 200
"""Samples whose principal components are kept for the report."""


class Diagrammed(NamedTuple):
    """What a finished diagram has: records of its points, and states, None where a point has no number."""

    records: Sequence[dict[str, Any]]
    states: Sequence[LatticeState | None]


def transition_task(needs: tuple[str, ...], samples: float) -> Task:
    """The task that looks for a transition, after the points."""
    return Task(TRANSITION, needs, 0.1 * samples)


def find_transition(found: Diagrammed, base: Mapping[str, Any] | None, progress: Progress) -> Output:
    """Look for the transition along the coupling that varies.

    Returns:
        Record ``{"transition": ..., "transitions": [...]}``, see docs/results.md.
    """
    records = held_against(found.records, [] if base is None else [dict(base)])
    line = transition.line_of(records)
    if isinstance(line, str):
        return Output({"transition": transition.none_at(None, line), "transitions": []})
    states = [found.states[i] for i in line.index]
    pairs, spreads = overlaps(states, line.x, progress) if len(states) >= 5 else ({}, {})
    every = transition.transitions(line, pairs, spreads, _model(found.states))
    best = transition.best_of(every)
    if line.lost:
        best["why"] += f" ({line.lost} points without a usable number left out)"
    words = best["why"] if best["value"] is None else f"at {line.name} = {best['value']:.4g} +- {best['error']:.1g}"
    progress.say(TRANSITION, f"transition {words}" if best["value"] is not None else "no transition is seen")
    return Output({"transition": best, "transitions": every})


def _model(states: Sequence[LatticeState | None]) -> str:
    return next((state.system.model for state in states if state is not None), "")


def overlaps(
    states: Sequence[LatticeState | None], x: np.ndarray, progress: Progress
) -> tuple[dict[tuple[int, int], Overlap], dict[int, tuple[float, float]]]:
    """Fidelities of states in a line, of neighbours and of next neighbours, and the variance of d log psi / dc.

    Args:
        states: in the order of the line, None where there is none. x: couplings.
    """
    blind = all(state is None or mirrored(state) for state in states)
    logs: dict[tuple[int, int], np.ndarray] = {}

    def log(i: int, on: int) -> np.ndarray:
        """Log psi of state i on the samples of another, [rows, samples]."""
        if (i, on) not in logs:
            one, xs = states[i], states[on]
            assert one is not None and xs is not None
            logs[i, on] = _amplitudes(one, xs.walkers, blind)
        return logs[i, on]

    pairs: dict[tuple[int, int], Overlap] = {}
    spreads: dict[int, tuple[float, float]] = {}
    for i in range(len(states)):
        for j in (i + 1, i + 2):
            if j < len(states) and states[i] is not None and states[j] is not None:
                pairs[i, j] = overlap(log(j, i) - log(i, i), log(j, j) - log(i, j))
        around = (i - 1, i, i + 1)
        if 0 < i < len(states) - 1 and all(states[k] is not None for k in around):
            spreads[i] = spread((log(i + 1, i) - log(i - 1, i)) / (x[i + 1] - x[i - 1]))
        for key in [key for key in logs if max(key) < i - 1]:
            del logs[key]
        progress.stop_if_asked()
    return pairs, spreads


def spread(derivative: np.ndarray) -> tuple[float, float]:
    """Twice the variance of the logarithmic derivative (complex, [rows, samples]), with its error bar."""
    turned = np.imag(derivative)
    centred = np.real(derivative) - np.real(derivative).mean() + 1j * (turned - turned.mean())
    mean, error = mean_and_error(2 * np.abs(centred) ** 2)
    return mean, error


def _amplitudes(state: LatticeState, xs: Array, blind: bool) -> np.ndarray:
    """Log psi, complex, [rows, samples]; of a state that is blind to flips, its mean over both mirror images."""
    count = len(xs) // ROWS * ROWS if len(xs) >= ROWS else len(xs)
    some = xs[:count]
    log = log_psi_of(state, some)
    if blind:
        log = blind_to_flip(np.real(log), np.real(log_psi_of(state, -some))) + 0j
    return log.reshape(min(ROWS, count), -1)


def mirrored(state: LatticeState) -> bool:
    """Whether a positive state belongs to a Hamiltonian that does not see all spins flipped."""
    if not state.wavefunction.real or float(state.system.flip_all) == 0:
        return False
    strings = [strings_of(operator) for operator in state.system.operators]
    return all(one is not None and not np.any(one.signs.sum(axis=1) % 2) for one in strings)


def find_features(
    first: Wavefunction, last: LatticeState, kept: Mapping[str, np.ndarray], steps: int, chunk: int
) -> Output:
    """Principal components of the features of common samples: before, during and after the training.

    Args:
        first: the network with its first weights. last: the trained state, whose samples are taken. kept: weights on
            the way, see ``SNAPSHOT``. steps: of the training. chunk: configurations evaluated at a time.
    """
    xs = last.walkers
    log = np.real(log_psi_of(last, xs))
    quantities = {"log_psi": log, **_orders(last.system, xs)}
    stages = [("before", 0, first)]
    for step in sorted({int(name.split("/")[1]) for name in kept}):
        prefix = f"{SNAPSHOT}{step}/"
        arrays = {name.removeprefix(prefix): value for name, value in kept.items() if name.startswith(prefix)}
        stages.append(("during", step, tree.from_arrays(first, arrays)))
    stages.append(("after", steps, last.wavefunction))
    found = [
        stage(name, step, np.asarray(_features(one, last.system, xs, chunk)), quantities, PICTURED)
        for name, step, one in stages
    ]
    shown = {name: np.round(values[:PICTURED], 4).tolist() for name, values in quantities.items()}
    return Output({"samples": len(xs), "couplings": last.couplings, "stages": found, "quantities": shown})


@eqx.filter_jit
def _features(wavefunction: Wavefunction, system: LatticeSystem, xs: Array, chunk: int) -> Array:
    return jax.lax.map(lambda x: wavefunction.features(system, x), xs, batch_size=min(chunk, xs.shape[0]))


def _orders(system: LatticeSystem, xs: Array) -> dict[str, np.ndarray]:
    """Order parameters of configurations: modulus and sign where it has one, and the nearest correlation."""
    from wavefoundry.problems import observables

    names = observables.names(system)
    one: Callable[[Array], Array] = observables.measure(system)
    table = np.asarray(jax.lax.map(one, jnp.asarray(xs), batch_size=1024))
    wanted = [k for k, name in enumerate(names) if name.endswith("abs_m") or name == "correlation_1"]
    found = {names[k]: table[:, k] for k in wanted}
    signed = observables.signed_order(system)
    return found if signed is None else found | {names[0].removesuffix("2"): np.asarray(xs, float) @ signed}
