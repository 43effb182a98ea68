"""The NetKet side of the comparison: the same network, Hamiltonian, sampler and optimiser, set up as a user would.

The network is a flax module with our weights copied into it. What a NetKet user can choose without changing the
method (chunk sizes, form of the operator, form of the kernel) is chosen by measurement, the fastest wins.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable, Iterator
from typing import Any, cast

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import optax
from _common import Timing, measure, say
from flax import linen as nn

from wavefoundry.core.types import Wavefunction
from wavefoundry.models.heads import ComplexHead, RealHead
from wavefoundry.models.transformer import displacements
from wavefoundry.problems.spins import LatticeSystem

HEAD = ("re", "im")  # layers of the head; everything else is the backbone
xavier = nn.initializers.xavier_uniform()


class Attention(nn.Module):
    """Factored attention for a batch (B, n, d)."""

    heads: int
    displacement: tuple[tuple[int, ...], ...]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, n, d = x.shape
        index = np.array(self.displacement)
        alpha = self.param("alpha", xavier, (self.heads, n), self.dtype)
        values = nn.Dense(d, param_dtype=self.dtype, name="value")(x)
        values = values.reshape(batch, n, self.heads, d // self.heads)
        mixed = jnp.einsum("hij,bjhe->bihe", alpha[:, index], values)
        return nn.Dense(d, param_dtype=self.dtype, name="out")(mixed.reshape(batch, n, d))


class Transformer(nn.Module):
    """The vision transformer of ``wavefoundry.models``, written for batches in the way of NetKet's tutorials."""

    extent: tuple[int, ...]
    patch: int
    width: int
    layers: int
    heads: int
    real: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        lead = x.shape[:-1]
        tokens = nn.Dense(self.width, param_dtype=self.dtype, name="embedding")(
            self._patches(x.reshape(-1, x.shape[-1]))
        )
        displacement = tuple(map(tuple, displacements(self.extent, self.patch).tolist()))
        for i in range(self.layers):
            y = nn.LayerNorm(param_dtype=self.dtype, name=f"norm_attention_{i}")(tokens)
            tokens = tokens + Attention(self.heads, displacement, self.dtype, name=f"attention_{i}")(y)
            y = nn.LayerNorm(param_dtype=self.dtype, name=f"norm_feed_{i}")(tokens)
            y = nn.gelu(nn.Dense(4 * self.width, param_dtype=self.dtype, name=f"up_{i}")(y))
            tokens = tokens + nn.Dense(self.width, param_dtype=self.dtype, name=f"down_{i}")(y)
        z = nn.LayerNorm(param_dtype=self.dtype, name="norm")(jnp.sum(tokens, axis=1))
        out = nn.Dense(self.width, param_dtype=self.dtype, name="re")(z)
        if not self.real:
            out = out + 1j * nn.Dense(self.width, param_dtype=self.dtype, name="im")(z)
        return jnp.sum(nk.nn.log_cosh(out), axis=-1).reshape(lead)

    def _patches(self, x: jax.Array) -> jax.Array:
        b = self.patch
        if len(self.extent) == 1:
            return x.reshape(x.shape[0], -1, b).astype(self.dtype)
        rows, columns = self.extent
        blocks = x.reshape(-1, rows // b, b, columns // b, b).transpose(0, 1, 3, 2, 4)
        return blocks.reshape(x.shape[0], -1, b * b).astype(self.dtype)


def twin(wavefunction: Wavefunction, dtype: Any = None) -> tuple[Transformer, dict[str, Any]]:
    """The flax module and variables that give the same log psi.

    Args:
        wavefunction: ours, without couplings as input and without layer norms in the head.
        dtype: of the copied weights; by default that of ours.

    Raises:
        ValueError: the network has parts that are not copied.
    """
    backbone: Any = wavefunction.backbone
    head: Any = wavefunction.head
    if wavefunction.conditioned:
        raise ValueError("a network that is given the couplings has no twin here")
    dense = {"re": head.dense} if isinstance(head, RealHead) else {"re": head.re, "im": head.im}
    norms = [head.norm] if isinstance(head, RealHead) else [head.norm_re, head.norm_im]
    if not isinstance(head, RealHead | ComplexHead) or any(norm is not None for norm in norms):
        raise ValueError("only plain heads without layer norms have a twin here")
    dtype = jnp.dtype(dtype or backbone.embedding.kernel.dtype)
    layers = backbone.blocks.attention.alpha.shape[0]

    def copy(array: Any) -> jax.Array:
        # arithmetic puts the array on NetKet's device mesh; a bare conversion from NumPy does not
        return 1 * jnp.asarray(np.asarray(array), dtype)

    def affine(layer: Any, kernel: str, bias: str, index: Any = ...) -> dict[str, jax.Array]:
        names = {"kernel": "kernel", "bias": "bias", "scale": "scale", "shift": "bias"}
        return {names[name]: copy(getattr(layer, name)[index]) for name in (kernel, bias)}

    params: dict[str, Any] = {
        "embedding": affine(backbone.embedding, "kernel", "bias"),
        "norm": affine(backbone.norm, "scale", "shift"),
        **{name: affine(layer, "kernel", "bias") for name, layer in dense.items()},
    }
    for i in range(layers):
        block = backbone.blocks
        params[f"norm_attention_{i}"] = affine(block.norm_attention, "scale", "shift", i)
        params[f"norm_feed_{i}"] = affine(block.norm_feed, "scale", "shift", i)
        params[f"up_{i}"] = affine(block.up, "kernel", "bias", i)
        params[f"down_{i}"] = affine(block.down, "kernel", "bias", i)
        params[f"attention_{i}"] = {
            "alpha": copy(block.attention.alpha[i]),
            "value": affine(block.attention.value, "kernel", "bias", i),
            "out": affine(block.attention.out, "kernel", "bias", i),
        }
    width = backbone.norm.scale.shape[0]
    model = Transformer(
        tuple(backbone.extent), max(backbone.patch), width, layers, backbone.blocks.attention.alpha.shape[1],
        isinstance(head, RealHead), dtype,
    )  # fmt: skip
    return model, {"params": params}


def check(wavefunction: Wavefunction, system: LatticeSystem, model: Any, variables: Any) -> float:
    """Largest difference of log psi on random configurations, relative to max(1, |log psi|); phases modulo 2 pi.

    Raises:
        SystemExit: the two networks are not the same (1e-5 in single, 1e-12 in double precision).
    """
    x = jax.vmap(system.init)(jax.random.split(jax.random.key(1), 32))
    ours = jax.jit(jax.vmap(lambda s: wavefunction(system, s)))(x)
    theirs = np.asarray(jax.jit(model.apply)(variables, x))
    log = np.asarray(ours.log, np.float64)
    scale = np.maximum(1.0, np.abs(log))
    turn = np.angle(np.exp(1j * (np.asarray(ours.phase, np.float64) - np.imag(theirs))))
    worst = float(np.max(np.maximum(np.abs(log - np.real(theirs)), np.abs(turn)) / scale))
    double = {leaf.dtype for leaf in jax.tree.leaves(wavefunction) if hasattr(leaf, "dtype")} == {jnp.dtype("float64")}
    if not worst <= (1e-12 if double and model.dtype == jnp.float64 else 1e-5):
        raise SystemExit(f"error: the two networks differ by {worst:.1e}: nothing can be compared")
    return worst


def hamiltonians(system: LatticeSystem) -> dict[str, Any]:
    """NetKet's own operators for a system, in the basis of its sign rule; every form a user would try."""
    values = system.values
    ising, heisenberg = cast(Any, nk.operator.IsingJax), cast(Any, nk.operator.Heisenberg)
    if system.model == "ising":
        graph = nk.graph.Grid(system.extent, pbc=system.periodic)
        return {"IsingJax": ising(system.hilbert, graph, h=values["h"], J=-values["J"])}
    graph = nk.graph.Grid(system.extent, pbc=system.periodic, max_neighbor_order=2)
    couplings = [values["J1"] / 4, values["J2"] / 4]  # theirs are Pauli matrices
    rule = [system.sublattice is not None, False]
    local = heisenberg(system.hilbert, graph, J=couplings, sign_rule=rule).to_jax_operator()
    return {"LocalOperatorJax": local, "PauliStringsJax": local.to_pauli_strings()}


@dataclasses.dataclass(frozen=True)
class Tuning:
    """What a NetKet user may choose without changing the method; None is "all at once"."""

    operator: str
    sampler_chunk: int | None = None
    chunk: int | None = None
    on_the_fly: bool = False
    chunk_bwd: int | None = None


def state_of(system: LatticeSystem, model: Any, variables: Any, samples: int, tuning: Tuning, seed: int) -> Any:
    """Monte Carlo state: one sample per chain and step, one sweep of N proposals between steps, nothing discarded."""
    rule: Any = nk.sampler.rules.LocalRule()
    if system.pairs is not None:
        graph = nk.graph.Grid(system.extent, pbc=system.periodic)
        rule = nk.sampler.rules.ExchangeRule(graph=graph, d_max=2)
    sampler = nk.sampler.MetropolisSampler(
        system.hilbert, rule, n_chains=samples, sweep_size=system.sites, dtype=np.int8
    )
    # the constructor of this version drops the argument chunk_size
    sampler = sampler.replace(chunk_size=tuning.sampler_chunk)
    return nk.vqs.MCState(
        sampler, model, variables=variables, n_samples=samples, n_discard_per_chain=0, chunk_size=tuning.chunk,
        seed=seed, sampler_seed=seed + 1,
    )  # fmt: skip


def freeze_backbone(state: Any) -> Any:
    """The same state with the head as its only parameters."""
    return nk.vqs.freeze_parameters(state, lambda path, _: path[0] not in HEAD)


def driver_of(state: Any, operator: Any, learning_rate: Any, shift: float, tuning: Tuning) -> Any:
    """Stochastic reconfiguration in kernel form; ``learning_rate`` may be a schedule."""
    with quiet():
        return nk.driver.VMC_SR(
            operator,
            optax.sgd(learning_rate),
            diag_shift=shift,
            variational_state=state,
            use_ntk=True,
            on_the_fly=tuning.on_the_fly,
            chunk_size_bwd=tuning.chunk_bwd,
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the lines NetKet prints about its settings."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


class Stepper:
    """One optimisation step at a time, with the energy it was computed from."""

    def __init__(self, driver: Any):
        self.driver, self.energy, self.variance = driver, complex(np.nan), np.nan

    def __call__(self) -> Any:
        def remember(step: int, data: dict, driver: Any) -> bool:
            del step, driver
            self.energy, self.variance = complex(data["Energy"].mean), float(data["Energy"].variance)
            return True

        self.driver.run(1, out=None, show_progress=False, callback=remember)
        return self.driver.state.parameters


def sampling_call(state: Any) -> Callable[[], Any]:
    """A sweep of every chain."""

    def call() -> Any:
        state.reset()
        return state.samples

    return call


def tune(
    system: LatticeSystem, start: Callable[[Tuning], Any], chunks: list[int], repeats: int, samples: int
) -> tuple[Tuning, list]:
    """Choose every setting by measurement, one part of the step after the other.

    Args:
        system: what is simulated.
        start: makes the state for a tuning.
        chunks: chunk sizes to try besides "all at once".
        repeats: timed calls of each candidate.
        samples: per step when it matters; the kernel on the fly takes only chunks that divide it.

    Returns:
        The fastest tuning, and what was tried: (part, setting, CPU seconds).
    """
    operators = hamiltonians(system)
    tried: list[tuple[str, str, float]] = []
    best = Tuning(next(iter(operators)))

    def fastest(part: str, candidates: dict[str, tuple[Tuning, Callable[[], Any]]]) -> Tuning:
        found: dict[str, Timing] = {}
        for name, (_, call) in candidates.items():
            found[name] = measure(call, repeats)
            tried.append((part, name, found[name].cpu))
            say(f"  NetKet {part}: {name}: {found[name].cpu:.3f} CPU s")
        return candidates[min(found, key=lambda name: found[name].cpu)][0]

    sizes = [None, *chunks]
    options = [dataclasses.replace(best, sampler_chunk=size) for size in sizes]
    best = fastest("sampling", {f"chunk {t.sampler_chunk}": (t, sampling_call(start(t))) for t in options})

    options = [dataclasses.replace(best, operator=name, chunk=size) for name in operators for size in sizes]
    calls = {f"{t.operator}, chunk {t.chunk}": (t, _local_call(start(t), operators[t.operator])) for t in options}
    best = fastest("local energies", calls)

    state = start(best)
    whole = [size for size in sizes if size is None or (samples % size == 0 and state.n_samples % size == 0)]
    options = [dataclasses.replace(best, on_the_fly=False, chunk_bwd=size) for size in sizes]
    options += [dataclasses.replace(best, on_the_fly=True, chunk_bwd=size) for size in whole]
    calls = {
        f"{'on the fly' if t.on_the_fly else 'Jacobian'}, chunk {t.chunk_bwd}": (t, _update_call(state, operators, t))
        for t in options
    }
    best = fastest("local energies and update", calls)
    return best, tried


def _local_call(state: Any, operator: Any) -> Callable[[], Any]:
    samples = state.samples
    del samples  # drawn once, before the clock starts
    return lambda: state.local_estimators(operator).data


def _update_call(state: Any, operators: dict[str, Any], tuning: Tuning) -> Callable[[], Any]:
    driver = driver_of(state, operators[tuning.operator], 1.0, 1e-3, tuning)

    def call() -> Any:
        with quiet():
            return driver.compute_loss_and_update()[1]

    return call


def fresh_energy(state: Any, operator: Any, sweeps: int) -> tuple[float, float]:
    """Energy and error bar from ``sweeps`` further samples of every chain, apart from the optimisation.

    The error bar comes from the means of the chains, so that it allows for correlation along them.
    """
    data = np.real(np.asarray(_further(state, operator, sweeps)))
    means = data.reshape(data.shape[0], -1).mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means)))


def _further(state: Any, operator: Any, sweeps: int) -> Any:
    before = state.sampler_state
    samples = state.sample(chain_length=sweeps)
    energies = state.local_estimators(operator).data
    # the optimisation goes on as if nobody had looked
    state.sampler_state = before
    state.reset()
    del samples
    return energies
