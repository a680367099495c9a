/* The front door of small calls: a call of plain NumPy arrays that is like one that was accepted before is run without
 * passing through Python again. What such calls have in common, and what may differ, is as in
 * fastpool/functional/_repeat.py; every other call goes the whole way.
 *
 *     learn(called, options, device, keepdims, x, out, plan, handle, y)    keeps a call that was accepted
 *     learn(called, options, device, keepdims, x, out, task, numbers, y)   the same of a program: numbers is a tuple of
 *         its address, that of its block, tiles, bytes of workspace of a thread, whether it is shared among threads,
 *         whether it writes its first array and reads the second, and the addresses of its tables
 *     run(called, options, device, keepdims, x, out) -> y, or None if there is none like it
 *     attach(forward, workspace_size, threads, run_program, get_num_threads)      the library's functions, by address
 *     address(array)                                                              the address of its first element
 *
 * With indices ``y``, and ``out`` where it is given, is a pair of arrays.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fastpool.h"

#define MOST_AXES FASTPOOL_MAX_RANK
#define CALLS 512 /* places in the table of known calls, a power of two */
#define NEAR 8    /* places that a call may be in */
#define STACK 16384
#define TABLES 4 /* of a program, at most */
#define LINE 64  /* bytes that a thread's workspace is aligned to */

typedef fastpool_status forward_function(const fastpool_plan *, const void *, void *, void *, void *, size_t, int);
typedef size_t size_function(const fastpool_plan *, int);
typedef int threads_function(const fastpool_plan *, int);
typedef void program_function(int64_t, int64_t *, int64_t *, void *, int64_t, int64_t, int);

static forward_function *forward;
static size_function *workspace_size;
static threads_function *count_threads;
static program_function *run_program;
static PyObject *get_num_threads;

/* How an array lies in memory, wherever that is. */
struct form {
    PyArray_Descr *descr;
    int rank, flags;
    npy_intp shape[MOST_AXES], strides[MOST_AXES];
    npy_intp low, high; /* bytes from its first element to its ends */
};

/* A program that is planned. */
struct task {
    int64_t program, block, tiles, pitch, shared, backward;
    int64_t tables[TABLES];
    int many;
};

struct call {
    PyObject *called, *options, *device, *keepdims; /* null where the place is free */
    int has_out, results; /* one, or two with indices */
    struct form x, out[2];
    PyObject *owner; /* keeps the plan, or the task, alive */
    const fastpool_plan *plan; /* null where it is a task */
    struct task task;
    int rank;
    npy_intp shape[MOST_AXES];
    PyArray_Descr *descr[2]; /* of new results */
};

static struct call calls[CALLS];

/* Whether two arguments are the same, in type, too: 1 is neither True nor 1.0. */
static int same(PyObject *a, PyObject *b)
{
    if (a == b)
        return 1;
    if (Py_TYPE(a) != Py_TYPE(b))
        return 0;
    if (PyTuple_CheckExact(a)) {
        Py_ssize_t size = PyTuple_Size(a);
        if (size != PyTuple_Size(b))
            return 0;
        for (Py_ssize_t i = 0; i < size; i++)
            if (!same(PyTuple_GetItem(a, i), PyTuple_GetItem(b, i)))
                return 0;
        return 1;
    }
    if (PyLong_CheckExact(a) || PyUnicode_CheckExact(a) || PyFloat_CheckExact(a)) {
        int equal = PyObject_RichCompareBool(a, b, Py_EQ);
        if (equal < 0)
            PyErr_Clear();
        return equal == 1;
    }
    return 0;
}

/* Whether an argument cannot change, so that the same object is the same argument. */
static int is_constant(PyObject *a)
{
    if (PyTuple_CheckExact(a)) {
        for (Py_ssize_t i = 0; i < PyTuple_Size(a); i++)
            if (!is_constant(PyTuple_GetItem(a, i)))
                return 0;
        return 1;
    }
    return a == Py_None || PyBool_Check(a) || PyLong_CheckExact(a) || PyUnicode_CheckExact(a) || PyFloat_CheckExact(a);
}

/* Options are a tuple, which may have a type of its own and may leave out the last ones. */
static int same_options(PyObject *a, PyObject *b)
{
    Py_ssize_t size = PyTuple_Size(a);
    if (size != PyTuple_Size(b))
        return 0;
    for (Py_ssize_t i = 0; i < size; i++)
        if (!same(PyTuple_GetItem(a, i), PyTuple_GetItem(b, i)))
            return 0;
    return 1;
}

