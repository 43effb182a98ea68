"""What a phase diagram works with: the pre-trained base, and the compiled tools of its adaptation."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PyTree

from wavefoundry.adapt.head import Rules, Tuned
from wavefoundry.adapt.pool import Layout, Pool, fill
from wavefoundry.artifacts.spec_adapt import AdaptTable
from wavefoundry.artifacts.spec_reference import ReferenceTable
from wavefoundry.artifacts.spec_tables import EvaluateTable
from wavefoundry.core import tree
from wavefoundry.core.convergence import Convergence
from wavefoundry.core.meter import METER
from wavefoundry.core.types import Wavefunction
from wavefoundry.core.verdict import Doubt
from wavefoundry.engine.guided import Guide, guide_at
from wavefoundry.problems.enumerated import EnumeratedSystem
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.points import HeadTools, WarmStart
from wavefoundry.studies.diagram.pretraining import Training
from wavefoundry.studies.diagram.records import Estimator, Known, Measured, Sampling, point_record
from wavefoundry.studies.diagram.referencing import References
from wavefoundry.studies.progress import Progress


def tunable(wavefunction: Wavefunction) -> bool:
    """Whether its head can be tuned alone."""
    return hasattr(wavefunction.head, "with_weights")


class Mapper:
    """Adapts a base to points of its family, one wave after the other, resumable after every point.

    Args:
        base: the pre-trained state.
        adapt, evaluate: tables of the study file.
        seed: of all random numbers of the adaptation.
        chunk: configurations evaluated at a time.
        training: settings of method "full", of the first training of method "auto".
        listed: all configurations of a small system with their connections, where trainings take them.
        states: all configurations of a small system: measurements draw from them instead of running chains.
        references: what energies are held against; by default what costs little.
    """

    def __init__(  # noqa: PLR0913 - one for each option
        self,
        base: Base,
        adapt: AdaptTable,
        evaluate: EvaluateTable,
        *,
        seed: int,
        chunk: int,
        training: Training | None = None,
        states: Array | None = None,
        listed: EnumeratedSystem | None = None,
        references: References | None = None,
    ):
        self.base, self.adapt, self.evaluate = base, adapt, evaluate
        wanted = evaluate.exact == "auto"
        self.references = references or References(ReferenceTable(), [base.system], [], wanted, evaluate.observables)
        self.key = jax.random.fold_in(jax.random.key(seed), 1)
        self.training, self.listed = training, listed
        system = base.system
        chains = evaluate.chains
        samples = adapt.samples if adapt.method in ("head", "auto") else evaluate.samples
        per_chain = max(4, -(-samples // chains))
        self.layout = Layout(chains, per_chain, 2, chunk)
        rules = Rules(
            adapt.steps,
            adapt.learning_rate or 0.15,
            adapt.diagonal_shift or 1e-2,
            0.3,
            adapt.held_out,
            adapt.ess_min,
            chains,
            adapt.tolerance / 10,
        )
        pools = -(-evaluate.samples // (chains * per_chain))
        tools = HeadTools(
            base.wavefunction, system.family([{}]), self.layout, rules, adapt.rounds, adapt.tolerance, pools, states
        )
        self.tools = tools.of(system, base.wavefunction)
        self.estimator = Estimator(system, chains, evaluate.observables)
        self._origin: tuple[WarmStart, Pool] | None = None

    @property
    def real_head(self) -> bool:
        """Whether all amplitudes are positive."""
        return self.base.wavefunction.real

    def origin(self) -> tuple[WarmStart, Pool]:
        """Pool of the pre-trained state, the start of everything."""
        if self._origin is None:
            head: Any = self.base.wavefunction.head
            x = self.spread(self.base.x, self.layout.chains)
            key = jax.random.fold_in(self.key, 10**6)
            self._origin = self.tools.draw(head.weights(), x, key, self.guide(self.base.wavefunction, self.base.x))[:2]
        return self._origin

    def guide(self, wavefunction: Wavefunction, x: PyTree) -> Guide | None:
        """Proposals for a wavefunction from the walkers of its optimisation; None where samples need no chains."""
        if self.tools.states is not None:
            return None
        system = self.base.system
        return guide_at(wavefunction, system.family([{}]), x, system.extent, self.layout.chunk)

    @property
    def tunable(self) -> bool:
        """Whether the head has weights of its own."""
        return tunable(self.base.wavefunction)

    def measure_base(self) -> dict[str, Any]:
        """Record of the pre-trained state itself, on fresh samples."""
        begin, acceptance = METER.now(), None
        if self.tunable:
            warm, pool = self.origin()
            key = jax.random.fold_in(self.key, 10**6 + 1)
            keys = jax.random.split(key, self.tools.measurements)
            pools = [pool, *(self.tools.more(warm, pool, k) for k in keys[1:])]
            measured = self.tools.measure(self.estimator, self.tools.wavefunction, self.base.system, pools, keys[0])
        else:
            key = jax.random.fold_in(self.key, 0)
            measured, acceptance = self.sampled(self.base.system, self.base.wavefunction, self.base.x, key)
        found = self.base.convergence
        record = point_record(
            self.base.system,
            "pretrain",
            measured,
            known=self.known(self.base.system),
            cost=METER.now() - begin,
            real_head=self.real_head,
            doubts=[] if found is None else found.doubts(),
            sampling=Sampling(acceptance),
        )
        return record | convergence_of(found)

    def sampled(
        self, system: LatticeSystem, wavefunction: Wavefunction, x: PyTree, key: Array
    ) -> tuple[Measured, float]:
        """What fresh samples say about any state of the family, and their acceptance rate; see ``drawn``."""
        measured, acceptance, _ = self.drawn(system, wavefunction, x, key)
        return measured, acceptance

    def drawn(
        self, system: LatticeSystem, wavefunction: Wavefunction, x: PyTree, key: Array
    ) -> tuple[Measured, float, PyTree]:
        """What fresh samples say about any state of the family, their acceptance rate, and the first set of them.

        Args:
            system: at its couplings. wavefunction: the state. x: walkers of its optimisation. key: random key.
        """
        tools = self.tools.looking_up(system, wavefunction)
        wavefunction = tools.wavefunction
        guide = self.guide(wavefunction, x)
        start, sets = self.spread(x, self.layout.chains), []
        for number in range(tools.measurements):
            k_run = jax.random.fold_in(key, 1 if number == 0 else 2 + number)
            sets.append(tools.samples(wavefunction, start, k_run, guide))
            start = tree.rows(sets[-1][0], slice(self.layout.samples - 1, None, self.layout.samples))
        pools = [fill(wavefunction, tools.family, xs, self.layout.chunk) for xs, _ in sets]
        measured = tools.measure(self.estimator, wavefunction, system, pools, jax.random.fold_in(key, 2))
        return measured, sets[0][1], sets[0][0]

    def trained_on(self, system: LatticeSystem) -> Any:
        """What trainings of all weights at a point take: the system, or all its configurations."""
        return system if self.listed is None else eqx.tree_at(lambda s: s.lattice, self.listed, system)

    def known(self, system: LatticeSystem) -> Known:
        """Reference and exact observables, where the study wants them."""
        return self.references.known(system)

    def inherited(self) -> list[Doubt]:
        """What the base hands down to every point: a warning where its training had not come to rest."""
        found = self.base.convergence
        doubts = [] if found is None else found.doubts("BASE-NOT-CONVERGED", "the pre-training")
        return [doubt._replace(refuses=False) for doubt in doubts]

    def spread(self, x: PyTree, chains: int) -> PyTree:
        """Starting configurations for ``chains`` chains from those of the pre-training, repeated as needed."""
        return tree.rows(x, np.arange(chains) % len(jax.tree.leaves(x)[0]))

    def tune_wave(
        self, systems: list[LatticeSystem], warm: WarmStart, pool: Pool, progress: Progress | None = None
    ) -> list[Tuned]:
        """First tuning of all points of a wave on their parent's pool."""
        tune = self.tools.tune
        return [tune(self.base.system, warm.weights, system.couplings, pool, progress) for system in systems]


def convergence_of(found: Convergence | None) -> dict[str, Any]:
    """The field of a record that says whether its training had come to rest."""
    return {"convergence": None if found is None else found.record()}
