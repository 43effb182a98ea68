"""What the one-move variance costs: energies of plain samples against those of samples moved on by the Hamiltonian.

Both evaluate the same network at as many samples and their neighbours. What comes on top is the drawing of the moves
and the density they lead to, which takes the neighbours of the neighbours but no network there. Chains are left out:
they cost the same for both, and would make the ratio smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import _common  # first: it sets the environment
import equinox as eqx
import jax
import numpy as np
from frustrated import xxz

from wavefoundry.core.types import Batch
from wavefoundry.engine.drawing import local_energies, mixed_energies, moved_on
from wavefoundry.engine.sampling import over_family
from wavefoundry.models import ViTSpec
from wavefoundry.problems import lattice
from wavefoundry.problems.spins import sign_free
from wavefoundry.studies.diagram.networks import build_network
from wavefoundry.studies.diagram.pretraining import chunk_size

STAY = 0.75
CASES: dict[str, Callable[[], Any]] = {
    "Ising chain 64": lambda: lattice.ising_chain(64, h=1.0),
    "Ising square 6x6": lambda: lattice.ising_square(6, 6),
    "J1-J2 chain 20": lambda: lattice.j1j2_chain(20, J2=0.4),
    "J1-J2 square 6x6": lambda: lattice.j1j2_square(6, 6, J2=0.5),
    "triangular XXZ 4x4 (own operators)": lambda: xxz(4, 4, 0.5, True),
}


@eqx.filter_jit
def plain(wavefunction: Any, family: Any, x: Any, chunk: int) -> Any:
    """Local energies of samples of |psi|^2, summed over the terms."""
    terms = local_energies(wavefunction, family, Batch(x, None), chunk)  # type: ignore[arg-type]
    return over_family(lambda system, values: values @ system.couplings, family, terms)


@eqx.filter_jit
def mixed(wavefunction: Any, family: Any, x: Any, key: Any, chunk: int) -> Any:
    """The same with a share of the samples moved on."""
    moved = moved_on(family, x, key, round((1 - STAY) * x.shape[1]))
    found = mixed_energies(wavefunction, family, moved, STAY, chunk)
    return found.energy, found.variance


def main() -> None:
    """Time, print and write."""
    parser = _common.parser(__doc__)
    parser.add_argument("--samples", type=int, default=2048, help="samples of a measurement")
    parser.add_argument("--repeats", type=int, default=15, help="timed calls of each")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.samples, arguments.repeats = 64, 1
    found, rows = {}, []
    for name, system_of in CASES.items():
        system, key = system_of(), jax.random.key(arguments.seed)
        model = ViTSpec(width=arguments.width, layers=arguments.layers)
        wavefunction = build_network(model, key, system, sign_free(system))
        x = jax.vmap(system.init)(jax.random.split(key, arguments.samples))[None]
        family, chunk = system.family([{}]), chunk_size(wavefunction, system, arguments.samples)
        calls = {
            "plain": partial(plain, wavefunction, family, x, chunk),
            "one move": partial(mixed, wavefunction, family, x, key, chunk),
        }
        for call in calls.values():
            _common.finite(np.sum(np.real(np.asarray(jax.tree.leaves(call())[0]))), name)
        times = _common.race({k: lambda c=c: jax.block_until_ready(c()) for k, c in calls.items()}, arguments.repeats)
        ratio = times["one move"].cpu / times["plain"].cpu
        found[name] = {"ratio": ratio} | {which: timing.record() for which, timing in times.items()}
        rows.append([name, times["plain"].cpu, times["one move"].cpu, ratio])
        _common.say(f"{name}: {ratio:.2f}")
    _common.table("CPU seconds of a measurement", ["system", "plain", "one move", "ratio"], rows)
    _common.save("one_move", arguments, {"cases": found})


if __name__ == "__main__":
    main()
