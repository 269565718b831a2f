"""`falrt types`: what is written must be Python, must mean what the document says, and must run nothing."""

from __future__ import annotations

import ast
import contextlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from falrt import models
from falrt.exceptions import ConfigurationError
from falrt.models.openapi import document, python_source

ENDPOINTS = {
    name: value for name in models.__all__ if isinstance(value := getattr(models, name), models.Endpoint)
}


def module_of(endpoint_id: str, openapi: Any) -> dict[str, Any]:
    """Run what was written as a module that pydantic can look names up in."""
    source = python_source(endpoint_id, openapi)
    module = types.ModuleType("written_by_falrt")
    sys.modules[module.__name__] = module
    exec(compile(source, "written.py", "exec"), module.__dict__)
    return module.__dict__


def endpoint_in(names: dict[str, Any]) -> models.Endpoint[Any, Any]:
    (endpoint,) = [value for value in names.values() if isinstance(value, models.Endpoint)]
    return endpoint


def one_post(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A document with one input of these properties."""
    schema = {"type": "object", "title": "In", "properties": properties, **more}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/In"}}}
    return {
        "paths": {"/acme/app": {"post": {"requestBody": {"content": content}, "responses": {}}}},
        "components": {"schemas": {"In": schema}},
    }


@pytest.mark.parametrize("name", ENDPOINTS)
def test_our_own_models_come_back_from_their_documents(name: str) -> None:
    ours = ENDPOINTS[name]

    theirs = endpoint_in(module_of(ours.app, json.loads(json.dumps(document(ours)))))

    assert theirs.app == ours.app
    assert isinstance(theirs, models.RealtimeModel) == ours.app.endswith("/realtime")
    fields, expected = theirs.input_type.model_fields, ours.input_type.model_fields
    assert list(fields) == list(expected)
    for field, info in expected.items():
        assert fields[field].is_required() == info.is_required(), field
        assert info.is_required() or fields[field].default == info.default, field
    given = {"prompt": "x"} | {
        field: ["https://x.y/a.jpg"] if field.endswith("s") else "data:image/jpeg;base64,/9j/"
        for field, info in expected.items()
        if info.is_required() and field != "prompt"
    }
    assert theirs.dump(given) == ours.dump(given)
    assert theirs.load({"images": [{"url": "https://x.y/a.jpg"}], "seed": 1}).images[0].url


def test_limits_are_kept() -> None:
    names = module_of("fal-ai/flux/schnell", document(models.FLUX_SCHNELL))

    with pytest.raises(ValidationError, match="less than or equal to 12"):
        names["FluxSchnellInput"](prompt="x", num_inference_steps=13)
    with pytest.raises(ValidationError, match="did you mean 'prompt'"):
        names["FluxSchnellInput"](promt="x")
    assert names["FluxSchnellInput"](prompt="x", image_size={"width": 640}).image_size.width == 640


def test_picture_fields_take_pictures(tmp_path: Path) -> None:
    names = module_of(
        "acme/app", one_post({"image_url": {"type": "string"}, "mask_image_url": {"type": "string"}})
    )

    sent = endpoint_in(names).dump({"image_url": Image.new("RGB", (8, 8))})

    assert sent["image_url"].startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "a"),
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 9}, 8),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, 8),
        ({"type": "number", "multipleOf": 0.5}, 1.5),
        ({"type": ["integer", "null"]}, None),
        ({"anyOf": [{"type": "integer", "maximum": 5}, {"type": "null"}]}, 4),
        ({"enum": ["a", "b'c", 'd"e']}, 'd"e'),
        ({"const": "only"}, "only"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}}, [[True]]),
        ({"type": "object", "additionalProperties": {"type": "number"}}, {"a": 1.5}),
        ({"type": "object"}, {"a": [1]}),
        ({}, object),
        ({"type": "string", "pattern": "(?!no)", "maxLength": 3}, "yes"),
        ({"allOf": [{"type": "integer"}], "default": 4}, 5),
        ({"type": "string", "enum": ["x"], "maxLength": 3}, "x"),
        (
            {
                "type": "object",
                "properties": {"deep": {"type": "object", "properties": {"x": {"type": "integer"}}}},
            },
            None,
        ),
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_every_kind_of_schema_becomes_a_type(schema: dict[str, Any], value: Any, required: bool) -> None:
    openapi = one_post({"field": schema}, required=["field"] if required else [])

    kind = module_of("acme/app", openapi)["In"]

    if value is not None:
        assert kind(field=value).field == value


@pytest.mark.parametrize(
    "key", ["from", "model_fields", "copy", "a-b", "1st", "_x", "int", "größe", "model_dump", ""]
)
def test_a_key_that_python_cannot_name_is_an_alias(key: str) -> None:
    openapi = one_post(
        {key: {"type": "integer", "default": 1}, "a_b": {"type": "string"}, "a_b_": {"type": "string"}}
    )

    endpoint = endpoint_in(module_of("acme/app", openapi))

    assert endpoint.dump({key: 7}) == {key: 7}


def test_a_schema_that_holds_itself_is_written_once() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/components/schemas/In"}, "x": {"type": "integer"}},
    }
    names = module_of("acme/app", {**one_post({}), "components": {"schemas": {"In": node}}})

    assert names["In"](next={"next": {"x": 3}}).next.next.x == 3


def test_an_answer_of_fals_sdk_is_found_where_it_stands() -> None:
    openapi = one_post({"prompt": {"type": "string"}})
    answer = {
        "application/json": {
            "schema": {"type": "object", "title": "Out", "properties": {"n": {"type": "integer"}}}
        }
    }
    openapi["paths"] = {"/": {**openapi["paths"]["/acme/app"], "get": {}}}
    openapi["paths"]["/"]["post"]["responses"] = {"200": {"content": answer}}

    endpoint = endpoint_in(module_of("acme/app", openapi))

    assert endpoint.load({"n": 3}).n == 3


def test_a_realtime_endpoint_becomes_a_realtime_model() -> None:
    assert isinstance(endpoint_in(module_of(models.KLEIN.app, document(models.KLEIN))), models.RealtimeModel)


@pytest.mark.parametrize(
    "text",
    ['"""\nimport os\n"""', "\\", 'a"', "\\N{x} \\x", "'''", "\n\n    evil()", "{0}", "x" * 300 + "\\" * 9],
)
def test_a_strangers_text_stays_text(text: str) -> None:
    openapi = one_post(
        {"prompt": {"type": "string", "default": text, "description": text}, text: {"enum": [text]}},
        description=text,
        title=text,
    )
    openapi["components"]["schemas"][text] = openapi["components"]["schemas"]["In"]

    source = python_source(
        f"acme/{text}" if "\n" not in text else "acme/app", {**openapi, "info": {"title": text}}
    )

    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    assert all(ast.unparse(call.func) in ("Field", "falrt.Endpoint") for call in calls)
    assert (
        next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import)).names[0].name
        == "falrt"
    )


@pytest.mark.parametrize("text", [" ", "\n", "\0", "\ud800"])
def test_a_description_without_words_is_left_out(text: str) -> None:
    names = module_of("acme/app", one_post({"x": {"description": text}}, description=text))

    assert names["In"].__doc__ == "In"


def test_values_that_a_literal_cannot_hold_leave_the_plain_type() -> None:
    names = module_of(
        "acme/app",
        one_post(
            {
                "x": {"type": "number", "enum": [0.5, 1.5]},
                "y": {"enum": [[1], {}]},
                "z": {"enum": [1, "a", None]},
            }
        ),
    )

    fields = {name: str(field.annotation) for name, field in names["In"].model_fields.items()}
    assert fields == {
        "x": "float | None",
        "y": "typing.Any",
        "z": "typing.Optional[typing.Literal[1, 'a', None]]",
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.dictionaries(
            st.sampled_from(["type", "default", "enum", "description", "minimum", "title"]), JSON
        ),
        max_size=3,
    )
)
def test_whatever_a_document_says_it_is_python_or_an_error_of_ours(properties: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigurationError):
        ast.parse(python_source("acme/app", one_post(properties)))


@pytest.mark.parametrize(
    ("openapi", "words"),
    [
        ({}, "no POST /acme/app; it has none at all"),
        (
            {"paths": {"/a/b": {"post": {"requestBody": {}}}, "/c/d": {"post": {"requestBody": {}}}}},
            "it has /a/b, /c/d",
        ),
        ({**one_post({}), "components": {}}, "cannot be read: KeyError"),
        ({"paths": [1]}, "cannot be read"),
        (
            {**one_post({}), "components": {"schemas": {"In": {"properties": [1]}}}},
            "cannot be read",
        ),
        ([], "cannot be read"),
    ],
)
def test_a_document_without_the_endpoint_is_refused(openapi: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        python_source("acme/app", openapi)
