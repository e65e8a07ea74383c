"""What a traced function reads by name is guarded: globals, cells, defaults, attributes, keys, functions."""

from __future__ import annotations

import collections
import functools
import gc
import logging
import os
import sys
import threading
import types
import weakref
from array import array as NumbersOfC  # noqa: N812
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tapejit.guards import GuardSet, Recorder


def is_opaque(value: object) -> bool:
    return isinstance(value, np.ndarray)


def new_recorder() -> Recorder:
    return Recorder(is_library=lambda filename: "the_library" in filename, opaque=is_opaque)


def record(function: Callable[..., object], *arguments: object, **options: object) -> Recorder:
    recorder = new_recorder()
    with recorder.recording(function):
        function(*arguments, **options)
    return recorder


def guard(function: Callable[..., object], *arguments: object, **options: object) -> GuardSet:
    guards = record(function, *arguments, **options).guards()
    assert guards.holds(), guards.changes()
    assert guards.changes() == ()
    return guards


def run_cell(source: str, namespace: dict[str, Any] | None = None, filename: str = "<cell>") -> dict[str, Any]:
    """Run source as a notebook does: again and again in one namespace."""
    namespace = {} if namespace is None else namespace
    exec(compile(source, filename, "exec"), namespace)
    return namespace


def only_path(guards: GuardSet) -> str:
    assert not guards.holds()
    (change,) = guards.changes()
    return change.path


class Optimizer:
    def __init__(self, lr: float = 0.1) -> None:
        self.lr = lr
        self.rates = [0.1, 0.2]

    def update(self, x: float) -> float:
        return x * self.lr


class Model:
    scale = 2.0

    def __init__(self) -> None:
        self.optimizer = Optimizer()
        self.calls = 0
        self.cfg = {"lr": 0.5, "deep": {"k": types.SimpleNamespace(c=3)}}
        self.layers = [Optimizer(1.0), Optimizer(2.0)]
        self._rate = 0.25
        self.anything: Any = None

    @property
    def rate(self) -> float:
        return self._rate

    def __getattr__(self, name: str) -> float:
        if name == "computed":
            return 4.0
        raise AttributeError(name)


@pytest.mark.parametrize(
    ("before", "after", "is_numeric"),
    [
        (0.001, 0.0001, True),
        (1, 2, True),
        (1, True, True),
        (0.0, -0.0, True),
        (1, 1.0, True),
        (np.float32(1), np.float64(1), True),
        ("relu", "tanh", False),
        (None, 1, False),
        ((1, 2.0), (1, 3.0), False),
        (b"a", b"b", False),
    ],
)
def test_global(before: object, after: object, is_numeric: bool) -> None:
    cell = run_cell("def fit(x):\n    return (x, value)")
    cell["value"] = before
    guards = guard(cell["fit"], 1.0)
    cell["value"] = after
    assert not guards.holds()
    (change,) = guards.changes()
    assert (change.path, change.function, change.line) == ("value", "fit", 2)
    assert repr(change.before) == repr(before)
    assert repr(change.after) == repr(after)
    assert change.is_number == is_numeric
    cell["value"] = before
    assert guards.holds()


@pytest.mark.parametrize("value", [0.1, 12345678901234567890, float("nan"), 1j, "text", (1.5, None)])
def test_an_equal_value_that_is_another_object_holds(value: object) -> None:
    cell = run_cell("def fit(x):\n    return (x, value)")
    cell["value"] = value
    guards = guard(cell["fit"], 1.0)
    cell["value"] = eval(repr(value), {"nan": float("nan")})
    assert guards.holds()


def test_a_change_reads_as_a_sentence() -> None:
    cell = run_cell("learning_rate = 0.001\n\n\ndef fit_data(x):\n    return x * learning_rate")
    guards = guard(cell["fit_data"], 1.0)
    cell["learning_rate"] = 0.0001
    (change,) = guards.changes()
    assert str(change) == "learning_rate: 0.001 → 0.0001 (a global read by fit_data, line 5)"


def test_a_global_that_goes_is_a_change() -> None:
    cell = run_cell("rate = 2\ndef fit(x):\n    return x * rate")
    guards = guard(cell["fit"], 1.0)
    del cell["rate"]
    assert only_path(guards) == "rate"


def test_a_helper_is_redefined_in_a_notebook() -> None:
    source = "def helper(x):\n    return x * {}\n"
    cell = run_cell(source.format(2) + "def fit(x):\n    return helper(x)")
    guards = guard(cell["fit"], 1.0)
    run_cell(source.format(3), cell)
    assert only_path(guards) == "helper"


