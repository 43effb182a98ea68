"""Scores that know the state: what a weight does, and what the others can take over when it goes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from wavefoundry.adapt.masks import Flags, Layout, removals

DISCOUNT = 0.4
"""Weight of a weight beyond the fan-in of its unit. Of 1, 0.7, 0.4 and 0.2 tried, 0.4 kept all bonds most reliably."""
IDLE = 1e-8
"""Weights whose w^2 S_kk is below this leave the state as it is."""


def sequence(
    theta: Float[np.ndarray, " n"],
    inverse: Float[np.ndarray, "n n"],
    count: int,
    first: Bool[np.ndarray, " n"] | None = None,
) -> Float[np.ndarray, " n"]:
    """Scores whose ``count`` smallest are removed one after the other, the rest adjusting after each.

    Removing w_q at the least change of the state, and moving the others by -w_q C_q. / C_qq, costs w_q^2 / C_qq, with
    C the inverse of the metric on what is left. Two weights that can replace each other are cheap one by one and dear
    together: only an updated C sees it.

    Args:
        theta: surviving weights. inverse: C = (S + shift)^-1 for them. count: how many go.
        first: weights that go before all others, the cheapest of them first.

    Returns:
        0, 1, 2, ... for the removed ones in their order, more for all others, by their cost afterwards.

    Source: Hassibi and Stork, optimal brain surgeon (1993), with the quantum geometric tensor as the Hessian.
    """
    left, weights, alive = inverse.copy(), theta.copy(), np.ones(theta.size, bool)
    first = np.zeros(theta.size, bool) if first is None else first
    score = np.zeros(theta.size)

    def costs() -> np.ndarray:
        return np.where(alive, weights**2 / np.maximum(np.where(alive, np.diag(left), 1.0), 1e-300), np.inf)

    for place in range(min(count, theta.size - 1)):
        cost = costs()
        preferred = first & alive
        chosen = int(np.argmin(np.where(preferred, cost, np.inf) if preferred.any() else cost))
        score[chosen] = place
        alive[chosen] = False
        column = left[:, chosen] / left[chosen, chosen]
        weights = np.where(alive, weights - weights[chosen] * column, 0.0)
        left = left - np.outer(column, left[chosen])
    rest = np.flatnonzero(alive)
    score[rest[np.argsort(costs()[rest], kind="stable")]] = theta.size + np.arange(rest.size)
    return score


def surgeon_scores(
    where: Layout,
    theta: np.ndarray,
    mask: Flags,
    metric: tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n n"]],
    fraction: float,
    fan_in: int = 0,
) -> Float[np.ndarray, " P"]:
    """Scores of ``sequence`` for the survivors, in the vector of all weights.

    Args:
        where: prunable layers. theta: all weights. mask: survivors.
        metric: diagonal of S and inverse of S + shift for the survivors.
        fraction: of the survivors that goes.
        fan_in: weights that a unit should keep; 0 for no such rule. As long as a unit has more, sizes decide: weights
            that do nothing go first, and those beyond the ``fan_in`` largest of their unit count ``DISCOUNT`` of
            their size. The metric alone would keep units on many sites that stand for several couplings at once.
    """
    place = np.flatnonzero(mask & where.prunable)
    score = np.zeros(where.total)
    if fan_in:
        idle = theta[place] ** 2 * metric[0] < IDLE
        extra = beyond(where, theta, mask, fan_in)[place]
        if np.any(extra):
            score[place] = np.where(idle, 0.0, np.abs(theta[place]) * np.where(extra, DISCOUNT, 1.0))
            return score
        score[place] = sequence(theta[place], metric[1], removals(place.size, fraction), idle)
        return score
    score[place] = sequence(theta[place], metric[1], removals(place.size, fraction))
    return score


def beyond(where: Layout, theta: np.ndarray, mask: Flags, limit: int) -> Flags:
    """Weights that are not among the ``limit`` largest into their unit."""
    found = np.zeros(where.total, bool)
    for layer in where.layers:
        size = np.abs(theta[layer.place] * mask[layer.place]).reshape(-1, layer.shape[-1])
        rank = np.argsort(np.argsort(-size, axis=0, kind="stable"), axis=0, kind="stable")
        found[layer.place] = rank.reshape(-1) >= limit
    return found & mask


def with_fan_in(where: Layout, theta: np.ndarray, mask: Flags, score: np.ndarray, limit: int) -> np.ndarray:
    """Scores lowered so that weights beyond the ``limit`` largest of their unit go before all others."""
    return score - 2 * np.max(np.abs(score), initial=1.0) * beyond(where, theta, mask, limit)
