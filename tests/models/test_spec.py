from __future__ import annotations

import uuid
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel, ValidationError, field_serializer

from falrt.exceptions import ConfigurationError, ResponseValidationError
from falrt.models import ModelInput, RealtimeModel


class Ask(BaseModel):
    text: str
    count: int | None = None
    audio: bytes = b""
    style: str = Field(default="plain", alias="the_style")
    request_id: str = ""


class Answer(BaseModel):
    text: str
    request_id: str = ""


MODEL = RealtimeModel("acme/app", Ask, Answer)


def test_the_parts_are_kept() -> None:
    model = RealtimeModel("acme/app", Ask, dict, path="/ws", mode="bidi")

    assert (model.app, model.input_type, model.output_type, model.path, model.mode) == (
        "acme/app",
        Ask,
        dict,
        "/ws",
        "bidi",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"app": ""}, "app must be an endpoint id"),
        ({"app": 5}, "app must be an endpoint id such as 'acme/app', not int"),
        ({"path": 5}, "path must be a string"),
        ({"mode": "duplex"}, "one of unary, server_streaming, client_streaming, bidi, not 'duplex'"),
        ({"input_type": str}, "input_type must be a pydantic model class or dict, not the class str"),
        ({"input_type": BaseModel}, "input_type"),
        ({"output_type": Answer(text="x")}, "output_type must be a pydantic model class or dict, not Answer"),
    ],
)
def test_wrong_arguments_are_named(changes: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"app": "acme/app", "input_type": Ask, "output_type": Answer}

    with pytest.raises(ConfigurationError) as caught:
        RealtimeModel(**{**arguments, **changes})

    assert words in str(caught.value)


def test_what_the_input_shows_is_what_is_sent() -> None:
    assert MODEL.dump(Ask(text="a")) == {"text": "a", "audio": b"", "the_style": "plain", "request_id": ""}
    assert MODEL.dump(Ask(text="a", audio=b"\xff"), json=True)["audio"] == "/w=="


def test_none_is_not_sent() -> None:
    assert "count" not in MODEL.dump(Ask(text="a", count=None))


def test_a_model_input_leaves_out_what_was_not_set() -> None:
    class Sketch(ModelInput):
        prompt: str
        steps: int = 4
        style: str = Field(default="plain", alias="the_style")

    model = RealtimeModel("acme/app", Sketch, dict)

    assert model.dump(Sketch(prompt="a")) == {"prompt": "a"}
    assert model.dump({"prompt": "a", "the_style": "plain"}) == {"prompt": "a", "the_style": "plain"}


def test_a_model_may_say_itself_what_is_left_out() -> None:
    class Sketch(ModelInput):
        model_left_out: ClassVar = frozenset({"steps"})

        prompt: str = "a"
        steps: int = 4

    assert RealtimeModel("acme/app", Sketch, dict).dump(Sketch()) == {"prompt": "a"}


class Circle(BaseModel):
    kind: Literal["circle"] = "circle"
    radius: float


class Box(BaseModel):
    kind: Literal["box"] = "box"
    side: float = 1.0


class Drawing(ModelInput):
    version: Literal[2] = 2
    shapes: list[Annotated[Circle | Box, Field(discriminator="kind")]]
    stroke: str = Field(default_factory=lambda: uuid.uuid4().hex)
    request_id: str = ""


DRAWING = RealtimeModel("acme/app", Drawing, dict)


def test_the_tags_of_a_discriminated_union_are_sent() -> None:
    drawing = Drawing(shapes=[Circle(radius=2), Box()])

    message = DRAWING.dump(drawing)

    assert message["shapes"] == [{"kind": "circle", "radius": 2}, {"kind": "box", "side": 1.0}]
    assert message["version"] == 2
    assert Drawing.model_validate(message) == drawing


def test_what_a_factory_made_is_sent_shown_and_kept_in_a_copy() -> None:
    drawing = Drawing(shapes=[])

    assert DRAWING.dump(drawing)["stroke"] == drawing.stroke
    assert drawing.stroke in repr(drawing)
    assert drawing.model_copy(update={"shapes": [Box()]}).stroke == drawing.stroke


