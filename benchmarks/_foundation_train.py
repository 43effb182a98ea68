"""The netket-foundation side of ``foundation_vs_netket.py``: trains and measures in a process of its own.

Its states need the device mesh that NetKet makes unless it is told not to, as wavefoundry does. Reads one JSON object
of settings from the command line and prints one of results.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from typing import Any

import jax
import netket as nk
import netket_foundation as nkf  # pyright: ignore[reportMissingImports]
import numpy as np
import optax
from netket_foundation._src.model.vit import ViTFNQS  # pyright: ignore[reportMissingImports]


class Theirs:
    """A foundational state of netket-foundation and its driver."""

    def __init__(self, step: float, shift: float, arguments: argparse.Namespace):
        self.arguments, sites = arguments, arguments.sites
        hilbert, couplings = nk.hilbert.Spin(0.5, sites), nkf.ParameterSpace(N=1, min=0.8, max=1.2)
        model = ViTFNQS(
            num_layers=arguments.layers, d_model=arguments.width, heads=arguments.heads, b=arguments.patch,
            L_eff=sites // arguments.patch, n_coups=1, complex=False, disorder=False, transl_invariant=True,
            two_dimensional=False,
        )  # fmt: skip
        sampler = nk.sampler.MetropolisLocal(hilbert, n_chains=arguments.samples // 5 * 5)
        self.state: Any = nkf.FoundationalQuantumState(sampler, model, couplings, n_replicas=5, seed=arguments.seed)
        self.state.n_samples = sampler.n_chains
        self.state.parameter_array = np.array(self.arguments.trained)[:, None]

        def hamiltonian(values: Any) -> Any:
            operator = nkf.operator
            flips = sum(operator.sigmax(hilbert, i) for i in range(sites))
            bonds = sum(operator.sigmaz(hilbert, i) @ operator.sigmaz(hilbert, (i + 1) % sites) for i in range(sites))
            return -values[0] * flips - bonds

        self.hamiltonian = nkf.operator.ParametrizedOperator(hilbert, couplings, hamiltonian)
        self.driver: Any = nkf.VMC_SR(
            self.hamiltonian, optax.sgd(step), variational_state=self.state, diag_shift=shift, use_ntk=True
        )

    def run(self, seconds: float) -> tuple[int, float]:
        """Steps for so many CPU seconds: how many, and what they took."""
        start, steps = time.process_time(), 0
        while time.process_time() - start < seconds:
            self.driver.run(1, show_progress=False)
            jax.block_until_ready(self.state.parameters)
            steps += 1
        return steps, time.process_time() - start

    def measured(self) -> dict[str, Any]:
        """All nine fields from fresh samples."""
        energies, errors = [], []
        for h in self.arguments.fields:
            one = self.state.get_state(np.array([h]), seed=self.arguments.seed)
            one.n_samples, one.chunk_size = self.arguments.fresh, 128  # all at once would take 10 GiB and more
            for _ in range(3):  # into equilibrium, a sweep and more a sample
                one.sample()
            mean = one.expect(self.hamiltonian.with_params(np.array([h])))
            energies.append(float(mean.mean.real))
            errors.append(float(mean.error_of_mean))
        return {"energies": energies, "errors": errors}


def main() -> None:
    """Every pair of step and shift for ``seconds``; then each for as long as that again, ``longer`` times in all."""
    arguments = argparse.Namespace(**json.loads(sys.argv[1]))
    found = []
    for step, shift in itertools.product(arguments.rates, arguments.shifts):
        one = Theirs(step, shift, arguments)
        start = time.process_time()
        one.driver.run(2, show_progress=False)
        row: dict[str, Any] = {"step": step, "shift": shift, "compile_seconds": time.process_time() - start}
        for name, seconds in ("as long", arguments.seconds), ("longer", arguments.seconds * (arguments.longer - 1)):
            steps, spent = one.run(seconds)
            before = row.get("as long", {"steps": 0, "cpu_seconds": 0.0})
            cost = {"steps": before["steps"] + steps, "cpu_seconds": before["cpu_seconds"] + spent}
            row[name] = cost | one.measured()
        print(f"step {step:g}, shift {shift:g}: {steps} steps more", file=sys.stderr, flush=True)
        found.append(row)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
