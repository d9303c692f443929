/* Codes: from vectors to records, from vectors and records to prepared queries, and the score of a row. */
#include <float.h>

#include "internal.h"

/* Lengths between which products of float32 neither vanish nor overflow. Rows and queries outside have no code. */
#define SHORTEST 1e-15
#define LONGEST 1e15
/* Largest component below which a vector counts as the centre itself: dividing 127 by less would overflow. */
#define SMALLEST 1e-30f

int64_t vgk_padded(int kind, int dimension) {
    int64_t block = kind == VGK_INT8 ? 64 : LANES;
    return (dimension + block - 1) / block * block;
}

/* Records are not padded to whole cache lines: 264 bytes for 256 components touch as many lines as 320 would. */
int64_t vgk_stride(int kind, int dimension) {
    static const int size[3] = {1, 2, 4};
    if (kind < VGK_INT8 || kind > VGK_FLOAT32 || dimension < 1 || dimension > VGK_MAX_DIMENSION) return 0;
    return vgk_padded(kind, dimension) * size[kind] + 2 * (int64_t)sizeof(float);
}

static uint16_t half_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude >= 0x47800000) return (uint16_t)(sign | 0x7c00); /* too large; components are at most 1 */
    if (magnitude < 0x38800000) { /* subnormal: in steps of 2^-24 */
        float absolute;
        memcpy(&absolute, &magnitude, sizeof absolute);
        return (uint16_t)(sign | (uint32_t)rintf(absolute * 0x1p24f));
    }
    uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xfff + odd) >> 13));
}

