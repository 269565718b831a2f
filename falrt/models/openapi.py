"""Writes Python types from an endpoint's OpenAPI document, and such documents from typed endpoints.

fal's documents have one POST path, whose answer is the queue's, and the result at ``.../requests/{request_id}``; an
app of fal's SDK answers with the result itself. Documents are untrusted: names become identifiers, texts become
literals, and nothing is executed.
"""

from __future__ import annotations

import keyword
import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, get_args

from falrt.exceptions import ConfigurationError
from falrt.models.schema import ModelInput
from falrt.models.sizes import ImageSizePreset

if TYPE_CHECKING:
    from falrt.models.spec import Endpoint

__all__ = ["document", "python_source"]

_WIDTH: Final = 105
_SCALARS: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
# JSON schema's word -> pydantic's.
_LIMITS: Final = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
}  # no pattern: pydantic's regular expressions are of another kind
# Names that a field or a class must not have, because they would hide a type that annotations need.
_TAKEN: Final = frozenset(
    {*_SCALARS.values(), "list", "dict", "models", "falrt"}
    | {"Any", "Field", "Literal", "BaseModel", "Annotated"}
)
_LIMITED: Final = ("str", "int", "float", "list")
_PRESETS: Final = frozenset(get_args(ImageSizePreset))
_PICTURE: Final = re.compile(r"(.+_)?(image|mask)_urls?")
_NAME: Final = re.compile(r"[^0-9a-zA-Z]+")


def python_source(endpoint_id: str, openapi: Mapping[str, Any]) -> str:
    """Write a module with the types of an endpoint and an ``Endpoint`` (or ``RealtimeModel``) that uses them.

    Args:
        endpoint_id: Such as ``"fal-ai/flux/dev"``.
        openapi: Its decoded document.

    Raises:
        ConfigurationError: The document has no input for this endpoint, or is invalid.
    """
    try:
        return _Writer(endpoint_id, openapi).module()
    except ConfigurationError:
        raise
    except (LookupError, TypeError, AttributeError, RecursionError, ValueError) as exc:
        text = f"the OpenAPI document of {endpoint_id} cannot be read: {type(exc).__name__}: {str(exc)[:120]}"
        raise ConfigurationError(text) from exc


