"""Compiled programs on disk: where they are kept, found again, small and whole."""

import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from wavefoundry.artifacts import named
from wavefoundry.core import programs

RUN = """
import json, jax, jax.numpy as jnp
from wavefoundry.core.meter import METER
from wavefoundry.core.programs import keep_programs
keep_programs()
before = METER.now()
def long(a):
    for n in range(80):
        a = jnp.sin(a * n) @ a + jnp.sort(a, axis=0)
    return a
jax.jit(long)(jnp.eye(5)).block_until_ready()
print(json.dumps([jax.config.jax_compilation_cache_dir, *(METER.now() - before)]))
"""


def start(cache: str, home: Path) -> list:
    """What a fresh process says of its cache and compilations."""
    gone = ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME")
    environment = {k: v for k, v in os.environ.items() if k not in gone} | {"HOME": str(home), programs.VARIABLE: cache}
    done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.integration
def test_a_second_process_finds_the_programs_of_the_first(tmp_path):
    first = start("", tmp_path)
    assert first[0] == str(tmp_path / ".cache" / "wavefoundry" / "jax")
    assert first[5] == 0 and first[4] > 0
    stored = {path.name for path in (tmp_path / ".cache" / "wavefoundry" / "jax").iterdir() if "atime" not in path.name}
    second = start("", tmp_path)
    again = {path.name for path in (tmp_path / ".cache" / "wavefoundry" / "jax").iterdir() if "atime" not in path.name}
    assert stored and again == stored, "nothing had to be compiled"
    assert second[4] == first[4], "as many programs were asked for"
    assert start("off", tmp_path / "other")[0] is None and not (tmp_path / "other" / ".cache").exists()


@pytest.mark.parametrize(
    ("folder", "own", "xdg", "within"),
    [
        (programs.folder, programs.VARIABLE, "XDG_CACHE_HOME", ".cache/wavefoundry/jax"),
        (named.imported, "WAVEFOUNDRY_MODELS", "XDG_DATA_HOME", ".local/share/wavefoundry/models"),
    ],
)
def test_folders_of_a_user(folder, own, xdg, within, tmp_path, monkeypatch):
    """As the variables say, else in the home; who has none, as in many a container, has them among temporary files."""
    for name in (own, xdg):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder() == tmp_path / within
    monkeypatch.setenv(xdg, "~/base")
    assert folder().relative_to(tmp_path / "base").parts[0] == "wavefoundry"
    monkeypatch.setenv(own, "~/here")
    assert folder() == tmp_path / "here"
    for name in (own, xdg):
        monkeypatch.delenv(name)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as it is without HOME and without an entry
    assert folder() == Path(tempfile.gettempdir()) / f"home-{os.getuid()}" / within


def test_damaged_and_old_programs_are_removed(tmp_path, monkeypatch):
    whole = zlib.compress(os.urandom(4000))
    for age, name, data in (
        (5000, "old", whole),
        (4000, "cut", whole[:-9]),
        (3000, "newer", whole),
        (10, "in the making", whole[:100]),
    ):
        path = tmp_path / f"{name}-cache"
        path.write_bytes(data)
        stamp = path.stat().st_mtime - age
        os.utime(path, (stamp, stamp))
    names = lambda: {p.name.removesuffix("-cache") for p in tmp_path.glob("*-cache")}  # noqa: E731
    programs.tidy(tmp_path)
    assert names() == {"old", "newer", "in the making"}
    programs.tidy(tmp_path, largest=6000)
    assert names() == {"newer", "in the making"}
    monkeypatch.setattr(programs, "_whole", lambda path: pytest.fail("what was seen is not read again"))
    programs.tidy(tmp_path)


class Masked(eqx.Module):
    """A network whose structure holds an array, as users' own ones may."""

    mask: np.ndarray = eqx.field(static=True)

    def __init__(self, mask: tuple[int, ...]) -> None:
        self.mask = np.array(mask)


@pytest.mark.filterwarnings("ignore:A JAX array is being set as static")
def test_what_was_made_of_equal_settings_is_given_again():
    made = []

    @programs.once
    def make(static, rate, *, listed=False):
        made.append((static, rate, listed))
        return lambda: rate

    network = [eqx.partition(eqx.nn.Linear(2, 3, key=jax.random.key(n)), eqx.is_array)[1] for n in range(2)]
    other = eqx.partition(eqx.nn.Linear(2, 4, key=jax.random.key(0)), eqx.is_array)[1]
    assert make(network[0], 0.1) is make(network[1], 0.1)
    assert make(network[0], 0.1) is not make(other, 0.1)
    assert make(network[0], 0.2)() == 0.2 and make(network[0], 0.2, listed=True) is not make(network[0], 0.2)
    assert len(made) == 4
    whole = eqx.nn.Linear(2, 3, key=jax.random.key(0))
    for unknown in (whole, Masked((1, 2)), [3]):  # arrays and lists have no value to be known by
        assert make(unknown, 0.1) is not make(unknown, 0.1)
    make(Masked((1, 3)), 0.1)


@pytest.mark.skipif(not programs._MAPS.exists(), reason="counts memory maps as Linux does")
def test_programs_are_forgotten_before_there_is_no_room_for_more(tmp_path, monkeypatch):
    """Linux ends a process by a segmentation fault when the next program needs one memory map too many."""
    monkeypatch.setattr(programs, "_MOST_MAPS", tmp_path / "most")
    traced = []

    @jax.jit
    def double(x):
        traced.append(x)
        return 2 * x

    def forgets(most):
        (tmp_path / "most").write_text(f"{most}\n")
        double(1.0)
        forgot, before = programs.forget_programs(), len(traced)
        double(1.0)
        return forgot, len(traced) - before

    assert forgets(10**9) == (False, 0)
    assert forgets(100) == (True, 1)
    (tmp_path / "most").unlink()  # another system
    assert not programs.forget_programs()
