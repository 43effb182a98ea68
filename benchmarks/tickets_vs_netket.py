"""Pruning round by round: wavefoundry against the same schedule with NetKet's VMC_SR and masked weights.

One layer of log cosh units on the open Ising lattice, the same steps, learning rate, damping and pruning fraction, full
sums on both sides. NetKet multiplies the weights by a mask; wavefoundry holds the surviving columns alone and keeps a
metric for a few steps. The last energies of the rounds stand beside each other; the ratio leaves out compilation, which
is printed too. Beside it: what a step costs at 10 % of the weights, and an evaluation with 10 % of the units.
"""

from __future__ import annotations

import argparse
from typing import Any

import _common
from _common import clock, say, table

# isort: split
import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import netket as nk
import numpy as np

from wavefoundry.adapt import compact, masks
from wavefoundry.adapt.compact import Options
from wavefoundry.adapt.tickets import Rules, Trainer
from wavefoundry.core.numerics import log_cosh
from wavefoundry.models.feedforward import DenseBackbone, dense
from wavefoundry.models.shrink import without_dead
from wavefoundry.problems import lattice
from wavefoundry.problems.enumerated import enumerate_states

RATE, SHIFT, FRACTION, STOP = 0.05, 1e-3, 0.15, 16
KEPT = 5
"""Steps that share a metric here, the default of a study file; NetKet makes one for each."""


class Masked(nn.Module):
    """One layer without bias whose weights are multiplied by a mask (a variable, so that nothing is compiled anew)."""

    hidden: int

    @nn.compact
    def __call__(self, x: Any) -> Any:
        """Logarithm of the amplitude."""
        kernel = self.param("kernel", nn.initializers.normal(0.1), (x.shape[-1], self.hidden), jnp.float64)
        mask = self.variable("masks", "kernel", lambda: jnp.ones((x.shape[-1], self.hidden)))
        return jnp.sum(log_cosh(x @ (kernel * mask.value)), axis=-1)


def ours(edge: int, dense_steps: int, steps: int) -> tuple[list[float], Any, Any]:
    """Energies of the rounds, the seconds of a compiled run, and those of compilation."""
    system = enumerate_states(lattice.ising((edge, edge), h=3.04438, periodic=False))
    network: Any = dense(jax.random.key(0), (edge, edge), alpha=4)
    trainer = Trainer(network, system, Rules(Options(0, 1024, kept=KEPT), RATE, SHIFT))
    where, key = masks.layout(network), jax.random.key(1)

    def study() -> list[float]:
        mask, init = np.ones(where.total, bool), np.asarray(compact.vector(network))
        trained = trainer.fit(init, mask, dense_steps, key).theta
        theta, energies = trained, []
        while mask.sum() > STOP:
            mask = masks.prune(where, mask, np.abs(theta), FRACTION, stop=STOP)
            found = trainer.fit(np.where(mask, trained, 0.0), mask, steps, key)
            theta = found.theta
            energies.append(found.energies[-1])
        return energies

    begin = clock()
    study()
    middle = clock()
    energies = study()
    spent = clock() - middle
    return energies, spent, (middle - begin) - spent


def theirs(edge: int, dense_steps: int, steps: int) -> tuple[list[float], Any, Any]:
    """The same with NetKet; two steps before it compile."""
    start = clock()
    system = lattice.ising((edge, edge), h=3.04438, periodic=False)
    hamiltonian = system.operator()
    model = Masked(4 * edge * edge)
    state: Any = nk.vqs.FullSumState(system.hilbert, model, seed=0)
    network: Any = dense(jax.random.key(0), (edge, edge), alpha=4)
    state.parameters = {"kernel": network.backbone.kernel}
    driver: Any = nk.driver.VMC_SR(hamiltonian, nk.optimizer.Sgd(RATE), variational_state=state, diag_shift=SHIFT)
    where = masks.layout(network)

    def advance(count: int) -> None:
        driver.run(count, out=None, show_progress=False)

    advance(2)
    state.parameters = {"kernel": network.backbone.kernel}
    begin, energies = clock(), []
    advance(dense_steps)
    trained = np.asarray(state.parameters["kernel"]).reshape(-1)
    theta, mask = trained, np.ones(where.total, bool)
    while mask.sum() > STOP:
        mask = masks.prune(where, mask, np.abs(theta), FRACTION, stop=STOP)
        shape = (edge * edge, -1)
        state.parameters = {"kernel": jnp.asarray((trained * mask).reshape(shape))}
        state.model_state = {"masks": {"kernel": jnp.asarray(mask.astype(float).reshape(shape))}}
        advance(steps)
        theta = np.asarray(state.parameters["kernel"]).reshape(-1) * mask
        energies.append(float(np.real(state.expect(hamiltonian).mean)))
    return energies, clock() - begin, begin - start


