"""A program that does one step and prints a number: `python -m benchmarks.whole_process MODULE WORKLOAD ENGINE …`.

Its figure is the time from the start of the process to the printed number. Until then it imports nothing but NumPy,
the one MODULE with the workload, and what the engine needs. Its inputs are read from the next argument, a file. Then
it leaves the results in the file of the last argument, and says in a line of JSON when the number was printed.
"""

import importlib
import sys
import time

import numpy as np


def main(module: str, workload_name: str, engine_name: str, inputs: str, into: str) -> None:
    workload = next(one for one in importlib.import_module(module).WORKLOADS if one.name == workload_name)
    with np.load(inputs) as data:
        session = workload.engine(engine_name).prepare(dict(data))
    session.step()
    session.wait()
    print(next(iter(session.result().values())).flat[0], flush=True)
    printed = time.monotonic()  # the same clock in the process that started this one

    import json  # noqa: PLC0415  what only the report needs is not in the figure

    from benchmarks.machine import peak  # noqa: PLC0415

    for _ in range(workload.check.steps - 1):
        session.step()
    session.wait()
    np.savez(into, **session.result())
    told = dict(session.report()) if session.report else {}
    report = {"from_cache": told["from_cache"]} if "from_cache" in told else {}
    print(json.dumps({"printed": printed, "peak": peak(), "report": report}))


if __name__ == "__main__":
    main(*sys.argv[1:])
