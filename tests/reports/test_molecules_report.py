"""Report, tables and figures of a study of molecules, from made-up summaries."""

from __future__ import annotations

import copy
import re
import warnings

import numpy as np
import pytest
from rich.console import Console

from wavefoundry.core.records import MoleculesSummary, typed
from wavefoundry.core.records.molecules import Molecule, MoleculeReference, Transfer
from wavefoundry.core.scans import length_of, scans
from wavefoundry.reports import lines, live, molecules_figures, molecules_html, molecules_lines
from wavefoundry.reports.html import render
from wavefoundry.reports.tables import write_csv


def record(length: float, method: str, error: float, **changes) -> dict:
    reference = -8.07 + 0.05 * (length - 3.0) ** 2
    energy = reference + error / 1000
    density = {"position": [-1.0, 0.0, 1.0], "value": [0.5, 2.0, 0.5], "error": [0.1] * 3, "nuclei": [0.0, length]}
    return {
        "name": f"LiH {length:g}", "formula": "LiH", "charge": 0, "spin": 0, "electrons": 4, "atoms": 2,
        "geometry": [["Li", 0.0, 0.0, 0.0], ["H", 0.0, 0.0, length]], "method": method, "steps": 0,
        "energy": energy, "energy_error": 0.001, "variance": 0.02, "v_score": 1e-3, "r_hat": 1.0, "acceptance": 0.5,
        "reference": {"value": reference, "kind": "exact", "source": "literature", "uncertainty": 0.0},
        "error_mha": error, "error_mha_error": 1.0, "chemistry": {"basis": "cc-pVTZ", "hf": -7.98},
        "correlation_share": 0.97, "atomisation": {"value": 0.09, "error": 0.001},
        "observables": {"dipole": {"value": 5.9, "error": 0.1}, "density": density, "virial": {"value": 2.01}},
        "flags": [], "trusted": True, "verdict": "trusted", "reasons": ["agrees"], "cost": {"cpu_seconds": 1.0},
    } | changes  # fmt: skip


def summary() -> dict:
    records = [record(x, "trained", 0.5) for x in (2.4, 3.0, 4.0)]
    records += [record(x, "zero-shot", 2.0 + x) for x in (2.6, 3.4)]
    far = {"flags": ["ABOVE-HF!"], "trusted": False, "verdict": "refused", "reasons": ["above Hartree-Fock"]}
    records.append(record(6.0, "zero-shot", 90.0, **far))
    curves = [
        {"target": "LiH 3.4", "start": start, "steps": [0, 10, 100], "energy": [-8.0] * 3, "error_mha": errors}
        for start, errors in (("transfer", [9.0, 4.0, 1.0]), ("scratch", [900.0, 40.0, 6.0]))
    ]
    entry = {
        "target": "LiH 3.4", "from": ["LiH 3"], "steps_to_1mha_per_atom": 20, "scratch_steps": 300,
        "scratch_steps_made": 300, "ratio": 15.0, "ratio_at_least": None, "zero_shot_error_mha": 5.4,
        "goal": -8.06, "levels": [],
    }  # fmt: skip
    training = {"steps": [10, 20, 30], "energy": {"LiH 2.4": [-7.9, -8.0, -8.04], "LiH 3": [-7.9, None, -8.06]}}
    return {
        "schema": 1, "kind": "molecules", "status": "complete", "title": None, "convention": "Hartree",
        "trained_on": ["LiH 2.4", "LiH 3", "LiH 4"], "train": training, "molecules": records, "transfer": [entry],
        "curves": curves, "cost": {"cpu_seconds": 9.0}, "versions": {"jax": "0"}, "hardware": {"cores": 2},
        "settings": {"train": {"molecules": [{"atoms": "Li 0 0 0; H 0 0 R", "scan": [2.4]}], "steps": 30}},
    }  # fmt: skip


def typed_summary() -> MoleculesSummary:
    return typed(MoleculesSummary, summary())


def typed_records(records: list[dict]) -> list[Molecule]:
    return [typed(Molecule, one) for one in records]


