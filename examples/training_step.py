"""Gradient descent through a max pooling, in NumPy alone: a linear classifier of pooled random features."""

import numpy as np

import fastpool


def features(images, filters):
    """Filter responses of images (n, 12, 12) by filters (m, 3, 3): (n, m, 10, 10)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    return np.einsum("nyxij,mij->nmyx", windows, filters), windows


def train(steps=30, rate=0.5):
    """Learn to tell horizontal from vertical bars; returns the loss of every step."""
    rng = np.random.default_rng(11)
    labels = np.arange(64) % 2
    images = rng.normal(0, 0.3, (64, 12, 12))
    for image, vertical in zip(images, labels, strict=True):
        line = rng.integers(2, 10)
        image[(slice(None), line) if vertical else (line, slice(None))] += 1
    filters = rng.normal(0, 0.3, (4, 3, 3))
    weights = rng.normal(0, 0.3, 4 * 5 * 5)

    losses = []
    for _ in range(steps):
        responses, windows = features(images, filters)
        pooled, pullback = fastpool.vjp(fastpool.max_pool2d, responses, 2)
        flat = pooled.reshape(len(images), -1)
        probability = 1 / (1 + np.exp(-flat @ weights))
        losses.append(-np.log(np.where(labels == 1, probability, 1 - probability)).mean())

        slope = (probability - labels) / len(images)
        d_pooled = np.outer(slope, weights).reshape(pooled.shape)
        d_responses = pullback(d_pooled)
        filters -= rate * np.einsum("nmyx,nyxij->mij", d_responses, windows)
        weights -= rate * (flat.T @ slope)
    return losses


def main():
    losses = train()
    for step in range(0, len(losses), 5):
        print(f"step {step:2}: loss {losses[step]:.4f}")
    print(f"last   : loss {losses[-1]:.4f}")
    return losses


if __name__ == "__main__":
    main()
