/* GTKWave's FST writer, kept away from the file system. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* A writer as of fstapi.h that writes to a copy of this descriptor; NULL, with errno, if there can
 * be none. */
void* wagesim_fst_create(int descriptor);

/* errno of the first write that failed since the last wagesim_fst_create(), or 0. */
int wagesim_fst_error(void);

#ifdef __cplusplus
}
#endif
