"""Runs, times and shows the two programs."""

import inspect
import platform
import re
import statistics
import sys
import textwrap
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import tapejit as tj

from . import digits, line

LINE_STEPS = 500
DIGITS_STEPS = 200
ROUNDS = 15
SECONDS_OF_A_ROUND = 0.01
WIDTH = 96
INSTALL = "python -m pip install 'tapejit[demo]'    (in a checkout: python -m pip install '.[demo]')"


def main() -> int:
    """Show both programs; returns the exit code."""
    try:
        data = digits.data()
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        print(f"tapejit demo: {error}. Install it with\n\n    {INSTALL}", file=sys.stderr)
        return 1
    print(
        f"tapejit {tj.__version__} on NumPy {np.__version__}, Python {platform.python_version()}, {platform.machine()}"
    )
    show_line()
    show_digits(data)
    return 0


def show_line() -> None:
    """The line fit, eager and compiled."""
    heading(f"1. A line through six points: |error|, {LINE_STEPS} steps of descent from w, b = {line.START}")
    show_program(line.training_step)
    x, y = np.array(line.X_TRAIN, np.float32), np.array(line.Y_TRAIN, np.float32)
    results, steps = [], []
    for compiled in (False, True):
        w, b = tj.Variable(line.START[0]), tj.Variable(line.START[1])
        step: Any = line.training_step(w, b)
        if compiled:
            step = tj.compile(strict=True)(step)
        for _ in range(LINE_STEPS):
            step(line.X_TRAIN, line.Y_TRAIN)
        results.append(f"w = {w.numpy():.7f}, b = {b.numpy():.7f}")
        steps.append(step)
    show_results(results, [partial(step, x, y) for step in steps])
    show_kernel(steps[1])


def show_digits(data: digits.Digits) -> None:
    """Softmax regression, eager and compiled."""
    heading(f"2. Handwritten digits: softmax regression, {len(data.images):,} images, {DIGITS_STEPS} steps")
    show_program(digits.training_step)
    results, steps = [], []
    for compiled in (False, True):
        w, b = tj.Variable(tj.zeros((digits.PIXELS, digits.CLASSES))), tj.Variable(tj.zeros(digits.CLASSES))
        step: Any = digits.training_step(w, b)
        if compiled:
            step = tj.compile(strict=True)(step)
        loss = [step(data.images, data.labels) for _ in range(DIGITS_STEPS)][-1]
        share = digits.accuracy(w, b, data)
        results.append(f"loss {float(loss):.4f}, {share:.1%} of {len(data.held_out_images)} held-out digits right")
        steps.append(step)
    show_results(results, [partial(step, data.images, data.labels) for step in steps])
    show_kernel(steps[1])


def show_results(results: list[str], calls: list[Callable[[], object]]) -> None:
    """What the eager and the compiled step came to, and the time of one step of each."""
    seconds = median_seconds(calls)
    print()
    for mode, result, taken in zip(("eager", "compiled"), results, seconds, strict=True):
        print(f"    {mode:10}{result:58}{1e6 * taken:10.1f} µs a step")
    print(f"\n    The compiled step is {seconds[0] / seconds[1]:.1f} times as fast (medians of {ROUNDS} rounds).")


def show_kernel(step: tj.CompiledStep) -> None:
    """The generated source, and what the step's report says."""
    report = step.report()
    if report["from_cache"]:
        origin = f"from the kernel store in {report['load_seconds']:.3f} s, Numba was not needed"
    else:
        origin = f"compiled now in {report['compile_seconds']:.2f} s; later processes load it from the kernel store"
    print(f"\n    The kernel ({origin}):")
    show_text(step.source())
    print("\n    Its report():\n")
    for name, value in report.items():
        print(f"      {name:20}{f'{value:.6f}' if isinstance(value, float) else value}")


def heading(text: str) -> None:
    """A line above a part."""
    print(f"\n{text}\n{'=' * len(text)}")


def show_program(function: Callable[..., object]) -> None:
    """The step that `function` defines and returns, without its annotations."""
    body = inspect.getsource(function).partition('"""\n\n')[2].rpartition("\n    return")[0]
    show_text(re.sub(r": Any\b| -> \w+", "", body))


def show_text(text: str) -> None:
    """A program, indented, with long lines wrapped."""
    print()
    for source_line in textwrap.dedent(text).strip("\n").splitlines():
        indent = " " * (6 + len(source_line) - len(source_line.lstrip()))
        wrapped = textwrap.wrap(
            source_line.strip(), WIDTH, initial_indent=indent, subsequent_indent=indent + "        ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        print("\n".join(wrapped))


def median_seconds(calls: list[Callable[[], object]]) -> list[float]:
    """The median time of one call of each, in rounds that alternate between them."""
    counts = [max(1, round(SECONDS_OF_A_ROUND / seconds_of(call, 3))) for call in calls]
    rounds = [[seconds_of(call, count) for call, count in zip(calls, counts, strict=True)] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def seconds_of(call: Callable[[], object], count: int) -> float:
    """Seconds of one of `count` calls."""
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


if __name__ == "__main__":
    sys.exit(main())
