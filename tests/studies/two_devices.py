"""Run by ``test_devices`` where a CPU shows itself as two devices: does everything on one of them and on both."""

import contextlib
import faulthandler
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry import models
from wavefoundry.adapt import compact
from wavefoundry.artifacts.spec import loads
from wavefoundry.core.devices import mapped, parts, used
from wavefoundry.core.errors import Interrupted
from wavefoundry.core.tree import all_weights, stack
from wavefoundry.core.types import Psi, System
from wavefoundry.engine import families
from wavefoundry.engine.vmc import Options, Schedule, block_of, decay, variational
from wavefoundry.problems import lattice
from wavefoundry.problems.enumerated import enumerate_states
from wavefoundry.studies import perform

CHAIN = lattice.ising_chain(6, h=1.0)


class Well(System):
    """One particle in a harmonic well: a system in continuous space, with the usual walk over samples."""

    strength: jax.Array
    scale: int = eqx.field(static=True, default=1)

    @property
    def couplings(self) -> Any:
        return jnp.ones(1)

    def init(self, key: Any) -> Any:
        return jax.random.normal(key, (1, 3))

    def expand(self, features: Any, x: Any) -> Any:
        f = lambda y: features(y.reshape(x.shape))[0]  # noqa: E731
        flat = x.reshape(-1)
        slope, bend = jax.grad(f)(flat), jnp.trace(jax.hessian(f)(flat))
        return jnp.stack([0.5 * (self.strength**2 * flat @ flat - bend - slope @ slope)])

    def contract(self, head: Any, local: Any) -> Any:
        return local


class Gaussian(eqx.Module):
    """exp(-width r^2 / 2 + skew x)."""

    weights: jax.Array
    real: bool = eqx.field(static=True, default=True)

    def bind(self, system: Any) -> Any:
        return lambda x: jnp.stack([self.weights[1] * x[0, 0] - 0.5 * self.weights[0] * jnp.sum(x**2), 0.0])

    def without_features(self) -> Any:
        return self

    def head(self, z: Any) -> Psi:
        return Psi(z[0], z[1])

    def __call__(self, system: Any, x: Any) -> Psi:
        return self.head(self.bind(system)(x))


def training(system: Any, listed: bool, **more: Any) -> Any:
    """Four steps with all weights."""
    model = models.vit(width=8, layers=1, heads=2, patch=2, head="complex", symmetry="none", precision="float64")
    params, static = eqx.partition(model.build(jax.random.key(1), (6,), sign_free=False), eqx.is_array)
    process = variational(static, all_weights(params), Options(moves=6, chunk=16, **more), listed)
    run, family = process.init(jax.random.key(0), params, system.family([{}]), 48), system.family([{}])
    run, info = block_of(process)(run, family, decay(0.05, 1e-2, 4))
    return info.energy, info.variance, run.params


def electrons() -> Any:
    """Langevin moves, derivatives in continuous space, rows of two members."""
    family = stack([Well(jnp.asarray(k)) for k in (0.8, 1.3)])
    params, static = eqx.partition(Gaussian(jnp.array([0.7, 0.2])), eqx.is_array)
    made = families.stacked(static, all_weights(params), families.Options(moves=4, chunk=8, drift=True))
    run, plan = made.init(jax.random.key(0), params, (family,), 32), Schedule(jnp.full(4, 0.2), jnp.full(4, 1e-2))
    return jax.jit(lambda r, p: jax.lax.scan(lambda r, s: made.step(r, (family,), *s), r, p))(run, plan)[1]


def tickets() -> Any:
    """Steps with a mask."""
    system: Any = enumerate_states(CHAIN)
    model: Any = models.dense(alpha=2.0)
    network = model.build(jax.random.key(1), (6,))
    theta = compact.vector(network)
    index = compact.padded(np.arange(theta.size) % 3 == 0, theta.size)
    rates = compact.Rates(jnp.full(3, 0.05), jnp.full(3, 1e-2))
    options = compact.Options(0, 16)
    state, trace = compact.block(network, system, jnp.asarray(index), compact.start(theta), rates, options)
    return trace.energy, state.theta


def counted(size: int) -> Callable[[], Any]:
    """A loop over so many samples."""
    xs = jnp.linspace(0.1, 1.0, size)
    return lambda: jax.jit(lambda x: mapped(lambda y: (jnp.sin(y), y > 0.5), x, 2))(xs)


PARTS = {
    "full training": lambda: training(CHAIN, False, moved=0.25, finite=True, solver="kernel"),
    "guided": lambda: training(CHAIN, False, extent=(6,), solver="qgt"),
    "full sum": lambda: training(enumerate_states(CHAIN), True),
    "molecules": electrons,
    "tickets": tickets,
    "padded": counted(7),
    "fewer samples than devices": counted(1),
}


def difference(make: Callable[[], Any]) -> float:
    """Largest relative difference between one device and two."""
    one = jax.tree.map(np.asarray, make())
    with used(2):
        assert parts() == 2
        two = jax.tree.map(np.asarray, make())
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    # booleans and phases of zero included
    return max(float(np.max(np.abs(a * 1.0 - b) / (1e-3 + np.abs(a)))) for a, b in pairs)


def studied(name: str, devices: tuple[int, ...]) -> None:
    """A run on the first number of devices, stopped within the pre-training where there is a second one."""
    text, seen = Path("study.toml").read_text(), []
    for index, count in enumerate(devices):
        last = index == len(devices) - 1
        stop = lambda last=last: 15 if not last and seen and seen[-1].get("step") == 2 else None  # noqa: E731
        spec = loads(text, overrides=[f"run.devices={count}"])
        with contextlib.suppress(Interrupted):
            perform(spec, Path(name), stop, resume=index > 0, emit=lambda event: seen.append(event))
            assert last


if __name__ == "__main__":
    faulthandler.enable()  # where it hangs, SIGABRT says where
    Path("parts.json").write_text(json.dumps({name: difference(make) for name, make in PARTS.items()}))
    for name, devices in {"one": (1,), "two": (2,), "two-one": (2, 1), "one-two": (1, 2)}.items():
        studied(name, devices)