def test_the_report_says_what_matters_first():
    page = render(summary(), [])
    verdict = re.search(r'<section class="verdict.*?</section>', page, re.DOTALL)
    assert verdict is not None
    for part in (
        "PARTLY TRUSTED",
        "Of 6 energies: 5 trusted, 1 refused.",
        "refused: above Hartree-Fock",
        "15 times fewer",
        "5.4 mHa",
    ):
        assert part in verdict[0], part
    assert "good" not in verdict[0]
    assert page.count("<svg") == 4  # curve, steps, training, density
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script" not in page
    assert re.search(r'class="raised"><dt>ABOVE-HF', page)
    assert "Li 0 0 0; H 0 0 R" in page


def test_a_clean_run_is_said_to_be_good():
    clean = summary()
    clean["molecules"] = clean["molecules"][:5]
    page = render(clean, [])
    assert re.search(r'class="verdict good">\s*<p><strong>TRUSTED', page)


def test_what_nothing_confirms_is_an_upper_bound_and_no_success_of_trust():
    bound = summary()
    bound["molecules"] = [one | {"verdict": "upper bound", "trusted": False} for one in bound["molecules"][:3]]
    page = render(bound, [])
    assert re.search(r'class="verdict">\s*<p><strong>UPPER BOUND', page)
    assert "Of 3 energies: 0 trusted, 3 upper bounds." in page and "nothing independent confirms it" in page
    assert molecules_lines.counted(typed_records(bound["molecules"][:1])) == "0 trusted, 1 upper bound"


def test_a_study_that_failed_says_why():
    failed = summary() | {"status": "failed", "why": "the energy is refused: LiH 6: above Hartree-Fock"}
    failed["molecules"] = failed["molecules"][-1:]
    assert "REFUSED" in render(failed, []) and "The energy is refused: LiH 6" in render(failed, [])
    closing = molecules_lines.final_line(failed)
    assert closing.startswith(
        "failed (the energy is refused: LiH 6: above Hartree-Fock): 1 molecule, 0 trusted, 1 refused"
    )


@pytest.mark.parametrize("gone", ["train", "transfer", "curves", "settings", "cost", "trained_on"])
def test_a_summary_with_a_part_missing_still_makes_a_report(gone):
    part = summary()
    del part[gone]
    assert "<h1>" in render(part, [])


def test_missing_numbers_are_not_drawn_as_zero():
    names = ("energy", "energy_error", "error_mha", "error_mha_error", "variance", "v_score", "atomisation", "symmetry")
    nothing = dict.fromkeys(names) | {"observables": {}}
    broken = summary()
    broken["molecules"].append(
        record(5.0, "zero-shot", 0.0) | nothing | {"flags": ["NOT-FINITE!"], "trusted": False, "verdict": "refused"}
    )
    assert "5" not in [f"{length_of(one):g}" for one in scans(typed_records(broken["molecules"]))["LiH"]]
    page = render(broken, [])
    assert "NOT-FINITE!" in page and "n/a" in page


