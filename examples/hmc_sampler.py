"""Hamiltonian Monte Carlo on the eight schools: a hierarchical posterior, sampled by one compiled call.

Eight schools coached pupils for a test; each has an estimated effect with a standard error (D. B. Rubin, Estimation in
parallel randomized experiments, Journal of Educational Statistics 6, 1981). Their true effects are draws from a
normal distribution, whose mean and spread are unknown too. All chains, all draws and all leapfrog steps are loops of
one kernel, in which the generator draws momenta and decisions. The same posterior is also integrated on a grid, so
that the sampler's means have something to be held against.

``python examples/hmc_sampler.py picture.png`` draws them as well; that needs matplotlib.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np

import tapejit as tj

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
SCALE = 5.0  # of the priors: mean ~ normal(0, 5), spread ~ half-Cauchy(0, 5)
NAMES = ("mean", "spread", *(f"school {letter}" for letter in "ABCDEFGH"))
CHAINS, LEAPS, STEP_SIZE = 4, 12, 0.5

generator = tj.random.Generator(seed=1)


def unpacked(position):
    """Mean, spread and effects from what is sampled, which is on the last axis: the spread's logarithm, deviations."""
    mean, spread = position[..., 0], tj.exp(position[..., 1])
    return mean, spread, mean[..., None] + spread[..., None] * position[..., 2:]


def log_posterior(position):
    mean, spread, effects = unpacked(position)
    likelihood = -0.5 * tj.sum(((EFFECTS - effects) / ERRORS) ** 2, axis=-1)
    deviations = -0.5 * tj.sum(position[..., 2:] ** 2, axis=-1)
    prior = -0.5 * (mean / SCALE) ** 2 - tj.log1p((spread / SCALE) ** 2) + position[..., 1]
    return likelihood + deviations + prior


def energy(position, momentum):
    return 0.5 * tj.sum(momentum**2, axis=-1) - log_posterior(position)


force = tj.grad(lambda position: tj.sum(log_posterior(position)))  # chains don't meet, so one gradient is all of theirs


def leapfrog(position, momentum, size):
    def leap(_, state):
        position, momentum = state
        momentum = momentum + 0.5 * size * force(position)
        position = position + size * momentum
        return position, momentum + 0.5 * size * force(position)

    return tj.fori_loop(0, LEAPS, leap, (position, momentum))


def draw(position, _):
    """One step of every chain: the next positions, twice, and whether they are new."""
    momentum = generator.normal(position.shape, dtype="float64")
    size = STEP_SIZE * generator.uniform((CHAINS, 1), 0.5, 1.0, dtype="float64")  # against orbits that return
    proposed, turned = leapfrog(position, momentum, size)
    loss = energy(proposed, turned) - energy(position, momentum)
    accepted = tj.log(generator.uniform((CHAINS,), dtype="float64")) < -loss
    position = tj.where(accepted[:, None], proposed, position)
    return position, (position, accepted)


def sample(start, count):
    _, (positions, accepted) = tj.scan(draw, start, None, length=count)
    mean, spread, effects = unpacked(positions)
    return tj.concat([mean[..., None], spread[..., None], effects], axis=-1), accepted


sample_compiled = tj.compile(sample)


def effective_size(draws):
    """How many independent draws say as much of the mean, from draws of shape (count, chains).

    Correlations are summed up as long as those of neighbours are positive together, and made to fall: C. J. Geyer,
    Practical Markov chain Monte Carlo, Statistical Science 7, 1992.
    """
    count, chains = draws.shape
    centred = draws - draws.mean(axis=0)
    spectrum = np.fft.rfft(centred, 2 * count, axis=0)
    covariances = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:count].mean(axis=1) / count
    within = covariances[0] * count / (count - 1)
    total = covariances[0] + draws.mean(axis=0).var(ddof=1)
    correlations = 1 - (within - covariances) / total
    pairs = correlations[0 : count - 1 : 2] + correlations[1:count:2]
    negative = np.flatnonzero(pairs < 0)
    kept = np.minimum.accumulate(pairs[: negative[0] if negative.size else None])
    return count * chains / (2 * kept.sum() - 1)


