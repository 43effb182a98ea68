"""Tasks: the parts a study is made of, each of which reads what others have given and gives one output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.core.meter import Cost

Arrays = Mapping[str, np.ndarray]


class Task(NamedTuple):
    """A part of a study.

    name: ``"pretrain"``, ``"point/3"``; random keys follow from it alone, so that the order of tasks does not matter.
    needs: names of the tasks whose outputs it reads, which come before it in the list of tasks.
    share: of the expected work, in units of your choice. ahead: the same of tasks that will probably follow from what
    this one gives, and are not listed yet.
    """

    name: str
    needs: tuple[str, ...] = ()
    share: float = 1.0
    ahead: float = 0.0


class Output(NamedTuple):
    """What a task gives.

    record: JSON values. arrays: what later tasks go on from. models: ``artifacts`` of the run directory, each arrays
    and a description, kept beside the output and not given to later tasks. cost: filled in when the task has ended.
    """

    record: dict[str, Any]
    arrays: Arrays = {}
    models: Mapping[str, tuple[Arrays, Mapping[str, Any]]] = {}
    cost: Cost = Cost()


Outputs = Mapping[str, Output]