def test_the_code_of_a_helper_is_replaced() -> None:
    cell = run_cell("def helper(x):\n    return x\ndef other(x):\n    return -x\ndef fit(x):\n    return helper(x)")
    guards = guard(cell["fit"], 1.0)
    cell["helper"].__code__ = cell["other"].__code__
    assert only_path(guards) == "helper"


def test_the_code_of_the_function_itself_is_replaced() -> None:
    cell = run_cell("def other(x):\n    return -x\ndef fit(x):\n    return x")
    guards = guard(cell["fit"], 1.0)
    cell["fit"].__code__ = cell["other"].__code__
    assert only_path(guards) == "fit"


def test_a_helper_of_a_helper_reads_a_global() -> None:
    cell = run_cell("k = 1\ndef g(x):\n    return x * k\ndef f(x):\n    return g(x)\ndef fit(x):\n    return f(x)")
    guards = guard(cell["fit"], 1.0)
    cell["k"] = 2
    assert only_path(guards) == "k"


def test_a_builtin_is_overridden() -> None:
    cell = run_cell("def fit(x):\n    return abs(x)")
    guards = guard(cell["fit"], 1.0)
    assert guards.paths() == ("fit",)
    cell["abs"] = float
    assert only_path(guards) == "abs"


def test_closure_cell() -> None:
    def make() -> tuple[Callable[[float], float], Callable[[float], None]]:
        rate = 0.5

        def step(x: float) -> float:
            return x * rate

        def change(value: float) -> None:
            nonlocal rate
            rate = value

        return step, change

    step, change = make()
    guards = guard(step, 2.0)
    change(0.25)
    assert only_path(guards) == "rate"


def test_closures_with_one_code_are_told_apart() -> None:
    def make(rate: float) -> tuple[Callable[[float], float], Callable[[float], None]]:
        def scale(x: float) -> float:
            return x * rate

        def change(value: float) -> None:
            nonlocal rate
            rate = value

        return scale, change

    (first, _), (second, change) = make(0.5), make(0.5)
    callbacks = {"b": second}

    def step(x: float) -> float:
        return first(x) * sum(callback(x) for callback in callbacks.values())

    guards = guard(step, 2.0)
    change(0.25)
    assert only_path(guards) == "rate"


def test_the_closure_of_a_function_that_no_path_leads_to() -> None:
    class Registry:
        def __init__(self, function: Callable[[float], float]) -> None:
            self.hidden = [iter([function])]

        def pick(self) -> Callable[[float], float]:
            return next(self.hidden[0])

    rate = 0.5

    def scale(x: float) -> float:
        return x * rate

    def step(x: float) -> float:
        return registry.pick()(x)

    registry = Registry(scale)
    guards = guard(step, 2.0)
    rate = 0.25
    assert "rate" in [change.path for change in guards.changes()]
    assert not guards.holds()


def test_defaults_of_the_function_and_of_a_helper() -> None:
    cell = run_cell(
        "def helper(x, k=2.0, *, mode='a'):\n    return x * k\ndef fit(x, rate=0.5):\n    return helper(x) * rate"
    )
    guards = guard(cell["fit"], 1.0)
    cell["helper"].__defaults__ = (3.0,)
    assert only_path(guards) == "k"
    cell["helper"].__defaults__ = (2.0,)
    cell["helper"].__kwdefaults__["mode"] = "b"
    assert only_path(guards) == "mode"
    cell["helper"].__kwdefaults__["mode"] = "a"
    assert guards.holds()
    cell["fit"].__defaults__ = (0.25,)
    assert str(guards.changes()[0]).startswith("rate: 0.5 → 0.25 (a default of fit, read by fit")


def test_an_object_as_default() -> None:
    def step(x: float, optimizer: Optimizer = Optimizer(0.3)) -> float:  # noqa: B008 - the case
        return x * optimizer.lr

    guards = guard(step, 1.0)
    assert step.__defaults__ is not None
    step.__defaults__[0].lr = 0.4
    assert only_path(guards) == "optimizer.lr"


def test_attribute_of_self_in_a_bound_method() -> None:
    class Fit(Model):
        def step(self, x: float) -> float:
            return x * self._rate

    fit = Fit()
    guards = guard(fit.step, 1.0)
    assert "self._rate" in guards.paths()
    fit._rate = 0.5
    assert only_path(guards) == "self._rate"
    other = Fit()
    other._rate = 0.5
    assert not guards.holds()


def test_callable_object_and_class_attribute() -> None:
    class Fit(Model):
        def __call__(self, x: float) -> float:
            return x * self.scale

    guards = guard(Fit(), 1.0)
    assert guards.holds()
    fit = Fit()
    guards = guard(fit, 1.0)
    fit.scale = 3.0
    assert only_path(guards) == "self.scale"


