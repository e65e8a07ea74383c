"""Plans of calls that are known: what `entrance` reads, as an array of integers.

A plan is a head and then *steps*. Each step looks at one thing: an argument, a guarded value, a variable; and notes in
the kernel's table where the kernel finds it. Here is what stands where; `Plan` writes it, and keeps alive whatever it
refers to. Start reading at `Plan`.
"""

import ctypes
import sys
import types
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np

from ..primitive import new_key
from ..tensor import Tensor
from .memory import address_of


class Head(IntEnum):
    """The words at the beginning of a plan."""

    COUNT = 0  # of arguments by position
    NAMES = 1  # of arguments by name
    STEPS = 2
    TABLE = 3  # the address of the kernel's table
    KERNEL = 4  # of its function
    MISSED = 5  # the object that says that the call is another one
    RESULTS = 6  # how many results the kernel computes; the last steps are theirs
    IS_ONE = 7  # whether the call returns the result itself, not a tuple
    DONE = 8  # what the call returns if there is none
    TENSOR = 9  # the class, and where tensors have their array and key
    ARRAY = 10
    KEY = 11
    NEW_KEY = 12  # the function that gives keys
    # Functions of Python's:
    HOLD = 13  # Py_NewRef
    DROP = 14  # Py_DecRef
    CALL = 15  # PyObject_CallNoArgs
    ALLOCATE = 16  # PyType_GenericAlloc
    NEW_TUPLE = 17  # PyTuple_New
    SAVE = 18  # PyEval_SaveThread and …
    RESTORE = 19  # PyEval_RestoreThread, or 0 if the kernel keeps the GIL
    FALSE = 20  # the object
    IN_TUPLE = 21  # the word where the items of tuples begin
    UPDATES = 22  # how many variables the kernel assigns; their steps are the last but for those of the results


class Word(IntEnum):
    """The words of a step; which of them count depends on its kind."""

    KIND = 0
    OBJECT = 1  # an argument's place, or an object's address
    TYPE = 2  # what type an object must have
    HOP = 3  # the word of an object where another one stands, 0 for the object itself
    WANTED = 4  # what must be found
    OTHER = 5  # what may be found instead, or another argument of a function
    LENGTH = 6  # of a list; how many axes an array has
    LENGTHS = 7  # the address of their lengths
    SLOT = 8  # of the table
    CELL = 9  # a place for a value
    CELL_AT = 10  # its address
    FUNCTION = 11  # the address of a function of Python's
    MAKE = 12  # the object that makes another buffer
    EXPOSED = 13  # where a variable says that its buffer must not be written
    FITS = 14  # whether the kernel may write it otherwise
    SWAPS = 15  # whether this call writes another one


class Kind(IntEnum):
    """What a step looks at."""

    ARRAY = 0  # an argument, or in its field HOP: an array that a kernel can address, of a dtype and shape
    NUMBER = 1  # an argument that is a number and has its bits where numbers have them
    INTEGER = 2  # an argument that is a Python int
    LIST = 3  # an argument that is a list of LENGTH floats
    LOOKS = 4  # a known array still has its dtype and shape
    FIELD = 5  # word HOP of an object is WANTED
    FOUND = 6  # a function of OBJECT and OTHER returns WANTED
    CONTEXT = 7  # a context variable is WANTED or OTHER
    HOLDS = 8  # a Python function returns True
    BUFFER = 9  # a variable's buffer
    RESULT = 10  # an array for a result, made by a Python function
    SAME = 11  # an argument that is the object WANTED
    NAME = 12  # the name of an argument
    UPDATE = 13  # a variable's buffer if it may be written, else another one, in the step's cell


class Field(IntEnum):
    """Where objects have their fields, in words; in halves of words where these are smaller."""

    REFERENCES = 0  # a half
    TYPE = 1
    DATA = 2  # of an array; bits of a number; what a cell or a weak reference refers to
    SIZE = 2
    ITEMS = 3  # of a list
    SHAPE = 4
    DTYPE = 7
    RANK = 6  # a half
    FLAGS = 16  # a half


