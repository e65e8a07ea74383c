"""When a tape records, how often it answers, and what it leaves behind: entering, leaving, freeing, threads."""

import asyncio
import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import tapejit as tj
from tapejit.errors import TapeError
from tapejit.primitive import current


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = current().tapes
    assert before == ()
    yield
    assert current().tapes == ()


def number(value: Any) -> float:
    return float(value.numpy())


# Freed and persistent tapes


@pytest.mark.parametrize("again", ["gradient", "jacobian", "batch_jacobian"])
def test_a_second_gradient_is_an_error_that_says_persistent(again: str) -> None:
    x = tj.Variable([3.0])
    with tj.GradientTape() as tape:
        y = x * x
    tape.gradient(y, x)
    with pytest.raises(RuntimeError, match=rf"GradientTape\.{again}: .*freed .*persistent=True.*test_lifetime"):
        getattr(tape, again)(y, x)


def test_a_persistent_tape_gives_as_many_as_are_asked_for() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape(persistent=True) as tape:
        y = x * x
        z = y * y
    assert [number(tape.gradient(t, x)) for t in (y, z, y, z)] == [6.0, 108.0, 6.0, 108.0]
    assert number(tape.gradient(z, y)) == 18.0


def test_watching_with_a_freed_tape_is_an_error_until_it_is_entered_again() -> None:
    x = tj.constant(3.0)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    tape.gradient(y, x)
    with pytest.raises(TapeError, match="watch: the tape's records were freed; enter it again"):
        tape.watch(x)
    with tape:
        tape.watch(x)
        y = x * 5
    assert number(tape.gradient(y, x)) == 5.0


# Gradients inside of the block


def test_gradient_inside_of_the_block_ends_the_recording_of_a_tape_that_is_not_persistent() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = x * x
        ct = tape.gradient(y, x)
        assert current().tapes == ()
        z = x * 5
        with pytest.raises(RuntimeError, match="persistent=True"):
            tape.gradient(z, x)
    assert number(ct) == 6.0


def test_gradient_inside_of_a_persistent_tape_is_recorded() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape(persistent=True) as tape:
        y = x * x * x
        first = tape.gradient(y, x)
        second = tape.gradient(first, x)
    third = tape.gradient(second, x)
    assert [number(ct) for ct in (first, second, third)] == [27.0, 18.0, 6.0]
    assert tape.gradient(third, x) is None, "computed outside"


# Entering again


def test_a_tape_may_be_entered_again_and_goes_on_recording() -> None:
    x = tj.Variable(3.0)
    tape = tj.GradientTape()
    with tape:
        y = x * x
    y2 = y * 7  # not heard
    with tape:
        z = y * x
    assert tape.gradient(y2, x) is None
    tape = tj.GradientTape()
    with tape:
        y = x * x
    with tape:
        z = y * x
    assert number(tape.gradient(z, x)) == 27.0


def test_what_was_watched_stays_watched_when_a_tape_is_entered_again() -> None:
    x = tj.constant(3.0)
    tape = tj.GradientTape()
    with tape:
        tape.watch(x)
    with tape:
        y = x * x
    assert number(tape.gradient(y, x)) == 6.0


def test_a_freed_tape_may_be_entered_again_and_begins_afresh() -> None:
    v, w = tj.Variable(3.0), tj.Variable(2.0)
    tape = tj.GradientTape()
    with tape:
        y = v * v
    assert number(tape.gradient(y, v)) == 6.0
    with tape:
        z = w * w + y
    assert tape.watched_variables() == (w,)
    gradients = tape.gradient(z, [v, w])
    assert gradients[0] is None
    assert number(gradients[1]) == 4.0


def test_entering_a_tape_while_it_is_active_is_an_error() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = x * x
        with pytest.raises(ValueError, match=r"recording already.*test_lifetime"), tape:
            pass
        z = y * x
    assert number(tape.gradient(z, x)) == 27.0


# Exceptions


class LostError(Exception):
    pass


