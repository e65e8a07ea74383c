"""Steps as others hold them: found by name, with their instances, with what they are about."""

import copy
import functools
import pickle
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import tapejit as tj

cloudpickle = pytest.importorskip("cloudpickle")


def pickled(protocol: int, thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing, protocol))


AGAIN: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "cloudpickle": lambda thing: pickle.loads(cloudpickle.dumps(thing)),
    **{f"pickle {number}": functools.partial(pickled, number) for number in range(pickle.HIGHEST_PROTOCOL + 1)},
}
EVERY_WAY = pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN)

weight = tj.Variable(2.0)


@tj.compile
def doubled(x: Any) -> Any:
    return weight * x


def cubed(x: Any) -> Any:
    return x**3


slope = tj.compile(tj.grad(cubed))
squared = tj.compile(lambda x: x**2)


class Table:
    class Inner:
        @tj.compile
        def look(self, x: Any) -> Any:
            return x + 1.0

        @staticmethod
        @tj.compile
        def plain(x: Any) -> Any:
            return x - 1.0


@EVERY_WAY
@pytest.mark.parametrize("step", [doubled, slope, squared, Table.Inner.look, Table.Inner.plain])
def test_a_step_that_a_module_has_is_found_there(step: Any, again: Callable[[Any], Any]) -> None:
    assert again(step) is step
    assert again([step, {"step": step}])[1]["step"] is step


def add(model: "Model", x: Any) -> Any:
    model.w.assign_add(x)
    return model.w * 1.0


class Model:
    """Holds one way to run `add` on itself."""

    def __init__(self) -> None:
        self.w = tj.Variable(1.0)

    def _add(self, x: Any) -> Any:
        return add(self, x)


class WithMethod(Model):
    go = tj.compile(Model._add)


class WithStep(Model):
    def __init__(self) -> None:
        super().__init__()
        self.go = tj.compile(self._add, strict=True)


class WithPartial(Model):
    def __init__(self) -> None:
        super().__init__()
        self.go = tj.compile(functools.partial(add, self))


class Adds:
    def __init__(self, model: Model) -> None:
        self.model = model

    def __call__(self, x: Any) -> Any:
        return add(self.model, x)


class WithObject(Model):
    def __init__(self) -> None:
        super().__init__()
        self.go = tj.compile(Adds(self))


class Overridden(WithMethod):
    @tj.compile
    def go(self, x: Any) -> Any:
        return super().go(x) * 10.0


HOLDERS = [WithMethod, WithStep, WithPartial, WithObject]


@EVERY_WAY
@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_copy_works_with_its_own_variables(holder: Any, warm: bool, again: Callable[[Any], Any]) -> None:
    model = holder()
    if warm:
        model.go(1.0)
    start = float(model.w)
    other = again(model)
    assert float(other.go(5.0)) == start + 5.0
    assert float(other.w) == start + 5.0
    assert float(model.w) == start
    assert float(model.go(2.0)) == start + 2.0
    assert float(other.w) == start + 5.0
    assert isinstance(other.go, tj.CompiledStep)


@EVERY_WAY
@pytest.mark.parametrize("holder", HOLDERS)
def test_a_step_brings_what_it_is_about(holder: Any, again: Callable[[Any], Any]) -> None:
    model = holder()
    model.go(1.0)
    step, other = again((model.go, model))
    assert float(step(4.0)) == 6.0
    assert float(other.w) == 6.0
    assert float(model.w) == 2.0


@EVERY_WAY
def test_a_method_that_is_overridden_stays_the_one_it_was(again: Callable[[Any], Any]) -> None:
    model = Overridden()
    assert float(model.go(1.0)) == 20.0
    inner, outer = again((super(Overridden, model).go, model.go))
    assert float(outer(1.0)) == 30.0
    assert float(inner(1.0)) == 4.0
    assert float(model.w) == 2.0


def test_a_shallow_copy_shares_what_it_holds_and_runs_by_itself() -> None:
    model = WithMethod()
    model.go(1.0)
    other = copy.copy(model)
    other.w = tj.Variable(10.0)
    assert float(other.go(1.0)) == 11.0
    assert float(model.w) == 2.0
    assert copy.copy(model.go) is model.go


@EVERY_WAY
def test_options_go_along(again: Callable[[Any], Any]) -> None:
    for step in (WithStep().go, tj.compile(functools.partial(cubed), strict=True)):
        other = again(step)
        assert other is not step
        assert other.compiled_as(strict=True, cache=True, check_finite=False) is other


