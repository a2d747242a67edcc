"""What ``letterhead.describe`` tells, for people: actions as signatures, JSON Schemas as types.

All of it is a server's own words: it is read through the structs below, which say what is wrong with it, and whoever
prints it makes it harmless. A schema may nest and refer to itself; what refers is shown by its name, so each schema is
walked once.
"""

from typing import Any

import msgspec

_PLAIN = {
    "array": "list",
    "boolean": "bool",
    "integer": "int",
    "null": "None",
    "number": "float",
    "object": "dict",
    "string": "str",
}
_FORMATS = {
    "date": "date",
    "date-time": "datetime",
    "decimal": "Decimal",
    "duration": "timedelta",
    "time": "time",
    "uuid": "UUID",
}
_DEEPEST = 16


class Arguments(msgspec.Struct):
    """The schema of an action's arguments."""

    properties: dict[str, Any] = {}
    required: list[str] = []


class Upload(msgspec.Struct):
    """The argument that is a stream, and the schema of its items."""

    argument: str
    item: Any = None


class Action(msgspec.Struct):
    """One action, as far as it is shown."""

    doc: str = ""
    parameters: Arguments = msgspec.field(default_factory=Arguments)
    result: Any = None
    stream: bool = False
    upload: Upload | None = None
    idempotent: bool = False
    defs: dict[str, Any] = msgspec.field(name="$defs", default_factory=dict)


class Described(msgspec.Struct):
    """What a server says of itself, as far as it is shown."""

    actions: dict[str, Action]
    name: str = ""
    protocol: int | None = None
    limits: dict[str, int | float] = {}


def signature(name: str, action: Action) -> str:
    """``greet(name: str, times: int = 1) -> str``, ``double(rows: stream[int]) -> stream[int]``."""
    parameters = []
    if action.upload is not None:
        parameters.append(f"{action.upload.argument}: stream[{type_of(action.upload.item)}]")
    for parameter, schema in action.parameters.properties.items():
        shown = f"{parameter}: {type_of(schema)}"
        if parameter not in action.parameters.required:
            default = schema.get("default", ...) if isinstance(schema, dict) else ...
            shown += " = …" if default is ... else f" = {_literal(default)}"
        parameters.append(shown)
    result = "" if action.result in (None, {}) else f" -> {type_of(action.result)}"
    if action.stream:
        result = f" -> stream[{type_of(action.result)}]"
    return f"{name}({', '.join(parameters)}){result}"


def type_of(schema: Any, depth: int = 0) -> str:
    """A JSON Schema as a Python type, as nearly as that can say it; ``any`` for what it allows without end."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return "any"
    deeper = depth + 1
    match schema:
        case {"$ref": str(place)}:
            return place.rpartition("/")[2]
        case {"anyOf": list(either)} | {"oneOf": list(either)}:
            return " | ".join(dict.fromkeys(type_of(one, deeper) for one in either)) or "any"
        case {"enum": list(values)}:
            return " | ".join(_literal(value) for value in values) or "any"
        case {"const": value}:
            return _literal(value)
        case {"type": list(kinds)}:
            return " | ".join(_PLAIN.get(kind, "any") if isinstance(kind, str) else "any" for kind in kinds) or "any"
        case {"type": "array", "prefixItems": list(items)}:
            return f"tuple[{', '.join(type_of(item, deeper) for item in items)}]"
        case {"type": "array", "items": dict(items)} if items:
            return f"list[{type_of(items, deeper)}]"
        case {"type": "object", "additionalProperties": dict(values)} if values:
            return f"dict[str, {type_of(values, deeper)}]"
        case {"type": "object", "title": str(title)}:
            return title
        case {"type": "string", "contentEncoding": "base64"}:
            return "bytes"
        case {"contentMediaType": "binary/ndarray"}:
            return f"ndarray[{schema['dtype']}]" if isinstance(schema.get("dtype"), str) else "ndarray"
        case {"type": "string", "format": str(form)}:
            return _FORMATS.get(form, "str")
        case {"type": str(kind)}:
            return _PLAIN.get(kind, "any")
    return "any"


def choices(schema: Any, defs: dict[str, Any]) -> list[str]:
    """The values that an argument can have, as they are typed, where those are few: an enum's, or true and false.

    Args:
        schema: the argument's.
        defs: the schemas that it may refer to, by their names.
    """
    found: dict[str, None] = {}
    pending = [schema]
    followed: set[str] = set()
    while pending:
        match pending.pop():
            case {"$ref": str(place)} if place not in followed:  # a server's schemas may refer to each other in circles
                followed.add(place)
                pending.append(defs.get(place.removeprefix("#/$defs/")))
            case {"type": "boolean"}:
                found |= dict.fromkeys(("true", "false"))
            case {"enum": list(values)}:
                found |= dict.fromkeys(value for value in values if isinstance(value, str))
            case {"anyOf": list(either)}:
                pending += reversed(either)
    return list(found)


def _literal(value: Any) -> str:
    return msgspec.json.encode(value).decode()
