"""What did a student learn? Residuals of symmetries and conservation laws, dispersion, transmission.

Every residual is relative to the norm of what should be there. The yardstick is the one-step error: a symmetry counts
as learned by itself only where its residual is below a tenth of that.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry.core.pieces import Piece, at_once
from wavefoundry.models.emulator import Emulator
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.landscapes import single
from wavefoundry.problems.potentials import Potential, shape
from wavefoundry.problems.schrodinger import solve
from wavefoundry.problems.splitting import Solver, kinetic
from wavefoundry.problems.wavepackets import Packet, gaussian, packet_transmission
from wavefoundry.studies.emulation.student import Student, dtype_of, predict

SYMMETRIES = ("linearity", "phase", "amplitude", "translation", "mirror", "time_reversal", "v_shift", "norm", "energy")
TITLES = {
    "linearity": "superposition",
    "phase": "global phase",
    "amplitude": "amplitude",
    "translation": "translation",
    "mirror": "mirror image",
    "time_reversal": "time reversal",
    "v_shift": "constant added to the potential",
    "norm": "norm",
    "energy": "energy",
}
LEARNED = 0.1
ACCURATE = Solver("bm4", tolerance=1e-4)
"""Solver of test states and transmissions, whose error stays below those that are measured with it."""
SHIFT, OFFSET = 37, 1.0
START = 40


class ProbeStates(NamedTuple):
    """Test states: four true frames and the next one, with a second state in the same potential."""

    frames: Any  # complex128 (tests, 5, n)
    second: Any  # (tests, 5, n)
    fields: Any  # (tests, n)
    energy: Any  # kinetic energy of every momentum (n,)


def probe_states(grid: Grid1D, frame_step: float) -> ProbeStates:
    """Three packets on their way through barriers, and three more in the same landscapes."""
    blocks = [[(6, 5, 47), (3, 3, 53)], [(4, 7, 48)], [(9, 4, 50)]]
    fields = np.stack(
        [sum((shape("barrier", height=h, width=w, center=c * grid.length / 100) for h, w, c in part), Potential())(grid)
         for part in blocks]
    )  # fmt: skip
    scale = grid.length / 100
    first = [Packet(30 * scale, 2, 5), Packet(36 * scale, 1.5, 3), Packet(40 * scale, 2.5, 7)]
    second = [Packet(44 * scale, 1.5, 4, True), Packet(52 * scale, 2, 6, True), Packet(46 * scale, 3, 2)]
    states = np.stack([gaussian(packet, grid) for packet in first + second])
    found = solve(states, np.concatenate([fields, fields]), START + 4, grid=grid, dt=frame_step, solver=ACCURATE)
    late = found.frames[:, START:]
    return ProbeStates(late[:3], late[3:], fields, kinetic(grid))


def _size(a: Any) -> Any:
    return jnp.sqrt(jnp.sum(jnp.abs(a) ** 2))


@partial(jax.jit, static_argnums=(0, 3, 4))
def _residuals(static: Any, params: Any, test: Any, spacing: tuple[float, ...], frame_step: float) -> Any:
    """All residuals of one test: (frames (5, n), second (5, n), field (n,), energy (n,))."""
    emulator = eqx.combine(params, static)
    frames, second, field, energy = test
    h = emulator.history
    p, true = frames[4 - h : 4], frames[4]

    def f(states: Any, potential: Any = field) -> Any:
        return emulator(states, potential, spacing).astype(frames.dtype)

    def relative(found: Any, wanted: Any) -> Any:
        return _size(found - wanted) / _size(wanted)

    base = f(p)
    a, b = 0.6, 0.8j
    q = second[4 - h : 4]
    turned = [relative(f(jnp.exp(1j * th) * p), jnp.exp(1j * th) * base) for th in (np.pi / 2, 0.7)]
    flip = lambda psi: jnp.roll(psi[..., ::-1], 1, axis=-1)  # noqa: E731 - index n -> -n
    if h == 1:
        back = relative(jnp.conj(f(jnp.conj(base)[None])), p[0])
    else:
        seen = jnp.concatenate([base[None], p[:0:-1]])
        back = relative(f(jnp.conj(seen)), jnp.conj(p[0]))
    times = jnp.arange(h + 1) * frame_step * OFFSET
    shifted = f(jnp.exp(-1j * times[:h])[:, None] * p, field + OFFSET)

    def moments(psi: Any) -> tuple[Any, Any]:
        acted = jnp.fft.ifft(energy * jnp.fft.fft(psi)) + field * psi
        size = jnp.sum(jnp.abs(psi) ** 2)
        mean = jnp.sum(jnp.conj(psi) * acted).real / size
        return mean, jnp.sqrt(jnp.sum(jnp.abs(acted - mean * psi) ** 2) / size)

    (before, spread), (after, _) = moments(p[-1]), moments(base)

    return {
        "one_step": relative(base, true),
        "linearity": relative(f(a * p + b * q), a * base + b * f(q)),
        "phase": jnp.maximum(*turned),
        "amplitude": relative(f(0.5 * p), 0.5 * base),
        "translation": relative(f(jnp.roll(p, SHIFT, -1), jnp.roll(field, SHIFT)), jnp.roll(base, SHIFT, -1)),
        "mirror": relative(f(flip(p), flip(field)), flip(base)),
        "time_reversal": back,
        "v_shift": relative(shifted, jnp.exp(-1j * times[h]) * base),
        "norm": jnp.abs(jnp.sum(jnp.abs(base) ** 2) * spacing[0] - 1.0),
        "energy": jnp.abs(after / before - 1.0),
        "energy_spread": jnp.abs(after - before) / (2 * spread),
    }


def residuals(emulator: Emulator, test: ProbeStates, grid: Grid1D, frame_step: float) -> dict[str, float]:
    """Residuals by name, rms over the tests (norm: the largest)."""
    params, static = eqx.partition(emulator, eqx.is_inexact_array)
    dtype = dtype_of(emulator)
    rows = [
        _residuals(
            static, params, (jnp.asarray(test.frames[i], dtype), jnp.asarray(test.second[i], dtype),
            jnp.asarray(test.fields[i]), jnp.asarray(test.energy)), grid.spacing, frame_step,
        )
        for i in range(len(test.fields))
    ]  # fmt: skip
    out = {}
    for name in rows[0]:
        values = np.array([float(row[name]) for row in rows])
        out[name] = float(np.max(values)) if name == "norm" else float(np.sqrt(np.mean(values**2)))
    return out


def dispersion(student: Student, piece: Piece = at_once, kmax: float = 8.0, count: int = 60) -> dict[str, list[float]]:
    """Phase that plane waves without a potential collect in one frame, against k^2 dt / 2.

    Windowed students are shown waves at the amplitude of a packet of width 2. The constant part of the phase has no
    physical meaning and is taken out (median difference).
    """
    grid = student.grid
    unit = 2 * np.pi / grid.length
    index = np.unique(np.round(np.linspace(0.2, kmax, count) / unit).astype(int))
    k = index * unit
    k = k[k < 0.9 * grid.momentum_limit]
    times = np.arange(student.history) * student.frame_step
    amplitude = (2 * np.pi * 4.0) ** -0.25
    waves = amplitude * np.exp(1j * (k[:, None, None] * grid.x - 0.5 * k[:, None, None] ** 2 * times[:, None]))
    field = np.zeros((len(k), grid.n))
    found = predict(student.emulator, waves.astype(dtype_of(student.emulator)), field, grid, 1, piece=piece)[:, 0]
    overlap = np.sum(np.conj(waves[:, -1]) * found, axis=-1)
    exact = k**2 * student.frame_step / 2
    off = np.angle(overlap * np.exp(1j * exact))
    off = np.angle(np.exp(1j * (off - np.median(off))))
    size = np.abs(overlap) / np.sum(np.abs(waves[:, -1]) ** 2, axis=-1)
    return {
        "k": k.tolist(),
        "phase": (exact - off).tolist(),
        "exact": exact.tolist(),
        "gain": np.where(np.isfinite(size), size, 0.0).tolist(),
    }


def fitted_mass(curve: dict[str, list[float]], kmax: float = 6.0) -> dict[str, float]:
    """Least-squares fit of the learned phase by c0 + c1 k^2: c1 / dt (exact 1/2) and the largest residual, radians."""
    k, phase, exact = (np.asarray(curve[name]) for name in ("k", "phase", "exact"))
    inside = k <= kmax
    columns = np.stack([np.ones(inside.sum()), k[inside] ** 2], axis=1)
    solution, *_ = np.linalg.lstsq(columns, phase[inside], rcond=None)
    step = 2 * exact[-1] / k[-1] ** 2
    worst = float(np.max(np.abs(columns @ solution - phase[inside])))
    return {"kinetic_coefficient": float(solution[1] / step), "exact": 0.5, "residual": worst}


def transmissions(
    student: Student, piece: Piece = at_once, heights: tuple[float, ...] = (2, 3, 4, 5, 6, 7), energy: float = 4.5
) -> dict[str, Any]:
    """Probability to pass a thin barrier of several heights: student, solver, and the closed form for a packet.

    The packet starts 20 in front of the barrier and is looked at when its transmitted part is well behind it; what is
    transmitted has not gone round the box.
    """
    grid, width = student.grid, 1.0
    points = int(np.sum(np.abs(grid.x - grid.length / 2) < width / 2))
    packet = Packet(0.3 * grid.length, 3.0, energy)
    items = [single(packet.x0, packet.s0, packet.e0, height, width) for height in heights]
    states = np.stack([item.state(grid) for item in items])
    fields = np.stack([item.potential(grid) for item in items])
    count = int(round(0.45 * grid.length / abs(packet.k0) / student.frame_step))
    lead = student.history - 1
    true = solve(states, fields, count, grid=grid, dt=student.frame_step, solver=ACCURATE, piece=piece).frames
    first = true[:, : student.history].astype(dtype_of(student.emulator))
    found = predict(student.emulator, first, fields, grid, count - lead, piece=piece)[:, -1]
    right = grid.x > grid.length / 2 + width
    passed = [np.sum(np.abs(psi[:, right]) ** 2, axis=-1) * grid.dx for psi in (found, true[:, -1])]
    theory = [packet_transmission(packet, float(height), points * grid.dx) for height in heights]
    return {
        "energy": energy,
        "width": points * grid.dx,
        "heights": [float(height) for height in heights],
        "student": [float(value) if np.isfinite(value) and value < 1e6 else None for value in passed[0]],
        "solver": passed[1].tolist(),
        "formula": theory,
    }


def diagnose(student: Student, test: ProbeStates | None = None, piece: Piece = at_once) -> dict[str, Any]:
    """Everything that is asked of a student.

    Args:
        test: from ``probe_states``. piece: does the work piece by piece.

    Returns:
        ``residuals``, ``ratios`` (to the one-step error), ``learned`` (names with a ratio below 0.1 that are not built
        in), ``built_in``, ``dispersion``, ``mass``, ``transmission``, ``words``.
    """
    test = test or probe_states(student.grid, student.frame_step)
    found = residuals(student.emulator, test, student.grid, student.frame_step)
    curve = dispersion(student, piece)
    built_in = [name for name in SYMMETRIES if name in student.built_in]
    ratios = ratios_of(found)
    learned = [name for name in SYMMETRIES if ratios[name] < LEARNED and name not in built_in]
    report = {
        "residuals": found,
        "ratios": ratios,
        "learned": learned,
        "built_in": built_in,
        "dispersion": curve,
        "mass": fitted_mass(curve),
        "transmission": transmissions(student, piece),
    }
    return report | {"words": words(student, report)}


def ratios_of(found: dict[str, float]) -> dict[str, float]:
    """Residuals over the one-step error.

    A state that is off by eps has a norm^2 off by up to 2 eps and an energy off by up to 2 eps times its spread of
    energy; these two are divided accordingly, so that 1 is what the accuracy alone allows.
    """
    scaled = found | {"norm": found["norm"] / 2, "energy": found["energy_spread"]}
    return {name: scaled[name] / found["one_step"] for name in SYMMETRIES}


def words(student: Student, report: dict[str, Any]) -> list[str]:
    """The findings as sentences. A symmetry is claimed only where its ratio to the one-step error is below 0.1."""
    found, ratios = report["residuals"], report["ratios"]
    title = f"The {student.model.kind} student ({student.weights})"
    sentences = [f"{title} predicts one frame with a relative error of {found['one_step']:.2g}."]
    if report["built_in"]:
        held = ", ".join(TITLES[name] for name in report["built_in"])
        sentences.append(f"Its form guarantees: {held}. That is construction, not learning.")
    if report["learned"]:
        said = ", ".join(f"{TITLES[name]} ({ratios[name]:.2g})" for name in report["learned"])
        sentences.append(f"It learned, beyond what its accuracy explains (residual over one-step error): {said}.")
    else:
        sentences.append("No further symmetry holds better than its accuracy alone explains.")
    rest = [name for name in SYMMETRIES if name not in report["learned"] and name not in report["built_in"]]
    if rest:
        said = ", ".join(f"{TITLES[name]} ({ratios[name]:.2g})" for name in rest)
        sentences.append(f"Not claimed: {said}.")
    mass = report["mass"]
    sentences.append(
        f"Between k = 0 and 6 its kinetic phase is {mass['kinetic_coefficient']:.4f} k^2 dt (exact: 0.5) "
        f"to within {mass['residual']:.2g} rad."
    )
    return sentences
