/* Integer products with AVX-512 VNNI; the rest is that of the AVX2 path.
 *
 * Built with VGK_EMULATED, the intrinsics are functions of plain C (SIMDe), so that the tests of the kernel execute
 * this file on processors without the instructions too. */
#if defined(__x86_64__)
#if defined(VGK_EMULATED)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#else
#include <immintrin.h>
#endif

#include "distances_x86.h"
#include "internal.h"

/* Clang 18 to 21 have a feature of its own for the wide registers; other versions do not know its name. */
#if defined(VGK_EMULATED)
#elif __clang_major__ >= 18 && __clang_major__ <= 21
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vnni,evex512"))), apply_to = function)
#else
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vnni"))), apply_to = function)
#endif

static void products(const uint8_t *const *codes, int64_t count, const prepared *query, int64_t padded, int32_t *out) {
    for (int64_t j = 0; j < count; j++) {
        __m512i first = _mm512_setzero_si512(), second = first;
        int64_t i = 0;
        for (; i + 128 <= padded; i += 128) {
            __m512i low = _mm512_loadu_si512(codes[j] + i), high = _mm512_loadu_si512(codes[j] + i + 64);
            first = _mm512_dpbusd_epi32(first, low, _mm512_loadu_si512(query->bytes + i));
            second = _mm512_dpbusd_epi32(second, high, _mm512_loadu_si512(query->bytes + i + 64));
        }
        if (i < padded) {
            __m512i last = _mm512_loadu_si512(codes[j] + i);
            first = _mm512_dpbusd_epi32(first, last, _mm512_loadu_si512(query->bytes + i));
        }
        __m512i both = _mm512_add_epi32(first, second);
        __m256i eight = _mm256_add_epi32(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1));
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
        out[j] = _mm_cvtsi128_si32(four);
    }
}

#if !defined(VGK_EMULATED)
#pragma clang attribute pop
#endif

const path vgk_avx512_path = {
    .name = "avx512vnni",
    .prepare = vgk_prepare_bytes,
    .prepare_code = vgk_prepare_code_bytes,
    .products = products,
    .product_float16 = vgk_avx2_product_float16,
    .product_float32 = vgk_avx2_product_float32,
    .exact_products = vgk_avx2_exact_products,
    .exact_distance = vgk_avx2_exact_distance,
};
#else
typedef int vgk_no_avx512; /* a file without a declaration is not valid C */
#endif