ADDRESSABLE = 0x101  # C-contiguous and aligned
WORDS = 24  # of a head, and of a step
MOST = 64  # results, and variables that are assigned
_WORD = 8
_IN_TUPLE = tuple.__basicsize__ // _WORD  # another one since Python 3.14, where tuples keep their hash


@cache
def function_address(name: str) -> int:
    """Where a function of Python's C interface is."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def _word(thing: object, index: int) -> int:
    return ctypes.c_int64.from_address(id(thing) + _WORD * index).value


def place_of(kind: type, name: str) -> int:
    """In which word objects of a class keep the attribute that is called `name` in its ``__slots__``."""
    probe: Any = object.__new__(kind)
    sentinel = object()
    setattr(probe, name, sentinel)
    return next(word for word in range(Field.DATA, kind.__basicsize__ // _WORD) if _word(probe, word) == id(sentinel))


@cache
def is_possible() -> bool:
    """Whether Python's and NumPy's objects have their fields where `Field` says, and the GIL keeps others out."""
    if sys.implementation.name != "cpython" or sys.byteorder != "little" or ctypes.sizeof(ctypes.c_void_p) != _WORD:
        return False
    if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():  # noqa: SLF001 (its name)
        return False
    number, floats, cell = 1.5, [0.5, 2.5], types.CellType("content")
    pair = number, floats
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    owner = types.SimpleNamespace
    halves = [ctypes.c_int32.from_address(id(array) + 4 * index).value for index in (Field.RANK, Field.FLAGS)]
    items, shape = _word(floats, Field.ITEMS), _word(array, Field.SHAPE)
    # Before any pointer is followed: the items' room follows their address, the strides the shape.
    if (
        items % _WORD
        or not items
        or not 2 <= _word(floats, Field.ITEMS + 1) <= 8
        or _word(array, Field.SHAPE + 1) != shape + 16
    ):
        return False
    return (
        _word(number, Field.TYPE) == id(float)
        and _word(number, Field.DATA) == _word(np.float64(1.5), Field.DATA) == int(np.float64(1.5).view(np.int64))
        and _word(np.int64(7), Field.DATA) == 7
        and (_word(floats, Field.SIZE), list((ctypes.c_int64 * 2).from_address(items))) == (2, list(map(id, floats)))
        and [_word(pair, word) for word in (Field.SIZE, _IN_TUPLE, _IN_TUPLE + 1)] == [2, id(number), id(floats)]
        and _word(cell, Field.DATA) == id(cell.cell_contents)
        and _word(weakref.ref(owner), Field.DATA) == id(owner)
        and _word(array, Field.DATA) == array.ctypes.data
        and _word(array, Field.DTYPE) == id(array.dtype)
        and tuple((ctypes.c_int64 * 2).from_address(shape)) == array.shape
        and halves == [2, array.flags.num]
        and not array.flags.c_contiguous
    )


class Missed(IntEnum):
    """What an entry returns if the call is not the one of its plan."""

    CALL = 0


MISSED = Missed.CALL


_Make = Callable[[], np.ndarray]


class Plan:
    """Written step by step; `finish` makes a function of it.

    Parameters
    ----------
    count : int
        How many arguments the call has by position.
    names : sequence of str
        Those that it has by name; their places follow.
    table : array of int64
        The kernel's table with all that does not change. The plan has its own, with one more slot, `unread`, for what
        the kernel does not read.
    """

    def __init__(self, count: int, names: Sequence[str], table: np.ndarray) -> None:
        self._count = count
        self._names = names
        self._results = self._updates = 0
        self._steps: list[dict[Word, int]] = []
        self._kept: list[object] = []
        self._table = np.append(table, 0)
        self.unread = len(table)
        for number, name in enumerate(names):
            self._add(Kind.NAME, object=number, wanted=self.keep(sys.intern(name)))

    def keep(self, thing: object) -> int:
        """The address of an object, which lives as long as the plan."""
        self._kept.append(thing)
        return id(thing)

    def _add(self, kind: Kind, **words: int) -> None:
        self._steps.append({Word.KIND: kind} | {Word[name.upper()]: word for name, word in words.items()})

    # Guarded values

    def holds(self, function: Callable[[], bool]) -> None:
        """Ask a Python function; to be written first, as other threads may run meanwhile."""
        self._add(
            Kind.HOLDS, object=self.keep(function), wanted=id(True), function=function_address("PyObject_CallNoArgs")
        )

    def field(self, thing: object, word: int, wanted: int) -> None:
        """Require a word of an object."""
        self._add(Kind.FIELD, object=self.keep(thing), hop=word, wanted=wanted)

    def alive(self, reference: "weakref.ref[object] | None", wanted: int) -> None:
        """Require that a weak reference, if it is one, still leads to the object at an address."""
        if reference is not None:
            self.field(reference, Field.DATA, wanted)

    def content(self, cell: types.CellType, wanted: int) -> None:
        """Require what a cell contains."""
        self.field(cell, Field.DATA, wanted)

    def name(self, namespace: dict[str, object], name: str, wanted: int) -> None:
        """Require what a name stands for in a namespace."""
        function = function_address("PyDict_GetItem")
        key = self.keep(sys.intern(name))
        self._add(Kind.FOUND, object=self.keep(namespace), other=key, wanted=wanted, function=function)

    def code(self, address: int, code: types.CodeType) -> None:
        """Require the code of the function at an address, which is known to be one."""
        function = function_address("PyFunction_GetCode")
        self._add(Kind.FOUND, object=address, wanted=self.keep(code), function=function)

    def looks(self, address: int, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        """Require dtype and shape of the array at an address."""
        self._add(Kind.LOOKS, object=address, **self._like(dtype, shape))

    def context(self, variable: ContextVar[Any], *wanted: object) -> None:
        """Require one of two values of a context variable; the second one is none at all if it is not given."""
        function = function_address("PyContextVar_Get")
        first, second = self.keep(wanted[0]), self.keep(wanted[1]) if len(wanted) > 1 else 0
        self._add(Kind.CONTEXT, object=self.keep(variable), wanted=first, other=second, function=function)

    # Arguments

    def same(self, place: int, thing: object) -> None:
        """Require that an argument is this very object."""
        self._add(Kind.SAME, object=place, wanted=self.keep(thing))

    def array(self, place: int, like: np.ndarray, slot: int, inside: type | None = None, hop: int = 0) -> None:
        """Require an array of this dtype and shape that a kernel can address; or an object that has it in a word."""
        kind = self.keep(np.ndarray if inside is None else inside)
        self._add(Kind.ARRAY, object=place, type=kind, hop=hop, slot=slot, **self._like(like.dtype, like.shape))

    def number(self, place: int, kind: type, slot: int) -> None:
        """Require a Python float or a NumPy number of this type."""
        self._add(Kind.NUMBER, object=place, type=self.keep(kind), slot=slot, cell_at=1)

    def integer(self, place: int, slot: int) -> None:
        """Require a Python int that fits into 64 bits."""
        function = function_address("PyLong_AsLongLongAndOverflow")
        self._add(Kind.INTEGER, object=place, type=self.keep(int), slot=slot, cell_at=1, function=function)

    def floats(self, place: int, memory: np.ndarray, slot: int) -> None:
        """Require a list of as many floats as `memory` takes."""
        self.keep(memory)
        self._table[slot] = address_of(memory)
        self._add(
            Kind.LIST, object=place, type=self.keep(list), wanted=self.keep(float), length=memory.size,
            other=memory.itemsize, cell=address_of(memory),
        )  # fmt: skip

    def _like(self, dtype: np.dtype, shape: tuple[int, ...]) -> dict[str, int]:
        lengths = np.array(shape, np.int64)
        self.keep(lengths)
        return {
            "other": id(np.ndarray), "wanted": self.keep(dtype), "length": len(shape), "lengths": address_of(lengths)
        }  # fmt: skip

    # What the kernel finds by itself

    def buffer(self, variable: object, hop: int, slot: int) -> None:
        """Let the kernel have the array in a word of a variable."""
        self._add(Kind.BUFFER, object=self.keep(variable), hop=hop, slot=slot)

    def update(self, variable: object, buffer: int, exposed: int, slot: int, *, fits: bool, make: _Make) -> None:
        """Let the kernel write a variable, whose buffer is in one word; another says if someone may hold it.

        To be written last but for results. What `make` gives is the variable's buffer after the call, if the kernel
        can't write the one that it has.
        """
        self._updates += 1
        self._add(
            Kind.UPDATE, object=self.keep(variable), hop=buffer, exposed=exposed, slot=slot, fits=fits,
            make=self.keep(make), function=function_address("PyObject_CallNoArgs"),
        )  # fmt: skip

    def result(self, make: _Make, slot: int) -> None:
        """Let the kernel write an array that a function makes; to be written last."""
        self._results += 1
        self._add(Kind.RESULT, object=self.keep(make), slot=slot, function=function_address("PyObject_CallNoArgs"))

    # The function

    def finish(self, entrance: Any, kernel: int, done: object, *, is_one: bool, keeps_gil: bool) -> Callable[..., Any]:
        """A function that returns tensors or `done`, or `MISSED`.

        Parameters
        ----------
        entrance : objects.LoadedKernel
            The machine code that goes through plans.
        kernel : int
            The address of the kernel.
        done : object
            What a call returns that has no results.
        is_one : bool
            Whether the call returns its one result, not a tuple of results.
        keeps_gil : bool
            Whether no other thread may run while the kernel does. If one may, the function is to be called with the
            kernel and its variables locked.
        """
        words = _Words((WORDS * (1 + len(self._steps)),), np.int64)
        words[:] = 0
        start = address_of(words)
        functions = {
            Head.HOLD: "Py_NewRef", Head.DROP: "Py_DecRef", Head.CALL: "PyObject_CallNoArgs",
            Head.ALLOCATE: "PyType_GenericAlloc", Head.NEW_TUPLE: "PyTuple_New",
        }  # fmt: skip
        if not keeps_gil:
            functions |= {Head.SAVE: "PyEval_SaveThread", Head.RESTORE: "PyEval_RestoreThread"}
        head = {
            Head.COUNT: self._count, Head.NAMES: len(self._names), Head.STEPS: len(self._steps),
            Head.TABLE: address_of(self._table), Head.KERNEL: kernel, Head.MISSED: id(MISSED),
            Head.RESULTS: self._results, Head.IS_ONE: is_one, Head.DONE: self.keep(done), Head.TENSOR: id(Tensor),
            Head.ARRAY: place_of(Tensor, "array"), Head.KEY: place_of(Tensor, "key"), Head.NEW_KEY: id(new_key),
            Head.FALSE: id(False), Head.IN_TUPLE: _IN_TUPLE, Head.UPDATES: self._updates,
            **{name: function_address(function) for name, function in functions.items()},
        }  # fmt: skip
        for name, word in head.items():
            words[name] = word
        for number, step in enumerate(self._steps, 1):
            if Word.CELL_AT in step:
                self._table[step[Word.SLOT]] = start + _WORD * (WORDS * number + Word.CELL)
            for place, word in step.items():
                words[WORDS * number + place] = word
        definition = _Definition(b"enter", entrance.address, _FASTCALL | _KEYWORDS, None)
        words.kept = self._kept, self._table, entrance, definition
        return _maker()(ctypes.byref(definition), words, None)  # type: ignore[no-any-return]


class _Words(np.ndarray):
    """The words of a plan, with all that they refer to."""

    kept: Any


class _Definition(ctypes.Structure):
    """`PyMethodDef`."""

    _fields_ = (
        ("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int), ("text", ctypes.c_char_p),
    )  # fmt: skip


_FASTCALL, _KEYWORDS = 0x80, 0x02


@cache
def _maker() -> Any:
    """What makes a built-in function of a definition and its ``self``."""
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return make(("PyCFunction_NewEx", ctypes.pythonapi))
