"""Problem: its text form, and the numbers that follow from its fields."""

from __future__ import annotations

import math
import random

import pytest

from fastpool.problem import DIRECTIONS, DTYPES, INDEX_KINDS, NAN_RULES, OPS, Problem
from fastpool.window import LIMIT
from tests.problems import make

EXAMPLES = (
    "max2d_fwd+tap_f32_first_mb8ic64_ih112oh56kh3sh2ph1",
    "mean3d_bwd_f64_last_mb2ic3_id8od4kd2sd2_ih9oh5kh2sh2_iw7ow4kw2sw2_ceil_xpad",
    "sum2d_fwd_i16_axes2.0_n5x6x7_ih7oh3kh2sh2_iw5ow2kw2sw2_xs1.7.42",
)


def random_strides(rng, rank):
    return tuple(rng.randrange(-300, 300) for _ in range(rank)) if rng.random() < 0.3 else ()


def random_problem(rng: random.Random) -> Problem:
    """Any field may have any of its values, whether or not a public function asks for that."""
    rank = rng.randrange(1, 7)
    shape = tuple(rng.choice((0, 1, 2, 5, 13, 2**33)) for _ in range(rank))
    count = rng.randrange(1, rank + 1)
    if rng.random() < 0.5:
        first = rank - count - (rng.random() < 0.5 and count < rank)
        axes = tuple(range(first, first + count))
    else:
        axes = tuple(rng.sample(range(rank), count))

    def per_axis(*values):
        one = rng.choice(values)
        return (one,) * count if rng.random() < 0.3 else tuple(rng.choice(values) for _ in range(count))

    begin = per_axis(0, 1, 2, 40)
    op = rng.choice(OPS)
    direction = rng.choice(DIRECTIONS)
    return Problem(
        op=op,
        direction=direction,
        dtype=rng.choice(list(DTYPES)),
        shape=shape,
        axes=axes,
        kernel=per_axis(1, 2, 3, 17, 2**31),
        stride=per_axis(1, 2, 3, 11),
        pad_begin=begin,
        pad_end=begin if rng.random() < 0.5 else per_axis(0, 1, 3),
        dilation=per_axis(1, 1, 2, 5),
        ceil=rng.random() < 0.3,
        indices=rng.choice(("", *INDEX_KINDS)) if op in ("max", "min") else "",
        include_pad=rng.random() < 0.7,
        divisor=rng.choice((0, 0, 1, -7, 2**40)),
        norm=rng.choice((1.0, 2.0, 0.5, 2.5, 1e-300, 1e22, 1 / 3)) if op == "lp" else 2.0,
        nan=rng.choice(NAN_RULES),
        x_strides=random_strides(rng, rank),
        y_strides=random_strides(rng, rank),
        index_strides=random_strides(rng, rank),
        aux_strides=random_strides(rng, rank),
    )


def test_text_reads_back():
    rng = random.Random(0)
    texts = {}
    for _ in range(3000):
        problem = random_problem(rng)
        text = str(problem)
        assert Problem.parse(text) == problem, text
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789_+-."), text
        # two problems never share a text
        assert texts.setdefault(text, problem) == problem
    assert len(texts) > 2500


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_of_the_grammar(text):
    assert str(Problem.parse(text)) == text


def test_every_field_is_in_the_text():
    """A field that the text left out would make two different problems look the same."""
    base = Problem.parse("mean2d_fwd_f32_first_mb2ic3_ih8oh4kh2sh2")
    changes = {
        "op": "sum",
        "direction": "bwd",
        "dtype": "f64",
        "shape": (2, 3, 8, 9),
        "axes": (3, 2),
        "kernel": (2, 3),
        "stride": (2, 1),
        "pad_begin": (1, 0),
        "pad_end": (0, 1),
        "dilation": (1, 2),
        "ceil": True,
        "indices": "tap",
        "include_pad": False,
        "divisor": 5,
        "nan": "ignore",
        "x_strides": (1, 2, 3, 4),
        "y_strides": (1, 2, 3, 4),
        "index_strides": (1, 2, 3, 4),
        "aux_strides": (1, 2, 3, 4),
    }
    assert set(Problem._fields) == {*changes, "norm"}
    texts = {str(base._replace(**{name: value})) for name, value in changes.items()}
    texts |= {str(base), str(base._replace(op="lp", norm=1.0)), str(base._replace(op="lp"))}
    assert len(texts) == len(changes) + 3


