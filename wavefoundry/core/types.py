"""The central types: what a system, a wavefunction, a sample and a run are to the engine.

Everything numerical is written for ONE configuration and batched by the engine with ``jax.vmap``. Importing this
module switches JAX to 64-bit mode: networks may run in float32, but means, solves and keys are 64-bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from wavefoundry.core.devices import mapped
from wavefoundry.core.errors import InputError

jax.config.update("jax_enable_x64", True)
# GPUs would multiply single precision with ten bits; a value of the user's own is respected.
if getattr(jax.config, "jax_default_matmul_precision", None) is None:
    jax.config.update("jax_default_matmul_precision", "highest")

Config = PyTree  # one configuration: spins of a lattice, positions of electrons


class Psi(NamedTuple):
    """Amplitude of one configuration, psi = exp(log + i phase)."""

    log: Float[Array, ""]
    phase: Float[Array, ""]


class Batch(NamedTuple):
    """Configurations with their weights: Metropolis samples (equal weights), a full sum, or a re-weighted pool."""

    x: Config  # leading axis S
    weight: Float[Array, " S"]  # sums to 1


class Connected(NamedTuple):
    """The off-diagonal and diagonal matrix elements of a lattice Hamiltonian at one configuration, term by term."""

    x: Array  # (K, sites), the connected configurations
    mels: Array  # (K, terms), <x|H_k|x'>; zero entries are never evaluated
    diagonal: Array  # (terms,), <x|H_k|x>


class Local(NamedTuple):
    """The costly half of a lattice local energy: features of a configuration and of all it is connected to."""

    z: Array  # (width,)
    z_conn: Array  # (K, width), zero where every matrix element is zero
    mels: Array  # (K, terms)
    diagonal: Array  # (terms,)


class System(eqx.Module):
    """A Hamiltonian H = sum_k c_k H_k with its configuration space and moves.

    Couplings are data, not code: a sweep over couplings re-uses every compiled program.
    """

    if TYPE_CHECKING:  # every final class has it, as a field or as a property

        @property
        def couplings(self) -> Float[Array, " terms"]:
            """Prefactors c_k of the terms."""
            ...

    def varying(self) -> PyTree[bool]:
        """Leaves that differ between the members of a family (they get a leading axis); all arrays by default."""
        return jax.tree.map(eqx.is_array, self)

    def init(self, key: PRNGKeyArray) -> Config:
        """A random configuration of the allowed sector."""
        raise NotImplementedError

    def propose(self, key: PRNGKeyArray, x: Config, width: Array) -> tuple[Config, Float[Array, ""]]:
        """A Metropolis move and its log Hastings ratio; ``width`` scales moves in continuous space."""
        raise NotImplementedError

    def connected(self, x: Config) -> Connected:
        """What the Hamiltonian connects x to, on a lattice."""
        raise NotImplementedError

    def expand(self, features: Callable[[Config], Array], x: Config) -> Any:
        """The costly half of the local energy: all evaluations of the backbone."""
        raise NotImplementedError

    def expand_batch(self, features: Callable[[Config], Array], xs: Config, chunk: int) -> Any:
        """``expand`` for many configurations, ``chunk`` at a time; systems may override it to skip work."""
        return mapped(lambda x: self.expand(features, x), xs, chunk)

    def contract(self, head: Callable[[Array], Psi], local: Any) -> Array:
        """The cheap half: head and expanded features give the local energy of every term, shape (terms,)."""
        raise NotImplementedError


class Head(Protocol):
    """What head tuning needs to know: pre-activations y = (z, 1) @ weights, then psi = outer(y)."""

    real: bool

    def weights(self) -> Float[Array, "width+1 hidden"]:
        """Kernels and biases of all linear maps side by side; the last row holds the biases."""
        ...

    def with_weights(self, weights: Float[Array, "width+1 hidden"]) -> Head:
        """The same head with other weights."""
        ...

    def outer(self, y: Float[Array, " hidden"]) -> Psi:
        """Amplitude from the pre-activations."""
        ...

    def __call__(self, z: Float[Array, " width"]) -> Psi:
        """Amplitude from the features."""
        ...


def check_configuration(system: Any, x: Any) -> None:
    """Refuse what is not a system with one configuration of it; shapes alone are looked at, also in compiled code.

    Raises:
        InputError: a batch, another number of sites, or the arguments in another order.
    """
    where, call = "wavefunction(system, x)", "jax.vmap(lambda x: wavefunction(system, x))(xs)"
    if not hasattr(system, "couplings"):
        raise InputError(f"{type(system).__name__} is no system", where=where, fix="wavefunction(base.system, x)")
    shape, sites = np.shape(x), getattr(system, "sites", None)
    if sites is None or shape == (sites,):
        return
    why = f"it takes one configuration of {sites} spins, shape ({sites},)"
    batch = len(shape) > 1 and shape[-1] == sites
    raise InputError(f"x has the shape {shape}", where=where, why=why, fix=call if batch else "")


class Wavefunction(eqx.Module):
    """psi(x) = head(backbone(x)). The split is what makes head tuning cheap: the backbone runs once per pool.

    ``backbone(condition, x)`` gives the features (width,); ``condition`` is what the network may know about the
    system (its couplings), or None.
    """

    backbone: eqx.Module
    head: eqx.Module
    conditioned: tuple[int, ...] = eqx.field(static=True, default=())  # which couplings the network is given

    def __repr__(self) -> str:
        weights = sum(leaf.size for leaf in jax.tree.leaves(self) if eqx.is_array(leaf))
        names = ", ".join(type(part).__name__ for part in (self.backbone, self.head))
        return f"Wavefunction({names}, {weights} weights)"

    def features(self, system: System, x: Config) -> Float[Array, " width"]:
        """Features z(x), the input of the head."""
        condition = system.couplings[np.array(self.conditioned)] if self.conditioned else None
        return self.backbone(condition, x)  # type: ignore[operator]

    def bind(self, system: System) -> Callable[[Config], Float[Array, " width"]]:
        """Features as a function of the configuration; what depends on the system alone may be computed beforehand."""
        return lambda x: self.features(system, x)

    def without_features(self) -> Wavefunction:
        """The same amplitudes from as few features as there can be: for energies that are computed once, not tuned."""
        return self

    def __call__(self, system: System, x: Config) -> Psi:
        """Amplitude of one configuration.

        Raises:
            InputError: the arguments are not a system and one configuration of it.
        """
        check_configuration(system, x)
        return self.head(self.features(system, x))  # type: ignore[operator]

    def of_all(self, system: System, states: Int[Array, "D sites"], chunk: int) -> Psi:
        """Amplitudes of all configurations of a small system, axes (D,), ``chunk`` evaluated at a time."""
        return mapped(lambda x: self(system, x), states, chunk)

    @property
    def real(self) -> bool:
        """True when the phase is constant: half the Jacobian, no imaginary parts."""
        return bool(getattr(self.head, "real", False))


def without_features(wavefunction: Any) -> Any:
    """``Wavefunction.without_features``; wavefunctions without a head, as those of electrons, are what they are."""
    return wavefunction.without_features() if isinstance(wavefunction, Wavefunction) else wavefunction


def of_all(wavefunction: Any, system: System, states: Array, chunk: int) -> Psi:
    """``Wavefunction.of_all``, and as much for any other function of a system and a configuration."""
    if isinstance(wavefunction, Wavefunction):
        return wavefunction.of_all(system, states, chunk)
    return mapped(lambda x: wavefunction(system, x), states, chunk)


class Run(NamedTuple):
    """Everything needed to go on, arrays only: exactly what a checkpoint holds."""

    params: PyTree  # the whole wavefunction
    sampler: Any  # walkers and their key
    opt: Any  # state of the optimiser
    step: Array


class Process(NamedTuple):
    """A method as a pair of pure functions: ``init(...) -> Run`` and ``step(Run, System, ...) -> (Run, Info)``.

    What may change from step to step without recompilation (learning rate, damping) is passed to ``step``.
    """

    init: Callable[..., Run]
    step: Callable[..., tuple[Run, Any]]
