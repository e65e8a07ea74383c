"""Scalar functions that LLVM vectorises: exp, log, sin, … of our own, for one number and for vectors of numbers.

Kernels call them by name; `linking` tells LLVM which vector function stands for which scalar one and writes those that
a kernel came to call. `lanes` is what they are written with; the functions are in files by family. Start reading at
`functions.FUNCTIONS`. Needs llvmlite's text builder, so it is imported where kernels are built only.
"""
