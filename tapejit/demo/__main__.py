"""Runs, times and shows the two programs."""

import importlib.util
import inspect
import io
import platform
import re
import runpy
import statistics
import sys
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tapejit as tj

from . import digits, line, pictures

LINE_STEPS = 500
COMPARED = 3  # steps
ROUNDS = 15
SECONDS_OF_A_ROUND = 0.01
WIDTH = 96
BAR = 40
INSTALL = "python -m pip install 'tapejit[demo]'    (in a checkout: python -m pip install '.[demo]')"


def main(picture: Path | None = None) -> int:
    """Show both programs, and draw into a file if there is one; returns the exit code."""
    if picture is not None and not picture.absolute().parent.is_dir():
        print(f"tapejit demo: there is no folder {picture.parent} for the picture", file=sys.stderr)
        return 2
    if picture is not None and importlib.util.find_spec("matplotlib") is None:
        return missing("the picture needs matplotlib", "python -m pip install matplotlib")
    try:
        data = digits.data()
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        return missing("the digits come with scikit-learn", INSTALL)
    show(data, picture)
    return 0


def missing(what: str, way: str) -> int:
    """Say what is not installed, and how it is installed."""
    print(f"tapejit demo: {what}, which is not installed here. Install it with\n\n    {way}", file=sys.stderr)
    return 1


def show(data: digits.Digits, picture: Path | None) -> None:
    """Both programs."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # on a terminal without µ and ×
    print(
        f"tapejit {tj.__version__} on NumPy {np.__version__}, Python {platform.python_version()}, {platform.machine()}"
    )
    show_line()
    show_digits(data)
    show_training(data, picture)


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
    """The first steps of the convolution tutorial, eager and compiled."""
    heading(f"2. TensorFlow's convolution tutorial, on {len(data.images):,} handwritten digits of 8 × 8 pixels")
    show_program(digits.tutorial)
    starts = range(0, COMPARED * digits.BATCH, digits.BATCH)
    batches = [(data.images[at : at + digits.BATCH], data.labels[at : at + digits.BATCH]) for at in starts]
    model, written = digits.tutorial()
    results, steps = [], [digits.tutorial()[1], tj.compile(strict=True)(written)]
    for step in steps:
        losses = [float(step(*batch)) for batch in batches]
        results.append(f"losses of the first steps: {', '.join(f'{loss:.4f}' for loss in losses)}")
    show_results(results, [partial(step, *batches[0]) for step in steps])
    source = steps[1].source()
    print(f"\n    The kernel has {len(source.splitlines())} lines ({origin(steps[1])}).")
    print("    In these, the gradient of the second convolution's weights goes into Adam's update of them:")
    show_text(nest_around(source, f"{model.layers[1].kernel.name.replace('/', '_')}_next["))


def show_training(data: digits.Digits, picture: Path | None) -> None:
    """All epochs of the compiled step, and what the model reads then."""
    heading(f"3. The compiled step, {digits.EPOCHS} epochs in shuffled batches of {digits.BATCH}: train_step.epochs(…)")
    model, step = digits.tutorial()
    started = time.perf_counter()
    history = tj.compile(strict=True)(step).epochs(
        data.images, data.labels, batch_size=digits.BATCH, epochs=digits.EPOCHS, shuffle=0, drop_remainder=True,
        callback=Progress(digits.EPOCHS),
    )  # fmt: skip
    taken = time.perf_counter() - started
    read, labels = digits.guesses(model, data.held_out_images), data.held_out_labels
    right, wrong = np.flatnonzero(read == labels), np.flatnonzero(read != labels)
    examples = right[np.unique(labels[right], return_index=True)[1]]  # one of each numeral
    share = f"{len(right) / len(labels):.1%} of {len(labels)} held-out digits are read right"
    print(f"\n    {digits.STEPS:,} steps in {taken:.1f} s. {share}, such as these; {len(wrong)} are not:\n")
    for places in (examples[: pictures.ABREAST], wrong[: pictures.ABREAST]):
        if len(places):
            captions = [pictures.caption(labels[at], read[at]) for at in places]
            text = pictures.as_text(data.held_out_images[places], captions, shades())
            print(textwrap.indent(text, "    "), end="\n\n")
    if picture is not None:
        # As a module of its own, so that a demo without a picture doesn't import matplotlib.
        runpy.run_module("tapejit.demo.drawing")["draw"](picture, history.means.numpy(), data, read)
        print(f"    The picture is {picture}.")


class Progress:
    """What `epochs` calls after each epoch: a bar on a terminal, some lines elsewhere."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._terminal = sys.stdout.isatty()
        print()

    def __call__(self, epoch: int, loss: Any) -> None:
        """Show that the epoch is done."""
        done = epoch + 1
        text = f"epoch {done:>3} of {self._count}, mean loss {float(loss):.4f}"
        if self._terminal:
            full = BAR * done // self._count
            end = "\n" if done == self._count else ""
            print(f"\r    [{'#' * full}{'.' * (BAR - full)}] {text}", end=end, flush=True)
        elif done == 1 or done % (self._count // 5) == 0:
            print(f"    {text}", flush=True)


def shades() -> str:
    """The characters that pictures are made of, which the terminal has to have."""
    try:
        pictures.SHADES.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return pictures.PLAIN_SHADES
    return pictures.SHADES


def show_results(results: list[str], calls: list[Callable[[], object]]) -> None:
    """What the eager and the compiled step came to, and the time of one step of each."""
    seconds = median_seconds(calls)
    print()
    for mode, result, taken in zip(("eager", "compiled"), results, seconds, strict=True):
        print(f"    {mode:10}{result:58}{1e6 * taken:10.1f} µs a step")
    print(f"\n    The compiled step is {seconds[0] / seconds[1]:.1f} times as fast (medians of {ROUNDS} rounds).")


def show_kernel(step: tj.CompiledStep) -> None:
    """The generated source, and what the step's report says."""
    print(f"\n    The kernel ({origin(step)}):")
    show_text(step.source())
    print("\n    Its report():\n")
    for name, value in step.report().items():
        print(f"      {name:20}{f'{value:.6f}' if isinstance(value, float) else value}")


def origin(step: tj.CompiledStep) -> str:
    """Where a step has its kernel from."""
    report = step.report()
    if report["from_cache"]:
        return f"from the kernel store in {report['load_seconds']:.3f} s, Numba was not needed"
    return f"compiled now in {report['compile_seconds']:.2f} s, and kept in the kernel store"


def nest_around(source: str, text: str) -> str:
    """The loops around the last line that has the text."""
    lines = source.splitlines()
    depths = [len(each) - len(each.lstrip()) for each in lines]
    first = max(number for number, each in enumerate(lines) if text in each)
    for number in reversed(range(first)):
        if depths[number] < depths[first]:
            if not lines[number].lstrip().startswith("for "):
                break
            first = number
    last = next(number for number in range(first + 1, len(lines)) if depths[number] <= depths[first])
    return "\n".join(lines[first:last])


def heading(text: str) -> None:
    """A line above a part."""
    print(f"\n{text}\n{'=' * len(text)}")


def show_program(function: Callable[..., object]) -> None:
    """The step that `function` defines and returns, with what it needs, without annotations."""
    body = inspect.getsource(function).split('"""')[2]
    body = re.split(r"\n\n?    (?:for|return) ", body)[0]
    body = body.replace(", strict=True)", ")").replace("  # fmt: skip", "")
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
