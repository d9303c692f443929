/* Tests of the kernel in C, for builds with sanitizers and for other processors. Those in Python are more. */
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#endif
#include <pthread.h>

#include "fixture.h"

enum { K = 10 };

static uint64_t seed = 1;

static void fill_vectors(const vgk_index *index, int64_t rows) {
    float *vectors = (float *)index->vectors;
    for (int64_t i = 0; i < rows * index->dimension; i++) vectors[i] = random_float(&seed);
}

static void append(const vgk_index *index, int64_t rows) {
    uint8_t *placed = block(rows);
    CHECK(vgk_append(index, index->vectors, 0, rows, placed) == VGK_OK);
    for (int64_t row = 0; row < rows; row++) CHECK(placed[row] == 1);
    vgk_publish(index, 1, rows);
    free(placed);
}

static void link_all(const vgk_index *index, int64_t rows) {
    vgk_scratch *scratch = vgk_scratch_new();
    vgk_link_options options = {.breadth = 96, .alpha = 1};
    int64_t done;
    CHECK(vgk_link(index, scratch, &options, 0, rows, &done) == VGK_OK);
    CHECK(done == rows);
    vgk_set_linked(index, rows);
    vgk_scratch_free(scratch);
}

/* Every path gives the integer products of the portable one, for the most extreme codes and the longest vectors. */
static void test_products(void) {
    static const int64_t lengths[] = {64, 128, 192, 256, 320, 4096, VGK_MAX_DIMENSION};
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        int64_t padded = lengths[l];
        for (int round = 0; round < 6; round++) {
            uint8_t *codes = block(4 * padded);
            int8_t *query = block(padded);
            for (int64_t i = 0; i < 4 * padded; i++) {
                codes[i] = round < 4 ? (round & 1 ? 255 : 0) : (uint8_t)random_bits(&seed);
            }
            for (int64_t i = 0; i < padded; i++) {
                query[i] = round < 4 ? (round & 2 ? 127 : -127) : (int8_t)(random_bits(&seed) % 255 - 127);
            }
            int32_t wanted[4], got[4];
            CHECK(vgk_products(0, codes, query, padded, 4, wanted) == VGK_OK);
            if (round == 3) CHECK(wanted[0] == 255 * 127 * padded);
            for (int path = 1; vgk_path_name(path); path++) {
                if (!vgk_path_available(path)) continue;
                CHECK(vgk_products(path, codes, query, padded, 4, got) == VGK_OK);
                CHECK(!memcmp(wanted, got, sizeof got));
            }
            free(codes);
            free(query);
        }
    }
    CHECK(vgk_products(99, NULL, NULL, 64, 0, NULL) == VGK_BAD_ARGUMENT);
}

/* Codes prepared as queries are what they were coded from. Exact sums are the same bit for bit. */
static void test_paths_agree(void) {
    for (int dimension = 1; dimension <= 100; dimension += dimension < 40 ? 1 : 7) {
        float *one = block(4 * dimension), *other = block(4 * dimension);
        for (int i = 0; i < dimension; i++) one[i] = random_float(&seed), other[i] = random_float(&seed) * 1000;
        double wanted[2], got[2];
        const path *portable = vgk_path_at(0);
        portable->exact_products(one, other, dimension, wanted);
        for (int number = 1; vgk_path_name(number); number++) {
            if (!vgk_path_available(number)) continue;
            const path *path = vgk_path_at(number);
            path->exact_products(one, other, dimension, got);
            CHECK(!memcmp(wanted, got, sizeof got));
            double mine = portable->exact_distance(one, other, dimension);
            double others = path->exact_distance(one, other, dimension);
            CHECK(!memcmp(&mine, &others, sizeof mine));
        }
        free(one);
        free(other);
    }
}

