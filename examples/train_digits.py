"""A small convolutional network that learns to read digits, in NumPy and fastpool, with a pooling of your choice.

    python examples/train_digits.py --pool lp --plot digits.png

Two times convolution, ReLU and pooling, then one dense layer. The digits are scikit-learn's, 1797 images of 8 x 8
pixels; 400 of them, 40 of each digit, are held out. ``--pool all`` trains with one pooling after the other.
"""

import argparse
import math
import sys
import time
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

import fastpool


@fastpool.reduction
class root_mean_square:  # noqa: N801
    """A pooling of one's own, with its gradient."""

    identity = 0.0

    @staticmethod
    def lift(x):
        """The state of an element."""
        return x * x

    @staticmethod
    def combine(a, b):
        """Of two states one."""
        return a + b

    @staticmethod
    def lower(s, count):
        """The result, from the state."""
        return (s / count) ** 0.5

    @staticmethod
    def pull(g, s, count):
        """What a window gives to its elements."""
        return g / ((s / count) ** 0.5 * count + 1e-12)

    @staticmethod
    def push(a, x):
        """What an element makes of it."""
        return a * x


class Pool(NamedTuple):
    """A function of fastpool by name, and its arguments after x.

    ``learned`` are further arguments, arrays of one number per channel, here with what they are at first; one that
    draws is ``random``: it gets a seed in each step, and is told when it is not training.
    """

    function: str
    args: tuple = ()
    given: dict = {}  # noqa: RUF012
    learned: tuple = ()
    random: bool = False


POOLS = {
    "max": Pool("max_pool2d", (2,)),
    "max-overlapping": Pool("max_pool2d", (3, 2, 1)),
    "avg": Pool("avg_pool2d", (2,)),
    "sum": Pool("sum_pool2d", (2,)),
    "min": Pool("min_pool2d", (2,)),
    "lp": Pool("lp_pool2d", (3.0, 2)),
    "own": Pool("pool", ((2, 2), root_mean_square)),
    "stride": Pool("stride_pool2d", (2,)),
    "gem": Pool("gem_pool2d", (2,), {"p": 3.0}),
    "logsumexp": Pool("logsumexp_pool2d", (2,)),
    "soft": Pool("soft_pool2d", (2,)),
    "mixed": Pool("mixed_pool2d", (2,)),
    "stochastic": Pool("stochastic_pool2d", (2,), random=True),
    "median": Pool("median_pool2d", (2,)),
    "quantile": Pool("quantile_pool2d", (0.75, 2)),
    "blur": Pool("blur_pool2d", (3, 2)),
    "max-blur": Pool("max_blur_pool2d", (2, 2), {"filter_size": 3}),
    "wavelet": Pool("wavelet_pool2d"),
    "adaptive-avg": Pool("adaptive_avg_pool2d", (3,)),
    "lenet": Pool("lenet_pool2d", (2,), learned=(0.25, 0.0)),
}
"""What can be chosen; those that the installed fastpool lacks are left out."""


def available():
    """Names of the poolings that are here, and of those that are not."""
    here = [name for name, pool in POOLS.items() if hasattr(fastpool, pool.function)]
    return here, [name for name in POOLS if name not in here]


def pooling(pool, x, learned, seed=None):
    """Pool a batch; returns the result, and what gives the gradients of x and of what is learned.

    With a seed in training.
    """
    given = dict(pool.given)
    if pool.random:
        given |= {"training": False} if seed is None else {"seed": seed}
    y, pullback = fastpool.vjp(getattr(fastpool, pool.function), x, *pool.args, *learned, **given)

    def gradients(dy):
        found = pullback(dy)
        return found if isinstance(found, tuple) else (found,)

    # some also return which element they took
    return y[0] if isinstance(y, tuple) else y, gradients


