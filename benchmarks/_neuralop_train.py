"""A Fourier neural operator learns one frame of a wavefunction. Runs in an environment with neuraloperator and torch.

``ENV/bin/python _neuralop_train.py IN.npz OUT.npz SETTINGS.json``: IN has frames (runs, frames + 1, n) and potentials
of the runs, states and fields of the cases, and how many frames these are followed; OUT gets their frames.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from neuralop.models import FNO  # pyright: ignore[reportMissingImports]

SCALE = 14.0
"""The highest potential of the curriculum: fields come in units of it."""
BATCH = 16


def inputs(psi: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Real part, imaginary part and potential as channels, (batch, 3, n)."""
    return torch.stack([psi.real, psi.imag, field / SCALE], dim=1)


def train(data: dict[str, np.ndarray], settings: dict[str, float]) -> FNO:
    """Adam on the relative L2 error of one frame, for so many CPU seconds; the rate falls to zero as a cosine."""
    frames, fields = torch.from_numpy(data["frames"]), torch.from_numpy(data["potentials"])
    modes, hidden, layers = (int(settings[key]) for key in ("modes", "hidden", "layers"))
    model = FNO(n_modes=(modes,), in_channels=3, out_channels=2, hidden_channels=hidden, n_layers=layers)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings["learning_rate"])
    draw, begin, steps, last = np.random.default_rng(int(settings["seed"])), time.process_time(), 0, float("nan")
    while (gone := (time.process_time() - begin) / settings["seconds"]) < 1:
        for group in optimiser.param_groups:
            group["lr"] = settings["learning_rate"] * 0.5 * (1 + np.cos(np.pi * gone))
        run, at = draw.integers(len(frames), size=BATCH), draw.integers(frames.shape[1] - 1, size=BATCH)
        before, after, field = frames[run, at], frames[run, at + 1], fields[run]
        found = model(inputs(before, field))
        wanted = torch.stack([after.real, after.imag], dim=1)
        loss = torch.mean(torch.linalg.vector_norm(found - wanted, dim=(1, 2)) / wanted.norm(dim=(1, 2)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        last = loss.item()
        if steps % 200 == 0:
            print(f"step {steps}, one-frame error {last:.2e}, {100 * gone:.0f} %", flush=True)
        steps += 1
    settings |= {"steps": steps, "last_loss": last}
    return model


def main() -> None:
    """Train, follow the cases, write what came out."""
    source, target, file = sys.argv[1:]
    with open(file, encoding="utf-8") as stream:
        settings = json.load(stream)
    torch.manual_seed(int(settings["seed"]))
    torch.set_num_threads(1)
    data = dict(np.load(source))
    begin = time.process_time()
    model = train(data, settings)
    spent = time.process_time() - begin
    psi, fields = torch.from_numpy(data["states"].astype(np.complex64)), torch.from_numpy(data["fields"])
    out, begin = [psi], time.process_time()
    with torch.no_grad():
        for _ in range(int(data["count"])):
            found = model(inputs(out[-1], fields.float()))
            out.append(torch.complex(found[:, 0], found[:, 1]))
    each = (time.process_time() - begin) / (int(data["count"]) * len(psi))
    weights = sum(p.numel() * (2 if p.is_complex() else 1) for p in model.parameters())
    known = {"weights": weights, "train_cpu_seconds": spent, "cpu_seconds_per_frame": each}
    known |= {key: settings[key] for key in ("steps", "last_loss")}
    np.savez(target, frames=torch.stack(out, dim=1).numpy(), about=json.dumps(known))


if __name__ == "__main__":
    main()
