"""One engine's first call in a fresh process: `python -m benchmarks.first_call WORKLOAD ENGINE INPUTS INTO [another]`.

It prints one line of JSON and leaves the results in INTO. With `another`, another small function is compiled (or
loaded) before, so that what an engine imports at its first compilation is not in the figure.
"""

import json
import os
import sys
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.machine import peak
from benchmarks.worker import seconds_to_import, settle, versions


def compile_another(needs: str) -> None:
    """Compile a function with a product, a gradient and nothing else."""
    if needs == "tapejit":
        import tapejit as tj

        @tj.compile(strict=True)
        def another(x):
            with tj.GradientTape() as tape:
                tape.watch(x)
                loss = tj.sum(tj.tanh(x @ x))
            return tape.gradient(loss, x)

        another(np.ones((3, 3), np.float32))
    elif needs == "jax":
        import jax
        import jax.numpy as jnp

        jax.block_until_ready(jax.jit(jax.grad(lambda x: jnp.sum(jnp.tanh(x @ x))))(jnp.ones((3, 3))))


def main(workload_name: str, engine_name: str, inputs: str, into: str, *before: str) -> None:
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not get into the line of JSON

    from benchmarks.registry import FIRST_CALLS

    workload = FIRST_CALLS[workload_name]
    engine = workload.engine(engine_name)
    import_seconds = seconds_to_import(engine.needs)
    if import_seconds is None:
        reply.write(json.dumps({"needs": engine.needs}))
        return
    settle(engine.needs)
    if before:
        compile_another(engine.needs)
    with np.load(inputs) as data:
        session = engine.prepare(dict(data))
    start = perf_counter()
    session.step()
    session.wait()
    seconds = perf_counter() - start
    for _ in range(workload.check.steps - 1):
        session.step()
    session.wait()
    np.savez(into, **session.result())
    told: dict[str, Any] = dict(session.report()) if session.report else {}
    found = {
        "seconds": seconds,
        "import_seconds": import_seconds,
        "peak": peak(),
        "report": {name: figure for name, figure in told.items() if isinstance(figure, int | float)},
        "versions": versions(engine.needs),
    }
    reply.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
