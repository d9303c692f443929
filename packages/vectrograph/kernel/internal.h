/* What the files of the kernel share with one another; bindings see vectrograph_kernel.h alone. */
#ifndef VGK_INTERNAL_H
#define VGK_INTERNAL_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "vectrograph_kernel.h"

#define LANES 16              /* partial sums of an exact product; the same on every path, so results are too */
#define PREFETCHED_BYTES 2048 /* of one record: beyond, the processor's own prefetcher has seen the pattern */
#define BLOCK 64              /* rows scored in one call: their codes stay in the first cache */

/* A vector in the form in which codes are compared with it. */
typedef struct {
    int8_t *bytes;    /* VGK_INT8: whole numbers from -127 to 127, zeros behind the last */
    int16_t *words;   /* the same in the order that the AVX2 path wants */
    float *floats;    /* VGK_FLOAT16, VGK_FLOAT32 */
    float scale;
    int32_t offset;   /* codes are unsigned: 128 times the sum of `bytes` is too much in a product */
} prepared;

typedef struct {
    const char *name;
    void (*prepare)(prepared *query, int64_t padded);                          /* from `bytes` */
    void (*prepare_code)(prepared *query, const uint8_t *code, int64_t padded); /* from a stored code */
    void (*products)(const uint8_t *const *codes, int64_t count, const prepared *query, int64_t padded, int32_t *out);
    float (*product_float16)(const uint8_t *code, const float *query, int64_t padded);
    float (*product_float32)(const uint8_t *code, const float *query, int64_t padded);
    /* Sums over LANES partial sums in float64. `sums`: the product of both, and of the vector with itself. */
    void (*exact_products)(const float *vector, const float *query, int64_t dimension, double sums[2]);
    double (*exact_distance)(const float *vector, const float *query, int64_t dimension);
} path;

/* For paths that compare with `bytes` as they are. */
void vgk_prepare_bytes(prepared *query, int64_t padded);
void vgk_prepare_code_bytes(prepared *query, const uint8_t *code, int64_t padded);

extern const path vgk_portable_path, vgk_avx2_path, vgk_avx512_path, vgk_neon_path, vgk_neon_dot_path;

/* cpu.c */
const path *vgk_path_at(int number);
const path *vgk_current_path(void);

