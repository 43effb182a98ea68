"""Quantum dynamics learned from single barriers, used on a landscape of your own.

Run ``python examples/emulation.py`` from a place you may write to; it takes about a minute on two cores. It prints what
the student learned and how it does, and writes ``emulation.png``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import wavefoundry as wf


def main() -> None:
    """Distil a student with 72 weights, question it, roll it out where it never was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2400, help="first-order training steps")
    parser.add_argument("--frames", type=int, default=300, help="frames to predict, 0.1 apart")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the picture")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    # 32 runs of one packet and one barrier, computed by a splitting solver that proves its convergence
    curriculum = wf.Curriculum.preset("quick")
    student = wf.distill(curriculum, wf.models.unitary(), steps=arguments.steps, polish=8, progress=True)
    print(f"\n{student.parameters} weights, {student.record['cost']['cpu_seconds']:.0f} CPU s of training\n")

    # what did it learn? nothing is claimed that its accuracy alone explains
    for sentence in wf.diagnose(student)["words"]:
        print(sentence)

    # a landscape unlike anything in the curriculum: a function of x, two packets
    own = wf.case(
        "dunes",
        lambda x: 3 * np.exp(-(((x - 45) / 4) ** 2)) + 5 * np.exp(-(((x - 60) / 2) ** 2)) + 0.02 * np.abs(x - 50),
        [wf.Packet(20, 2.5, 5), wf.Packet(85, 2.0, 3, left=True)],
    )
    grid = student.grid
    psi0, potential = own.state(grid), own.potential(grid)
    found = student.rollout(psi0, potential, arguments.frames)
    true = wf.propagate(psi0, potential, arguments.frames)
    overlap = (
        np.abs(np.sum(np.conj(found) * true, axis=1)) / np.linalg.norm(found, axis=1) / np.linalg.norm(true, axis=1)
    )
    print(
        f"\ncorrelation with the solver: mean {overlap.mean():.5f}, after {arguments.frames} frames {overlap[-1]:.5f}"
    )
    drift = abs(grid.norm(found[-1]) - 1)
    print(f"norm drift {drift:.1e}")

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3), sharey=True)
    for axis, psi, title in zip(axes, (true, found), ("solver", "student"), strict=True):
        extent = (0, grid.length, 0, arguments.frames * student.frame_step)
        axis.imshow(np.abs(psi), origin="lower", aspect="auto", extent=extent, cmap="magma")
        axis.set(title=title, xlabel="x")
    axes[0].set_ylabel("time")
    figure.savefig(arguments.out / "emulation.png", dpi=150, bbox_inches="tight")
    print("written:", arguments.out / "emulation.png")


if __name__ == "__main__":
    main()
