"""Study files of kind "diagram"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from wavefoundry.artifacts.spec_adapt import AdaptTable, BaselinesTable
from wavefoundry.artifacts.spec_checks import problems, rivals
from wavefoundry.artifacts.spec_reference import ReferenceTable, reference_problems
from wavefoundry.artifacts.spec_tables import (
    EvaluateTable,
    OutputTable,
    PretrainTable,
    SampledRunTable,
    SystemTable,
    Table,
    WavefunctionTable,
    grid,
)

APART = 1_000_003
"""Between the seeds of two bases: more than any number of repetitions of a study."""


class DiagramSpec(Table):
    """A study of kind "diagram": pre-train once, adapt to every point, evaluate.

    Raises:
        pydantic.ValidationError: for a value or a combination of values that cannot be used.
    """

    kind: Literal["diagram"] = Field(default="diagram", description="what to compute: a phase diagram")
    system: SystemTable = Field(description="the family of Hamiltonians")
    wavefunction: WavefunctionTable = Field(default=WavefunctionTable(), description="the network")
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
        return len(self.at_list()) == 1 or (self.wavefunction.conditioned if together == "auto" else together)

    def of_bases(self) -> list[DiagramSpec]:
        """One study for every base: this one alone, unless its pre-trainings are separate; seeds are far apart."""
        if self.one_base:
            return [self]
        found = []
        for index, at in enumerate(self.at_list()):
            seed = (self.pretrain.seed + APART * index) % 2**32
            table = self.pretrain.model_copy(update={"at": at, "together": True, "seed": seed})
            found.append(self.model_copy(update={"pretrain": table}))
        return found

    def couplings(self, point: Mapping[str, float]) -> dict[str, float]:
        """All couplings of the model at a point, in the order of the model's terms."""
        return self.system.values | dict(point)

    def sign_free(self) -> bool:
        """Whether the ground state is positive, in one basis, at every coupling of the study."""
        everywhere = [self.couplings(point) for point in self.at_list() + self.points_list()]
        gauges = [self.system.entry.gauges(values, self.system.use_marshall) for values in everywhere]
        return bool(set.intersection(*gauges))

    @model_validator(mode="after")
    def _fits_together(self) -> DiagramSpec:
        found = problems(self.system, self.wavefunction, self.pretrain, self.adapt, self.evaluate)
        found = [*found, *reference_problems(self.reference, self.evaluate)]
        if self.baselines is not None and not found:
            found = list(rivals(self.baselines, list(self.pretrain.at), self.wavefunction.kind == "vit"))
        if found:
            raise PydanticCustomError("together", "keys do not fit together", {"problems": found})
        return self