def test_a_method_is_replaced_on_its_class() -> None:
    class Layer:
        def __call__(self, x: float) -> float:
            return x

        def forward(self, x: float) -> float:
            return x

    layer = Layer()

    def step(x: float) -> float:
        return layer(x) + layer.forward(x)

    guards = guard(step, 1.0)
    original = Layer.__call__
    Layer.__call__ = lambda self, x: -x  # type: ignore[method-assign]
    assert only_path(guards) == f"{Layer.__qualname__}.__call__"
    Layer.__call__ = original  # type: ignore[method-assign]
    assert guards.holds()
    layer.forward = lambda x: -x  # type: ignore[method-assign]
    assert only_path(guards) == "layer.forward"


@pytest.mark.parametrize(
    ("expression", "change", "path"),
    [
        ("m.optimizer.lr", "m.optimizer.lr = 7", "m.optimizer.lr"),
        ('m.cfg["lr"]', 'm.cfg["lr"] = 7', 'm.cfg["lr"]'),
        ('m.cfg["deep"]["k"].c', 'm.cfg["deep"]["k"].c = 7', 'm.cfg["deep"]["k"].c'),
        ("m.optimizer.rates[0]", "m.optimizer.rates[0] = 7", "m.optimizer.rates[0]"),
        ("m.optimizer.rates[-1]", "m.optimizer.rates[1] = 7", "m.optimizer.rates[-1]"),
        ("m.cfg['lr']", "del m.cfg['lr']", 'm.cfg["lr"]'),
        ("m._rate", "del m._rate", "m._rate"),
        ("m.optimizer.lr", "m.optimizer = 3", "m.optimizer.lr"),
        ("m.optimizer.rates[1]", "m.optimizer.rates = [1]", "m.optimizer.rates[1]"),
        ("getattr(m, '_rate')", "m._rate = 7", "m._rate"),
        ("m.scale", "Model.scale = 7", "m.scale"),
        ("m.rate", "m._rate = 7", "m._rate"),
    ],
)
def test_nested_paths(expression: str, change: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "scale", 2.0)
    cell = run_cell(f"def fit(x):\n    return x * {expression}")
    cell |= {"m": Model(), "Model": Model}
    guards = guard(cell["fit"], 1.0)
    run_cell(change, cell)
    assert only_path(guards) == path


def test_a_key_that_was_missing_appears() -> None:
    cell = run_cell("cfg = {}\ndef fit(x):\n    try:\n        return cfg['k']\n    except KeyError:\n        return x")
    guards = guard(cell["fit"], 1.0)
    cell["cfg"]["k"] = 3
    assert only_path(guards) == 'cfg["k"]'


def test_keys_that_are_equal_but_not_the_same() -> None:
    cell = run_cell("cfg = {1: 5.0, 2: 6.0}\ndef fit(x):\n    return x * cfg[1] * cfg[2]")
    guards = guard(cell["fit"], 1.0)
    cell["cfg"][2] = 7.0
    assert only_path(guards) == "cfg[2]"


def test_aliases_are_followed() -> None:
    def step(x: float) -> float:
        optimizer = model.optimizer
        rates = optimizer.rates
        first, second = rates
        return x * optimizer.lr * first * second

    model = Model()
    guards = guard(step, 1.0)
    model.optimizer.lr = 3
    assert only_path(guards) == "model.optimizer.lr"


def test_a_parameter_that_is_assigned_is_no_root() -> None:
    default = Optimizer()

    def helper(x: float, optimizer: Optimizer | None) -> float:
        if optimizer is None:
            optimizer = default
        return x * optimizer.lr

    def step(x: float) -> float:
        return helper(x, None)

    guards = guard(step, 1.0)
    default.lr = 5.0
    assert only_path(guards) == "default.lr"


def test_a_value_that_could_be_either_of_two() -> None:
    first, second = Optimizer(), Optimizer()

    def step(x: float) -> float:
        return x * (first or second).lr

    guards = guard(step, 1.0)
    first.lr = 5.0
    assert only_path(guards) == "first.lr"


