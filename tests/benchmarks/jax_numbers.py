"""What JAX gives for the programs of the agreement table, in float64: two numbers for each array.

They are the sum of its elements with the weights cos(0), cos(1), … in C order, and the root of the sum of their
squares. With JAX's environment, ``python -m tests.benchmarks.jax_numbers`` prints `NUMBERS` anew.
"""

import sys
from collections.abc import Mapping

import numpy as np

from benchmarks.agreement import PEER
from benchmarks.workload import Workload


def digest(array: np.ndarray) -> tuple[float, float]:
    flat = np.asarray(array, np.float64).ravel()
    return float(flat @ np.cos(np.arange(flat.size))), float(np.sqrt(flat @ flat))


def digests(workload: Workload, engine: str) -> dict[str, tuple[float, float]]:
    session = workload.engine(engine).prepare(workload.inputs())
    for _ in range(workload.check.steps):
        session.step()
    session.wait()
    return {name: digest(array) for name, array in session.result().items()}


NUMBERS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "gaussian_mixture": {
        "log_likelihood": (-22951.763894372383, 22951.763894372383),
        "by_weights": (-372.2445419768465, 279.14646866568506),
        "by_means": (332.3149123417751, 1294.7422909315042),
        "by_factors": (-585.2807223577582, 1603.1061769558353),
    },
    "diagonal_lstm": {
        "loss": (0.7517819246519231, 0.7517819246519231),
        "by_layers": (-0.022606120650756255, 0.014596488802942911),
        "by_ends": (0.011206707804211952, 0.07435375749448107),
    },
    "bundle_adjustment": {
        "errors": (1787.963611143659, 4160.417299845237),
        "by_camera": (41312.17380875304, 17035.51625171077),
        "by_point": (-587.9158013517028, 2120.296466878147),
        "by_weight": (-5.268024602600548, 3882.850968348941),
    },
    "rosenbrock_hessian": {
        "hessian": (13474.88417762511, 25871.023970221842),
    },
    "pendulum": {
        "misfit": (0.025109158929724113, 0.025109158929724113),
        "by_parameters": (-0.004536685145264485, 0.2002566524093328),
    },
    "hmc_step": {
        "position": (-12.893722536990458, 9.851339421847165),
        "log_density": (-65.9346996370457, 65.9346996370457),
        "energy_error": (-0.5124592302053799, 0.5124592302053799),
        "by_position": (-1.010662324882463, 0.6292485842506875),
        "by_momentum": (0.03828300934371189, 0.07666039059521086),
        "by_step_size": (-11.248038388722053, 11.248038388722053),
    },
}

if __name__ == "__main__":
    from benchmarks.registry import AGREEMENT

    sys.stdout.write(f"{ {name: digests(workload, PEER) for name, workload in AGREEMENT.items()} }\n")
