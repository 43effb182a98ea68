"""`[wavefunction]` of a study file: every kind of network has a table of its own, made from its entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from wavefoundry.artifacts.spec_kinds import KindTable
from wavefoundry.artifacts.spec_tables import PARTS, SYMMETRY, named
from wavefoundry.core.networks import NETWORKS, Network


class WavefunctionTable(KindTable):
    """`[wavefunction]`: the network; beside these keys every kind has its own, see ``core.networks``.

    Amplitudes are positive, but for networks with a complex head on systems that are not sign-free.
    """

    ENTRIES: ClassVar[Mapping[str, Any]] = NETWORKS
    NOUN: ClassVar[str] = "network"
    STALE: ClassVar[bool] = True

    kind: Annotated[str, named(NETWORKS)] = Field(
        default="vit",
        description="; ".join(f"{name}: {network.title}" for name, network in NETWORKS.items())
        + "; only vit has a head that can be tuned",
    )
    precision: Literal["float32", "float64"] = Field(
        default="float32", description="precision of the network; energies and solves are always float64"
    )
    symmetry: Annotated[str | list[str], SYMMETRY] = Field(
        default="auto",
        description="vit: translations by whole patches; none: positions embedded; auto: what the Hamiltonian has; or a"
        f" list out of {', '.join(PARTS)}: made symmetric under all of them by its images",
    )
    symmetrize: Literal["features", "amplitude"] = Field(
        default="features",
        description="with a list of symmetries: average the features over the images, or project the amplitude",
    )

    @property
    def network(self) -> Network:
        """Its entry in the table of networks."""
        return NETWORKS[self.kind]