/* Scans find what comparing the originals finds; walks find nearly all of it. On the path in use. */
static void test_search(int metric, int kind) {
    const int64_t rows = 800;
    vgk_index index = make_index(metric, kind, 24, rows, 200);
    fill_vectors(&index, rows);
    append(&index, rows);
    vgk_scratch *scratch = vgk_scratch_new();
    int64_t exact[K], got[K], shared[2] = {0, 0};
    float exact_scores[K], scores[K];
    vgk_answer answer = {.rows = got, .scores = scores}, wanted = {.rows = exact, .scores = exact_scores};
    link_all(&index, rows);
    for (int round = 0; round < 25; round++) {
        float query[24];
        for (int i = 0; i < 24; i++) query[i] = random_float(&seed);
        vgk_query rules = query_of(&index, query, K, VGK_EXACT);
        CHECK(vgk_search(&index, scratch, &rules, &wanted) == VGK_OK && wanted.count == K);
        for (int way = VGK_WALK; way <= VGK_SCAN; way++) {
            rules.way = way;
            CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_OK && answer.count == K);
            for (int j = 0; j < K; j++) {
                CHECK(j == 0 || scores[j - 1] <= scores[j]);
                for (int t = 0; t < K; t++) shared[way] += got[j] == exact[t];
            }
        }
    }
    CHECK(shared[VGK_SCAN] >= 25 * K - 2);
    CHECK(shared[VGK_WALK] >= (metric == VGK_DOT ? 22 : 24) * K);
    vgk_scratch_free(scratch);
    free_index(&index);
}

/* Dead rows, rows that are too new, filters and lists: nothing else is found, and everything that is left. */
static void test_visibility(void) {
    const int64_t rows = 700;
    vgk_index index = make_index(VGK_EUCLIDEAN, VGK_INT8, 8, rows, 120);
    fill_vectors(&index, rows);
    append(&index, rows);
    link_all(&index, 600);
    int64_t dead[200], state[3];
    for (int j = 0; j < 200; j++) dead[j] = 3 * j;
    CHECK(vgk_mark_dead(&index, dead, 200, 2) == VGK_OK);
    vgk_publish(&index, 2, rows);
    vgk_scratch *scratch = vgk_scratch_new();
    int64_t *got = block(rows * 8);
    float *scores = block(rows * 4);
    vgk_answer answer = {.rows = got, .scores = scores};
    uint64_t allowed[11] = {0};
    int32_t list[] = {-5, 1, 2, 3, 650, 699, 700, INT32_MAX};
    for (int way = VGK_WALK; way <= VGK_EXACT; way++) {
        vgk_query rules = query_of(&index, index.vectors, 700, way);
        rules.beam = 700;
        CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_OK);
        CHECK(answer.count == 500);
        for (int64_t j = 0; j < answer.count; j++) CHECK(got[j] >= 600 || got[j] % 3);
        rules.seq = 1; /* before the deaths */
        CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_OK && answer.count == 700);
        rules.rows = 650;
        CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_OK && answer.count == 650);
        memset(allowed, 0, sizeof allowed);
        for (int row = 0; row < 700; row += 7) allowed[row >> 6] |= UINT64_C(1) << (row & 63);
        rules = query_of(&index, index.vectors, 100, way);
        rules.allowed = allowed;
        rules.allowed_rows = 690;
        rules.beam = 700;
        CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_OK);
        CHECK(answer.count == 70);
        for (int64_t j = 0; j < answer.count; j++) CHECK(got[j] % 7 == 0 && (got[j] >= 600 || got[j] % 3));
        rules = query_of(&index, index.vectors, 10, way);
        rules.list = list;
        rules.list_count = 8;
        CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_OK && answer.count == 4);
    }
    vgk_state(&index, state);
    CHECK(state[0] == 2 && state[1] == rows && state[2] == 600);
    CHECK(vgk_revive_after(&index, 1, rows) == 200);
    vgk_scratch_free(scratch);
    free(got);
    free(scores);
    free_index(&index);
}

/* Equal vectors are chained: all are found, the newest first, and they do not cut others off. */
static void test_equal_vectors(void) {
    const int64_t rows = 900;
    vgk_index index = make_index(VGK_COSINE, VGK_INT8, 16, rows, 160);
    fill_vectors(&index, rows);
    float *vectors = (float *)index.vectors;
    for (int64_t row = 1; row < rows; row++) {
        if (row % 2) memcpy(vectors + row * 16, vectors + 16, 16 * sizeof(float));
    }
    append(&index, rows);
    link_all(&index, rows);
    vgk_scratch *scratch = vgk_scratch_new();
    int64_t got[500];
    float scores[500];
    vgk_answer answer = {.rows = got, .scores = scores};
    vgk_query rules = query_of(&index, vectors + 16, 500, VGK_WALK);
    CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_OK && answer.count == 500);
    for (int j = 0; j < 450; j++) CHECK(got[j] == 899 - 2 * j && scores[j] == 0);
    vgk_scratch_free(scratch);
    free_index(&index);
}

