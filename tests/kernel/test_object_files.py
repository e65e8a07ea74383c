"""The C function around a kernel: on every platform it needs that kernel, thread-local variables, and what it names."""

import llvmlite.binding as llvm
import pytest

from tapejit.kernel import object_files, objects
from tapejit.kernel.memory import side_by_side
from tapejit.kernel.messages import Number
from tapejit.kernel.object_files import Entry, Parameter

ENTRY = Entry(
    name="demo",
    slots=6,
    parameters=[Parameter("float64", False, 0), Parameter("bool", True, 1), Parameter("float32", False, None)],
    constants={4: b"constant"},
    libraries={5: "dpotrf_"},
    bundled=(),
    memory=[(3, 1000)],
    given=False,
    details=[2],
    messages=[("OK",), ("index ", Number(0), " is wrong")],
)
THREAD_LOCAL = {"linux-gnu": "__tls_get_addr", "apple-macosx": "_tlv_bootstrap", "pc-windows-msvc": "_tls_index"}


@pytest.mark.parametrize("suffix", THREAD_LOCAL)
def test_what_it_needs(suffix: str) -> None:
    machine = llvm.get_process_triple().split("-")[0]
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(str(object_files._Writer(ENTRY).module))
    module.triple = f"{machine}-{suffix}"
    target = llvm.Target.from_triple(module.triple).create_target_machine(reloc="pic", codemodel="default")
    module.data_layout = str(target.target_data)
    module.verify()
    needed = set(objects.undefined_symbols(target.emit_object(module)))
    assert {"dpotrf_", "tapejit_kernel"} <= needed <= {"dpotrf_", "tapejit_kernel", THREAD_LOCAL[suffix]}


def test_workspaces_begin_at_cache_lines() -> None:
    assert side_by_side([]) == ([], 0)
    assert side_by_side([1, 64, 65]) == ([0, 64, 128], 256)
