"""What is installed: a wheel that runs outside the repository, and the bundle for machines without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import wavefoundry

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BUNDLE = [sys.executable, str(ROOT / "tools" / "offline-bundle")]


def called(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command outside the repository, which must not be found by its Python."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "JAX", "XLA", "PYTEST"))}
    return subprocess.run([str(part) for part in command], cwd=cwd, env=clean, capture_output=True, text=True)


def test_one_version_everywhere():
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert citation is not None and citation[1] == wavefoundry.__version__
    assert f"[Unreleased]: {wavefoundry.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_extras_install_what_is_used():
    """Every package of an extra for users is imported somewhere in the sources, or is a plugin of the site."""
    sources = "\n".join(path.read_text() for path in (ROOT / "wavefoundry").rglob("*.py"))
    site = (ROOT / "mkdocs.yml").read_text() + (ROOT / "tools" / "site_math.py").read_text()
    modules = {"physics-tenpy": "tenpy", "jax": "jax", "mkdocs": "site_name", "mkdocs-material": "name: material"}
    for extra, packages in PROJECT["optional-dependencies"].items():
        for package in packages if extra != "dev" else ():
            name = re.split(r"[\[><=]", package)[0]
            module = modules.get(name, name.replace("-", "_"))
            used = name in site or module in site if extra == "docs" else re.search(rf"\b{module}\b", sources)
            assert used, f"{name} of {extra}"


def test_a_bundle_says_what_it_would_fetch(tmp_path: Path):
    plain = called(*BUNDLE, "lattices", "--list", cwd=tmp_path)
    assert plain.stdout.splitlines() == PROJECT["dependencies"]
    more = called(*BUNDLE, "lattices", "molecules", "--gpu", "--list", cwd=tmp_path).stdout.splitlines()
    assert set(more) - set(plain.stdout.splitlines()) == {
        *PROJECT["optional-dependencies"]["molecules"],
        *PROJECT["optional-dependencies"]["gpu"],
    }


def test_a_bundle_overwrites_nothing(tmp_path: Path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine").touch()
    done = called(*BUNDLE, "lattices", cwd=tmp_path)
    assert done.returncode == 2 and "is there already" in done.stderr
    assert called(*BUNDLE, "everything", cwd=tmp_path).returncode == 2


@pytest.mark.slow
def test_the_wheel_runs_in_a_fresh_environment(tmp_path: Path):
    """Built, installed with all it needs, outside the repository; a diagram without training, and its report."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    built = called(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("wavefoundry-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for part in ("zoo/ising-chain-24/model/arrays.safetensors", "reports/templates/report.html.j2", "py.typed"):
        assert f"wavefoundry/{part}" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "docs"))]

    venv.create(tmp_path / "env", with_pip=True)
    bin = tmp_path / "env" / "bin"
    installed = called(bin / "pip", "install", "--quiet", wheel, "-c", ROOT / "constraints.txt", cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    version = called(bin / "wavefoundry", "--version", cwd=tmp_path)
    assert version.stdout.strip() == f"wavefoundry {wavefoundry.__version__}"
    assert "ising-chain-24" in called(bin / "wavefoundry", "models", "list", cwd=tmp_path).stdout
    demo = called(bin / "wavefoundry", "demo", "diagram", "--zoo", "--out", "demo", cwd=tmp_path)
    assert demo.returncode == 0, demo.stderr
    assert "complete: 11 points, 11 trusted" in demo.stdout
    assert (tmp_path / "demo" / "report.html").is_file() and demo.stderr == ""
