/* One plan in many threads, inside the caller's OpenMP region, and in a forked child of a process that ran in parallel.
 *
 *     threads share|region|fork [calls]
 */
#include "check.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#define THREADS 16
#define SECONDS 100

static int calls = 10;
static fastpool_plan *forward, *backward;
static float *x, *dy;
static struct answers answers;
static int alone; /* whether calls run in the calling thread: in a forked child */

static void make_plans(void)
{
    fastpool_spec spec;
    CHECK(!fastpool_spec_init(&spec, sizeof spec));
    spec.dtype = FASTPOOL_F32;
    spec.rank = 4;
    spec.pooled = 2;
    spec.indices = FASTPOOL_PLANE;
    spec.shape[0] = 2, spec.shape[1] = 10, spec.shape[2] = 50, spec.shape[3] = 66;
    for (int i = 0; i < 2; i++)
        spec.axes[i] = 2 + i, spec.kernel[i] = 3, spec.stride[i] = 2, spec.pad_begin[i] = spec.pad_end[i] = 1;
    CHECK(!fastpool_plan_create(&spec, &forward));
    spec.direction = FASTPOOL_BACKWARD;
    CHECK(!fastpool_plan_create(&spec, &backward));
    struct number *values = calloc(2 * 10 * 50 * 66, sizeof *values);
    struct number *gradients = calloc(2 * 10 * 25 * 33, sizeof *gradients);
    x = malloc(2 * 10 * 50 * 66 * sizeof *x), dy = malloc(2 * 10 * 25 * 33 * sizeof *dy);
    for (int i = 0; i < 2 * 10 * 50 * 66; i++)
        values[i].re = x[i] = (float)between(-999, 999);
    for (int i = 0; i < 2 * 10 * 25 * 33; i++)
        gradients[i].re = dy[i] = (float)between(-9, 9);
    answers = answer(&spec, values, gradients);
    free(values), free(gradients);
}

/* Forward and backward, with workspaces and results of this call's own. */
static void pool(int threads)
{
    size_t bytes = fastpool_workspace_size(forward, threads), more = fastpool_workspace_size(backward, threads);
    bytes = bytes > more ? bytes : more;
    void *workspace = calloc(1, bytes);
    float *y = malloc((size_t)answers.y_count * sizeof *y), *dx = malloc((size_t)answers.x_count * sizeof *dx);
    int64_t *indices = malloc((size_t)answers.y_count * sizeof *indices);
    CHECK(!fastpool_forward(forward, x, y, indices, workspace, bytes, threads));
    for (int64_t i = 0; i < answers.y_count; i++)
        CHECK(y[i] == answers.y[i].re && indices[i] == answers.index[i]);
    CHECK(!fastpool_backward(backward, dy, NULL, indices, dx, workspace, bytes, threads));
    for (int64_t i = 0; i < answers.x_count; i++)
        CHECK(dx[i] == answers.dx[i].re);
    free(workspace), free(y), free(dx), free(indices);
}

static void *work(void *number)
{
    for (int i = 0; i < calls; i++) {
        int threads = (int)((size_t)number + (size_t)i) % 5;
        CHECK(threads < 2 || fastpool_threads(forward, threads) == (alone ? 1 : threads));
        pool(threads);
    }
    return NULL;
}

static void share(int count)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < count; i++)
        CHECK(!pthread_create(&threads[i], NULL, work, (void *)(size_t)i));
    for (int i = 0; i < count; i++)
        CHECK(!pthread_join(threads[i], NULL));
}

#ifdef _OPENMP
/* Inside a region every thread works alone; between regions the library may use several. */
static void region(void)
{
    for (int i = 0; i < calls; i++) {
        int threads = 0;
#pragma omp parallel num_threads(3) reduction(+ : threads)
        {
            CHECK(!omp_in_parallel() || (fastpool_threads(forward, 4) == 1 && fastpool_threads(backward, 0) == 1));
            pool(4);
            threads++;
        }
        CHECK(threads == 3);
        CHECK(fastpool_threads(forward, 2) == 2);
        pool(2);
#pragma omp parallel for num_threads(2) schedule(dynamic)
        for (int j = 0; j < 6; j++)
            pool(j % 3);
    }
}
#endif

static void ended_well(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Threads do not come along into a child: it must not wait for them. */
static void fork_children(void)
{
    pool(2);
    for (int i = 0; i < calls; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(SECONDS);
            alone = 1;
            CHECK(fastpool_threads(forward, 2) == 1);
            pool(2);
            share(4);
            pid_t grandchild = fork();
            if (grandchild == 0) {
                pool(2);
                _exit(0);
            }
            ended_well(grandchild);
            _exit(0);
        }
        pool(2);
        ended_well(child);
        CHECK(fastpool_threads(forward, 2) == 2);
        pool(2);
    }
}

int main(int argc, char **argv)
{
    alarm(SECONDS);
    const char *what = argc > 1 ? argv[1] : "share";
    calls = argc > 2 ? atoi(argv[2]) : calls;
    make_plans();
#ifdef _OPENMP
    if (!strcmp(what, "region"))
        region();
#endif
    if (!strcmp(what, "share"))
        share(THREADS);
    if (!strcmp(what, "fork"))
        fork_children();
    printf("%s: right\n", what);
    fastpool_plan_destroy(forward);
    fastpool_plan_destroy(backward);
    forget(&answers);
    free(x), free(dy);
    return 0;
}
