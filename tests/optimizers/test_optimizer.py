"""What optimizers have in common."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tapejit.graph.trace import TracedTensor
from tapejit.kernel.kernels import compilations
from tapejit.optimizers import schedules


def test_a_learning_rate_that_changes_takes_effect_in_a_compiled_step() -> None:
    w, optimizer = tj.Variable(0.0), tj.optimizers.SGD(0.5)
    step = tj.compile(lambda g: optimizer.apply_gradients([(g, w)]), strict=True)
    step(1.0)
    step(1.0)
    assert float(w) == -1.0
    optimizer.learning_rate = 2.0
    step(1.0)
    assert float(w) == -3.0
    optimizer.learning_rate = schedules.PiecewiseConstantDecay([3], [1.0, 0.25])
    step(1.0)
    step(1.0)
    assert float(w) == -4.25


def test_a_setting_that_changes_is_told() -> None:
    w, optimizer = tj.Variable(0.0), tj.optimizers.SGD(0.5)
    step = tj.compile(lambda g: optimizer.apply_gradients([(g, w)]), strict=True)
    step(1.0)
    optimizer.clipvalue = 0.5
    step(1.0)
    assert float(w) == -0.75
    assert step.explain().splitlines()[-1] == "2. the settings of SGD changed"


def test_the_learning_rate_is_a_variable() -> None:
    w, optimizer = tj.Variable(0.0), tj.optimizers.SGD(1)

    @tj.compile(strict=True)
    def step(rate: Any) -> Any:
        optimizer.learning_rate = rate
        optimizer.apply_gradients([(1.0, w)])
        return optimizer.learning_rate * 2

    assert float(step(0.5)) == 1.0
    assert float(step(0.25)) == 0.5
    assert (float(w), optimizer.learning_rate.numpy(), step.report()["traces"]) == (-0.75, 0.25, 1)
    optimizer.learning_rate.assign(0.125)
    optimizer.learning_rate *= 2
    optimizer.learning_rate -= 0.125
    assert (float(optimizer.learning_rate), int(optimizer.iterations)) == (0.125, 2)
    own = tj.Variable(2.0, trainable=False)
    optimizer.learning_rate = own
    step(4.0)
    assert float(own) == 4.0
    assert optimizer.variables == (optimizer.iterations, own)
    optimizer.learning_rate = schedules.PiecewiseConstantDecay([3], [1.0, 0.5])
    assert float(optimizer.learning_rate) == 1.0
    assert optimizer.variables == (optimizer.iterations,)
    optimizer.learning_rate = 0.5
    assert float(optimizer.learning_rate) == 0.5


class Falling(schedules.LearningRateSchedule):
    """One of the user's own, as Keras has them made."""

    def __init__(self, height: float) -> None:
        self.height = height

    def __call__(self, step: Any) -> Any:
        return self.height / (tj.astype(step, "float32") + 1.0)


RATES = {"halving": 0.5}


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (lambda: RATES["halving"], -1.5),
        (lambda step: 1.0 / (step + 1), -11 / 6),
        (lambda step=0: 1.0 / (step + 1), -11 / 6),
        (Falling(1.0), -11 / 6),
        (schedules.PiecewiseConstantDecay([0.0, 1.0], [1, 2, 3], name="steps"), -6.0),
        (tj.Variable(0.5), -1.5),
        (np.float32(0.5), -1.5),
        (tj.constant(0.5), -1.5),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_kinds_of_learning_rates(rate: Any, expected: float, compiled: bool) -> None:
    w, optimizer = tj.Variable(np.float64(0.0)), tj.optimizers.SGD(rate)
    run: Any = lambda: optimizer.apply_gradients([(1.0, w)])  # noqa: E731
    step = tj.compile(run, strict=True) if compiled else run
    for _ in range(3):
        step()
    np.testing.assert_allclose(float(w), expected, rtol=1e-6)


def test_a_schedule_that_changes_takes_effect_in_a_compiled_step() -> None:
    for schedule, name in (
        (schedules.ExponentialDecay(1.0, 1, 1.0), "initial_learning_rate"),
        (schedules.PiecewiseConstantDecay([100], [1.0, 0.0]), "values"),
        (Falling(2.0), "height"),
    ):
        w, optimizer = tj.Variable(0.0), tj.optimizers.SGD(schedule)
        step = tj.compile(lambda optimizer=optimizer, w=w: optimizer.apply_gradients([(1.0, w)]), strict=True)
        step()
        before = float(w)
        setattr(schedule, name, (4.0, 0.0) if name == "values" else 4.0)
        step()
        assert float(w) - before == (-2.0 if name == "height" else -4.0)


def test_any_setting_that_changes_takes_effect_in_a_compiled_step() -> None:
    w, optimizer = tj.Variable(0.0), tj.optimizers.SGD(1.0)
    step = tj.compile(lambda g: optimizer.apply_gradients([(g, w)]), strict=True)
    step(4.0)
    optimizer.clipvalue = 1.0
    step(4.0)
    assert float(w) == -5.0