@pytest.mark.parametrize(
    ("loop", "change", "path"),
    [
        ("for r in rates: x *= r", "rates[1] = 7", "rates[1]"),
        ("for r in rates: x *= r", "rates.append(3)", "rates"),
        ("for r in tuple(rates): x *= r", "rates = [1.0, 9.0]", "rates[1]"),
        ("for k, v in cfg.items(): x *= v", "cfg['a'] = 9", 'cfg["a"]'),
        ("x *= cfg.get('a', 1)", "cfg['a'] = 9", 'cfg["a"]'),
        ("x *= sum([r for r in rates])", "rates[0] = 9", "rates[0]"),
        ("x *= sum(r for r in rates)", "rates[0] = 9", "rates[0]"),
        ("x *= nested[0][i]", "nested[0][1] = 9", "nested[0][1]"),
        ("for o in optimizers: x *= o.lr", "optimizers[1].lr = 9", "optimizers[1].lr"),
        ("for o in optimizers: x = o.update(x)", "optimizers[1].lr = 9", "optimizers[1].lr"),
        ("for o in optimizers: x *= o.lr", "optimizers.pop()", "optimizers"),
    ],
)
def test_loops_over_containers(loop: str, change: str, path: str) -> None:
    cell = run_cell(
        f"rates = [1.0, 2.0]\ncfg = {{'a': 1.0}}\nnested = [[1.0, 2.0]]\ni = 1\ndef fit(x):\n    {loop}\n    return x"
    )
    cell["optimizers"] = [Optimizer(), Optimizer()]
    guards = guard(cell["fit"], 1.0)
    run_cell(change, cell)
    assert path in [c.path for c in guards.changes()]
    assert not guards.holds()


def test_a_rebuilt_list_of_the_same_numbers_holds() -> None:
    cell = run_cell("rates = [1.0, 2.0]\ndef fit(x):\n    return x * sum(rates)")
    guards = guard(cell["fit"], 1.0)
    cell["rates"] = [1.0, 2.0]
    assert guards.holds()


def test_a_container_too_large_counts_by_identity_and_its_first_elements() -> None:
    cell = run_cell("def fit(x):\n    return x * sum(rates)", {"rates": [0.5] * 3000})
    guards = guard(cell["fit"], 1.0)
    cell["rates"][3] = 1.0
    assert only_path(guards) == "rates[3]"
    cell["rates"][3] = 0.5
    assert guards.holds()
    cell["rates"] = [0.5] * 3000
    assert not guards.holds()


def test_a_property_is_not_evaluated_by_a_check() -> None:
    evaluated = []

    class Watched(Model):
        @property
        def rate(self) -> float:
            evaluated.append(self._rate)
            return self._rate

    model = Watched()

    def step(x: float) -> float:
        return x * model.rate * model.computed

    guards = guard(step, 1.0)
    assert evaluated == [0.25]
    model._rate = 3.0
    assert not guards.holds()
    assert "model._rate" in [change.path for change in guards.changes()]
    assert evaluated == [0.25]


def test_a_defaultdict_is_not_filled_by_a_check() -> None:
    cell = run_cell(
        "from collections import defaultdict\ncfg = defaultdict(float, a=1.0)\ndef fit(x):\n    return x * cfg['a']"
    )
    guards = guard(cell["fit"], 1.0)
    del cell["cfg"]["a"]
    assert not guards.holds()
    assert dict(cell["cfg"]) == {}


def test_a_property_of_the_library_is_read_through() -> None:
    source = (
        "class Opt:\n    def __init__(self):\n        self._lr = 0.5\n"
        "    @property\n    def lr(self):\n        return self._lr"
    )
    library = run_cell(source, filename="the_library.py")
    cell = run_cell("def fit(x):\n    return x * optimizer.lr", {"optimizer": library["Opt"]()})
    guards = guard(cell["fit"], 1.0)
    cell["optimizer"]._lr = 0.25
    assert only_path(guards) == "optimizer._lr"


def test_arrays_and_modules_and_classes_by_identity() -> None:
    cell = run_cell("def fit(x):\n    return np.sum(data) * Kind().lr")
    cell |= {"np": np, "data": np.ones(3), "Kind": Optimizer}
    guards = guard(cell["fit"], 1.0)
    cell["data"][:] = 5.0
    assert guards.holds()
    cell["data"] = np.ones(3)
    assert only_path(guards) == "data"
    guards = guard(cell["fit"], 1.0)
    cell["Kind"] = type("Kind", (Optimizer,), {})
    assert only_path(guards) == "Kind"
    cell["Kind"] = Optimizer
    assert guards.holds()
    cell["np"] = types.SimpleNamespace(sum=np.sum)
    assert only_path(guards) == "np"


def test_numbers_of_a_module_of_the_users() -> None:
    settings = types.ModuleType("settings")
    settings.rate = 0.5  # type: ignore[attr-defined]
    cell = run_cell("def fit(x):\n    return x * settings.rate", {"settings": settings})
    guards = guard(cell["fit"], 1.0)
    settings.rate = 0.25  # type: ignore[attr-defined]
    assert only_path(guards) == "settings.rate"