static inline double sum_lanes(const double lanes[LANES]) {
    double half[8], quarter[4];
    for (int j = 0; j < 8; j++) half[j] = lanes[j] + lanes[j + 8];
    for (int j = 0; j < 4; j++) quarter[j] = half[j] + half[j + 4];
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

static inline float sum_float_lanes(const float lanes[LANES]) {
    float half[8], quarter[4];
    for (int j = 0; j < 8; j++) half[j] = lanes[j] + lanes[j + 8];
    for (int j = 0; j < 4; j++) quarter[j] = half[j] + half[j + 4];
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

static inline void prefetch_bytes(const void *start, int64_t bytes) {
    int64_t end = bytes < PREFETCHED_BYTES ? bytes : PREFETCHED_BYTES;
    for (int64_t at = 0; at < end; at += 64) __builtin_prefetch((const char *)start + at);
}

/* clock.c: when to stop */
typedef struct {
    const _Atomic int32_t *flag;
    int64_t deadline; /* of `vgk_clock`; 0 for none */
} stop_rule;

int64_t vgk_clock(void);
stop_rule vgk_stop_rule(const _Atomic int32_t *flag, int64_t budget);

static inline bool must_stop(const stop_rule *rule) {
    if (rule->flag && atomic_load_explicit(rule->flag, memory_order_relaxed)) return true;
    return rule->deadline && vgk_clock() >= rule->deadline;
}

/* codes.c */
int64_t vgk_padded(int kind, int dimension);
bool vgk_prepare_vector(const vgk_index *index, const float *vector, float *work, prepared *out);
void vgk_prepare_record(const vgk_index *index, int64_t row, prepared *out);
void vgk_score_rows(const vgk_index *index, const prepared *query, const int32_t *rows, int64_t count, float *scores);
float vgk_half_to_float(uint16_t half);

static inline uint8_t *record_of(const vgk_index *index, int64_t row) {
    return index->records + row * index->stride;
}

static inline int64_t code_bytes(const vgk_index *index) {
    static const int size[3] = {1, 2, 4};
    return vgk_padded(index->kind, index->dimension) * size[index->kind];
}

static inline void read_factors(const uint8_t *record, int64_t bytes, float factors[2]) {
    memcpy(factors, record + bytes, 2 * sizeof(float));
}

/* A row with its score; lower is better. */
typedef struct {
    float score;
    int32_t row;
} candidate;

/* candidates.c: the best of many, in a binary heap whose root is the worst that is kept */
typedef struct {
    candidate *items;
    int64_t count;
    int64_t room;
    const int64_t *created; /* decides among equal scores; NULL: the row number */
} best_rows;

void vgk_offer(best_rows *best, float score, int32_t row);
void vgk_sort_best(best_rows *best);

/* scratch.c: memory of one search or linker at a time */
struct vgk_scratch {
    uint64_t *visited;   /* bits by row, all zero between calls */
    int64_t visited_rows;
    int32_t *seen;       /* rows whose bits are set, until there are too many to be worth noting */
    int64_t seen_count, seen_room;
    candidate *pool;     /* the beam, best first; the top bit of `row` is set once the row was expanded */
    int64_t pool_room;
    candidate *levels;   /* beams of the levels of a row that is linked */
    int64_t levels_room;
    candidate *found_items;
    int64_t found_room;
    candidate *final_items;
    int64_t final_room;
    prepared query, other, third;
    float *work;
    void *vectors_memory;
    int64_t padded;
    int64_t bytes;
};

int vgk_scratch_fit(vgk_scratch *scratch, const vgk_index *index, int64_t beam, int64_t found, int64_t final);
int vgk_scratch_fit_levels(vgk_scratch *scratch, int64_t breadth);

/* walk.c */
typedef struct {
    const vgk_index *index;
    vgk_scratch *scratch;
    const prepared *query;
    stop_rule stop;
    /* What an answer may be, and where it is put; `found` is NULL when the pool itself is the answer. */
    best_rows *found;
    const vgk_query *rules;
    int64_t linked;
    int64_t compared;
    int64_t accepted;
    bool stale;
} walk;

typedef struct {
    int64_t row; /* VGK_NONE when nothing is linked */
    int level;
    float score;
} place;

place vgk_entry_place(const vgk_index *index);
int vgk_descend(walk *walk, place *at, int level);
int64_t vgk_beam(walk *walk, place from, int64_t beam, int level, int64_t itself);
vgk_row *vgk_links_of(const vgk_index *index, int64_t row, int level);

static inline int links_on(int level) {
    return level ? VGK_UPPER_LINKS : VGK_LINKS;
}

static inline int64_t pool_row(candidate item) {
    return item.row & INT32_MAX;
}

/* Which rows a search may return. */
static inline bool is_allowed(const vgk_query *rules, int64_t row) {
    if (!rules->allowed) return true;
    return row < rules->allowed_rows && (rules->allowed[row >> 6] >> (row & 63) & 1);
}

static inline bool is_visible(const vgk_index *index, const vgk_query *rules, int64_t row) {
    if (row < 0 || row >= rules->rows || row >= index->capacity) return false;
    return !rules->any_dead || atomic_load_explicit(&index->died[row], memory_order_relaxed) > rules->seq;
}

static inline bool may_be_found(const vgk_index *index, const vgk_query *rules, int64_t row) {
    return is_visible(index, rules, row) && is_allowed(rules, row);
}

/* The next row with the same code, VGK_NONE behind the last. They descend, so the end comes whatever is read. The first
 * may be newer than what this process has mapped, and then those behind it cannot be reached: `stale` is set. */
static inline int64_t next_same(const vgk_index *index, int64_t head, int64_t row, bool *stale) {
    int64_t next = atomic_load_explicit(&index->same[row], memory_order_acquire);
    if (next <= head) return VGK_NONE;
    if (next >= index->capacity) {
        *stale = true;
        return VGK_NONE;
    }
    return row == head || next < row ? next : VGK_NONE;
}

/* scan.c */
int vgk_scan(const vgk_index *index, const vgk_query *rules, const prepared *query, int64_t first, stop_rule stop,
             best_rows *found, vgk_answer *answer);
int vgk_scan_exactly(const vgk_index *index, const vgk_query *rules, stop_rule stop, best_rows *final,
                     vgk_answer *answer);

/* exact.c: the score that counts */
typedef struct {
    const float *vector;
    double length;
} exact_query;

exact_query vgk_exact_query(const vgk_index *index, const float *vector);
float vgk_exact_score(const vgk_index *index, const exact_query *query, int64_t row);

#endif