float vgk_half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
    uint32_t bits = sign;
    float value;
    if (exponent == 0) {
        value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    if (exponent == 0x1f) bits |= 0x7f800000 | fraction << 13;
    else bits |= (exponent + 112) << 23 | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The vector moved to where codes are made: normalised for cosine, centred. False when it has no code. */
static bool moved(const vgk_index *index, const float *vector, float *out) {
    double sums[2];
    vgk_current_path()->exact_products(vector, vector, index->dimension, sums);
    double length = sqrt(sums[1]);
    bool zero = length == 0 && index->metric != VGK_COSINE;
    if (!zero && !(length >= SHORTEST && length <= LONGEST)) return false;
    float factor = index->metric == VGK_COSINE ? (float)(1 / length) : 1;
    const float *centre = index->centre;
    for (int i = 0; i < index->dimension; i++) out[i] = vector[i] * factor - (centre ? centre[i] : 0);
    return true;
}

static float largest_of(const float *values, int count) {
    float largest = 0;
    for (int i = 0; i < count; i++) largest = fabsf(values[i]) > largest ? fabsf(values[i]) : largest;
    return largest;
}

/* Whole numbers from -127 to 127. Adding and subtracting 1.5 * 2^23 rounds to even, many at a time. */
static float whole_numbers(const float *values, int count, int64_t padded, int8_t *out) {
    float largest = largest_of(values, count);
    float factor = largest < SMALLEST ? 0 : 127 / largest;
    for (int i = 0; i < count; i++) {
        float rounded = values[i] * factor + 12582912.0f - 12582912.0f;
        /* The centre lies in a mapped array: what is not a number must not be converted. */
        out[i] = (int8_t)(rounded >= -127 && rounded <= 127 ? rounded : rounded > 0 ? 127 : -127);
    }
    memset(out + count, 0, (size_t)(padded - count));
    return largest < SMALLEST ? 0 : largest / 127;
}

/* A power of two by which the largest component becomes 1 at most, so that no float16 overflows and nothing rounds. */
static float power_above(float largest) {
    int exponent;
    if (!(largest >= SMALLEST && largest <= FLT_MAX)) return 1;
    frexpf(largest, &exponent);
    return ldexpf(1, exponent);
}

static void encode(const vgk_index *index, float *values, int8_t *bytes, uint8_t *record) {
    int count = index->dimension;
    int64_t padded = vgk_padded(index->kind, count), size = code_bytes(index);
    float factors[2] = {0, 0};
    double agreement = 0, square = 0;
    if (index->kind == VGK_INT8) {
        factors[0] = whole_numbers(values, count, padded, bytes);
        for (int64_t i = 0; i < padded; i++) record[i] = (uint8_t)(bytes[i] + 128);
        for (int i = 0; i < count; i++) agreement += (double)(factors[0] * bytes[i]) * values[i];
    } else {
        factors[0] = power_above(largest_of(values, count));
        memset(record, 0, (size_t)size);
        for (int i = 0; i < count; i++) {
            float value = values[i] / factors[0];
            uint16_t half = half_of(value);
            if (index->kind == VGK_FLOAT16) {
                memcpy(record + 2 * i, &half, sizeof half);
                value = vgk_half_to_float(half);
            } else {
                memcpy(record + 4 * i, &value, sizeof value);
            }
            agreement += (double)(factors[0] * value) * values[i];
        }
    }
    for (int i = 0; i < count; i++) square += (double)values[i] * values[i];
    if (index->metric != VGK_DOT) factors[1] = (float)(agreement - square / 2);
    memcpy(record + size, factors, sizeof factors);
}

int vgk_append(const vgk_index *index, const float *vectors, int64_t first, int64_t count, uint8_t *placed) {
    if (first < 0 || count < 0 || first + count > index->capacity) return VGK_NO_ROOM;
    int64_t size = code_bytes(index);
    int64_t used = atomic_load_explicit(&index->header->upper_used, memory_order_relaxed);
    if (used < 0 || used + vgk_upper_blocks(first, first + count) > index->upper_capacity) return VGK_NO_ROOM;
    float values[VGK_MAX_DIMENSION];
    int8_t bytes[VGK_MAX_DIMENSION];
    for (int64_t j = 0; j < count; j++) {
        int64_t row = first + j, levels = vgk_levels(row);
        placed[j] = moved(index, vectors + j * index->dimension, values);
        uint8_t *record = record_of(index, row);
        if (placed[j]) {
            encode(index, values, bytes, record);
        } else {
            /* Not a number as the bias: no comparison holds, so nothing offers the row or links it. */
            float factors[2] = {0, NAN};
            memset(record, index->kind == VGK_INT8 ? 128 : 0, (size_t)size);
            memcpy(record + size, factors, sizeof factors);
        }
        for (int t = 0; t < VGK_LINKS; t++) {
            atomic_store_explicit(&index->links[row * VGK_LINKS + t], VGK_NONE, memory_order_relaxed);
        }
        atomic_store_explicit(&index->same[row], VGK_NONE, memory_order_relaxed);
        atomic_store_explicit(&index->died[row], VGK_ALIVE, memory_order_relaxed);
        index->upper_at[row] = levels ? (int32_t)used : VGK_NONE;
        for (int64_t t = 0; t < levels * VGK_UPPER_LINKS; t++) {
            atomic_store_explicit(&index->upper[used * VGK_UPPER_LINKS + t], VGK_NONE, memory_order_relaxed);
        }
        used += levels;
    }
    atomic_store_explicit(&index->header->upper_used, used, memory_order_release);
    return VGK_OK;
}

/* Prepare a query; `work` has room for its components. False when it has no code and must be compared exactly. */
bool vgk_prepare_vector(const vgk_index *index, const float *vector, float *work, prepared *out) {
    int64_t padded = vgk_padded(index->kind, index->dimension);
    if (!moved(index, vector, work)) return false;
    if (index->kind == VGK_INT8) {
        out->scale = whole_numbers(work, index->dimension, padded, out->bytes);
        vgk_current_path()->prepare(out, padded);
        return true;
    }
    out->scale = power_above(largest_of(work, index->dimension));
    for (int i = 0; i < index->dimension; i++) out->floats[i] = work[i] / out->scale;
    for (int64_t i = index->dimension; i < padded; i++) out->floats[i] = 0;
    return true;
}

/* Prepare what the code of a row stands for. */
void vgk_prepare_record(const vgk_index *index, int64_t row, prepared *out) {
    const uint8_t *record = record_of(index, row);
    int64_t padded = vgk_padded(index->kind, index->dimension);
    float factors[2];
    read_factors(record, code_bytes(index), factors);
    out->scale = factors[0];
    if (index->kind == VGK_INT8) {
        vgk_current_path()->prepare_code(out, record, padded);
    } else if (index->kind == VGK_FLOAT16) {
        for (int64_t i = 0; i < padded; i++) {
            uint16_t half;
            memcpy(&half, record + 2 * i, sizeof half);
            out->floats[i] = vgk_half_to_float(half);
        }
    } else {
        memcpy(out->floats, record, (size_t)padded * sizeof(float));
    }
}

/* Score rows, at most BLOCK, all of them below the capacity. */
void vgk_score_rows(const vgk_index *index, const prepared *query, const int32_t *rows, int64_t count, float *scores) {
    const path *path = vgk_current_path();
    const uint8_t *codes[BLOCK];
    int32_t sums[BLOCK];
    int64_t padded = vgk_padded(index->kind, index->dimension), size = code_bytes(index);
    for (int64_t j = 0; j < count; j++) codes[j] = record_of(index, rows[j]);
    if (index->kind == VGK_INT8) path->products(codes, count, query, padded, sums);
    for (int64_t j = 0; j < count; j++) {
        float factors[2], product;
        read_factors(codes[j], size, factors);
        if (index->kind == VGK_INT8) product = (float)(sums[j] - query->offset);
        else if (index->kind == VGK_FLOAT16) product = path->product_float16(codes[j], query->floats, padded);
        else product = path->product_float32(codes[j], query->floats, padded);
        scores[j] = factors[1] - factors[0] * query->scale * product;
    }
}

int vgk_products(int number, const uint8_t *codes, const int8_t *query, int64_t padded, int64_t count, int32_t *out) {
    int8_t bytes[VGK_MAX_DIMENSION] __attribute__((aligned(64)));
    int16_t words[VGK_MAX_DIMENSION] __attribute__((aligned(64)));
    if (!vgk_path_available(number) || padded < 0 || padded > VGK_MAX_DIMENSION || padded % 64) return VGK_BAD_ARGUMENT;
    prepared one = {.bytes = bytes, .words = words};
    memcpy(bytes, query, (size_t)padded);
    vgk_path_at(number)->prepare(&one, padded);
    for (int64_t j = 0; j < count; j++) {
        const uint8_t *code = codes + j * padded;
        vgk_path_at(number)->products(&code, 1, &one, padded, out + j);
    }
    return VGK_OK;
}