def convolution(x, w, b):
    """3 x 3 filters over x (n, c, h, w) with a border of zeros; returns the result and its pullback."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    n, c, height, width = x.shape
    columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, c * 9)
    y = (columns @ w + b).reshape(n, height, width, -1).transpose(0, 3, 1, 2)

    def pullback(dy):
        flat = dy.transpose(0, 2, 3, 1).reshape(len(columns), -1)
        taps = (flat @ w.T).reshape(n, height, width, c, 3, 3)
        dx = np.zeros_like(padded)
        for i in range(3):
            for j in range(3):
                dx[:, :, i : i + height, j : j + width] += taps[..., i, j].transpose(0, 3, 1, 2)
        return dx[:, :, 1:-1, 1:-1], columns.T @ flat, flat.sum(axis=0)

    return np.ascontiguousarray(y), pullback


class Network:
    """Convolution, ReLU, pooling, twice, and a dense layer of what is left; parameters by name."""

    def __init__(self, pool, channels=(16, 32), seed=0):
        rng = np.random.default_rng(seed)
        self.pool = pool
        self.values = {}
        before = 1
        for i, count in enumerate(channels):
            self.values[f"w{i}"] = rng.normal(0, (2 / (9 * before)) ** 0.5, (9 * before, count))
            self.values[f"b{i}"] = np.zeros(count)
            for j, start in enumerate(pool.learned):
                self.values[f"pool{i}.{j}"] = np.full(count, start)
            before = count
        self.values = {name: value.astype(np.float32) for name, value in self.values.items()}
        self.depth = len(channels)
        features = self.features(np.zeros((1, 1, 8, 8), np.float32))[0].size
        self.values["w"] = rng.normal(0, (1 / features) ** 0.5, (features, 10)).astype(np.float32)
        self.values["b"] = np.zeros(10, np.float32)
        self.steps = 0
        self.means = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in self.values.items()}

    def features(self, x, seed=None):
        """Pooled features of images; also the maps on the way, and the pullbacks, in order."""
        maps, pullbacks = [], []
        for i in range(self.depth):
            x, back = convolution(x, self.values[f"w{i}"], self.values[f"b{i}"])
            positive = x > 0
            x = x * positive
            learned = [self.values[f"pool{i}.{j}"] for j in range(len(self.pool.learned))]
            y, gradients = pooling(self.pool, x, learned, seed)
            maps.append((x, y))
            pullbacks.append((back, positive, gradients))
            x = y
        return x, maps, pullbacks

    def scores(self, images):
        """A number for each digit."""
        x = self.features(images)[0]
        return x.reshape(len(images), -1) @ self.values["w"] + self.values["b"]

    def learn(self, images, labels, rate):
        """One step of Adam; returns the mean cross-entropy before it."""
        x, _, pullbacks = self.features(images, self.steps)
        flat = x.reshape(len(images), -1)
        scores = flat @ self.values["w"] + self.values["b"]
        scores -= scores.max(axis=1, keepdims=True)
        chances = np.exp(scores)
        chances /= chances.sum(axis=1, keepdims=True)
        here = np.arange(len(labels))
        loss = -np.log(chances[here, labels] + 1e-9).mean()

        slope = chances
        slope[here, labels] -= 1
        slope /= len(labels)
        found = {"w": flat.T @ slope, "b": slope.sum(axis=0)}
        dx = (slope @ self.values["w"].T).reshape(x.shape)
        for i in reversed(range(self.depth)):
            back, positive, gradients = pullbacks[i]
            dx, *others = gradients(dx)
            found |= {f"pool{i}.{j}": other for j, other in enumerate(others[: len(self.pool.learned)])}
            dx, found[f"w{i}"], found[f"b{i}"] = back(dx * positive)
        self.steps += 1
        for name, gradient in found.items():
            mean, square = self.means[name]
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient * gradient - square)
            corrected = square / (1 - 0.999**self.steps)
            self.values[name] -= rate * mean / (1 - 0.9**self.steps) / (np.sqrt(corrected) + 1e-8)
        return float(loss)


def digits():
    """Images (n, 1, 8, 8) from 0 to 1 and labels: to learn from, and held out."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    mixed = np.random.default_rng(0).permutation(len(labels))
    held = np.concatenate([mixed[labels[mixed] == digit][:40] for digit in range(10)])
    rest = np.setdiff1d(mixed, held)
    return (images[rest], labels[rest]), (images[held], labels[held])


