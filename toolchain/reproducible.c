// Loaded before a tool (LD_PRELOAD), so that it makes the same bytes at any time: the clock stands still, and
// every random byte is the same. Nothing that the tool makes relies on either being real.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>

enum { STILL_AT = 1767225600 }; // 2026-01-01, in seconds

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
  (void)flags;
  memset(buffer, 0x2a, length);
  return (ssize_t)length;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  (void)clock;
  *now = (struct timespec){.tv_sec = STILL_AT, .tv_nsec = 0};
  return 0;
}

// Rust's standard library asks the kernel by number.
long syscall(long number, ...) {
  static long (*next)(long, ...);
  long argument[6];
  va_list list;
  va_start(list, number);
  for (int index = 0; index < 6; index += 1) argument[index] = va_arg(list, long);
  va_end(list);
  if (number == SYS_getrandom) return getrandom((void *)argument[0], (size_t)argument[1], 0);
  if (!next) next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return next(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}
