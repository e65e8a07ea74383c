"""SciPy's L-BFGS-B with gradients of tapejit's, against the same with SciPy's own finite differences.

A softmax regression of three kinds of wine on 13 measurements (M. Forina and others, bundled with scikit-learn) has
42 parameters in a dictionary. Differences ask for 43 values where a gradient is one call, which gives both.

Needs SciPy and scikit-learn: python -m pip install scikit-learn
"""

import argparse

import numpy as np

import tapejit as tj

try:
    from scipy.optimize import minimize
    from sklearn.datasets import load_wine
except ModuleNotFoundError as error:
    raise SystemExit(f"{error}: python -m pip install scikit-learn") from None

PENALTY = 1e-2
measured, kinds = load_wine(return_X_y=True)
measured = (measured - measured.mean(axis=0)) / measured.std(axis=0)


def loss(parameters):
    logits = measured @ parameters["weights"] + parameters["bias"]
    chosen = tj.sum(tj.one_hot(kinds, 3, dtype="float64") * logits, axis=1)
    size = tj.sum(parameters["weights"] ** 2) + tj.sum(parameters["bias"] ** 2)
    return tj.mean(tj.logsumexp(logits, axis=1) - chosen) + 0.5 * PENALTY * size


START = {"weights": np.zeros((13, 3)), "bias": np.zeros(3)}


def fit(differences):
    """What SciPy found, the parameters there, and how often the loss was computed."""
    objective = tj.scipy.objective(loss, START)
    options = {"maxfun": 100_000, "ftol": 1e-13, "gtol": 1e-8}
    if differences:
        found = minimize(objective.value, objective.x0, method="L-BFGS-B", options=options)
    else:
        found = minimize(objective, objective.x0, jac=True, method="L-BFGS-B", options=options)
    return found, objective.unflatten(found.x), objective.evaluations


def main():
    results = {"gradients": fit(differences=False), "differences": fit(differences=True)}
    for name, (found, parameters, evaluations) in results.items():
        right = np.mean(np.argmax(measured @ parameters["weights"] + parameters["bias"], axis=1) == kinds)
        print(
            f"{name:>11}: loss {found.fun:.10f}, {right:.1%} right, {found.nit} iterations, {evaluations} evaluations"
        )
    return results


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
