/* Prints how many seconds a number of the smallest calls take: calls run|plan NUMBER. */
#define _POSIX_C_SOURCE 200809L
#include <fastpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static float x[64], y[16];

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int count, char **words)
{
    static const int64_t shape[] = {1, 1, 8, 8}, axes[] = {2, 3}, two[] = {2, 2};
    const long calls = count == 3 ? strtol(words[2], NULL, 10) : 0;
    fastpool_spec spec;
    fastpool_plan *plan = NULL;
    fastpool_status status = FASTPOOL_OK;
    void *workspace;
    size_t bytes;
    double best = 1e9;
    if (calls < 1)
        return 2;
    for (int i = 0; i < 64; i++)
        x[i] = (float)i;
    fastpool_spec_init(&spec, sizeof spec);
    spec.operation = FASTPOOL_MAX;
    spec.dtype = FASTPOOL_F32;
    spec.rank = 4;
    spec.pooled = 2;
    memcpy(spec.shape, shape, sizeof shape);
    memcpy(spec.axes, axes, sizeof axes);
    memcpy(spec.kernel, two, sizeof two);
    memcpy(spec.stride, two, sizeof two);
    status = fastpool_plan_create(&spec, &plan);
    if (status != FASTPOOL_OK) {
        fprintf(stderr, "%s\n", fastpool_status_text(status));
        return 1;
    }
    bytes = fastpool_workspace_size(plan, 1);
    workspace = malloc(bytes + 1);
    /* the fastest of some rounds: the others were disturbed */
    for (int round = 0; round < 21; round++) {
        const double start = now();
        memset(y, 0, sizeof y);
        for (long i = 0; i < calls && status == FASTPOOL_OK; i++)
            status = strcmp(words[1], "plan") == 0 ? fastpool_forward(plan, x, y, NULL, workspace, bytes, 1)
                                                   : fastpool_run(&spec, x, NULL, NULL, y, 1);
        const double taken = now() - start;
        best = taken < best ? taken : best;
        if (status != FASTPOOL_OK || y[0] != 9 || y[3] != 15 || y[15] != 63) {
            fprintf(stderr, "%s, and y is %g %g %g\n", fastpool_status_text(status), y[0], y[3], y[15]);
            return 1;
        }
    }
    free(workspace);
    fastpool_plan_destroy(plan);
    printf("%.9f\n", best);
    return 0;
}
