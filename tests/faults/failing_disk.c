/* Preloaded: writes to files below $FAILING_FOLDER fail with EIO while the file $FAILING_NOW is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(int file) {
    const char *folder = getenv("FAILING_FOLDER"), *now = getenv("FAILING_NOW");
    char link[64], path[4096];
    ssize_t length;
    if (!folder || !now || access(now, F_OK)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return !strncmp(path, folder, strlen(folder));
}

#define GUARDED(type, name, parameters, arguments)                              \
    type name parameters {                                                      \
        static type(*real) parameters;                                          \
        if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);          \
        if (fails(file)) { errno = EIO; return -1; }                            \
        return real arguments;                                                  \
    }

GUARDED(ssize_t, write, (int file, const void *from, size_t size), (file, from, size))
GUARDED(ssize_t, pwrite, (int file, const void *from, size_t size, off_t at), (file, from, size, at))
GUARDED(ssize_t, pwrite64, (int file, const void *from, size_t size, off64_t at), (file, from, size, at))
GUARDED(int, fsync, (int file), (file))
GUARDED(int, fdatasync, (int file), (file))