def test_closures_go_by_cloudpickle_and_are_told_so_otherwise() -> None:
    w = tj.Variable(3.0)

    @tj.compile
    def local(x: Any, depth: int = 1) -> Any:
        return local.eager(x, depth - 1) if depth else w * x

    anonymous = tj.compile(lambda x: local(x) + w)
    for step in (local, anonymous):
        assert copy.deepcopy(step) is step  # as Python copies functions
        with pytest.raises(pickle.PicklingError, match=r"top level of a module.*method of an object.*cloudpickle"):
            pickle.dumps(step)
    again, same, other = pickle.loads(cloudpickle.dumps((anonymous, anonymous, local)))
    assert again is same
    w.assign(0.0)
    assert float(again(2.0)) == 9.0
    assert float(other(2.0)) == 6.0
    assert float(local(2.0)) == 0.0


def test_a_step_around_a_function_of_a_module_goes_with_its_name() -> None:
    step = pickle.loads(pickle.dumps(tj.compile(cubed, cache=False)))
    assert float(step(2.0)) == 8.0
    assert step.compiled_as(strict=False, cache=False, check_finite=False) is step


def test_the_programs_own_file_goes_by_name_or_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    program = ModuleType("__main__")
    source = "import tapejit as tj\nw = tj.Variable(2.0)\n@tj.compile\ndef step(x):\n    return w * x\n"
    exec(source, program.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", program)
    assert pickle.loads(pickle.dumps(program.step)) is program.step
    text = cloudpickle.dumps((program.step, program.w))
    del program.step, program.w
    again, w = pickle.loads(text)
    assert float(again(3.0)) == 6.0
    w.assign(5.0)
    assert float(again(3.0)) == 15.0


class WithClosure(Model):
    """Made as in TensorFlow's tutorials: a step that closes over what it trains, and helpers of it."""

    def __init__(self) -> None:
        super().__init__()
        hidden, notes, later = tj.Variable(0.0), [1.0], {}

        def helper(x: Any) -> Any:
            hidden.assign_add(x)
            return self.w * 1.0

        @tj.compile
        def go(x: Any, again: bool = False) -> Any:
            self.w.assign_add(x)
            later["count"].assign_add(1.0)
            return go.eager(x) if again else helper(x) * notes[0]

        self.go, self.notes = go, notes
        later["count"] = self.count = tj.Variable(0.0)
        self.hidden = hidden
        self.helper = helper


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("again", [copy.deepcopy, AGAIN["cloudpickle"]], ids=["deepcopy", "cloudpickle"])
def test_the_copy_of_what_holds_a_closure_works_with_its_own_variables(again: Any, warm: bool) -> None:
    model = WithClosure()
    if warm:
        model.go(1.0)
    before = [float(each) for each in (model.w, model.hidden, model.count)]
    other = again(model)
    assert other.go is not model.go
    assert float(other.go(5.0)) == before[0] + 5.0
    assert [float(each) for each in (other.w, other.hidden, other.count)] == [
        before[0] + 5.0,
        before[1] + 5.0,
        before[2] + 1.0,
    ]
    assert [float(each) for each in (model.w, model.hidden, model.count)] == before
    other.w.assign(0.0)
    assert float(other.helper(1.0)) == 0.0
    assert float(other.go(1.0, True)) == 2.0
    assert float(model.go(1.0)) == before[0] + 1.0
    assert float(other.w) == 2.0


def test_a_closure_of_nothing_that_was_copied_is_shared_as_functions_are() -> None:
    table, step = [1.0, 2.0], tj.compile(lambda x: x * table[0])
    assert copy.deepcopy({"table": "another", "step": step})["step"] is step
    holder = {"step": doubled, "weight": weight}
    assert copy.deepcopy(holder)["step"] is doubled  # the module's own


@tj.custom_vjp
def clipped(x: Any) -> Any:
    return x * 2.0


clipped.defvjp(lambda x: (x * 2.0, None), lambda _, ct: (ct * 7.0,))


@tj.custom_jvp
def doubled_with_rule(x: Any) -> Any:
    return x * 2.0


@tj.custom_gradient
def scaled(x: Any) -> Any:
    return x * 2.0, lambda ct: ct * 5.0


@EVERY_WAY
@pytest.mark.parametrize("function", [clipped, doubled_with_rule, scaled])
def test_functions_with_rules_of_their_own_go_by_name(function: Any, again: Callable[[Any], Any]) -> None:
    assert again({"activation": function})["activation"] is function


def test_a_function_with_a_rule_that_no_module_has_goes_by_value() -> None:
    @tj.custom_vjp
    def local(x: Any) -> Any:
        return x * 2.0

    local.defvjp(lambda x: (x * 2.0, None), lambda _, ct: (ct * 7.0,))
    again = pickle.loads(cloudpickle.dumps(local))
    assert float(tj.grad(again)(1.0)) == 7.0
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(local)


@pytest.mark.parametrize("again", [copy.copy, *AGAIN.values()], ids=["copy", *AGAIN])
@pytest.mark.parametrize("make", [tj.GradientTape, lambda: tj.ForwardAccumulator(tj.constant(1.0), 1.0)])
def test_what_follows_tensors_can_not_be_copied(make: Callable[[], Any], again: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="can't be copied or pickled"):
        again(make())
