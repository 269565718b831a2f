from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from pydantic import AliasChoices, AliasPath, ConfigDict, Field, ValidationError

from falrt import models
from falrt.models import ImageField, ImageSource, ModelInput, ModelOutput


class Sketch(ModelInput):
    unknown_field_hints: ClassVar = {"loras": "there are none"}

    prompt: str
    strength: float = 0.5
    frame: Annotated[ImageSource, ImageField()] | None = None
    steps: int = Field(default=4, alias="num_steps")


class Answer(ModelOutput):
    text: str = ""


@pytest.mark.wire("W66")
def test_an_unknown_field_lists_the_allowed_ones_and_the_nearest() -> None:
    with pytest.raises(ValidationError) as caught:
        Sketch(promt="x")  # type: ignore[call-arg]  # the mistake under test

    text = str(caught.value)
    assert "unknown field 'promt' (did you mean 'prompt'?)" in text
    assert "Sketch takes frame, prompt, steps, strength" in text


def test_an_expected_unknown_field_has_its_own_hint() -> None:
    with pytest.raises(
        ValidationError, match=r"unknown field 'loras' \(there are none\), unknown field 'zzz'; "
    ):
        Sketch.model_validate({"prompt": "x", "loras": [], "zzz": 1})


def test_an_alias_is_no_unknown_field() -> None:
    assert Sketch.model_validate({"prompt": "x", "num_steps": 3}).steps == 3


class Aliased(ModelInput):
    prompt: str = Field(validation_alias="text")
    seed: int = Field(default=0, validation_alias=AliasChoices("random_seed", AliasPath("options", "seed")))


@pytest.mark.parametrize("name", ["prompt", "text"])
def test_every_alias_is_a_name_of_the_field(name: str) -> None:
    assert Aliased.model_validate({name: "x", "random_seed": 3}).seed == 3
    assert Aliased.model_validate({name: "x", "options": {"seed": 4}}).seed == 4


def test_an_alias_is_suggested_too() -> None:
    with pytest.raises(ValidationError, match=r"'randomseed' \(did you mean 'random_seed'\?\)"):
        Aliased.model_validate({"text": "x", "randomseed": 1})


def test_a_copy_takes_a_new_value_by_its_alias() -> None:
    copy = Aliased.model_validate({"text": "x"}).model_copy(update={"text": "y"})

    assert copy.prompt == "y"


def test_a_model_that_allows_more_fields_takes_them() -> None:
    class Open(ModelInput):
        model_config = ConfigDict(extra="allow")

        prompt: str

    assert Open.model_validate({"prompt": "x", "promt": 1}).model_extra == {"promt": 1}


def test_inputs_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Sketch(prompt="x").prompt = "y"  # type: ignore[misc]  # the mistake under test


def test_a_copy_with_other_values_is_checked() -> None:
    sketch = Sketch(prompt="x", strength=0.2)

    assert sketch.model_copy(update={"prompt": "y"}) == Sketch(prompt="y", strength=0.2)
    assert sketch.model_copy() == sketch
    with pytest.raises(ValidationError, match="did you mean 'prompt'"):
        sketch.model_copy(update={"prompts": "y"})
    with pytest.raises(ValidationError, match="strength"):
        sketch.model_copy(update={"strength": "strong"})


def test_a_copy_keeps_what_was_set_under_an_alias() -> None:
    sketch = Sketch.model_validate({"prompt": "x", "num_steps": 3})

    assert sketch.model_copy(update={"prompt": "y"}).steps == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_cannot_carry_are_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Sketch(prompt="x", strength=value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"\xff\xd8\xff" + bytes(5000), "frame=<5003 bytes>"),
        (
            "data:image/jpeg;base64," + "A" * 5000,
            "frame=<5023 characters starting 'data:image/jpeg;base64,A'>",
        ),
        (np.zeros((4, 4, 3), np.uint8), "frame=<numpy array of shape (4, 4, 3) and dtype uint8>"),
        (b"GIF89a", "frame=b'GIF89a'"),
    ],
)
def test_repr_names_a_picture_in_a_few_words(value: Any, words: str) -> None:
    assert repr(Sketch(prompt="x", frame=value)) == f"Sketch(prompt='x', {words})"


def test_outputs_keep_unknown_fields() -> None:
    answer = Answer.model_validate({"text": "a", "extra": b"x" * 90})

    assert answer.model_extra == {"extra": b"x" * 90}
    assert repr(answer) == "Answer(text='a', extra=<90 bytes>)"


def test_pictures_in_lists_and_maps_are_shown_in_a_few_words() -> None:
    jpeg = b"\xff\xd8\xff" + bytes(1000)

    given = models.Flux2KleinEditInput(prompt="x", image_urls=[jpeg, "data:image/jpeg;base64," + "A" * 1000])
    result = models.StillOutput.model_validate({"images": [], "masks": [{"mask": jpeg}]})

    assert repr(given) == (
        "Flux2KleinEditInput(prompt='x', image_urls=[<1003 bytes>, "
        "<1023 characters starting 'data:image/jpeg;base64,A'>])"
    )
    assert "masks=[{'mask': <1003 bytes>}]" in repr(result)
