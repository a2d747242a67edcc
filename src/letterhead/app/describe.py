"""``letterhead.describe``: what a server offers, as data that a program or a person can use.

What lives here: the description of an application as a value, made once, and the names of the actions that every server
has. Who asks for it is not known here, nor how the value is sent.
"""

from typing import Any

import msgspec

from letterhead.app.actions import Action
from letterhead.app.arguments import Parameters
from letterhead.app.service import Service
from letterhead.content.ndarray import NDARRAY, array_type_in, dtype_of_type, is_array_type, readable
from letterhead.content.registry import JSON, OCTETS
from letterhead.limits import Limits
from letterhead.wire import strict_json
from letterhead.wire.header import MSGPACK

PROTOCOL_VERSION = 1
_BYTES = (msgspec.inspect.BytesType, msgspec.inspect.ByteArrayType, msgspec.inspect.MemoryViewType)
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


class Description:
    """What a service offers, as ``describe`` has it, made anew only once that has changed.

    JSON Schemas of many types take their time, and clients ask by themselves: after a restart all of them at once.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._described: tuple[str, Limits, dict[str, Action]] | None = None
        self._json = b""

    def value(self) -> dict[str, Any]:
        """The description; the caller may do with it what it likes."""
        service = self._service
        if self._described != (service.name, service.limits, service.actions):
            self._json = strict_json.encode(describe(service))
            self._described = (service.name, service.limits, dict(service.actions))
        value: dict[str, Any] = msgspec.json.decode(self._json)
        return value


def describe(app: Service) -> dict[str, Any]:
    """Name, protocol version, limits, and every action with its parameters and result as JSON Schema (2020-12).

    Of an action that streams, ``result`` is one item of the stream. One that takes a stream has ``upload``: the name of
    the argument, which is not among the ``parameters``, and the schema of an item.
    """
    actions = {name: _action(action) for name, action in sorted(app.actions.items())}
    for name, doc in OWN_ACTIONS.items():
        actions[name] = {
            "doc": doc,
            "parameters": {"type": "object", "properties": {"value": {}} if name == "letterhead.ping" else {}},
            "result": {},
            "content-types": _readable_as(Any) if name == "letterhead.ping" else [JSON],
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
    upload = parameters.upload
    item = Any if upload is None else upload.stream.item
    (*taken, result, uploaded), parts = _schemas([*parameters.types.values(), parameters.returns, item])
    properties = dict(zip(names, taken, strict=True))
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
        "result": result,
        "content-types": _content_types(parameters),
        "stream": parameters.streams is not None,
        "idempotent": action.idempotent,
    }
    if upload is not None:
        described["upload"] = {"argument": upload.name, "item": uploaded}
    if parts:
        described["$defs"] = parts
    return described


def _schemas(types: list[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """JSON Schemas of types; of one that JSON Schema cannot say, the schema that allows everything."""
    sayable = [kind if _has_schema(kind) else Any for kind in types]
    schemas, parts = msgspec.json.schema_components(sayable, schema_hook=_array, ref_template="#/$defs/{name}")
    for kind, schema in zip(sayable, schemas, strict=True):
        dtype = _dtype(kind)
        for part in [schema, *schema.get("anyOf", ())] if dtype else []:
            if part.get("contentMediaType") == NDARRAY:
                part["dtype"] = dtype
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
        msgspec.json.schema(kind, schema_hook=_array)
    except Exception:  # a result may be of a class whose own hints cannot be evaluated
        return False
    return True


def _array(kind: Any) -> dict[str, Any]:
    """The schema of an array: how JSON Schema says that something is no JSON."""
    if not is_array_type(kind):
        raise NotImplementedError
    return {"contentMediaType": NDARRAY}


def _dtype(kind: Any) -> str | None:
    """The one dtype of an array type, or of one that may be left out; else None."""
    array = array_type_in(kind)
    return None if array is None else dtype_of_type(array)


def _content_types(parameters: Parameters) -> list[str]:
    """What the arguments can come as: JSON where they have names, and all that the single one without a name can be."""
    single = [] if parameters.single is None else _readable_as(parameters.types[parameters.single])
    by_name = all(JSON in _readable_as(parameters.types[name]) for name in parameters.required)
    return list(dict.fromkeys([JSON, *single])) if by_name else single


def _readable_as(kind: Any) -> list[str]:
    """The content types that a value of this type can come as, the usual one first."""
    info = msgspec.inspect.type_info(kind)
    if isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    either = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    if any(isinstance(one, msgspec.inspect.CustomType) for one in either):
        return [NDARRAY]
    types = [JSON, MSGPACK]
    if any(isinstance(one, (msgspec.inspect.AnyType, msgspec.inspect.StrType)) for one in either):
        types.append("text/plain")
    if any(isinstance(one, (msgspec.inspect.AnyType, *_BYTES)) for one in either):
        types.append(OCTETS)
    if any(isinstance(one, msgspec.inspect.AnyType) for one in either) and readable():
        types.append(NDARRAY)
    return types