def test_an_exception_inside_of_the_block_leaves_no_state_behind() -> None:
    x = tj.Variable(3.0)
    tape = tj.GradientTape()
    results = []

    def fail() -> None:
        with tape:
            results.append(x * x)
            raise LostError

    with pytest.raises(LostError):
        fail()
    assert current().tapes == ()
    assert number(tape.gradient(results[0], x)) == 6.0


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_exception_inside_of_nested_tapes_leaves_no_state_behind(depth: int) -> None:
    def nested(level: int) -> None:
        with tj.GradientTape():
            if level == 1:
                raise LostError
            nested(level - 1)

    with pytest.raises(LostError):
        nested(depth)
    assert current().tapes == ()


def test_an_operation_that_fails_leaves_the_tape_as_it_was() -> None:
    x = tj.Variable([1.0, 2.0])
    with tj.GradientTape() as tape:
        y = x * x
        with pytest.raises(ValueError, match="broadcast"):
            y + tj.ones(3)
        z = y * y
    assert tape.gradient(z, x).numpy().tolist() == [4.0, 32.0]


def test_an_exception_while_the_recording_is_stopped() -> None:
    tape = tj.GradientTape()
    with pytest.raises(LostError), tape, tape.stop_recording():
        raise LostError
    assert current().tapes == ()


# stop_recording and reset


def test_stop_recording() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = x * x
        with tape.stop_recording():
            hidden = y * 10
        z = y + hidden
    assert number(tape.gradient(z, x)) == 6.0


def test_stop_recording_stops_only_this_tape() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as outer, tj.GradientTape() as inner:
        with outer.stop_recording():
            y = x * x
        z = y * 2 + x
    assert number(outer.gradient(z, x)) == 1.0
    assert number(inner.gradient(z, x)) == 13.0


def test_a_variable_read_while_the_recording_is_stopped_is_not_watched() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as tape, tape.stop_recording():
        x * x
    assert tape.watched_variables() == ()


def test_gradient_while_the_recording_is_stopped() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = x * x
        with tape.stop_recording():
            ct = tape.gradient(y, x)
        assert current().tapes == (), "a freed tape does not go on"
    assert number(ct) == 6.0


def test_gradient_of_a_persistent_tape_while_the_recording_is_stopped_is_not_recorded() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape(persistent=True) as tape:
        y = x * x
        with tape.stop_recording():
            ct = tape.gradient(y, x)
        z = ct * x
    assert number(tape.gradient(z, x)) == 6.0


def test_a_tape_may_be_entered_while_its_recording_is_stopped() -> None:
    x = tj.Variable(3.0)
    tape = tj.GradientTape()
    with tape:
        with tape.stop_recording():
            hidden = x * 100
            with tape:
                y = x * x
        z = y + hidden
    assert number(tape.gradient(z, x)) == 6.0


def test_stop_recording_of_a_tape_that_is_not_active_is_an_error() -> None:
    with (
        pytest.raises(TapeError, match="stop_recording: the tape is not recording"),
        tj.GradientTape().stop_recording(),
    ):
        pass


def test_reset_forgets_what_was_recorded_and_watched() -> None:
    x, c = tj.Variable(3.0), tj.constant(2.0)
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(c)
        y = x * x
        tape.reset()
        assert tape.watched_variables() == ()
        z = y * x * c
    assert number(tape.gradient(z, x)) == 18.0
    assert tape.gradient(z, c) is None
    assert tape.gradient(y, x) is None


def test_reset_makes_a_freed_tape_useful_again() -> None:
    x = tj.Variable(3.0)
    tape = tj.GradientTape()
    with tape:
        y = x * x
    tape.gradient(y, x)
    tape.reset()
    assert current().tapes == ()
    assert tape.gradient(y, x) is None
    with tape:
        y = x * x
    assert number(tape.gradient(y, x)) == 6.0


# Nested tapes


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_nested_tapes(depth: int) -> None:
    x = tj.constant(0.7, dtype="float64")

    def derivative(order: int) -> Any:
        if not order:
            return tj.sin(x)
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = derivative(order - 1)
        return tape.gradient(y, x)

    assert number(derivative(depth)) == pytest.approx(math.sin(0.7 + depth * math.pi / 2), rel=1e-14)


def test_an_inner_gradient_taken_inside_of_the_outer_tape() -> None:
    x = tj.Variable(1.0)
    with tj.GradientTape() as outer:
        with tj.GradientTape() as inner:
            y = x * x * x
        dy = inner.gradient(y, x)
    assert number(outer.gradient(dy, x)) == 6.0


