"""`check_finite`: a step whose numbers stop being numbers says where, and assigns nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import NotFiniteError, TapejitWarning


def make(options: dict[str, Any], reads: bool = False) -> tuple[Callable[..., Any], tj.Variable]:
    w = tj.Variable([1.0, 2.0], name="w")

    def step(x: Any) -> Any:
        safe = tj.where(x > 0, tj.log(x), -1.0)  # makes infinities that nobody sees
        with tj.GradientTape() as tape:
            loss = tj.sum(tj.log(w - x) + 0 * safe)
        w.assign_sub(0.25 * tape.gradient(loss, w))
        if reads:
            float(loss.numpy())
        return loss

    return tj.compile(step, **options), w


def test_a_compiled_step_names_the_operation_and_assigns_nothing() -> None:
    step, w = make({"strict": True, "check_finite": True})
    step(np.array([0.0, 0.5], np.float32))
    before = w.numpy()
    for _ in range(2):
        with pytest.raises(
            NotFiniteError, match=r"step: result 0 is not finite: log at .*test_finite.py:\d+ gives nan in"
        ):
            step(np.array([3.0, 0.5], np.float32))
    np.testing.assert_array_equal(w, before)
    with pytest.raises(FloatingPointError, match="is not finite: x came in with nan in 1 of the 2 elements of shape"):
        step(np.array([np.nan, 0.5], np.float32))
    step(np.array([0.0, 0.5], np.float32))
    assert not np.array_equal(w, before)


def test_a_variable_that_is_no_result() -> None:
    w, other = tj.Variable(1e30, name="w"), tj.Variable(0.0)

    @tj.compile(check_finite=True, strict=True)
    def step() -> None:
        other.assign_add(1.0)
        w.assign(w * w)

    with pytest.raises(
        NotFiniteError, match=r"variable 'w' is not finite: multiply at .* gives inf from finite numbers"
    ):
        step.repeat(3)
    assert (float(w), float(other)) == (np.float32(1e30), 0.0)
    w.assign(1.0)
    step()
    assert float(other) == 1.0


def test_an_eager_step_does_the_same() -> None:
    step, w = make({"check_finite": True}, reads=True)
    with pytest.warns(TapejitWarning, match="runs eagerly"):
        step(np.array([0.0, 0.5], np.float32))
    before = w.numpy()
    with pytest.raises(NotFiniteError, match=r"log at .*test_finite.py:\d+ gives"):
        step(np.array([3.0, 0.5], np.float32))
    np.testing.assert_array_equal(w, before)


def test_it_is_off_by_default_and_an_option_like_others() -> None:
    step, w = make({})
    step(np.array([1.0, 0.5], np.float32))
    assert np.isinf(w.numpy()[0])
    checked = tj.compile(step, check_finite=True)
    assert checked is not step
    assert tj.compile(checked, check_finite=True) is checked
    with pytest.raises(NotFiniteError, match="w came in with inf"):
        checked(np.array([0.0, 0.5], np.float32))


def test_epochs_are_checked() -> None:
    step, w = make({"strict": True, "check_finite": True})
    rows = np.array([0.0, 0.25, 0.5, 3.0, 0.0, 0.0], np.float32)
    with pytest.raises(NotFiniteError, match="log at") as caught:
        step.epochs(rows, batch_size=2, shuffle=False)  # type: ignore[attr-defined]
    assert "in epoch 0, step 1" in caught.value.__notes__
    assert np.isfinite(w.numpy()).all()


def test_an_eager_step_gives_back_what_it_only_assigned() -> None:
    w, optimizer = tj.Variable(1.0), tj.optimizers.SGD(0.5)
    seen = tj.Variable(0.0)

    @tj.compile(check_finite=True)
    def step(x: Any) -> None:
        float(x)
        seen.assign(x)
        optimizer.apply_gradients([(tj.log(x), w)])

    with pytest.warns(TapejitWarning, match="runs eagerly"):
        step(np.float32(1.0))
    with pytest.raises(NotFiniteError, match=r"log at .* gives nan from finite numbers; nothing was assigned"):
        step(np.float32(-1.0))
    assert (float(w), float(seen), int(optimizer.iterations)) == (1.0, 1.0, 1)


def test_the_operation_in_the_body_of_a_loop_or_a_branch_is_named() -> None:
    def body(carry: Any, row: Any) -> Any:
        shown = tj.where(row > 0, tj.log(row), 0.0)  # makes infinities that nobody sees
        low = tj.cond(row > 2, lambda: tj.sqrt(2.5 - row), lambda: row)
        return carry + low + 0 * shown, None

    step = tj.compile(lambda rows: tj.scan(body, 0.0, rows)[0], check_finite=True, strict=True)
    step(np.array([0.0, 1.0, 2.25]))
    line = body.__code__.co_firstlineno + 2
    with pytest.raises(NotFiniteError, match=rf"sqrt at .*test_finite.py:{line} gives nan from finite numbers"):
        step(np.array([0.0, 1.0, 3.0]))
