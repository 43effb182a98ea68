"""`[reference]` of a study of kind "diagram": what energies are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from wavefoundry.artifacts.spec_tables import EvaluateTable, PathText, Table
from wavefoundry.core.expect import Problem
from wavefoundry.core.words import near

METHODS = ("closed-form", "lanczos", "ed", "dmrg", "literature", "file")
"""Methods that can be listed; the same as in ``problems.references.found``."""
RULE = "'auto', 'none', one of 'closed-form', 'lanczos', 'ed', 'dmrg', 'literature', 'file', or a list of these"


def _method(value: Any) -> Any:
    listed = value if isinstance(value, list) else [value]
    known = METHODS if isinstance(value, list) else ("auto", "none", *METHODS)
    wrong = next((one for one in listed if one not in known), None)
    if not listed or wrong is not None or len(set(listed)) < len(listed):
        words = [word for word in known if isinstance(wrong, str) and near(wrong, [word])]
        raise PydanticCustomError("choice", "must be {rule}", {"rule": RULE, "words": words or list(known)})
    return value


def _bonds(value: Any) -> Any:
    listed = value if isinstance(value, list) else [value]
    whole = all(type(one) is int and 2 <= one <= 100_000 for one in listed)
    if not listed or len(listed) > 16 or not whole or any(b <= a for a, b in pairwise(listed)):
        rule = "a whole number from 2 to 100000, or a list of them, each larger than the one before"
        raise PydanticCustomError("choice", "must be {rule}", {"rule": rule, "words": []})
    return value


class ReferenceTable(Table):
    """`[reference]`: what energies are compared with."""

    method: Annotated[str | list[str], PlainValidator(_method)] = Field(
        default="auto",
        description="auto: a closed form, else Lanczos up to 2^20 configurations (20 spins), and published values; or "
        "some of closed-form, lanczos, ed (QuSpin), dmrg (TeNPy), literature, file; none",
    )
    bond_dimension: Annotated[int | list[int], PlainValidator(_bonds)] = Field(
        default=128,
        description="dmrg: of the last stage, which a quarter and half of it precede; or those of all stages",
    )
    sweeps: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="dmrg: most sweeps of the last stage, and one without noise; of the others half, at least two",
    )
    memory_gib: float | None = Field(
        default=None, gt=0, le=1e5, description="ed, dmrg: memory of a calculation; half of what is free by default"
    )
    minutes: float = Field(default=30.0, gt=0, le=1e5, description="ed, dmrg: time of one value")
    file: PathText | None = Field(
        default=None, description="file: CSV with couplings, energy, energy_error, observables"
    )
    per: Literal["site", "system"] | None = Field(default=None, description="file: what its energies are of; needed")
    exact: bool = Field(default=False, description="file: its energies are exact, and no state lies below them")

    @property
    def methods(self) -> list[str] | None:
        """Methods asked for by name; None: those that "auto" stands for."""
        if self.method == "auto":
            return None
        return [] if self.method == "none" else [self.method] if isinstance(self.method, str) else list(self.method)


def reference_problems(table: ReferenceTable, evaluate: EvaluateTable) -> Iterator[Problem]:
    """Keys of ``[reference]`` that do not fit together, or contradict ``[evaluate] exact``."""
    methods = table.methods or []
    if evaluate.exact is False and methods:
        yield Problem(
            ("evaluate", "exact"),
            "exact = false and a method of [reference] contradict each other",
            "the one wants no references, the other does",
            "leave exact out",
        )
    if "file" in methods and table.file is None:
        yield Problem(("reference", "file"), "there is no file", "method 'file' reads one", 'file = "energies.csv"')
    if table.file is not None and "file" not in methods:
        yield Problem(("reference", "method"), "the file is not read", "method does not name it", 'method = ["file"]')
    if table.file is not None and table.per is None:
        why = "energies per site and of the whole system differ by the number of sites"
        yield Problem(("reference", "per"), "per is missing", why, 'per = "site" or per = "system"')
    for key in ("per", "exact"):
        if table.file is None and getattr(table, key):
            yield Problem(("reference", key), f"{key} belongs to a file", fix='file = "energies.csv", or leave it out')
