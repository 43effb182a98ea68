"""What a study file of kind "diagram" is made of: one base, or several."""

from __future__ import annotations

from wavefoundry.artifacts.spec_diagram import DiagramSpec
from wavefoundry.studies.diagram.several import SeveralBases
from wavefoundry.studies.diagram.study import DiagramStudy, check
from wavefoundry.studies.progress import Context
from wavefoundry.studies.study import Study


def build(spec: DiagramSpec, context: Context) -> Study:
    """The study of a study file."""
    return DiagramStudy(spec, context) if spec.pretrain.together else SeveralBases(spec, context)


__all__ = ["build", "check"]
