"""Training without a sign rule: frustrated magnets with default settings, against exact energies.

For every system and seed one pre-training, the verdict it gets, and its true relative error. Beside it, in the same
run, what a user of NetKet would do: a complex RBM with stochastic reconfiguration (``VMC_SR``), the same number of
steps and samples, its learning rate the best of those given.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

import _common  # first: it sets the environment
import netket as nk
import numpy as np

import wavefoundry as wf
from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.problems import exact


def triangular(rows: int, columns: int) -> list[tuple[int, int]]:
    """Bonds of the triangular lattice with periodic edges, each once."""
    steps = ((1, 0), (0, 1), (1, 1))
    pairs = (
        (row * columns + column, (row + a) % rows * columns + (column + b) % columns)
        for row, column, (a, b) in itertools.product(range(rows), range(columns), steps)
    )
    return sorted({(min(pair), max(pair)) for pair in pairs})


def xxz(rows: int, columns: int, anisotropy: float, conserved: bool) -> Any:
    """Sum over bonds of S^x S^x + S^y S^y + anisotropy S^z S^z, triangular, as a user would hand it in."""
    sites, bonds = rows * columns, triangular(rows, columns)
    hilbert: Any = nk.hilbert.Spin(0.5, sites, total_sz=0 if conserved else None)

    def strings(letter: str) -> list[str]:
        return ["".join(letter if site in bond else "I" for site in range(sites)) for bond in bonds]

    build: Any = nk.operator.PauliStringsJax
    terms = {
        "Jxy": build(hilbert, strings("X") + strings("Y"), [0.25] * 2 * len(bonds)),
        "Jz": build(hilbert, strings("Z"), [0.25] * len(bonds)),
    }
    return wf.lattice.from_netket(terms, {"Jxy": 1.0, "Jz": anisotropy}, extent=(rows, columns))


SYSTEMS: dict[str, Callable[[], Any]] = {
    "triangular Heisenberg 4x3": lambda: xxz(4, 3, 1.0, False),
    "triangular XXZ .5 4x3": lambda: xxz(4, 3, 0.5, False),
    "triangular Heisenberg 4x4": lambda: xxz(4, 4, 1.0, True),
    "triangular XXZ .5 4x4": lambda: xxz(4, 4, 0.5, True),
    "J1-J2 chain 16, J2 = 0, no rule": lambda: wf.lattice.j1j2_chain(16, J2=0.0, marshall=False),
    "J1-J2 chain 16, J2 = .5, no rule": lambda: wf.lattice.j1j2_chain(16, J2=0.5, marshall=False),
    "J1-J2 4x4, J2 = .5": lambda: wf.lattice.j1j2_square(4, 4, J2=0.5),
}
LARGE: dict[str, tuple[Callable[[], Any], float]] = {
    "J1-J2 6x6, J2 = .5": (lambda: wf.lattice.j1j2_square(6, 6, J2=0.5), -0.50381 * 36),
}
"""Systems beyond our own diagonalisation, with the energy the literature gives."""


def ours(system: Any, seed: int, steps: int) -> dict[str, Any]:
    """One pre-training with default settings but for the number of steps."""
    begin = _common.clock()
    try:
        base = wf.pretrain(system, steps=steps, seed=seed)
    except (InputError, PhysicsError) as error:
        return {"seed": seed, "energy": None, "verdict": "refused", "why": str(error).splitlines()[0]}
    cost = _common.clock() - begin
    kept = {key: base.record[key] for key in ("energy", "energy_error", "v_score", "v_score_plain", "verdict", "flags")}
    return {"seed": seed, "cpu_seconds": cost.cpu, **kept}


def netket(system: Any, seed: int, steps: int, rates: list[float]) -> float:
    """Lowest energy that a complex RBM reaches, over the learning rates: the mean of the last tenth of the steps."""
    operator: Any = system.operator()
    best = math.inf
    for rate in rates:
        sampler: Any = nk.sampler.MetropolisLocal(system.hilbert, n_chains=512)
        if system.hilbert.constrained:
            graph = nk.graph.Graph(edges=list(itertools.combinations(range(system.sites), 2)))
            sampler = nk.sampler.MetropolisExchange(system.hilbert, graph=graph, n_chains=512)
        model = nk.models.RBM(alpha=4, param_dtype=complex)
        state = nk.vqs.MCState(sampler, model, n_samples=512, seed=seed, sampler_seed=seed)
        driver: Any = nk.driver.VMC_SR(operator, nk.optimizer.Sgd(rate), variational_state=state, diag_shift=1e-3)
        log = nk.logging.RuntimeLog()
        driver.run(steps, out=log, show_progress=False)
        means = np.real(np.asarray(log.data["Energy"]["Mean"]))[-max(1, steps // 10) :]
        best = min(best, float(np.mean(means)) if np.all(np.isfinite(means)) else math.inf)
    return best


def main() -> None:
    """Train, compare, print and write."""
    parser = _common.parser(__doc__)
    parser.add_argument("--systems", nargs="*", default=[*SYSTEMS, *LARGE], help="names of systems")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of every system")
    parser.add_argument("--first", type=int, default=0, help="the first of these seeds")
    parser.add_argument("--steps", type=int, default=300, help="steps of small systems; large ones take a third more")
    parser.add_argument("--rates", type=float, nargs="*", default=[0.01, 0.03], help="learning rates of NetKet")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.systems, arguments.seeds, arguments.steps = list(SYSTEMS)[:1], 1, 20
    found: dict[str, dict[str, Any]] = {}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for name in arguments.systems:
            if name in LARGE:
                system, steps = LARGE[name][0](), round(arguments.steps * 4 / 3)
                truth = LARGE[name][1]
            else:
                system, steps = SYSTEMS[name](), arguments.steps
                truth = float(exact.ground_state(system.operator())[0])
            entry = found.setdefault(name, {"exact": truth, "steps": steps, "runs": [], "netket": []})
            run = ours(system, seed, steps)
            if run["energy"] is not None:
                run["relative_error"] = (run["energy"] - truth) / abs(truth)
            entry["runs"].append(run)
            if name in SYSTEMS and arguments.rates:
                entry["netket"].append((netket(system, seed, steps, arguments.rates) - truth) / abs(truth))
            error, theirs = run.get("relative_error", math.nan), (entry["netket"] or [math.nan])[-1]
            print(
                f"{name:<34} seed {seed}  error {error:8.1e}  {run['verdict']:<12} NetKet {theirs:8.1e}"
                f"  {run.get('cpu_seconds', 0):5.0f} CPU s  {' '.join(run.get('flags', []))}",
                flush=True,
            )
            _common.save("frustrated", arguments, {"systems": found})
    for name, entry in found.items():
        errors = [run.get("relative_error", math.inf) for run in entry["runs"]]
        words = [run["verdict"] for run in entry["runs"]]
        print(f"{name:<34} median {statistics.median(errors):8.1e}  largest {max(errors):8.1e}  {words}")


if __name__ == "__main__":
    main()