def test_scans_are_found_and_chance_geometries_are_not():
    found = scans(typed_summary().molecules)
    assert list(found) == ["LiH"]
    assert [length_of(one) for one in found["LiH"]] == [2.4, 2.6, 3.0, 3.4, 4.0, 6.0]
    water = [record(1.0, "zero-shot", 1.0, name=f"H2O #{k}", geometry=[["H", 0, 0, k]] * 3) for k in range(5)]
    assert scans(typed_records(water)) == {}
    three = [["Be", 0.0, 0.0, 0.0], ["H", 0.0, 0.0, 2.5], ["H", 0.0, 0.0, -2.5]]
    frames = [record(3.0, "zero-shot", 1.0, name=f"traj {k}", formula="BeH2", geometry=three) for k in range(1, 6)]
    assert scans(typed_records(frames)) == {}, "numbered frames of a file are no scan"
    scanned = [one | {"length": 2.0 + k / 10} for k, one in enumerate(frames)]
    assert [length_of(one) for one in scans(typed_records(scanned))["traj"]] == [2.0, 2.1, 2.2, 2.3, 2.4]
    other = [one | {"spin": 2} for one in scanned]
    assert sorted(scans(typed_records(scanned + other))) == ["traj (BeH2, 2S = 0)", "traj (BeH2, 2S = 2)"]

    # two angles of one molecule, bond after bond and each at two methods; the second has one length twice
    def bent(angle: float, r: float, name: str, method: str = "zero-shot"):
        along = [r * np.cos(angle), 0.0, r * np.sin(angle)]
        geometry = [["O", 0.0, 0.0, 0.0], ["H", 0.0, 0.0, r], ["H", *along]]
        return record(r, method, 1.0, name=name, formula="H2O", geometry=geometry) | {"length": r}

    first = [bent(1.9, r, f"H2O {r}", method) for r in (1.7, 1.8, 1.9, 2.0) for method in ("zero-shot", "full")]
    second = [bent(2.1, r, f"H2O {r} (2)") for r in (1.7, 1.8, 1.9)] + [bent(2.1, 1.9, "H2O 1.9 (3)")]
    for records in (first + second, second + first):
        found = scans(typed_records(records))
        assert sorted(found) == ["H2O", "H2O (2)"]
        assert {tuple(length_of(one) for one in part) for part in found.values()} == {
            (1.7, 1.7, 1.8, 1.8, 1.9, 1.9, 2.0, 2.0),
            (1.7, 1.8, 1.9, 1.9),
        }
    for records, drawn in ((water, True), ([], False)):
        found = typed(MoleculesSummary, summary() | {"molecules": records})
        assert (molecules_figures.main_figure(found) is not None) == drawn


def test_error_against_size_needs_three_sizes():
    chains = [
        record(1.8, "zero-shot", float(n), name=f"H{n} chain 1.8", atoms=n, electrons=n, geometry=[]) for n in (4, 6, 8)
    ]
    figure = molecules_figures.size_figure(typed_records(chains))
    assert figure is not None
    bars = figure.axes[0].containers[0].lines[0]
    np.testing.assert_allclose(np.asarray(bars.get_xydata()), [[4, 1], [6, 1], [8, 1]])
    assert molecules_figures.size_figure(typed_records(chains[:2])) is None


