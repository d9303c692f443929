/* Scans: of the codes of many rows, or of their original vectors. */
#include "internal.h"

#define AHEAD 8             /* vectors fetched before they are compared */
#define BLOCKS_PER_CHECK 16 /* about 50 microseconds of codes of 256 bytes, 2 milliseconds of the longest */

/* Rows to be scanned, in ascending order: of a list, or all from `next` on. Those that may not be found are skipped. */
typedef struct {
    const vgk_index *index;
    const vgk_query *rules;
    int64_t next;
    int64_t end;
} row_source;

static row_source source_from(const vgk_index *index, const vgk_query *rules, int64_t first) {
    int64_t end = rules->rows < index->capacity ? rules->rows : index->capacity;
    if (rules->allowed && rules->allowed_rows < end) end = rules->allowed_rows;
    return (row_source){index, rules, first, rules->list ? rules->list_count : end};
}

/* Fill a block; returns how many rows there are, 0 at the end. `looked` bounds the rows that are passed over. */
static int64_t fill(row_source *source, int32_t rows[BLOCK], int64_t looked) {
    const vgk_query *rules = source->rules;
    int64_t count = 0, stop = source->end - source->next > looked ? source->next + looked : source->end;
    while (count < BLOCK && source->next < stop) {
        int64_t row = source->next++;
        if (rules->list) {
            row = rules->list[row];
        } else if (rules->allowed && (row & 63) == 0 && rules->allowed[row >> 6] == 0) {
            source->next = row + 64 < source->end ? row + 64 : source->end;
            continue;
        }
        if (!may_be_found(source->index, rules, row)) continue;
        rows[count++] = (int32_t)row;
    }
    return count;
}

/* Compare codes from row `first` on, or those of the list; the best are offered to `found`. */
int vgk_scan(const vgk_index *index, const vgk_query *rules, const prepared *query, int64_t first, stop_rule stop,
             best_rows *found, vgk_answer *answer) {
    row_source source = source_from(index, rules, first);
    bool in_a_row = !rules->list && !rules->allowed; /* then the processor fetches by itself */
    for (int64_t blocks = 1; source.next < source.end; blocks++) {
        int32_t rows[BLOCK];
        float scores[BLOCK];
        int64_t count = fill(&source, rows, 64 * BLOCK);
        if (blocks % BLOCKS_PER_CHECK == 0 && must_stop(&stop)) return VGK_STOPPED;
        for (int64_t j = 0; j < count && !in_a_row; j++) prefetch_bytes(record_of(index, rows[j]), index->stride);
        vgk_score_rows(index, query, rows, count, scores);
        answer->compared += count;
        for (int64_t j = 0; j < count; j++) {
            if (found->count < found->room || scores[j] <= found->items[0].score) vgk_offer(found, scores[j], rows[j]);
        }
    }
    return VGK_OK;
}

/* Compare the original vectors of all rows that may be found, or of those of the list. */
int vgk_scan_exactly(const vgk_index *index, const vgk_query *rules, stop_rule stop, best_rows *final,
                     vgk_answer *answer) {
    row_source source = source_from(index, rules, 0);
    exact_query query = vgk_exact_query(index, rules->vector);
    int64_t bytes = index->dimension * (int64_t)sizeof(float);
    while (source.next < source.end) {
        int32_t rows[BLOCK];
        int64_t count = fill(&source, rows, 64 * BLOCK);
        if (must_stop(&stop)) return VGK_STOPPED;
        for (int64_t j = 0; j < count; j++) {
            if (j + AHEAD < count) prefetch_bytes(index->vectors + rows[j + AHEAD] * (int64_t)index->dimension, bytes);
            vgk_offer(final, vgk_exact_score(index, &query, rows[j]), rows[j]);
        }
        answer->compared += count;
        answer->accepted += count;
        answer->refined += count;
    }
    return VGK_OK;
}
