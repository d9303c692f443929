/* Products with AVX2, FMA and F16C. */
#if defined(__x86_64__)
/* Before the attribute below, or the functions of the headers would have it too. */
#include <immintrin.h>

#include "distances_x86.h"
#include "internal.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

/* The instruction for bytes, vpmaddubsw, saturates: 255 * 127 * 2 does not fit into 16 bits. So bytes are widened: the
 * even ones by a mask, the odd ones by a shift. The query is kept in that order, 16 even words and 16 odd ones. */
static void prepare(prepared *query, int64_t padded) {
    vgk_prepare_bytes(query, padded);
    for (int64_t i = 0; i < padded; i += 32) {
        for (int j = 0; j < 16; j++) {
            query->words[i + j] = query->bytes[i + 2 * j];
            query->words[i + 16 + j] = query->bytes[i + 2 * j + 1];
        }
    }
}

static inline __m256i even_bytes(__m256i bytes) {
    return _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
}

static inline __m256i odd_bytes(__m256i bytes) {
    return _mm256_srli_epi16(bytes, 8);
}

static inline int32_t sum_words(__m256i sums) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

/* Linking prepares a thousand codes for each row, so this is written by hand too. `bytes` are left as they are. */
static void prepare_code(prepared *query, const uint8_t *code, int64_t padded) {
    const __m256i middle = _mm256_set1_epi16(128), ones = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    for (int64_t i = 0; i < padded; i += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(code + i));
        __m256i even = _mm256_sub_epi16(even_bytes(bytes), middle), odd = _mm256_sub_epi16(odd_bytes(bytes), middle);
        _mm256_store_si256((__m256i *)(query->words + i), even);
        _mm256_store_si256((__m256i *)(query->words + i + 16), odd);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_add_epi16(even, odd), ones));
    }
    query->offset = 128 * sum_words(sum);
}

static inline __m256i add_products(__m256i sum, const uint8_t *code, const int16_t *words) {
    __m256i bytes = _mm256_loadu_si256((const __m256i *)code);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even_bytes(bytes), _mm256_load_si256((const __m256i *)words)));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(odd_bytes(bytes), _mm256_load_si256((const __m256i *)words + 1)));
}

static void products(const uint8_t *const *codes, int64_t count, const prepared *query, int64_t padded, int32_t *out) {
    for (int64_t j = 0; j < count; j++) {
        __m256i first = _mm256_setzero_si256(), second = first;
        for (int64_t i = 0; i < padded; i += 64) {
            first = add_products(first, codes[j] + i, query->words + i);
            second = add_products(second, codes[j] + i + 32, query->words + i + 32);
        }
        out[j] = sum_words(_mm256_add_epi32(first, second));
    }
}

static inline float sum_two(__m256 low, __m256 high) {
    float lanes[LANES];
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);
    return sum_float_lanes(lanes);
}

float vgk_avx2_product_float16(const uint8_t *code, const float *query, int64_t padded) {
    __m256 low = _mm256_setzero_ps(), high = low;
    for (int64_t i = 0; i < padded; i += LANES) {
        const __m128i *halves = (const __m128i *)(code + 2 * i);
        low = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_loadu_ps(query + i), low);
        high = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm_loadu_si128(halves + 1)), _mm256_loadu_ps(query + i + 8), high);
    }
    return sum_two(low, high);
}

float vgk_avx2_product_float32(const uint8_t *code, const float *query, int64_t padded) {
    __m256 low = _mm256_setzero_ps(), high = low;
    for (int64_t i = 0; i < padded; i += LANES) {
        const float *values = (const float *)(const void *)(code + 4 * i);
        low = _mm256_fmadd_ps(_mm256_loadu_ps(values), _mm256_loadu_ps(query + i), low);
        high = _mm256_fmadd_ps(_mm256_loadu_ps(values + 8), _mm256_loadu_ps(query + i + 8), high);
    }
    return sum_two(low, high);
}

/* A product of two float32 is exact in float64, so fused multiply-add rounds as multiplying and adding does. The
 * square of a difference is not exact: there the two are done one after the other, as on every path. */
void vgk_avx2_exact_products(const float *vector, const float *query, int64_t dimension, double sums[2]) {
    __m256d mixed[4], own[4];
    for (int j = 0; j < 4; j++) mixed[j] = own[j] = _mm256_setzero_pd();
    int64_t i = 0;
    for (; i + LANES <= dimension; i += LANES) {
        for (int j = 0; j < 4; j++) {
            __m256d values = _mm256_cvtps_pd(_mm_loadu_ps(vector + i + 4 * j));
            __m256d wanted = _mm256_cvtps_pd(_mm_loadu_ps(query + i + 4 * j));
            mixed[j] = _mm256_fmadd_pd(values, wanted, mixed[j]);
            own[j] = _mm256_fmadd_pd(values, values, own[j]);
        }
    }
    double mixed_lanes[LANES], own_lanes[LANES];
    for (int j = 0; j < 4; j++) {
        _mm256_storeu_pd(mixed_lanes + 4 * j, mixed[j]);
        _mm256_storeu_pd(own_lanes + 4 * j, own[j]);
    }
    for (; i < dimension; i++) {
        double value = vector[i];
        mixed_lanes[i % LANES] += value * query[i];
        own_lanes[i % LANES] += value * value;
    }
    sums[0] = sum_lanes(mixed_lanes);
    sums[1] = sum_lanes(own_lanes);
}

double vgk_avx2_exact_distance(const float *vector, const float *query, int64_t dimension) {
    __m256d sums[4];
    for (int j = 0; j < 4; j++) sums[j] = _mm256_setzero_pd();
    int64_t i = 0;
    for (; i + LANES <= dimension; i += LANES) {
        for (int j = 0; j < 4; j++) {
            __m256d values = _mm256_cvtps_pd(_mm_loadu_ps(vector + i + 4 * j));
            __m256d difference = _mm256_sub_pd(values, _mm256_cvtps_pd(_mm_loadu_ps(query + i + 4 * j)));
            sums[j] = _mm256_add_pd(sums[j], _mm256_mul_pd(difference, difference));
        }
    }
    double lanes[LANES];
    for (int j = 0; j < 4; j++) _mm256_storeu_pd(lanes + 4 * j, sums[j]);
    for (; i < dimension; i++) {
        double difference = (double)vector[i] - query[i];
        lanes[i % LANES] += difference * difference;
    }
    return sum_lanes(lanes);
}

#pragma clang attribute pop

const path vgk_avx2_path = {
    .name = "avx2",
    .prepare = prepare,
    .prepare_code = prepare_code,
    .products = products,
    .product_float16 = vgk_avx2_product_float16,
    .product_float32 = vgk_avx2_product_float32,
    .exact_products = vgk_avx2_exact_products,
    .exact_distance = vgk_avx2_exact_distance,
};
#else
typedef int vgk_no_avx2; /* a file without a declaration is not valid C */
#endif
