/*
 * Preloaded into a node: notes how long each file was when it was last synced, one line per fsync or
 * fdatasync that succeeded, in the file that FLOTILLA_SYNCED_SIZES names:
 *
 *     device inode birth-seconds birth-nanoseconds size-bytes
 *
 * What is written survives the death of the process, but not that of a machine: after a kill, all
 * that lies beyond these sizes may be cut off. The size is taken before the sync, since what another
 * thread appends meanwhile may or may not be covered.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int ledger = -1;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void open_ledger(void) {
  const char *path = getenv("FLOTILLA_SYNCED_SIZES");
  real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  if (path != NULL) ledger = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int note_and_sync(int file, int (*sync)(int)) {
  struct statx before;
  int is_known = statx(file, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &before) == 0;
  int result = sync(file);
  int code = errno;
  if (result == 0 && is_known && S_ISREG(before.stx_mode) && ledger >= 0) {
    char line[160];
    int length = snprintf(line, sizeof line, "%llu %llu %lld %u %llu\n",
                          (unsigned long long)makedev(before.stx_dev_major, before.stx_dev_minor),
                          (unsigned long long)before.stx_ino, (long long)before.stx_btime.tv_sec,
                          before.stx_btime.tv_nsec, (unsigned long long)before.stx_size);
    /* A line that cannot be noted counts as not synced: more is lost than could be. */
    if (write(ledger, line, (size_t)length) != length) abort();
  }
  errno = code;
  return result;
}

int fsync(int file) { return note_and_sync(file, real_fsync); }

int fdatasync(int file) { return note_and_sync(file, real_fdatasync); }