def test_words_at_doubtful_points_leave_room_for_the_curve():
    doubts = {
        "flags": ["HIGH-VARIANCE", "BASE-NOT-CONVERGED", "LOW-PRECISION"],
        "trusted": False,
        "verdict": "doubtful",
    }
    records = typed_records([record(r, "zero-shot", 10.0 * r) | doubts for r in (1.0, 1.2, 1.4, 1.6, 1.8)])
    figure = molecules_figures.curve_figure(records, "H2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        molecules_figures.styled(figure.canvas.draw)()
    heights = [axes.get_position().height for axes in figure.axes]
    assert min(heights) > 0.2, heights
    assert {text.get_text() for text in figure.axes[1].texts} == {"doubtful"}


def test_the_curve_shows_differences_with_their_error_bars():
    records = scans(typed_summary().molecules)["LiH"]
    figure = molecules_figures.curve_figure(records, "LiH")
    below = figure.axes[1]
    drawn = np.concatenate([np.asarray(c.lines[0].get_xydata()) for c in below.containers])
    expected = sorted((length_of(one), one.error_mha) for one in records)
    np.testing.assert_allclose(drawn[np.argsort(drawn[:, 0])], expected)
    assert [text.get_text() for text in below.texts] == ["refused"]


def test_errors_per_atom_against_steps():
    figure = molecules_figures.steps_figure(typed_summary())
    assert figure is not None
    transfer, scratch = figure.axes[0].lines[:2]
    np.testing.assert_allclose(transfer.get_ydata(), [4.5, 2.0, 0.5])
    assert scratch.get_linestyle() == "--"


def test_relative_energies_are_relative_to_the_lowest():
    table = molecules_html.relative_table(typed_summary().molecules)
    assert table is not None
    by_length = {row[1]: row for row in table.body}
    assert by_length["3"][3] == "0"
    # 0.05 (3.4 - 3)^2 Ha = 8 mHa in the reference, and 5.4 - 0.5 mHa more here.
    assert by_length["3.4"][4] == "8.00" and by_length["3.4"][3].startswith("12.9")


def test_lines_of_the_live_view():
    event = {"event": "molecule", "index": 0, **record(3.4, "zero-shot", 5.4)}
    assert lines.event_line(event) == (
        "LiH 3.4, zero-shot: E (Ha) -8.0566(10)  E - ref (mHa) 5.4(1.0)  variance 0.020  R-hat 1.000  accept 0.50  "
        "reference exact  verdict trusted"
    )
    step = {"event": "step", "phase": "train", "step": 5, "steps": 10, "energy_mean": -8.01234567, "std": 0.1234}
    assert lines.event_line(step) == "train 5/10  mean E -8.012346  std 0.12"
    closing = molecules_lines.final_line(summary())
    assert "complete: 6 molecules, 5 trusted, 1 refused, largest difference from a reference 90 mHa" in closing


def test_the_closing_table():
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(live.final_table(summary()))
    text = console.export_text()
    assert (
        "LiH 6, zero-shot: refused: above Hartree-Fock" in text
        and "ABOVE-HF!" in text
        and "15 times fewer" in text
        and "cost: 9 s CPU" in text
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scratch_steps": None, "ratio": None, "ratio_at_least": 15.0}, "not in 300 steps from scratch: more than 15"),
        ({"steps_to_1mha_per_atom": None, "ratio": None}, "not reached from the model, 300 steps from scratch"),
        ({"steps_to_1mha_per_atom": 0, "ratio": 300.0}, "0 steps from the model, 300 steps from scratch"),
        ({"scratch_steps_made": None}, ""),
    ],
)
def test_what_the_transfer_saved_in_words(changes, says):
    entry = typed(Transfer, summary()["transfer"][0] | changes)
    assert says in molecules_lines.transfer(entry) and bool(says) == bool(molecules_lines.transfer(entry))
    assert "fewer" not in molecules_lines.transfer(entry) or "fewer" in says or "more than" in says


def test_an_interpolated_reference_is_called_so():
    reference = {"value": -1.0, "kind": "method", "source": "CCSD(T)/CBS(cc-pCVTZ/QZ), tabulated"}
    assert molecules_lines.source(typed(MoleculeReference, reference)) == "CCSD(T)/CBS(cc-pCVTZ/QZ)"
    reference["source"] += ", interpolated"
    assert molecules_lines.source(typed(MoleculeReference, reference)) == "CCSD(T)/CBS(cc-pCVTZ/QZ), interpolated"


def test_the_comparison_at_several_errors():
    levels = [
        {"error_mha_per_atom": 5.0, "steps": 0, "scratch_steps": 40, "ratio": 40.0},
        {"error_mha_per_atom": 1.0, "steps": 20, "scratch_steps": None, "ratio": None},
    ]
    found = molecules_html.transfer_table([typed(Transfer, summary()["transfer"][0] | {"levels": levels})])
    assert found is not None
    assert [row[2:] for row in found.body] == [["5", "0", "40", "> 40"], ["1", "20", "not in 300", "n/a"]]
    found = molecules_html.transfer_table(typed_summary().transfer)
    assert found is not None and [row[2:] for row in found.body] == [["1", "20", "300", "15.0"]]


def test_the_table_for_other_programs():
    records = copy.deepcopy(summary()["molecules"])
    head, *rows = write_csv([molecules_lines.numbers(record) for record in records]).splitlines()
    assert len(rows) == 6 and "reference.value" in head and "error_mha" in head and "dipole.value" in head
    assert "density" not in head and "geometry" not in head and records == summary()["molecules"]


def test_every_figure_scrolls_by_itself_where_the_screen_is_narrow():
    page = render(summary(), [])
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert figures and all('<div class="drawing"><svg' in figure for figure in figures)