def test_an_inner_gradient_taken_outside_of_the_outer_tape_is_not_connected() -> None:
    x = tj.Variable(1.0)
    with tj.GradientTape() as outer, tj.GradientTape() as inner:
        y = x * x * x
    dy = inner.gradient(y, x)
    assert outer.gradient(dy, x) is None


def test_nested_persistent_tapes() -> None:
    x = tj.Variable(2.0)
    with tj.GradientTape(persistent=True) as outer:
        with tj.GradientTape(persistent=True) as inner:
            y = x * x * x
            z = y * x
        dy, dz = inner.gradient(y, x), inner.gradient(z, x)
    assert [number(outer.gradient(t, x)) for t in (dy, dz, y, z)] == [12.0, 48.0, 12.0, 32.0]
    assert [number(inner.gradient(t, x)) for t in (z, y)] == [32.0, 12.0]


def test_siblings_inside_of_one_tape() -> None:
    x = tj.Variable(2.0)
    with tj.GradientTape() as outer:
        with tj.GradientTape() as first:
            y = x * x
        dy = first.gradient(y, x)
        with tj.GradientTape() as second:
            z = dy * x * x
        dz = second.gradient(z, [x, dy])
    assert dz[1] is None, "to the second tape it is a constant"
    assert number(dz[0]) == 16.0
    assert number(outer.gradient(dz[0], x)) == 16.0, "d/dx of 2 x dy, with dy = 2 x"


def test_mixed_derivatives() -> None:
    x, y = tj.Variable(2.0), tj.Variable(3.0)
    with tj.GradientTape() as outer:
        with tj.GradientTape() as inner:
            z = x * x * y * y * y
        dx = inner.gradient(z, x)
    assert [number(ct) for ct in outer.gradient(dx, [x, y])] == [54.0, 108.0]


def test_tapes_left_in_another_order_than_they_were_entered() -> None:
    x = tj.Variable(3.0)
    first, second = tj.GradientTape(), tj.GradientTape()
    first.__enter__()
    second.__enter__()
    y = x * x
    first.__exit__(None, None, None)
    z = y * x
    second.__exit__(None, None, None)
    assert first.gradient(z, x) is None
    assert number(second.gradient(z, x)) == 27.0


def test_generators_with_a_tape_each() -> None:
    x = tj.Variable(3.0)

    def powers() -> Iterator[Any]:
        with tj.GradientTape() as tape:
            y = x.read_value()
            for _ in range(3):
                yield None
                y = y * x
        yield tape.gradient(y, x)

    first, second = powers(), powers()
    for _ in range(3):
        next(first)
        next(second)
    assert number(next(first)) == 108.0
    assert number(next(second)) == 108.0


# Threads and tasks


def in_thread(function: Any) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_a_tape_hears_only_its_own_thread() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = in_thread(lambda: x * x)
        z = y + x
    assert number(tape.gradient(z, x)) == 1.0


def test_threads_have_tapes_of_their_own() -> None:
    x = tj.Variable(3.0)
    barrier = threading.Barrier(4)
    results: dict[int, float] = {}

    def run(power: int) -> None:
        with tj.GradientTape() as tape:
            y = x.read_value()
            for _ in range(power):
                barrier.wait()
                y = y * x
            for _ in range(4 - power):
                barrier.wait()
        results[power] = number(tape.gradient(y, x))

    threads = [threading.Thread(target=run, args=(power,)) for power in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {power: (power + 1) * 3.0**power for power in range(1, 5)}


def test_another_thread_may_ask_for_the_gradient() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = x * x
    assert number(in_thread(lambda: tape.gradient(y, x))) == 6.0


def test_another_thread_may_ask_while_the_tape_is_active() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = x * x
        assert number(in_thread(lambda: tape.gradient(y, x))) == 6.0
    assert current().tapes == ()


def test_tasks_have_tapes_of_their_own() -> None:
    w = tj.Variable(3.0)

    async def one(factor: int) -> float:
        with tj.GradientTape() as tape:
            y = w * factor
            await asyncio.sleep(0.001 * (5 - factor))
            y = y * w
        return number(tape.gradient(y, w))

    async def main() -> list[float]:
        return await asyncio.gather(*[one(factor) for factor in range(1, 5)])

    assert asyncio.run(main()) == [6.0, 12.0, 18.0, 24.0]
