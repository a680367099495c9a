/* The front door of small calls: a call of plain NumPy arrays that is like one that was accepted before is run without
 * passing through Python again. What such calls have in common, and what may differ, is as in
 * fastpool/functional/_repeat.py; every other call goes the whole way.
 *
 *     learn(called, options, device, keepdims, x, out, plan, handle, y)    keeps a call that was accepted
 *     learn(called, options, device, keepdims, x, out, tasks, stages, y)   the same of programs: stages is a tuple of
 *         (address of the program, address of its block, tiles, bytes of workspace of a thread, whether threads share
 *         it, numbers of the arrays that it is given, addresses of its tables); arrays are numbered from 0 as they are
 *         read, from RESULT as they are written, and FLAG is one of an int64, which is 0 unless a stage changes it
 *     run(called, options, device, keepdims, x, out) -> y, or None if there is none like it, or a flag was changed
 *     attach(forward, workspace_size, threads, run_program, get_num_threads)      the library's functions, by address
 *     address(array)                                                              the address of its first element
 *
 * Where several arrays are read ``x`` is a tuple; with indices ``y``, and ``out`` where it is given, is a pair of arrays.
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
#define READS 3 /* arrays that a call reads, at most */
#define STAGES 2
#define GIVEN 8 /* arrays and tables of a stage, at most */
#define LINE 64 /* bytes that a thread's workspace is aligned to */

enum { RESULT = 3, FLAG = 5 };

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

/* A program that is planned, and what its bufs point to: arrays by number, then tables by address. */
struct stage {
    int64_t program, block, tiles, pitch, shared;
    int arrays, tables;
    int64_t given[GIVEN];
};

struct call {
    PyObject *called, *options, *device, *keepdims; /* null where the place is free */
    int has_out, results; /* one, or two with indices */
    int reads;
    struct form x[READS], out[2];
    PyObject *owner;           /* keeps the plan, or what stages point to, alive */
    const fastpool_plan *plan; /* null where there are stages */
    int stages;
    struct stage stage[STAGES];
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

/* The arrays that a call reads, likewise. */
static int read_arrays(PyObject *given, PyArrayObject *found[READS])
{
    if (PyArray_CheckExact(given)) {
        found[0] = (PyArrayObject *)given;
        return 1;
    }
    Py_ssize_t size = PyTuple_CheckExact(given) ? PyTuple_Size(given) : 0;
    if (size > READS)
        return 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *part = PyTuple_GetItem(given, i);
        if (!PyArray_CheckExact(part))
            return 0;
        found[i] = (PyArrayObject *)part;
    }
    return (int)size;
}

static int overlap(const struct form *a, PyArrayObject *first, const struct form *b, PyArrayObject *second)
{
    const char *from = PyArray_BYTES(first), *to = PyArray_BYTES(second);
    return from + a->low < to + b->high && to + b->low < from + a->high;
}

