from __future__ import annotations

import asyncio

import pytest

from costsvc.app.in_flight import InFlight


async def test_a_caller_gets_the_result_of_its_work():
    """Results and errors pass through, and nothing is left in flight."""
    in_flight = InFlight()

    async def work(fails: bool) -> int:
        if fails:
            raise KeyError("no")
        return 7

    assert await in_flight.run(work(fails=False)) == 7
    with pytest.raises(KeyError):
        await in_flight.run(work(fails=True))
    assert len(in_flight) == 0


async def test_work_goes_on_when_its_caller_is_cancelled():
    """Cancellation reaches the caller at once, and the work never."""
    in_flight, go_on, finished = InFlight(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        finished.set()

    caller = asyncio.ensure_future(in_flight.run(work()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert (len(in_flight), finished.is_set()) == (1, False)
    go_on.set()
    assert await in_flight.drain(5) == 0
    assert finished.is_set()


async def test_draining_gives_up_in_time():
    """What is still running after the time is counted, not cancelled."""
    in_flight, go_on = InFlight(), asyncio.Event()
    task = in_flight.start(go_on.wait())
    assert await in_flight.drain(0.01) == 1
    assert not task.done()
    go_on.set()
    assert await in_flight.drain(5) == 0


async def test_an_error_that_nobody_waits_for_is_no_surprise():
    """The loop does not complain of an exception whose caller has gone."""
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    in_flight = InFlight()

    async def fail() -> None:
        raise KeyError("no")

    in_flight.start(fail())
    await in_flight.drain(5)
    await asyncio.sleep(0)
    assert complaints == []