def by_quadrature():
    """The posterior means on a grid: given mean and spread of the schools, all that is left is normal."""
    mean, log_spread = np.meshgrid(np.linspace(-25, 30, 1101), np.linspace(-9, 5, 1401), indexing="ij")
    spread = np.exp(log_spread)
    weight = -0.5 * (mean / SCALE) ** 2 - np.log1p((spread / SCALE) ** 2) + log_spread
    for effect, error in zip(EFFECTS, ERRORS, strict=True):
        variance = error**2 + spread**2
        weight -= 0.5 * np.log(variance) + 0.5 * (effect - mean) ** 2 / variance
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    shrunk = [
        np.sum(weight * (effect * spread**2 + mean * error**2) / (error**2 + spread**2))
        for effect, error in zip(EFFECTS, ERRORS, strict=True)
    ]
    return np.array([np.sum(weight * mean), np.sum(weight * spread), *shrunk])


def draw_picture(path, draws, expected):
    from matplotlib.figure import Figure  # noqa: PLC0415 (only for the picture)

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    flat = draws.reshape(-1, len(NAMES))
    place = np.arange(8)
    left.violinplot(flat[:, 2:], place, showextrema=False, widths=0.8)
    left.errorbar(place, EFFECTS, ERRORS, fmt="o", color="tab:orange", label="estimate ± standard error", alpha=0.8)
    left.plot(place, expected[2:], "k_", markersize=18, label="posterior mean, by quadrature")
    left.set_xticks(place, [name[-1] for name in NAMES[2:]])
    left.set(ylim=(-25, 45), xlabel="school", ylabel="effect", title="Posterior of the effects")
    left.legend(fontsize=8)
    right.plot(flat[::4, 0], flat[::4, 1], ".", markersize=1.5, alpha=0.5)
    right.set(xlabel="mean of the schools", ylabel="their spread", yscale="log", title="Mean and spread")
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main(count=5000, picture=None):
    generator.set_state(tj.random.Generator(seed=1).get_state())
    start = np.zeros((CHAINS, len(NAMES)))
    begun = perf_counter()
    draws, accepted = (found.numpy() for found in sample_compiled(start, count))
    seconds = perf_counter() - begun
    draws = draws[count // 10 :]  # the chains have found their way by then
    expected = by_quadrature()
    sizes = np.array([effective_size(draws[:, :, place]) for place in range(len(NAMES))])
    means, deviations = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))
    print(f"{CHAINS} chains of {count} draws in {seconds:.2f} s, {accepted.mean():.1%} accepted")
    print(f"{'':>10}  {'mean':>7} ± {'error':<6} {'quadrature':>10} {'deviation':>10} {'effective draws':>16}")
    for row in zip(NAMES, means, deviations / np.sqrt(sizes), expected, deviations, sizes, strict=True):
        print("{:>10}  {:>7.3f} ± {:<6.3f} {:>10.3f} {:>10.3f} {:>16.0f}".format(*row))
    if picture:
        draw_picture(picture, draws, expected)
    return {"draws": draws, "accepted": accepted, "expected": expected, "sizes": sizes}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path, help="draw the posterior into this file; needs matplotlib")
    parser.add_argument("--draws", type=int, default=5000, metavar="COUNT", help="of each chain")
    chosen = parser.parse_args()
    if chosen.picture and not chosen.picture.parent.is_dir():
        parser.exit(2, f"there is no folder {chosen.picture.parent} for the picture\n")
    if chosen.picture and find_spec("matplotlib") is None:
        parser.exit(1, "the picture needs matplotlib: python -m pip install matplotlib\n")
    main(chosen.draws, chosen.picture)
