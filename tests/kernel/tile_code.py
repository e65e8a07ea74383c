"""Register tiles as functions to call, made for any target."""

import ctypes
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from tapejit.kernel import targets, tiles
from tapejit.kernel.hints import with_loop_hints
from tapejit.kernel.instructions import FLOATS
from tapejit.kernel.tile_shape import Target, target_of
from tapejit.kernel.vectors import Matrix

HOST = target_of(targets.host_cpu()[1])


def module(dtype: str, body: Callable[..., None], pointers: int = 3) -> ir.Module:
    """One function ``f`` of so many pointers; ``body(builder, *pointers)``."""
    made = ir.Module()
    type_ = FLOATS[dtype].as_pointer()
    function = ir.Function(made, ir.FunctionType(ir.VoidType(), [type_] * pointers), "f")
    b = ir.IRBuilder(function.append_basic_block())
    body(b, *function.args)
    b.ret_void()
    return made


class Code:
    """A module, compiled.

    Parameters
    ----------
    made : ir.Module
        As from `module`.
    cpu, features, triple : str
        What for; the process's own, if not given.
    """

    def __init__(self, made: ir.Module, cpu: str = "", features: str = "", triple: str = "") -> None:
        targets._initialised()
        if triple:
            llvm.initialize_all_targets()
            llvm.initialize_all_asmprinters()
        triple = triple or llvm.get_process_triple()
        host, host_features = targets.host_cpu()
        made.triple = triple
        self.machine = llvm.Target.from_triple(triple).create_target_machine(
            cpu=cpu or host, features=features or ("" if cpu else host_features), opt=3, jit=True
        )
        self.parsed = llvm.parse_assembly(with_loop_hints(made, (), ()))
        self.parsed.verify()
        self.parsed.data_layout = str(self.machine.target_data)
        tuning = llvm.create_pipeline_tuning_options(speed_level=3)
        tuning.loop_vectorization = tuning.loop_interleaving = tuning.loop_unrolling = tuning.slp_vectorization = True
        passes = llvm.create_pass_builder(self.machine, tuning)
        passes.getModulePassManager().run(self.parsed, passes)

    def assembly(self) -> str:
        """The machine code as text."""
        return str(self.machine.emit_assembly(self.parsed))

    def function(self, pointers: int = 3) -> Callable[..., None]:
        """The function, for arrays; only for the process's own architecture."""
        engine = llvm.create_mcjit_compiler(self.parsed, self.machine)
        engine.finalize_object()
        call: Any = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * pointers)(engine.get_function_address("f"))
        call.engine = engine

        def run(*arrays: np.ndarray) -> None:
            call(*(array.ctypes.data for array in arrays))

        run.call = call  # type: ignore[attr-defined]
        return run


def product_module(
    dtype: str, shape: tuple[int, int, int], strides: tuple[int, int, int, int, int], target: Target = HOST
) -> ir.Module:
    """``f(x, y, z)``: the product, with the rows' and columns' distances of x and y and the rows' of z."""

    def body(b: ir.IRBuilder, x: Any, y: Any, z: Any) -> None:
        left, right = Matrix(x, *strides[:2]), Matrix(y, *strides[2:4])
        tiles.product(b, dtype, shape, left, right, Matrix(z, strides[4], 1), target)

    return module(dtype, body)
