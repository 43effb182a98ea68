"""What a study file of kind "diagram" is made of: one base, or several."""

from __future__ import annotations

from wavefoundry.artifacts.spec_diagram import DiagramSpec
from wavefoundry.studies.diagram.overlapping import Overlapped
from wavefoundry.studies.diagram.referencing import Referenced, References
from wavefoundry.studies.diagram.several import SeveralBases
from wavefoundry.studies.diagram.study import DiagramStudy, check
from wavefoundry.studies.progress import Context
from wavefoundry.studies.study import Study


def build(spec: DiagramSpec, context: Context) -> Study:
    """The study of a study file."""
    study = DiagramStudy(spec, context) if spec.pretrain.together else SeveralBases(spec, context)
    bases = [study] if isinstance(study, DiagramStudy) else study.studies
    wanted = spec.evaluate.exact == "auto"
    references = References(spec.reference, [one.system for one in bases], spec.points_list(), wanted)
    for one in bases:
        one.references = references
    points = study.adaptation if isinstance(study, DiagramStudy) else lambda done: study.bases
    return Referenced(Overlapped(study, points, spec.points_list(), spec.evaluate), references)


__all__ = ["build", "check"]