def steps_by_density(samples: int = 1024, repeats: int = 5) -> list[list[Any]]:
    """CPU seconds of Jacobian and solve for 2048 weights, 16 spins, with fewer and fewer survivors."""
    system = lattice.ising((4, 4), h=3.04438, periodic=False)
    network: Any = dense(jax.random.key(0), (4, 4), alpha=8)
    key = jax.random.key(2)
    xs = jax.random.rademacher(key, (samples, 16), jnp.int8)
    local = jax.random.normal(key, (samples,))
    batch = compact.Batch(xs, jnp.full(samples, 1 / samples))
    run = eqx.filter_jit(compact.direction)
    rows: list[list[Any]] = []
    for count in (2048, 1024, 409, 204, 102):
        index = jnp.asarray(compact.padded(np.arange(count), 2048))
        args = (network, system, batch, local, index, jnp.array(SHIFT), Options(1, 512))
        timing = _common.measure(lambda a=args: jax.block_until_ready(run(*a).update), repeats)
        rows.append([count, index.shape[0], timing.cpu])
    first = rows[0][2]
    return [[*row, first / row[2]] for row in rows]


def inference(batch: int = 4096, repeats: int = 9) -> list[list[Any]]:
    """CPU seconds of an evaluation with all 288 units and with the 29 that are alive, made smaller."""
    network: Any = dense(jax.random.key(0), (6, 6), alpha=8, precision="float32")
    alive = jnp.arange(288) % 10 == 0
    pruned = eqx.tree_at(lambda w: w.backbone.kernel, network, network.backbone.kernel * alive)  # type: ignore[attr-defined]
    small = without_dead(pruned)
    xs = jax.random.rademacher(jax.random.key(1), (batch, 36), jnp.int8)
    run = eqx.filter_jit(lambda w, x: jax.vmap(lambda one: w(None, one).log)(x))
    rows = []
    for name, wavefunction in (("288 units, masked", pruned), ("29 units", small)):
        assert isinstance(wavefunction.backbone, DenseBackbone)
        timing = _common.measure(lambda w=wavefunction: jax.block_until_ready(run(w, xs)), repeats)
        rows.append([name, timing.cpu])
    difference = float(jnp.max(jnp.abs(run(pruned, xs) - run(small, xs))))
    say(f"largest difference of log psi after compaction: {difference:.1e} (single precision)")
    return [[*row, rows[0][1] / row[1]] for row in rows]


def main() -> None:
    """Run the comparison; ``--quick`` shortens every training."""
    parser = _common.parser(__doc__)
    parser.add_argument("--edge", type=int, default=3, help="edge of the lattice")
    arguments: argparse.Namespace = parser.parse_args()
    dense_steps, steps = (20, 5) if arguments.quick else (500, 100)
    mine, my_time, my_compilation = ours(arguments.edge, dense_steps, steps)
    say("wavefoundry done")
    other, other_time, other_compilation = theirs(arguments.edge, dense_steps, steps)
    ratio = [other_time[k] / my_time[k] for k in range(len(my_time))]
    table(
        f"whole study, {dense_steps} + {len(mine)} x {steps} steps",
        ["", "CPU s", "wall s", "compilation CPU s", "first round", "last round"],
        [
            ["wavefoundry", *my_time, my_compilation.cpu, mine[0], mine[-1]],
            ["NetKet VMC_SR", *other_time, other_compilation.cpu, other[0], other[-1]],
            ["ratio", *ratio, None, None, None],
        ],
    )
    density = steps_by_density()
    table("Jacobian and solve, 1024 samples", ["weights", "padded", "CPU s", "dense / this"], density)
    small = inference()
    table("evaluation of 4096 configurations", ["network", "CPU s", "masked / this"], small)
    study = {
        "steps": [dense_steps, steps, len(mine)],
        "ours": my_time._asdict() | {"compile_cpu": my_compilation.cpu, "energies": mine},
        "netket": other_time._asdict() | {"compile_cpu": other_compilation.cpu, "energies": other},
        "ratio_cpu": ratio[0],
    }
    results = {"study": study, "steps": density, "inference": small}
    _common.save("tickets_vs_netket", arguments, results)


if __name__ == "__main__":
    main()