static const struct call *find(PyObject *called, PyObject *options, PyObject *device, PyObject *keepdims,
                               PyArrayObject *const x[READS], int reads, PyObject *out)
{
    size_t at = place(called, x[0]);
    for (int i = 0; i < NEAR; i++) {
        const struct call *call = &calls[(at + (size_t)i) & (CALLS - 1)];
        if (call->called != called || call->has_out != (out != Py_None) || call->reads != reads ||
            !is_like(&call->x[0], x[0]) || call->keepdims != keepdims || !same(call->device, device) ||
            !same_options(call->options, options))
            continue;
        int alike = 1;
        for (int j = 1; j < reads; j++)
            alike &= is_like(&call->x[j], x[j]);
        if (!alike)
            continue;
        if (call->has_out) {
            PyArrayObject *y[2];
            if (arrays_of(out, y) != call->results)
                continue;
            int like = 1, apart = 1;
            for (int k = 0; k < call->results; k++) {
                like &= is_like(&call->out[k], y[k]);
                for (int j = 0; j < reads; j++)
                    apart &= !overlap(&call->x[j], x[j], &call->out[k], y[k]);
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

/* Runs stages one after the other; whether all of them left the flag as it was. */
static int run_stages(const struct stage *stages, int count, void *const x[READS], void *const y[2],
                      unsigned char *workspace, int threads)
{
    int64_t flag = 0;
    void *arrays[FLAG + 1] = {x[0], x[1], x[2], y[0], y[1], &flag};
    unsigned char *work = workspace + (LINE - (uintptr_t)workspace % LINE) % LINE;
    for (const struct stage *stage = stages; stage < stages + count && !flag; stage++) {
        int64_t bufs[GIVEN];
        for (int i = 0; i < stage->arrays + stage->tables; i++)
            bufs[i] = i < stage->arrays ? (int64_t)(intptr_t)arrays[stage->given[i]] : stage->given[i];
        run_program(stage->program, (int64_t *)(intptr_t)stage->block, bufs, work, stage->pitch, stage->tiles,
                    stage->shared ? threads : 1);
    }
    return !flag;
}

static PyObject *run(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)self;
    PyArrayObject *x[READS] = {NULL, NULL, NULL};
    int reads = count == 6 ? read_arrays(arguments[4], x) : 0;
    if (!reads || environment_speaks())
        Py_RETURN_NONE;
    PyObject *out = arguments[5];
    const struct call *known = find(arguments[0], arguments[1], arguments[2], arguments[3], x, reads, out);
    if (!known)
        Py_RETURN_NONE;
    /* another thread may take the place while this one runs without the lock, or asks Python for the number of threads */
    int small_call = !known->plan || count_threads(known->plan, 2) < 2;
    for (int i = 0; i < known->stages; i++)
        small_call &= !known->stage[i].shared;
    const fastpool_plan *plan = known->plan;
    struct stage stages[STAGES];
    memcpy(stages, known->stage, sizeof stages);
    int many = known->stages, results = known->results, rank = known->rank;
    PyArray_Descr *descr[2] = {known->descr[0], known->descr[1]};
    npy_intp shape[MOST_AXES];
    memcpy(shape, known->shape, (size_t)rank * sizeof(npy_intp));
    PyObject *owner = known->owner;
    Py_INCREF(owner);
    for (int k = 0; k < results; k++)
        Py_INCREF((PyObject *)descr[k]);
    int threads = small_call ? 1 : wanted_threads();
    PyArrayObject *written[2] = {NULL, NULL};
    PyObject *answer = NULL;
    if (threads < 0 || out != Py_None)
        for (int k = 0; k < results; k++)
            Py_DECREF((PyObject *)descr[k]);
    if (threads >= 0 && out != Py_None) {
        arrays_of(out, written);
        answer = out;
        Py_INCREF(answer);
    } else if (threads >= 0) {
        /* new arrays take over the references to their types */
        for (int k = 0; k < results; k++)
            written[k] = (PyArrayObject *)PyArray_Empty(rank, shape, descr[k], 0);
        if (results == 1)
            answer = (PyObject *)written[0];
        else if (written[0] && written[1])
            answer = PyTuple_Pack(2, written[0], written[1]);
        if (results == 2) {
            /* the pair holds them */
            Py_XDECREF((PyObject *)written[0]);
            Py_XDECREF((PyObject *)written[1]);
        }
    }
    if (!answer) {
        Py_DECREF(owner);
        return NULL;
    }
    unsigned char small[STACK];
    size_t bytes = plan ? workspace_size(plan, threads) : LINE;
    for (int i = 0; i < many; i++) {
        size_t wanted = LINE + (size_t)stages[i].pitch * (size_t)(stages[i].shared ? threads : 1);
        bytes = wanted > bytes ? wanted : bytes;
    }
    unsigned char *workspace = bytes <= sizeof small ? small : malloc(bytes);
    if (!workspace) {
        Py_DECREF(answer);
        Py_DECREF(owner);
        return PyErr_NoMemory();
    }
    void *read[READS] = {NULL, NULL, NULL};
    for (int j = 0; j < reads; j++)
        read[j] = PyArray_DATA(x[j]);
    void *y[2] = {PyArray_DATA(written[0]), results == 2 ? PyArray_DATA(written[1]) : NULL};
    fastpool_status status = FASTPOOL_OK;
    int good = 1;
    /* giving the lock away and asking for it again takes as long as a small call; a large one lets others go on, even
     * where it has one thread */
    PyThreadState *state = small_call && workspace == small ? NULL : PyEval_SaveThread();
    if (plan)
        status = forward(plan, read[0], y[0], y[1], workspace, bytes, threads);
    else
        good = run_stages(stages, many, read, y, workspace, threads);
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
    if (!good) {
        Py_DECREF(answer);
        Py_RETURN_NONE;
    }
    return answer;
}

static void clear(struct call *call)
{
    struct call old = *call;
    memset(call, 0, sizeof *call);
    PyObject *held[] = {old.called, old.options, old.device, old.keepdims, old.owner, (PyObject *)old.x[0].descr,
                        (PyObject *)old.x[1].descr, (PyObject *)old.x[2].descr, (PyObject *)old.out[0].descr,
                        (PyObject *)old.out[1].descr, (PyObject *)old.descr[0], (PyObject *)old.descr[1]};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        Py_XDECREF(held[i]);
}

/* Numbers from a tuple of them, as many as there is room for; how many, or -1 where it is none or has more. */
static int numbers_of(PyObject *given, int64_t *numbers, int room)
{
    Py_ssize_t size = PyTuple_Check(given) ? PyTuple_Size(given) : room + 1;
    for (Py_ssize_t i = 0; size <= room && i < size; i++)
        numbers[i] = PyLong_AsLongLong(PyTuple_GetItem(given, i));
    return size <= room ? (int)size : -1;
}

/* A stage from a tuple; 0 if it is none. */
static int read_stage(PyObject *given, struct stage *stage)
{
    if (!PyTuple_Check(given) || PyTuple_Size(given) != 7)
        return 0;
    int64_t *const fields[] = {&stage->program, &stage->block, &stage->tiles, &stage->pitch, &stage->shared};
    for (Py_ssize_t i = 0; i < 5; i++)
        *fields[i] = PyLong_AsLongLong(PyTuple_GetItem(given, i));
    stage->arrays = numbers_of(PyTuple_GetItem(given, 5), stage->given, GIVEN);
    if (stage->arrays < 0)
        return 0;
    for (int i = 0; i < stage->arrays; i++)
        if (stage->given[i] < 0 || stage->given[i] > FLAG)
            return 0;
    stage->tables = numbers_of(PyTuple_GetItem(given, 6), stage->given + stage->arrays, GIVEN - stage->arrays);
    stage->pitch = (stage->pitch + LINE - 1) / LINE * LINE;
    return stage->tables >= 0;
}

static PyObject *learn(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)self;
    static unsigned turn;
    PyArrayObject *y[2] = {NULL, NULL}, *given[2] = {NULL, NULL};
    PyArrayObject *x[READS] = {NULL, NULL, NULL};
    int results = count == 9 ? arrays_of(arguments[8], y) : 0, reads = count == 9 ? read_arrays(arguments[4], x) : 0;
    if (!results || !reads || !PyTuple_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "learn: wrong arguments");
        return NULL;
    }
    PyObject *out = arguments[5];
    for (int j = 0; j < reads; j++)
        if (PyArray_NDIM(x[j]) > MOST_AXES)
            Py_RETURN_NONE;
    if (PyArray_NDIM(y[0]) > MOST_AXES || (out != Py_None && arrays_of(out, given) != results))
        Py_RETURN_NONE;
    for (Py_ssize_t i = 0; i < PyTuple_Size(arguments[1]); i++)
        if (!is_constant(PyTuple_GetItem(arguments[1], i)))
            Py_RETURN_NONE;
    if (!is_constant(arguments[2]) || !is_constant(arguments[3]))
        Py_RETURN_NONE;
    void *plan = NULL;
    struct stage stages[STAGES];
    memset(stages, 0, sizeof stages);
    Py_ssize_t many = PyTuple_CheckExact(arguments[7]) ? PyTuple_Size(arguments[7]) : 0;
    if (!PyTuple_CheckExact(arguments[7]))
        plan = PyLong_AsVoidPtr(arguments[7]);
    else if (many < 1 || many > STAGES)
        Py_RETURN_NONE;
    for (Py_ssize_t i = 0; i < many; i++)
        if (!read_stage(PyTuple_GetItem(arguments[7], i), &stages[i]))
            Py_RETURN_NONE;
    if (PyErr_Occurred())
        return NULL;
    size_t at = place(arguments[0], x[0]), chosen = 0;
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
    call->reads = reads;
    for (int j = 0; j < reads; j++)
        keep_form(&call->x[j], x[j]);
    call->results = results;
    for (int k = 0; k < results; k++) {
        if (call->has_out)
            keep_form(&call->out[k], given[k]);
        call->descr[k] = PyArray_DESCR(y[k]);
    }
    call->owner = arguments[6];
    call->plan = plan;
    call->stages = (int)many;
    memcpy(call->stage, stages, sizeof stages);
    call->rank = PyArray_NDIM(y[0]);
    memcpy(call->shape, PyArray_DIMS(y[0]), (size_t)call->rank * sizeof(npy_intp));
    call->called = arguments[0];
    PyObject *held[] = {call->called, call->options, call->device, call->keepdims, call->owner,
                        (PyObject *)call->x[0].descr, (PyObject *)call->x[1].descr, (PyObject *)call->x[2].descr,
                        (PyObject *)call->out[0].descr, (PyObject *)call->out[1].descr, (PyObject *)call->descr[0],
                        (PyObject *)call->descr[1]};
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
