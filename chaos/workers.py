"""What users do with a connection, at random, and what they may expect of it at any moment of a storm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import falrt
from chaos.ledger import HANG_SECONDS, SLACK_SECONDS, Ledger, numbers_of
from chaos.plan import FINAL_ERRORS, Plan
from falrt import pacing

__all__ = ["Life", "answered", "ask", "listen", "receive", "send", "stream"]

# uvloop's clock has milliseconds.
CLOCK_SECONDS = 0.002

T = TypeVar("T")


@dataclass(slots=True)
class Life:
    """What the workers of one connection share.

    Attributes:
        over: The storm has passed: begin nothing new.
        closing: The connection is being ended on purpose; whatever ends by it is in order.
    """

    conn: Any
    plan: Plan
    ledger: Ledger
    rng: Random
    over: asyncio.Event = field(default_factory=asyncio.Event)
    closing: bool = False

    def order(self) -> dict[str, Any]:
        """Return a new input."""
        work = self.rng.uniform(0.5, 1.5) * float(self.plan.app["work"])
        return self.ledger.order(self.rng, work=work, fails=self.plan.fails)

    @property
    def ended(self) -> bool:
        """Whether the connection has ended, as it may here: nothing more is to be expected of it."""
        may_end = self.closing or "end" in self.plan.excuses or self.never_opened
        return self.conn.state is falrt.State.CLOSED and may_end

    @property
    def never_opened(self) -> bool:
        """Whether not one socket could be opened: a few tries are made, then a wrong address is supposed."""
        return not self.conn.stats.open_seconds

    def judge(self, error: Exception, what: str, number: int | None = None) -> None:
        """Let an error pass that may be."""
        if self.closing and isinstance(error, falrt.ConnectionClosedOK):
            self.ledger.note(f"{what} {number or ''}: closed")
            self.ledger.counts[f"{what}: closed"] += 1
            return
        if self.never_opened and type(error).__name__ in FINAL_ERRORS:
            self.ledger.note(f"{what} {number or ''}: never opened: {error}")
            self.ledger.counts[f"never opened: {type(error).__name__}"] += 1
            return
        self.ledger.judge(error, what, number)

    async def bounded(self, awaitable: Awaitable[T], what: str, seconds: float = HANG_SECONDS) -> T:
        """Wait for what must end by itself.

        Raises:
            Broken: It hangs.
        """
        waiting = asyncio.ensure_future(awaitable)
        try:
            done, _ = await asyncio.wait([waiting], timeout=seconds)
        except asyncio.CancelledError:
            await _end(waiting)
            raise
        if not done:
            waiting.cancel()
            self.ledger.broke(f"{what} hangs after {seconds:.1f} s ({self.conn!r}, {self.conn.stats})")
        return waiting.result()

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond the storm."""
        try:
            async with asyncio.timeout(seconds):
                await self.over.wait()
        except TimeoutError:
            return


