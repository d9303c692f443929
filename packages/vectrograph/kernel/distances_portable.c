/* Products in plain C, for any processor. The other paths are compared with these. */
#include "internal.h"

void vgk_prepare_bytes(prepared *query, int64_t padded) {
    int32_t sum = 0;
    for (int64_t i = 0; i < padded; i++) sum += query->bytes[i];
    query->offset = 128 * sum;
}

void vgk_prepare_code_bytes(prepared *query, const uint8_t *code, int64_t padded) {
    for (int64_t i = 0; i < padded; i++) query->bytes[i] = (int8_t)(code[i] ^ 128);
    vgk_prepare_bytes(query, padded);
}

static void products(const uint8_t *const *codes, int64_t count, const prepared *query, int64_t padded, int32_t *out) {
    for (int64_t j = 0; j < count; j++) {
        int32_t sum = 0;
        for (int64_t i = 0; i < padded; i++) sum += (int32_t)codes[j][i] * query->bytes[i];
        out[j] = sum;
    }
}

static float product_float16(const uint8_t *code, const float *query, int64_t padded) {
    float lanes[LANES] = {0};
    for (int64_t i = 0; i < padded; i += LANES) {
        uint16_t halves[LANES];
        memcpy(halves, code + 2 * i, sizeof halves);
        for (int j = 0; j < LANES; j++) lanes[j] += vgk_half_to_float(halves[j]) * query[i + j];
    }
    return sum_float_lanes(lanes);
}

static float product_float32(const uint8_t *code, const float *query, int64_t padded) {
    float lanes[LANES] = {0};
    for (int64_t i = 0; i < padded; i += LANES) {
        float values[LANES];
        memcpy(values, code + 4 * i, sizeof values);
        for (int j = 0; j < LANES; j++) lanes[j] += values[j] * query[i + j];
    }
    return sum_float_lanes(lanes);
}

static void exact_products(const float *vector, const float *query, int64_t dimension, double sums[2]) {
    double mixed[LANES] = {0}, own[LANES] = {0};
    for (int64_t i = 0; i < dimension; i++) {
        double value = vector[i];
        mixed[i % LANES] += value * query[i];
        own[i % LANES] += value * value;
    }
    sums[0] = sum_lanes(mixed);
    sums[1] = sum_lanes(own);
}

static double exact_distance(const float *vector, const float *query, int64_t dimension) {
    double lanes[LANES] = {0};
    for (int64_t i = 0; i < dimension; i++) {
        double difference = (double)vector[i] - query[i];
        lanes[i % LANES] += difference * difference;
    }
    return sum_lanes(lanes);
}

const path vgk_portable_path = {
    .name = "portable",
    .prepare = vgk_prepare_bytes,
    .prepare_code = vgk_prepare_code_bytes,
    .products = products,
    .product_float16 = product_float16,
    .product_float32 = product_float32,
    .exact_products = exact_products,
    .exact_distance = exact_distance,
};