def test_numbers_that_change_cost_no_compilation() -> None:
    w, optimizer = tj.Variable(np.ones(3, np.float32)), tj.optimizers.Adam(0.5, weight_decay=0.1)
    step = tj.compile(lambda g: optimizer.apply_gradients([(g, w)]), strict=True)
    step(np.ones(3, np.float32))
    built = compilations()
    for name, number in {"learning_rate": 0.25, "beta_1": 0.5, "epsilon": 1e-3, "weight_decay": 0.2}.items():
        setattr(optimizer, name, number)
        step(np.ones(3, np.float32))
    assert compilations() == built
    assert step.report()["traces"] == 4  # a learning rate is a variable


@pytest.mark.parametrize("name", ["SGD", "Adam", "Nadam"])
def test_the_first_call_compiles_though_model_and_optimizer_are_built_in_it(name: str) -> None:
    layer, optimizer = tj.nn.Dense(2), getattr(tj.optimizers, name)(0.01)
    asked: list[bool] = []

    @tj.compile(strict=True)
    def step(x: Any) -> Any:
        asked.append(isinstance(x, TracedTensor))
        with tj.GradientTape() as tape:
            loss = tj.mean(layer(x) ** 2)
        weights = layer.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    losses = [float(step(np.ones((3, 4), np.float32))) for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]
    assert asked == [True, True]  # the first trace makes the variables, the second one is of a step that has them
    assert step.report()["traces"] == step.report()["compilations"] + step.report()["from_cache"] == 1


def test_a_variable_without_gradient_stays_and_none_at_all_is_an_error() -> None:
    w, b = tj.Variable(1.0, name="w"), tj.Variable(1.0, name="b")
    optimizer = tj.optimizers.SGD(1.0)
    optimizer.apply_gradients([(1.0, w), (None, b)])
    assert (float(w), float(b)) == (0.0, 1.0)
    with pytest.raises(ValueError, match=r"no gradient for any variable \(variable 'w', variable 'b'\)"):
        optimizer.apply_gradients([(None, w), (None, b)])
    assert int(optimizer.iterations) == 1