def test_what_the_function_writes_is_not_guarded() -> None:
    class Fit(Model):
        def step(self, x: float) -> float:
            self.calls += 1
            self.cfg["n"] = self.cfg.setdefault("n", 0) + 1
            self.anything = x
            return x * self._rate * self.calls + (self.anything or 0)

    fit = Fit()
    recorder = record(fit.step, 1.0)
    guards = recorder.guards()
    assert guards.holds()
    assert {u.path for u in recorder.unguarded} >= {"self.calls", "self.anything"}
    assert "writes" in recorder.unguarded[0].reason
    fit.calls += 1
    assert guards.holds()
    fit._rate = 1.0
    assert only_path(guards) == "self._rate"


def test_a_counter_among_the_globals_and_the_cells() -> None:
    count = 0

    def step(x: float) -> float:
        nonlocal count
        count += 1
        return x * count

    recorder = record(step, 1.0)
    assert recorder.guards().holds()
    assert [u.path for u in recorder.unguarded] == ["count"]
    cell = run_cell("n = 0\ndef fit(x):\n    global n\n    n += 1\n    return x * n")
    recorder = record(cell["fit"], 1.0)
    assert recorder.guards().holds()
    assert [u.path for u in recorder.unguarded] == ["n"]


def test_what_is_written_with_the_same_value_stays_guarded() -> None:
    model = Model()

    def step(x: float) -> float:
        model._rate = 0.25
        return x * model._rate

    guards = guard(step, 1.0)
    model._rate = 0.5
    assert only_path(guards) == "model._rate"


def test_containers_among_the_arguments_are_left_to_the_call_signature() -> None:
    def helper(cfg: dict[str, float]) -> float:
        return cfg["lr"]

    def step(cfg: dict[str, float]) -> float:
        return cfg["lr"] * helper(cfg)

    cfg = {"lr": 0.1}
    guards = guard(step, cfg)
    cfg["lr"] = 0.2
    assert guards.holds()


def test_attributes_of_an_object_among_the_arguments_are_guarded() -> None:
    def step(x: float, optimizer: Optimizer) -> float:
        return x * optimizer.lr

    optimizer = Optimizer()
    guards = guard(step, 1.0, optimizer)
    optimizer.lr = 3.0
    assert only_path(guards) == "optimizer.lr"


def test_partial_and_wrapped_functions() -> None:
    def decorate(function: Callable[..., float]) -> Callable[..., float]:
        @functools.wraps(function)
        def wrapper(*arguments: Any, **options: Any) -> float:
            return factor * function(*arguments, **options)

        return wrapper

    factor, offset = 2.0, 1.0

    @decorate
    def step(x: float, k: float) -> float:
        return x * k + offset

    bound = functools.partial(step, k=3.0)
    guards = guard(bound, 1.0)
    factor = 3.0
    assert only_path(guards) == "factor"
    factor = 2.0
    offset = 2.0
    assert only_path(guards) == "offset"
    offset = 1.0
    bound.keywords["k"] = 4.0
    assert only_path(guards) == 'partial.keywords["k"]'


def test_lambdas_and_inner_functions() -> None:
    def apply(function: Callable[[float], float], x: float) -> float:
        return function(x)

    def step(x: float) -> float:
        optimizer = model.optimizer

        def inner(y: float) -> float:
            return y * optimizer.lr * rate

        return apply(inner, x) + apply(lambda y: y * model._rate, x)

    model, rate = Model(), 2.0
    guards = guard(step, 1.0)
    model.optimizer.lr = 9
    assert only_path(guards) == "model.optimizer.lr"
    model.optimizer.lr = 0.1
    model._rate = 9
    assert only_path(guards) == "model._rate"
    model._rate = 0.25
    assert guards.holds()
    rate = 3.0
    assert only_path(guards) == "rate"


def test_recursion_and_generators() -> None:
    def power(x: float, n: int) -> float:
        return x * rate if n == 0 else power(x, n - 1) * rate

    def terms(x: float) -> Iterator[float]:
        for i in range(3):
            yield x * i * offset

    def step(x: float) -> float:
        return power(x, 5) + sum(terms(x))

    rate, offset = 2.0, 1.0
    guards = guard(step, 1.0)
    rate = 3.0
    assert only_path(guards) == "rate"
    rate = 2.0
    offset = 2.0
    assert only_path(guards) == "offset"


def test_frames_of_the_library_are_passed_over() -> None:
    library = run_cell("k = 2\ndef double(x):\n    return x * k", filename="/somewhere/the_library/ops.py")
    cell = run_cell("def fit(x):\n    return double(x)", {"double": library["double"]})
    guards = guard(cell["fit"], 1.0)
    library["k"] = 3
    assert guards.holds()


