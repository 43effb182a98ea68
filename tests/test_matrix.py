"""Models x verbs: every combination works, or is refused with a reason; none fails half-way."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.core.errors import InputError
from wavefoundry.core.types import Psi, Wavefunction
from wavefoundry.models import ElectronsSpec

pytestmark = pytest.mark.integration


class Jastrow(eqx.Module):
    """A backbone of a user: the products of all pairs of spins."""

    weights: Any

    def __call__(self, condition: Any, x: Any) -> Any:
        return (x.astype(self.weights.dtype) @ self.weights @ x)[None]


class Sum(eqx.Module):
    """A head of a user: positive amplitudes."""

    real: bool = eqx.field(static=True, default=True)

    def __call__(self, z: Any) -> Psi:
        log = jnp.sum(z)
        return Psi(log, jnp.zeros_like(log))


@dataclasses.dataclass(frozen=True)
class Own:
    """The description of a user's network."""

    def build(self, key: Any, extent: tuple[int, ...], **_: Any) -> Wavefunction:
        sites = int(np.prod(extent))
        return Wavefunction(Jastrow(0.01 * jax.random.normal(key, (sites, sites), jnp.float32)), Sum())


VIT = wf.models.vit(patch=2, width=8, layers=1, heads=2)
NETWORKS: dict[str, Any] = {
    "vit": VIT,
    "dense": wf.models.dense(alpha=1.0),
    "conv": wf.models.conv(),
    "resnet": wf.models.resnet(channels=2, blocks=1),
    "averaged": wf.models.symmetric(VIT, parts=["translations", "spin-flip"]),
    "projected": wf.models.symmetric(VIT, parts=["translations", "spin-flip"], form="amplitude"),
    "own": Own(),
    "electrons": wf.models.electrons(preset="small"),
}
REFUSED = {
    # what is refused, and a word of the reason
    ("dense", "head"): "no weights to tune",
    ("conv", "head"): "no weights to tune",
    ("resnet", "head"): "no weights to tune",
    ("own", "head"): "no weights to tune",
    ("own", "save"): "a class of your own",
    ("electrons", "to_netket"): "lattice",
    ("electrons", "head"): "method",
}
VERBS = ["pretrain", "head", "full", "zero-shot", "prune", "save", "expect", "to_netket"]


@pytest.fixture(scope="module")
def base_of() -> Callable[[str], Any]:
    """A pre-trained model of a network, made once."""

    @functools.cache
    def get(name: str) -> Any:
        if isinstance(NETWORKS[name], ElectronsSpec):
            settings: Any = {"steps": 2, "hf_steps": 2, "walkers": 16, "burn_in": 4, "block": 2}
            return wf.pretrain(wf.molecules("H 0 0 0; H 0 0 1.4"), NETWORKS[name], **settings)
        return wf.pretrain(wf.lattice.ising_chain(6, h=1.2), NETWORKS[name], steps=4, walkers=32, block=2)

    return get


def do(verb: str, base: Any, tmp_path: Any) -> Any:
    """A verb, and what must hold of its result."""
    molecules = isinstance(base, wf.MoleculeModel)
    if verb == "pretrain":
        return base.parameters if molecules else np.isfinite(base.energy)
    if verb in ("head", "full", "zero-shot"):
        if molecules:
            few: Any = {"samples": 256, "chains": 32, "burn_in": 4}
            steps: Any = {"steps": 2} if verb == "full" else {}
            found = wf.map(base, wf.molecules("H 0 0 0; H 0 0 1.5"), verb, evaluate=few, **steps)
            return np.isfinite(found.molecules[0]["energy"])
        found = wf.map(base, {"h": [1.0, 1.5]}, verb, full_steps=2, samples=256, evaluate={"samples": 256})
        return all(np.isfinite(point["energy"]) for point in found.points)
    if verb == "prune" and molecules:
        few = {"samples": 256, "chains": 32, "burn_in": 4}
        found = wf.prune(base, fraction=0.9, steps=2, evaluate=few, reference={"basis": "none"})
        return len(found.rounds) > 1
    if verb == "prune":
        found = wf.prune(base, fraction=0.5, steps=2, stop_at=8, train={"steps": 2})
        return len(found.rounds) > 1
    if verb == "save":
        base.save(tmp_path / "model")
        if molecules:
            return wf.load(tmp_path / "model").parameters == base.parameters
        again = wf.load(tmp_path / "model", base.system)
        x = jnp.asarray(again.system.init(jax.random.key(0)))
        return again.wavefunction(again.system, x).log == base.wavefunction(base.system, x).log
    if verb == "expect":
        if molecules:
            found = base.state(base.trained_on[0]).sample(64, burn_in=2)
            return found.x.shape == (64, 2, 3) and np.isfinite(found.energies).all()
        value = base.state.expect(nk.operator.spin.sigmax(base.system.hilbert, 0))
        return np.isfinite(value["value"] if isinstance(value, dict) else value.value)
    if molecules:
        return base.state(base.trained_on[0]).to_netket()
    state = base.state.to_netket()
    x = np.asarray(base.state.sample(4))
    ours = np.asarray([complex(one) for one in np.asarray(base.state.log_amplitude(x))])
    return np.allclose(np.exp(np.asarray(state.log_value(x)) - ours), 1.0, atol=1e-10)


SLOW = {("electrons", "full"), ("projected", "full"), ("projected", "prune"), ("own", "full"), ("resnet", "prune")}
CELLS = [
    pytest.param(network, verb, marks=[pytest.mark.slow] if (network, verb) in SLOW else [], id=f"{network}-{verb}")
    for network in NETWORKS
    for verb in VERBS
]


@pytest.mark.parametrize(("network", "verb"), CELLS)
def test_every_cell_works_or_says_why_not(network: str, verb: str, base_of: Callable[[str], Any], tmp_path: Any):
    word = REFUSED.get((network, verb))
    if word is None:
        assert do(verb, base_of(network), tmp_path)
        return
    with pytest.raises(InputError) as caught:
        do(verb, base_of(network), tmp_path)
    said = str(caught.value)
    assert word in said and ("fix:" in said or "why:" in said)
