"""A scikit-learn estimator built on a compiled step: Poisson regression by gradient steps with momentum.

``PoissonRegression`` keeps scikit-learn's rules, so that it goes into pipelines, searches and pickles; its fit is one
compiled call, in which all steps are a loop of the kernel. ``check_estimator`` holds it to them.

Needs scikit-learn: python -m pip install scikit-learn
"""

import argparse

import numpy as np

import tapejit as tj

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.linear_model import PoissonRegressor
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError as error:
    raise SystemExit(f"{error}: python -m pip install scikit-learn") from None


def deviance(parameters, x, y, alpha):
    """Mean Poisson loss of counts whose logarithm is linear, with a penalty, as scikit-learn's own."""
    weights, bias = parameters
    logarithm = x @ weights + bias
    return tj.mean(tj.exp(logarithm) - y * logarithm) + 0.5 * alpha * tj.sum(weights**2)


@tj.compile
def descend(start, x, y, *, alpha, size, momentum, steps):
    """Parameters after the steps, and the largest element of the gradient there."""
    slope = tj.grad(deviance)

    def step(_, state):
        (weights, bias), (speed, bias_speed) = state
        by_weights, by_bias = slope((weights, bias), x, y, alpha)
        speed = momentum * speed - size * by_weights
        bias_speed = momentum * bias_speed - size * by_bias
        return (weights + speed, bias + bias_speed), (speed, bias_speed)

    still = (tj.zeros_like(start[0]), tj.zeros_like(start[1]))
    parameters, _ = tj.fori_loop(0, steps, step, (start, still))
    by_weights, by_bias = slope(parameters, x, y, alpha)
    return parameters, tj.maximum(tj.max(tj.abs(by_weights)), tj.abs(by_bias))


class PoissonRegression(RegressorMixin, BaseEstimator):
    """Counts whose expectation is ``exp(x @ coef_ + intercept_)``.

    Parameters
    ----------
    alpha : float
        Weight of the penalty on the squares of the coefficients.
    momentum : float
        Part of the last step that the next one keeps.
    max_iter : int
        Steps at most.
    tol : float
        Steps end when no element of the gradient is larger.
    """

    STEPS = 100  # of one call

    def __init__(self, alpha=1.0, momentum=0.9, max_iter=5000, tol=1e-6):
        self.alpha = alpha
        self.momentum = momentum
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X, y):  # noqa: N803 (scikit-learn's names)
        x, y = validate_data(self, X, y, dtype=np.float64, order="C", y_numeric=True)
        y = np.asarray(y, np.float64)
        if np.any(y < 0):
            raise ValueError("Some value(s) of y are negative; counts are expected")
        # In standard units, one size of step suits all coefficients; the penalty is on these.
        centre, scale = x.mean(axis=0), x.std(axis=0)
        scale[scale == 0] = 1.0
        parameters = (np.zeros(x.shape[1]), np.log(y.mean() + 1e-9))
        size = 0.5 / ((x.shape[1] + 1) * (y.mean() + y.max()) / 2 + self.alpha)
        settings = {"alpha": float(self.alpha), "size": size, "momentum": float(self.momentum)}
        self.n_iter_ = 0
        while self.n_iter_ < self.max_iter:
            parameters, gradient = descend(parameters, (x - centre) / scale, y, steps=self.STEPS, **settings)
            self.n_iter_ += self.STEPS
            if float(gradient) < self.tol:
                break
        weights, bias = (np.array(part) for part in parameters)
        self.coef_ = weights / scale
        self.intercept_ = float(bias - centre @ self.coef_)
        return self

    def predict(self, X):  # noqa: N803
        check_is_fitted(self)
        x = validate_data(self, X, dtype=np.float64, reset=False)
        return np.exp(x @ self.coef_ + self.intercept_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        tags.regressor_tags.poor_score = True  # an exponential of a straight line misses the checks' linear targets
        return tags


def counts():
    """Visits to a clinic, say, by three things that are known of people."""
    draw = np.random.default_rng(0)
    x = draw.normal(0, 1, (400, 3)) * [1.0, 10.0, 0.1] + [0.0, 50.0, 1.0]
    return x, draw.poisson(np.exp(0.4 * x[:, 0] - 0.03 * (x[:, 1] - 50) + 2.0 * (x[:, 2] - 1) + 0.5)).astype(float)


def main():
    x, y = counts()
    results = {}
    for estimator in (PoissonRegression(alpha=1e-3), PoissonRegressor(alpha=1e-3, tol=1e-9, max_iter=1000)):
        pipeline = make_pipeline(StandardScaler(), estimator)
        score = cross_val_score(pipeline, x, y, cv=5).mean()
        pipeline.fit(x, y)
        name, fitted = type(estimator).__name__, pipeline[-1]
        results[name] = np.array([*fitted.coef_, fitted.intercept_])
        print(f"{name:>17}: {np.round(results[name], 5)}, mean score of 5 folds {score:.3f}, {fitted.n_iter_} steps")
    return results


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
