"""One connection's life: a server, a storm with workers in it, calm weather, the reckoning, and the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import urlsplit

import falrt
from chaos.apps import echo_model, fake_server
from chaos.estate import client_sockets, tcp_sockets
from chaos.ledger import SLACK_SECONDS, Broken, Ledger, Recorder
from chaos.plan import Plan
from chaos.sessions import hold_sessions, session
from chaos.weather import Weather
from chaos.workers import Life, answered, ask, listen, receive, run_stream, send, stream
from falrt.testing import FaultProxy

__all__ = ["LifeReport", "live"]

WORKERS: dict[str, Callable[[Life], Coroutine[Any, Any, None]]] = {
    "asker": ask,
    "sender": send,
    "receiver": receive,
    "listener": listen,
    "streamer": stream,
    "sessions": hold_sessions,
}
# Seconds after which every worker has come to its end once the weather is calm, and the reckoning to its own; each
# wait in them has its own, shorter limit.
CALM_SECONDS = 90.0
RECKONING_SECONDS = 400.0


class LifeReport:
    """What one life came to.

    Attributes:
        counts: How often what happened.
        struck: Faults that took place, by name.
        reconnects: Sockets opened beyond the first.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()
        self.reconnects = 0


async def live(plan: Plan, recorder: Recorder, sdk_url: str | None = None) -> LifeReport:
    """Live one life.

    Args:
        plan: Which one.
        recorder: Takes what the library logs.
        sdk_url: Where fal's own server listens, for the plans that want it.

    Raises:
        Broken: A promise does not hold; its notes tell the last events.
    """
    ledger = Ledger(plan.name, plan.excuses)
    report = LifeReport()
    recorder.ledgers[_app(plan)] = ledger
    try:
        await _live(plan, sdk_url, ledger, report)
    except Broken as exc:
        exc.add_note("\n".join(ledger.events))
        raise
    except Exception as exc:
        ledger.note(f"unexpected {exc!r}")
        raise Broken(
            f"{plan.name}: unexpected {type(exc).__name__}: {exc}\n" + "\n".join(ledger.events)
        ) from exc
    finally:
        del recorder.ledgers[_app(plan)]
    report.counts.update(ledger.counts)
    return report


def _app(plan: Plan) -> str:
    return "acme/life-" + plan.name.replace(":", "-")


async def _live(plan: Plan, sdk_url: str | None, ledger: Ledger, report: LifeReport) -> None:
    rng = Random(plan.name + " life")
    app = _app(plan)
    async with _world(plan, sdk_url, ledger, rng) as (url, weather):
        target = echo_model(app) if plan.echoes else app
        path = _sdk_path(plan) if plan.target == "sdk" else None
        conn = falrt.connect(target, base_url=url, key="test", path=path, mode=plan.mode, **plan.options)
        life = Life(conn, plan, ledger, rng)
        storm = asyncio.create_task(weather.storm(), name="chaos weather")
        try:
            async with conn:
                await _days(life, weather, storm)
        except falrt.FalrtError as exc:
            # Not one socket could be opened: the weather may be as bad as that.
            ledger.note(f"never opened: {exc}")
            ledger.counts[f"never opened: {type(exc).__name__}"] += 1
        except Broken as exc:
            exc.add_note(weather.chronicle())
            raise
        finally:
            storm.cancel()
            await asyncio.wait([storm])
        if not storm.cancelled() and (error := storm.exception()) is not None:
            raise error
        await _check_nothing_left(life, url, app)
        report.reconnects += conn.stats.reconnects
        report.struck += weather.count()


@asynccontextmanager
async def _world(
    plan: Plan, sdk_url: str | None, ledger: Ledger, rng: Random
) -> AsyncIterator[tuple[str, Weather]]:
    async with AsyncExitStack() as stack:
        server = None
        if plan.target == "fake":
            server = await stack.enter_async_context(fake_server(plan, rng))
        url = server.url if server is not None else str(sdk_url)
        proxy = None
        if plan.through_proxy:
            place = urlsplit(url)
            proxy = await stack.enter_async_context(FaultProxy(str(place.hostname), int(place.port or 0)))
            url = proxy.url
        yield url, Weather(plan, rng, server, proxy, ledger)


def _sdk_path(plan: Plan) -> str:
    """Return the path of fal's own app that does what the plan asks for."""
    app = plan.app
    if plan.mode != "unary":
        return f"/{plan.mode}"
    if app["echo"] == "always":
        return f"/echo/{app['buffering'] or 0}"
    if app["max_batch_size"] > 1:
        return "/batch"
    return f"/unary/{app['buffering'] or 0}/{'idle' if app['session_timeout'] else 'stay'}"


async def _days(life: Life, weather: Weather, storm: asyncio.Task[None]) -> None:
    """Work in the storm, then see whether everything comes right."""
    plan, ledger = life.plan, life.ledger
    workers = [asyncio.create_task(WORKERS[name](life), name=f"chaos {name}") for name in plan.workers]
    passing = [
        t for t, name in zip(workers, plan.workers, strict=True) if name not in ("receiver", "listener")
    ]
    try:
        await _watch(workers, plan.seconds)
        if plan.ending == "calm":
            life.over.set()
            storm.cancel()
            await asyncio.wait([storm])
            await weather.calm()
            await _watch(workers, CALM_SECONDS, until=passing)
            reckoning = asyncio.create_task(_reckon(life), name="chaos reckoning")
            try:
                await _watch([*workers, reckoning], RECKONING_SECONDS, until=[reckoning])
            finally:
                reckoning.cancel()
                await asyncio.wait([reckoning])
        life.closing = True
        ledger.note(f"ending: {plan.ending}")
        if plan.ending == "cancel":
            await _cancelled_close(life)
        await life.bounded(life.conn.close(), "close()", SLACK_SECONDS + 2.0)
        life.over.set()
        # Whoever still waits hears of the end at once.
        await _watch(workers, SLACK_SECONDS, until=workers)
    finally:
        life.over.set()
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)