/* Arrays full of anything: calls return, and name only rows that there are. */
static void test_garbage(int metric, int kind) {
    const int64_t rows = 200;
    vgk_index index = make_index(metric, kind, 20, rows, 64);
    fill_vectors(&index, rows);
    append(&index, rows);
    link_all(&index, rows);
    vgk_scratch *scratch = vgk_scratch_new();
    int64_t got[K], done;
    float scores[K];
    vgk_answer answer = {.rows = got, .scores = scores};
    struct { void *start; int64_t bytes; } arrays[] = {
        {index.links, rows * VGK_LINKS * 4}, {index.upper_at, rows * 4}, {index.upper, 64 * VGK_UPPER_LINKS * 4},
        {index.same, rows * 4}, {index.records, rows * index.stride}, {index.header, sizeof(vgk_header)},
        {index.died, rows * 8},
    };
    for (int round = 0; round < 60; round++) {
        for (size_t a = 0; a < sizeof arrays / sizeof arrays[0]; a++) {
            uint8_t *bytes = arrays[a].start;
            for (int j = 0; j < 100; j++) {
                bytes[random_bits(&seed) % (uint64_t)arrays[a].bytes] = (uint8_t)random_bits(&seed);
            }
        }
        if (round % 2) atomic_store(&index.header->turn, 2);
        vgk_query rules = query_of(&index, index.vectors, K, round % 3);
        rules.rows = rows;
        rules.linked = rows;
        int status = vgk_search(&index, scratch, &rules, &answer);
        CHECK(status == VGK_OK || status == VGK_STALE);
        for (int64_t j = 0; j < answer.count; j++) CHECK(got[j] >= 0 && got[j] < rows);
        vgk_link_options options = {.breadth = 16, .alpha = 1.2f, .budget = 1000000000};
        status = vgk_link(&index, scratch, &options, round, round + 3, &done);
        CHECK(status == VGK_OK || status == VGK_STOPPED || status == VGK_STALE);
    }
    vgk_scratch_free(scratch);
    free_index(&index);
}

static void test_stopping(void) {
    const int64_t rows = 2000;
    vgk_index index = make_index(VGK_DOT, VGK_INT8, 4, rows, 300);
    fill_vectors(&index, rows);
    append(&index, rows);
    vgk_scratch *scratch = vgk_scratch_new();
    _Atomic int32_t stop = 1;
    int64_t got[K], done;
    float scores[K];
    vgk_answer answer = {.rows = got, .scores = scores};
    vgk_link_options options = {.breadth = 96, .alpha = 1, .stop = &stop};
    CHECK(vgk_link(&index, scratch, &options, 0, rows, &done) == VGK_STOPPED && done == 0);
    options = (vgk_link_options){.breadth = 96, .alpha = 1, .budget = 1};
    CHECK(vgk_link(&index, scratch, &options, 0, rows, &done) == VGK_STOPPED && done < rows);
    for (int way = VGK_WALK; way <= VGK_EXACT; way++) {
        vgk_query rules = query_of(&index, index.vectors, K, way);
        rules.stop = &stop;
        CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_STOPPED);
        rules.stop = NULL;
        rules.budget = 1;
        CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_STOPPED);
        rules.budget = 0;
        CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_OK);
        rules.rows = rows + 1;
        CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_NO_ROOM);
        rules.k = 0;
        CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_BAD_ARGUMENT);
    }
    vgk_scratch_free(scratch);
    free_index(&index);
}

typedef struct {
    const vgk_index *index;
    int64_t first, end;
    _Atomic int *linking;
} share;

static void *link_share(void *argument) {
    share *mine = argument;
    vgk_scratch *scratch = vgk_scratch_new();
    vgk_link_options options = {.breadth = 48, .alpha = 1};
    int64_t done;
    CHECK(vgk_link(mine->index, scratch, &options, mine->first, mine->end, &done) == VGK_OK);
    vgk_scratch_free(scratch);
    atomic_fetch_sub(mine->linking, 1);
    return NULL;
}

