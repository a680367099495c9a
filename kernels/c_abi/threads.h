/* Threads of the library's own, which share the tiles of a call with the thread that makes it, where those of OpenMP
 * would sleep between calls: under OMP_WAIT_POLICY=passive, and where there is no OpenMP.
 *
 * They wait for work, for a short time awake, then asleep. A call says that there is work, begins with it at once, and
 * waits at its end only for those that came; who wakes up later finds nothing and is not waited for. OpenMP's threads
 * meet before a region and behind it: where they sleep, a call of 350 us took 450 to 550 with them. Where they stay
 * awake they are as fast, and the same as those of other libraries in the process, of which none is in the way then.
 * Each thread has a number, by which it takes the same share of every call.
 *
 * Threads are started when a call first asks for so many, and never end. Calls from several threads at a time share
 * them. */
#ifndef FASTPOOL_THREADS_H
#define FASTPOOL_THREADS_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define AWAKE 100000 /* nanoseconds that a thread waits awake: calls that follow one another find it so */
#define MOST_WORKERS 1023
#define ASLEEP 0x80000000u

/* A call's work, on its stack: whatever its number, a thread that joins takes a part until there is none. */
struct team {
    void (*work)(void *argument, int me);
    void *argument;
    int threads;              /* those with numbers below may join */
    int open;                 /* whether it is in the list */
    struct team *next;
    _Atomic uint32_t running; /* those that joined and have not left; and ASLEEP where the call waits so */
};

static struct {
    pthread_mutex_t lock;
    struct team *first;
    int workers;
    _Atomic uint32_t posted;  /* changes with every new team */
    _Atomic int sleeping;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void sleep_while(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void relax(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

/* No other thread joins a team that was closed. The lock is held. */
static void close_team(struct team *team)
{
    if (!team->open)
        return;
    struct team **at = &pool.first;
    while (*at != team)
        at = &(*at)->next;
    *at = team->next;
    team->open = 0;
}

static struct team *join_team(int me)
{
    pthread_mutex_lock(&pool.lock);
    struct team *team = pool.first;
    while (team && me >= team->threads)
        team = team->next;
    if (team)
        atomic_fetch_add_explicit(&team->running, 1, memory_order_relaxed);
    pthread_mutex_unlock(&pool.lock);
    return team;
}

/* Work is left when none of it is to be had. The team is gone as soon as the last one has left. */
static void leave_team(struct team *team)
{
    pthread_mutex_lock(&pool.lock);
    close_team(team);
    pthread_mutex_unlock(&pool.lock);
    if (atomic_fetch_sub_explicit(&team->running, 1, memory_order_acq_rel) == (ASLEEP | 1))
        wake(&team->running);
}

static void *worker(void *number)
{
    int me = (int)(intptr_t)number;
    for (;;) {
        uint32_t known = atomic_load(&pool.posted);
        struct team *team;
        while ((team = join_team(me))) {
            team->work(team->argument, me);
            leave_team(team);
        }
        int64_t until = nanoseconds() + AWAKE;
        while (atomic_load_explicit(&pool.posted, memory_order_relaxed) == known && nanoseconds() < until)
            relax();
        if (atomic_load(&pool.posted) != known)
            continue;
        atomic_fetch_add(&pool.sleeping, 1);
        sleep_while(&pool.posted, known);
        atomic_fetch_sub(&pool.sleeping, 1);
    }
    return NULL;
}

/* Starts workers until there are so many, if it can. The lock is held. */
static void start_workers(int wanted)
{
    if (pool.workers >= wanted)
        return;
    /* signals are for the program's own threads */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t detached;
    if (!pthread_attr_init(&detached)) {
        pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        pthread_t thread;
        while (pool.workers < wanted &&
               !pthread_create(&thread, &detached, worker, (void *)(intptr_t)(pool.workers + 1)))
            pool.workers++;
        pthread_attr_destroy(&detached);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Calls ``work(argument, 0)`` here, and ``work(argument, number)`` in those of ``threads - 1`` others that come before it
 * returns. */
static void work_together(int threads, void (*work)(void *argument, int me), void *argument)
{
    struct team team = {.work = work, .argument = argument, .threads = threads, .open = 1};
    atomic_init(&team.running, 0);
    pthread_mutex_lock(&pool.lock);
    start_workers(threads - 1 < MOST_WORKERS ? threads - 1 : MOST_WORKERS);
    team.next = pool.first;
    pool.first = &team;
    pthread_mutex_unlock(&pool.lock);
    atomic_fetch_add(&pool.posted, 1);
    if (atomic_load(&pool.sleeping) > 0)
        wake(&pool.posted);
    work(argument, 0);
    pthread_mutex_lock(&pool.lock);
    close_team(&team);
    pthread_mutex_unlock(&pool.lock);
    uint32_t running = atomic_load_explicit(&team.running, memory_order_acquire);
    if (running) {
        int64_t until = nanoseconds() + AWAKE;
        while ((running = atomic_load_explicit(&team.running, memory_order_acquire)) && nanoseconds() < until)
            relax();
    }
    if (running) {
        running = atomic_fetch_or_explicit(&team.running, ASLEEP, memory_order_acq_rel) | ASLEEP;
        while (running != ASLEEP) {
            sleep_while(&team.running, running);
            running = atomic_load_explicit(&team.running, memory_order_acquire);
        }
    }
}

#endif
