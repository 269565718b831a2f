"""Sending, receiving and asking over real sockets, as users do it."""

from __future__ import annotations

import asyncio
from collections import ChainMap, OrderedDict, UserDict
from datetime import date
from types import MappingProxyType
from typing import Any

import pytest

import falrt
from falrt import codecs, models, pacing
from falrt.testing import FakeServer, script
from tests.leaks import leaves_nothing, no_strays, soon, turns, until  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_strays")


def echo(message: Any) -> dict[str, Any]:
    """An app that tells what it got and names nothing."""
    return {"got": message}


# --- send and recv


def named(message: Any) -> dict[str, Any]:
    """Answer as the diffusion apps do, with the prompt and the id of the input."""
    return {"prompt": message["prompt"], "request_id": message.get("request_id", ""), "images": []}


async def test_a_sent_input_is_answered_to_recv() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        await conn.send({"n": 1})
        assert await soon(conn.recv()) == {"got": {"n": 1}}


async def test_results_come_in_the_order_of_their_inputs() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        for n in range(20):
            await conn.send({"n": n})
        assert [(await soon(conn.recv()))["got"]["n"] for _ in range(20)] == list(range(20))


async def test_iteration_yields_results_and_ends_when_the_connection_is_closed() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        got = []
        for n in range(3):
            await conn.send({"n": n})
        async for output in conn:
            got.append(output["got"]["n"])
            if len(got) == 3:
                await conn.close()
        assert got == [0, 1, 2]


async def test_iteration_can_be_left_and_taken_up_again() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        for n in range(2):
            await conn.send({"n": n})
        async for output in conn:
            assert output["got"]["n"] == 0
            break
        async for output in conn:
            assert output["got"]["n"] == 1
            break


async def test_awaiting_connect_opens_and_close_ends_it() -> None:
    async with FakeServer(echo) as server, leaves_nothing(server.url):
        conn = await server.connect()
        assert conn.state is falrt.State.OPEN
        assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}
        await conn.close()
        assert conn.state is falrt.State.CLOSED


async def test_only_one_task_may_be_in_recv() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        first = asyncio.create_task(conn.recv())
        await turns()
        with pytest.raises(falrt.ConcurrencyError, match="another task"):
            await conn.recv()
        await conn.send({"n": 1})
        assert await soon(first) == {"got": {"n": 1}}


async def test_a_cancelled_recv_loses_nothing() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        for n in range(30):
            waiting = asyncio.create_task(conn.recv())
            await turns(2)
            await conn.send({"n": n})
            await server.wait_for_answers(n + 1)
            await turns(n % 7)  # cancelled before, in the turn of, or after the arrival
            waiting.cancel()
            outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]
            if isinstance(outcome, asyncio.CancelledError):
                outcome = await soon(conn.recv())
            assert outcome == {"got": {"n": n}}


async def test_recv_with_a_timeout_of_its_own_leaves_the_connection_usable() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await conn.recv()
        assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}


async def test_recv_after_close_raises_every_time() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        await conn.close()
        for _ in range(3):
            with pytest.raises(falrt.ConnectionClosedOK):
                await soon(conn.recv())


async def test_a_waiting_recv_ends_with_close() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        waiting = asyncio.create_task(conn.recv())
        await turns()
        await conn.close()
        with pytest.raises(falrt.ConnectionClosedOK) as caught:
            await soon(waiting)
        assert caught.value.code == 1000


async def test_unread_results_are_still_there_after_close() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        await conn.send({"n": 1})
        await conn.drain(5)
        await conn.close()
        assert await soon(conn.recv()) == {"got": {"n": 1}}
        with pytest.raises(falrt.ConnectionClosedOK):
            await soon(conn.recv())


async def test_sending_after_close_hands_the_input_back() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        await conn.close()
        for call in (conn.send, conn.request):
            with pytest.raises(falrt.ConnectionClosedOK) as caught:
                await soon(call({"n": 7}))
            assert caught.value.unsent == ({"n": 7},)


async def test_a_send_cancelled_before_it_left_is_taken_back() -> None:
    async with FakeServer(echo, faults=[script.SlowHandshake(0.1)]) as server:
        async with server.connect(lazy=True) as conn:
            first = asyncio.create_task(conn.send({"n": 1}))
            second = asyncio.create_task(conn.send({"n": 2}))
            await server.wait_for(lambda: server.connections)
            first.cancel()
            await soon(second)
            assert await soon(conn.recv()) == {"got": {"n": 2}}
        assert server.inputs == [{"n": 2}]


