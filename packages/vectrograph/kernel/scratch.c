/* Memory of one search or linker at a time. It grows to what is asked of it and is kept for the next. */
#include <stdlib.h>

#include "internal.h"

vgk_scratch *vgk_scratch_new(void) {
    return calloc(1, sizeof(vgk_scratch));
}

void vgk_scratch_free(vgk_scratch *scratch) {
    if (!scratch) return;
    free(scratch->visited);
    free(scratch->seen);
    free(scratch->pool);
    free(scratch->levels);
    free(scratch->found_items);
    free(scratch->final_items);
    free(scratch->vectors_memory);
    free(scratch);
}

int64_t vgk_scratch_bytes(const vgk_scratch *scratch) {
    return (int64_t)sizeof *scratch + scratch->bytes;
}

/* Make an array long enough, by half as much again; what is in it is lost. */
static bool fit(vgk_scratch *scratch, void **array, int64_t *room, int64_t wanted, int64_t size) {
    if (wanted <= *room) return true;
    int64_t larger = wanted + *room / 2;
    void *memory = calloc((size_t)larger, (size_t)size);
    if (!memory) return false;
    free(*array);
    scratch->bytes += (larger - *room) * size;
    *array = memory;
    *room = larger;
    return true;
}

static bool fit_vectors(vgk_scratch *scratch, int64_t padded) {
    if (padded <= scratch->padded) return true;
    /* Three prepared vectors of bytes, words and floats, and one of floats to work in; each begins at 64 bytes. */
    int64_t whole = (padded + 63) / 64 * 64, each = whole * 7, total = 3 * each + 4 * whole + 64;
    uint8_t *memory = calloc(1, (size_t)total);
    if (!memory) return false;
    free(scratch->vectors_memory);
    scratch->bytes += total - (scratch->padded ? ((scratch->padded + 63) / 64 * 64) * 25 + 64 : 0);
    scratch->vectors_memory = memory;
    uint8_t *at = memory + (64 - (uintptr_t)memory % 64) % 64;
    prepared *all[3] = {&scratch->query, &scratch->other, &scratch->third};
    for (int j = 0; j < 3; j++, at += each) {
        all[j]->floats = (float *)(void *)at;
        all[j]->words = (int16_t *)(void *)(at + 4 * whole);
        all[j]->bytes = (int8_t *)(at + 6 * whole);
    }
    scratch->work = (float *)(void *)at;
    scratch->padded = padded;
    return true;
}

/* Prepare for an index, a beam, and so many candidates to refine and rows to return. */
int vgk_scratch_fit(vgk_scratch *scratch, const vgk_index *index, int64_t beam, int64_t found, int64_t final) {
    int64_t words = scratch->visited_rows / 64;
    bool fits = fit_vectors(scratch, vgk_padded(index->kind, index->dimension)) &&
                fit(scratch, (void **)&scratch->visited, &words, index->capacity / 64 + 1, 8) &&
                fit(scratch, (void **)&scratch->seen, &scratch->seen_room, index->capacity / 32 + 4096, 4) &&
                fit(scratch, (void **)&scratch->pool, &scratch->pool_room, beam, sizeof(candidate)) &&
                fit(scratch, (void **)&scratch->found_items, &scratch->found_room, found, sizeof(candidate)) &&
                fit(scratch, (void **)&scratch->final_items, &scratch->final_room, final, sizeof(candidate));
    scratch->visited_rows = words * 64;
    return fits ? VGK_OK : VGK_NO_MEMORY;
}

/* Prepare for linking: a beam for each level. */
int vgk_scratch_fit_levels(vgk_scratch *scratch, int64_t breadth) {
    int64_t wanted = (VGK_MAX_LEVEL + 1) * breadth;
    bool fits = fit(scratch, (void **)&scratch->levels, &scratch->levels_room, wanted, sizeof(candidate));
    return fits ? VGK_OK : VGK_NO_MEMORY;
}