static int is_like(const struct form *form, PyArrayObject *array)
{
    int rank = form->rank;
    if (PyArray_NDIM(array) != rank || PyArray_DESCR(array) != form->descr || PyArray_FLAGS(array) != form->flags)
        return 0;
    size_t bytes = (size_t)rank * sizeof(npy_intp);
    return !memcmp(PyArray_DIMS(array), form->shape, bytes) && !memcmp(PyArray_STRIDES(array), form->strides, bytes);
}

static void keep_form(struct form *form, PyArrayObject *array)
{
    form->descr = PyArray_DESCR(array);
    form->rank = PyArray_NDIM(array);
    form->flags = PyArray_FLAGS(array);
    form->low = 0;
    form->high = PyArray_ITEMSIZE(array);
    for (int i = 0; i < form->rank; i++) {
        form->shape[i] = PyArray_DIM(array, i);
        form->strides[i] = PyArray_STRIDE(array, i);
        npy_intp reach = (form->shape[i] - 1) * form->strides[i];
        if (reach < 0)
            form->low += reach;
        else
            form->high += reach;
    }
}

static size_t place(PyObject *called, PyArrayObject *x)
{
    uint64_t hash = (uint64_t)(uintptr_t)called >> 4;
    for (int i = 0; i < PyArray_NDIM(x); i++)
        hash = (hash ^ (uint64_t)PyArray_DIM(x, i)) * 0x9E3779B97F4A7C15u;
    hash = (hash ^ ((uint64_t)(uintptr_t)PyArray_DESCR(x) >> 4)) * 0x9E3779B97F4A7C15u;
    return (size_t)(hash >> 40) & (CALLS - 1);
}

/* Whether a variable is set that may send a call elsewhere, or has it told. */
extern char **environ;

static int environment_speaks(void)
{
    static const char *const names[] = {"ENGINE=", "FORCE_KERNEL=", "VERBOSE="};
    for (char **variable = environ; *variable; variable++) {
        const char *text = *variable;
        if (text[0] != 'F' || strncmp(text, "FASTPOOL_", 9))
            continue;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            size_t length = strlen(names[i]);
            if (!strncmp(text + 9, names[i], length) && text[9 + length])
                return 1;
        }
    }
    return 0;
}

/* The arrays that a call writes to, from a result or what is given for it: how many, or 0 if it is nothing of the kind. */
static int arrays_of(PyObject *given, PyArrayObject *found[2])
{
    if (PyArray_CheckExact(given)) {
        found[0] = (PyArrayObject *)given;
        return 1;
    }
    if (!PyTuple_CheckExact(given) || PyTuple_Size(given) != 2)
        return 0;
    for (int i = 0; i < 2; i++) {
        PyObject *part = PyTuple_GetItem(given, i);
        if (!PyArray_CheckExact(part))
            return 0;
        found[i] = (PyArrayObject *)part;
    }
    return 2;
}

static int overlap(const struct form *a, PyArrayObject *first, const struct form *b, PyArrayObject *second)
{
    const char *from = PyArray_BYTES(first), *to = PyArray_BYTES(second);
    return from + a->low < to + b->high && to + b->low < from + a->high;
}

static const struct call *find(PyObject *called, PyObject *options, PyObject *device, PyObject *keepdims,
                               PyArrayObject *x, PyObject *out)
{
    size_t at = place(called, x);
    for (int i = 0; i < NEAR; i++) {
        const struct call *call = &calls[(at + (size_t)i) & (CALLS - 1)];
        if (call->called != called || call->has_out != (out != Py_None) || !is_like(&call->x, x) ||
            call->keepdims != keepdims || !same(call->device, device) || !same_options(call->options, options))
            continue;
        if (call->has_out) {
            PyArrayObject *y[2];
            if (arrays_of(out, y) != call->results)
                continue;
            int like = 1, apart = 1;
            for (int k = 0; k < call->results; k++) {
                like &= is_like(&call->out[k], y[k]);
                apart &= !overlap(&call->x, x, &call->out[k], y[k]);
            }
            if (!like)
                continue;
            if (!apart || (call->results == 2 && overlap(&call->out[0], y[0], &call->out[1], y[1])))
                return NULL;
        }
        return call;
    }
    return NULL;
}

/* Threads for a call that is worth sharing, or -1 with an error. */
static int wanted_threads(void)
{
    PyObject *given = PyObject_CallNoArgs(get_num_threads);
    if (!given)
        return -1;
    long threads = PyLong_AsLong(given);
    Py_DECREF(given);
    return PyErr_Occurred() ? -1 : (int)threads;
}