@pytest.mark.parametrize(
    ("pairs", "error", "match"),
    [
        (lambda w: [(np.ones(3), w)], ShapeError, r"gradient of shape \(3,\) for variable 'w' of shape \(2,\)"),
        (lambda w: [(np.ones(2), w), (np.ones(2), w)], ValueError, "variable 'w' comes twice"),
        (lambda w: [(w, np.ones(2))], TypeError, "pairs of gradient and variable, got ndarray for a variable"),
        (lambda w: [np.ones(2), np.ones(2)], TypeError, r"got ndarray; zip\(gradients, variables\) makes them"),
        (lambda w: [], ValueError, "a zip that was gone through has no more"),
        (lambda w: [(1, tj.Variable(1))], DtypeError, "int64 can't be trained"),
    ],
)
def test_pairs_that_do_not_fit(pairs: Any, error: type[Exception], match: str) -> None:
    w, optimizer = tj.Variable([1.0, 2.0], name="w"), tj.optimizers.Adam()
    with pytest.raises(error, match=match):
        optimizer.apply_gradients(pairs(w))
    assert w.tolist() == [1.0, 2.0]
    assert int(optimizer.iterations) == 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"clipnorm": 1.0, "clipvalue": 1.0}, "clipnorm and clipvalue were given"),
        ({"global_clipnorm": 0.0}, "global_clipnorm must be above 0"),
        ({"learning_rate": -1.0}, "learning_rate must be at least 0"),
        ({"learning_rate": [0.1, 0.2]}, r"learning_rate is a number, got one of shape \(2,\)"),
        ({"momentum": 2.0}, "momentum must be from 0 to 1"),
        ({"use_ema": True, "ema_momentum": 2.0}, "ema_momentum must be from 0 to 1"),
        ({"ema_overwrite_frequency": 0}, "ema_overwrite_frequency is 1 at least"),
    ],
)
def test_settings_out_of_range(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        tj.optimizers.SGD(**options)


def test_a_learning_rate_that_is_none() -> None:
    for rate in (None, "0.1"):
        with pytest.raises(TypeError, match="SGD: learning_rate is a number, a variable or a function, got"):
            tj.optimizers.SGD(rate)


def test_minimize_and_averages() -> None:
    w = tj.Variable(4.0)
    optimizer = tj.optimizers.SGD(0.25, use_ema=True, ema_momentum=0.5)
    optimizer.minimize(lambda: w * w, [w])
    with tj.GradientTape() as tape:
        loss = w * w
    optimizer.minimize(loss, [w], tape)
    assert float(w) == 1.0
    optimizer.finalize_variable_values([w])
    assert float(w) == 1.5
    with pytest.raises(ValueError, match="needs its tape="):
        optimizer.minimize(loss, [w])
    with pytest.raises(ValueError, match="no averages are kept"):
        tj.optimizers.SGD().finalize_variable_values([w])


def test_an_average_follows_a_variable_without_gradient_and_one_that_comes_later() -> None:
    first, second, late = (tj.Variable([float(n)], name=f"v{n}") for n in (1, 2, 3))
    optimizer = tj.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    optimizer.apply_gradients([(np.ones(1), first), (None, second)])
    optimizer.apply_gradients([(np.ones(1), first), (np.ones(1), second), (np.ones(1), late)])
    optimizer.finalize_variable_values([first, second, late])
    # 0, -1 for the first; 2, 1 for the second; 3 (its beginning), 2 for the late one
    assert [float(each[0]) for each in (first, second, late)] == [-0.5, 1.5, 2.5]
    with pytest.raises(ValueError, match="there is no average of a variable of shape"):
        optimizer.finalize_variable_values([tj.Variable(1.0)])


def test_slots_are_those_of_all_variables_that_were_given() -> None:
    """So their order, and the names in a file, don't depend on which of them had a gradient first."""
    w, b, count = tj.Variable(1.0, name="w"), tj.Variable(1.0, name="b"), tj.Variable(1)
    optimizer = tj.optimizers.SGD(1.0, momentum=0.5)
    assert not optimizer.built
    optimizer.apply_gradients([(None, w), (1.0, b), (None, count)])
    assert optimizer.built
    assert [variable.name for variable in optimizer.variables[2:]] == ["sgd/w/momentum", "sgd/b/momentum"]
    optimizer.apply([None, 1.0])
    optimizer.apply([1.0], [w])
    assert (float(w), float(b)) == (0.0, -1.5)
    with pytest.raises(ValueError, match="1 gradients for 2 variables"):
        optimizer.apply([1.0])
    with pytest.raises(TypeError, match="build takes variables, got float"):
        optimizer.build([1.0])  # type: ignore[list-item]


@pytest.mark.parametrize("compiled", [False, True])
def test_variables_that_do_not_decay(compiled: bool) -> None:
    names = ("dense/kernel", "dense/bias", "scale")
    variables = [tj.Variable(1.0, name=name) for name in names]
    optimizer = tj.optimizers.AdamW(0.5, 0.5)
    optimizer.exclude_from_weight_decay(var_list=[variables[2]], var_names=["bias"])
    run: Any = lambda: optimizer.apply_gradients([(0.0, variable) for variable in variables])  # noqa: E731
    step = tj.compile(run, strict=True) if compiled else run
    step()
    assert [float(variable) for variable in variables] == [0.75, 1.0, 1.0]
    optimizer.exclude_from_weight_decay()
    step()
    assert [float(variable) for variable in variables] == [0.5625, 0.75, 0.75]


@pytest.mark.parametrize("compiled", [False, True])
def test_what_a_setting_needs_is_made_when_it_changes(compiled: bool) -> None:
    w, other, optimizer = tj.Variable(0.0), tj.Variable(0.0), tj.optimizers.SGD(1.0)
    optimizer.build([other])
    run: Any = lambda: optimizer.apply_gradients([(1.0, w)])  # noqa: E731
    step = tj.compile(run, strict=True) if compiled else run
    step()
    optimizer.momentum, optimizer.use_ema, optimizer.ema_momentum = 0.5, True, 0.5
    step()
    step()
    assert float(w) == -3.5
    optimizer.finalize_variable_values([w])
    assert float(w) == -2.5  # of -1, -2 and -3.5


def test_slots_are_named_and_made_once() -> None:
    w = tj.Variable(np.ones(2, np.float32), name="w")
    optimizer = tj.optimizers.Adam(amsgrad=True)
    optimizer.build([w])
    optimizer.build([w])
    names = [variable.name for variable in optimizer.variables]
    shared = ["adam/iterations", "adam/learning_rate"]
    assert names == [*shared, "adam/w/momentum", "adam/w/velocity", "adam/w/velocity_hat"]
    assert {variable.dtype.name for variable in optimizer.variables[2:]} == {"float32"}


def test_norms_and_clipping() -> None:
    gradients = [tj.constant([3.0]), None, tj.constant([[4.0]])]
    assert float(tj.optimizers.global_norm(gradients)) == 5.0
    clipped, norm = tj.optimizers.clip_by_global_norm(gradients, clip_norm=1.0)
    assert float(norm) == 5.0
    np.testing.assert_allclose(clipped[0].numpy(), [0.6])
    assert clipped[1] is None
    assert tj.optimizers.clip_by_norm(tj.constant([0.0, 0.0]), 1.0).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="no gradient that is not None"):
        tj.optimizers.global_norm([None])


def test_a_schedule_says_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="2 boundaries need 3 values, got 2"):
        schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2])
    for make in (schedules.CosineDecay, schedules.PolynomialDecay, schedules.CosineDecayRestarts):
        with pytest.raises(ValueError, match="decay_steps must be above 0, got 0"):
            make(0.1, 0)
    with pytest.raises(ValueError, match="ExponentialDecay: decay_steps must be above 0, got -1"):
        schedules.ExponentialDecay(0.1, -1, 0.5)
    with pytest.raises(ValueError, match="Lion: beta_1 must be above 0"):
        tj.optimizers.Lion(beta_1=0.0)
    with pytest.raises(ValueError, match="boundaries must increase"):
        schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3])