BAD = [
    ("", "does not begin like"),
    ("max2d", "does not begin like"),
    ("median2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1", "operations: max, min, mean, sum, lp"),
    ("max2d_fwd_f31_first_mb8ic64_ih112oh56kh3sh2ph1", "dtypes: b1, i8"),
    ("max2d_both_f32_first_mb8ic64_ih112oh56kh3sh2ph1", "does not begin like"),
    ("max2d_fwd+flat_f32_first_mb8ic64_ih112oh56kh3sh2ph1", "does not begin like"),
    ("max2d_fwd_f32_middle_mb8ic64_ih112oh56kh3sh2ph1", "does not begin like"),
    ("MAX2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1", "does not begin like"),
    ("max2d_fwd_f32_first_mb8ic64", "no word 'ih..' for its first axis"),
    ("max2d_fwd_f32_first_mb8ic64_iw112ow56kw3sw2pw1", "no word 'ih..' for its first axis"),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh57kh3sh2ph1", "does not say what it means: .*oh56"),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1dh1", "does not say what it means"),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1_iw112ow56kw3sw2pw1", "does not say what it means"),
    ("max2d_fwd_f32_first_mb8ic64_ih0112oh56kh3sh2ph1", "does not say what it means"),
    ("max2d_fwd_f32_first_mb8ic64_ih112ow56kh3sh2ph1", "a word that the grammar lacks: 'ih112ow56kh3sh2ph1'"),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1_floor", "a word that the grammar lacks: 'floor'"),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1_", "a word that the grammar lacks: ''"),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1_ceil_ceil", "does not say what it means"),
    ("max2d_fwd_f32_first_mb8ic64_ceil_ih112oh56kh3sh2ph1", "does not say what it means"),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1_p2.0", "does not say what it means"),
    ("lp2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1_p2", "a word that the grammar lacks: 'p2'"),
    ("mean2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1_div0", "does not say what it means"),
    ("max2d_fwd_f32_axes2.3_n8x64x112x112_ih112oh56kh3sh2ph1", "does not say what it means: .*first"),
    ("max2d_fwd_f32_first_n8x64x112x112_ih112oh56kh3sh2ph1", "does not say what it means: .*mb8ic64"),
    ("max2d_fwd_f32_first_n3x112x113_ih112oh56kh3sh2ph1", "does not say what it means"),
    ("max2d_fwd_f32_axes0.5_n3x112x112_ih112oh56kh3sh2ph1", ""),
    ("max2d_fwd_f32_axes0_n112x112_ih112oh56kh3sh2ph1", ""),
    ("max2d_fwd_f32_first_n112_ih112oh56kh3sh2ph1", ""),
    ("max2d_fwd_f32_last_n112x112_ih112oh56kh3sh2ph1", ""),
    ("max0d_fwd_f32_first_n3x4", ""),
    ("max2d_fwd_f32_first_n_ih112oh56kh3sh2ph1", ""),
    ("max2d_fwd_f32_first_nxx_ih112oh56kh3sh2ph1", ""),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh0ph1", ""),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1dh0", ""),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh113kh0sh1", ""),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1_xs1.2", ""),
    ("max2d_fwd_f32_axes2.2_n8x64x112_ih112oh56kh3sh2ph1", ""),
]


@pytest.mark.parametrize(("text", "words"), BAD, ids=range(len(BAD)))
def test_bad_text(text, words):
    with pytest.raises(ValueError, match=rf"^Problem\.parse: .*{words}") as caught:
        Problem.parse(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_texts_raise_nothing_but_value_errors():
    """One character more, less, or another, in any place."""
    rng = random.Random(5)
    letters = "abdefhiklmnopswxy0123456789_+-."
    for _ in range(4000):
        text = rng.choice(EXAMPLES)
        at = rng.randrange(len(text))
        broken = text[:at] + rng.choice(("", rng.choice(letters))) + text[at + rng.randrange(2) :]
        try:
            problem = Problem.parse(broken)
        except ValueError as error:
            assert str(error).startswith("Problem.parse: "), broken  # noqa: PT017
        else:
            assert str(problem) == broken


@pytest.mark.parametrize(
    ("kernel", "dtype", "limit"),
    [
        ((1,), "u8", 255),
        ((255,), "u8", 255),
        ((256,), "u16", 65535),
        ((15, 17), "u8", 255),
        ((16, 16), "u16", 65535),
        ((65535,), "u16", 65535),
        ((65536,), "u32", 2**32 - 1),
        ((2**16, 2**16), "u64", 2**64 - 1),
        ((2**32 - 1,), "u32", 2**32 - 1),
    ],
)
def test_index_type_of_taps(kernel, dtype, limit):
    """The smallest unsigned type that holds every tap and one value more."""
    problem = make("max", (2**33,) * len(kernel), range(len(kernel)), kernel, indices="tap")
    assert problem.taps == math.prod(kernel)
    assert problem.index_dtype == dtype
    assert problem.tap_limit == limit
    for kind in ("plane", "tensor", ""):
        assert problem._replace(indices=kind).index_dtype == "i64"


def test_shapes_follow_from_the_windows():
    problem = make("max", (4, 9, 5, 8), (3, 1), (2, 3), (2, 1), [(0, 1), 2], (1, 2), ceil=True)
    assert problem.outputs == (4, 9)
    assert problem.out_shape == (4, 9, 5, 4)
    assert problem.plane == 72
    assert problem.taps == 6
    assert problem.layout == "axes3.1"


@pytest.mark.parametrize("dtype", DTYPES)
def test_result_type(dtype):
    wide = {"i": "i64", "u": "u64"}.get(dtype[0], dtype)
    assert make("sum", (4,), 0, 2, dtype=dtype).out_dtype == wide
    for op in ("max", "min", "mean", "lp"):
        assert make(op, (4,), 0, 2, dtype=dtype).out_dtype == dtype


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (make("max", (8,), 0, 2**62, 1, 0, 3), "the window's extent along axis 0"),
        (make("max", (3, 8), 1, 2, 1, LIMIT), "the padded size of axis 1"),
        (make("max", (2**40, 2**40), (0, 1), 2**40), "the number of taps of a window"),
        (make("max", (2**31, 2**31), (0, 1), 2**31), "the size of x in bytes"),
        (make("max", (2**20, 8), 1, 2, 1, 2**40), "the size of the result in bytes"),
        (make("max", (2**29, 2**29), (0, 1), 2), ""),
        (make("max", (0, 2**40, 2**40), 1, 2), ""),
    ],
)
def test_overflow(problem, words):
    assert problem.overflow() == words


def test_the_limit_of_overflow_is_exact():
    """16 bytes are those of the widest element that kernels know."""
    most = LIMIT // 16
    assert make("max", (most,), 0, 2).overflow() == ""
    assert make("max", (most + 1,), 0, 2).overflow() == "the size of x in bytes"