static void run_task(const struct task *task, void *x, void *const y[2], int results, unsigned char *workspace,
                     int threads)
{
    int64_t bufs[3 + TABLES], *next = bufs;
    if (!task->backward)
        *next++ = (int64_t)(intptr_t)x;
    for (int k = 0; k < results; k++)
        *next++ = (int64_t)(intptr_t)y[k];
    if (task->backward)
        *next++ = (int64_t)(intptr_t)x;
    for (int i = 0; i < task->many; i++)
        *next++ = task->tables[i];
    unsigned char *work = workspace + (LINE - (uintptr_t)workspace % LINE) % LINE;
    run_program(task->program, (int64_t *)(intptr_t)task->block, bufs, work, task->pitch, task->tiles, threads);
}

static PyObject *run(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)self;
    if (count != 6 || !PyArray_CheckExact(arguments[4]) || environment_speaks())
        Py_RETURN_NONE;
    PyArrayObject *x = (PyArrayObject *)arguments[4];
    PyObject *out = arguments[5];
    const struct call *known = find(arguments[0], arguments[1], arguments[2], arguments[3], x, out);
    if (!known)
        Py_RETURN_NONE;
    int small_call = known->plan ? count_threads(known->plan, 2) < 2 : !known->task.shared;
    int threads = small_call ? 1 : wanted_threads();
    if (threads < 0)
        return NULL;
    /* another thread may take the place while this one runs without the lock */
    const fastpool_plan *plan = known->plan;
    struct task task = known->task;
    PyObject *owner = known->owner;
    int results = known->results;
    PyArrayObject *written[2] = {NULL, NULL};
    PyObject *answer;
    if (out != Py_None) {
        arrays_of(out, written);
        answer = out;
        Py_INCREF(answer);
    } else {
        PyArray_Descr *descr[2] = {known->descr[0], known->descr[1]};
        npy_intp shape[MOST_AXES];
        int rank = known->rank;
        memcpy(shape, known->shape, (size_t)rank * sizeof(npy_intp));
        answer = NULL;
        for (int k = 0; k < results; k++) {
            Py_INCREF((PyObject *)descr[k]);
            written[k] = (PyArrayObject *)PyArray_Empty(rank, shape, descr[k], 0);
        }
        if (results == 1)
            answer = (PyObject *)written[0];
        else if (written[0] && written[1])
            answer = PyTuple_Pack(2, written[0], written[1]);
        if (results == 2) {
            /* the pair holds them */
            Py_XDECREF((PyObject *)written[0]);
            Py_XDECREF((PyObject *)written[1]);
        }
        if (!answer)
            return NULL;
    }
    unsigned char small[STACK];
    if (!plan && threads > task.tiles)
        threads = (int)task.tiles;
    size_t bytes = plan ? workspace_size(plan, threads) : (size_t)task.pitch * (size_t)threads + LINE;
    unsigned char *workspace = bytes <= sizeof small ? small : malloc(bytes);
    if (!workspace) {
        Py_DECREF(answer);
        return PyErr_NoMemory();
    }
    void *source = PyArray_DATA(x);
    void *y[2] = {PyArray_DATA(written[0]), results == 2 ? PyArray_DATA(written[1]) : NULL};
    fastpool_status status = FASTPOOL_OK;
    Py_INCREF(owner);
    /* giving the lock away and asking for it again takes as long as a small call; a large one lets others go on, even
     * where it has one thread */
    PyThreadState *state = small_call && workspace == small ? NULL : PyEval_SaveThread();
    if (plan)
        status = forward(plan, source, y[0], y[1], workspace, bytes, threads);
    else
        run_task(&task, source, y, results, workspace, threads);
    if (state)
        PyEval_RestoreThread(state);
    Py_DECREF(owner);
    if (workspace != small)
        free(workspace);
    if (status != FASTPOOL_OK) {
        Py_DECREF(answer);
        PyErr_Format(PyExc_RuntimeError, "libfastpool: status %d", (int)status);
        return NULL;
    }
    return answer;
}

static void clear(struct call *call)
{
    struct call old = *call;
    memset(call, 0, sizeof *call);
    PyObject *held[] = {old.called, old.options, old.device, old.keepdims, old.owner, (PyObject *)old.x.descr,
                        (PyObject *)old.out[0].descr, (PyObject *)old.out[1].descr, (PyObject *)old.descr[0],
                        (PyObject *)old.descr[1]};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        Py_XDECREF(held[i]);
}

/* A task from its numbers; 0 if it has too few of them or too many tables. */
static int read_task(PyObject *numbers, struct task *task)
{
    int64_t *const fields[] = {&task->program, &task->block, &task->tiles, &task->pitch, &task->shared, &task->backward};
    Py_ssize_t first = sizeof fields / sizeof *fields, size = PyTuple_Size(numbers);
    if (size < first || size > first + TABLES)
        return 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        int64_t number = PyLong_AsLongLong(PyTuple_GetItem(numbers, i));
        if (i < first)
            *fields[i] = number;
        else
            task->tables[task->many++] = number;
    }
    task->pitch = (task->pitch + LINE - 1) / LINE * LINE;
    return 1;
}

