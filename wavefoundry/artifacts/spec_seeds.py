"""The studies that a study over several seeds is made of."""

from __future__ import annotations

from typing import Any

from wavefoundry.artifacts.spec_emulation import EmulationSpec


def of_seed(spec: Any, index: int) -> Any:
    """The study of one seed, which runs once: every seed of random numbers is raised by ``index``.

    The runs that a curriculum draws stay the same: they are data.
    """

    def raised(table: Any) -> Any:
        return table.model_copy(update={"seed": seed_of(table, index)})

    update: dict[str, Any] = {"run": spec.run.model_copy(update={"seeds": 1})}
    if isinstance(spec, EmulationSpec):
        update["students"] = [raised(student) for student in spec.students]
    else:
        name = "pretrain" if hasattr(spec, "pretrain") else "train"
        update[name] = raised(getattr(spec, name))
        if getattr(getattr(spec, "adapt", None), "seed", None) is not None:
            update["adapt"] = raised(spec.adapt)
    return spec.model_copy(update=update)


def seed_of(table: Any, index: int) -> int:
    """The seed of a table in repetition ``index``."""
    return (table.seed + index) % 2**32


def seeds(spec: Any) -> list[int]:
    """The seeds of a study, of its first student where it has several."""
    tables = getattr(spec, "pretrain", None) or getattr(spec, "train", None) or spec.students[0]
    return [seed_of(tables, index) for index in range(spec.run.seeds)]
