"""`[wavefunction]` of a study file: every kind of network has a table of its own, made from its entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, GetJsonSchemaHandler, WrapValidator, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from wavefoundry.artifacts.spec_tables import PARTS, SYMMETRY, Table, named
from wavefoundry.core.expect import Problem
from wavefoundry.core.networks import COMMON, NETWORKS, Network, homes
from wavefoundry.core.words import near


class WavefunctionTable(Table):
    """`[wavefunction]`: the network; beside these keys every kind has its own, see ``core.networks``.

    Amplitudes are positive, but for networks with a complex head on systems that are not sign-free.
    """

    OWN_DEFAULTS: ClassVar[dict[str, Any]] = {}
    """Defaults of a kind of study that differ from those of the networks."""

    kind: Annotated[str, named(NETWORKS)] = Field(
        default="vit",
        description="; ".join(f"{name}: {network.title}" for name, network in NETWORKS.items())
        + "; only vit has a head that can be tuned",
    )
    precision: Literal["float32", "float64"] = Field(
        default="float32", description="precision of the network; energies and solves are always float64"
    )
    symmetry: Annotated[str | list[str], SYMMETRY] = Field(
        default="auto",
        description="vit: translations by whole patches; none: positions embedded; auto: what the Hamiltonian has; or a"
        f" list out of {', '.join(PARTS)}: made symmetric under all of them by its images",
    )
    symmetrize: Literal["features", "amplitude"] = Field(
        default="features",
        description="with a list of symmetries: average the features over the images, or project the amplitude",
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The keys of every kind of network, for editors: which kind has which is said where a file is read."""
        found = handler.resolve_ref_schema(handler(core_schema))
        for network in NETWORKS.values():
            own = create_model("Keys", **network.keys).model_json_schema()["properties"]  # type: ignore[call-overload]
            for key, one in own.items():
                known = found["properties"].setdefault(key, one)
                if one not in (known, *known.get("anyOf", [])):
                    found["properties"][key] = {"anyOf": [*known.get("anyOf", [known]), one]}
        return found

    @property
    def network(self) -> Network:
        """Its entry in the table of networks."""
        return NETWORKS[self.kind]

    def key(self, name: str, default: Any = None) -> Any:
        """The value of a key that not every network has."""
        return getattr(self, name, default)


_TABLES: dict[tuple[type[WavefunctionTable], int], type[WavefunctionTable]] = {}


def network_table(base: type[WavefunctionTable], kind: str) -> Any:
    """The table (a subclass of ``base``) of one kind of network: the common keys and its own."""
    network = NETWORKS[kind]
    if (base, id(network)) not in _TABLES:
        own: Any = {
            name: (hint, _default(field, base.OWN_DEFAULTS.get(name))) for name, (hint, field) in network.keys.items()
        }
        _TABLES[base, id(network)] = create_model(f"{base.__name__}_{kind}", __base__=base, **own)
    return _TABLES[base, id(network)]


def _default(field: FieldInfo, value: Any) -> FieldInfo:
    return field if value is None else FieldInfo.merge_field_infos(field, default=value)


def of_kind(base: type[WavefunctionTable]) -> WrapValidator:
    """Read a table as that of its kind. Keys of other kinds are refused unless they say nothing: older files hold all.

    Args:
        base: the common keys, with the defaults of a kind of study.
    """

    def validate(value: Any, handler: Callable[[Any], Any]) -> Any:
        if isinstance(value, base) and type(value) is not base:
            return value
        if not isinstance(value, dict):
            return handler(value)
        kind = value.get("kind", base.model_fields["kind"].default)
        if kind not in NETWORKS:
            return handler({key: value[key] for key in value if key in COMMON})
        table = network_table(base, kind)
        if found := list(_foreign(table, kind, value)):
            raise PydanticCustomError("together", "keys do not fit together", {"problems": found})
        return table.model_validate({key: item for key, item in value.items() if key in table.model_fields})

    return WrapValidator(validate)


def _foreign(table: type[WavefunctionTable], kind: str, value: dict[str, Any]) -> Iterator[Problem]:
    """Keys that no network of this kind has."""
    for key in sorted(value, key=lambda key: (bool(homes(str(key))), str(key))):
        path = ("wavefunction", str(key))
        if key in table.model_fields:
            continue
        if not (others := homes(str(key))):
            known = [*table.model_fields, *(name for network in NETWORKS.values() for name in network.keys)]
            fix = near(str(key), known) or f"keys here: {', '.join(table.model_fields)}"
            yield Problem(path, f"unknown key wavefunction.{key}", fix=fix)
        elif value[key] not in [NETWORKS[name].keys[key][1].default for name in others]:
            why = f"it belongs to kind {' or '.join(others)}"
            yield Problem(path, f"a {kind} network has no {key}", why, "leave the key out")
