"""The C header of an exported function: names, the prototype with shapes in comments, what each status means.

Start reading at `header`.
"""

import re
import unicodedata
from collections.abc import Sequence
from textwrap import wrap

from ..aval import Shape
from ..dataclass import dataclass

_TYPES = {
    "bool": "bool", "float32": "float", "float64": "double",
    **{f"{kind}{bits}": f"{kind}{bits}_t" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}  # fmt: skip
# Of C23 and of C++23, and what headers and compilers define.
KEYWORDS = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class co_await
    co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype default delete do
    double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable
    namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
    requires restrict return short signed sizeof static static_assert static_cast struct switch template this
    thread_local throw true try typedef typeid typename typeof typeof_unqual union unsigned using virtual void volatile
    wchar_t while xor xor_eq int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t
    I NULL EOF NAN INFINITY errno linux unix
    """.split()
)


@dataclass(frozen=True, slots=True)
class Declared:
    """One parameter of the C function."""

    name: str
    dtype: str
    shape: Shape
    is_result: bool

    @property
    def by_value(self) -> bool:
        """Whether it is a number that goes in."""
        return not self.is_result and not self.shape

    def declaration(self) -> str:
        """Such as ``const double *x``."""
        if self.by_value:
            return f"{_TYPES[self.dtype]} {self.name}"
        return f"{'' if self.is_result else 'const '}{_TYPES[self.dtype]} *{self.name}"

    def comment(self) -> str:
        """Dtype, shape, whether it is a result."""
        shape = "".join(f"[{length}]" for length in self.shape)
        return f"{'out: ' if self.is_result else ''}{self.dtype}{shape}"


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says.

    Parameters
    ----------
    name : str
        The function.
    title : str
        What it was called in Python.
    target : str
        The platform that the object is for.
    parameters : sequence of Declared
        In order.
    workspace, on_stack : int
        How many bytes the caller has to pass, and how many the function takes of the stack; 0 for none.
    statuses : sequence of (str, str)
        Names of statuses from 0 on, and what they say.
    frozen : sequence of str
        What the function captured, whose values are in the object.
    libraries : sequence of str
        Functions of BLAS and LAPACK that it calls.
    """

    name: str
    title: str
    target: str
    parameters: Sequence[Declared]
    workspace: int
    on_stack: int
    statuses: Sequence[tuple[str, str]]
    frozen: Sequence[str]
    libraries: Sequence[str]


def c_identifier(text: str) -> str:
    """`text` as a name that C and C++ take: letters of other alphabets by their names, such as ``sigma``."""
    plain = unicodedata.normalize("NFKD", text)
    cleaned = re.sub(r"\W+", "_", "".join(map(_ascii, plain)), flags=re.ASCII).strip("_")
    if not cleaned or cleaned[0].isdigit():
        cleaned = f"v_{cleaned}".rstrip("_")
    return f"{cleaned}_" if cleaned in KEYWORDS else cleaned


def _ascii(letter: str) -> str:
    if letter.isascii():
        return letter
    if unicodedata.combining(letter):
        return ""
    return unicodedata.name(letter, "_").rpartition(" ")[2].lower()


def header(told: Header) -> str:
    """The text of a header."""
    guard = f"{told.name.upper()}_H"
    return "\n".join(
        [
            *_opening(told),
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            "#include <stdbool.h>",
            "#include <stdint.h>",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            *_statuses(told),
            "",
            *_workspace(told),
            *_prototype(told),
            "",
            "/* What a status says, of the last call of this thread: valid until the next call of this function. */",
            f"const char *{told.name}_message(int status);",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            f"#endif /* {guard} */",
            "",
        ]
    )


def _opening(told: Header) -> list[str]:
    linked = "-lm"
    lines = [f"{told.name}: {told.title}, compiled by tapejit", f"for {told.target}."]
    if told.libraries:
        linked = "BLAS and LAPACK with 32-bit integers, such as -lopenblas, and -lm"
        lines.append(f"It calls {', '.join(told.libraries)}.")
    lines.append(f"Link with {linked}.")
    lines.append("")
    lines.append("Arrays are contiguous, the last axis moves fastest. No result may overlap an argument or another")
    lines.append("result. Any number of threads may call it at once; it allocates nothing.")
    if told.on_stack:
        lines.append(f"Its workspace of {told.on_stack} bytes is on the stack.")
    if told.frozen:
        kept = ", ".join(told.frozen).replace("*/", "* /")
        lines += wrap(f"With the values that these had when it was exported: {kept}.", 100)
    return ["/*", *(f" * {line}".rstrip() for line in lines), " */"]


def _statuses(told: Header) -> list[str]:
    lines = [f"enum {told.name}_status {{"]
    for number, (name, text) in enumerate(told.statuses):
        comma = "," if number + 1 < len(told.statuses) else ""
        lines.append(f"    {name} = {number}{comma} /* {text.replace('*/', '* /')} */")
    return [*lines, "};"]


def _workspace(told: Header) -> list[str]:
    if not told.workspace:
        return []
    return [
        "/* Bytes of memory that a call needs, and that no other call uses meanwhile. */",
        f"#define {told.name.upper()}_WORKSPACE {told.workspace}",
        "",
    ]


def _prototype(told: Header) -> list[str]:
    lines = [f"/* Returns {told.statuses[0][0]}, or another status; then the results are undefined. */"]
    rows = [(each.declaration(), each.comment()) for each in told.parameters]
    if told.workspace:
        rows.append(("void *workspace", f"{told.name.upper()}_WORKSPACE bytes"))
    if not rows:
        return [*lines, f"int {told.name}(void);"]
    rows = [(f"{text}{',' if number + 1 < len(rows) else ''}", comment) for number, (text, comment) in enumerate(rows)]
    width = max(len(text) for text, _ in rows)
    return [
        *lines,
        f"int {told.name}(",
        *(f"    {text:<{width}} /* {comment} */" for text, comment in rows),
        ");",
    ]
