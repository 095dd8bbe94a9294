"""An event loop whose clock jumps: nothing is ever waited for, and everything happens in the same order each time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Where the loop would wait, time passes."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("everybody waits, and nobody for a clock")
            self.now += max(0.0, timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes when there is nothing else to do. Work for other threads is done in this one, and its result is there
    after `thread_seconds`.
    """

    def __init__(self) -> None:
        self.thread_seconds = 0.0
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def hold_up(self, seconds: float) -> None:
        """Something blocks the loop for so long: time has passed, and nobody was served."""
        self._virtual.now += seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        result: T | None = None
        failure: Exception | None = None
        try:
            result = func(*args)
        except Exception as error:
            failure = error

        def tell() -> None:
            if done.cancelled():
                return
            if failure is not None:
                done.set_exception(failure)
            else:
                done.set_result(result)  # type: ignore[arg-type]

        self.call_later(self.thread_seconds, tell)
        return done


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run `scenario` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario)