def test_an_oddly_named_folder_is_still_the_users(tmp_path: Any) -> None:
    path = tmp_path / "lib" / "python3" / "site-packages" / "mine.py"
    path.parent.mkdir(parents=True)
    path.write_text("k = 2\ndef fit(x):\n    return x * k\n")
    cell = run_cell(path.read_text(), filename=str(path))
    guards = guard(cell["fit"], 1.0)
    cell["k"] = 3
    assert only_path(guards) == "k"


def test_the_profile_function_is_restored() -> None:
    def profile(frame: types.FrameType, event: str, argument: object) -> None:
        """Do nothing."""

    def fail(x: float) -> float:
        raise ZeroDivisionError

    outer = sys.getprofile()
    sys.setprofile(profile)
    try:
        record(abs, -1)
        first = sys.getprofile()
        with pytest.raises(ZeroDivisionError):
            record(fail, 1.0)
        second = sys.getprofile()
    finally:
        sys.setprofile(outer)
    assert first is profile
    assert second is profile


def test_recordings_in_threads_are_separate() -> None:
    cells = [
        run_cell(f"k = {i}\ndef fit(x):\n    for i in range(200):\n        x = x + k\n    return x") for i in range(6)
    ]
    results: dict[int, GuardSet] = {}

    def work(index: int) -> None:
        results[index] = guard(cells[index]["fit"], 1.0)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(cells))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cells[3]["k"] = 99
    assert [results[i].holds() for i in range(6)] == [True, True, True, False, True, True]


def test_another_threads_reads_are_not_recorded() -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            run_elsewhere()

    def run_elsewhere() -> float:
        return elsewhere * 2

    elsewhere, here = 1.0, 2.0
    thread = threading.Thread(target=work)
    thread.start()
    try:
        guards = guard(lambda x: x * here, 1.0)
    finally:
        stop.set()
        thread.join()
    assert "elsewhere" not in guards.paths()
    assert "here" in guards.paths()


def test_the_users_objects_are_not_kept_alive() -> None:
    def helper(optimizer: Optimizer, x: float) -> float:
        return x * optimizer.lr

    def step(x: float, optimizer: Optimizer) -> float:
        made = Optimizer(0.7)
        return helper(optimizer, x) + helper(made, x) + holder["model"]._rate

    holder = {"model": Model()}
    optimizer = Optimizer()
    references = [weakref.ref(optimizer), weakref.ref(holder["model"])]
    guards = guard(step, 1.0, optimizer)
    del optimizer
    gc.collect()
    assert references[0]() is None
    assert guards.holds()
    holder.clear()
    gc.collect()
    assert references[1]() is None
    assert not guards.holds()


def test_a_container_made_by_the_trace_is_not_kept_alive() -> None:
    class Tracer:
        pass

    made: list[weakref.ref[Tracer]] = []

    def helper(pair: list[Any]) -> float:
        return pair[1]

    def step(x: float) -> float:
        tracer = Tracer()
        made.append(weakref.ref(tracer))
        return helper([tracer, x])

    guards = guard(step, 1.0)
    gc.collect()
    assert made[0]() is None
    assert guards.holds()


def test_code_that_a_program_generates_belongs_to_its_module() -> None:
    library = {"__file__": "/somewhere/the_library/generated.py", "k": 2}
    run_cell("def double(x):\n    return x * k", library, "<string>")
    cell = run_cell("k = 2\ndef fit(x):\n    return double(x) * k", {"double": library["double"]}, "<string>")
    guards = guard(cell["fit"], 1.0)
    library["k"] = 3
    assert guards.holds()
    cell["k"] = 3
    assert only_path(guards) == "k"


def test_members_of_an_enumeration() -> None:
    cell = run_cell(
        "import enum\nclass Mode(enum.Enum):\n    A = 1\n    B = 2\nmode = Mode.A\n"
        "def fit(x):\n    return x if mode is Mode.A else -x"
    )
    guards = guard(cell["fit"], 1.0)
    cell["mode"] = cell["Mode"].B
    (change,) = guards.changes()
    assert str(change).startswith("mode: Mode.A → Mode.B (a global read by fit")


def test_slots_and_named_tuples() -> None:
    class Slotted:
        __slots__ = ("rate",)

        def __init__(self) -> None:
            self.rate = 0.5

    cell = run_cell(
        "from collections import namedtuple\nCfg = namedtuple('Cfg', 'lr n')\ncfg = Cfg(0.1, 2)\n"
        "def fit(x):\n    return x * cfg.lr * s.rate",
        {"s": Slotted()},
    )
    guards = guard(cell["fit"], 1.0)
    cell["s"].rate = 0.25
    assert only_path(guards) == "s.rate"
    cell["s"].rate = 0.5
    cell["cfg"] = cell["cfg"]._replace(lr=0.2)
    assert not guards.holds()


