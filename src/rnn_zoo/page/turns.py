"""Who is answered next where many ask at once, and what of a request is read at all.

Nobody who asks for little waits for those who ask for much: answers are made in turns of a fraction of a second, and
the next turn is that of the request that has cost least so far. What waits is limited, in number and in time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any

AT_ONCE = 4  # turns at the same time
MOST_WAITING = 100  # requests
LONGEST_WAIT = 60.0  # seconds for a turn
LONGEST_ANSWER = 60.0  # seconds of all turns of a request
TURN = 0.2  # seconds
LARGEST_REQUEST = 1 << 20  # bytes


class Busy(Exception):
    """Too many ask at once."""


@dataclass(order=True)
class Waiting:
    """A request that waits for a turn: the least cost first, then the first to come."""

    cost: float
    number: int
    turn: "asyncio.Future[None]" = field(compare=False)


class Turns:
    """Turns at answering, for the requests of one event loop.

    Args:
        at_once: turns at the same time.
        most_waiting: requests; of more the one that costs most is refused.
        longest_wait: seconds.
    """

    def __init__(self, at_once: int = AT_ONCE, most_waiting: int = MOST_WAITING, longest_wait: float = LONGEST_WAIT):
        self.free = at_once
        self.most_waiting = most_waiting
        self.longest_wait = longest_wait
        self.waiting: list[Waiting] = []
        self.numbers = count()

    async def take(self, cost: float) -> None:
        """Waits for a turn, which `give` ends.

        Raises:
            Busy: if the request waits too long, or too many cost less.
        """
        if self.free:
            self.free -= 1
            return
        mine = Waiting(cost, next(self.numbers), asyncio.get_running_loop().create_future())
        self.waiting.append(mine)
        if len(self.waiting) > self.most_waiting:
            most = max(self.waiting)
            self.waiting.remove(most)
            if most is mine:
                raise Busy
            most.turn.set_exception(Busy())
        try:
            done, _ = await asyncio.wait([mine.turn], timeout=self.longest_wait)
        except asyncio.CancelledError:
            self._leave(mine)
            raise
        if not done:
            self._leave(mine)
            raise Busy
        mine.turn.result()

    def _leave(self, mine: Waiting) -> None:
        """Takes back a request that waits no longer, or its turn if it has just come."""
        if mine in self.waiting:
            self.waiting.remove(mine)
        elif mine.turn.done() and mine.turn.exception() is None:
            self.give()

    def give(self) -> None:
        """Ends a turn; the next one begins."""
        if not self.waiting:
            self.free += 1
            return
        following = min(self.waiting)
        self.waiting.remove(following)
        following.turn.set_result(None)


async def answered(turns: Turns, cost: float, function: Callable[..., Any], *args: Any) -> Any:
    """What a function gives, in one turn and in a thread.

    Raises:
        Busy: see `Turns.take`.
    """
    await turns.take(cost)
    try:
        return await asyncio.to_thread(function, *args)
    finally:
        turns.give()


async def written(
    turns: Turns, cost: float, pieces: Iterator[Any], turn: float = TURN, longest: float = LONGEST_ANSWER
) -> AsyncIterator[Any]:
    """What an iterator gives, in as many turns as it takes; of each turn the last value.

    Raises:
        Busy: see `Turns.take`; also where all turns together were longer than `longest` seconds.
    """
    used = 0.0
    finished = False
    while not finished:
        await turns.take(cost + used)
        began = monotonic()
        try:
            finished, found = await asyncio.to_thread(part_of, pieces, turn)
        finally:
            turns.give()
        used += monotonic() - began
        for value in found:
            yield value
        if used > longest and not finished:
            raise Busy


def part_of(pieces: Iterator[Any], seconds: float) -> tuple[bool, list[Any]]:
    """Takes values for so long; whether they are at an end, and the last one, if there was any."""
    began, found = monotonic(), []
    for value in pieces:
        found = [value]
        if monotonic() - began >= seconds:
            return False, found
    return True, found


class SmallRequests:
    """Refuses uploads, which the page does not need, and requests that are larger than any of its own: ASGI middleware.

    Args:
        app: what answers all others.
        largest: bytes of a request.
    """

    def __init__(self, app: Any, largest: int = LARGEST_REQUEST):
        self.app = app
        self.largest = largest

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if scope["method"] == "POST" and scope["path"].rstrip("/").endswith("/upload"):
            await refuse(send, 403, "no files are taken here")
        elif not length.isdigit() or len(length) > 18 or int(length) > self.largest:
            await refuse(send, 413, f"a request may have {self.largest:,} bytes")
        else:
            await self.app(scope, self._limited(receive), send)

    def _limited(self, receive: Any) -> Any:
        """The same, but that a request without a length that is too large seems to be broken off."""
        size = 0

        async def receive_some() -> dict[str, Any]:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            return message if size <= self.largest else {"type": "http.disconnect"}

        return receive_some


async def refuse(send: Any, status: int, said: str) -> None:
    """Answers a request with a status and a sentence."""
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": said.encode()})
