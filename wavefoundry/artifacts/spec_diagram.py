"""Study files of kind "diagram"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, model_validator
from pydantic_core import PydanticCustomError

from wavefoundry.artifacts.spec_adapt import APART, AdaptTable, BaselinesTable, one_for_each
from wavefoundry.artifacts.spec_checks import problems, rivals
from wavefoundry.artifacts.spec_kinds import of_kind
from wavefoundry.artifacts.spec_networks import WavefunctionTable
from wavefoundry.artifacts.spec_reference import ReferenceTable, reference_problems
from wavefoundry.artifacts.spec_tables import (
    EvaluateTable,
    OutputTable,
    PretrainTable,
    SampledRunTable,
    SystemTable,
    Table,
    grid,
)
from wavefoundry.core.expect import Problem


class DiagramSpec(Table):
    """A study of kind "diagram": pre-train once, adapt to every point, evaluate.

    Raises:
        pydantic.ValidationError: for a value or a combination of values that cannot be used.
    """

    kind: Literal["diagram"] = Field(default="diagram", description="what to compute: a phase diagram")
    system: SystemTable = Field(description="the family of Hamiltonians")
    wavefunction: Annotated[SerializeAsAny[WavefunctionTable], of_kind(WavefunctionTable)] = Field(
        default=WavefunctionTable.of("vit")(), description="the network"
    )
    pretrain: PretrainTable = Field(description="the one expensive optimisation")
    adapt: AdaptTable = Field(description="every other coupling")
    evaluate: EvaluateTable = Field(default=EvaluateTable(), description="the final numbers")
    reference: ReferenceTable = Field(default=ReferenceTable(), description="what energies are compared with")
    baselines: BaselinesTable | None = Field(
        default=None, description="rivals at the same points; a list stands for its kinds"
    )
    output: OutputTable = Field(default=OutputTable(), description="where results go, and how often the state is saved")
    run: SampledRunTable = Field(default=SampledRunTable(), description="the study as a whole")

    def points_list(self) -> list[dict[str, float]]:
        """Points of the diagram in the order of the study file: ``[{"h": 0.5}, ...]``."""
        return grid(self.adapt.points)

    def at_list(self) -> list[dict[str, float]]:
        """Couplings of the pre-training, one dict per system trained together."""
        return grid(self.pretrain.at)

    @property
    def one_base(self) -> bool:
        """Whether there is one network for all pre-training points: of the only one, or trained for them together."""
        together = self.pretrain.together
        return len(self.at_list()) == 1 or (
            bool(self.wavefunction.key("conditioned")) if together == "auto" else together
        )

    def of_bases(self) -> list[DiagramSpec]:
        """One study for every base, with its entries of lists; this one alone, unless its pre-trainings are separate.

        Seeds are far apart.
        """
        found = []
        start = self.pretrain.warm_start
        if self.one_base:
            table = self.pretrain.model_copy(update={"warm_start": start[0] if isinstance(start, list) else start})
            return [self.model_copy(update={"pretrain": table, "adapt": self.adapt.of_base(0)})]
        for index, at in enumerate(self.at_list()):
            seed = (self.pretrain.seed + APART * index) % 2**32
            own = start[index] if isinstance(start, list) else start
            table = self.pretrain.model_copy(update={"at": at, "together": True, "seed": seed, "warm_start": own})
            found.append(self.model_copy(update={"pretrain": table, "adapt": self.adapt.of_base(index)}))
        return found

    def couplings(self, point: Mapping[str, float]) -> dict[str, float]:
        """All couplings of the model at a point, in the order of the model's terms."""
        return self.system.values | dict(point)

    def settled(self) -> dict[str, Any]:
        """What of the network follows from the lattice and the signs."""
        return self.wavefunction.network.settled(self.wavefunction, self.system.site(self.sign_free()))

    def sign_free(self) -> bool:
        """Whether the ground state is positive, in one basis, at every coupling of the study."""
        everywhere = [self.couplings(point) for point in self.at_list() + self.points_list()]
        gauges = [self.system.gauges(values) for values in everywhere]
        return bool(set.intersection(*gauges))

    def _starts(self) -> Iterator[Problem]:
        """What warm starts and trainings of no steps ask for."""
        start, steps, key = self.pretrain.warm_start, self.pretrain.steps, ("pretrain", "warm_start")
        bases = 1 if self.one_base else len(self.at_list())
        if (why := one_for_each(start, bases)) is not None:
            what = f"warm_start names {len(start)} models"  # type: ignore[arg-type]
            yield Problem(key, what, why, "one path, or a list with one for each base")
        if (why := one_for_each(self.adapt.sector, bases)) is not None:
            what = f"sector names {len(self.adapt.sector)} sectors"  # type: ignore[arg-type]
            yield Problem(("adapt", "sector"), what, why, "one number, or a list with one for each base")
        if steps == 0 and start is None:
            yield Problem(("pretrain", "steps"), "no steps from random weights", "", 'warm_start = "runs/other", too')
        if self.one_base and any(self.at_list().count(at) > 1 for at in self.at_list()):
            yield Problem(("pretrain", "at"), "a value is named twice", "every system is trained with the same weight")
        if steps == 0 and self.baselines is not None:
            why = "rivals are trained as long as the pre-training"
            yield Problem(("baselines",), "baselines need a pre-training of some steps", why, "steps = 300")

    @model_validator(mode="after")
    def _fits_together(self) -> DiagramSpec:
        found = problems(self.system, self.wavefunction, self.pretrain, self.adapt, self.evaluate)
        found = [*found, *reference_problems(self.reference, self.evaluate)]
        if self.baselines is not None and not found:
            tunable = self.wavefunction.network.tunable
            found = list(rivals(self.baselines, self.at_list(), self.points_list(), tunable))
        found = [*found, *self._starts()]
        if found:
            raise PydanticCustomError("together", "keys do not fit together", {"problems": found})
        return self