async def test_a_send_cancelled_after_it_left_keeps_its_predecessors_frame() -> None:
    async with FakeServer(echo, faults=[script.Reset(inputs=2)]) as server:
        async with server.connect() as conn:
            first = asyncio.create_task(conn.send({"n": 1}))
            second = asyncio.create_task(conn.send({"n": 2}))
            await turns(1)
            second.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            assert (await soon(conn.recv()))["got"]["n"] in (1, 2)
        assert all(message in ({"n": 1}, {"n": 2}) for message in server.inputs)


async def test_inputs_that_never_left_are_handed_back_by_close() -> None:
    async with FakeServer(echo, faults=[script.Hang()]) as server, server.connect(lazy=True) as conn:
        sends = [asyncio.create_task(conn.send({"n": n})) for n in range(3)]
        await server.wait_for(lambda: server.connections)
        await conn.close()
        errors = await soon(asyncio.gather(*sends, return_exceptions=True))
        assert [error.unsent for error in errors] == [({"n": n},) for n in range(3)]
        with pytest.raises(falrt.ConnectionClosedOK) as caught:
            await conn.recv()
        assert caught.value.unsent == ({"n": 0}, {"n": 1}, {"n": 2})


# --- request


async def test_requests_of_many_tasks_get_their_own_answers() -> None:
    async with FakeServer(echo, buffering=1) as server, server.connect() as conn:
        answers = await soon(asyncio.gather(*(conn.request({"n": n}) for n in range(20))))
        assert [answer["got"]["n"] for answer in answers] == list(range(20))


async def test_requests_among_sends_get_their_own_answers() -> None:
    async with FakeServer(echo, service_time=0.001) as server, server.connect() as conn:
        for n in range(5):
            await conn.send({"send": n})
        answers = await soon(asyncio.gather(*(conn.request({"n": n}) for n in range(3))))
        assert [answer["got"] for answer in answers] == [{"n": n} for n in range(3)]
        assert [(await soon(conn.recv()))["got"]["send"] for _ in range(5)] == list(range(5))


async def test_a_late_answer_is_not_given_to_the_next_request() -> None:
    slow = [script.Stall(seconds=0.08, after=0)]
    async with FakeServer(echo, faults=slow) as server, server.connect() as conn:
        with pytest.raises(falrt.RequestTimeout):
            await conn.request({"n": 1}, timeout=0.02)
        assert await soon(conn.request({"n": 2})) == {"got": {"n": 2}}
        assert await soon(conn.request({"n": 3})) == {"got": {"n": 3}}


async def test_the_answer_of_a_cancelled_request_is_absorbed() -> None:
    async with FakeServer(echo, service_time=0.02) as server, server.connect() as conn:
        given_up = asyncio.create_task(conn.request({"n": 1}))
        await server.wait_for_inputs(1)
        given_up.cancel()
        assert await soon(conn.request({"n": 2})) == {"got": {"n": 2}}
        with pytest.raises(asyncio.CancelledError):
            await given_up


async def test_a_request_cancelled_before_it_left_is_never_sent() -> None:
    async with FakeServer(echo, service_time=0.02) as server, server.connect() as conn:
        first = asyncio.create_task(conn.request({"n": 1}))
        await server.wait_for_inputs(1)
        second = asyncio.create_task(conn.request({"n": 2}))
        await turns()
        second.cancel()
        assert await soon(first) == {"got": {"n": 1}}
        assert await soon(conn.request({"n": 3})) == {"got": {"n": 3}}
        assert server.inputs == [{"n": 1}, {"n": 3}]


async def test_cancelling_requests_at_any_turn_leaves_pairing_right() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        for n in range(40):
            given_up = asyncio.create_task(conn.request({"given up": n}))
            await turns(n % 13)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            assert await soon(conn.request({"n": n})) == {"got": {"n": n}}


async def test_a_timed_out_request_says_where_it_was() -> None:
    async with FakeServer(echo, faults=[script.Hang()]) as server, server.connect(lazy=True) as conn:
        with pytest.raises(falrt.RequestTimeout, match="could not be sent"):
            await conn.request({"n": 1}, timeout=0.03)


@pytest.mark.parametrize("timeout", [0, -1.0])
async def test_a_timeout_that_is_none_is_refused(timeout: float) -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(falrt.ConfigurationError, match="timeout must be a positive number of seconds"):
            await conn.request({"n": 1}, timeout=timeout)
        assert server.inputs == []


