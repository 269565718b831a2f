"""The error tree, and what each error carries."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import falrt
from falrt import exceptions
from falrt.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    DecodeError,
    FalrtError,
    HandshakeError,
    HTTPAuthenticationError,
    HTTPCallError,
    MissingDependencyError,
    QueueFullError,
    ResponseValidationError,
    ServerError,
    TokenRequestError,
    UnauthorizedError,
)

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "errors.md"

# Each error below its parent; beside it the built-in error that it also is.
TREE = {
    "ConfigurationError": ("FalrtError", ValueError),
    "MissingDependencyError": ("FalrtError", ImportError),
    "AuthenticationError": ("FalrtError", None),
    "MissingCredentialsError": ("AuthenticationError", None),
    "TokenRequestError": ("AuthenticationError", None),
    "UnauthorizedError": ("AuthenticationError", None),
    "ConnectError": ("FalrtError", None),
    "ConnectTimeoutError": ("ConnectError", TimeoutError),
    "HandshakeError": ("ConnectError", None),
    "ConnectionClosed": ("FalrtError", None),
    "ConnectionClosedOK": ("ConnectionClosed", None),
    "ConnectionClosedError": ("ConnectionClosed", None),
    "CodecError": ("FalrtError", None),
    "EncodeError": ("CodecError", None),
    "DecodeError": ("CodecError", None),
    "ServerError": ("FalrtError", None),
    "ResponseValidationError": ("FalrtError", None),
    "RequestDropped": ("FalrtError", None),
    "RequestTimeout": ("FalrtError", TimeoutError),
    "QueueFullError": ("FalrtError", None),
    "ConcurrencyError": ("FalrtError", None),
    "HTTPCallError": ("FalrtError", None),
    "HTTPStatusError": ("HTTPCallError", None),
    "HTTPAuthenticationError": ("HTTPStatusError", UnauthorizedError),
    "RequestFailedError": ("HTTPCallError", None),
    "UploadError": ("HTTPCallError", None),
}

EXAMPLES: list[FalrtError] = [
    MissingDependencyError("Pillow", "images", "pictures"),
    TokenRequestError("no token", status=503, detail="busy", passing=True),
    UnauthorizedError("refused", status=401),
    HandshakeError("HTTP 404", status=404),
    ConnectionClosedOK(1000),
    ConnectionClosedError(1006, "the line was cut", unsent=[{"prompt": "a"}, {"prompt": "b"}]),
    DecodeError("cut short", size=12),
    ServerError("INTERNAL_ERROR", "boom", payload={"type": "x-fal-error"}),
    ResponseValidationError("no images", payload={"image": []}),
    QueueFullError("receive", "3 results were discarded", dropped=3),
    HTTPCallError("lost", status=503, error_type="runner_disconnected", request_id="1a2b", retryable=True),
    HTTPAuthenticationError("refused", status=401, detail="Unauthorized"),
    *(
        getattr(exceptions, name)("something is wrong")
        for name in TREE
        if "__init__" not in vars(getattr(exceptions, name)) and not name.startswith("ConnectionClosed")
    ),
]


def test_the_tree_is_complete() -> None:
    ours = [
        value
        for value in vars(exceptions).values()
        if getattr(value, "__module__", "") == exceptions.__name__
    ]
    assert {value.__name__ for value in ours if inspect.isclass(value)} == {"FalrtError", *TREE}
    assert set(exceptions.__all__) == {"FalrtError", *TREE}


@pytest.mark.parametrize("name", TREE)
def test_each_error_hangs_where_it_is_drawn(name: str) -> None:
    kind = getattr(exceptions, name)
    parent, builtin = TREE[name]
    assert kind.__bases__[0] is getattr(exceptions, parent)
    assert kind.__bases__[1:] == (() if builtin is None else (builtin,))


def test_the_drawing_in_the_docstring_is_the_tree() -> None:
    assert exceptions.__doc__ is not None
    line_of = re.compile(r"^ {4}(?P<indent>[│ ]*)[├└]─ (?P<name>\w+)(?: \((?P<builtin>\w+)\))?")
    drawn, stack = {}, ["FalrtError"]
    for line in exceptions.__doc__.splitlines():
        if match := line_of.match(line):
            depth = len(match["indent"]) // 3
            del stack[depth + 1 :]
            drawn[match["name"]] = (stack[-1], match["builtin"])
            stack.append(match["name"])
    assert drawn == {
        name: (parent, builtin.__name__ if builtin else None) for name, (parent, builtin) in TREE.items()
    }


@pytest.mark.parametrize("name", ["FalrtError", *TREE])
def test_each_error_is_public_and_described(name: str) -> None:
    assert getattr(falrt, name) is getattr(exceptions, name)
    assert getattr(exceptions, name).__doc__


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))],
                         ids=["copy", "deepcopy", "pickle"])  # fmt: skip
def test_a_copied_error_keeps_its_text_and_data(error: FalrtError, way: Any) -> None:
    twin = way(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert (twin.args, vars(twin)) == (error.args, vars(error))


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_each_error_says_something_and_ends_without_a_full_stop(error: FalrtError) -> None:
    assert str(error)
    assert not str(error).endswith(".")


def test_a_note_is_copied_too() -> None:
    error = ServerError("INTERNAL_ERROR")
    error.add_note("while painting")
    assert copy.copy(error).__notes__ == ["while painting"]


# What they carry and say.


def test_a_missing_package_names_its_extra() -> None:
    error = MissingDependencyError("Pillow", "images", "pictures")
    assert (error.package, error.extra) == ("Pillow", "images")
    assert str(error) == "Pillow is needed for pictures: pip install 'falrt[images]'"
    assert str(MissingDependencyError("av", "video")) == "av is needed: pip install 'falrt[video]'"


def test_a_refused_token_request_tells_whether_it_may_pass() -> None:
    error = TokenRequestError("no token", status=503, detail="busy", passing=True)
    assert (str(error), error.status, error.detail, error.passing) == ("no token", 503, "busy", True)
    bare = TokenRequestError("no token")
    assert (bare.status, bare.detail, bare.passing) == (None, "", False)


def test_refusals_carry_their_status() -> None:
    assert UnauthorizedError("refused", status=401).status == 401
    assert UnauthorizedError("refused").status is None
    assert HandshakeError("HTTP 404", status=404).status == 404
    assert HandshakeError("not HTTP").status is None


def test_a_closed_connection_hands_back_what_never_left() -> None:
    error = ConnectionClosedError(1006, "the line was cut", unsent=[1, 2])
    assert (error.code, error.reason, error.unsent) == (1006, "the line was cut", (1, 2))
    assert str(error) == "connection closed with code 1006: the line was cut (2 unsent)"


def test_a_plain_close_says_only_its_code() -> None:
    error = ConnectionClosedOK(1000)
    assert (str(error), error.reason, error.unsent) == ("connection closed with code 1000", "", ())
    assert isinstance(error, ConnectionClosed)


def test_unsent_inputs_are_not_shown() -> None:
    assert "secret prompt" not in str(ConnectionClosedError(1006, unsent=["secret prompt"]))


def test_a_server_error_carries_the_message_as_sent() -> None:
    payload = {"type": "x-fal-error", "error": "INTERNAL_ERROR", "reason": "boom"}
    error = ServerError("INTERNAL_ERROR", "boom", payload=payload)
    assert (error.error, error.reason, error.payload) == ("INTERNAL_ERROR", "boom", payload)
    assert str(error) == "INTERNAL_ERROR: boom"
    assert str(ServerError("INTERNAL_ERROR")) == "INTERNAL_ERROR"


def test_unreadable_answers_carry_their_size_or_content() -> None:
    assert DecodeError("cut short", size=12).size == 12
    assert DecodeError("cut short").size == 0
    assert ResponseValidationError("no images", payload={"a": 1}).payload == {"a": 1}
    assert ResponseValidationError("no images").payload is None


def test_a_full_queue_says_which_and_how_much_is_gone() -> None:
    error = QueueFullError("receive", "3 results were discarded", dropped=3)
    assert (error.queue, error.dropped, str(error)) == ("receive", 3, "3 results were discarded")


# The page.


def test_every_error_stands_on_the_page_and_nothing_else() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(TREE)


def test_the_page_tells_what_each_error_carries() -> None:
    rows = {line.split("`")[1]: line for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    rows["ConnectionClosedOK"] += rows["ConnectionClosedError"]  # they carry the same
    for name in ("HTTPStatusError", "HTTPAuthenticationError", "RequestFailedError", "UploadError"):
        rows[name] += rows["HTTPCallError"]
    for error in EXAMPLES:
        assert [name for name in vars(error) if f"`{name}`" not in rows[type(error).__name__]] == []
