/* An index in memory, each array in a block of its own, so that AddressSanitizer sees every byte beyond. */
#ifndef VGK_TEST_FIXTURE_H
#define VGK_TEST_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "../internal.h"

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                 \
        }                                                                            \
    } while (0)

static inline uint64_t random_bits(uint64_t *state) {
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = (*state ^ *state >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

static inline float random_float(uint64_t *state) {
    return (float)(int32_t)(random_bits(state) >> 32) / 2147483648.0f;
}

static inline void *block(int64_t bytes) {
    void *memory = calloc(1, (size_t)(bytes ? bytes : 1));
    CHECK(memory);
    return memory;
}

static inline vgk_index make_index(int metric, int kind, int dimension, int64_t capacity, int64_t upper) {
    vgk_index index = {.metric = metric, .kind = kind, .dimension = dimension, .capacity = capacity,
                       .upper_capacity = upper, .vector_rows = capacity, .stride = vgk_stride(kind, dimension)};
    index.header = block(sizeof(vgk_header));
    index.records = block(capacity * index.stride);
    index.links = block(capacity * VGK_LINKS * 4);
    index.upper_at = block(capacity * 4);
    index.upper = block(upper * VGK_UPPER_LINKS * 4);
    index.same = block(capacity * 4);
    index.died = block(capacity * 8);
    index.vectors = block(capacity * dimension * 4);
    index.locks = block(VGK_LOCKS);
    vgk_header_create(&index);
    return index;
}

static inline void free_index(vgk_index *index) {
    free(index->header);
    free(index->records);
    free(index->links);
    free(index->upper_at);
    free(index->upper);
    free(index->same);
    free(index->died);
    free((void *)index->vectors);
    free((void *)index->created);
    free((void *)index->centre);
    free(index->locks);
}

static inline vgk_query query_of(const vgk_index *index, const float *vector, int k, int way) {
    int64_t state[3];
    vgk_state(index, state);
    return (vgk_query){.vector = vector, .k = k, .beam = 128, .refine = 4 * k, .way = way, .any_dead = 1,
                       .seq = state[0], .rows = state[1], .linked = state[2]};
}

#endif
