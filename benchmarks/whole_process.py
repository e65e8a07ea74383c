"""Does one step and prints what came of it: `python -m benchmarks.whole_process WORKLOAD ENGINE INPUTS INTO`.

Its figure is the time from the start of the process to the printed number. Until then it imports nothing but NumPy,
the workloads and what the engine needs. Then it leaves the results in INTO and says in a line of JSON when it was.
"""

import sys
import time

import numpy as np

from benchmarks.workloads import FIRST_CALLS


def main(workload_name: str, engine_name: str, inputs: str, into: str) -> None:
    workload = FIRST_CALLS[workload_name]
    with np.load(inputs) as data:
        session = workload.engine(engine_name).prepare(dict(data))
    session.step()
    session.wait()
    print(next(iter(session.result().values())).flat[0], flush=True)
    printed = time.monotonic()  # the same clock in the process that started this one

    import json  # noqa: PLC0415  what only the report needs is not in the figure
    import resource  # noqa: PLC0415

    for _ in range(workload.check.steps - 1):
        session.step()
    session.wait()
    np.savez(into, **session.result())
    told = dict(session.report()) if session.report else {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    report = {"from_cache": told["from_cache"]} if "from_cache" in told else {}
    print(json.dumps({"printed": printed, "peak": peak, "report": report}))


if __name__ == "__main__":
    main(*sys.argv[1:])
