"""Samples one move of the Hamiltonian away from |psi|^2: they meet what H connects to the state and samples miss.

A Markov chain of |psi|^2 never visits configurations where psi vanishes but H psi does not, and rarely those where psi
is small. Local energies there are what tells a wrong state from an eigenstate. So a share of the samples x is moved
on, to y with probability P(x -> y) = |H_xy| / sum_y |H_xy|. All samples together have the density

    q(y) = stay |psi(y)|^2 + (1 - stay) sum_x |psi(x)|^2 P(x -> y),

known from the neighbours of y, which its local energy needs anyway. With it <(H - E)^2> is the mean over all samples of
|((H - E) psi)(y)|^2 / q(y), and every ratio is bounded: |psi|^2 / q <= 1 / stay.

Where psi almost vanishes on few configurations, moves by chance seldom meet them. What is measured knows psi on all
neighbours of its samples before it draws moves, and half of them go where psi is smaller than H would make it
(``picked``); the weight of a sample says how much more often it was drawn than by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wavefoundry.core.devices import mapped
from wavefoundry.core.types import Connected, Local, Psi, System

MOST = 256
"""Samples that are looked at together."""
MOVES_BYTES = 2**28
"""Memory for the moves of all neighbours of the samples that are looked at together."""


class Image(NamedTuple):
    """What one sample says: H psi and psi there, both over the root of the density it was drawn from.

    The common phase of psi is taken out. Means over samples of ``amplitude * values`` are those of the local energies,
    of ``amplitude^2`` one, and of |values . couplings - E amplitude|^2 the variance of H.
    """

    values: Array  # (terms,), (H_k psi)(y) / sqrt(q(y)); complex unless the head is real
    amplitude: Float[Array, ""]  # |psi(y)| / sqrt(q(y))


def sizes(system: System, connected: Connected) -> Float[Array, " K"]:
    """|H_xy| of every connected configuration."""
    return jnp.abs(connected.mels @ system.couplings)


def move(system: System, key: PRNGKeyArray, x: Array) -> Array:
    """A configuration connected to x, drawn with probability proportional to |H_xy|; x itself where there is none."""
    connected = system.connected(x)
    cumulated = jnp.cumsum(sizes(system, connected))
    # 1 - u lies in (0, 1]: a slot of no weight is never drawn
    slot = jnp.searchsorted(cumulated, (1 - jax.random.uniform(key, dtype=cumulated.dtype)) * cumulated[-1])
    return jnp.where(cumulated[-1] > 0, connected.x[jnp.minimum(slot, len(cumulated) - 1)], x)


def moves(system: System, head: Callable[[Array], Psi], x: Array, local: Local, stay: Any) -> tuple[Array, Array]:
    """Where a sample may move to: the probabilities P(x -> y), and how surprising psi is there.

    The latter is the part of q(y) that at least comes from moves of x, to the fourth power: close to one where psi is
    small, and next to nothing where y is about as likely as x.

    Args:
        system: with the couplings the moves are made with. head: of the wavefunction. x: the sample. local: from
            ``expand``. stay: share of all samples that are not moved.

    Returns:
        Both of shape (K + 1,): connected configurations, and at the end x itself, if there is nothing to move to.
    """
    size = sizes(system, system.connected(x))
    total = jnp.sum(size)
    chance = jnp.where(total > 0, size / jnp.where(total > 0, total, 1.0), 0.0)
    log = jax.vmap(head)(local.z_conn).log.astype(jnp.float64) - head(local.z).log.astype(jnp.float64)
    come = (1 - stay) * chance
    share = jnp.where(chance > 0, come / jnp.where(chance > 0, come + stay * jnp.exp(2 * log), 1.0), 0.0)
    return jnp.append(chance, jnp.where(total > 0, 0.0, 1.0)), jnp.append(share**4, 0.0)


def picked(key: PRNGKeyArray, chance: Float[Array, "S K"], surprise: Float[Array, "S K"], count: int) -> Any:
    """Moves of the samples of a chain: half of them by chance, half where psi is smaller than H would make it.

    Args:
        key: random key. chance, surprise: from ``moves``, of all samples. count: how many.

    Returns:
        Which sample, where to (slot), and the weight, chance over probability: at most two. All of shape (count,).
    """
    by_chance, surprising = (table / jnp.maximum(jnp.sum(table), 1e-300) for table in (chance, chance * surprise))
    share = 0.5 * (by_chance + jnp.where(jnp.sum(surprising) > 0, surprising, by_chance)).ravel()
    cumulated = jnp.cumsum(share)
    marks = (jnp.arange(count) + 1 - jax.random.uniform(key)) / count * cumulated[-1]
    index = jnp.minimum(jnp.searchsorted(cumulated, marks), share.size - 1)
    return *jnp.unravel_index(index, chance.shape), by_chance.ravel()[index] / share[index]


def leaving(system: System, x: Array, connected: Connected) -> Float[Array, " K"]:
    """What the moves of every connected configuration add up to: sum_y' |H_yy'|."""
    known = getattr(system, "outgoing", None)
    if known is not None:
        return known(system.couplings, x)
    return jax.vmap(lambda y: jnp.sum(sizes(system, system.connected(y))))(connected.x)


def density(system: System, x: Array, log_there: Float[Array, " K"], stay: Any) -> tuple[Array, Connected]:
    """q(x) / |psi(x)|^2 without its first part, in other words what neighbours bring: (1 - stay) sum ... / |psi(x)|^2.

    Args:
        system: with the couplings the moves are made with. x: one configuration.
        log_there: log |psi(x') / psi(x)|, or log |psi(x')| over any common factor, of the connected configurations.
        stay: share of the samples that are not moved.

    Returns:
        That density, in units of the common factor squared, and the connected configurations.
    """
    connected = system.connected(x)
    size, out = sizes(system, connected), leaving(system, x, connected)
    share = jnp.where(size > 0, size / jnp.where(out > 0, out, 1.0), 0.0)
    return (1 - stay) * jnp.sum(jnp.where(size > 0, jnp.exp(2 * log_there), 0.0) * share), connected


def together(system: System, local: Local) -> int:
    """How many samples memory allows to look at together: listed moves of their neighbours grow as sites squared.

    Args:
        system: says whether they are listed. local: of all samples, leading axis S.
    """
    if getattr(system, "outgoing", None) is not None:
        return MOST
    samples, moves, terms = local.mels.shape
    return max(1, min(samples, MOVES_BYTES // max(1, moves * moves * terms * local.mels.dtype.itemsize)))


def image(system: System, head: Callable[[Array], Psi], x: Array, local: Local, stay: Any) -> Image:
    """The image of one sample, whose features are known.

    Args:
        system: at the couplings that are measured. head: of the wavefunction. x: the sample. local: from ``expand``.
        stay: share of all samples that are not moved.
    """
    here, there = head(local.z), jax.vmap(head)(local.z_conn)
    active = jnp.any(local.mels != 0, axis=-1)
    log_here, log_there = here.log.astype(jnp.float64), jnp.where(active, there.log.astype(jnp.float64), -jnp.inf)
    top = jnp.maximum(log_here, jnp.max(log_there, initial=-jnp.inf))
    come, connected = density(system, x, log_there - top, stay)
    one = jnp.exp(log_here - top)
    alone = ~jnp.any(sizes(system, connected) > 0)  # nothing to move to: it stays
    root = jnp.sqrt(stay * one**2 + come + jnp.where(alone, (1 - stay) * one**2, 0.0))
    others = jnp.exp(log_there - top)
    if not getattr(head, "real", False):
        others = others * jnp.exp(1j * jnp.where(active, (there.phase - here.phase).astype(jnp.float64), 0.0))
    return Image((local.diagonal * one + others @ local.mels) / root, one / root)


def images(system: System, head: Callable[[Array], Psi], xs: Array, local: Local, stay: Any) -> Image:
    """The images of many samples, leading axis S: see ``image``."""
    return mapped(lambda a: image(system, head, a[0], a[1], stay), (xs, local), min(MOST, together(system, local)))
