"""Animations of wavefunctions, and pages of results that have no run."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import wavefoundry as wf
from wavefoundry.core.errors import InputError

GRID = wf.Grid1D(40.0, 128)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return wf.propagate(wf.Packet(12.0, 1.5, 2.0), 0 * GRID.x, 12, grid=GRID)


def pictures(animation: wf.Animation) -> list[np.ndarray]:
    image = Image.open(io.BytesIO(animation.data))
    found = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        found.append(np.asarray(image.convert("RGB")).astype(int))
    return found


def test_a_packet_moves_over_its_potential(frames: np.ndarray, tmp_path: Path):
    """As many pictures as frames; the blue area moves to the right; the moving hill is where the function has it."""
    moving = wf.animate(frames, lambda x, t: np.exp(-((x - 30 - 4 * t) ** 2)), other=frames, grid=GRID)
    drawn = pictures(moving)
    assert len(drawn) == 13
    centres = []
    for picture in (drawn[0], drawn[-1]):
        blue = (picture[..., 2] - picture[..., 0]) > 60
        assert np.any((picture[..., 0] - picture[..., 2]) > 100), "the line of the other frames"
        centres.append(np.nonzero(blue)[1].mean())
    assert centres[1] - centres[0] > 20
    path = moving.save(tmp_path / "new" / "packet.gif")
    assert (
        path.read_bytes() == moving.data and "13 pictures" in repr(moving) and "data:image/gif" in moving._repr_html_()
    )


def test_many_frames_are_thinned_and_planes_are_maps():
    many = np.ones((1001, GRID.n), complex)
    assert len(pictures(wf.animate(many * np.linspace(1, 2, 1001)[:, None], grid=GRID))) <= 200
    plane = wf.Grid2D((8.0, 8.0), (16, 16))
    x, y = np.meshgrid(plane.axis(0), plane.axis(1), indexing="ij")
    spot = np.stack([np.exp(-((x - 2 - 2 * k) ** 2) - (y - 6) ** 2) for k in range(3)])
    first, *_, last = pictures(wf.animate(spot, grid=plane))
    first, last = (picture[24:] for picture in (first, last))  # without the time
    bright = [np.unravel_index(picture.sum(axis=-1).argmax(), picture.shape[:2]) for picture in (first, last)]
    height = first.shape[0]
    assert bright[0][0] < height / 2, "large y is above"
    assert bright[1][1] - bright[0][1] > first.shape[1] / 4, "x grows to the right"


def test_what_cannot_be_drawn(frames: np.ndarray, tmp_path: Path):
    for given, words in (
        (frames[0], "have shape"),
        (np.stack([frames, frames]), r"frames\[0\]"),
        (np.full((2, GRID.n), np.nan), "not finite"),
        ("frames", "numbers|array"),
    ):
        with pytest.raises(InputError, match=words):
            wf.animate(given, grid=GRID)
    with pytest.raises(InputError, match="on one another"):
        wf.animate(frames, other=frames[:3], grid=GRID)
    with pytest.raises(InputError, match=r"potential has shape \(5,\)"):
        wf.animate(frames, np.zeros(5), grid=GRID)
    with pytest.raises(InputError, match="is no GIF"):
        wf.animate(frames, grid=GRID).save(tmp_path / "packet.mp4")


def test_a_judgement_is_a_table_curves_a_figure_and_a_page(tmp_path: Path):
    cases = [
        wf.case(f"b{h:g}", {"kind": "barrier", "height": h, "width": 2.0}, wf.Packet(30.0, 2.0, 4.0))
        for h in (2.0, 3.0)
    ]
    found = wf.evaluate(wf.demo_emulator(), cases, 12)
    assert list(found.to_pandas()["name"]) == ["b2", "b3"]
    data = found.to_xarray()
    assert data["corr"].dims == ("case", "frame") and float(data["corr"].sel(case="b3", frame=12)) > 0.999
    assert list(data["frame"].values) == list(range(1, 13)) and set(data["verdict"].values) == {"trusted"}
    assert len(found.plot().axes) == 2
    text = found.to_html(tmp_path / "pages" / "judgement.html").read_text()
    assert "<svg" in text and "b3" in text and "http://" not in text.replace("http://www.w3.org", "")
    assert "<img" in found._repr_html_() and found._repr_png_()[:4] == b"\x89PNG"
