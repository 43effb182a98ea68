"""The fidelity of two states from samples of both, by bridge sampling. NumPy alone."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Complex


class Fidelity(NamedTuple):
    """|<a|b>|^2 / (<a|a> <b|b>) and its error bar; an estimate may lie outside [0, 1] by about that."""

    value: float
    error: float


def fidelity(on_a: Complex[np.ndarray, "chains n"], on_b: Complex[np.ndarray, "chains n"]) -> Fidelity:
    """Fidelity of two states a and b, not normalised.

    The product of <b/a> over |a|^2 and <a/b> over |b|^2 is the fidelity too, but each of the ratios has a heavy tail.
    Over the mixture of both densities the same overlap is the mean of e^(i phase) / cosh(t), which is bounded, where
    2 t is the logarithm of the ratio of the normalised densities; that of the norms follows from <tanh t> = 0
    (Bennett's acceptance ratio). Where the states are close, its error is of the order of 1 - F and not of its root.

    Args:
        on_a: log b(x) - log a(x) on independent chains of samples of |a|^2. on_b: the same on samples of |b|^2.
    """
    sides: list[Any] = [np.asarray(on_a, complex), np.asarray(on_b, complex)]
    shift = _balance(sides)
    means, variances = [], []
    t = [side.real - shift for side in sides]
    bridge = [np.exp(1j * side.imag) / np.cosh(np.clip(one, -300, 300)) for side, one in zip(sides, t, strict=True)]
    tilt = sum(np.mean(b * np.tanh(one)) for b, one in zip(bridge, t, strict=True)) / 2
    stiff = sum(np.mean(np.abs(b) ** 2) for b in bridge) / 2
    gain = tilt / stiff if stiff > 0 else 0.0  # how the overlap answers to a mean of tanh that is off
    for b, one in zip(bridge, t, strict=True):
        chains = b.mean(axis=1) + gain * np.tanh(one).mean(axis=1)
        means.append(b.mean())
        variances.append(np.cov(np.array([chains.real, chains.imag])) / len(chains))
    overlap, spread = (means[0] + means[1]) / 2, (variances[0] + variances[1]) / 4
    along = np.array([overlap.real, overlap.imag])
    noise = float(np.trace(spread))  # what |mean|^2 has too much
    error = math.sqrt(4 * float(along @ spread @ along) + 2 * float(np.sum(spread**2)))
    return Fidelity(float(abs(overlap) ** 2) - noise, error)


def _balance(sides: list[Any]) -> float:
    """Half the logarithm of <b|b> / <a|a>: where the means of tanh over both sets of samples cancel."""
    low = min(float(side.real.min()) for side in sides)
    high = max(float(side.real.max()) for side in sides)
    for _ in range(200):
        middle = (low + high) / 2
        if sum(float(np.tanh(side.real - middle).mean()) for side in sides) > 0:
            low = middle
        else:
            high = middle
        if high - low <= 1e-14 * max(1.0, abs(high)):
            break
    return (low + high) / 2
