"""What tests of whole studies share."""

from typing import Any

import pytest

from wavefoundry.artifacts.store import RunDirectory


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tasks of which something has been saved, a checkpoint or the output, one entry for each."""
    names: list[str] = []

    def noted(save: Any) -> Any:
        def wrapper(self: RunDirectory, name: str, *rest: Any) -> None:
            save(self, name, *rest)
            names.append(name)

        return wrapper

    for method in ("save", "save_output"):
        monkeypatch.setattr(RunDirectory, method, noted(getattr(RunDirectory, method)))
    return names
