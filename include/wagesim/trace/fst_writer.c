/* fstapi.c opens files by name and ignores that writing fails. Here it gets the descriptor that it
 * is to write to, its temporary files are in memory, and the first failure is remembered. */
#define _GNU_SOURCE
#include "wagesim/trace/fst_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int first_error;

static void failed(int error) {
    if (first_error == 0) first_error = error == 0 ? EIO : error;
}

static FILE* memory_file(void) {
    const int descriptor = memfd_create("fst", MFD_CLOEXEC);
    return descriptor < 0 ? NULL : fdopen(descriptor, "w+b");
}

/* The writer's file has its descriptor as name, in decimal; ".hier" behind it, a temporary file. */
static FILE* open_file(const char* name, const char* mode) {
    char* end;
    const long descriptor = strtol(name, &end, 10);
    (void)mode;
    if (end == name) return NULL; /* /proc/meminfo, for the size of buffers */
    return *end == 0 ? fdopen(dup((int)descriptor), "wb") : memory_file();
}

static int remove_file(const char* name) {
    (void)name;
    return 0;
}

static size_t write_file(const void* data, size_t size, size_t count, FILE* file) {
    const size_t done = fwrite(data, size, count, file);
    if (done != count) failed(errno);
    return done;
}

static int flush_file(FILE* file) {
    const int result = fflush(file);
    if (result != 0) failed(errno);
    return result;
}

static int close_file(FILE* file) {
    const int had_error = ferror(file);
    const int result = fclose(file);
    if (result != 0 || had_error) failed(result != 0 ? errno : 0);
    return result;
}

/* Beyond a file's end a mapping cannot be used. */
static void* map_file(void* at, size_t size, int protection, int flags, int descriptor,
                      off_t offset) {
    struct stat status;
    if (fstat(descriptor, &status) == 0 && (size_t)(status.st_size - offset) >= size)
        return mmap(at, size, protection, flags, descriptor, offset);
    failed(EFBIG);
    return mmap(at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

#define fopen open_file
#define tmpfile memory_file
#define unlink remove_file
#define fwrite write_file
#define fflush flush_file
#define fclose close_file
#define mmap map_file
#include <fstapi.c>

void* wagesim_fst_create(int descriptor) {
    char name[16];
    first_error = 0;
    snprintf(name, sizeof name, "%d", descriptor);
    struct fstWriterContext* writer = fstWriterCreate(name, 1);
    /* Compressing follows each signal's changes through all that is collected, which must fit the
     * cache: its own 128 MB take several times as long. */
    if (writer != NULL) writer->fst_break_size = 3 << 20;
    return writer;
}

int wagesim_fst_error(void) { return first_error; }
