/* A disk that fails on command, for LD_PRELOAD: writes and syncs of files below FAULTY_DIRECTORY.

   The file FAULTY_TRIGGER says what is to happen: "GENERATION MODE NUMBER"; if it is not there, nothing is. A new
   generation starts the count anew.

       sync N    the first N syncs succeed, all later ones fail with EIO
       full N    the first N writes succeed, all later ones fail with ENOSPC
       once N    the first N writes and syncs succeed, the next one fails with EIO, all later ones succeed again
       slow N    every sync takes N milliseconds longer

   Every sync that is asked for adds a line with its file to FAULTY_LOG, if that is set. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum kind { WRITE, SYNC };

static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static long generation = -1;
long faulty_calls; /* of this generation; a test may read it */

static void note_sync(const char *path)
{
    const char *log = getenv("FAULTY_LOG");
    int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        dprintf(fd, "%s\n", path);
        close(fd);
    }
}

static int trigger(long *asked, char *mode, long *number)
{
    char text[128];
    const char *path = getenv("FAULTY_TRIGGER");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0)
        return 0;
    text[size] = 0;
    return sscanf(text, "%ld %15s %ld", asked, mode, number) == 3;
}

/* The errno that this call is to fail with, or 0. */
static int verdict(int fd, enum kind kind)
{
    char link[64], path[4096], mode[16];
    const char *directory = getenv("FAULTY_DIRECTORY");
    long asked, number, before;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0 || !directory)
        return 0;
    path[size] = 0;
    size_t length = strlen(directory);
    if (strncmp(path, directory, length) != 0 || (path[length] != '/' && path[length] != 0))
        return 0;
    if (kind == SYNC)
        note_sync(path);
    if (!trigger(&asked, mode, &number))
        return 0;
    int slow = strcmp(mode, "slow") == 0, once = strcmp(mode, "once") == 0;
    if (slow && kind == SYNC)
        usleep(number * 1000);
    if (slow || (!once && (strcmp(mode, "sync") == 0) != (kind == SYNC)))
        return 0;
    pthread_mutex_lock(&counting);
    if (asked != generation) {
        generation = asked;
        faulty_calls = 0;
    }
    before = faulty_calls++;
    pthread_mutex_unlock(&counting);
    if (before < number || (once && before > number))
        return 0;
    return strcmp(mode, "full") == 0 ? ENOSPC : EIO;
}

#define FAIL_OR(kind, call)             \
    do {                                \
        int failure = verdict(fd, kind); \
        if (failure) {                  \
            errno = failure;            \
            return -1;                  \
        }                               \
        return call;                    \
    } while (0)

int fsync(int fd) { FAIL_OR(SYNC, REAL(fsync)(fd)); }
int fdatasync(int fd) { FAIL_OR(SYNC, REAL(fdatasync)(fd)); }
ssize_t write(int fd, const void *data, size_t size) { FAIL_OR(WRITE, REAL(write)(fd, data, size)); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { FAIL_OR(WRITE, REAL(pwrite)(fd, data, size, at)); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { FAIL_OR(WRITE, REAL(pwrite64)(fd, data, size, at)); }
int ftruncate(int fd, off_t size) { FAIL_OR(WRITE, REAL(ftruncate)(fd, size)); }
int ftruncate64(int fd, off64_t size) { FAIL_OR(WRITE, REAL(ftruncate64)(fd, size)); }
