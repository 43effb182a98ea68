"""Numbers as text, and the flat table of points."""

import csv
import io
import math

import pytest

from wavefoundry.reports.tables import flatten, format_number, format_value_error, write_csv


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (-1.2701234, 0.00034, "-1.27012(34)"),
        (1.23449, 0.00666, "1.2345(67)"),
        (5.2999, 1.23, "5.3(1.2)"),
        (1.23456, 0.0996, "1.23(10)"),  # rounding the error moves its last digit
        (1.5, 0.0999, "1.50(10)"),
        (7.0, 0.96, "7.00(96)"),
        (7.0, 0.996, "7.0(1.0)"),
        (12345.6, 678.0, "12350(680)"),
        (1234.0, 56.0, "1234(56)"),
        (-1e-5, 1e-3, "0.0000(10)"),  # no negative zero
        (0.0, 1e-3, "0.0000(10)"),
        (1.2e-9, 3e-10, "1.20(30)e-9"),
        (-0.00123456, 0.0000012, "-0.0012346(12)"),
        (1.25, 0.0, "1.25"),
        (-1.27012345678, 0.0, "-1.270123457"),
        (-1.27012345678, None, "-1.27012"),
        (-1.27012345678, math.nan, "-1.27012"),
        (math.nan, 0.1, "n/a"),
        (math.inf, 0.1, "n/a"),
        (None, 0.1, "n/a"),
        (3.0, math.inf, "3"),
    ],
)
def test_value_with_error(value, error, shown):
    assert format_value_error(value, error) == shown


def test_value_with_error_keeps_the_number_within_half_a_digit():
    for power in range(-8, 5):
        for mantissa in (1.04, 2.5, 9.49, 9.99):
            error = mantissa * 10.0**power
            shown = format_value_error(-math.pi, error)
            value, digits = shown.rstrip(")").split("(")
            assert abs(float(value) + math.pi) <= 0.051 * error
            last = len(value.partition(".")[2])
            read = float(digits) if "." in digits else float(digits) * 10.0**-last
            assert read == pytest.approx(error, rel=0.05)


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (7.13e-4, 2, "7.1e-4"),
        (0.0012, 2, "1.2e-3"),
        (0.3456, 2, "0.35"),
        (622.4, 3, "622"),
        (3.1, 3, "3.10"),
        (9.96, 2, "10"),
        (0.0, 2, "0.0"),
        (1.5e7, 2, "1.5e7"),
        (math.nan, 2, "n/a"),
        (None, 2, "n/a"),
    ],
)
def test_plain_numbers(value, digits, shown):
    assert format_number(value, digits) == shown


def test_csv_reads_back_to_the_same_numbers(fabricate):
    points = fabricate.summary(fields=[0.5, 1.0, 1.5])["points"]
    rows = list(csv.DictReader(io.StringIO(write_csv(points))))
    assert [float(row["couplings.h"]) for row in rows] == [0.5, 1.0, 1.5]
    for row, point in zip(rows, points, strict=True):
        assert float(row["energy"]) == point["energy"]
        assert float(row["observables.m2.error"]) == point["observables"]["m2"]["error"]
        assert float(row["observables.zz.value.3"]) == point["observables"]["zz"]["value"][3]
        assert float(row["exact_observables.m2"]) == point["exact_observables"]["m2"]
        assert float(row["terms.h.value"]) == point["terms"]["h"]["value"]
        assert float(row["pool.ess_min"]) == point["pool"]["ess_min"]
        assert row["trusted"] == "true"


def test_csv_columns_do_not_depend_on_what_is_missing(fabricate):
    full = fabricate.summary(fields=[1.0])["points"]
    poor = [{"couplings": {"h": 1.0}, "pool": None, "observables": None, "terms": {}, "exact_energy": math.nan}]
    header = write_csv(full).splitlines()[0].split(",")
    short = write_csv(poor).splitlines()[0].split(",")
    fixed = header[header.index("method") : header.index("reasons") + 1]
    assert header[:2] == ["couplings.J", "couplings.h"]
    assert short == ["couplings.h", *fixed]
    assert write_csv(poor).splitlines()[1].count("1.0") == 1
    assert "nan" not in write_csv(poor)
    assert write_csv([]).strip().split(",") == fixed


def test_csv_quotes_hostile_text(fabricate):
    point = {**fabricate.summary(fields=[1.0])["points"][0], "method": 'a,"b"\nc', "flags": ["R-HAT", "IMAG"]}
    (row,) = csv.DictReader(io.StringIO(write_csv([point])))
    assert row["method"] == 'a,"b"\nc'
    assert row["flags"] == "R-HAT;IMAG"


def test_flatten_is_one_level_deep():
    flat = flatten({"a": {"b": [1, {"c": 2}]}, "flags": [], "pool": None})
    assert flat == {"a.b.0": 1, "a.b.1.c": 2, "flags": "", "pool": None}


def test_verdicts_stand_in_the_csv(fabricate):
    points = fabricate.judged(["trusted", "refused"])["points"]
    first, second = csv.DictReader(io.StringIO(write_csv(points)))
    assert [row["verdict"] for row in (first, second)] == ["trusted", "refused"]
    assert (second["answers.sampled"], second["answers.state"], second["answers.ground"]) == ("yes", "no", "no")
    assert second["flags"] == "HIGH-VARIANCE!;ABOVE-EXACT!"
    assert second["reasons"] == "; ".join(points[1]["reasons"])
    assert float(first["v_score_plain"]) == points[0]["v_score_plain"]
    assert float(first["z"]) == points[0]["z"] and float(first["reference.energy"]) == points[0]["exact_energy"]
    assert first["observables.m2.verdict"] == "trusted" and first["observables.abs_m.exact"] == ""


def test_old_and_new_records_share_the_first_columns(fabricate):
    old = write_csv(fabricate.summary(fields=[1.0])["points"]).splitlines()[0].split(",")
    new = write_csv(fabricate.judged(["upper bound"])["points"]).splitlines()[0].split(",")
    last = old.index("reasons") + 1
    assert old[:last] == new[:last] and "reference" not in new
