/* Products with NEON, which every 64-bit ARM processor has, and with its dot product instructions, which most have. */
#if defined(__aarch64__)
#include <arm_neon.h>

#include "internal.h"

/* Products are of signed bytes: what codes are too large by, 128 a component, is put back by adding query->offset. */
static inline int8x16_t signed_code(const uint8_t *code) {
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(code), vdupq_n_u8(128)));
}

static void products(const uint8_t *const *codes, int64_t count, const prepared *query, int64_t padded, int32_t *out) {
    for (int64_t j = 0; j < count; j++) {
        int32x4_t first = vdupq_n_s32(0), second = first;
        for (int64_t i = 0; i < padded; i += 32) {
            int8x16_t a = signed_code(codes[j] + i), b = signed_code(codes[j] + i + 16);
            int8x16_t p = vld1q_s8(query->bytes + i), q = vld1q_s8(query->bytes + i + 16);
            /* Two products fit into 16 bits: 2 * 128 * 127 = 32,512. */
            int16x8_t low = vmlal_high_s8(vmull_s8(vget_low_s8(a), vget_low_s8(p)), a, p);
            int16x8_t high = vmlal_high_s8(vmull_s8(vget_low_s8(b), vget_low_s8(q)), b, q);
            first = vpadalq_s16(first, low);
            second = vpadalq_s16(second, high);
        }
        out[j] = vaddvq_s32(vaddq_s32(first, second)) + query->offset;
    }
}

static float product_float16(const uint8_t *code, const float *query, int64_t padded) {
    float32x4_t sums[4];
    for (int j = 0; j < 4; j++) sums[j] = vdupq_n_f32(0);
    for (int64_t i = 0; i < padded; i += LANES) {
        for (int j = 0; j < 4; j++) {
            uint16_t halves[4];
            memcpy(halves, code + 2 * (i + 4 * j), sizeof halves);
            float32x4_t values = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves)));
            sums[j] = vfmaq_f32(sums[j], values, vld1q_f32(query + i + 4 * j));
        }
    }
    float lanes[LANES];
    for (int j = 0; j < 4; j++) vst1q_f32(lanes + 4 * j, sums[j]);
    return sum_float_lanes(lanes);
}

static float product_float32(const uint8_t *code, const float *query, int64_t padded) {
    float32x4_t sums[4];
    for (int j = 0; j < 4; j++) sums[j] = vdupq_n_f32(0);
    for (int64_t i = 0; i < padded; i += LANES) {
        for (int j = 0; j < 4; j++) {
            float32x4_t values = vreinterpretq_f32_u8(vld1q_u8(code + 4 * (i + 4 * j)));
            sums[j] = vfmaq_f32(sums[j], values, vld1q_f32(query + i + 4 * j));
        }
    }
    float lanes[LANES];
    for (int j = 0; j < 4; j++) vst1q_f32(lanes + 4 * j, sums[j]);
    return sum_float_lanes(lanes);
}

/* Fused multiply-add where the product is exact in float64, one after the other where it is not; see the AVX2 path. */
static void exact_products(const float *vector, const float *query, int64_t dimension, double sums[2]) {
    float64x2_t mixed[8], own[8];
    for (int j = 0; j < 8; j++) mixed[j] = own[j] = vdupq_n_f64(0);
    int64_t i = 0;
    for (; i + LANES <= dimension; i += LANES) {
        for (int j = 0; j < 8; j++) {
            float64x2_t values = vcvt_f64_f32(vld1_f32(vector + i + 2 * j));
            float64x2_t wanted = vcvt_f64_f32(vld1_f32(query + i + 2 * j));
            mixed[j] = vfmaq_f64(mixed[j], values, wanted);
            own[j] = vfmaq_f64(own[j], values, values);
        }
    }
    double mixed_lanes[LANES], own_lanes[LANES];
    for (int j = 0; j < 8; j++) {
        vst1q_f64(mixed_lanes + 2 * j, mixed[j]);
        vst1q_f64(own_lanes + 2 * j, own[j]);
    }
    for (; i < dimension; i++) {
        double value = vector[i];
        mixed_lanes[i % LANES] += value * query[i];
        own_lanes[i % LANES] += value * value;
    }
    sums[0] = sum_lanes(mixed_lanes);
    sums[1] = sum_lanes(own_lanes);
}

static double exact_distance(const float *vector, const float *query, int64_t dimension) {
    float64x2_t sums[8];
    for (int j = 0; j < 8; j++) sums[j] = vdupq_n_f64(0);
    int64_t i = 0;
    for (; i + LANES <= dimension; i += LANES) {
        for (int j = 0; j < 8; j++) {
            float64x2_t values = vcvt_f64_f32(vld1_f32(vector + i + 2 * j));
            float64x2_t difference = vsubq_f64(values, vcvt_f64_f32(vld1_f32(query + i + 2 * j)));
            sums[j] = vaddq_f64(sums[j], vmulq_f64(difference, difference));
        }
    }
    double lanes[LANES];
    for (int j = 0; j < 8; j++) vst1q_f64(lanes + 2 * j, sums[j]);
    for (; i < dimension; i++) {
        double difference = (double)vector[i] - query[i];
        lanes[i % LANES] += difference * difference;
    }
    return sum_lanes(lanes);
}

const path vgk_neon_path = {
    .name = "neon",
    .prepare = vgk_prepare_bytes,
    .prepare_code = vgk_prepare_code_bytes,
    .products = products,
    .product_float16 = product_float16,
    .product_float32 = product_float32,
    .exact_products = exact_products,
    .exact_distance = exact_distance,
};

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

static void dot_products(const uint8_t *const *codes, int64_t count, const prepared *query, int64_t padded,
                         int32_t *out) {
    for (int64_t j = 0; j < count; j++) {
        int32x4_t sums[4];
        for (int t = 0; t < 4; t++) sums[t] = vdupq_n_s32(0);
        for (int64_t i = 0; i < padded; i += 64) {
            for (int t = 0; t < 4; t++) {
                sums[t] = vdotq_s32(sums[t], signed_code(codes[j] + i + 16 * t), vld1q_s8(query->bytes + i + 16 * t));
            }
        }
        int32x4_t all = vaddq_s32(vaddq_s32(sums[0], sums[1]), vaddq_s32(sums[2], sums[3]));
        out[j] = vaddvq_s32(all) + query->offset;
    }
}

#pragma clang attribute pop

const path vgk_neon_dot_path = {
    .name = "neondot",
    .prepare = vgk_prepare_bytes,
    .prepare_code = vgk_prepare_code_bytes,
    .products = dot_products,
    .product_float16 = product_float16,
    .product_float32 = product_float32,
    .exact_products = exact_products,
    .exact_distance = exact_distance,
};
#else
typedef int vgk_no_neon; /* a file without a declaration is not valid C */
#endif
