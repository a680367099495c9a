/* Pooling as docs/semantics.md defines it, in double precision, which is exact for the small integers given to it. */
#include "check.h"

#include <math.h>
#include <string.h>

struct tap {
    int64_t at, plane, number; /* flat in x, flat in the plane, place in the window */
};

void output_shape(const fastpool_spec *spec, int64_t *shape)
{
    memcpy(shape, spec->shape, sizeof spec->shape);
    for (int p = 0; p < spec->pooled; p++) {
        int64_t n = spec->shape[spec->axes[p]], s = spec->stride[p];
        int64_t room = n + spec->pad_begin[p] + spec->pad_end[p] - (spec->dilation[p] * (spec->kernel[p] - 1) + 1);
        int64_t windows = room / s + 1;
        if (spec->ceil_mode && room % s && windows * s < n + spec->pad_begin[p])
            windows++;
        shape[spec->axes[p]] = windows;
    }
}

/* The taps of the window of output o that lie inside, and how many the divisor of a mean counts. */
static int look(const fastpool_spec *spec, const int64_t *o, struct tap *taps, double *counted)
{
    int64_t total = 1;
    *counted = 1;
    for (int p = 0; p < spec->pooled; p++) {
        int64_t n = spec->shape[spec->axes[p]], own = 0;
        total *= spec->kernel[p];
        for (int64_t j = 0; j < spec->kernel[p]; j++) {
            int64_t position = o[spec->axes[p]] * spec->stride[p] - spec->pad_begin[p] + j * spec->dilation[p];
            own += spec->include_pad ? position < n + spec->pad_end[p] : position >= 0 && position < n;
        }
        *counted *= (double)own;
    }
    CHECK(total <= MOST_TAPS);
    int found = 0;
    for (int64_t number = 0; number < total; number++) {
        int64_t place[FASTPOOL_MAX_RANK], rest = number, plane = 0, at = 0;
        int inside = 1;
        memcpy(place, o, sizeof place);
        for (int p = spec->pooled - 1; p >= 0; p--) {
            int64_t axis = spec->axes[p];
            place[axis] = o[axis] * spec->stride[p] - spec->pad_begin[p] + rest % spec->kernel[p] * spec->dilation[p];
            inside &= place[axis] >= 0 && place[axis] < spec->shape[axis];
            rest /= spec->kernel[p];
        }
        for (int p = 0; p < spec->pooled; p++)
            plane = plane * spec->shape[spec->axes[p]] + place[spec->axes[p]];
        for (int axis = 0; axis < spec->rank; axis++)
            at = at * spec->shape[axis] + place[axis];
        if (inside)
            taps[found++] = (struct tap){at, plane, number};
    }
    return found;
}

static int is_nan(struct number value)
{
    return isnan(value.re) || isnan(value.im);
}

/* The place in taps of the one that wins, or -1. */
static int winner(const fastpool_spec *spec, const struct number *x, const struct tap *taps, int count)
{
    int best = -1;
    for (int t = 0; t < count; t++) {
        double value = x[taps[t].at].re, most = best < 0 ? 0 : x[taps[best].at].re;
        int better = best < 0 || (spec->operation == FASTPOOL_MAX ? value > most : value < most);
        if (isnan(value) ? !spec->skip_nan : better)
            best = t;
    }
    return best;
}

/* A sum divided as the type divides: integers toward zero, the narrower floats in single precision. */
static double divide(int dtype, double sum, double divisor)
{
    if (is_integer(dtype))
        return trunc(sum / divisor);
    if (dtype == FASTPOOL_F64 || dtype == FASTPOOL_C128)
        return sum / divisor;
    return (float)(sum / divisor);
}

static struct number norm(const fastpool_spec *spec, const struct number *x, const struct tap *taps, int count)
{
    double sum = 0;
    for (int t = 0; t < count; t++)
        sum += pow(fabs(x[taps[t].at].re), spec->norm);
    return (struct number){spec->norm == 2 ? sqrt(sum) : pow(sum, 1 / spec->norm), 0};
}

