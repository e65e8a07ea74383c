"""Object files that tapejit loads by itself, and those that it leaves to LLVM."""

import ctypes
import gc
import platform
import subprocess
import sys
import weakref
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

import tapejit as tj
from tapejit.kernel import elf, host, objects, targets

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="what is loaded is ELF for x86-64"
)

# Constants, a table of jumps, a function of its own, functions of the C library with arguments of both kinds.
RICH = """
@table = internal constant [4 x double] [double 1.0, double 2.0, double 4.0, double 8.0]
declare double @pow(double, double)
declare ptr @memset(ptr, i32, i64)
define internal double @chosen(i64 %which) noinline {
  switch i64 %which, label %other [i64 0, label %zero  i64 1, label %one  i64 2, label %two  i64 3, label %three
                                   i64 4, label %four  i64 5, label %five]
zero:
  ret double 0.5
one:
  ret double 0x3FF921FB54442D18
two:
  ret double -3.0
three:
  ret double 7.0
four:
  ret double 11.0
five:
  ret double 13.0
other:
  %place = and i64 %which, 3
  %at = getelementptr double, ptr @table, i64 %place
  %value = load double, ptr %at
  ret double %value
}
define i64 @kernel(ptr %out, i64 %stage, i64 %lo, i64 %hi) {
  %x = call double @chosen(i64 %lo)
  %y = call double @pow(double %x, double 3.0)
  %end = getelementptr double, ptr %out, i64 1
  %kept = call ptr @memset(ptr %end, i32 255, i64 8)
  store double %y, ptr %out
  ret i64 %hi
}
"""


