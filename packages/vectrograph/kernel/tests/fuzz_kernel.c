/* Fuzz target: an index of random shape, made properly and then overwritten with input; searches and linking of random
 * sizes, filters and lists. libFuzzer and AddressSanitizer see what goes wrong. */
#include "fixture.h"

typedef struct {
    const uint8_t *bytes;
    size_t left;
    uint64_t state;
} source;

static uint8_t next_byte(source *from) {
    if (from->left == 0) return (uint8_t)random_bits(&from->state);
    from->left--;
    return *from->bytes++;
}

static uint32_t next_number(source *from) {
    uint32_t number = 0;
    for (int j = 0; j < 4; j++) number = number << 8 | next_byte(from);
    return number;
}

static int64_t below(source *from, int64_t end) {
    return next_number(from) % end;
}

/* Floats of any size, and now and then what is not a number. */
static float next_float(source *from) {
    uint8_t choice = next_byte(from);
    if (choice < 200) return (float)(int8_t)next_byte(from) / 16;
    uint32_t bits = next_number(from);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void overwrite(source *from, void *array, int64_t bytes) {
    int64_t times = below(from, 8) == 0 ? bytes : below(from, 24);
    for (int64_t j = 0; j < times && bytes; j++) ((uint8_t *)array)[below(from, bytes)] = next_byte(from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    source from = {data, size, 7};
    int dimension = 1 + (int)below(&from, next_byte(&from) < 16 ? 700 : 40), kind = (int)below(&from, 3);
    int64_t rows = 1 + below(&from, 150), capacity = rows + below(&from, 70), upper = 40 + below(&from, 40), done;
    vgk_index index = make_index((int)below(&from, 3), kind, dimension, capacity, upper);
    for (int path = (int)below(&from, 4); path >= 0 && vgk_use_path(path) != VGK_OK; path--) continue;
    float *vectors = (float *)index.vectors;
    for (int64_t i = 0; i < capacity * dimension; i++) vectors[i] = next_float(&from);
    if (next_byte(&from) & 1) {
        float *centre = block(dimension * 4);
        for (int i = 0; i < dimension; i++) centre[i] = next_float(&from);
        index.centre = centre;
    }
    if (next_byte(&from) & 1) {
        int64_t *created = block(capacity * 8);
        for (int64_t row = 0; row < capacity; row++) created[row] = (int64_t)random_bits(&from.state);
        index.created = created;
    }
    uint8_t *placed = block(capacity);
    vgk_scratch *scratch = vgk_scratch_new();
    vgk_link_options options = {.breadth = 1 + (int32_t)below(&from, 40), .alpha = 1 + next_float(&from) / 16,
                                .budget = 1000000000};
    if (vgk_append(&index, vectors, 0, rows, placed) == VGK_OK) {
        vgk_publish(&index, 1, rows);
        CHECK(vgk_link(&index, scratch, &options, 0, rows, &done) <= VGK_STOPPED);
        vgk_set_linked(&index, done);
    }
    for (int64_t rounds = 1 + below(&from, 4); rounds > 0; rounds--) {
        overwrite(&from, index.links, capacity * VGK_LINKS * 4);
        overwrite(&from, index.upper_at, capacity * 4);
        overwrite(&from, index.upper, upper * VGK_UPPER_LINKS * 4);
        overwrite(&from, index.same, capacity * 4);
        overwrite(&from, index.died, capacity * 8);
        overwrite(&from, index.records, capacity * index.stride);
        if (next_byte(&from) & 1) overwrite(&from, index.header, sizeof(vgk_header));
        atomic_store(&index.header->turn, 0);
        int32_t k = 1 + (int32_t)below(&from, 40);
        int64_t *got = block(k * 8), allowed_rows = below(&from, capacity + 100), count = below(&from, 30);
        float *scores = block(k * 4), *query = block(dimension * 4);
        for (int i = 0; i < dimension; i++) query[i] = next_float(&from);
        uint64_t *allowed = block((allowed_rows + 63) / 64 * 8);
        for (int64_t j = 0; j < (allowed_rows + 63) / 64; j++) allowed[j] = random_bits(&from.state);
        int32_t *list = block(count * 4);
        for (int64_t j = 0; j < count; j++) list[j] = (int32_t)(next_number(&from) % (uint32_t)(capacity + 9)) - 4;
        uint8_t choice = next_byte(&from);
        vgk_query rules = {.vector = query, .k = k, .beam = 1 + (int32_t)below(&from, 300), .way = choice % 3,
                           .refine = 1 + (int32_t)below(&from, 100), .rows = below(&from, capacity + 2),
                           .linked = below(&from, capacity + 2), .seq = (int64_t)next_number(&from),
                           .any_dead = choice >> 2 & 1, .budget = 1000000000,
                           .allowed = choice & 8 ? allowed : NULL, .allowed_rows = allowed_rows,
                           .list = choice & 16 ? list : NULL, .list_count = count,
                           .also = choice & 32 ? list : NULL, .also_count = choice & 32 ? count : 0};
        vgk_answer answer = {.rows = got, .scores = scores};
        int status = vgk_search(&index, scratch, &rules, &answer);
        CHECK(status == VGK_OK || status == VGK_NO_ROOM || status == VGK_STOPPED || status == VGK_STALE);
        for (int64_t j = 0; j < answer.count; j++) CHECK(got[j] >= 0 && got[j] < rules.rows);
        int64_t first = below(&from, capacity);
        status = vgk_link(&index, scratch, &options, first, first + below(&from, capacity - first + 1), &done);
        CHECK(status == VGK_OK || status == VGK_STOPPED || status == VGK_STALE);
        free(got);
        free(scores);
        free(query);
        free(allowed);
        free(list);
    }
    vgk_scratch_free(scratch);
    free(placed);
    free_index(&index);
    return 0;
}
