"""Study files: forms of writing, defaults, presets, and the round trip."""

import re
import tomllib
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError

from wavefoundry.artifacts.spec import (
    DiagramSpec,
    changed,
    dumps,
    from_dict,
    loads,
    located,
    require_same,
    template,
)
from wavefoundry.artifacts.spec_tables import SystemTable
from wavefoundry.artifacts.toml_text import parse_value
from wavefoundry.core.errors import InputError
from wavefoundry.core.networks import NETWORKS

MINIMAL = """\
kind = "diagram"
[system]
model = "ising"                                            # H = -J sum Z Z - h sum X, J = 1
lattice = { kind = "chain", size = 36, periodic = true }   # square: size = [6, 6]
[pretrain]
at = { h = 1.0 }
[adapt]
method = "head"
points = { h = [0.8, 1.2] }
"""
J1J2 = """\
kind = "diagram"
[system]
model = "j1j2"
lattice = { kind = "chain", size = 20 }
[pretrain]
at = { J2 = 0.4 }
[adapt]
points = { J2 = [0.2, 0.3, 0.5] }
"""


def tables(model: type) -> dict[str, type]:
    fields = {name: field.annotation for name, field in model.model_fields.items() if name != "kind"}
    return {name: (get_args(kind) or (kind,))[0] for name, kind in fields.items()}


# -- forms of writing ------------------------------------------------------------------------------------


def test_a_short_study_gets_every_default():
    spec = loads(MINIMAL)
    assert spec.points_list() == [{"h": 0.8}, {"h": 1.2}]
    assert spec.at_list() == [{"h": 1.0}]
    assert spec.couplings({"h": 0.8}) == {"J": 1.0, "h": 0.8}
    assert (spec.wavefunction.width, spec.pretrain.steps, spec.evaluate.chains) == (32, 300, 64)
    assert spec.system.lattice.shape == (36,)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ("{ h = 0.7 }", [0.7]),
        ("{ h = [0.9, 0.7, 0.9] }", [0.9, 0.7, 0.9]),
        ("{ h = [1, 2] }", [1.0, 2.0]),
        ("{ h = { start = 0.5, stop = 1.5, num = 21 } }", np.linspace(0.5, 1.5, 21)),
        ("{ h = { start = 2, stop = 1, num = 3 } }", [2.0, 1.5, 1.0]),
        ("{ h = { start = 0.3, stop = 0.3, num = 1 } }", [0.3]),
    ],
)
def test_points_can_be_a_value_a_list_or_a_range(points, expected):
    found = [point["h"] for point in loads(MINIMAL, overrides=[f"adapt.points={points}"]).points_list()]
    assert all(type(value) is float for value in found)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_range_meets_the_values_one_would_type():
    spec = loads(MINIMAL, overrides=["adapt.points.h={start = 0.1, stop = 0.9, num = 9}"])
    assert [point["h"] for point in spec.points_list()] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_several_couplings_make_a_grid_in_the_order_of_the_file():
    changes = ["adapt.points={ h = [1.0, 2.0], J = [0.5, 1.5] }", "pretrain.at={ J = 1.0, h = [0.9, 1.1] }"]
    spec = loads(MINIMAL, overrides=changes)
    assert [tuple(point.items()) for point in spec.points_list()] == [
        (("h", 1.0), ("J", 0.5)),
        (("h", 1.0), ("J", 1.5)),
        (("h", 2.0), ("J", 0.5)),
        (("h", 2.0), ("J", 1.5)),
    ]
    assert spec.at_list() == [{"J": 1.0, "h": 0.9}, {"J": 1.0, "h": 1.1}]


@pytest.mark.parametrize(
    ("lattice", "shape"),
    [
        ('{ kind = "square", size = 6 }', (6, 6)),
        ('{ kind = "square", size = [6, 4] }', (6, 4)),
        ('{ kind = "chain", size = 10, periodic = false }', (10,)),
    ],
)
def test_lattices(lattice, shape):
    found = loads(MINIMAL, overrides=[f"system.lattice={lattice}"]).system.lattice
    assert (found.shape, found.sites) == (shape, int(np.prod(shape)))


def test_dotted_keys_and_tables_read_the_same():
    dotted = 'kind = "diagram"\nsystem.model = "ising"\nsystem.lattice.kind = "chain"\nsystem.lattice.size = 36\n'
    dotted += 'pretrain.at.h = 1\nadapt.method = "head"\nadapt.points.h = [0.8, 1.2]\n'
    assert loads(dotted) == loads(MINIMAL)


