"""Intercepts the calls of a port (a store, a queue, an executor), so that a test can watch, delay, refuse or answer them, or act between.

``Intercepted`` stands in place of a port; ``intercept`` changes one verb of an object, or of a class, that is in use already. Both hand a
``Call`` to a function of the test, which carries it out, or not:

    async def refuse(call: Call) -> object:
        raise StoreDown("away")

    store.around("advance", refuse)

``before`` and ``after`` are for one call: ``store.before("advance", lambda: others.stop_job("t", job_id))``.
"""

import inspect
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

Act = Callable[[], Awaitable[object]]

END = object()


class Died(Exception):
    """The process that made this call has ended: it learns nothing more."""


async def dies() -> None:
    """Ends the process that makes the call."""
    raise Died


@dataclass(frozen=True)
class Call:
    """One call of a verb. A stream's call is answered by its first piece."""

    verb: str
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    real: Callable[..., Awaitable[Any]]

    async def carry(self) -> Any:
        """Carries it out; the port's answer."""
        return await self.real(*self.arguments, **self.named)

    @property
    def name(self) -> str:
        """The verb; for a change of an execution, the name of that change."""
        return str(self.arguments[0].name) if self.verb == "change" else self.verb


Around = Callable[[Call], Awaitable[Any]]


def wrapped(verb: str, real: Callable[..., Any], around: Around) -> Callable[..., Any]:
    """The verb with ``around`` in charge of each call."""
    if inspect.isasyncgenfunction(real):

        async def stream(*arguments: Any, **named: Any) -> AsyncGenerator[Any, None]:
            async with aclosing(real(*arguments, **named)) as pieces:

                async def first(*_: Any, **__: Any) -> Any:
                    return await anext(pieces, END)

                piece = await around(Call(verb, arguments, named, first))
                while piece is not END:
                    yield piece
                    piece = await anext(pieces, END)

        return stream

    async def call(*arguments: Any, **named: Any) -> Any:
        return await around(Call(verb, arguments, named, real))

    call.__name__ = verb
    return call


def intercept(target: Any, verb: str, around: Around) -> None:
    """Puts ``around`` in charge of this verb of an object, or of a class (then the object is each call's first argument)."""
    setattr(target, verb, wrapped(verb, getattr(target, verb), around))


@contextmanager
def intercepted(target: Any, verb: str, around: Around) -> Iterator[None]:
    """As ``intercept``, until the block ends."""
    own, before = verb in vars(target), getattr(target, verb)
    intercept(target, verb, around)
    try:
        yield
    finally:
        if own:
            setattr(target, verb, before)
        else:
            delattr(target, verb)


class Intercepted:
    """Stands before a port. ``every`` is in charge of all calls, and acts and ``around`` of those of their verb within it. What is not a
    coroutine or a stream is the port's own."""

    def __init__(self, port: Any, every: Around = Call.carry) -> None:
        self._port = port
        self._every = every
        self._acts: dict[tuple[str, str], list[Act]] = defaultdict(list)
        self._around: dict[str, Around] = {}

    def before(self, verb: str, act: Act) -> None:
        """Acts just before the next call of the verb, once; several follow one another, one a call."""
        self._acts["before", verb].append(act)

    def after(self, verb: str, act: Act) -> None:
        """Acts once the next call of the verb has done its work, before its caller hears of it."""
        self._acts["after", verb].append(act)

    def around(self, verb: str, hook: Around) -> None:
        """Puts the hook in charge of all further calls of the verb."""
        self._around[verb] = hook

    @property
    def quiet(self) -> bool:
        """Whether all acts have happened."""
        return not any(self._acts.values())

    def __getattr__(self, verb: str) -> Any:
        real = getattr(self._port, verb)
        if not (inspect.iscoroutinefunction(real) or inspect.isasyncgenfunction(real)):
            return real
        return wrapped(verb, real, self._pass)

    async def _pass(self, call: Call) -> Any:
        async def inner() -> Any:
            await self._happen("before", call.verb)
            answer = await self._around.get(call.verb, Call.carry)(call)
            await self._happen("after", call.verb)
            return answer

        return await self._every(Call(call.verb, call.arguments, call.named, lambda *_, **__: inner()))

    async def _happen(self, when: str, verb: str) -> None:
        acts = self._acts[when, verb]
        if acts:
            await acts.pop(0)()


def failing(error: Exception, *, times: int | None = None, carried_out: bool = False) -> Around:
    """A hook that raises the error, at the first ``times`` calls (None: at all); ``carried_out``: only the answer is lost."""
    left = [times]

    async def fail(call: Call) -> Any:
        if left[0] == 0:
            return await call.carry()
        if left[0] is not None:
            left[0] -= 1
        if carried_out:
            await call.carry()
        raise error

    return fail


def keeping(calls: list[Call]) -> Around:
    """A hook that carries each call out and adds it to the list."""

    async def keep(call: Call) -> Any:
        calls.append(call)
        return await call.carry()

    return keep


def answering(answer: Any) -> Around:
    """A hook that gives this answer and carries nothing out."""

    async def give(_call: Call) -> Any:
        return answer

    return give
