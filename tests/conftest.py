"""Settings that must be in place before JAX is imported for the first time."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parent.parent / ".cache" / "jax"))
# By default JAX keeps only what took more than a second to compile; tests compile many small programs.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


@pytest.fixture(autouse=True)
def no_room_for_programs():
    """One process compiles the programs of many tests."""
    yield
    if "jax" in sys.modules:
        from wavefoundry.core.programs import forget_programs

        forget_programs()


@pytest.fixture(autouse=True, scope="session")
def every_field_has_a_type():
    """Whatever a test reads from a run holds no field that ``core.records`` does not name."""
    from wavefoundry.artifacts import results
    from wavefoundry.core import records

    plain = results.check_summary

    def checked(summary, path):
        found = plain(summary, path)
        assert not (left := sorted(set(records.unknown(records.parsed(found))))), f"fields without a type: {left}"
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "check_summary", checked)
        yield