def test_nothing_read_holds_always() -> None:
    guards = GuardSet(())
    assert guards.holds()
    assert guards.paths() == ()


# Attributes whose names are computed, objects given to packages


def test_only_attributes_with_the_known_beginning_of_a_name() -> None:
    holder = types.SimpleNamespace(w1=1.0, w2=2.0, log=[])

    def step(x: float) -> float:
        return x * getattr(holder, f"w{int(x)}") * getattr(holder, "w" + str(1))

    guards = guard(step, 2.0)
    holder.log.append(1)
    holder.more = 3
    assert guards.holds()
    holder.w1 = 5.0
    assert only_path(guards) == "holder.w1"


def test_any_attribute_of_instances_slots_classes_and_modules() -> None:
    class Parent:
        __slots__ = ("rate",)
        scale = 1.0

        def method(self) -> None:
            """Not read as a value."""

    class Child(Parent):
        pass

    child = Child()
    child.rate = 2.0
    child.own = 3.0
    settings = types.ModuleType("settings")
    settings.rate = 0.5  # type: ignore[attr-defined]
    names = ["rate", "scale", "own"]

    def step(x: float) -> float:
        return x * sum(getattr(child, name) for name in names) * getattr(Parent, names[1]) * getattr(settings, names[0])

    guards = guard(step, 1.0)
    for owner, name in ((child, "rate"), (child, "own"), (Parent, "scale"), (settings, "rate")):
        value = getattr(owner, name)
        setattr(owner, name, 7.0)
        assert not guards.holds(), name
        setattr(owner, name, value)
        assert guards.holds()
    Parent.method = lambda self: None  # type: ignore[method-assign]
    assert guards.holds()


def test_what_a_trace_changes_does_not_hide_its_neighbours() -> None:
    table = {"calls": 0, "rate": 1.0}
    names = ["rate"]

    def step(x: float) -> float:
        table.update(calls=table["calls"] + 1)
        return x * table[names[0]]

    guards = guard(step, 1.0)
    table["calls"] = 10
    assert guards.holds()
    table["rate"] = 2.0
    assert only_path(guards) == 'table["rate"]'


def test_a_default_of_a_dict_is_not_made_by_looking() -> None:
    rates: dict[str, float] = collections.defaultdict(lambda: 1.0, rate=2.0)

    def step(x: float) -> float:
        return x * rates["rate"]

    guards = guard(step, 1.0)
    del rates["rate"]
    assert not guards.holds()
    assert dict(rates) == {}


# Attributes of classes, read through objects that the trace makes


class Made:
    rate = 1.0

    def times(self, x: float) -> float:
        return x * self.rate


