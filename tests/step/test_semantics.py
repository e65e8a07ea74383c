"""A compiled step does what its function does: programs that read Python in unusual ways, eagerly and compiled.

Each program is a function that is given a way to make a step (compiled, or the same step's `eager`), calls it with
changes in between, and returns what came out.
"""

import collections
import contextlib
import contextvars
import copy
import dataclasses
import datetime as dt
import functools
import itertools
import math
import operator
import os
import pickle
import random
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import CompileError, DtypeError, TapejitError, TapejitWarning
from tapejit.kernel.kernels import compilations

X = np.array([1.0, 2.0, 3.0])
Wrap = Callable[..., Any]
limit = 1
PROGRAMS: dict[str, Callable[[Wrap], list[Any]]] = {}


def strict(function: Any) -> Any:
    return tj.compile(function, strict=True)


def program(function: Callable[[Wrap], list[Any]]) -> Callable[[Wrap], list[Any]]:
    PROGRAMS[function.__name__] = function
    return function


def plain(value: Any) -> Any:
    """A result as something that compares: with types, dtypes and shapes."""
    if isinstance(value, (tj.Tensor, tj.Variable, np.ndarray, np.generic)):
        array = np.asarray(value.numpy() if isinstance(value, (tj.Tensor, tj.Variable)) else value)
        return "array", array.dtype.name, array.shape, np.round(array.astype(float), 9).tolist()
    if isinstance(value, dict):
        return type(value).__name__, [(key, plain(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(item) for item in value]
    return type(value).__name__, repr(value)


# What is read by name


@program
def numbers_in_an_array_of_the_users(wrap: Wrap) -> list[Any]:
    table = np.array([1.0, 2.0])
    step = wrap(lambda x: x * table[0])
    results = [step(X)]
    table[0] = 5.0
    return [*results, step(X)]


@program
def numpy_computes_with_an_array(wrap: Wrap) -> list[Any]:
    table = np.array([1.0, 2.0, 3.0])
    step = wrap(lambda x: x * (table * 2))
    results = [step(X)]
    table[0] = 5.0
    return [*results, step(X)]


@program
def python_looks_at_an_array(wrap: Wrap) -> list[Any]:
    table = {"limits": [np.array([1.0, 2.0, 3.0])]}

    def step(x: Any) -> Any:
        return x * 2 if table["limits"][0].max() > 4 else x

    step = wrap(step)
    results = [step(X)]
    table["limits"][0][0] = 5.0
    return [*results, step(X)]


@program
def a_loop_over_an_array(wrap: Wrap) -> list[Any]:
    factors = np.array([1.0, 2.0])

    def step(x: Any) -> Any:
        for factor in factors:
            x = x * factor
        return x * float(factors[0])

    step = wrap(step)
    results = [step(X)]
    factors[0] = 5.0
    return [*results, step(X)]


@program
def a_mask_of_the_users(wrap: Wrap) -> list[Any]:
    mask = np.array([True, False, True])
    step = wrap(lambda x: tj.sum(x[mask]))
    results = [step(X)]
    mask[1] = True
    return [*results, step(X)]


class Settings:
    low = 1.0

    def __init__(self) -> None:
        self.high = 2.0


@program
def attributes_by_names_that_are_computed(wrap: Wrap) -> list[Any]:
    settings, several = Settings(), [Settings(), Settings()]

    def step(x: Any) -> Any:
        for name in ("low", "high"):
            x = x * getattr(settings, name)
            for one in several:
                x = x + getattr(one, name)
        return x

    step = wrap(step)
    results = [step(X)]
    settings.high = 5.0
    results.append(step(X))
    several[1].high = 7.0
    results.append(step(X))
    Settings.low = 3.0
    results.append(step(X))
    Settings.low = 1.0
    return results


@program
def vars_and_attrgetter(wrap: Wrap) -> list[Any]:
    settings = Settings()
    get = operator.attrgetter("high")
    step = wrap(lambda x: x * vars(settings)["high"] + get(settings) + sum(vars(settings).values()))
    results = [step(X)]
    settings.high = 5.0
    return [*results, step(X)]


@dataclasses.dataclass
class Rates:
    first: float = 1.0
    second: float = 2.0


@program
def objects_that_a_package_looks_into(wrap: Wrap) -> list[Any]:
    rates, layers = Rates(), collections.ChainMap({}, {"rate": 1.0})
    os.environ["TAPEJIT_TEST_RATE"] = "2.0"
    step = wrap(
        lambda x: x * dataclasses.asdict(rates)["second"] + layers["rate"] + float(os.environ["TAPEJIT_TEST_RATE"])
    )
    results = [step(X)]
    rates.second = 5.0
    results.append(step(X))
    layers.maps[1]["rate"] = 7.0
    results.append(step(X))
    os.environ["TAPEJIT_TEST_RATE"] = "3.0"
    results.append(step(X))
    del os.environ["TAPEJIT_TEST_RATE"]
    return results


@program
def a_dict_with_a_default(wrap: Wrap) -> list[Any]:
    rates: dict[str, float] = collections.defaultdict(lambda: 1.0)
    step = wrap(lambda x: x * rates["rate"])
    results = [step(X)]
    rates["rate"] = 3.0
    results.append(step(X))
    del rates["rate"]
    return [*results, step(X), dict(rates)]


@program
def a_property_that_is_replaced(wrap: Wrap) -> list[Any]:
    class Schedule:
        rate = property(lambda self: 1.0)

    schedule = Schedule()
    step = wrap(lambda x: x * schedule.rate)
    results = [step(X)]
    Schedule.rate = property(lambda self: 4.0)
    return [*results, step(X)]


@program
def a_step_in_a_class_that_is_replaced(wrap: Wrap) -> list[Any]:
    class Holder:
        inner = tj.compile(lambda x: x * 2)

    outer = wrap(lambda x: Holder.inner(x) + 1)
    results = [outer(X)]
    Holder.inner = tj.compile(lambda x: x * 3)
    return [*results, outer(X)]


@program
def the_default_precision(wrap: Wrap) -> list[Any]:
    step = wrap(lambda x, values: tj.zeros(3) + x + values)
    results = [step(2.0, [1.0, 2.0, 3.0])]
    with tj.using_floatx("float64"):
        results += [step(2.0, [1.0, 2.0, 3.0]), step(2.0, [1.0, 2.0, 3.0])]
    return [*results, step(2.0, [1.0, 2.0, 3.0])]


@program
def containers_of_all_kinds(wrap: Wrap) -> list[Any]:
    pair = collections.namedtuple("pair", "a b")
    holder = types.SimpleNamespace(pair=pair(1.0, 2.0), rates=[1.0, 2.0, 3.0], seen={1.0, 2.0})

    def step(x: Any) -> Any:
        for rate in holder.rates[1:]:
            x = x * rate
        return x * holder.pair.a + sum(holder.seen) + len(holder.rates) + max(holder.rates)

    step = wrap(step)
    results = [step(X)]
    holder.pair = pair(3.0, 2.0)
    results.append(step(X))
    holder.rates.append(4.0)
    results.append(step(X))
    holder.seen.add(10.0)
    return [*results, step(X)]


@program
def names_that_come_and_go(wrap: Wrap) -> list[Any]:
    holder, table = types.SimpleNamespace(), {}

    def step(x: Any) -> Any:
        try:
            x = x * table["rate"]
        except KeyError:
            x = -x
        return x + table.get("shift", 0.5) + (holder.more if hasattr(holder, "more") else 0.0)

    step = wrap(step)
    results = [step(X)]
    for change in (
        lambda: table.update(rate=2.0),
        lambda: table.update(shift=3.0),
        lambda: setattr(holder, "more", 10.0),
        table.clear,
        lambda: delattr(holder, "more"),
    ):
        change()
        results.append(step(X))
    return results


@program
def functions_of_all_kinds(wrap: Wrap) -> list[Any]:
    scale = {"v": 2.0}

    def decorated(function: Any) -> Any:
        @functools.wraps(function)
        def inner(*args: Any) -> Any:
            return function(*args) * scale["v"]

        return inner

    @contextlib.contextmanager
    def shifted() -> Any:
        yield scale["v"]

    def generated() -> Any:
        yield from (1.0, scale["v"])

    holder = types.SimpleNamespace(
        functions=[decorated(lambda x: x + 1), functools.partial(lambda rate, x: rate * x, 3.0)],
        default=lambda x, rate=2.0, *, more=1.0: x * rate + more,
    )

    def step(x: Any) -> Any:
        for function in holder.functions:
            x = function(x)
        with shifted() as shift:
            x = x + shift
        return holder.default(x) * sum(factor for factor in generated())

    step = wrap(step)
    results = [step(X)]
    scale["v"] = 5.0
    results.append(step(X))
    holder.functions[1] = functools.partial(lambda rate, x: rate * x, 4.0)
    results.append(step(X))
    holder.default.__defaults__ = (7.0,)
    holder.default.__kwdefaults__["more"] = 9.0
    return [*results, step(X)]


# Arguments


@program
def ints_alone_vary(wrap: Wrap) -> list[Any]:
    step = wrap(lambda i, j: i * 2 + j)
    return [step(i, i + 1) for i in range(4)]


@program
def equal_is_not_the_same(wrap: Wrap) -> list[Any]:
    frozen = dataclasses.make_dataclass("frozen", ["rate"], frozen=True)
    step = wrap(lambda x, pair, one: x * pair[0] * one.rate)
    ints = np.array([1, 2])
    return [
        step(ints, pair, frozen(rate))
        for pair, rate in itertools.product([(1, 0), (True, False), (1.0, 0.0)], [1, 1.0, True])
    ]


@program
def signs_and_nan_of_a_number_that_python_needed(wrap: Wrap) -> list[Any]:
    step = wrap(lambda x, rate: x * rate if rate == 0 else x)
    return [step(X, rate) for rate in (0.0, -0.0, math.nan, math.nan, 0.0)]


@program
def a_number_that_python_needed_and_then_an_array(wrap: Wrap) -> list[Any]:
    step = wrap(lambda x, n: tj.reshape(x, (n, -1)) if isinstance(n, int) else x * n)
    return [step(X, 3), step(X, np.array(2.0)), step(X, 1), step(X, np.float64(2.0))]


@program
def sets_as_arguments(wrap: Wrap) -> list[Any]:
    step = wrap(lambda x, values: x * sum(values))
    values = {1.0}
    results = [step(X, values)]
    values.add(5.0)
    return [*results, step(X, values), step(X, {1.0, 5.0}), step(np.array([1, 2]), {1}), step(np.array([1, 2]), {1.0})]


@program
def an_object_as_an_argument_that_changes(wrap: Wrap) -> list[Any]:
    step = wrap(lambda x, rates, last: x * rates.first + sum(last))
    rates, last = Rates(), collections.deque([1.0])
    results = [step(X, rates, last)]
    rates.first = 3.0
    results.append(step(X, rates, last))
    last.append(5.0)
    return [*results, step(X, rates, last)]


@program
def arrays_and_lists_are_tensors_in_every_mode(wrap: Wrap) -> list[Any]:
    def step(x: Any, values: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch([x, values])
            y = tj.sum(x * x * values)
        return tape.gradient(y, [x, values]), isinstance(x, tj.Tensor), values * 2

    return [wrap(step)(X, [1.0, 2.0, 3.0])]


@program
def a_step_inside_a_step_gets_lists_too(wrap: Wrap) -> list[Any]:
    inner = tj.compile(lambda x, values: values * 2 + x)
    return [wrap(lambda x: inner(x, [1.0, 2.0, 3.0]) + inner(x, np.array([1.0, 2.0, 3.0])))(X)]


NUMBERS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "round": (lambda x, n: x * round(n), (2.6, 3.4)),
    "trunc": (lambda x, n: x * (math.trunc(n) + math.floor(n) + math.ceil(n)), (2.6, -3.4)),
    "sqrt": (lambda x, n: x * math.sqrt(n), (4, 9.0, 16)),
    "float": (lambda x, n: x * float(n), (2, 3)),
    "int": (lambda x, n: x * int(n), (2.7, 3)),
    "complex": (lambda x, n: x * abs(complex(n)), (2, -3.0)),
    "format": (lambda x, n: {f"layer{n}": x, f"{n:04d}": -x, str(n): x + 1}, (2, 3)),
    "look-up": (lambda x, n: x * {1: 10.0, 2: 20.0}[n], (1, 2)),
    "membership": (lambda x, n: x * (2 if n in {1, 2} else 3), (1, 5)),
    "isinstance": (lambda x, n: x * (2 if isinstance(n, int) else 3), (1, 2.0)),
    "divmod": (lambda x, n: (divmod(n, 3), divmod(20, n)), (7, 8.5)),
    "shift": (lambda x, n: (n << 2, n >> 1, 1 << n, n & 3, n | 8, n ^ 1, ~n), (7, 2)),
    "powers": (lambda x, n: (n**-1, 2**n, n**0.5, n**2), (4, 3)),
    "methods": (lambda x, n: x * n.bit_length(), (7, 8)),
    "attributes": (lambda x, n: x * (1 if n.is_integer() else n.real), (7.0, 7.5)),
    "ufunc": (lambda x, n: (np.sqrt(n) * np.float32(1), np.multiply(x, n), np.maximum(n, 3)), (4, 2.0)),
    "index": (lambda x, n: (x[n], [10.0, 20.0, 30.0][n], x[:n]), (0, 2, -1)),
    "chained": (lambda x, n: x if 0 < n < 5 else -x, (2, 7, 3.3)),
    "loop": (lambda x, n: [x * i for i in range(n)], (2, 3)),
    "extremes": (lambda x, n: x * max(n, 3) * min(n, 5), (2, 7)),
    "linspace": (lambda x, n: (tj.linspace(0.0, n, 5), tj.linspace(n, 9, 3, dtype="float64")), (2, 3.0)),
    "creation": (
        lambda x, n: (tj.full((2,), n), tj.asarray([n, 1, 2]), tj.asarray(n, "float32"), tj.arange(n)),
        (2, 3.5),
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_does_what_pythons_does(name: str) -> None:
    function, numbers = NUMBERS[name]
    step = strict(function)
    for number in numbers:
        assert plain(step(X, number)) == plain(step.eager(X, number))


@pytest.mark.parametrize("function", [lambda x: x - 300, lambda x: x * -limit, lambda x: tj.full_like(x, -1)])
def test_a_number_that_does_not_fit_is_an_error_in_every_mode(function: Any) -> None:
    step = strict(function)
    for run in (step, step.eager):
        with pytest.raises(OverflowError, match=r"out of bounds for uint8.*test_semantics\.py"):
            run(np.uint8([1]))


def test_an_index_that_varies_costs_no_trace() -> None:
    step = strict(lambda x, n: x[n] * 2)
    assert [float(step(X, n)) for n in (0, 1, 2, -1)] == [2.0, 4.0, 6.0, 6.0]
    assert step.report()["traces"] == 1


def test_ints_as_the_only_arguments_are_inputs() -> None:
    step = strict(lambda i, j: i * 2.0 + j)
    assert [step(i, 1) for i in range(12)] == [i * 2.0 + 1 for i in range(12)]
    assert step.report()["traces"] == 1
    assert "i: int64[]" in step.explain()


def test_a_number_may_be_assigned_to_a_variable_of_another_dtype() -> None:
    w = tj.Variable(0.0)
    step = strict(w.assign_add)
    step(2)
    step(3.5)
    assert float(w) == 5.5
    count = tj.Variable(0)
    with pytest.raises(DtypeError, match="the value float32"):
        strict(count.assign)(1.5)


def test_a_number_is_no_source_of_a_gradient() -> None:
    def step(rate: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(rate)
        return rate

    for function in (strict(step), strict(step).eager):
        with pytest.raises(DtypeError, match=r"got float; make one with tj\.constant"):
            function(3.0)


# What Python asked for in vain


@program
def a_refusal_that_the_program_catches(wrap: Wrap) -> list[Any]:
    seen = []

    def step(x: Any, n: Any) -> Any:
        with contextlib.suppress(Exception):
            seen.append(float(tj.sum(x)))
        try:
            count = len(range(n))
        except TypeError:
            count = -1
        return x * count

    step = wrap(step)
    return [step(X, 3), step(X, 2), seen]


# State that Python keeps


class Counter:
    def __init__(self) -> None:
        self.t = 0
        self.calls = 0
        self.state: Any = tj.zeros(3, "float64")
        self.average: Any = 0.0
        self.cache: Any = None
        self.size: Any = None

    def count(self, x: Any) -> Any:
        self.t += 1
        return x / self.t

    def remember(self, x: Any) -> Any:
        self.state = 0.5 * self.state + x
        return self.state

    def mean(self, x: Any) -> Any:
        self.average = 0.5 * self.average + tj.sum(x)
        return self.average

    def keep(self, x: Any) -> Any:
        self.cache = x * 2
        return self.cache + 1

    def look(self, x: Any) -> Any:
        self.calls += 1
        if self.size is None:
            self.size = x.shape[0]
        return x / self.size


@program
def a_counter(wrap: Wrap) -> list[Any]:
    counter = Counter()
    step = wrap(counter.count)
    return [step(X), step(X), step(X), counter.t]


@program
def a_state_in_an_attribute(wrap: Wrap) -> list[Any]:
    counter = Counter()
    remember, mean = wrap(counter.remember), wrap(counter.mean)
    return [remember(X), remember(X), remember(X), mean(X), mean(X), counter.state, counter.average]


@program
def a_state_that_is_changed_in_other_ways(wrap: Wrap) -> list[Any]:
    counter, table, array, total = Counter(), {"n": 0}, np.zeros(2), np.zeros(3)

    def by_setattr(x: Any) -> Any:
        setattr(counter, "t", counter.t + 1)  # noqa: B010
        return x * counter.t

    def by_update(x: Any) -> Any:
        table.update(n=table["n"] + 1)
        return x * table["n"]

    def in_an_array(x: Any) -> Any:
        array[1] += 1
        return x * array[1]

    def in_place(x: Any) -> Any:
        np.add(total, 1, out=total)
        return x * total

    steps = list(map(wrap, (by_setattr, by_update, in_an_array, in_place)))
    return [[step(X), step(X)] for step in steps] + [counter.t, table, array, total]


@program
def a_buffer_that_numpy_fills_anew(wrap: Wrap) -> list[Any]:
    source, buffer = np.array([1.0, 2.0, 3.0]), np.zeros(3)

    def step(x: Any) -> Any:
        np.multiply(source, 2, out=buffer)
        return x * buffer

    step = wrap(step)
    results = [step(X), step(X)]
    source[0] = 5.0
    return [*results, step(X)]


@program
def a_context_variable(wrap: Wrap) -> list[Any]:
    rate: contextvars.ContextVar[Any] = contextvars.ContextVar("rate")
    step = wrap(lambda x: x * rate.get(1.0))
    results = [step(X)]
    token = rate.set(3.0)
    results.append(step(X))
    rate.reset(token)
    return [*results, step(X)]


@program
def a_counter_in_a_cell_and_a_dict(wrap: Wrap) -> list[Any]:
    count, table = 0, {"n": 0}

    def step(x: Any) -> Any:
        nonlocal count
        count = count + 1
        table["n"] += 2
        return x * count + table["n"]

    step = wrap(step)
    return [step(X), step(X), count, table]


def _appends_and_counts(x: Any, kept: list[Any]) -> Any:
    kept.append(1.0)
    return x * len(kept)


def _goes_on_from_the_last(x: Any, kept: list[Any]) -> Any:
    kept.append(kept[-1] * 2 if kept else 1.0)
    return x * kept[-1]


def _warms_up(x: Any, kept: list[Any]) -> Any:
    kept.append("a call")
    return x * (1.0 if len(kept) < 3 else 0.1)


def _sums(x: Any, kept: list[Any]) -> Any:
    kept += [2.0]
    return x * sum(kept)


def _inside_another(x: Any, kept: list[Any]) -> Any:
    if not kept:
        kept.append([])
    for part in kept:
        part.append(3.0)
    return x * len(kept[0])


FILLED = [_appends_and_counts, _goes_on_from_the_last, _warms_up, _sums, _inside_another]


@program
def a_list_that_the_step_fills(wrap: Wrap) -> list[Any]:
    def run(function: Any) -> Any:
        kept: list[Any] = []
        step = wrap(lambda x: function(x, kept))
        return [step(X), step(X), step(X), kept]

    return list(map(run, FILLED))


@program
def other_containers_that_the_step_fills(wrap: Wrap) -> list[Any]:
    numbers, table, last, default = {1}, {}, collections.deque([1.0, 2.0], maxlen=2), []
    lists, count = collections.defaultdict(list), collections.Counter()

    def in_a_set(x: Any) -> Any:
        numbers.add(len(numbers) + 1)
        return x * len(numbers)

    def in_a_dict(x: Any) -> Any:
        key = f"k{len(table)}"
        table[key] = 1
        return x * len(table)

    def in_a_deque(x: Any) -> Any:
        last.append(sum(last))
        return x * last[-1]

    def in_a_default(x: Any, kept: list[float] = default) -> Any:
        kept.append(1.5)
        return x * sum(kept)

    def in_a_key_that_is_made(x: Any) -> Any:
        lists["a"].append(1.0)
        return x * len(lists["a"])

    def in_a_counter(x: Any) -> Any:
        count.update(["n"])
        return x * count["n"]

    steps = list(map(wrap, (in_a_set, in_a_dict, in_a_deque, in_a_default, in_a_key_that_is_made, in_a_counter)))
    return [[step(X), step(X), step(X)] for step in steps] + [len(numbers), table, list(last), default, lists, count]


@pytest.mark.parametrize("function", FILLED)
def test_a_container_that_the_step_fills_and_reads_is_refused(function: Any) -> None:
    kept: list[Any] = []
    step = strict(lambda x: function(x, kept))
    with pytest.raises(CompileError, match="it changes what it reads"):
        step(X)
    assert kept == []


@pytest.mark.parametrize("make", [list, set, dict, collections.deque])
def test_what_is_only_put_into_a_container_compiles(make: Any) -> None:
    kept, name = make(), "loss"

    def step(x: Any) -> Any:
        if make is set:
            kept.add(name)
        elif make is dict:
            kept[name] = 1.0
        else:
            kept.append(name)
        return x * 2

    step = strict(step)
    for _ in range(3):
        np.testing.assert_array_equal(step(X).numpy(), X * 2)
    assert step.report()["traces"] == len(kept) == 1


def test_an_exception_keeps_what_the_step_noted() -> None:
    log: list[str] = []

    def step(x: Any) -> Any:
        log.append("called")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        strict(step)(X)
    assert log == ["called"]


@program
def a_flag_that_the_first_call_sets(wrap: Wrap) -> list[Any]:
    flag, notes = types.SimpleNamespace(previous=None, kept=None), []

    def plain_value(x: Any) -> Any:
        result = x * 2 if flag.previous is None else x * 3
        flag.previous = 1
        return result

    def tensor(x: Any) -> Any:
        result = x * 2 if flag.kept is None else x * 3
        flag.kept = tj.constant(1.0)
        return result

    def once(x: Any) -> Any:
        if "factor" not in table:
            table["factor"] = float(x.shape[0])
            notes.append("made")
        return x * table["factor"]

    table: dict[str, float] = {}
    return [[step(X), step(X), step(X)] for step in map(wrap, (plain_value, tensor, once))] + [notes, flag.previous]


def test_the_first_call_runs_eagerly_if_it_assigned_what_it_read() -> None:
    flag = types.SimpleNamespace(previous=None)

    def step(x: Any) -> Any:
        result = x * 2 if flag.previous is None else x * 3
        flag.previous = 1
        return result

    step = strict(step)
    with pytest.raises(CompileError, match="call it first"):
        step.lower(X)
    assert flag.previous is None
    np.testing.assert_array_equal(step(X).numpy(), X * 2)
    assert step.report()["traces"] == 0
    assert "a call ran eagerly, because it assigned what it read: flag.previous: None → 1" in step.explain()
    np.testing.assert_array_equal(step(X).numpy(), X * 3)
    np.testing.assert_array_equal(step(X).numpy(), X * 3)
    assert step.report()["traces"] == 1
    for _ in range(2):  # as often as the program takes the flag back
        flag.previous = None
        np.testing.assert_array_equal(step(X).numpy(), X * 2)
        np.testing.assert_array_equal(step(X).numpy(), X * 3)
    assert step.report()["eager_because"] is None


DRAWS: dict[str, Callable[[], Callable[[], float]]] = {
    "NumPy's global state": lambda: np.random.rand,
    "NumPy's generator": lambda: np.random.default_rng(3).random,
    "NumPy's old generator": lambda: np.random.RandomState(3).rand,
    "Python's global state": lambda: random.random,
    "a Python function of it": lambda: lambda: random.gauss(0.0, 1.0),
    "Python's generator": lambda: random.Random(3).random,
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_numbers_drawn_are_those_of_the_eager_program(name: str) -> None:
    def run(wrap: Wrap) -> list[Any]:
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        draw = DRAWS[name]()
        step = wrap(lambda x: x * draw())
        return [plain(step(X)) for _ in range(3)]

    expected = run(lambda function: tj.compile(function).eager)
    with pytest.warns(TapejitWarning, match="draws a number"):
        assert run(tj.compile) == expected


@pytest.mark.parametrize("way", ["count", "remember", "mean"])
def test_a_state_that_python_keeps_is_refused_by_name(way: str) -> None:
    counter = Counter()
    step = strict(getattr(counter, way))
    with pytest.raises(
        CompileError, match=r"(it changes what it reads.*self\.t: 1 → 2.*tj.Variable|a trace that is over)"
    ):
        step(X)
    assert counter.t == 0
    assert counter.average == 0.0
    np.testing.assert_array_equal(counter.state.numpy(), 0)


def test_what_is_written_before_it_is_read_or_made_once_compiles() -> None:
    counter = Counter()
    keep, look = strict(counter.keep), strict(counter.look)
    for factor in (1.0, 2.0):
        np.testing.assert_array_equal(keep(X * factor).numpy(), X * factor * 2 + 1)
        np.testing.assert_array_equal(look(X * factor).numpy(), X * factor / 3)
    assert keep.report()["traces"] == look.report()["traces"] == 1


def test_a_count_that_nothing_depends_on_is_of_traces() -> None:
    traces = 0

    def step(x: Any) -> Any:
        nonlocal traces
        traces += 1
        return x * 2

    step = strict(step)
    for _ in range(3):
        step(X)
    assert traces == 1


def test_an_exception_leaves_python_as_it_was() -> None:
    counter = Counter()
    fail = True

    def step(x: Any) -> Any:
        result = counter.remember(x)
        if fail:
            raise KeyError("mine")
        counter.state = 0.0
        return result

    step = tj.compile(step)
    with pytest.raises(KeyError, match="mine"):
        step(X)
    np.testing.assert_array_equal(counter.state.numpy(), 0)


# What comes out


@dataclasses.dataclass
class Output:
    loss: Any
    parts: list[Any]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: Output(x * 2, [x]),
        lambda x: lambda: x * 2,
        lambda x: (x * i for i in range(3)),
        lambda x: map(tj.exp, [x]),
    ],
    ids=["dataclass", "closure", "generator", "map"],
)
def test_tensors_hidden_in_a_result_fall_back(make: Any) -> None:
    step = tj.compile(make)
    with pytest.warns(TapejitWarning, match="that holds tensors, or makes them later; return tensors in lists"):
        result = step(X)
    found = result.loss if isinstance(result, Output) else result() if callable(result) else list(result)[-1]
    assert np.all(np.isfinite(found.numpy()))
    with pytest.raises(CompileError, match="that holds tensors"):
        strict(make)(X)


def test_generator_functions_coroutines_and_classes_still_run() -> None:
    def several(x: Any) -> Any:
        yield x
        yield x * 2

    class Made:
        def __init__(self, x: Any) -> None:
            self.x = x * 2

    generate, make = tj.compile(several), tj.compile(Made)
    with pytest.warns(TapejitWarning, match="holds tensors"):
        assert [float(tj.sum(each)) for each in generate(X)] == [6.0, 12.0]
    with pytest.warns(TapejitWarning, match="holds tensors"):
        assert float(tj.sum(make(X).x)) == 12.0
    with pytest.raises(TypeError, match="compile takes a function, got int"):
        tj.compile(3)


# Other values each time


@pytest.mark.parametrize(
    "draw",
    [
        time.time,
        lambda: time.perf_counter(),
        lambda: dt.datetime.now().timestamp(),
    ],
    ids=["time", "perf_counter", "datetime"],
)
def test_a_clock_is_noticed(draw: Any) -> None:
    step = tj.compile(lambda x: x * draw())
    told = r"test_semantics.py:\d+ reads a clock while the step is traced, .*; read it outside and pass the value"
    with pytest.warns(TapejitWarning, match=told):
        step(X)


def test_the_systems_entropy_is_noticed() -> None:
    step = tj.compile(lambda x: x * (os.urandom(4)[0] + 0.5))
    told = r"os.urandom\(\) at .* draws from the system's entropy while .*; use tj.random.Generator, or draw outside"
    with pytest.warns(TapejitWarning, match=told):
        step(X)


def made(values: Any) -> Any:
    yield from values


@pytest.mark.parametrize(
    "make", [iter, made, itertools.cycle, enumerate], ids=["iter", "generator", "cycle", "enumerate"]
)
def test_an_iterator_from_outside_is_noticed(make: Any) -> None:
    batches = make([1.0, 2.0, 3.0, 4.0, 5.0])
    step = tj.compile(lambda x: x * np.sum(next(batches)))
    with pytest.warns(
        TapejitWarning, match="the iterator batches at .* advances while the step is traced, .*; take the item"
    ):
        first = step(X)
    assert float(step(X)[0]) != float(first[0])


@pytest.mark.parametrize("taken", [lambda rates: rates.pop(), lambda rates: rates.popleft()], ids=["list", "deque"])
def test_elements_that_are_taken_from_a_container_are_noticed(taken: Any) -> None:
    rates = (list if taken.__code__.co_names == ("pop",) else collections.deque)([1.0, 2.0, 3.0, 4.0, 5.0])
    step = tj.compile(lambda x: x * taken(rates))
    with pytest.warns(TapejitWarning, match=r"it changes what it reads.*rates: \w+ of 4 → \w+ of 3"):
        first = step(X)
    assert float(step(X)[0]) != float(first[0])


def test_iterators_of_the_steps_own_are_no_hindrance() -> None:
    weights = [tj.Variable(2.0), tj.Variable(3.0)]

    def total(values: Any) -> Any:
        return sum(values)

    step = strict(lambda x: total(w * x for w in weights) + total(map(tj.exp, iter([x]))) + total([next(iter([x]))]))
    np.testing.assert_allclose(step(np.float32(1.0)).numpy(), 6 + math.e, rtol=1e-6)


# Methods, copies, pickles


class Base:
    kind = 2.0

    def __init__(self) -> None:
        self.w = tj.Variable(np.ones(3))

    @tj.compile(strict=True)
    def step(self, x: Any) -> Any:
        self.w.assign_add(x)
        return self.w * 2

    @classmethod
    @tj.compile(strict=True)
    def outer(cls, x: Any) -> Any:
        return x * cls.kind

    @tj.compile(strict=True)
    @classmethod
    def inner(cls, x: Any) -> Any:
        return x * cls.kind

    @staticmethod
    @tj.compile(strict=True)
    def static_outer(x: Any) -> Any:
        return x * Base.kind

    @tj.compile(strict=True)
    @staticmethod
    def static_inner(x: Any) -> Any:
        return x * Base.kind


class Derived(Base):
    @tj.compile(strict=True)
    def step(self, x: Any) -> Any:
        return super().step(x) + 1


class Slotted:
    __slots__ = ("rate",)

    def __init__(self) -> None:
        self.rate = 2.0

    @tj.compile(strict=True)
    def step(self, x: Any) -> Any:
        return x * self.rate


@tj.compile(strict=True)
def of_the_module(x: Any) -> Any:
    return x * 2


def test_a_compiled_method_calls_the_one_that_it_overrides() -> None:
    model = Derived()
    np.testing.assert_array_equal(model.step(X).numpy(), (1 + X) * 2 + 1)
    np.testing.assert_array_equal(model.step(X).numpy(), (1 + 2 * X) * 2 + 1)
    np.testing.assert_array_equal(Base.step(model, X).numpy(), (1 + 3 * X) * 2)


@pytest.mark.parametrize("name", ["outer", "inner", "static_outer", "static_inner"])
def test_methods_of_classes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for holder in (Base, Base(), Derived):
        np.testing.assert_array_equal(getattr(holder, name)(X).numpy(), X * 2)
    monkeypatch.setattr(Base, "kind", 5.0)
    for holder in (Base, Base(), Derived):
        np.testing.assert_array_equal(getattr(holder, name)(X).numpy(), X * 5)


def test_a_method_of_an_object_with_slots() -> None:
    one, other = Slotted(), Slotted()
    other.rate = 3.0
    for thing in (one, other, one):
        np.testing.assert_array_equal(thing.step(X).numpy(), X * thing.rate)
    one.rate = 7.0
    np.testing.assert_array_equal(one.step(X).numpy(), X * 7)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_of_a_model_has_a_step_of_its_own(duplicate: Any) -> None:
    model = Base()
    model.step(X)
    other = duplicate(model)
    other.w = tj.Variable(np.full(3, 100.0))
    np.testing.assert_array_equal(other.step(X).numpy(), (100 + X) * 2)
    np.testing.assert_array_equal(model.w.numpy(), 1 + X)
    np.testing.assert_array_equal(model.step(X).numpy(), (1 + 2 * X) * 2)


def test_a_method_that_is_replaced_is_another_step() -> None:
    class Model:
        def step(self, x: Any) -> Any:
            return x * 2

    model = Model()
    for factor in (2, 3):
        Model.step = tj.compile(Model.step if factor == 2 else (lambda self, x: x * 3))
        Model.step.__qualname__ = "Model.step"
        np.testing.assert_array_equal(model.step(X).numpy(), X * factor)


def test_steps_are_copied_and_pickled_as_functions_are() -> None:
    local = tj.compile(lambda x: x * 2)
    assert copy.copy(local) is local
    assert copy.deepcopy(local) is local
    assert pickle.loads(pickle.dumps(of_the_module)) is of_the_module
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(local)


def test_the_last_options_count() -> None:
    step = tj.compile(lambda x: x * float(tj.sum(x)))
    assert tj.compile(step) is step
    with pytest.raises(CompileError):
        tj.compile(step, strict=True)(X)


def test_a_step_may_call_itself() -> None:
    @strict
    def halved(x: Any, n: int) -> Any:
        return x if n == 0 else halved(x / 2, n - 1)

    for n in (3, 1, 0):
        np.testing.assert_array_equal(halved(X, n).numpy(), X / 2**n)


# Guards cost retraces, never compilations


def test_changed_numbers_in_arrays_cost_no_compilation() -> None:
    table = np.array([1.0, 2.0])
    step = strict(lambda x: x * table[0] + float(table[1]))
    step(X)
    built = compilations()
    for value in (3.0, 4.0, 0.0, 1.0):
        table[:] = value
        np.testing.assert_array_equal(step(X).numpy(), X * value + value)
    assert compilations() == built


def test_a_changed_number_that_is_given_a_dtype_costs_no_compilation() -> None:
    settings = Settings()
    step = strict(lambda x: x * tj.asarray(settings.high, "float32") + tj.constant(settings.high, "float64"))
    step(X)
    built = compilations()
    for settings.high in (0.1, 7.0):
        expected = X * np.float32(settings.high) + settings.high
        np.testing.assert_array_equal(step(X).numpy(), expected)
    assert compilations() == built


def test_a_number_that_is_written_once_is_one_number() -> None:
    weights = [tj.Variable(np.full(length, 2.0)) for length in (2, 3)]
    share, flags = 0.25, (True, False, True)

    @tj.compile(strict=True)
    def step(t: Any) -> Any:
        for weight in weights:
            weight.assign(weight * 0.5**t + share)
        return [t * (1.5 if flag else 2.5) for flag in flags] + [t * scale for scale in [0.75, -0.75, 0.75]]

    results = step(np.float64(3.0))
    assert [float(result) for result in results] == [4.5, 7.5, 4.5, 2.25, -2.25, 2.25]
    assert [weight.tolist() for weight in weights] == [[0.5, 0.5], [0.5, 0.5, 0.5]]
    assert step.source().count("power(") == 1


def test_an_array_that_is_captured_costs_no_trace_when_its_elements_change() -> None:
    table = np.arange(6.0).reshape(2, 3)
    step = strict(lambda x: x * table[1] + tj.sum(table) + table.shape[0] * len(table))
    for value in (1.0, 2.0, 3.0):
        table[...] = value
        np.testing.assert_array_equal(step(X).numpy(), X * value + 6 * value + 4)
    assert step.report()["traces"] == 1


def test_explain_names_what_changed() -> None:
    settings, table = Settings(), np.array([1.0, 2.0])
    step = strict(lambda x: x * getattr(settings, "hi" + "gh"[:2]) * (table[0] + (table * 2)[1]))
    step(X)
    settings.high = 4.0
    step(X)
    table[1] = 5.0
    step(X)
    assert "settings.high: 2.0 → 4.0" in step.explain()
    assert "table: ndarray" in step.explain()


def test_a_string_variable_is_refused() -> None:
    name = tj.Variable("abc")
    with pytest.raises(CompileError, match="a variable of strings has no place in a kernel"):
        strict(lambda: name.assign("xyz"))()
    step = tj.compile(lambda: name.assign("xyz"))
    with pytest.warns(TapejitWarning, match="variable of strings"):
        step()
    assert str(name.numpy()) == "xyz"


# All programs


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_agree_with_their_eager_selves(name: str) -> None:
    def eagerly(function: Any) -> Any:
        return tj.compile(function).eager

    wanted = PROGRAMS[name](eagerly)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TapejitWarning)  # some can't be compiled, which is no excuse
        found = PROGRAMS[name](tj.compile)
    assert plain(found) == plain(wanted)


def test_a_shape_in_a_list_or_an_array_is_read_eagerly() -> None:
    step = tj.compile(lambda x, shape: tj.reshape(x, shape))
    assert tj.reshape(X, np.array([3, -1])).shape == (3, 1)
    assert tj.zeros(tj.constant([2, 3])).shape == (2, 3)
    assert step(X, (3, 1)).shape == (3, 1)
    with pytest.warns(TapejitWarning, match="the value of a traced tensor"):
        assert step(X, [3, 1]).shape == (3, 1)  # an array, as each list of numbers


def test_a_tensor_that_outlived_its_trace_says_so_whatever_is_done_with_it() -> None:
    kept: list[Any] = []

    @tj.compile
    def step(x, n):
        kept.extend([x * 2, n * 2])
        return x

    step(np.ones(2), 3.0)
    tensor, number = kept
    w = tj.Variable(np.zeros(2))
    uses: list[Callable[[], Any]] = [
        lambda: tensor + 1,
        lambda: tj.exp(tensor),
        lambda: w.assign(tensor),
        lambda: str(tensor),
        tensor.numpy,
        lambda: float(number),
        lambda: tj.compile(lambda x: x * tensor, strict=True)(np.ones(2)),
    ]
    for use in uses:
        with pytest.raises(TapejitError, match="a tensor of a trace that is over was used: it has no numbers"):
            use()
    assert repr(tensor) == "TracedTensor(shape=(2,), dtype=float64)"
    np.testing.assert_array_equal(w, np.zeros(2))
