"""One engine in its own process: `python -m benchmarks.worker NEEDS`, NEEDS being the module that it imports.

The runner talks to it in lines of JSON. It opens with `imported` (or `not_installed`), then answers
`{"do": "prepare", "workload": name, "engine": name, "inputs": path}` with `ready` (or `missing`), once the first step
is done, `{"do": "check", "steps": n, "into": path}` with the state after n steps, and `{"do": "round", "seconds": s}`
with the seconds of one step, from a batch that takes about s. Results stay comparable because the check runs on the
session that is then timed.
"""

import gc
import importlib
import json
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.workload import Missing, Session

PACKAGES = {
    "numpy": ("numpy",),
    "tapejit": ("tapejit", "numba", "llvmlite", "scipy-openblas32", "numpy"),
    "jax": ("jax", "jaxlib", "numpy"),
    "torch": ("torch", "numpy"),
    "tensorflow": ("tensorflow-cpu", "tensorflow", "numpy"),
    "numba": ("numba", "llvmlite", "scipy", "numpy"),
    "autograd": ("autograd", "scipy", "numpy"),
    "scipy": ("scipy", "numpy"),
}


def versions(needs: str) -> dict[str, str]:
    """Version of Python and of each package that the engine stands on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES.get(needs, (needs,)):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if name == "tapejit":
                found[name] = "from the source tree"
    return found


def settle(needs: str) -> None:
    """Keep to one thread the engines that don't listen to the environment."""
    if needs == "torch":
        import torch

        torch.set_num_threads(1)
        torch.set_num_interop_threads(1)
    elif needs == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def seconds_of(session: Session, steps: int) -> float:
    """Time `steps` steps and the wait for the last of them."""
    step = session.step
    gc.collect()
    start = perf_counter()
    for _ in range(steps):
        step()
    session.wait()
    return perf_counter() - start


def timed_batch(session: Session, seconds: float, steps: int) -> tuple[float, int]:
    """Seconds of one step, from a batch of about `seconds`, and the size to start the next batch from."""
    taken = seconds_of(session, steps)
    while taken < 0.8 * seconds:  # a first batch, or one that was sized when the machine was busy
        steps = max(steps + 1, min(steps * 10, round(steps * seconds / taken)))
        taken = seconds_of(session, steps)
    return taken / steps, max(1, round(steps * seconds / taken))


def prepared(workload_name: str, engine_name: str, inputs: str) -> tuple[Session, float]:
    """The engine of a workload, after its first step, and how long the two took."""
    from benchmarks.registry import WORKLOADS

    engine = WORKLOADS[workload_name].engine(engine_name)
    with np.load(inputs) as data:
        arrays = dict(data)
    start = perf_counter()
    session = engine.prepare(arrays)
    session.step()
    session.wait()
    return session, perf_counter() - start


def serve(answer: Callable[..., None]) -> None:
    """Do what the runner asks, until it closes the pipe."""
    session: Session | None = None
    steps = 1
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "prepare":
            session, steps = None, 1  # what the last workload held is free before the next begins
            try:
                session, seconds = prepared(request["workload"], request["engine"], request["inputs"])
            except Missing as missing:
                answer(event="missing", detail=str(missing))
                continue
            answer(event="ready", first_step_seconds=seconds)
        elif session is None:
            raise RuntimeError(f"nothing is prepared to {line}")
        elif request["do"] == "check":
            for _ in range(request["steps"] - 1):  # the first step was taken when the session was made
                session.step()
            session.wait()
            np.savez(request["into"], **session.result())
            answer(event="checked")
        else:
            per_step, steps = timed_batch(session, request["seconds"], steps)
            answer(event="round", seconds=per_step, steps=steps)


def seconds_to_import(module: str) -> float | None:
    """How long a library takes to import; None where it is not installed."""
    start = perf_counter()
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise  # it is there, and something that it needs isn't
        return None
    return perf_counter() - start


def main(needs: str) -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not get between the lines of JSON

    def answer(**fields: Any) -> None:
        replies.write(json.dumps(fields) + "\n")

    import_seconds = seconds_to_import(needs)
    if import_seconds is None:
        answer(event="not_installed")
        return
    settle(needs)
    answer(event="imported", versions=versions(needs), import_seconds=import_seconds)
    serve(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