async def test_the_connections_own_request_timeout_counts() -> None:
    faults = [script.Swallow(times=None)]
    async with FakeServer(echo, faults=faults) as server, server.connect(request_timeout=0.03) as conn:
        with pytest.raises(falrt.RequestTimeout, match="was not answered"):
            await soon(conn.request({"n": 1}))


# --- wrong use, told before anything is sent


async def test_an_input_above_16_mib_is_refused_and_the_connection_goes_on() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(falrt.EncodeError, match="16 MiB"):
            await conn.send({"image": bytes(16 * 1024 * 1024 + 1)})
        assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}
        assert server.inputs == [{"n": 1}]


async def test_an_input_that_cannot_be_encoded_is_named() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        with pytest.raises(falrt.EncodeError, match=r"^input\.images\[0\]: "):
            await conn.send({"images": [object()]})
        assert server.inputs == []


@pytest.mark.parametrize("kind", [OrderedDict, ChainMap, MappingProxyType, UserDict])
@pytest.mark.parametrize("codec", [codecs.Msgpack(), codecs.Json()])
async def test_an_input_may_be_any_mapping(kind: Any, codec: Any) -> None:
    sent = {"when": date(2026, 11, 21), "picture": b"jpeg", "n": 1}
    picture = b"jpeg" if isinstance(codec, codecs.Msgpack) else "anBlZw=="
    async with FakeServer(echo, codec=codec) as server, server.connect(codec=codec) as conn:
        await soon(conn.request(kind(sent)))
        assert server.inputs == [{"when": "2026-11-21", "picture": picture, "n": 1}]


async def test_a_typo_in_a_typed_input_is_an_error_at_the_callers_line() -> None:
    async with FakeServer() as server, server.connect(models.LCM) as conn:
        with pytest.raises(ValueError, match="promt"):
            await conn.request({"promt": "a fox"})
        assert server.inputs == []


async def test_typed_requests_give_typed_outputs() -> None:
    async with FakeServer() as server, server.connect(models.LCM) as conn:
        out = await soon(conn.request(models.LCMInput(prompt="a fox")))
        assert isinstance(out, models.LCMOutput)
        assert server.inputs[0]["prompt"] == "a fox"


async def test_a_result_of_the_wrong_shape_is_told_once_with_its_payload() -> None:
    async with (
        FakeServer([{"images": "none"}, None], auth=False) as server,
        server.connect(models.LCM) as conn,
    ):
        with pytest.raises(falrt.ResponseValidationError) as caught:
            await soon(conn.request(models.LCMInput(prompt="a fox")))
        assert caught.value.payload == {"images": "none"}
        assert conn.state is falrt.State.OPEN


@pytest.mark.parametrize("method", ["send", "request", "recv", "flush", "drain"])
async def test_a_connection_that_is_not_open_says_so(method: str) -> None:
    async with FakeServer() as server:
        conn = server.connect()
        args = [{}] if method in ("send", "request") else []
        with pytest.raises(falrt.ConfigurationError, match="not open"):
            await getattr(conn, method)(*args)
        assert conn.state is falrt.State.IDLE
        assert conn.stats == falrt.Stats()
        assert "acme/app" in repr(conn)
        assert conn.app == "acme/app/realtime"


async def test_a_connection_is_entered_once() -> None:
    async with FakeServer() as server:
        conn = server.connect()
        async with conn:
            with pytest.raises(falrt.ConcurrencyError, match="connect\\(\\) again"):
                await conn
        with pytest.raises(falrt.ConcurrencyError, match="connect\\(\\) again"):
            await conn


async def test_closing_what_was_never_opened_is_harmless_and_final() -> None:
    async with FakeServer() as server:
        conn = server.connect()
        await conn.close()
        await conn.close()
        with pytest.raises(falrt.ConcurrencyError):
            await conn


# --- flush, drain, stats


async def test_flush_sends_what_a_debounce_holds() -> None:
    async with FakeServer(echo) as server, server.connect(pacing=pacing.Debounce(60)) as conn:
        await conn.send({"n": 1})
        assert conn.stats.sent == 0
        await soon(conn.flush())
        assert await soon(conn.recv()) == {"got": {"n": 1}}


async def test_flush_with_nothing_waiting_returns_at_once() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        await soon(conn.flush())


