"""``letterhead.describe``: what a server offers, as data that a program or a person can use."""

from typing import Any

import msgspec

from letterhead.app.app import Action, Application
from letterhead.wire import strict_json

PROTOCOL_VERSION = 1
_DEFAULT_BYTES = 1_000
_DEFAULT_DEPTH = 16
_SHOWN_LIMITS = (
    "header_bytes", "content_bytes", "json_bytes", "msgpack_bytes", "max_open", "deadline_seconds",
    "deadline_max_seconds",
)  # fmt: skip
OWN_ACTIONS: dict[str, str] = {
    "letterhead.ping": "Return the argument as it came: is the server there, and how far away is it?",
    "letterhead.describe": "What this server offers: actions with their parameters and results as JSON Schema.",
    "letterhead.health": "Whether the server takes requests, and what it has done so far, in numbers.",
}


def describe(app: Application) -> dict[str, Any]:
    """Name, protocol version, limits, and every action with its parameters and result as JSON Schema (2020-12)."""
    actions = {name: _action(action) for name, action in sorted(app.actions.items())}
    for name, doc in OWN_ACTIONS.items():
        actions[name] = {
            "doc": doc,
            "parameters": {"type": "object", "properties": {"value": {}} if name == "letterhead.ping" else {}},
            "result": {},
            "content-types": ["text/json"],
            "stream": False,
            "idempotent": True,
        }
    return {
        "name": app.name,
        "protocol": PROTOCOL_VERSION,
        "limits": {name.replace("_", "-"): getattr(app.limits, name) for name in _SHOWN_LIMITS},
        "actions": actions,
    }


def _action(action: Action) -> dict[str, Any]:
    parameters = action.parameters
    names = list(parameters.types)
    schemas, parts = _schemas([*parameters.types.values(), parameters.returns])
    properties = dict(zip(names, schemas[:-1], strict=True))
    for name, default in parameters.defaults.items():
        properties[name] = {**properties[name], **_default(default)}
    described: dict[str, Any] = {
        "doc": action.doc,
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": list(parameters.required),
            "additionalProperties": False,
        },
        "result": schemas[-1],
        "content-types": ["text/json"],
        "stream": False,
        "idempotent": False,
    }
    if parts:
        described["$defs"] = parts
    return described


def _schemas(types: list[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """JSON Schemas of types; of one that JSON Schema cannot say, the schema that allows everything."""
    sayable = [kind if _has_schema(kind) else Any for kind in types]
    schemas, parts = msgspec.json.schema_components(sayable, ref_template="#/$defs/{name}")
    return list(schemas), dict(parts)


def _default(value: Any) -> dict[str, Any]:
    """The keyword ``default``; nothing for a value that has no JSON form, or too long a one to be read."""
    try:
        encoded = strict_json.encode(value)
        return {"default": strict_json.decode(encoded, _DEFAULT_DEPTH)} if len(encoded) <= _DEFAULT_BYTES else {}
    except strict_json.NotJson:
        return {}


def _has_schema(kind: Any) -> bool:
    try:
        msgspec.json.schema(kind)
    except (TypeError, RuntimeError):
        return False
    return True