async def _end(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


# --- request()


async def ask(life: Life) -> None:
    """Make requests: with and without time-outs, some of them given up."""
    rng = life.rng
    while not (life.over.is_set() or life.ended):
        chance = rng.random()
        if chance < 0.15:
            await _give_up(life)
        elif chance < 0.5:
            await answered(life, rng.uniform(0.005, 0.5))
        else:
            await answered(life)
        if rng.random() < 0.3:
            await life.pause(rng.uniform(0.0, 0.05))


async def answered(life: Life, timeout: float | None = None) -> bool:
    """Make one request; say whether it was answered."""
    order = life.order()
    number, loop = order["n"], asyncio.get_running_loop()
    life.ledger.note(f"request {number} timeout={timeout}")
    life.ledger.counts["requests"] += 1
    started = loop.time()
    limit = HANG_SECONDS if timeout is None else timeout + SLACK_SECONDS
    try:
        output = await life.bounded(life.conn.request(order, timeout=timeout), f"request {number}", limit)
    except falrt.RequestTimeout as exc:
        if timeout is None:
            life.judge(exc, "request", number)
        elif loop.time() - started < timeout * 0.99 - CLOCK_SECONDS:
            life.ledger.broke(
                f"request {number} timed out after {loop.time() - started:.3f} s of {timeout:.3f}"
            )
        life.ledger.counts["request: timed out"] += 1
    except falrt.FalrtError as exc:
        life.judge(exc, "request", number)
    else:
        _check_answer(life, number, output)
        return True
    return False


def _check_answer(life: Life, number: int, output: Any) -> None:
    life.ledger.note(f"answer {number}: {numbers_of(output)}")
    life.ledger.counts["request: answered"] += 1
    if number not in numbers_of(output):
        life.ledger.broke(f"request {number} was given the answer to {numbers_of(output)}")


async def _give_up(life: Life) -> None:
    """Cancel a request; it may have been answered in the last moment."""
    order = life.order()
    number = order["n"]
    life.ledger.counts["requests"] += 1
    asking = asyncio.ensure_future(life.conn.request(order))
    await asyncio.wait([asking], timeout=life.rng.choice((0.0, 0.001, 0.01, 0.1)))
    asking.cancel()
    done, _ = await asyncio.wait([asking], timeout=SLACK_SECONDS)
    if not done:
        life.ledger.broke(f"request {number} cannot be cancelled")
    life.ledger.note(f"request {number} cancelled")
    if asking.cancelled():
        life.ledger.counts["request: cancelled"] += 1
    elif (error := asking.exception()) is None:
        _check_answer(life, number, asking.result())
    elif isinstance(error, falrt.FalrtError):
        life.judge(error, "request", number)
    else:
        raise error


# --- send() and recv()


async def send(life: Life) -> None:
    """Send inputs, flush at times, take some back."""
    rng, conn = life.rng, life.conn
    while not (life.over.is_set() or life.ended):
        await _send_one(life)
        chance = rng.random()
        try:
            if chance < 0.03:
                await life.bounded(conn.flush(), "flush")
            elif chance < 0.05:
                await life.bounded(conn.drain(0.05), "drain", 0.05 + SLACK_SECONDS)
        except falrt.RequestTimeout:
            life.ledger.counts["drain: timed out"] += 1
        except falrt.FalrtError as exc:
            life.judge(exc, "flush or drain")
        await life.pause(rng.choice((0.0, 0.0, 0.002, 0.02)))


async def _send_one(life: Life) -> None:
    order, ledger = life.order(), life.ledger
    number = order["n"]
    ledger.sends[number] = False
    ledger.counts["sends"] += 1
    ledger.note(f"send {number}")
    sending = asyncio.ensure_future(life.conn.send(order))
    if life.rng.random() < 0.05:
        await asyncio.wait([sending], timeout=life.rng.choice((0.0, 0.005)))
        sending.cancel()
    try:
        await life.bounded(sending, f"send {number}")
    except asyncio.CancelledError:
        ledger.note(f"send {number} cancelled")
        ledger.counts["send: cancelled"] += 1
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
    except falrt.FalrtError as exc:
        life.judge(exc, "send", number)
    else:
        ledger.note(f"send {number} returned")
        ledger.sends[number] = True
        ledger.newest_send = max(number, ledger.newest_send or 0)


async def receive(life: Life) -> None:
    """Take results, giving up often; never one twice, never a foreign one."""
    while not (life.ended or (life.closing and life.conn.state is falrt.State.CLOSED)):
        await take_one(life, life.rng.choice((0.001, 0.05, 0.5)))


async def take_one(life: Life, patience: float) -> Any:
    """Wait a while in ``recv()``; return the numbers of the result, or None."""
    receiving = asyncio.ensure_future(life.conn.recv())
    try:
        await asyncio.wait([receiving], timeout=patience)
    finally:
        # A result that came in this very moment is not to be lost: the task then ends with it.
        receiving.cancel()
    done, _ = await asyncio.wait([receiving], timeout=SLACK_SECONDS)
    if not done:
        life.ledger.broke("recv() cannot be cancelled")
    if receiving.cancelled():
        return None
    error = receiving.exception()
    if error is None:
        return _check_result(life, receiving.result())
    if not isinstance(error, falrt.FalrtError):
        raise error
    life.ledger.troubles.append(error)
    life.judge(error, "recv")
    if life.conn.state is falrt.State.CLOSED:
        await asyncio.sleep(0.01)
    return None


def _check_result(life: Life, output: Any) -> list[int]:
    numbers, ledger = numbers_of(output), life.ledger
    ledger.note(f"recv {numbers}")
    ledger.counts["recv: results"] += 1
    if not any(number in ledger.sends for number in numbers):
        ledger.broke(f"recv() gave an answer to {numbers}, which nobody sent with send()")
    if again := ledger.received.intersection(numbers):
        _check_repeat(life, sorted(again))
    ledger.received.update(numbers)
    return numbers


def _check_repeat(life: Life, numbers: list[int]) -> None:
    """An answer came twice: in order only where it could not be known that it had come, and after a loss.

    Where a server drops inputs without a word, or an answer was spoiled, nobody can say which of the unanswered sends
    it was: the newest is asked again.
    """
    app, ledger = life.plan.app, life.ledger
    uncounted = app["buffering"] or app["max_batch_size"] > 1 or "swallowed" in life.plan.excuses
    if not uncounted or not life.conn.stats.reconnects:
        ledger.broke(f"recv() gave the answer to {numbers} twice")
    ledger.counts["recv: asked again, answered twice"] += 1


async def listen(life: Life) -> None:
    """Where nobody sends: errors may come out of ``recv()``, results not."""
    while not (life.ended or (life.closing and life.conn.state is falrt.State.CLOSED)):
        await take_one(life, 0.2)


# --- stream()


async def stream(life: Life) -> None:
    """Stream from sources of every kind; some consumers break out."""
    while not (life.over.is_set() or life.ended):
        frames = life.rng.randint(1, 40)
        await life.bounded(run_stream(life, frames), "stream")
        await life.pause(life.rng.choice((0.0, 0.02)))


async def run_stream(life: Life, frames: int, kind: str | None = None, *, whole: bool = False) -> None:
    """Run one stream.

    Args:
        life: The connection's.
        frames: How many the source has.
        kind: Of source; None: any.
        whole: Let it come to its end, in calm weather: its last frame must be answered.
    """
    rng, ledger = life.rng, life.ledger
    source = _Source(
        life, frames, kind or rng.choice(("live", "every", "asked", "asked later", "pulled", "list"))
    )
    policy = rng.choice((None, None, pacing.Latest(), pacing.Throttle(0.01), pacing.Adaptive()))
    breaks_after = None if whole or rng.random() < 0.6 else rng.randint(1, frames)
    every = source.kind == "every"
    ledger.note(f"stream of {frames} frames, {source.kind}, pacing {policy}, breaks after {breaks_after}")
    ledger.counts[f"streams: {source.kind}"] += 1
    replies = life.conn.stream(source.inputs(), policy, every=every)
    shown: list[int] = []
    answered_by_truth: set[int] = set()
    certain = True
    error: Exception | None = None
    try:
        async for reply in replies:
            shown.append(_check_reply(life, reply))
            answered_by_truth.update(numbers_of(reply.output))
            certain = certain and reply.certain
            if len(shown) == breaks_after:
                break
            if rng.random() < 0.05:
                await asyncio.sleep(rng.uniform(0.0, 0.05))
    except falrt.FalrtError as exc:
        error = exc
        life.judge(exc, "stream")
    finally:
        await life.bounded(replies.aclose(), "stream's aclose", SLACK_SECONDS)
    if source.begun and not source.closed and source.kind not in ("asked", "asked later", "list", "pulled"):
        ledger.broke(f"a {source.kind} source was not closed with its stream")
    if shown != sorted(set(shown)) and (certain or source.kind in ("pulled", "list", "every")):
        ledger.broke(f"a stream's replies are out of order: {shown}")
    ended_by_itself = error is None and breaks_after is None and not life.closing
    if ended_by_itself and not life.ended:
        _check_end(life, source, shown, answered_by_truth, certain=certain, whole=whole)


def _check_reply(life: Life, reply: Any) -> int:
    number, numbers = reply.input["n"], numbers_of(reply.output)
    life.ledger.note(f"reply {number}: {numbers} certain={reply.certain}")
    life.ledger.counts["stream: replies"] += 1
    if number not in numbers:
        if reply.certain:
            life.ledger.broke(f"a certain reply to frame {number} is the answer to {numbers}")
        life.ledger.counts["stream: uncertain and wrong"] += 1
    elif not reply.certain:
        life.ledger.counts["stream: uncertain and right"] += 1
    return int(number)


def _check_end(
    life: Life, source: _Source, shown: list[int], truly: set[int], *, certain: bool, whole: bool
) -> None:
    """The stream ended with its source: the last frame was answered, and where nothing is skipped all were."""
    ledger = life.ledger
    excused = life.plan.excuses & ({"ServerError"} if whole else {"swallowed", "ServerError", "DecodeError"})
    if not source.numbers or excused or ledger.failing:
        return
    if source.kind in ("pulled", "list", "every") and shown != source.numbers:
        ledger.broke(f"a {source.kind} stream skipped {sorted({*source.numbers} - {*shown})}")
    if source.numbers[-1] in truly:
        ledger.counts["stream: last frame answered"] += 1
    elif certain:
        ledger.broke(
            f"the last frame of a {source.kind} stream, {source.numbers[-1]}, was not answered: {shown}"
        )
    else:
        # A server that merges or drops in silence, a frame given up too early, another's answer taken for the last
        # one's: the pairing was uncertain, and the replies said so.
        ledger.counts["stream: last frame's answer taken for another's"] += 1


class _Source:
    """Frames in one of the forms that a stream takes; knows which it gave and whether it was closed."""

    def __init__(self, life: Life, frames: int, kind: str) -> None:
        self.life, self.kind, self.left = life, kind, frames
        self.numbers: list[int] = []
        self.begun = self.closed = False

    def inputs(self) -> Any:
        forms: dict[str, Callable[[], Any]] = {
            "live": self._live,
            "every": self._live,
            "asked": lambda: self._next,
            "asked later": lambda: self._next_later,
            "pulled": self._pulled,
            "list": lambda: [self._frame() for _ in range(self.left)],
        }
        return forms[self.kind]()

    def _frame(self) -> dict[str, Any]:
        order = self.life.order()
        self.numbers.append(order["n"])
        return order

    def _next(self) -> dict[str, Any] | None:
        if not self.left:
            return None
        self.left -= 1
        return self._frame()

    async def _next_later(self) -> dict[str, Any] | None:
        await asyncio.sleep(0.001)
        return self._next()

    async def _live(self) -> AsyncIterator[dict[str, Any]]:
        self.begun = True
        try:
            while (frame := self._next()) is not None:
                yield frame
                await asyncio.sleep(self.life.rng.choice((0.0, 0.002, 0.01)))
        finally:
            self.closed = True

    def _pulled(self) -> Iterator[dict[str, Any]]:
        self.begun = True
        try:
            while (frame := self._next()) is not None:
                yield frame
        finally:
            self.closed = True