async def test_drain_waits_for_the_last_answer() -> None:
    async with FakeServer(echo, service_time=0.01) as server, server.connect() as conn:
        for n in range(3):
            await conn.send({"n": n})
        await soon(conn.drain())
        assert conn.stats.in_flight == 0
        assert conn.stats.received == 3


@pytest.mark.parametrize("buffering", [1, 2, None])
async def test_fifty_requests_at_once_get_fifty_answers_from_a_server_that_keeps_few(
    buffering: int | None,
) -> None:
    async with (
        FakeServer(named, buffering=buffering, service_time=0.001) as server,
        server.connect(models.TURBO) as conn,
    ):
        inputs = [models.TurboInput(prompt=f"fox {n}") for n in range(50)]
        outputs = await soon(asyncio.gather(*map(conn.request, inputs)))
        assert [output.prompt for output in outputs] == [input.prompt for input in inputs]
        assert conn.stats.reconnects == 0


async def test_a_request_that_may_be_sent_once_is_told_that_the_server_dropped_it() -> None:
    async with (
        FakeServer(named, buffering=1, service_time=0.05) as server,
        server.connect(models.TURBO) as conn,
    ):
        await soon(conn.request(models.TurboInput(prompt="ids are echoed")))
        asking = asyncio.gather(
            *(conn.request(models.TurboInput(prompt=f"fox {n}"), resend=False) for n in range(12)),
            return_exceptions=True,
        )
        outcomes = [type(outcome) for outcome in await soon(asking)]
        assert {*outcomes} == {models.TurboOutput, falrt.RequestDropped}


async def test_drain_counts_what_waits_for_its_pacing() -> None:
    async with FakeServer(echo) as server, server.connect(pacing=pacing.Debounce(60)) as conn:
        await conn.send({"n": 1})
        with pytest.raises(falrt.RequestTimeout, match="1 input is unsent or unanswered"):
            await conn.drain(0.02)


async def test_drain_with_a_timeout_says_how_many_are_unanswered() -> None:
    async with FakeServer(echo, faults=[script.Swallow(times=None)]) as server, server.connect() as conn:
        await conn.send({"n": 1})
        with pytest.raises(falrt.RequestTimeout, match="1 input is unsent or unanswered"):
            await conn.drain(0.02)


async def test_drain_with_a_timeout_says_that_a_callback_has_not_returned() -> None:
    began = asyncio.Event()

    async def on_result(result: Any) -> None:
        began.set()
        await asyncio.Event().wait()

    async with FakeServer(echo) as server, server.connect(on_result=on_result) as conn:
        await conn.send({"n": 1})
        await soon(began.wait())
        with pytest.raises(falrt.RequestTimeout, match="on_result or on_error has not returned after"):
            await conn.drain(0.02)


async def test_stats_count_what_went_and_came() -> None:
    async with FakeServer(echo, emit_timings=True) as server, server.connect() as conn:
        await soon(conn.request({"n": 1}))
        await soon(conn.request({"n": 2}))
        stats = conn.stats
        assert (stats.sent, stats.received, stats.dropped, stats.in_flight, stats.reconnects) == (
            2,
            2,
            0,
            0,
            0,
        )
        assert stats.bytes_sent > 0
        assert stats.bytes_received > 0
        assert stats.latency.last is not None
        assert stats.latency.p50 is not None
        await until(lambda: conn.stats.open_seconds > 0)


async def test_stats_stay_after_the_end() -> None:
    async with FakeServer(echo) as server:
        async with server.connect() as conn:
            await soon(conn.request({"n": 1}))
        assert conn.stats.sent == 1
        assert conn.stats.open_seconds == conn.stats.open_seconds


# --- lazy


async def test_a_lazy_connection_opens_at_the_first_input() -> None:
    async with FakeServer(echo) as server, server.connect(lazy=True) as conn:
        await turns(10)
        assert conn.state is falrt.State.IDLE
        assert not server.connections
        assert not server.token_requests
        assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}


# --- pacing over real sockets


async def test_a_throttle_delivers_the_first_and_the_last() -> None:
    async with FakeServer(echo) as server, server.connect(throttle_interval=0.03) as conn:
        for n in range(10):
            await conn.send({"n": n})
        results = [await soon(conn.recv()), await soon(conn.recv())]
        assert [result["got"]["n"] for result in results] == [0, 9]
        assert conn.stats.dropped == 8


