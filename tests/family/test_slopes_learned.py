"""Gradients of poolings with parameters, of x and of each parameter: differences, a hundred random problems each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastpool
from tests.family import window_problems
from tests.family.slopes import Slope, distinct, each, hold, parts_of, sizes


class Call(NamedTuple):
    """A function, the arrays that it has gradients for, by name and x first, and its other arguments."""

    name: str
    arrays: dict[str, np.ndarray]
    given: dict[str, Any]

    def slope(self, name: str) -> Slope:
        """The function of one of its arrays, the others as they are."""
        pool, back = getattr(fastpool, self.name), getattr(fastpool, f"{self.name}_backward")
        number = list(self.arrays).index(name)
        x = self.arrays["x"]

        def forward(part: np.ndarray) -> np.ndarray:
            return pool(**{**self.arrays, name: part}, **self.given)

        def backward(dy: np.ndarray, part: np.ndarray) -> np.ndarray:
            return parts_of(back(dy[0], **{**self.arrays, name: part[0]}, **self.given))[number]

        if name != "x" or len(x) > 1 or "assignment" in self.arrays or self.name == "ldw_pool2d":
            return Slope(self.name, each(forward), backward, self.arrays[name])
        # each copy of x is a sample of its own
        return Slope(self.name, lambda copies: forward(copies[:, 0])[:, None], backward, x)


def windows(rng: np.random.Generator) -> tuple[int, np.ndarray, dict[str, Any]]:
    spatial = int(rng.integers(1, 4))
    shape, given = window_problems.arguments(rng, spatial, 6 if spatial < 3 else 4)
    given["count_include_pad"] = bool(rng.integers(2))
    return spatial, distinct(rng, (1, *shape[1:])), given


def mixed(rng: np.random.Generator) -> Call:
    spatial, x, given = windows(rng)
    return Call(f"mixed_pool{spatial}d", {"x": x, "mix": rng.uniform(-0.5, 1.5, x.shape[1])}, given)


def gated(rng: np.random.Generator) -> Call:
    """A weight for each channel or for all, and scores of a few, beyond which a gate has no slope."""
    spatial, x, given = windows(rng)
    of_channel = x.shape[1:2] if rng.integers(2) else ()
    weight = rng.standard_normal((*of_channel, *given["kernel_size"])) / 4
    return Call(
        f"gated_pool{spatial}d", {"x": x / 10, "weight": weight, "bias": rng.standard_normal(x.shape[1])}, given
    )


def gem(rng: np.random.Generator) -> Call:
    spatial, x, given = windows(rng)
    del given["count_include_pad"]
    if rng.integers(4) == 0:
        return Call("global_gem_pool", {"x": x - x.min() + 0.5, "p": rng.uniform(1, 5, x.shape[1])}, {})
    return Call(f"gem_pool{spatial}d", {"x": x - x.min() + 0.5, "p": rng.uniform(1, 5, x.shape[1])}, given)


def lenet(rng: np.random.Generator) -> Call:
    while True:
        shape, given = window_problems.arguments(rng, 2, 6)
        if all(2 * low <= k >= 2 * high for k, (low, high) in zip(given["kernel_size"], given["padding"], strict=True)):
            break
    given["activation"] = ("tanh", "sigmoid", "identity")[rng.integers(3)]
    channels = shape[1]
    scale, bias = rng.standard_normal((2, channels))
    return Call("lenet_pool2d", {"x": rng.standard_normal((1, *shape[1:])), "scale": scale, "bias": bias}, given)


def ldw(rng: np.random.Generator) -> Call:
    """Small energies: beyond, a softmax has no slope."""
    x = rng.standard_normal((1, 2, *sizes(rng, 4, 7, 2))) / 4
    low = rng.standard_normal(2 * int(rng.integers(1, 3)))
    arrays = {"x": x, "low": low, "weight": rng.standard_normal((4, 4)) / 50, "bias": rng.standard_normal(4)}
    rules = ("reflect", "replicate", "zero", "periodic")
    return Call("ldw_pool2d", arrays, {"mode": ("sum", "concat")[rng.integers(2)], "padding": rules[rng.integers(4)]})


CHOICES = (None, "l2", "intra", ("intra", "l2"), ("sqrt", "l2"), ("sqrt",), ("sqrt", "intra", "l2"))


def descriptors(rng: np.random.Generator, most: int = 3) -> tuple[dict[str, np.ndarray], tuple[int, ...], Any]:
    """x and centres, the shape of the assignment, and what is normalised.

    A root has a pole at 0, where differences say nothing: with one all of x lie on one side of the centres.
    """
    many, channels, centers = (int(n) for n in rng.integers(1, (most, 5, 4)))
    spatial = sizes(rng, 1, 4, int(rng.integers(1, 3)))
    normalize = CHOICES[rng.integers(len(CHOICES))]
    rooted = normalize is not None and "sqrt" in normalize
    shape = (many, channels, *spatial)
    x = rng.uniform(4, 5, shape) if rooted else rng.standard_normal(shape)
    return {"x": x, "centers": rng.standard_normal((centers, channels))}, (many, centers, *spatial), normalize


def netvlad(rng: np.random.Generator) -> Call:
    arrays, _, normalize = descriptors(rng)
    shape = arrays["centers"].shape
    # sums of what all points give to a centre that is nobody's are near the pole
    weight = rng.standard_normal(shape) / (10 if normalize is not None and "sqrt" in normalize else 1)
    return Call(
        "netvlad_pool", {**arrays, "weight": weight, "bias": rng.standard_normal(shape[0])}, {"normalize": normalize}
    )


def vlad(rng: np.random.Generator) -> Call:
    """Each point of its nearest centre."""
    while True:
        arrays, _, normalize = descriptors(rng)
        if normalize is None or "sqrt" not in normalize:
            return Call("vlad_pool", arrays, {"normalize": normalize})


def vlad_of_weights(rng: np.random.Generator) -> Call:
    arrays, shape, normalize = descriptors(rng)
    return Call("vlad_pool", {**arrays, "assignment": rng.uniform(0.2, 1, shape)}, {"normalize": normalize})


MAKERS: dict[Callable[[np.random.Generator], Call], tuple[str, ...]] = {
    mixed: ("x", "mix"),
    gated: ("x", "weight", "bias"),
    gem: ("x", "p"),
    lenet: ("x", "scale", "bias"),
    ldw: ("x", "low", "weight", "bias"),
    netvlad: ("x", "centers", "weight", "bias"),
    vlad: ("x", "centers"),
    vlad_of_weights: ("x", "centers", "assignment"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "name"),
    [pytest.param(make, name, id=f"{make.__name__}-{name}") for make in MAKERS for name in MAKERS[make]],
)
def test_gradients_are_slopes(make, name):
    hold(lambda rng: make(rng).slope(name))


@pytest.mark.slow
def test_the_constraint_of_ldw():
    def make(rng):
        low = rng.standard_normal(2 * int(rng.integers(1, 7)))
        losses = each(lambda low: np.array(fastpool.ldw_constraint(low)[0]))
        return Slope("ldw_constraint", losses, lambda dy, low: dy[0] * fastpool.ldw_constraint(low[0])[1], low)

    hold(make)
