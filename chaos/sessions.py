"""Sessions of the modes that end: what is handed out belongs to the session, and every session has an end."""

from __future__ import annotations

import asyncio
from typing import Any

import falrt
from chaos.ledger import numbers_of
from chaos.workers import Life

__all__ = ["hold_sessions", "session"]


async def hold_sessions(life: Life) -> None:
    """Hold one session after the other."""
    while not (life.over.is_set() or life.ended):
        await life.bounded(session(life), "session")
        await life.pause(life.rng.choice((0.0, 0.02)))


async def session(life: Life) -> bool:
    """Hold one session; say whether it ended well."""
    ledger, orders = life.ledger, _orders(life)
    ledger.counts["sessions"] += 1
    try:
        for order in orders:
            ledger.note(f"session sends {order['n']}")
            await life.conn.send(order)
            await asyncio.sleep(life.rng.choice((0.0, 0.005)))
    except falrt.ConnectionClosed as exc:
        # What waited belongs to the session that is over; it is handed back.
        ledger.note(f"session lost while sending: {exc!r}, unsent {exc.unsent}")
        ledger.counts["sessions: handed back"] += 1
    except falrt.FalrtError as exc:
        life.judge(exc, "session send")
        return False
    outputs = await _read_to_the_end(life, orders)
    if outputs is None:
        return False
    ledger.note("session ended")
    ledger.counts["sessions: ended"] += 1
    return _is_whole(life, orders, outputs)


async def _read_to_the_end(life: Life, orders: list[dict[str, Any]]) -> list[Any] | None:
    """Return the outputs of a session that ended in order; None for one that was lost.

    What is sent after an end that nobody has read yet begins another session: all are read, until the last end is
    told again because nothing more comes.
    """
    outputs: list[Any] = []
    ends: list[Exception] = []
    lost = False
    while True:
        try:
            output = await life.conn.recv()
        except falrt.FalrtError as exc:
            if ends and exc is ends[-1]:
                break
            ends.append(exc)
            life.ledger.note(f"session: {exc!r}")
            if isinstance(exc, falrt.ConnectionClosedOK):
                continue
            lost = True
            if isinstance(exc, falrt.ConnectionClosedError):
                life.ledger.counts["sessions: lost"] += 1
            else:
                life.judge(exc, "session")
        else:
            life.ledger.note(f"session gets {output}")
            _check_output(life, orders, outputs, output)
            outputs.append(output)
    life.ledger.counts["sessions: cut in two"] += len(ends) > 1 and not lost
    return None if lost else outputs


def _orders(life: Life) -> list[dict[str, Any]]:
    if life.plan.mode == "server_streaming":
        return [{**life.order(), "count": life.rng.randint(1, 6)}]
    orders = [life.order() for _ in range(life.rng.randint(1, 5))]
    orders[-1]["last"] = True
    return orders


def _check_output(life: Life, orders: list[Any], outputs: list[Any], output: Any) -> None:
    sent = [order["n"] for order in orders]
    if not {*numbers_of(output)} <= {*sent}:
        life.ledger.broke(f"session {sent} was given an output of {numbers_of(output)}")
    key = (numbers_of(output), output.get("step"))
    # An app that adds up may be told twice that its input has ended, before the first has come.
    if key[0] and any((numbers_of(earlier), earlier.get("step")) == key for earlier in outputs):
        life.ledger.broke(f"session {sent} was given {key} twice")


def _is_whole(life: Life, orders: list[Any], outputs: list[Any]) -> bool:
    """Whether nothing is missing; an end in order that cuts a session short looks the same from outside."""
    sent = [order["n"] for order in orders]
    got = [(numbers_of(output), output.get("step")) for output in outputs]
    if life.plan.mode == "client_streaming":
        # The idle timer that ends the input may fire at any moment, even before the first.
        return got == [(sent, None)]
    steps = orders[0]["count"] if life.plan.mode == "server_streaming" else 2
    whole = sorted(got) == sorted(([number], step) for number in sent for step in range(steps))
    # What looks like the app's own end: a polite close, and an idle timer whose input was still on its way.
    cut_short = (
        "swallowed" in life.plan.excuses
        or {"CloseWith", "ColdStart"} & {*life.plan.faults}
        or life.plan.app["session_timeout"] is not None
    )
    if not (whole or cut_short or life.ledger.failing or life.closing):
        life.ledger.broke(f"a session of {life.plan.mode} for {sent} ended in order with no more than {got}")
    return whole
