"""Spins 1/2 on a lattice as a ``System``: moves, connected configurations, local energies term by term."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from wavefoundry.core.devices import shared
from wavefoundry.core.errors import InputError
from wavefoundry.core.lattices import LATTICES
from wavefoundry.core.numerics import map_where
from wavefoundry.core.types import Connected, Local, Psi, System
from wavefoundry.core.words import assigned
from wavefoundry.problems.lattice_checks import check_couplings
from wavefoundry.problems.outgoing import Outgoing
from wavefoundry.problems.strings import DROPPED, combined, fingerprint, infinite_temperature, is_constant, weights_of


class LatticeSystem(System):
    """Spins 1/2 on a lattice with H = sum_k couplings[k] * operators[k].

    Moves: single flips, exchanges of antiparallel neighbours when the magnetisation is fixed, or flips of groups under
    another constraint; now and then all spins are flipped, so that both sectors of an ordered phase are visited.
    """

    couplings: Float[Array, " terms"]  # pyright: ignore[reportIncompatibleMethodOverride]
    operators: tuple[Any, ...]  # NetKet Jax operators: pytrees, their data are leaves
    sublattice: Array | None  # (sites,) bool: sites rotated by the Marshall sign rule
    pairs: Int[Array, "pairs 2"] | None  # exchange moves; None: single flips
    flip_all: Float[Array, ""]  # probability of proposing to flip every spin
    names: tuple[str, ...] = eqx.field(static=True)
    extent: tuple[int, ...] = eqx.field(static=True)
    periodic: bool = eqx.field(static=True)
    model: str = eqx.field(static=True)
    slots: tuple[tuple[int, ...], ...] = eqx.field(static=True)  # off-diagonal slots of each operator
    groups: Bool[Array, "groups sites"] | None = None  # spins flipped together: half of the moves, all if constrained
    outgoing: Outgoing | None = None  # what leaves the neighbours, where that need not be listed
    geometry: str = eqx.field(static=True, default="")  # its name in ``core.lattices``; empty: the user's own
    uniform: bool = eqx.field(static=True, default=True)  # whether a coupling is the same on all its places

    def __repr__(self) -> str:
        known = isinstance(self.couplings, np.ndarray | jax.Array) and not isinstance(self.couplings, Tracer)
        if not known or self.couplings.ndim != 1:  # in compiled code, or a family
            return f"{self.model}, {self.sites} sites"
        edges = ("periodic" if self.periodic else "open") + ("" if self.uniform else ", local couplings")
        return f"{self.model}, {self.geometry or 'lattice'} {self._edges}, {edges}, {assigned(self.values)}"

    @property
    def _edges(self) -> str:
        """Edges as they are given, in cells where the lattice is a built-in one."""
        cells = LATTICES[self.geometry].cells(self.extent) if self.geometry in LATTICES else self.extent
        return " x ".join(map(str, cells))

    @property
    def size(self) -> str:
        """How large it is, in words: ``4 x 4 sites``, ``2 x 2 cells of kagome``."""
        several = self.geometry in LATTICES and LATTICES[self.geometry].basis > 1
        return f"{self._edges} cells of {self.geometry}" if several else f"{self._edges} sites"

    @property
    def sites(self) -> int:
        """Number of spins."""
        return int(np.prod(self.extent))

    @property
    def hilbert(self) -> Any:
        """NetKet Hilbert space."""
        return self.operators[0].hilbert

    @property
    def values(self) -> dict[str, float]:
        """Couplings by name."""
        return {name: float(value) for name, value in zip(self.names, np.asarray(self.couplings), strict=True)}

    def at(self, **couplings: float) -> LatticeSystem:
        """The same family at other couplings; unnamed ones keep their value.

        Raises:
            InputError: the system has no such coupling.
        """
        for name in couplings:
            if name not in self.names:
                raise InputError(
                    f"the {self.model} system has no coupling {name!r}",
                    where="couplings",
                    why=f"its couplings are {', '.join(self.names)}",
                    fix=f"use one of {', '.join(self.names)}",
                )
        check_couplings(couplings, "couplings")
        values = jnp.array([float(couplings.get(n, v)) for n, v in self.values.items()])
        return eqx.tree_at(lambda s: s.couplings, self, values)

    def varying(self) -> PyTree[bool]:
        """The members of a lattice family differ in their couplings alone."""
        return eqx.tree_at(lambda s: s.couplings, jax.tree.map(lambda _: False, self), True)

    def family(self, points: Sequence[dict[str, float]]) -> LatticeSystem:
        """Several members at once: couplings get a leading axis."""
        values = jnp.stack([self.at(**point).couplings for point in points])
        return eqx.tree_at(lambda s: s.couplings, self, values)

    @property
    def trace(self) -> Float[np.ndarray, " terms"]:
        """Energy of infinite temperature of each term, see ``strings.infinite_temperature``: ``trace @ couplings``."""
        return np.array([infinite_temperature(operator) for operator in self.operators])

    @property
    def fingerprint(self) -> str:
        """What tells this family of Hamiltonians from others; equal for all its members."""
        return fingerprint(self.names, self.operators)

    @property
    def unit(self) -> float:
        """The largest coupling in modulus of terms that are no constants; 1 where all are zero."""
        pairs = zip(np.asarray(self.couplings), self.operators, strict=True)
        return max((abs(float(value)) for value, one in pairs if value and not is_constant(one)), default=0.0) or 1.0

    def in_units(self) -> LatticeSystem:
        """The same Hamiltonian divided by ``unit``, of which NetKet loses nothing."""
        return self.at(**{name: value / self.unit for name, value in self.values.items()})

    def operator(self) -> Any:
        """The whole Hamiltonian at the present couplings as one NetKet operator (without sign rule).

        Raises:
            InputError: couplings so small that NetKet, which holds no string below 1e-8, would lose a part of it.
        """
        values = self.values
        strings = combined(self.operators, list(values.values()))
        sizes = np.zeros(0) if strings is None else np.abs(weights_of(strings))
        if np.any((sizes <= DROPPED) & (sizes > 1e-8 * np.max(sizes, initial=0.0))):
            least = min((name for name in values if values[name]), key=lambda name: abs(values[name]))
            what, fix = f"{least} = {values[least]:g} is too small for an operator of NetKet", "larger units"
            why = f"it drops strings of weights below {DROPPED:g}, and the rest would be another Hamiltonian"
            raise InputError(what, where="operator()", why=why, fix=fix)
        return sum(float(c) * o for c, o in zip(np.asarray(self.couplings), self.operators, strict=True))

    def init(self, key: PRNGKeyArray) -> Array:
        """A random spin configuration of the allowed sector."""
        return self.hilbert.random_state(key, dtype=jnp.int8)

    def propose(self, key: PRNGKeyArray, x: Array, width: Array) -> tuple[Array, Array]:
        """One local move, or with probability ``flip_all`` the flip of every spin."""
        del width
        # all of a move from one call: the generator, not the move, is what costs
        u = jax.random.uniform(key, (2 if self.groups is None else 3,), jnp.float32)
        moved, log_ratio = _flip_one(u[1], x) if self.pairs is None else _exchange(u[1], x, self.pairs)
        fenced = self.pairs is None and self.hilbert.constrained
        if self.groups is not None:
            moved = jnp.where(fenced | (u[2] < 0.5), _flip_group(u[1], x, self.groups), moved)
        if fenced:  # flips keep the constraint by being refused where they would break it
            log_ratio = jnp.where(self.hilbert.constraint(moved[None])[0], 0.0, -jnp.inf)
        everything = u[0] < self.flip_all
        return jnp.where(everything, -x, moved), jnp.where(everything, 0.0, log_ratio)

    def sign(self, x: Array) -> Array:
        """Marshall sign of a configuration: -1 for an odd number of down spins on the rotated sublattice."""
        assert self.sublattice is not None
        down = jnp.sum(jnp.where(self.sublattice, x < 0, False), dtype=jnp.int32)
        return 1.0 - 2.0 * (down % 2)

    def connected(self, x: Array) -> Connected:
        """Connected configurations with the matrix elements of each term, diagonal ones apart."""
        states, columns, diagonal = [], [], []
        for k, operator in enumerate(self.operators):
            xs, mels = operator.get_conn_padded(x)
            mels = jnp.real(mels).astype(jnp.float64)
            same = jnp.all(xs == x, axis=-1)
            diagonal.append(jnp.sum(jnp.where(same, mels, 0.0)))
            keep = np.array(self.slots[k], dtype=int)
            xs, mels = xs[keep], jnp.where(same, 0.0, mels)[keep]
            states.append(xs)
            columns.append(jnp.zeros((len(keep), len(self.operators))).at[:, k].set(mels))
        if not any(self.slots):  # nothing but a diagonal: one slot without elements keeps all shapes alive
            states.append(x[None])
            columns.append(jnp.zeros((1, len(self.operators))))
        xs, mels = jnp.concatenate(states).astype(x.dtype), jnp.concatenate(columns)
        if self.sublattice is not None:
            mels = mels * (self.sign(x) * jax.vmap(self.sign)(xs))[:, None]
        return Connected(xs, mels, jnp.stack(diagonal))

    def expand(self, features: Callable[[Array], Array], x: Array) -> Local:
        """Features of x and of every configuration it is connected to."""
        conn = self.connected(x)
        return Local(features(x), jax.vmap(features)(conn.x), conn.mels, conn.diagonal)

    def expand_batch(self, features: Callable[[Array], Array], xs: Array, chunk: int) -> Local:
        """``expand`` for many configurations; zero matrix elements cost nothing.

        Those connected configurations that have a non-zero element are evaluated, see ``map_where``.
        """
        return shared(functools.partial(self._expand_packed, features, chunk), xs)

    def _expand_packed(self, features: Callable[[Array], Array], chunk: int, xs: Array) -> Local:
        conn = jax.vmap(self.connected)(xs)
        samples, slots = conn.mels.shape[:2]
        chunk = min(chunk, samples * slots)
        active = jnp.any(conn.mels != 0, axis=-1).reshape(-1)
        z_conn = map_where(features, conn.x.reshape(samples * slots, -1), active, chunk).reshape(samples, slots, -1)
        return Local(jax.lax.map(features, xs, batch_size=chunk), z_conn, conn.mels, conn.diagonal)

    def contract(self, head: Callable[[Array], Psi], local: Local) -> Array:
        """Local energy of each term, (terms,); complex unless the head is real."""
        here, there = head(local.z), jax.vmap(head)(local.z_conn)
        log_ratio = (there.log - here.log).astype(jnp.float64)
        active = jnp.any(local.mels != 0, axis=-1)
        size = jnp.exp(jnp.where(active, log_ratio, 0.0))
        if getattr(head, "real", False):
            return local.diagonal + size @ local.mels
        angle = (there.phase - here.phase).astype(jnp.float64)
        return local.diagonal + (size * jnp.exp(1j * jnp.where(active, angle, 0.0))) @ local.mels


@eqx.filter_jit
def _some_elements(system: LatticeSystem) -> Array:
    xs = jax.vmap(system.init)(jax.random.split(jax.random.key(3), 64))
    return jax.vmap(lambda x: system.connected(x).mels)(xs)


def sign_free(system: LatticeSystem) -> bool:
    """True when no off-diagonal element is positive at these couplings: the ground state can be chosen positive.

    Checked on 64 random configurations.
    """
    return bool(np.all(np.asarray(_some_elements(system)) @ np.asarray(system.couplings) <= 1e-12))


def _flip_one(u: Array, x: Array) -> tuple[Array, Array]:
    """Flip one spin, chosen by u uniform in [0, 1)."""
    site = jnp.arange(x.shape[-1]) == jnp.floor(u * x.shape[-1]).astype(int)
    return jnp.where(site, -x, x), jnp.array(0.0)


def _flip_group(u: Array, x: Array, groups: Array) -> Array:
    """Flip one group of spins, chosen by u uniform in [0, 1)."""
    return jnp.where(groups[jnp.floor(u * groups.shape[0]).astype(int)], -x, x)


def _exchange(u: Array, x: Array, pairs: Array) -> tuple[Array, Array]:
    """Exchange one antiparallel pair, chosen by u in [0, 1); the Hastings ratio counts the choices both ways."""
    left, right = pairs[:, 0], pairs[:, 1]
    before = x[left] != x[right]
    rank = jnp.floor(u * jnp.sum(before)).astype(int)
    pair = jnp.argmax(jnp.cumsum(before) > rank)
    i, j = left[pair], right[pair]
    moved = x.at[i].set(x[j]).at[j].set(x[i])
    after = moved[left] != moved[right]
    # a configuration without antiparallel pairs stays what it is
    return moved, jnp.log(jnp.maximum(jnp.sum(before), 1) / jnp.maximum(jnp.sum(after), 1))