@pytest.mark.parametrize("step", [lambda x: x * Made().rate, lambda x: Made().times(x), lambda x: Made().times(x) + x])
def test_a_class_is_read_through_an_object_that_is_gone(
    step: Callable[[float], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    guards = guard(step, 1.0)
    monkeypatch.setattr(Made, "rate", 5.0)
    assert not guards.holds()
    monkeypatch.setattr(Made, "rate", 1.0)
    assert guards.holds()


# Views of dicts, and buffers


@pytest.mark.parametrize(
    ("look", "told"),
    [
        (lambda table: (view := types.MappingProxyType(table), lambda: view["a"]), 'view["a"]: 1.0 → 9.0'),
        (lambda table: (view := table.values(), lambda: sum(view)), "view: (1.0,) → (9.0,)"),
        (lambda table: (view := table.items(), lambda: dict(view)["a"]), "view: (('a', 1.0),) → (('a', 9.0),)"),
    ],
)
def test_what_a_view_of_a_dict_shows(look: Any, told: str) -> None:
    table = {"a": 1.0}
    _, read = look(table)
    guards = guard(lambda x: x * read(), 1.0)
    table["a"] = 9.0
    assert not guards.holds()
    (changed,) = guards.changes()
    assert str(changed).startswith(told)
    table["a"] = 1.0
    assert guards.holds()


@pytest.mark.parametrize(
    "buffer", [NumbersOfC("d", [1.0, 2.0]), bytearray(b"\x01\x02"), memoryview(bytearray(b"\x01\x02"))]
)
def test_what_is_in_a_buffer(buffer: Any) -> None:
    guards = guard(lambda x: x * buffer[0], 1.0)
    assert guards.holds()
    buffer[0] = 5
    assert only_path(guards) == "buffer"
    buffer[0] = 1
    assert guards.holds()


@pytest.mark.parametrize("read", [lambda: os.getenv("RATE_OF_A_TEST"), lambda: os.environ["RATE_OF_A_TEST"]])
def test_the_environment(read: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_OF_A_TEST", "1.0")
    guards = guard(lambda x: x * float(read()), 1.0)
    monkeypatch.setenv("RATE_OF_A_TEST", "5.0")
    assert not guards.holds()
    monkeypatch.setenv("RATE_OF_A_TEST", "1.0")
    assert guards.holds()


def test_of_a_large_view_only_the_identity_counts() -> None:
    table = dict.fromkeys(map(str, range(5000)), 1.0)
    view = types.MappingProxyType(table)
    guards = guard(lambda x: x * view["1"], 1.0)
    assert guards.holds()


# Elements of arrays


def test_elements_count_where_numpy_computed_with_them() -> None:
    used, taken, looked_at = np.arange(3.0), np.arange(3.0), np.arange(3.0)
    large = np.zeros((1 << 17) + 1)

    def step(x: float) -> Any:
        return x * used.sum() + taken + looked_at.shape[0] + len(looked_at) + large.sum()

    recorder = record(step, 1.0)
    guards = recorder.guards(lambda array: array is taken)
    assert [each.path for each in recorder.unguarded] == ["large"]
    assert "too large" in recorder.unguarded[0].reason
    for array in (taken, looked_at, large):
        array[0] = 9.0
    assert guards.holds()
    used[0] = 9.0
    assert only_path(guards) == "used"


def test_one_element_by_a_constant_key() -> None:
    table = np.arange(4.0).reshape(2, 2)

    def step(x: float) -> Any:
        return x * table[0, 1] * table[1][0]

    guards = record(step, 1.0).guards()
    table[0, 0] = 9.0
    assert guards.holds()
    table[0, 1] = 9.0
    assert only_path(guards) == "table[(0, 1)]"


# What a trace changes


def test_what_was_read_and_assigned_can_be_put_back() -> None:
    class Slotted:
        __slots__ = ("n",)

    holder, slotted, table, items = types.SimpleNamespace(n=1), Slotted(), {"n": 1}, [1, 2]
    slotted.n = 1
    count = 1
    cell = run_cell("n = 1\ndef more():\n    global n\n    n = n + 1\n    return n")

    def step(x: float) -> float:
        nonlocal count
        count = count + 1
        holder.n = holder.n + 1
        slotted.n = slotted.n + 1
        table["n"] = table["n"] + 1
        items[1] = items[1] + 1
        holder.made = getattr(holder, "made", 0) + 1
        Optimizer.made = getattr(Optimizer, "made", 0) + 1  # type: ignore[attr-defined]
        return x * cell["more"]()

    recorder = record(step, 1.0)
    assert {change.guard.location.text for change in recorder.changed} == {
        "count", "holder.n", "slotted.n", 'table["n"]', "items[1]", "holder.made", "Optimizer.made", "n",
    }  # fmt: skip
    assert "holder.n: 1 → 2" in {str(change).partition(" (")[0] for change in recorder.changed}
    recorder.undo()
    assert (count, holder.n, slotted.n, table, items, cell["n"]) == (1, 1, 1, {"n": 1}, [1, 2], 1)
    assert not hasattr(holder, "made")
    assert not hasattr(Optimizer, "made")


def test_attributes_that_a_package_changes_can_be_put_back() -> None:
    handler, state = logging.NullHandler(), np.errstate(all="ignore")  # of a dict, and of slots

    def step(x: float) -> float:
        handler.setLevel(30)
        with state:
            return x

    recorder = record(step, 1.0)
    assert handler.level == 30
    recorder.undo()
    assert handler.level == 0
    assert "" not in vars(handler)
    with state:
        pass  # as if it had never been entered


def test_what_a_package_changes_in_an_object_that_is_gone_is_nobodys() -> None:
    def step(x: float) -> float:
        logging.NullHandler().setLevel(30)
        with np.errstate(all="ignore"):
            return x

    recorder = record(step, 1.0)
    assert recorder.changed == ()
    assert recorder.guards().holds()


def test_a_count_that_is_only_increased_is_not_read() -> None:
    holder = types.SimpleNamespace(n=0, table={"n": 0})

    def step(x: float) -> float:
        holder.n += 1
        holder.table["n"] += 1
        return x

    assert record(step, 1.0).changed == ()


def test_an_iterator_that_was_there_before_repeats_nothing() -> None:
    values = iter([1.0, 2.0])
    assert "the iterator values at " in str(record(lambda x: x * next(values), 1.0).repeats)

    def total(numbers: Any) -> float:
        return sum(numbers)

    recorder = record(lambda x: total(x * y for y in [1.0, 2.0]) + total(iter([x])), 1.0)
    assert recorder.repeats is None