async def _watch(
    workers: list[asyncio.Task[None]], seconds: float, until: list[asyncio.Task[None]] | None = None
) -> None:
    """Wait for a time, or for some workers; whatever any of them found is raised here."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    while (left := ends_at - loop.time()) > 0:
        busy = [worker for worker in workers if not worker.done()]
        if not busy or (until is not None and all(worker.done() for worker in until)):
            break
        await asyncio.wait(busy, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            if worker.done():
                worker.result()
    if until is not None and (late := [worker.get_name() for worker in until if not worker.done()]):
        raise Broken(f"{late} did not come to an end within {seconds:.0f} s")


async def _cancelled_close(life: Life) -> None:
    closing = asyncio.create_task(life.conn.close())
    await asyncio.wait([closing], timeout=life.rng.choice((0.0, 0.001, 0.01)))
    closing.cancel()
    await life.bounded(asyncio.wait([closing]), "cancelled close()", SLACK_SECONDS)


async def _reckon(life: Life) -> None:
    """Calm weather: whatever was owed comes, and everything works."""
    plan, ledger, conn = life.plan, life.ledger, life.conn
    ledger.note("reckoning")
    if conn.state is falrt.State.CLOSED:
        if not life.ended:
            ledger.broke(f"the connection ended by itself: {conn._core.supervisor().protocol.ending!r}")
        ledger.counts["ended for good"] += 1
        return
    calm = Life(conn, replace(plan, fails=0.0), ledger, life.rng, life.over)
    if plan.mode != "unary":
        await _until_well(calm, lambda: life.bounded(session(calm), "the last session"))
    else:
        await _reckon_unary(calm)
    stats = conn.stats
    if min(stats.sent, stats.received, stats.dropped, stats.in_flight, stats.reconnects) < 0:
        ledger.broke(f"a negative figure: {stats}")
    if plan.mode == "unary" and stats.received > stats.sent:
        ledger.broke(f"more results than inputs: {stats}")
    ledger.counts["came through"] += 1


async def _until_well(life: Life, step: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Repeat what a last gust may still spoil; the second or third time it must be well."""
    for _ in range(4):
        if await step() or life.ended:
            return
    life.ledger.broke("even in calm weather nothing comes through")


async def _reckon_unary(life: Life) -> None:
    ledger, plan, conn = life.ledger, life.plan, life.conn
    if "receiver" in plan.workers:
        await _newest_answered(life)
    await _until_well(life, lambda: answered(life))
    if "receiver" in plan.workers:
        order = life.order()
        ledger.sends[order["n"]] = True
        ledger.newest_send = order["n"]
        await life.bounded(conn.send(order), "the last send")
        await _newest_answered(life, strictly=True)
    await life.bounded(run_stream(life, 3, whole=True), "the last stream")
    try:
        await life.bounded(conn.drain(1.0), "the last drain", 1.0 + SLACK_SECONDS)
    except falrt.RequestTimeout as exc:
        ledger.counts["last drain: timed out"] += 1
        if "sender" not in plan.workers and "swallowed" not in plan.excuses:
            ledger.broke(f"nothing was sent that may be dropped, and yet: {exc}")


async def _newest_answered(life: Life, *, strictly: bool = False) -> None:
    """The newest input that was sent is answered, whatever the weather was."""
    ledger, loop = life.ledger, asyncio.get_running_loop()
    newest = ledger.newest_send
    if newest is None:
        return
    troubles = len(ledger.troubles)
    patience = 25.0
    if not strictly and (life.plan.excuses & {"swallowed", "ServerError", "DecodeError"} or troubles):
        patience = 1.0  # its answer may be one of those that were spoiled
    ends_at = loop.time() + patience
    while not any(number >= newest for number in ledger.received):
        if life.ended or len(ledger.troubles) > troubles:
            return
        if loop.time() > ends_at:
            if patience > 1.0:
                ledger.broke(f"the newest send, {newest}, is not answered ({life.conn!r}, {life.conn.stats})")
            ledger.counts["newest send: spoiled"] += 1
            return
        await asyncio.sleep(0.01)
    ledger.counts["newest send: answered"] += 1


async def _check_nothing_left(life: Life, url: str, app: str) -> None:
    """Look at once: no task and no socket of this connection is left."""
    left = [task.get_name() for task in asyncio.all_tasks() if app in task.get_name()]
    if left:
        life.ledger.broke(f"tasks are left: {left}")
    for _ in range(3):
        await asyncio.sleep(0)  # a transport that was aborted closes its socket in the next turn
    if sockets := client_sockets(url):
        await asyncio.sleep(0.2)
        if life.plan.target == "fake" and client_sockets(url):
            life.ledger.broke(f"{sockets} sockets are left: {tcp_sockets()}, the server is {url}")
