"""Loading machine code, and what is refused."""

import gc
import re
import shutil
import struct
import subprocess
import threading
import weakref
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from tapejit.kernel import assembly, objects, targets

IDENTITY = """
define i64 @kernel(ptr %table, i64 %stage, i64 %lo, i64 %hi) {
  %sum = add i64 %lo, %hi
  ret i64 %sum
}
"""
CALLS = """
declare double @{name}(double)
define i64 @kernel(ptr %table, i64 %stage, i64 %lo, i64 %hi) {{
  %x = load double, ptr %table
  %y = call double @{name}(double %x)
  store double %y, ptr %table
  ret i64 0
}}
"""


def emit(text: str, triple: str | None = None) -> bytes:
    """Machine code without the checks of `assemble`."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_triple(triple or llvm.get_process_triple()).create_target_machine(codemodel="large")
    module = llvm.parse_assembly(text)
    if triple is not None:
        module.triple = triple
    return machine.emit_object(module)


def assembled(kernel: str, *more: str) -> assembly.BuiltObject:
    """The checked machine code of `kernel`, turned to the convention that Numba's functions have."""
    body = kernel.replace("i64 @kernel(", "i32 @body(ptr %result, ptr %trouble, ")
    body = re.sub(r"ret i64 (\S+)", r"store i64 \1, ptr %result\n  ret i32 0", body)
    return assembly.assemble([body, *more], "kernel", "body", 0.0)


def test_a_kernel_runs() -> None:
    built = assembled(IDENTITY)
    kernel = objects.load(built.code, "kernel", built.symbols)
    assert kernel.call(0, 0, 3, 2**40) == 3 + 2**40
    assert kernel.address
    assert kernel.seconds < 5


def test_a_function_of_the_c_library_is_found() -> None:
    built = assembled(CALLS.format(name="expm1"))
    assert built.symbols == ("expm1",)
    cell = np.array([0.5])
    assert objects.load(built.code, "kernel", built.symbols).call(cell.ctypes.data, 0, 0, 0) == 0
    assert cell[0] == pytest.approx(np.expm1(0.5), rel=1e-15)


def test_linked_modules_are_one_object() -> None:
    first = CALLS.format(name="twice")
    second = "define double @twice(double %x) {\n  %y = fadd double %x, %x\n  ret double %y\n}"
    built = assembled(first, second)
    assert built.symbols == ()


def test_code_that_calls_into_python_is_refused() -> None:
    text = CALLS.format(name="PyFloat_AsDouble")
    with pytest.raises(objects.UnknownSymbol, match="PyFloat_AsDouble"):
        assembled(text)
    with pytest.raises(objects.UnknownSymbol, match="PyFloat_AsDouble"):
        objects.load(emit(text), "kernel", ())


def test_an_allowed_function_that_is_not_in_the_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (assembly, objects):
        monkeypatch.setattr(module, "ALLOWED_SYMBOLS", objects.ALLOWED_SYMBOLS | {"no_such_function"})
    built = assembled(CALLS.format(name="no_such_function"))
    with pytest.raises(objects.UnknownSymbol, match="doesn't have"):
        objects.load(built.code, "kernel", built.symbols)


def test_a_recorded_symbol_is_checked_as_well() -> None:
    with pytest.raises(objects.UnknownSymbol, match="system"):
        objects.load(emit(IDENTITY), "kernel", ("system",))


def test_a_missing_function_is_an_error() -> None:
    with pytest.raises(objects.UnknownSymbol, match="other"):
        objects.load(emit(IDENTITY), "other", ())


def test_what_is_no_object_file_is_an_error() -> None:
    with pytest.raises(ValueError, match="ELF"):
        objects.load(b"not machine code", "kernel", ())


@pytest.mark.parametrize("suffix", ["linux-gnu", "apple-macosx", "pc-windows-msvc"])
def test_undefined_symbols_of_every_format(suffix: str) -> None:
    machine = llvm.get_process_triple().split("-")[0]
    text = CALLS.format(name="expm1") + "declare void @never_called()\n"
    text += "declare double @a_rather_long_name(double)\n" + IDENTITY.replace("@kernel", "@other").replace(
        "%sum = add i64 %lo, %hi",
        "%sum = add i64 %lo, %hi\n  %z = call double @a_rather_long_name(double 1.0)",
    )
    assert objects.undefined_symbols(emit(text, f"{machine}-{suffix}")) == ("a_rather_long_name", "expm1")


@pytest.mark.skipif(shutil.which("nm") is None, reason="compares with nm")
def test_undefined_symbols_are_what_nm_says(tmp_path: Path) -> None:
    path = tmp_path / "kernel.o"
    path.write_bytes(emit(CALLS.format(name="log1p")))
    listed = subprocess.run(["nm", "-u", path], check=True, capture_output=True, text=True).stdout
    assert listed.split() == ["U", *objects.undefined_symbols(path.read_bytes())]


def test_a_damaged_object_never_reads_past_its_end() -> None:
    code = emit(IDENTITY)
    with pytest.raises((ValueError, struct.error)):
        objects.undefined_symbols(code[: len(code) // 2])


def test_the_engine_lives_as_long_as_the_kernel() -> None:
    kernel = objects.load(emit(IDENTITY), "kernel", ())
    engine = weakref.ref(kernel.call.engine)
    call = kernel.call
    del kernel
    gc.collect()
    assert engine() is not None
    assert call(0, 0, 1, 1) == 2
    del call
    gc.collect()
    assert engine() is None


def test_kernels_load_and_run_from_many_threads() -> None:
    code, results = emit(IDENTITY), []

    def work(n: int) -> None:
        results.append(objects.load(code, "kernel", ()).call(0, 0, n, n))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [2 * n for n in range(8)]


def test_the_host_has_a_name_and_features() -> None:
    name, features = targets.host_cpu()
    assert name
    assert all(feature[0] in "+-" for feature in features.split(",") if feature)
