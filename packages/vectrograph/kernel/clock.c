/* When to stop: a flag that another thread raises, and a time. */
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#endif
#include "internal.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

int64_t vgk_clock(void) {
    LARGE_INTEGER ticks, frequency;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&frequency);
    return (int64_t)((double)ticks.QuadPart * (1e9 / (double)frequency.QuadPart));
}
#else
#include <time.h>

int64_t vgk_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
#endif

stop_rule vgk_stop_rule(const _Atomic int32_t *flag, int64_t budget) {
    return (stop_rule){flag, budget > 0 ? vgk_clock() + budget : 0};
}
