"""What the one-move variance costs: energies of plain samples against those of samples moved on by the Hamiltonian.

Both evaluate the same network at as many samples and their neighbours. What comes on top is the choice of the moves,
which takes the head once more, and the density they lead to, which takes the neighbours of the neighbours but no
network there. Chains are left out: they cost the same for both, and would make the ratio smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _common  # first: it sets the environment
import jax
from frustrated import xxz

from wavefoundry.adapt.pool import Pool, fill
from wavefoundry.models import ViTSpec
from wavefoundry.problems import lattice
from wavefoundry.problems.spins import sign_free
from wavefoundry.studies.diagram.networks import build_network
from wavefoundry.studies.diagram.observing import Amplitude
from wavefoundry.studies.diagram.pretraining import chunk_size
from wavefoundry.studies.diagram.records import MOVED, Estimator, Moved, moved_on

CHAINS = 64
CASES: dict[str, Callable[[], Any]] = {
    "Ising chain 64": lambda: lattice.ising_chain(64, h=1.0),
    "Ising square 6x6": lambda: lattice.ising_square(6, 6),
    "J1-J2 chain 20": lambda: lattice.j1j2_chain(20, J2=0.4),
    "J1-J2 square 6x6": lambda: lattice.j1j2_square(6, 6, J2=0.5),
    "triangular XXZ 4x4 (own operators)": lambda: xxz(4, 4, 0.5, True),
}


class Measurement:
    """Both measurements of a state from as many samples, as diagrams make them."""

    def __init__(self, system: Any, wavefunction: Any, xs: Any, key: Any):
        self.system, self.wavefunction, self.key = system, wavefunction, key
        self.family, self.chunk = system.family([{}]), chunk_size(wavefunction, system, len(xs))
        self.few, self.all = xs[: len(xs) * MOVED // (MOVED + 1)], xs
        self.estimator = Estimator(system, CHAINS, False)
        self.state = Amplitude(wavefunction, system, self.chunk)

    def _pool(self, x: Any) -> Pool:
        return fill(self.wavefunction, self.family, x, self.chunk)

    def plain(self) -> float:
        """Local energies of samples of |psi|^2 alone."""
        return self.estimator.energy(self.wavefunction.head, self.system.couplings, self._pool(self.all)).mean

    def one_move(self) -> float:
        """A part of the samples moved on."""
        head, pool = self.wavefunction.head, self._pool(self.few)
        x, weight = moved_on(self.system, head, pool, self.key, CHAINS)
        moved = [Moved(self._pool(x), weight)]
        return self.estimator.measure(head, self.system.couplings, [pool], moved, self.state).estimate.mean


def main() -> None:
    """Time, print and write."""
    parser = _common.parser(__doc__)
    parser.add_argument("--samples", type=int, default=2560, help="samples of a measurement")
    parser.add_argument("--repeats", type=int, default=15, help="timed calls of each")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.samples, arguments.repeats = 320, 1
    found, rows = {}, []
    for name, system_of in CASES.items():
        system, key = system_of(), jax.random.key(arguments.seed)
        model = ViTSpec(width=arguments.width, layers=arguments.layers)
        wavefunction = build_network(model, key, system, sign_free(system))
        xs = jax.vmap(system.init)(jax.random.split(key, arguments.samples))
        measurement = Measurement(system, wavefunction, xs, key)
        calls = {"plain": measurement.plain, "one move": measurement.one_move}
        for call in calls.values():
            _common.finite(call(), name)
        times = _common.race(calls, arguments.repeats)
        ratio = times["one move"].cpu / times["plain"].cpu
        found[name] = {"ratio": ratio} | {which: timing.record() for which, timing in times.items()}
        rows.append([name, times["plain"].cpu, times["one move"].cpu, ratio])
        _common.say(f"{name}: {ratio:.2f}")
    _common.table("CPU seconds of a measurement", ["system", "plain", "one move", "ratio"], rows)
    _common.save("one_move", arguments, {"cases": found})


if __name__ == "__main__":
    main()
