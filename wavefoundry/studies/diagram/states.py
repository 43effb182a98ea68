"""A quantum state of a lattice as an object: amplitudes, samples, expectation values, overlaps, and NetKet's view."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wavefoundry.adapt.pool import Layout, Pool, contract, sample, sample_listed
from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import MOST_SAMPLES, count_of, expect, numbers_of, seed_of
from wavefoundry.core.fidelity import Fidelity, fidelity
from wavefoundry.core.memory import require_memory
from wavefoundry.core.statistics import energy_statistics
from wavefoundry.core.types import Psi, Wavefunction
from wavefoundry.core.verdict import Verdict, observable_verdict, sampling_doubts, stored_verdict
from wavefoundry.engine.guided import guide_at
from wavefoundry.engine.sampling import Walkers, metropolis
from wavefoundry.problems import exact
from wavefoundry.problems.lattice import from_netket as system_from_netket
from wavefoundry.problems.lattice import observable_strings
from wavefoundry.problems.local_values import local_values, operators_of
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.strings import count_states
from wavefoundry.reports import cards
from wavefoundry.reports.shown import Card, Shown
from wavefoundry.studies.diagram.observing import Amplitude
from wavefoundry.studies.diagram.pretraining import chunk_size
from wavefoundry.studies.diagram.trust import SAFETY

BURN_IN = 50
"""Sweeps from random configurations to samples of a state that comes without any."""
WARM_UP = 10
"""Sweeps before the first sample; the chains start from samples of the state."""


def equilibrated(
    wavefunction: Wavefunction, system: LatticeSystem, key: Array, chains: int, chunk: int | None = None
) -> Array:
    """Walkers (chains, sites) of a state that comes without any, from random configurations to |psi|^2."""
    start = jax.vmap(system.init)(jax.random.split(key, chains))
    walkers = Walkers(start[None], key, jnp.ones(()), jnp.zeros(()))
    run, at_once = eqx.filter_jit(on_devices(metropolis)), chunk or chunk_size(wavefunction, system, 512)
    return run(wavefunction, system.family([{}]), walkers, BURN_IN * system.sites, at_once).x[0]


class Expectation(NamedTuple):
    """An expectation value with its error bar; verdict and why as for observables of a diagram."""

    value: float
    error: float
    r_hat: float | None
    samples: int
    verdict: str
    why: str

    def __str__(self) -> str:
        return f"{self.value:.6g} +- {self.error:.2g} ({self.verdict}: {self.why})"


class Overlap(NamedTuple):
    """|<psi|phi>|^2 / (<psi|psi> <phi|phi>) with its error bar."""

    fidelity: float
    error: float


@dataclasses.dataclass(frozen=True, repr=False)
class LatticeState(Shown):
    """One state of a lattice: a network with its weights at given couplings, and what is known of it.

    Amplitudes are those of the Hamiltonian as it was given: a sign rule that training used is part of them.

    Attributes:
        system: the Hamiltonian at the couplings of the state. wavefunction: network and weights.
        walkers: configurations distributed as |psi|^2, (chains, sites). record: the point in the diagram.
    """

    system: LatticeSystem
    wavefunction: Wavefunction
    walkers: Array
    record: dict[str, Any]

    @property
    def couplings(self) -> dict[str, float]:
        """Couplings by name."""
        return self.system.values

    @property
    def energy(self) -> float:
        """Total energy, see ``record`` for its error bar and verdict."""
        return self.record["energy"]

    def _card(self) -> Card:
        return cards.state(self.record, f"State of {self.system}")

    @property
    def _verdict(self) -> Verdict:
        return stored_verdict(self.record)

    @property
    def _chunk(self) -> int:
        return chunk_size(self.wavefunction, self.system, 512)

    def _checked(self, x: Any) -> Array:
        found = numbers_of(x, "x", where="state: x")
        if found.ndim not in (1, 2) or found.shape[-1] != self.system.sites:
            raise InputError(
                f"configurations of shape {found.shape} do not belong to {self.system.sites} sites",
                where="state: x",
                why="one configuration is (sites,), many are (n, sites)",
            )
        if not np.all(np.abs(found) == 1):
            raise InputError("spins are +1 or -1", where="state: x", why="as in nk.hilbert.Spin(1/2)")
        return jnp.asarray(found, jnp.int8)

    def log_amplitude(self, x: Any) -> np.ndarray:
        """Log psi(x), complex; not normalised.

        Args:
            x: one configuration (sites,), or many (n, sites); spins +-1.

        Returns:
            A complex number for one configuration, (n,) for many; -inf outside the Hilbert space (a fixed S_z).

        Raises:
            InputError: another number of sites, or values that are no spins.
        """
        xs = self._checked(x)
        many = xs if xs.ndim == 2 else xs[None]
        count = len(many)
        if count:  # few lengths, so that few programs are compiled
            many = np.pad(np.asarray(many), ((0, _roundly(count) - count), (0, 0)), mode="edge")
        found = np.asarray(_log_psi(self.wavefunction, self.system, jnp.asarray(many), self._chunk))
        if self.system.hilbert.constrained:
            found = np.where(np.asarray(self.system.hilbert.constraint(many)), found, -np.inf)
        return found[:count] if xs.ndim == 2 else found[0]

    def sample(self, n: int, *, seed: int = 0) -> np.ndarray:
        """Configurations distributed as |psi|^2: from the list of all where it is short, else from Markov chains.

        Chains start in samples of the state.

        Args:
            n: how many. seed: of the chains.

        Returns:
            Spins +-1, (n, sites), int8; neighbours in the list belong to different chains.
        """
        chains, per_chain = self._shape(n, "state.sample: n")
        xs = self._chains(chains, per_chain, seed_of(seed, "state.sample: seed"))
        return np.asarray(xs).reshape(chains, per_chain, -1).swapaxes(0, 1).reshape(chains * per_chain, -1)[: int(n)]

    def _shape(self, n: int, where: str) -> tuple[int, int]:
        """Chains, and samples of each, for at least n samples."""
        n = count_of(n, "number of samples", where=where, least=1, most=MOST_SAMPLES)
        needed, fix = 2 * n * self.system.sites, "fewer at a time, by seed"
        require_memory(needed, f"an array of {n} samples", where, fix)
        chains = min(64, max(2, n // 4))
        return chains, max(1, -(-n // chains))

    def _chains(self, chains: int, per_chain: int, seed: int) -> Array:
        """Samples chain by chain, (chains * per_chain, sites)."""
        k_start, k_run = jax.random.split(jax.random.fold_in(jax.random.key(seed), 7))
        if count_states(self.system.hilbert, 20) <= exact.LISTED:  # nothing can be missed
            states = jnp.asarray(exact.basis(self.system.hilbert), jnp.int8)
            count = chains * per_chain
            return sample_listed(self.wavefunction, self.system.family([{}]), states, k_run, count, self._chunk)
        start = jax.random.choice(k_start, self.walkers, (chains,))
        family, chunk = self.system.family([{}]), self._chunk
        guide = guide_at(self.wavefunction, family, self.walkers, self.system.extent, chunk)
        return sample(self.wavefunction, family, start, k_run, guide, Layout(chains, per_chain, WARM_UP, chunk))[0]

    def chains(self, n: int, seed: int) -> np.ndarray:
        """At least n samples of |psi|^2, (chains, samples of each, sites)."""
        chains, per_chain = self._shape(n, "state: n")
        return np.asarray(self._chains(chains, per_chain, seed)).reshape(chains, per_chain, -1)

    def to_arviz(self, n: int = 4096, *, seed: int = 0) -> Any:
        """Samples of |psi|^2 chain by chain as ``arviz.InferenceData``, with log |psi|^2 and the local energy of each.

        Args:
            n: at least so many. seed: of the chains.

        Raises:
            InputError: ArviZ is not installed (extra ``arviz``).
        """
        from wavefoundry.reports.exported import inference_data

        xs = self.chains(n, seed_of(seed, "state.to_arviz: seed"))
        flat = jnp.asarray(xs).reshape(-1, xs.shape[-1])
        terms = np.asarray(_local(self.system, self.wavefunction, self.system, flat, self._chunk))
        stats = {
            "lp": 2 * np.real(self.log_amplitude(flat)).reshape(xs.shape[:2]),
            "local_energy": np.real(terms @ np.asarray(self.system.couplings)).reshape(xs.shape[:2]),
        }
        return inference_data(xs, stats, {"state": str(self.system), "verdict": self._verdict.word})

    def expect(self, operator: Any, *, samples: int = 4096, seed: int = 0) -> Expectation:
        """Expectation value of a Hermitian NetKet operator on the same Hilbert space; its elements may be complex.

        Args:
            operator: a Jax operator, or one that NetKet can convert, or a system of ``wf.lattice``, whose Hamiltonian
                is taken. samples: of |psi|^2. seed: of the chains.

        Returns:
            Mean, error bar, and the verdict an observable of this state deserves.

        Raises:
            InputError: another Hilbert space, not Hermitian, or no operator.
        """
        local_of = self._local_values(operator.operator() if isinstance(operator, LatticeSystem) else operator)
        chains, per_chain = self._shape(samples, "expect: samples")
        xs = self._chains(chains, per_chain, seed_of(seed, "expect: seed"))
        local = np.asarray(local_of(xs)).reshape(chains, per_chain)
        found = energy_statistics(local, None)
        terms = np.asarray(_local(self.system, self.wavefunction, self.system, xs, self._chunk))
        bias = self._bias(local.reshape(-1), terms @ np.asarray(self.system.couplings))
        word, why = observable_verdict(found.mean, found.error, None, bias, self._verdict, bars=2.0)
        doubts = [doubt for doubt in sampling_doubts(found) if doubt.name != "IMAG"]
        if doubts and word != "refused":
            word, why = ("refused" if any(one.refuses for one in doubts) else "doubtful"), doubts[0].why
        return Expectation(found.mean, found.error, found.r_hat, chains * per_chain, word, why)

    def _bias(self, local: np.ndarray, energies: np.ndarray) -> float:
        """What the state may be off, from local values of an operator and of the Hamiltonian, (M,); see ``trust``."""
        drift = -2 * float(np.mean(np.real(np.conj(local - local.mean()) * (energies - energies.mean()))))
        gap = self.record.get("gap") or self.record.get("energy_scale")
        if not gap:
            return 2 * math.sqrt(max(self.record.get("v_score") or 0.0, 0.0)) * float(np.std(np.real(local)))
        return SAFETY * abs(drift) / gap

    def _local_values(self, operator: Any) -> Callable[[Array], Array]:
        """What gives the local values of an operator on samples, (M,), in the basis of the sign rule."""
        hilbert = getattr(operator, "hilbert", None)
        if hilbert != self.system.hilbert:
            raise InputError(
                f"the operator acts on {hilbert}, the state lives on {self.system.hilbert}"
                if hilbert is not None
                else f"{type(operator).__name__} is no NetKet operator",
                where="state.expect: operator",
                fix="build it on state.system.hilbert",
            )
        if not getattr(operator, "is_hermitian", True):
            raise InputError(
                "the operator is not Hermitian",
                where="state.expect: operator",
                why="its expectation value is no real number with an error bar",
                fix="measure (operator + operator.H) / 2 and -1j * (operator - operator.H) / 2 apart",
            )
        strings, rule = observable_strings(operator), self.system.sublattice
        sublattice = None if rule is None else np.asarray(rule)
        if strings is not None:
            operators = operators_of([strings], sublattice)
            amplitude = Amplitude(self.wavefunction, self.system, self._chunk).partial()
            return lambda xs: local_values(operators, amplitude, xs, self._chunk)[:, 0]
        extent, periodic = self.system.extent, self.system.periodic
        listed = None if sublattice is None else sublattice.tolist()
        term = system_from_netket({"O": operator}, {"O": 1.0}, extent=extent, periodic=periodic, marshall=listed)
        return lambda xs: _local(term, self.wavefunction, self.system, xs, self._chunk)[:, 0]

    def overlap(self, other: LatticeState, *, samples: int = 4096, seed: int = 0) -> Overlap:
        """Fidelity with another state from samples of both, by bridge sampling, see ``core.fidelity``.

        Args:
            other: on the same Hilbert space. samples: of each state. seed: of the chains.

        Returns:
            The fidelity in [0, 1] up to its error bar.

        Raises:
            InputError: another Hilbert space.
        """
        expect(other, LatticeState, "state", where="state.overlap: other", fix="diagram.state(...), base.state")
        if other.system.hilbert != self.system.hilbert:
            raise InputError("the other state lives on another Hilbert space", where="state.overlap: other")
        seed = seed_of(seed, "state.overlap: seed")
        found = fidelity_of(self, other, self.chains(samples, 2 * seed), other.chains(samples, 2 * seed + 1))
        return Overlap(found.value, found.error)

    def statevector(self) -> np.ndarray:
        """All amplitudes, normalised, complex, in the order of ``hilbert.all_states()``; up to 2^20 of them.

        Raises:
            InputError: more configurations than that.
        """
        hilbert = self.system.hilbert
        if not exact.listable(hilbert):
            raise InputError(
                f"{self.system.sites} sites have too many configurations for a list",
                where="state.statevector",
                why=f"at most {exact.MAX_STATES} amplitudes are listed",
                fix="use sample(n) and log_amplitude(x)",
            )
        xs = jnp.asarray(exact.basis(hilbert), jnp.int8)
        return _vector(self, xs)

    def to_netket(self, *, samples: int = 1024, seed: int = 0) -> Any:
        """The state as ``netket.vqs.MCState``: the same amplitudes, weights as its parameters.

        Moves are single flips, exchanges at a fixed magnetisation, and those of the Hamiltonian in a space with a
        constraint of the user's own; outside the space amplitudes are zero.

        Args:
            samples: of the Monte Carlo state. seed: of its sampler.

        Raises:
            InputError: a number or a seed that is none.
        """
        import netket as nk

        samples = count_of(samples, "number of samples", where="state.to_netket: samples", least=1, most=MOST_SAMPLES)
        seed = seed_of(seed, "state.to_netket: seed")

        params, static = eqx.partition(self.wavefunction, eqx.is_array)
        leaves, structure = jax.tree.flatten(params)
        names = [f"{i:03d}" for i in range(len(leaves))]
        system, chunk = self.system, self._chunk
        within = system.hilbert.constraint if system.hilbert.constrained else None

        def log_psi(variables: Any, x: Array, **_: Any) -> Array:
            here = eqx.combine(jax.tree.unflatten(structure, [variables["params"][name] for name in names]), static)
            found = _log_psi(here, system, x.reshape(-1, x.shape[-1]), chunk).reshape(x.shape[:-1])
            return found if within is None else jnp.where(within(x), found, -jnp.inf)

        sampler: Any = nk.sampler.MetropolisLocal(system.hilbert, dtype=jnp.int8)
        if within is not None and system.pairs is None:
            rule = nk.sampler.rules.HamiltonianRule(system.operator())
            sampler = nk.sampler.MetropolisSampler(system.hilbert, rule, dtype=jnp.int8)
        if system.pairs is not None:
            graph = nk.graph.Graph(edges=[(int(i), int(j)) for i, j in np.asarray(system.pairs)])
            sampler = nk.sampler.MetropolisExchange(system.hilbert, graph=graph, dtype=jnp.int8)
        variables = {"params": dict(zip(names, leaves, strict=True))}
        return nk.vqs.MCState(
            sampler, apply_fun=log_psi, variables=variables, n_samples=samples, seed=seed, sampler_seed=seed
        )


def _roundly(count: int) -> int:
    """The next length of a short list of lengths: powers of two, from 64 on with seven between them."""
    step = 1 << max((count - 1).bit_length() - 3, 0) if count > 64 else 0
    return -(-count // step) * step if step else max(8, 1 << (count - 1).bit_length())


def fidelity_of(one: LatticeState, two: LatticeState, on_one: np.ndarray, on_two: np.ndarray) -> Fidelity:
    """Fidelity from samples of both states, (chains, n, sites) each; amplitudes are those of the given Hamiltonian."""
    sides = []
    for xs in (on_one, on_two):
        flat = jnp.asarray(xs).reshape(-1, xs.shape[-1])
        a, b = (np.asarray(_log_psi(s.wavefunction, s.system, flat, s._chunk)) for s in (one, two))
        sides.append((b - a).reshape(xs.shape[:2]))
    return fidelity(*sides)


def fidelity_of_all(one: LatticeState, two: LatticeState, states: Array) -> Fidelity:
    """Fidelity by the sum over all configurations, (D, sites)."""
    return Fidelity(float(abs(np.vdot(_vector(one, states), _vector(two, states))) ** 2), 0.0)


def _vector(state: LatticeState, states: Array) -> np.ndarray:
    """Amplitudes of all configurations (D, sites), complex and normalised."""
    log: Any = np.asarray(_log_psi_of_all(state.wavefunction, state.system, states, state._chunk))
    psi = np.exp(log - np.max(np.real(log)))
    return psi / np.linalg.norm(psi)


@eqx.filter_jit
@on_devices
def _log_psi_of_all(wavefunction: Wavefunction, system: LatticeSystem, states: Array, chunk: int) -> Array:
    return jax.vmap(lambda psi, x: _signed(psi, system, x))(wavefunction.of_all(system, states, chunk), states)


@eqx.filter_jit
@on_devices
def _log_psi(wavefunction: Wavefunction, system: LatticeSystem, xs: Array, chunk: int) -> Array:
    return mapped(lambda x: _signed(wavefunction(system, x), system, x), xs, chunk)


def _signed(psi: Psi, system: LatticeSystem, x: Array) -> Array:
    """Complex log psi in the basis of the Hamiltonian, the sign rule undone."""
    log = psi.log.astype(jnp.float64) + 1j * psi.phase.astype(jnp.float64)
    return log if system.sublattice is None else log + 0.5j * jnp.pi * (1 - system.sign(x))


@eqx.filter_jit
@on_devices
def _local(term: LatticeSystem, wavefunction: Wavefunction, system: LatticeSystem, xs: Array, chunk: int) -> Array:
    """Local values of operators on samples, (M, terms); the network sees the couplings of ``system``."""
    wavefunction = wavefunction.without_features()
    local = term.expand_batch(lambda x: wavefunction.features(system, x), xs, min(chunk, xs.shape[0]))
    pool = Pool(xs, local, jnp.zeros(xs.shape[0]))  # drawn from this very state
    return contract(term, wavefunction.head, pool)  # type: ignore[arg-type]