static void add(struct answers *answers, int64_t at, double re, double im)
{
    answers->dx[at].re += re;
    answers->dx[at].im += im;
    answers->weight[at] += fabs(re) + fabs(im);
    answers->terms[at]++;
}

static void pool_window(const fastpool_spec *spec, const struct number *x, const struct number *dy,
                        struct answers *answers, const int64_t *o, int64_t out)
{
    static struct tap taps[MOST_TAPS];
    double counted;
    int count = look(spec, o, taps, &counted), skips = spec->skip_nan && !is_integer(spec->dtype);
    if (spec->operation == FASTPOOL_MAX || spec->operation == FASTPOOL_MIN) {
        int won = winner(spec, x, taps, count);
        double end = spec->operation == FASTPOOL_MAX ? -INFINITY : INFINITY;
        answers->y[out] = won >= 0 ? x[taps[won].at] : (struct number){skips ? NAN : end, 0};
        answers->index[out] = spec->indices == FASTPOOL_TAP ? 255 : -1;
        if (won >= 0) {
            const int64_t kinds[] = {taps[won].plane, taps[won].at, taps[won].number};
            answers->index[out] = kinds[spec->indices < 0 ? 0 : spec->indices];
            if (dy)
                add(answers, taps[won].at, dy[out].re, dy[out].im);
        }
        return;
    }
    int live = 0;
    for (int t = 0; t < count; t++)
        if (!skips || !is_nan(x[taps[t].at]))
            taps[live++] = taps[t];
    counted -= count - live;
    double divisor = spec->operation == FASTPOOL_SUM ? 1 : spec->divisor ? (double)spec->divisor : counted;
    double empty = skips ? NAN : 0;
    if (!live)
        answers->y[out] = (struct number){empty, is_complex(spec->dtype) ? empty : 0};
    else if (spec->operation == FASTPOOL_LP)
        answers->y[out] = norm(spec, x, taps, live);
    else {
        struct number sum = {0, 0};
        for (int t = 0; t < live; t++)
            sum.re += x[taps[t].at].re, sum.im += x[taps[t].at].im;
        sum.re = divide(spec->dtype, sum.re, divisor), sum.im = divide(spec->dtype, sum.im, divisor);
        answers->y[out] = sum;
    }
    for (int t = 0; dy && t < live; t++) {
        double value = x[taps[t].at].re, y = answers->y[out].re;
        if (spec->operation != FASTPOOL_LP)
            add(answers, taps[t].at, dy[out].re / divisor, dy[out].im / divisor);
        else if (value != 0)
            add(answers, taps[t].at, copysign(pow(fabs(value) / y, spec->norm - 1), value) * dy[out].re, 0);
    }
}

struct answers answer(const fastpool_spec *spec, const struct number *x, const struct number *dy)
{
    struct answers answers = {.x_count = 1, .y_count = 1};
    int64_t o[FASTPOOL_MAX_RANK] = {0};
    output_shape(spec, answers.shape);
    for (int axis = 0; axis < spec->rank; axis++)
        answers.x_count *= spec->shape[axis], answers.y_count *= answers.shape[axis];
    answers.y = calloc((size_t)answers.y_count + 1, sizeof *answers.y);
    answers.index = calloc((size_t)answers.y_count + 1, sizeof *answers.index);
    answers.dx = calloc((size_t)answers.x_count + 1, sizeof *answers.dx);
    answers.weight = calloc((size_t)answers.x_count + 1, sizeof *answers.weight);
    answers.terms = calloc((size_t)answers.x_count + 1, sizeof *answers.terms);
    for (int64_t out = 0; out < answers.y_count; out++) {
        pool_window(spec, x, dy, &answers, o, out);
        for (int axis = spec->rank - 1; axis >= 0 && ++o[axis] == answers.shape[axis]; axis--)
            o[axis] = 0;
    }
    return answers;
}

void forget(struct answers *answers)
{
    free(answers->y);
    free(answers->index);
    free(answers->dx);
    free(answers->weight);
    free(answers->terms);
}