async def test_a_debounce_sends_the_last_of_a_burst() -> None:
    async with FakeServer(echo) as server, server.connect(pacing=pacing.Debounce(0.02)) as conn:
        for n in range(10):
            await conn.send({"n": n})
        assert await soon(conn.recv()) == {"got": {"n": 9}}
        assert len(server.inputs) == 1


async def test_latest_keeps_one_unanswered_and_the_newest_waiting() -> None:
    async with FakeServer(echo, service_time=0.01) as server, server.connect(pacing=pacing.Latest()) as conn:
        for n in range(10):
            await conn.send({"n": n})
        results = [await soon(conn.recv()), await soon(conn.recv())]
        assert [result["got"]["n"] for result in results] == [0, 9]
        await conn.drain(5)
        assert conn.stats.sent == 2


# --- codecs and hooks


@pytest.mark.parametrize("codec", [codecs.Json(), codecs.Msgpack()])
async def test_every_codec_carries_messages_both_ways(codec: Any) -> None:
    async with FakeServer(echo, codec=codec) as server, server.connect(codec=codec) as conn:
        assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}


async def test_json_text_leaves_in_text_frames() -> None:
    async with FakeServer() as server, server.connect(codec=codecs.Json(text=True)) as conn:
        await conn.send({"prompt": "ä fox"})
        await server.wait_for(lambda: server.connections[0].frames)
        assert server.connections[0].frames[0] == '{"prompt":"ä fox"}'
        with pytest.raises(falrt.ServerError):  # as fal's runner treats text
            await soon(conn.recv())


class Shouting:
    """A codec object of a user."""

    def encode(self, message: Any) -> bytes:
        return repr(message).upper().encode()

    def decode(self, data: Any) -> Any:
        return {"heard": bytes(data).decode()}


async def test_a_users_codec_object_is_used_both_ways() -> None:
    class Plain:
        def encode(self, message: Any) -> bytes:
            return str(message).encode()

        def decode(self, data: Any) -> Any:
            return {"frame": bytes(data).decode()}

    async with FakeServer(echo, codec=Plain()) as server, server.connect(codec=Shouting()) as conn:
        answer = await soon(conn.request({"n": 1}))
        assert answer == {"heard": "{'got': {'frame': \"{'N': 1}\"}}"}


async def test_a_users_codec_that_fails_is_a_codec_error_without_the_frame() -> None:
    class Broken:
        def encode(self, message: Any) -> bytes:
            if message.get("bad"):
                raise KeyError("secret picture")
            return codecs.Msgpack().encode(message)

        def decode(self, data: Any) -> Any:
            raise LookupError("secret picture")

    async with FakeServer(echo) as server, server.connect(codec=Broken()) as conn:
        with pytest.raises(falrt.EncodeError, match=r"codec\.encode failed with KeyError") as encode:
            await conn.send({"bad": 1})
        with pytest.raises(falrt.DecodeError, match=r"codec\.decode failed with LookupError") as decode:
            await soon(conn.request({"n": 1}))
        assert "secret" not in str(encode.value) + str(decode.value)


async def test_an_encoder_that_returns_no_frame_is_told_so() -> None:
    async with FakeServer(echo) as server, server.connect(encode_message=lambda message: 5) as conn:
        with pytest.raises(falrt.EncodeError, match="returned int"):
            await conn.send({"n": 1})


async def test_hooks_may_be_sync_or_async_and_override_one_direction() -> None:
    async def encode(message: Any) -> bytes:
        await asyncio.sleep(0)
        return codecs.Msgpack().encode({"hooked": message})

    def decode(frame: Any) -> Any:
        return {"decoded": codecs.Msgpack().decode(frame)}

    async with FakeServer(echo) as server:
        async with server.connect(encode_message=encode, decode_message=decode) as conn:
            assert await soon(conn.request({"n": 1})) == {"decoded": {"got": {"hooked": {"n": 1}}}}
        async with server.connect(decode_message=decode) as conn:
            assert await soon(conn.request({"n": 1})) == {"decoded": {"got": {"n": 1}}}


async def test_an_async_encoder_does_not_let_a_later_input_overtake() -> None:
    delays = iter([0.02, 0.0, 0.01])

    async def encode(message: Any) -> bytes:
        await asyncio.sleep(next(delays))
        return codecs.Msgpack().encode(message)

    async with FakeServer(echo) as server, server.connect(encode_message=encode) as conn:
        await soon(asyncio.gather(*(conn.send({"n": n}) for n in range(3))))
        assert [(await soon(conn.recv()))["got"]["n"] for _ in range(3)] == [0, 1, 2]


