"""A lattice model in one file: the Ising model in fields along x and z, H = -J sum Z Z - h sum X - g sum Z."""

import math
from collections.abc import Mapping

from wavefoundry.core.hamiltonians import Model, Place, Term, register


def exact(where: Place, values: Mapping[str, float]) -> dict[str, float] | None:
    """Without bonds every spin stands along its field."""
    if values["J"] != 0:
        return None
    sites = math.prod(where.lattice.extent(where.cells))
    field = math.hypot(values["h"], values["g"])
    along = values["g"] / field
    m2 = (1 + (sites - 1) * along**2) / sites
    return {"energy": -sites * field, "m2": m2}


MODEL = register(
    Model(
        "ising-mixed",
        "Ising model in a tilted field",
        "total energy of H = -J sum_<ij> Z_i Z_j - h sum_i X_i - g sum_i Z_i in Pauli matrices",
        {"J": 1.0, "h": 1.0, "g": 0.0},
        (Term("J", ("ZZ",), 1, -1.0), Term("h", ("X",), 0, -1.0, mean="m_x"), Term("g", ("Z",), 0, -1.0)),
        "J",
        lambda values, rule: {"none"} if values["h"] >= 0 else set(),
        lattices=("chain", "square"),
        bounds={"h": (0.0, math.inf)},
        exact=exact,
        competing=("m_x", "abs_m"),
    )
)