def document(endpoint: Endpoint[Any, Any]) -> dict[str, Any]:
    """Describe a typed endpoint as fal describes its own."""
    schemas: dict[str, Any] = {}
    for kind in (endpoint.input_type, endpoint.output_type):
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schema["x-fal-order-properties"] = list(schema["properties"])
        for each in (schema, *schemas.values()):
            each["description"] = str(each.get("description", "")).partition("\n")[0]
        schemas[kind.__name__] = schema
    path = f"/{endpoint.app}"

    def answer(name: str) -> dict[str, Any]:
        return {"200": {"content": _json(name), "description": "The result."}}

    return {
        "openapi": "3.0.4",
        "info": {"title": f"Queue OpenAPI for {endpoint.app}", "version": "1.0.0"},
        "components": {"schemas": schemas | {"QueueStatus": {"type": "object", "title": "QueueStatus"}}},
        "paths": {
            path: {
                "post": {
                    "requestBody": {"required": True, "content": _json(endpoint.input_type.__name__)},
                    "responses": answer("QueueStatus"),
                }
            },
            f"{path}/requests/{{request_id}}": {"get": {"responses": answer(endpoint.output_type.__name__)}},
        },
        "servers": [{"url": "https://queue.fal.run"}],
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


class _Writer:
    """Writes one module, with each class before those that use it."""

    def __init__(self, endpoint_id: str, openapi: Mapping[str, Any]) -> None:
        self._id, self._openapi = endpoint_id, openapi
        # Class name -> source, in the order in which they are written; None while one is being written.
        self._classes: dict[str, str | None] = {}
        # Reference -> class name.
        self._names: dict[str, str] = {}
        # Picture fields of answers are addresses.
        self._takes_pictures = True

    def module(self) -> str:
        given, result = self._schemas()
        stem = _class_name(self._id.split("/", 1)[-1])
        inputs = self._class(given, f"{stem}Input", "models.ModelInput")
        self._takes_pictures = False
        outputs = self._class(result, f"{stem}Output", "models.ModelOutput") if result else "dict"
        constant = _NAME.sub("_", self._id.split("/", 1)[-1]).strip("_").upper() or "ENDPOINT"
        constant = f"ENDPOINT_{constant}" if constant[0].isdigit() else constant
        kind = "RealtimeModel" if self._id.endswith("/realtime") else "Endpoint"
        body = "\n\n\n".join(source for source in self._classes.values() if source)
        last = f"{constant} = falrt.{kind}({_literal(self._id)}, {inputs}, {outputs})"
        title = f"{_text(self._id)}: typed inputs and outputs, written by ``falrt types``."
        return f'"""{title}"""\n\nfrom __future__ import annotations\n\n{self._imports(body)}\n\n\n{body}\n\n\n{last}\n'

    @staticmethod
    def _imports(body: str) -> str:
        typing = [name for name in ("Annotated", "Any", "Literal") if re.search(rf"\b{name}\b", body)]
        pydantic = [name for name in ("BaseModel", "Field") if re.search(rf"\b{name}\(|\({name}\):", body)]
        lines = [f"from typing import {', '.join(typing)}", ""] if typing else []
        lines += [f"from pydantic import {', '.join(pydantic)}", ""] if pydantic else []
        return "\n".join([*lines, "import falrt", "from falrt import models"])

    def _schemas(self) -> tuple[Any, Any]:
        """Find the schemas of the input and of the result."""
        paths: Mapping[str, Any] = self._openapi.get("paths") or {}
        wanted = f"/{self._id.strip('/')}"
        posts = {path: item["post"] for path, item in paths.items() if "requestBody" in item.get("post", {})}
        post = posts.get(wanted) or (next(iter(posts.values())) if len(posts) == 1 else None)
        if post is None:
            found = ", ".join(sorted(posts)) or "none at all"
            raise ConfigurationError(f"the document has no POST {wanted}; it has {found[:200]}")
        result = _answer(post)
        for path, item in paths.items():
            if path.endswith("/requests/{request_id}") and "get" in item:
                result = _answer(item["get"]) or result
        return _content(post["requestBody"]), result

    # --- classes

    def _class(self, schema: Any, name: str, base: str = "BaseModel") -> str:
        """Write the class of an object's schema; return its name."""
        reference = schema.get("$ref", "")
        if reference in self._names:
            return self._names[reference]
        resolved = self._resolved(schema)
        name = self._free(_class_name(reference.rsplit("/", 1)[-1]) if reference else name)
        if reference:
            self._names[reference] = name
        self._classes[name] = None
        properties = self._properties(resolved)
        required = set(resolved.get("required", ()))
        names = _identifiers([key for key, _ in properties])
        fields = [self._field(key, each, key in required, name, names[key]) for key, each in properties]
        title = _text(str(resolved.get("description") or resolved.get("title") or ""))
        doc = _docstring(title or name, properties, names)
        del self._classes[name]  # the classes that it uses come first
        self._classes[name] = f"class {name}({base}):\n{doc}\n\n" + "\n".join(fields or ["    pass"])
        return name

    def _free(self, name: str) -> str:
        while name in self._classes or name in _TAKEN:
            name += "_"
        return name

    def _properties(self, schema: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        order = [name for name in schema.get("x-fal-order-properties", ()) if name in properties]
        return [(name, properties[name]) for name in dict.fromkeys([*order, *properties])]

    def _field(self, key: str, schema: Mapping[str, Any], required: bool, owner: str, name: str) -> str:
        kind = self._type(schema, key, owner)
        options = dict(self._limits(schema)) if kind.startswith(_LIMITED) else {}
        if name != key:
            options["alias"] = _literal(key)
        if required:
            default = ""
        elif schema.get("default") is None:
            default = "None"
            kind = kind if kind == "Any" or kind.endswith("None") else f"{kind} | None"
        else:
            default = _literal(schema["default"])
            if not isinstance(schema["default"], str | int | float | bool):
                options["validate_default"] = "True"
        if options:
            arguments = [f"default={default}"] if default else []
            arguments += [f"{option}={value}" for option, value in options.items()]
            default = f"Field({', '.join(arguments)})"
        return f"    {name}: {kind}{f' = {default}' if default else ''}"

    def _limits(self, schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        parts = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
        if len(parts) == 1:
            yield from self._limits(parts[0])
        for word, value in schema.items():
            # OpenAPI 3.0 has true for "exclusive".
            if word in _LIMITS and not isinstance(value, bool) and isinstance(value, int | float):
                yield _LIMITS[word], _literal(value)

    # --- types

    def _type(self, schema: Mapping[str, Any], key: str, owner: str) -> str:
        """Return the annotation of a schema."""
        if "$ref" in schema:
            return self._reference(schema, key, owner)
        if parts := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            return self._union(parts, key, owner)
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if values and all(value is None or isinstance(value, str | int) for value in values):
            return f"Literal[{', '.join(_literal(value) for value in values)}]"
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._union([{**schema, "type": each} for each in kind], key, owner)
        if kind == "array":
            return f"list[{self._type(schema.get('items') or {}, key, owner)}]"
        if kind == "object" or "properties" in schema:
            return self._object(schema, key, owner)
        if kind == "string" and _PICTURE.fullmatch(key) and self._takes_pictures:
            return (
                "Annotated[models.ImageSource, models.ImageField(quality=90, web_urls=True, max_side=2048)]"
            )
        return _SCALARS.get(str(kind), "Any")

    def _union(self, parts: Iterable[Mapping[str, Any]], key: str, owner: str) -> str:
        if any(set(each.get("enum", ())) == _PRESETS for each in parts):
            return "models.ImageSizeChoice"
        return " | ".join(dict.fromkeys(self._type(each, key, owner) for each in parts)) or "Any"

    def _object(self, schema: Mapping[str, Any], key: str, owner: str) -> str:
        if schema.get("properties"):
            return self._class(schema, f"{owner}{_class_name(key)}")
        more = schema.get("additionalProperties")
        return f"dict[str, {self._type(more, key, owner) if isinstance(more, Mapping) else 'Any'}]"

    def _reference(self, schema: Mapping[str, Any], key: str, owner: str) -> str:
        resolved = self._resolved(schema)
        names = set(resolved.get("properties") or ())
        if names == {"width", "height"} and str(schema["$ref"]).endswith("ImageSize"):
            return "models.ImageSize"
        if {"url", "content_type"} <= names and "Image" in str(schema["$ref"]).rsplit("/", 1)[-1]:
            return "models.Image"
        if not names:
            return self._type(resolved, key, owner)
        return self._class(schema, key)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        seen = 0
        while "$ref" in schema:
            reference = str(schema["$ref"])
            place: Any = self._openapi
            if not reference.startswith("#/") or seen > 20:
                raise ConfigurationError(f"the reference {reference[:80]!r} cannot be resolved")
            for part in reference[2:].split("/"):
                place = place[part]
            schema, seen = place, seen + 1
        return schema


def _answer(operation: Mapping[str, Any]) -> Any:
    """Return the schema of a successful answer; None for the queue's own."""
    response = (operation.get("responses") or {}).get("200") or {}
    schema = _content(response)
    return None if str((schema or {}).get("$ref", "")).endswith("QueueStatus") else schema


def _content(body: Mapping[str, Any]) -> Any:
    return ((body.get("content") or {}).get("application/json") or {}).get("schema")


def _class_name(text: str) -> str:
    name = "".join(part[:1].upper() + part[1:] for part in _NAME.split(text)) or "Value"
    return f"Model{name}" if name[0].isdigit() else name


def _identifiers(keys: Iterable[str]) -> dict[str, str]:
    """Return a field name for each key: the key itself where Python and pydantic allow it."""
    names: dict[str, str] = {}
    for key in keys:
        name = re.sub(r"\W", "_", key, flags=re.ASCII).lstrip("_") or "field"
        if name[0].isdigit() or name.startswith(("model_dump", "model_validate")):
            name = f"field_{name}"  # pydantic reserves these prefixes
        while (
            keyword.iskeyword(name) or name in _TAKEN or hasattr(ModelInput, name) or name in names.values()
        ):
            name += "_"
        names[key] = name
    return names


def _literal(value: Any) -> str:
    """Write a decoded JSON value as Python, with text in double quotes, as formatters do."""
    text = repr(value)
    if isinstance(value, str) and text[0] == "'" and '"' not in text:
        return f'"{text[1:-1]}"'
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return text


def _text(value: str) -> str:
    """Make untrusted text safe in a docstring."""
    printable = "".join(each if each.isprintable() else " " for each in value)
    return " ".join(printable.split()).replace("\\", "/").replace('"', "'")


def _docstring(title: str, properties: list[tuple[str, Mapping[str, Any]]], names: Mapping[str, str]) -> str:
    said = [
        f"        {names[key]}: {text}"
        for key, schema in properties
        if (text := _text(str(schema.get("description") or "")))
    ]
    lines = [textwrap.fill(title, _WIDTH, initial_indent='    """', subsequent_indent="    ")]
    if not said:
        return f'{lines[0]}"""'
    lines += ["", "    Attributes:"]
    lines += [textwrap.fill(line, _WIDTH, subsequent_indent=" " * 12) for line in said]
    return "\n".join([*lines, '    """'])