/* Two threads link, a third updates one point, and a fourth finds it in every answer. */
static void test_threads(void) {
    enum { ROWS = 900, UPDATES = 200 };
    vgk_index index = make_index(VGK_COSINE, VGK_INT8, 12, ROWS + UPDATES + 1, 400);
    fill_vectors(&index, ROWS);
    float *vectors = (float *)index.vectors;
    for (int64_t row = ROWS; row <= ROWS + UPDATES; row++) memcpy(vectors + row * 12, vectors, 12 * sizeof(float));
    append(&index, ROWS);
    link_all(&index, 400);
    _Atomic int linking = 2;
    share shares[2] = {{&index, 400, 650, &linking}, {&index, 650, ROWS, &linking}};
    pthread_t threads[2];
    for (int t = 0; t < 2; t++) CHECK(!pthread_create(threads + t, NULL, link_share, shares + t));
    vgk_scratch *scratch = vgk_scratch_new();
    int64_t got[K], now = 0, state[3];
    float scores[K];
    vgk_answer answer = {.rows = got, .scores = scores};
    for (int64_t update = 0; update < UPDATES || atomic_load(&linking); update++) {
        if (update < UPDATES) {
            uint8_t placed;
            int64_t row = ROWS + update;
            CHECK(vgk_append(&index, vectors + row * 12, row, 1, &placed) == VGK_OK);
            CHECK(vgk_mark_dead(&index, &now, 1, 2 + update) == VGK_OK);
            vgk_publish(&index, 2 + update, row + 1);
            now = row;
        }
        vgk_query rules = query_of(&index, vectors, K, VGK_WALK);
        CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_OK && answer.count == K);
        CHECK(got[0] == now && scores[0] == 0 && scores[1] > 0);
    }
    for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
    vgk_set_linked(&index, ROWS);
    vgk_link_options options = {.breadth = 48, .alpha = 1};
    vgk_state(&index, state);
    CHECK(vgk_link(&index, scratch, &options, ROWS, state[1], state + 2) == VGK_OK);
    vgk_set_linked(&index, state[1]);
    vgk_query rules = query_of(&index, vectors, K, VGK_WALK);
    CHECK(vgk_search(&index, scratch, &rules, &answer) == VGK_OK && got[0] == now);
    vgk_scratch_free(scratch);
    free_index(&index);
}

static void test_bits(void) {
    uint64_t bits[2] = {UINT64_C(1) << 63 | 1, UINT64_MAX};
    int32_t rows[8];
    CHECK(vgk_count_bits(bits, 66) == 4);
    CHECK(vgk_rows_of_bits(bits, 66, rows, 3) == 4);
    CHECK(rows[0] == 0 && rows[1] == 63 && rows[2] == 64);
    CHECK(vgk_count_bits(bits, 0) == 0);
}

static bool is_wanted(const char *name, int count, char **wanted) {
    for (int j = 1; j < count; j++) {
        if (!strcmp(name, wanted[j])) return true;
    }
    return count < 2;
}

/* Arguments name the paths to test; all that the processor has when there are none. `threads`: that test alone. */
int main(int count, char **wanted) {
    if (count == 2 && !strcmp(wanted[1], "threads")) {
        test_threads();
        printf("1 passed, 0 failed\n");
        return 0;
    }
    test_products();
    test_paths_agree();
    test_bits();
    int ran = 3;
    for (int number = 0; vgk_path_name(number); number++) {
        if (!is_wanted(vgk_path_name(number), count, wanted)) continue;
        if (vgk_use_path(number) != VGK_OK) {
            printf("path %s: not on this processor\n", vgk_path_name(number));
            continue;
        }
        for (int metric = VGK_COSINE; metric <= VGK_DOT; metric++) {
            for (int kind = VGK_INT8; kind <= VGK_FLOAT32; kind++) {
                test_search(metric, kind);
                test_garbage(metric, kind);
                ran += 2;
            }
        }
        test_visibility();
        test_equal_vectors();
        test_stopping();
        test_threads();
        ran += 4;
        printf("path %s: ok\n", vgk_path_name(number));
    }
    printf("%d passed, 0 failed\n", ran);
    return 0;
}
