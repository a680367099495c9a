/* Every operation, element type, direction and kind of indices, over windows of every sort, in every way to run them.
 *
 *     operations [every] [malloc]    every: one case in so many; malloc: memory for a sanitizer or valgrind to watch
 */
#include "check.h"

#include <string.h>

struct geometry {
    const char *name;
    int rank, pooled;
    int64_t shape[16], axes[16], kernel[16], stride[16], dilation[16], pad_begin[16], pad_end[16];
    int ceil_mode, include_pad, divisor, strided;
};

static const struct geometry geometries[] = {
    {"3/2 padded", 4, 2, {2, 3, 9, 21}, {2, 3}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, 0, 1, 0, 0},
    {"2/2", 4, 2, {2, 3, 8, 40}, {2, 3}, {2, 2}, {2, 2}, {1, 1}, {0, 0}, {0, 0}, 0, 1, 0, 0},
    {"3/1 channels last", 4, 2, {2, 7, 8, 19}, {1, 2}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 0, 0, 0, 0},
    {"1-D dilated", 2, 1, {5, 40}, {1}, {5}, {3}, {2}, {1}, {3}, 1, 1, 0, 0},
    {"3-D", 4, 3, {2, 5, 6, 17}, {1, 2, 3}, {2, 3, 2}, {2, 1, 2}, {1, 1, 1}, {1, 0, 1}, {0, 2, 1}, 1, 0, 0, 0},
    {"large", 3, 2, {1, 20, 33}, {1, 2}, {13, 9}, {1, 1}, {1, 1}, {6, 4}, {6, 4}, 0, 1, 0, 0},
    {"strided", 3, 2, {6, 7, 3}, {1, 0}, {3, 2}, {2, 1}, {1, 2}, {0, 1}, {1, 1}, 0, 0, 0, 15},
    {"strided, rows", 3, 2, {3, 9, 30}, {1, 2}, {2, 3}, {2, 2}, {1, 1}, {0, 1}, {0, 1}, 1, 1, 0, 15},
    {"whole plane", 3, 2, {4, 11, 13}, {1, 2}, {11, 13}, {11, 13}, {1, 1}, {0, 0}, {0, 0}, 0, 1, 0, 0},
    {"divisor", 3, 2, {2, 9, 11}, {1, 2}, {3, 4}, {2, 3}, {1, 1}, {1, 1}, {1, 2}, 1, 0, 7, 0},
    {"more taps than a byte counts", 3, 2, {2, 30, 37}, {1, 2}, {16, 17}, {3, 2}, {1, 1}, {2, 0}, {0, 3}, 0, 1, 0, 0},
    {"no tap inside", 3, 2, {2, 1, 5}, {1, 2}, {2, 2}, {1, 1}, {2, 1}, {1, 0}, {1, 0}, 0, 1, 0, 0},
    {"wide padding", 2, 1, {3, 6}, {1}, {2}, {1}, {1}, {7}, {9}, 0, 0, 0, 0},
    {"no batch", 3, 2, {0, 5, 6}, {1, 2}, {2, 2}, {2, 2}, {1, 1}, {0, 0}, {0, 0}, 0, 1, 0, 0},
    {"all axes there can be", 16, 2, {1, 2, 1, 1, 2, 1, 1, 5, 1, 1, 2, 1, 1, 1, 6, 2}, {14, 7}, {2, 3}, {1, 2},
     {1, 1}, {0, 1}, {1, 0}, 0, 1, 0, 0},
    {"many pooled axes", 6, 6, {3, 4, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {2, 2, 1, 2, 3, 2}, {1, 2, 1, 1, 1, 3},
     {1, 1, 1, 2, 1, 1}, {0, 1, 0, 0, 1, 0}, {1, 0, 0, 0, 1, 1}, 0, 1, 0, 0},
    {"for several threads", 4, 2, {2, 12, 48, 130}, {2, 3}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, 0, 1, 0, 0},
    {"channels last for several threads", 4, 2, {2, 40, 50, 40}, {1, 2}, {2, 2}, {2, 2}, {1, 1}, {0, 1}, {0, 0}, 0, 0,
     0, 0},
};

#define GEOMETRIES (int)(sizeof geometries / sizeof *geometries)

static void shape_spec(fastpool_spec *spec, const struct geometry *geometry)
{
    CHECK(!fastpool_spec_init(spec, sizeof *spec));
    spec->rank = geometry->rank;
    spec->pooled = geometry->pooled;
    spec->ceil_mode = geometry->ceil_mode;
    spec->include_pad = geometry->include_pad;
    spec->strided = geometry->strided;
    memcpy(spec->shape, geometry->shape, sizeof spec->shape);
    memcpy(spec->axes, geometry->axes, sizeof spec->axes);
    memcpy(spec->kernel, geometry->kernel, sizeof spec->kernel);
    memcpy(spec->stride, geometry->stride, sizeof spec->stride);
    memcpy(spec->dilation, geometry->dilation, sizeof spec->dilation);
    memcpy(spec->pad_begin, geometry->pad_begin, sizeof spec->pad_begin);
    memcpy(spec->pad_end, geometry->pad_end, sizeof spec->pad_end);
    int64_t shape[FASTPOOL_MAX_RANK];
    output_shape(spec, shape);
    random_strides(spec->shape, spec->rank, spec->x_strides);
    random_strides(spec->shape, spec->rank, spec->input_strides);
    random_strides(shape, spec->rank, spec->y_strides);
    random_strides(shape, spec->rank, spec->index_strides);
}

/* What the header and the semantics say of the types that an operation takes, and of those compiled ahead. */
static fastpool_status expected_status(const fastpool_spec *spec)
{
    int selects = spec->operation <= FASTPOOL_MIN, backward = spec->direction == FASTPOOL_BACKWARD;
    int integers = is_integer(spec->dtype), lp = spec->operation == FASTPOOL_LP;
    if ((selects || lp) && is_complex(spec->dtype))
        return FASTPOOL_INVALID_OPERATION;
    if (spec->dtype == FASTPOOL_BOOL && (!selects || backward))
        return FASTPOOL_INVALID_OPERATION;
    if (lp && integers)
        return FASTPOOL_INVALID_OPERATION;
    int64_t taps = 1;
    for (int p = 0; p < spec->pooled; p++)
        taps *= spec->kernel[p];
    if (spec->indices == FASTPOOL_TAP && taps > 255)
        return FASTPOOL_UNSUPPORTED;
    if (is_complex(spec->dtype) && spec->skip_nan)
        return FASTPOOL_UNSUPPORTED;
    if (backward && (integers || (lp && (is_half(spec->dtype) || spec->skip_nan))))
        return FASTPOOL_UNSUPPORTED;
    return FASTPOOL_OK;
}

int main(int argc, char **argv)
{
    int every = argc > 1 ? atoi(argv[1]) : 1;
    int64_t cases = 0, done = 0;
    use_malloc = argc > 2 && !strcmp(argv[2], "malloc");
    for (int number = 0; number < GEOMETRIES * 15 * 5 * 3 * 2 * 4 * 2; number++) {
        int rest = number;
        const struct geometry *geometry = &geometries[rest % GEOMETRIES];
        fastpool_spec spec;
        rest /= GEOMETRIES;
        shape_spec(&spec, geometry);
        spec.direction = rest % 2, rest /= 2;
        spec.dtype = rest % 15, rest /= 15;
        spec.operation = rest % 5, rest /= 5;
        spec.indices = rest % 4 - 1, rest /= 4;
        spec.skip_nan = rest % 2, rest /= 2;
        spec.norm = rest + 1;
        if ((spec.indices >= 0 && spec.operation > FASTPOOL_MIN) || (spec.norm > 1 && spec.operation != FASTPOOL_LP))
            continue;
        spec.divisor = spec.operation == FASTPOOL_MEAN ? geometry->divisor : 0;
        if (cases++ % every)
            continue;
        int selects = spec.operation <= FASTPOOL_MIN;
        int nan_every = spec.skip_nan ? 2 : selects || spec.direction == FASTPOOL_FORWARD ? 40 : 0;
        fastpool_status status = run_case(&spec, ALL_WAYS, nan_every);
        if (status != expected_status(&spec)) {
            printf("%s: %s\n", geometry->name, fastpool_status_text(status));
            describe(&spec);
            return 1;
        }
        done += status == FASTPOOL_OK;
    }
    printf("%lld cases run, of %lld specs\n", (long long)done, (long long)cases);
    return done == 0;
}