def emit(text: str, triple: str = "", **options: str) -> bytes:
    """Machine code as kernels are written, unless `options` say otherwise."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(triple or llvm.get_process_triple())
    machine = target.create_target_machine(**{"codemodel": "jitdefault", "reloc": "static", **options}, jit=not triple)
    module = llvm.parse_assembly(text)
    if triple:
        module.triple = triple
    return machine.emit_object(module)


def run(address: int, which: int) -> tuple[bytes, int]:
    out = np.zeros(2)
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)(address)
    return (out.tobytes(), 0) if function(out.ctypes.data, 0, which, 7) != 7 else (out.tobytes(), 7)


def test_it_does_what_llvm_s_loader_does() -> None:
    code = emit(RICH)
    image = elf.placed(code, "kernel")
    assert image is not None
    engine = targets.engine_with(code)
    for which in range(10):
        found = run(image.address, which)
        assert found == run(engine.get_function_address("kernel"), which)
        assert found[0][8:] == b"\xff" * 8
    assert np.frombuffer(run(image.address, 3)[0])[0] == 343


def test_kernels_are_loaded_so(tmp_path: Path) -> None:
    step = tj.compile(lambda x: tj.sort(tj.erf(x) @ x) + tj.sum(x, axis=0), strict=True, cache=False)
    step(np.ones((40, 40)))
    kernel = step.executable_for(np.ones((40, 40))).kernel
    assert isinstance(kernel.loaded.call.engine, elf.Image)


def test_no_memory_is_writable_and_executable() -> None:
    image = elf.placed(emit(RICH), "kernel")
    assert image is not None
    modes = {}
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, mode, *_ = line.split()
        first, last = (int(each, 16) for each in where.split("-"))
        modes[first, last] = mode
    (mode,) = [mode for (first, last), mode in modes.items() if first <= image.address < last]
    assert mode == "r-xp"


def test_memory_is_given_back() -> None:
    kernel = objects.load(emit(RICH), "kernel", ())
    image, call, address = weakref.ref(kernel.call.engine), kernel.call, kernel.address
    del kernel
    gc.collect()
    assert image() is not None
    assert call(np.zeros(2).ctypes.data, 0, 1, 5) == 5
    del call
    gc.collect()
    assert image() is None
    held = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
    assert not any(int(first, 16) <= address < int(last, 16) for first, last in held)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(lambda: emit(RICH, reloc="pic", codemodel="small"), id="addresses in a table"),
        pytest.param(lambda: emit(RICH, codemodel="small"), id="short addresses"),
        pytest.param(lambda: emit("@cell = global i64 7\n" + RICH), id="memory to write"),
        pytest.param(lambda: emit("@cell = thread_local global i64 7\n" + RICH), id="memory of a thread"),
        pytest.param(lambda: emit(RICH, "aarch64-linux-gnu", codemodel="large"), id="aarch64"),
        pytest.param(lambda: emit(RICH, "x86_64-apple-macosx"), id="Mach-O"),
        pytest.param(lambda: emit(RICH, "x86_64-pc-windows-msvc"), id="COFF"),
        pytest.param(lambda: emit(RICH.replace("@pow", "@no_such_function")), id="a function that nobody has"),
        pytest.param(lambda: emit(RICH.replace("@kernel", "@another")), id="without the function"),
        pytest.param(lambda: emit(RICH)[:-100], id="cut off"),
        pytest.param(lambda: b"", id="nothing"),
    ],
)
def test_what_is_not_plain_is_left_to_llvm(code: "object") -> None:
    assert callable(code)
    try:
        data = code()
    except RuntimeError as error:  # LLVM without this target
        pytest.skip(str(error))
    assert elf.placed(data, "kernel") is None


def test_a_system_that_lets_nobody_execute_memory_is_left_to_llvm(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(elf, "_protect", refuse)
    kernel = objects.load(emit(RICH), "kernel", ())
    assert isinstance(kernel.call.engine, llvm.ExecutionEngine)
    assert run(kernel.address, 3)[1] == 7


STORED = """
import sys
import numpy as np
import tapejit as tj
step = tj.compile(lambda x: tj.tanh(x) @ x, strict=True)
step(np.ones((200, 200), np.float32))
print(step.report()["from_cache"], *sorted({"numba", "llvmlite", "tapejit.kernel.emission"} & set(sys.modules)))
"""


def test_a_process_that_finds_its_kernel_imports_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEJIT_CACHE_DIR", str(tmp_path))
    told = [
        subprocess.run([sys.executable, "-W", "error", "-c", STORED], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert told == ["0 llvmlite numba tapejit.kernel.emission\n", "1\n"]


def test_the_machine_is_told_as_llvm_does() -> None:
    told, features = host.features().split(","), targets.host_cpu()[1].split(",")
    for name in ("avx2", "avx512f", "avx512dq", "avx512bw", "avx512vl", "fma"):
        assert (f"+{name}" in told) == (f"+{name}" in features)
    assert host.description() == host.description()
    assert platform.machine() in host.description()


def test_a_level_is_told_by_llvm(monkeypatch: pytest.MonkeyPatch) -> None:
    native = host.description()
    monkeypatch.setenv("TAPEJIT_CPU", "x86-64-v2")
    targets.target_cpu.cache_clear()
    try:
        assert host.description() == (targets.platform_triple(), *targets.target_cpu()) != native
        assert "+avx2" not in host.features()
    finally:
        monkeypatch.undo()
        targets.target_cpu.cache_clear()


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ("processor\t: 0\n{all}\nprocessor\t: 1\nflags\t: other\n", True),
        ("{all}", True),
        ("processor\t: 0\nBogoMIPS\t: 50\nFeatures\t: fp asimd\n\n", False),
        ("", False),
    ],
)
def test_the_first_core_is_what_counts(told: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
    (tmp_path / "cpuinfo").write_text(told.format(all="".join(f"{name}\t: {name} it has\n" for name in names)))
    real = open
    monkeypatch.setattr("builtins.open", lambda path, **options: real(tmp_path / "cpuinfo", **options))
    found = host._cpu.__wrapped__()
    assert found == ({name: f"{name} it has" for name in names} if known else None)


def test_elsewhere_llvm_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_cpu", lambda: None)
    assert host.description() == (targets.platform_triple(), *targets.target_cpu())
    assert host.features() == targets.target_cpu()[1]
