"""From loop plans to running machine code.

The lowest floor of this room, ground floor first:

* `runtime`: what the text of a kernel may name, as plain Python and NumPy; the oracle of the tests.
* `objects`: machine code made from LLVM's text, checked, loaded (imports llvmlite).
* `build`: from source text to machine code (imports Numba).
* `user_code`: scalar functions of the user's, linked into it.
* `scalar_functions`: what these are, and what their code depends on; `each`: they in eager mode.
* `store`, `blas`: machine code on disk; matrix products by address.
* `door`: the one lazy way to `build` and `objects`; ``import tapejit`` loads neither Numba nor llvmlite.
"""