@pytest.mark.parametrize("kind", [dict, MappingProxyType])
def test_a_mapping_is_checked_by_the_input_type(kind: Any) -> None:
    assert MODEL.dump(kind({"text": "a", "count": "3"})) == MODEL.dump(Ask(text="a", count=3))
    with pytest.raises(ValidationError, match="count"):
        MODEL.dump(kind({"text": "a", "count": "many"}))


@pytest.mark.parametrize("value", [None, "text", Answer(text="x")])
def test_another_type_is_refused_with_the_cure(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"give Ask\(\.\.\.\) or a mapping of its fields"):
        MODEL.dump(value)


def test_a_subclass_of_the_input_type_will_do() -> None:
    class More(Ask):
        more: int = 0

    assert MODEL.dump(More(text="a", more=1))["more"] == 1


def test_a_value_that_slipped_past_the_checks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)cannot be sent.*`str`"):
        MODEL.dump(Ask.model_construct(text=5))


def test_a_failing_serializer_of_the_user_is_named() -> None:
    class Broken(BaseModel):
        text: str

        @field_serializer("text")
        def fail(self, value: str) -> str:
            raise RuntimeError("no luck")

    with pytest.raises(ConfigurationError, match="no luck"):
        RealtimeModel("acme/app", Broken, dict).dump(Broken(text="a"))


@pytest.mark.parametrize("kind", [dict, dict[str, Any]])
def test_plain_dicts_go_as_they_are(kind: Any) -> None:
    model: RealtimeModel[Any, Any] = RealtimeModel("acme/app", kind, kind)

    assert model.dump({"a": None, "b": b"x"}) == {"a": None, "b": b"x"}
    assert model.dump({"b": b"x"}, json=True) == {"b": "eA=="}
    assert model.load({"a": 1}) == {"a": 1}
    assert not model.echoes_request_id
    with pytest.raises(ConfigurationError, match="must be a mapping, not list"):
        model.dump(["a"])
    with pytest.raises(ResponseValidationError, match="not a map") as caught:
        model.load(b"x" * 100)
    assert caught.value.payload == b"x" * 100


def test_a_result_becomes_the_output_type() -> None:
    assert MODEL.load({"text": "a", "request_id": "7"}) == Answer(text="a", request_id="7")


def test_a_result_that_does_not_fit_carries_its_payload_and_keeps_it_out_of_the_text() -> None:
    payload = {"text": b"\xff" * 1000, "request_id": 5}

    with pytest.raises(ResponseValidationError) as caught:
        MODEL.load(payload)

    assert caught.value.payload is payload
    assert "a result of acme/app does not fit Answer: text: " in str(caught.value)
    assert "\\xff" not in str(caught.value)


def test_only_the_first_errors_are_named() -> None:
    class Wide(BaseModel):
        a: int
        b: int
        c: int
        d: int

    with pytest.raises(ResponseValidationError, match=r"a: .*; b: .*; c: .*; and 1 more$"):
        RealtimeModel("acme/app", dict, Wide).load({})
    with pytest.raises(ResponseValidationError, match="the whole: "):
        RealtimeModel("acme/app", dict, Wide).load(5)


@pytest.mark.wire("W35")
def test_an_id_is_echoed_where_both_types_declare_it() -> None:
    class Silent(BaseModel):
        text: str

    assert MODEL.echoes_request_id
    assert not RealtimeModel("acme/app", Ask, Silent).echoes_request_id
    assert not RealtimeModel("acme/app", Silent, Answer).echoes_request_id


def test_heavy_inputs_are_told_apart() -> None:
    assert MODEL.is_heavy(Ask(text="a", audio=bytes(700_000)))
    assert not MODEL.is_heavy({"text": "a"})


@given(st.text(), st.none() | st.integers(0, 2**63 - 1), st.binary())
def test_what_is_dumped_validates_again(text: str, count: int | None, audio: bytes) -> None:
    ask = Ask(text=text, count=count, audio=audio)

    assert Ask.model_validate(MODEL.dump(ask)) == ask


def test_an_input_that_is_no_mapping_on_the_wire_is_refused() -> None:
    class Numbers(RootModel[list[int]]):
        pass

    with pytest.raises(ConfigurationError, match="must be a mapping, and the class Numbers gives none"):
        RealtimeModel("acme/app", Numbers, dict).dump(Numbers([1]))
