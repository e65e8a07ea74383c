import subprocess
import sys

import numpy as np

from benchmarks import machine


def test_a_process_does_not_count_the_memory_of_the_one_that_started_it() -> None:
    held = np.ones(2**28, np.uint8)
    program = "from benchmarks import machine; print(machine.peak())"
    told = subprocess.run([sys.executable, "-c", program], cwd=machine.ROOT, capture_output=True, text=True, check=True)
    assert 2**20 < int(told.stdout) < held.nbytes <= machine.peak()
