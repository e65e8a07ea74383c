import numpy as np
import pytest

from benchmarks.workload import Check, Limit, Target, returning, verdict

WANT = {"w": np.array([1.0, 2.0], np.float32), "b": np.array(3.0, np.float32)}


def with_w(*w, dtype=np.float32):
    return {**WANT, "w": np.array(w, dtype)}


def test_results_within_the_tolerances_agree() -> None:
    assert Check(1, rtol=1e-3, atol=0.0).differences(WANT, with_w(1.0005, 2.0)) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (with_w(1.1, 2.0), "w is off by 0.1"),
        (with_w(float("nan"), 2.0), "w is off by nan"),
        (with_w(1.0, 2.0, dtype=np.float64), "w is float64(2,), expected float32(2,)"),
        (with_w(1.0), "w is float32(1,), expected float32(2,)"),
        ({"w": WANT["w"]}, "results are ['w'], expected ['b', 'w']"),
    ],
    ids=["value", "nan", "dtype", "shape", "names"],
)
def test_what_differs_is_said(found, said) -> None:
    (difference,) = Check(1, rtol=1e-3, atol=0.0).differences(WANT, found)
    assert difference.startswith(said)


def test_a_scaled_tolerance_is_a_part_of_the_largest_value() -> None:
    want, found = {"ct": np.array([0.0, 1000.0])}, {"ct": np.array([0.5, 1000.0])}
    assert Check(1, rtol=0.0, atol=1e-3).differences(want, found)
    assert not Check(1, rtol=0.0, atol=1e-3, scaled=True).differences(want, found)
    assert Check(1, rtol=0.0, atol=1e-4, scaled=True).differences(want, found)


def test_a_target_is_a_ratio_of_medians() -> None:
    target = Target("tapejit", "peer", 0.5)
    assert target.found({"tapejit": 1.0, "peer": 4.0}) == 0.25
    assert target.found({"tapejit": 1.0}) is None
    assert target.found({"peer": 4.0}) is None


def test_a_verdict_is_of_what_was_measured() -> None:
    assert verdict(0.5, 0.5) == "holds"
    assert verdict(0.51, 0.5) == "**misses**"
    assert verdict(None, 0.5) == verdict(0.5, None) == "not measured"


def test_a_limit_is_measured_by_what_differs_from_its_own_figure() -> None:
    assert Limit("long", "e", "ready", times=4.0, of="short").other == ("short", "e", "ready")
    assert Limit("mlp", "e", "stored", times=0.5, peer="p", peer_figure="cold").other == ("mlp", "p", "cold")


def test_a_session_without_state_has_the_results_of_its_last_call() -> None:
    count, waited = 0, []

    def call():
        nonlocal count
        count += 1
        return count, -count

    session = returning(("up", "down"), call, lambda found: waited.append(list(found)))
    session.step()
    session.step()
    session.wait()
    assert {name: value.item() for name, value in session.result().items()} == {"up": 2, "down": -2}
    assert waited == [[2, -2]]


def test_a_target_says_what_limits_it_where_it_is_missed() -> None:
    target = Target("ours", "theirs", 0.5, "memory")
    assert target.verdict(0.5) == "holds"
    assert target.verdict(0.6) == "**misses**: memory"
    assert target.verdict(None) == "not measured"
    assert Target("ours", "theirs", 0.5).verdict(0.6) == "**misses**"
