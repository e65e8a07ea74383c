"""Tensors to other libraries and back, through DLPack."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj


class Unversioned:
    """An exporter as a reader from before DLPack 1.0 sees it."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __dlpack__(self, **_: Any) -> Any:
        return self.owner.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.owner.__dlpack_device__()


@pytest.mark.parametrize("make", [tj.asarray, tj.Variable])
def test_numpy_shares_the_memory_and_may_not_write(make: Any) -> None:
    t = make(np.arange(6.0).reshape(2, 3))
    array = np.from_dlpack(t)
    np.testing.assert_array_equal(array, t.numpy())
    assert np.shares_memory(array, t.numpy())
    assert not array.flags.writeable
    assert t.__dlpack_device__() == (1, 0)


def test_a_variable_that_is_assigned_leaves_what_was_exported() -> None:
    v = tj.Variable([1.0, 2.0])
    array = np.from_dlpack(v)
    v.assign([5.0, 6.0])
    assert array.tolist() == [1.0, 2.0]


def test_a_copy_is_the_readers_own() -> None:
    t = tj.asarray([1.0, 2.0])
    array = np.from_dlpack(t, copy=True)
    array[0] = 7.0
    assert t.tolist() == [1.0, 2.0]


def test_who_does_not_know_read_only_arrays_gets_a_copy() -> None:
    t = tj.asarray([1.0, 2.0])
    assert not np.shares_memory(np.from_dlpack(Unversioned(t)), t.numpy())
    with pytest.raises(BufferError):
        t.__dlpack__(copy=False)


def test_what_comes_in_is_copied() -> None:
    array = np.arange(3.0)
    for owner in (array, Unversioned(array)):
        t = tj.from_dlpack(owner)
        assert isinstance(t, tj.Tensor)
        array[0] += 1.0
        assert float(t[0]) == array[0] - 1.0


def test_what_does_not_speak_dlpack_is_refused() -> None:
    with pytest.raises(tj.errors.DtypeError, match="list has no __dlpack__"):
        tj.from_dlpack([1.0])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0, 2), (2, 3)])
def test_round_trips(dtype: str, shape: tuple[int, ...]) -> None:
    t = tj.ones(shape, dtype=dtype)
    again = tj.from_dlpack(np.from_dlpack(t))
    assert (again.shape, again.dtype) == (t.shape, t.dtype)
    np.testing.assert_array_equal(again.numpy(), t.numpy())


def test_strides_go_along() -> None:
    t = tj.asarray(np.arange(6.0).reshape(2, 3)).T
    np.testing.assert_array_equal(tj.from_dlpack(np.from_dlpack(t)).numpy(), t.numpy())


def test_a_tensor_stays_on_the_tape() -> None:
    x = tj.constant([1.0, 2.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.sum(tj.from_dlpack(x) ** 2)
    assert tape.gradient(y, x).tolist() == [2.0, 4.0]


def test_a_step_that_hands_a_tensor_out_runs_eagerly() -> None:
    @tj.compile
    def step(x: Any) -> Any:
        return float(np.from_dlpack(x).sum()) * x

    with pytest.warns(tj.errors.TapejitWarning):
        found = step(np.array([1.0, 2.0]))
    assert found.tolist() == [3.0, 6.0]


def test_a_reader_that_lets_its_users_write_gets_a_copy() -> None:
    reader: dict[str, Any] = {"__name__": "torch.utils.dlpack"}
    exec("def read(t, **options):\n    return t.__dlpack__(max_version=(1, 0), **options)", reader)

    class Read:
        def __init__(self, t: Any, **options: Any) -> None:
            self.t, self.options = t, options

        def __dlpack__(self, **_: Any) -> Any:
            return reader["read"](self.t, **self.options)

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.t.__dlpack_device__()

    v = tj.Variable([1.0, 2.0])
    array = np.from_dlpack(Read(v))
    assert array.flags.writeable
    array[0] = 7.0
    assert v.tolist() == [1.0, 2.0]
    assert np.shares_memory(np.from_dlpack(Read(v, copy=False)), v.numpy())  # who says so takes care


def test_a_dtype_that_numpy_has_not_is_refused() -> None:
    class BrainFloats:
        def __dlpack__(self, **_: Any) -> Any:
            raise RuntimeError("Unsupported dtype in DLTensor.")

        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

    with pytest.raises(tj.errors.DtypeError, match="NumPy can't read the BrainFloats: Unsupported dtype"):
        tj.from_dlpack(BrainFloats())


@pytest.mark.parametrize("options", [{"dl_device": (2, 0)}, {"max_version": (1, 0), "dl_device": (10, 0)}])
def test_other_devices_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BufferError, match="device"):
        tj.ones(2).__dlpack__(**options)


@pytest.mark.parametrize("version", [(0, 8), (1, 0), (1, 1), (2, 0)])
def test_every_version_of_the_protocol_is_served(version: tuple[int, int]) -> None:
    versioned = "dltensor_versioned" in repr(tj.ones(2).__dlpack__(max_version=version))
    assert versioned == (version >= (1, 0))