async def test_an_async_decoder_keeps_the_order() -> None:
    delays = iter([0.02, 0.0, 0.01])

    async def decode(frame: Any) -> Any:
        await asyncio.sleep(next(delays))
        return codecs.Msgpack().decode(frame)

    async with FakeServer(echo) as server, server.connect(decode_message=decode) as conn:
        for n in range(3):
            await conn.send({"n": n})
        assert [(await soon(conn.recv()))["got"]["n"] for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("name", ["encode_message", "decode_message"])
async def test_a_raising_hook_becomes_a_codec_error(name: str) -> None:
    def hook(value: Any) -> Any:
        raise KeyError("oops")

    async with FakeServer(echo) as server, server.connect(**{name: hook}) as conn:
        with pytest.raises(falrt.CodecError, match=f"{name} failed with KeyError") as caught:
            await soon(conn.request({"n": 1}))
        assert isinstance(caught.value.__cause__, KeyError)


async def test_a_hooks_own_falrt_error_passes_through() -> None:
    def hook(value: Any) -> Any:
        raise falrt.DecodeError("mine")

    async with FakeServer(echo) as server, server.connect(decode_message=hook) as conn:
        with pytest.raises(falrt.DecodeError, match="mine"):
            await soon(conn.request({"n": 1}))


# --- control frames, in every wrapping

TIMINGS = {"type": "x-fal-message", "action": "timings", "timing": 0.125}


@pytest.mark.parametrize("wrap", ["text", "json bytes", "msgpack"])
async def test_timings_are_recognised_in_every_wrapping(wrap: str) -> None:
    import json

    async with FakeServer(echo) as server, server.connect() as conn:
        await soon(conn.request({"n": 1}))
        text = json.dumps(TIMINGS)
        frame = {"text": text, "json bytes": text.encode(), "msgpack": codecs.Msgpack().encode(TIMINGS)}[wrap]
        server.connections[0].send(frame)
        await until(lambda: conn.stats.inference_time is not None)
        assert conn.stats.inference_time == 0.125
        assert conn.stats.received == 1


@pytest.mark.parametrize("wrap", ["text", "json bytes", "msgpack"])
async def test_an_error_frame_is_an_error_in_every_wrapping(wrap: str) -> None:
    import json

    fault = {"type": "x-fal-error", "error": "INTERNAL_ERROR", "reason": "no such prompt"}
    text = json.dumps(fault)
    frame = {"text": text, "json bytes": text.encode(), "msgpack": codecs.Msgpack().encode(fault)}[wrap]
    async with FakeServer(echo, faults=[script.Swallow()]) as server, server.connect() as conn:
        asking = asyncio.create_task(conn.request({"n": 1}))
        await server.wait_for_inputs(1)
        server.connections[0].send(frame)
        with pytest.raises(falrt.ServerError, match="no such prompt") as caught:
            await soon(asking)
        assert caught.value.payload == fault
        assert await soon(conn.request({"n": 2})) == {"got": {"n": 2}}


async def test_an_unknown_gateway_error_is_an_error() -> None:
    faults = [script.GatewayError("out of coffee", inputs=1)]
    async with FakeServer(echo, faults=faults) as server, server.connect() as conn:
        with pytest.raises(falrt.ServerError, match="out of coffee"):
            await soon(conn.request({"n": 1}))


async def test_a_text_frame_that_is_no_utf8_is_a_decode_error() -> None:
    async with FakeServer(echo) as server, server.connect() as conn:
        await soon(conn.request({"n": 1}))
        # 0x81: a final text frame; the payload is not UTF-8.
        server.connections[0].socket.send_bytes(b"\x81\x02\xff\xff")
        with pytest.raises(falrt.DecodeError, match=r"UTF-8|protocol"):
            await soon(conn.recv())


async def test_events_are_shown_to_on_event_and_its_mistakes_are_reported() -> None:
    seen: list[str] = []
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

    def on_event(event: Any) -> None:
        seen.append(type(event).__name__)
        raise RuntimeError("my mistake")

    async with FakeServer(echo) as server, server.connect(on_event=on_event) as conn:
        assert await soon(conn.request({"n": 1})) == {"got": {"n": 1}}
        server.connections[0].send({"type": "x-fal-message", "action": "hello"})
        await until(lambda: "Noticed" in seen)
    assert seen[:2] == ["Opened", "Answered"]
    assert "my mistake" in str(reported[0]["exception"])