def test_nested_dicts_are_checked_like_a_file():
    data = tomllib.loads(MINIMAL)
    assert from_dict(data) == loads(MINIMAL)
    data["adapt"]["points"] = {"H": [1.0]}
    with pytest.raises(InputError, match="did you mean 'h'"):
        from_dict(data)


def test_a_study_cannot_be_changed_in_place():
    with pytest.raises(ValidationError):
        loads(MINIMAL).pretrain.steps = 3


# -- what "auto" means -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lattice", "edge"),
    [
        ('{ kind = "chain", size = 36 }', 4),
        ('{ kind = "chain", size = 18 }', 2),
        ('{ kind = "chain", size = 4 }', 2),
        ('{ kind = "chain", size = 9 }', 3),
        ('{ kind = "chain", size = 7 }', 1),
        ('{ kind = "square", size = [6, 4] }', 2),
        ('{ kind = "square", size = [9, 6] }', 3),
        ('{ kind = "square", size = 5 }', 1),
    ],
)
def test_the_automatic_patch_tiles_the_lattice(lattice, edge):
    spec = loads(MINIMAL, overrides=[f"system.lattice={lattice}"])
    assert spec.settled()["patch"] == edge
    assert all(length % edge == 0 for length in spec.system.lattice.shape)


def head_kind(spec):
    return spec.settled()["head"]


def test_a_real_head_is_chosen_only_where_the_ground_state_is_positive():
    assert head_kind(loads(MINIMAL)) == "real"
    assert head_kind(loads(MINIMAL, overrides=["adapt.points.h=[-0.5, 1.0]"])) == "complex"
    assert head_kind(loads(J1J2)) == "complex"
    unfrustrated = ["pretrain.at.J2=0.0", "adapt.points.J2=[-0.2, 0.0]"]
    assert head_kind(loads(J1J2, overrides=unfrustrated)) == "real"
    assert head_kind(loads(J1J2, overrides=[*unfrustrated, "system.marshall=false"])) == "complex"
    assert head_kind(loads(J1J2, overrides=["wavefunction.head=real"])) == "real"


def test_the_marshall_rule_follows_the_sublattices():
    assert loads(J1J2).system.use_marshall
    assert not loads(MINIMAL).system.use_marshall
    odd = 'system.lattice={ kind = "square", size = [4, 5], periodic = %s }'
    assert not loads(J1J2, overrides=[odd % "true"]).system.use_marshall
    assert loads(J1J2, overrides=[odd % "false"]).system.use_marshall


# -- templates -------------------------------------------------------------------------------------------


def test_the_template_shows_every_key_with_its_default():
    text = template("diagram")
    spec = loads(text)
    free = {
        "system": ("model", "lattice", "couplings_file"),
        "pretrain": ("at", "warm_start"),
        "adapt": ("points", "method", "learning_rate", "diagonal_shift", "most_steps", "seed"),
    }
    free["reference"] = ("memory_gib", "file", "per")
    free["output"], free["baselines"] = ("dir", "title"), ("deep",)
    opened = tomllib.loads(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE))
    for name, table in tables(DiagramSpec).items():
        fields = dict(table.model_fields)
        if name == "wavefunction":  # every network has keys of its own
            fields |= {key: field for network in NETWORKS.values() for key, (_, field) in network.keys.items()}
        assert set(opened[name]) == set(fields), name
        for key, field in fields.items():
            if key not in free.get(name, ()):
                plain = getattr(field.default, "model_dump", lambda default=field.default, **_: default)
                assert opened[name][key] == plain(exclude_none=True), f"{name}.{key}"
    opened["pretrain"].pop("warm_start")
    opened["system"].pop("couplings_file")
    for key in ("learning_rate", "diagonal_shift", "most_steps"):  # shown with the value that they come to
        assert opened["adapt"].pop(key) > 0
    assert opened["adapt"].pop("seed") == spec.pretrain.seed
    for key in ("dir", "title"):
        opened["output"].pop(key)
    opened.pop("baselines")  # there are none by default
    for key in free["reference"]:
        opened["reference"].pop(key)
    assert DiagramSpec.model_validate(opened) == spec


def test_every_field_is_described():
    for table in (
        DiagramSpec,
        *tables(DiagramSpec).values(),
        SystemTable.model_fields["lattice"].annotation,
    ):
        assert all(field.description for field in table.model_fields.values()), table
    for network in NETWORKS.values():
        assert network.title and all(field.description for _, field in network.keys.values()), network.name


def test_the_demonstration_is_a_study_worth_showing():
    spec = loads(template("diagram", "demo-"))
    fields = [point["h"] for point in spec.points_list()]
    assert spec.system.lattice.sites >= 20 and len(fields) >= 11
    assert min(fields) < 1 < max(fields)


# -- presets and overrides -------------------------------------------------------------------------------


