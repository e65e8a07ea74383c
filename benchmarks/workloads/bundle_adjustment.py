"""ADBench's bundle adjustment: reprojection errors and the blocks of their sparse Jacobian, float64.

An observation sees one point through one camera (rotation vector, centre, focal length, principal point, two
coefficients of radial distortion), with a weight of its own: F. Srajer, Z. Kukelova, A. Fitzgibbon, A benchmark of
selected algorithmic differentiation tools, Optimization Methods and Software 33 (2018), section 4.2. The Jacobian by
the 15 numbers that an observation depends on is all of it that isn't zero. One camera isn't turned, where the formula
of Rodrigues has a removable singularity.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Workload, returning

CAMERAS, POINTS, OBSERVATIONS = 6, 40, 120
CENTRE, FOCAL, PRINCIPAL, RADIAL = slice(3, 6), 6, slice(7, 9), slice(9, 11)
ARGUMENTS = ("cameras", "points", "weights", "seen", "camera_of", "point_of")
RESULTS = ("errors", "by_camera", "by_point", "by_weight")


def inputs() -> Arrays:
    draw = np.random.default_rng(0)
    cameras = np.zeros((CAMERAS, 11))
    cameras[1:, :3] = draw.normal(0, 0.3, (CAMERAS - 1, 3))
    cameras[:, CENTRE] = draw.normal(0, 0.5, (CAMERAS, 3)) - [0, 0, 6]
    cameras[:, FOCAL] = draw.uniform(400, 600, CAMERAS)
    cameras[:, PRINCIPAL] = draw.normal(0, 5, (CAMERAS, 2))
    cameras[:, RADIAL] = draw.normal(0, 0.02, (CAMERAS, 2))
    return {
        "cameras": cameras,
        "points": draw.normal(0, 1, (POINTS, 3)),
        "weights": draw.uniform(0.5, 1.5, OBSERVATIONS),
        "seen": draw.normal(0, 100, (OBSERVATIONS, 2)),
        "camera_of": np.arange(OBSERVATIONS) % CAMERAS,
        "point_of": draw.integers(0, POINTS, OBSERVATIONS),
    }


def error_of(library: Any) -> Callable[..., Any]:
    """The reprojection error of (camera, point, weight, seen), which are one observation's; shape (2,)."""
    roll, total = library.roll, library.sum

    def cross(a, b):
        return roll(a, -1) * roll(b, 1) - roll(a, 1) * roll(b, -1)

    def rotated(vector, x):
        square = total(vector**2)
        turned = square > 0
        angle = library.sqrt(library.where(turned, square, 1.0))
        axis = vector / angle
        along = axis * (total(axis * x) * (1 - library.cos(angle)))
        found = x * library.cos(angle) + cross(axis, x) * library.sin(angle) + along
        return library.where(turned, found, x + cross(vector, x))

    def error(camera, point, weight, seen):
        x = rotated(camera[:3], point - camera[CENTRE])
        image = x[:2] / x[2]
        square = total(image**2)
        distorted = image * (1 + camera[RADIAL][0] * square + camera[RADIAL][1] * square**2)
        return weight * (distorted * camera[FOCAL] + camera[PRINCIPAL] - seen)

    return error


def errors_and_blocks(library: Any, vmap: Callable[..., Any], jacobian: Callable[..., Any]) -> Callable[..., Any]:
    """The errors of all observations, and their derivatives by the camera, the point and the weight of each."""
    error = error_of(library)
    blocks = jacobian(error, argnums=(0, 1, 2))

    def both(cameras, points, weights, seen, camera_of, point_of):
        arguments = cameras[camera_of], points[point_of], weights, seen
        return vmap(error)(*arguments), *vmap(blocks)(*arguments)

    return both


