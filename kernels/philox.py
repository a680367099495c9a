"""Random numbers by counting: Philox4x32-10, written from its definition.

Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011. A counter of four words of 32
bits and a key of two are turned into four words by ten rounds of two multiplications each. The same number comes out
for the same counter, in whichever order and thread it is asked for.
"""

from __future__ import annotations

WORD = 0xFFFFFFFF
FIRST, SECOND = 0xD2511F53, 0xCD9E8D57  # multipliers
FIRST_STEP, SECOND_STEP = 0x9E3779B9, 0xBB67AE85  # added to the key from round to round
ROUNDS = 10


def philox(c0, c1, c2, c3, k0, k1):
    """The four words of a counter and a key, all as integers from 0 to ``2**32 - 1``."""
    for _ in range(ROUNDS):
        # in 64 bits a product may wrap to a negative number: its bits are right
        a, b = FIRST * c0, SECOND * c2
        c0, c1, c2, c3 = ((b >> 32) & WORD) ^ c1 ^ k0, b & WORD, ((a >> 32) & WORD) ^ c3 ^ k1, a & WORD
        k0, k1 = (k0 + FIRST_STEP) & WORD, (k1 + SECOND_STEP) & WORD
    return c0, c1, c2, c3


def uniform(number, k0, k1):
    """A float64 of 53 bits, from 0 to below 1, for a number and a key."""
    high, low, _, _ = philox(number & WORD, (number >> 32) & WORD, 0, 0, k0, k1)
    return ((high >> 5) * 67108864 + (low >> 6)) * (1.0 / 9007199254740992.0)