static PyObject *learn(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)self;
    static unsigned turn;
    PyArrayObject *y[2] = {NULL, NULL}, *given[2] = {NULL, NULL};
    int results = count == 9 ? arrays_of(arguments[8], y) : 0;
    if (!results || !PyTuple_Check(arguments[1]) || !PyArray_CheckExact(arguments[4])) {
        PyErr_SetString(PyExc_TypeError, "learn: wrong arguments");
        return NULL;
    }
    PyArrayObject *x = (PyArrayObject *)arguments[4];
    PyObject *out = arguments[5];
    if (PyArray_NDIM(x) > MOST_AXES || (out != Py_None && arrays_of(out, given) != results))
        Py_RETURN_NONE;
    for (Py_ssize_t i = 0; i < PyTuple_Size(arguments[1]); i++)
        if (!is_constant(PyTuple_GetItem(arguments[1], i)))
            Py_RETURN_NONE;
    if (!is_constant(arguments[2]) || !is_constant(arguments[3]))
        Py_RETURN_NONE;
    void *plan = NULL;
    struct task task;
    memset(&task, 0, sizeof task);
    if (!PyTuple_CheckExact(arguments[7]))
        plan = PyLong_AsVoidPtr(arguments[7]);
    else if (!read_task(arguments[7], &task))
        Py_RETURN_NONE;
    if (PyErr_Occurred())
        return NULL;
    size_t at = place(arguments[0], x), chosen = 0;
    int found = 0;
    for (int i = 0; i < NEAR && !found; i++) {
        chosen = (at + (size_t)i) & (CALLS - 1);
        found = !calls[chosen].called;
    }
    if (!found)
        chosen = (at + turn++ % NEAR) & (CALLS - 1);
    clear(&calls[chosen]);
    struct call *call = &calls[chosen];
    call->options = arguments[1];
    call->device = arguments[2];
    call->keepdims = arguments[3];
    call->has_out = out != Py_None;
    keep_form(&call->x, x);
    call->results = results;
    for (int k = 0; k < results; k++) {
        if (call->has_out)
            keep_form(&call->out[k], given[k]);
        call->descr[k] = PyArray_DESCR(y[k]);
    }
    call->owner = arguments[6];
    call->plan = plan;
    call->task = task;
    call->rank = PyArray_NDIM(y[0]);
    memcpy(call->shape, PyArray_DIMS(y[0]), (size_t)call->rank * sizeof(npy_intp));
    call->called = arguments[0];
    PyObject *held[] = {call->called, call->options, call->device, call->keepdims, call->owner,
                        (PyObject *)call->x.descr, (PyObject *)call->out[0].descr, (PyObject *)call->out[1].descr,
                        (PyObject *)call->descr[0], (PyObject *)call->descr[1]};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        Py_XINCREF(held[i]);
    Py_RETURN_NONE;
}

static PyObject *attach(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)self;
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "attach: wrong arguments");
        return NULL;
    }
    forward = (forward_function *)PyLong_AsVoidPtr(arguments[0]);
    workspace_size = (size_function *)PyLong_AsVoidPtr(arguments[1]);
    count_threads = (threads_function *)PyLong_AsVoidPtr(arguments[2]);
    run_program = (program_function *)PyLong_AsVoidPtr(arguments[3]);
    if (PyErr_Occurred())
        return NULL;
    Py_INCREF(arguments[4]);
    get_num_threads = arguments[4];
    Py_RETURN_NONE;
}

static PyObject *forget(PyObject *self, PyObject *nothing)
{
    (void)self, (void)nothing;
    for (int i = 0; i < CALLS; i++)
        clear(&calls[i]);
    Py_RETURN_NONE;
}

static PyObject *address(PyObject *self, PyObject *array)
{
    (void)self;
    if (!PyArray_Check(array)) {
        PyErr_SetString(PyExc_TypeError, "address: not an array");
        return NULL;
    }
    return PyLong_FromVoidPtr(PyArray_DATA((PyArrayObject *)array));
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))run, METH_FASTCALL, "Runs a call that is like a known one, or returns None."},
    {"learn", (PyCFunction)(void (*)(void))learn, METH_FASTCALL, "Keeps a call that was accepted."},
    {"attach", (PyCFunction)(void (*)(void))attach, METH_FASTCALL, "Takes the library's functions, by address."},
    {"forget", forget, METH_NOARGS, "Forgets all calls."},
    {"address", address, METH_O, "The address of an array's first element."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "fastpool._door", "The front door of small calls.", -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__door(void)
{
    import_array();
    return PyModule_Create(&definition);
}