def numpy_by_hand(data: Arrays) -> Session:
    """The chain rule from the weight back to the rotation, for all observations at once."""
    cameras, points, weights, seen, camera_of, point_of = (data[name] for name in ARGUMENTS)
    crossing = np.zeros((3, 3, 3))  # crossing[i, j, k] a_j b_k is component i of the cross product
    for i in range(3):
        crossing[i, i - 2, i - 1], crossing[i, i - 1, i - 2] = 1, -1

    def rotation(vector):
        """The matrix and its derivative by the vector: R x, and (R x)' for each component of it."""
        square = vector @ vector
        generator = np.einsum("ijk,j->ik", crossing, vector)
        by_vector = crossing.transpose(1, 0, 2)  # of the generator
        if square == 0:
            return np.eye(3), by_vector
        angle = np.sqrt(square)
        sine, rest = np.sin(angle) / angle, (1 - np.cos(angle)) / square
        by_sine = (np.cos(angle) - sine) / square
        by_rest = (sine - 2 * rest) / square
        matrix = np.eye(3) + sine * generator + rest * generator @ generator
        derivative = sine * by_vector + rest * (by_vector @ generator + generator @ by_vector)
        return matrix, derivative + np.multiply.outer(vector, by_sine * generator + by_rest * generator @ generator)

    def step():
        camera, relative = cameras[camera_of], points[point_of] - cameras[camera_of][:, CENTRE]
        matrices, derivatives = (np.array(each) for each in zip(*map(rotation, camera[:, :3]), strict=True))
        x = np.einsum("nij,nj->ni", matrices, relative)
        image, depth = x[:, :2] / x[:, 2:], x[:, 2]
        square = (image**2).sum(axis=1)
        (first, second), focal = camera[:, RADIAL].T, camera[:, FOCAL]
        stretch = 1 + first * square + second * square**2
        scale = (weights * focal)[:, None]
        deviation = image * (stretch * focal)[:, None] + camera[:, PRINCIPAL] - seen
        by_image = 2 * (first + 2 * second * square)[:, None, None] * image[:, :, None] * image[:, None, :]
        by_image = scale[:, :, None] * (by_image + stretch[:, None, None] * np.eye(2))
        image_by_x = np.concatenate([np.broadcast_to(np.eye(2), (len(x), 2, 2)), -image[:, :, None]], axis=2)
        by_x = by_image @ image_by_x / depth[:, None, None]
        by_point = by_x @ matrices
        by_camera = np.empty((len(x), 2, 11))
        by_camera[:, :, :3] = np.einsum("nci,nvij,nj->ncv", by_x, derivatives, relative)
        by_camera[:, :, CENTRE] = -by_point
        by_camera[:, :, FOCAL] = weights[:, None] * image * stretch[:, None]
        by_camera[:, :, PRINCIPAL] = weights[:, None, None] * np.eye(2)
        by_camera[:, :, RADIAL] = (scale * image)[:, :, None] * np.stack([square, square**2], axis=1)[:, None]
        return weights[:, None] * deviation, by_camera, by_point, deviation

    return returning(RESULTS, step)


def tapejit_eager(data: Arrays, wrap: Callable[..., Any] = lambda step: step) -> Session:
    import tapejit as tj

    both = wrap(errors_and_blocks(tj, tj.vmap, tj.jacobian))
    arguments = [data[name] for name in ARGUMENTS]
    return returning(RESULTS, lambda: both(*arguments))


def tapejit_compiled(data: Arrays) -> Session:
    import tapejit as tj

    return tapejit_eager(data, tj.compile(strict=True))


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", val=True)
    both = jax.jit(errors_and_blocks(jnp, jax.vmap, jax.jacobian))
    arguments = [jnp.asarray(data[name]) for name in ARGUMENTS]
    return returning(RESULTS, lambda: both(*arguments), jax.block_until_ready)


WORKLOADS = (
    Workload(
        name="bundle_adjustment",
        summary=f"{OBSERVATIONS} reprojection errors and their Jacobian's blocks, float64",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "chain rule written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "`vmap` of `jacobian`"),
            Engine("tapejit_eager", "tapejit", tapejit_eager, "`vmap` of `jacobian`"),
            Engine("jax_jit", "jax", jax_jit, "`vmap` of `jacobian`"),
        ),
        check=Check(steps=1, rtol=1e-9, atol=1e-9),
    ),
)