def test_precedence_is_default_preset_file_override():
    text = MINIMAL.replace("[pretrain]\n", "[pretrain]\nsteps = 77\n")
    spec = loads(text, preset="paper", overrides=["evaluate.samples=9000"])
    assert (spec.pretrain.steps, spec.evaluate.samples, spec.pretrain.walkers) == (77, 9000, 4096)
    assert loads(text, preset="desk") == loads(text)


def test_a_width_from_the_file_keeps_its_own_heads():
    assert loads(MINIMAL, preset="paper").wavefunction.heads == 10
    dense = loads(MINIMAL, preset="paper", overrides=["wavefunction.kind=dense", "adapt.method=full"])
    assert dense.wavefunction.alpha == 4.0
    assert loads(MINIMAL, preset="paper", overrides=["wavefunction.width=48"]).wavefunction.heads == 4


def test_overrides_take_toml_values_or_bare_words():
    spec = loads(MINIMAL, overrides=["adapt.method=full", "pretrain.at.h = 0.9", 'output.title="a = b"'])
    assert (spec.adapt.method, spec.at_list(), spec.output.title) == ("full", [{"h": 0.9}], "a = b")
    assert parse_value("3") == 3 and parse_value("[1, 2]") == [1, 2] and parse_value("runs/a b") == "runs/a b"
    # A line break must not smuggle a second key in.
    assert parse_value("3\nother = 4") == "3\nother = 4"


# -- writing and comparing -------------------------------------------------------------------------------

SPECS = [
    (MINIMAL, []),
    (J1J2, []),
    (MINIMAL, ["system.lattice={kind='square', size=[6, 4], periodic=false}", "wavefunction.patch=2"]),
    (MINIMAL, ["adapt.points={h={start=0.5,stop=1.5,num=3}, J=[1,2]}", "pretrain.at={J=1, h=[0.9, 1.1]}"]),
    (MINIMAL, ["adapt.tolerance=1e-7", "output.title='quo\"te \\ \U0001f600'", "evaluate.exact=false"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "overrides"), SPECS)
def test_writing_and_reading_gives_the_same_study(text, overrides):
    spec = loads(text, overrides=overrides)
    written = dumps(spec)
    assert loads(written) == spec
    assert dumps(loads(written)) == written
    # Every default is spelled out, so a later release with other defaults reads the same study.
    assert "diagonal_shift" in written and "memory_mib" in written


def test_changed_names_the_keys_that_differ():
    first = loads(MINIMAL)
    second = loads(MINIMAL, overrides=["pretrain.steps=7", "adapt.points.h=[0.8]", "output.title=x"])
    assert changed(first, first) == []
    assert changed(first, second) == ["pretrain.steps", "adapt.points.h", "output.title"]


def test_a_run_is_only_resumed_under_the_same_study():
    spec = loads(MINIMAL)
    require_same(spec, dumps(spec), "runs/a")
    # The directory itself may have been moved.
    require_same(loads(MINIMAL, overrides=["output.dir=elsewhere"]), dumps(spec), "runs/a")
    with pytest.raises(InputError, match=r"pretrain\.walkers") as caught:
        require_same(loads(MINIMAL, overrides=["pretrain.walkers=64"]), dumps(spec), "runs/a")
    assert "runs/a" in str(caught.value) and caught.value.exit_code == 2


def test_errors_that_name_keys_alone_get_the_file_and_the_line(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('kind = "diagram"\n[adapt]\nmethod = "head"\nsector = 9\n')
    error = InputError("no such sector", where="adapt.sector", why="there are two", fix="0 or 1")
    found = located(error, path)
    assert (found.what, found.why, found.fix) == (error.what, error.why, error.fix)
    assert found.where == f"{path}, line 4, key adapt.sector"
    both = located(InputError("too many", where="adapt.samples, adapt.sector"), path, ["adapt.samples=8"])
    assert both.where == f"--set, on top of {path}, keys adapt.samples, adapt.sector"
    for where in ("--out", "", "wf.Calculator", "study.toml, line 3, key adapt.method"):
        assert located(InputError("no", where=where), path).where == where


def test_a_name_that_may_be_of_a_plug_in_says_so():
    """A finished run of a network of one's own is not wrong: what made it is not loaded."""
    with pytest.raises(InputError, match=r"a name that a plug-in brings \(--plugin FILE.py\)"):
        loads(MINIMAL, overrides=["wavefunction.kind=pairs"])
    with pytest.raises(InputError) as caught:
        loads(MINIMAL, overrides=["wavefunction.kind=vitt"])
    assert "plug-in" not in str(caught.value) and "did you mean 'vit'" in str(caught.value)