def shifted(images, rng):
    """Three of ten images moved by up to one pixel along each axis."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (8, 8), axis=(2, 3))
    # 1 is where it was
    down, right = np.where(rng.random(len(images)) < 0.3, rng.integers(0, 3, (2, len(images))), 1)
    return windows[np.arange(len(images)), :, down, right]


def tell(name, epoch, epochs, loss, right):
    """A bar that stays on its line, where somebody watches; else a line every five epochs."""
    words = f"loss {loss:.4f}, held out {100 * right:5.2f} %"
    done = epoch == epochs
    if sys.stderr.isatty():
        bar = "#" * (30 * epoch // epochs)
        print(f"\r{name:15} [{bar:30}] {epoch:3}/{epochs} {words}", end="\n" if done else "", file=sys.stderr)
    elif done or epoch % 5 == 0:
        print(f"{name:15} {epoch:3}/{epochs} {words}", file=sys.stderr)
    sys.stderr.flush()


def train(name, epochs=30, count=None, rate=0.01, batch=64, seed=0):
    """Train with a pooling; returns the network, the loss and the share of held-out digits it reads, by epoch."""
    (images, labels), (others, answers) = digits()
    images, labels = images[:count], labels[:count]
    rng = np.random.default_rng(seed)
    network = Network(POOLS[name], seed=seed)
    losses, shares = [], []
    for epoch in range(1, epochs + 1):
        mixed = rng.permutation(len(images))
        now = rate * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
        parts = [mixed[i : i + batch] for i in range(0, len(mixed), batch)]
        losses.append(np.mean([network.learn(shifted(images[part], rng), labels[part], now) for part in parts]))
        shares.append(float((network.scores(others).argmax(axis=1) == answers).mean()))
        tell(name, epoch, epochs, losses[-1], shares[-1])
    return network, losses, shares


def plot(path, name, network, losses, shares):
    """A picture of the course of the training, and of what the network sees in one digit."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    image = digits()[1][0][120:121]
    _, maps, _ = network.features(image)
    figure = plt.figure(figsize=(11, 10), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.9), hspace=0.04)
    top.suptitle(f"Digits with {name} pooling: {100 * shares[-1]:.1f} % of 400 held-out images", fontsize=15)
    epochs = np.arange(1, len(losses) + 1)
    left, right = top.subplots(1, 2)
    left.semilogy(epochs, losses, color="C0", marker=".")
    left.set(xlabel="epoch", ylabel="mean cross-entropy", title="Loss in training")
    wrong = 100 * (1 - np.array(shares))
    right.plot(epochs, wrong, color="C1", marker=".")
    right.axhline(3, color="0.5", linewidth=1, linestyle="--")
    right.annotate("3 %", (epochs[-1], 3), xytext=(0, 3), textcoords="offset points", ha="right", color="0.4")
    right.set(xlabel="epoch", ylabel="read wrongly, %", title="Held-out digits", ylim=(0, min(20, wrong.max() + 1)))
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)

    shown = 6
    bottom.suptitle(f"What the {shown} filters of each layer that answer most make of a digit", fontsize=13)
    side, main_part = bottom.subfigures(1, 2, width_ratios=(1, 4))
    axes = side.subplots()
    axes.imshow(image[0, 0], cmap="gray_r")
    axes.set(xticks=[], yticks=[], title="the digit, 8 x 8")
    grid = main_part.subplots(2 * len(maps), shown)
    for layer, (before, after) in enumerate(maps):
        strongest = np.argsort(-before[0].max(axis=(1, 2)))[:shown]
        for step, (row, stage) in enumerate(zip(grid[2 * layer :], (before, after), strict=False)):
            height, width = stage.shape[2:]
            row[0].set_ylabel(f"layer {layer + 1}\n{'pooled, ' * step}{height} x {width}", fontsize=11)
            for axes, index in zip(row, strongest, strict=True):
                axes.imshow(stage[0, index], cmap="viridis")
                axes.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments=None):
    """Train as the command line says; returns the share of held-out digits read, by pooling."""
    here, missing = available()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--pool", default="max", choices=[*POOLS, "all"], metavar="NAME", help=f"{', '.join(here)}, all"
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--count", type=int, help="how many images to learn from; 1397 if left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", metavar="PNG", help="write a picture of the last training")
    asked = parser.parse_args(arguments)
    wanted = here if asked.pool == "all" else [asked.pool]
    for name in missing:
        if name in wanted or asked.pool == "all":
            print(f"{name}: this fastpool has no {POOLS[name].function}, left out", file=sys.stderr)
    found = {}
    for name in wanted:
        if name in missing:
            continue
        start = time.perf_counter()
        # the arrays are small, and BLAS has threads of its own
        with fastpool.threads(1):
            network, losses, shares = train(name, asked.epochs, asked.count, seed=asked.seed)
        found[name] = shares[-1]
        print(f"{name:15} {100 * shares[-1]:6.2f} % of 400 held-out digits, {time.perf_counter() - start:.1f} s")
    if asked.plot and found:
        plot(asked.plot, name, network, losses, shares)
        print(f"{asked.plot} written")
    return found


if __name__ == "__main__":
    main()
