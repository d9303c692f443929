/* Which instruction sets this processor and this system have, and which path is used. */
#include "internal.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* Compilers have __builtin_cpu_supports, but in libraries built by zig it answers 0. */
static bool has_feature(unsigned leaf, int word, unsigned bit) {
    unsigned words[4];
    if (!__get_cpuid_count(leaf, 0, &words[0], &words[1], &words[2], &words[3])) return false;
    return words[word] >> bit & 1;
}

/* The registers that the system saves when it switches threads. */
static bool saves_registers(uint64_t wanted) {
    if (!has_feature(1, 2, 27)) return false; /* OSXSAVE: XGETBV may be executed */
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (((uint64_t)high << 32 | low) & wanted) == wanted;
}

static bool has_avx2(void) {
    bool float16 = has_feature(1, 2, 29), fma = has_feature(1, 2, 12), avx2 = has_feature(7, 1, 5);
    return float16 && fma && avx2 && saves_registers(0x6);
}

#if defined(VGK_EMULATED)
static bool has_avx512_vnni(void) {
    return has_avx2(); /* which that path takes the rest from */
}
#else
static bool has_avx512_vnni(void) {
    bool foundation = has_feature(7, 1, 16), bytes = has_feature(7, 1, 30), vnni = has_feature(7, 2, 11);
    return foundation && bytes && vnni && has_avx2() && saves_registers(0xe6);
}
#endif
#elif defined(__aarch64__)
#if defined(__linux__)
#include <sys/auxv.h>

static bool has_dot_product(void) {
    return getauxval(AT_HWCAP) >> 20 & 1; /* HWCAP_ASIMDDP */
}
#elif defined(__APPLE__)
static bool has_dot_product(void) {
    return true; /* every processor of Apple's that runs macOS */
}
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static bool has_dot_product(void) {
    return IsProcessorFeaturePresent(43); /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE */
}
#else
static bool has_dot_product(void) {
    return false;
}
#endif
#endif

static bool always(void) {
    return true;
}

/* From the slowest to the fastest; all of them give the same integer products. */
static const struct {
    const path *path;
    bool (*available)(void);
} paths[] = {
    {&vgk_portable_path, always},
#if defined(__x86_64__)
    {&vgk_avx2_path, has_avx2},
    {&vgk_avx512_path, has_avx512_vnni},
#elif defined(__aarch64__)
    {&vgk_neon_path, always},
    {&vgk_neon_dot_path, has_dot_product},
#endif
};

enum { PATHS = sizeof paths / sizeof paths[0] };

static _Atomic int used = -1;

const path *vgk_path_at(int number) {
    return number >= 0 && number < PATHS ? paths[number].path : NULL;
}

const char *vgk_path_name(int number) {
    const path *found = vgk_path_at(number);
    return found ? found->name : NULL;
}

int vgk_path_available(int number) {
    return vgk_path_at(number) && paths[number].available();
}

int vgk_path_used(void) {
    int number = atomic_load_explicit(&used, memory_order_relaxed);
    if (number >= 0) return number;
    for (number = PATHS - 1; !vgk_path_available(number); number--) continue;
    atomic_store_explicit(&used, number, memory_order_relaxed);
    return number;
}

int vgk_use_path(int number) {
    if (!vgk_path_available(number)) return VGK_BAD_ARGUMENT;
    atomic_store_explicit(&used, number, memory_order_relaxed);
    return VGK_OK;
}

const path *vgk_current_path(void) {
    return paths[vgk_path_used()].path;
}
