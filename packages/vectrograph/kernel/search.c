/* One search: prepare the query, walk or scan, put the best candidates into their exact order. */
#include "internal.h"

#define MAX_K (1 << 24)         /* more rows than anyone reads; keeps sizes of memory far from overflow */
#define REFINED_PER_CHECK 64    /* vectors read between two looks at the stop rule */
#define REFINE_AHEAD 8          /* vectors fetched before they are compared */

/* Compare the original vector of a candidate, and of all rows with the same code, with the query. */
static int refine_one(const vgk_index *index, const vgk_query *rules, const exact_query *query, int64_t head,
                      int64_t linked, stop_rule stop, best_rows *final, vgk_answer *answer) {
    int64_t bytes = index->dimension * (int64_t)sizeof(float), before = VGK_NONE;
    float score = 0;
    bool stale = false;
    for (int64_t row = head; row != VGK_NONE; row = head < linked ? next_same(index, head, row, &stale) : VGK_NONE) {
        if (row != head && row >= linked) continue; /* it was scanned */
        if (!may_be_found(index, rules, row)) continue;
        const float *vectors = index->vectors;
        bool equal = before != VGK_NONE &&
                     !memcmp(vectors + row * index->dimension, vectors + before * index->dimension, (size_t)bytes);
        if (!equal) score = vgk_exact_score(index, query, row);
        vgk_offer(final, score, (int32_t)row);
        before = row;
        if (++answer->refined % REFINED_PER_CHECK == 0 && must_stop(&stop)) return VGK_STOPPED;
    }
    return stale ? VGK_STALE : VGK_OK;
}

static int refine(const vgk_index *index, const vgk_query *rules, best_rows *found, int64_t linked, stop_rule stop,
                  best_rows *final, vgk_answer *answer) {
    exact_query query = vgk_exact_query(index, rules->vector);
    int64_t bytes = index->dimension * (int64_t)sizeof(float);
    for (int64_t j = 0; j < found->count; j++) {
        if (j + REFINE_AHEAD < found->count) {
            const float *ahead = index->vectors + found->items[j + REFINE_AHEAD].row * (int64_t)index->dimension;
            prefetch_bytes(ahead, bytes);
        }
        int status = refine_one(index, rules, &query, found->items[j].row, linked, stop, final, answer);
        if (status != VGK_OK) return status;
    }
    for (int64_t j = 0; j < rules->also_count; j++) {
        int64_t row = rules->also[j];
        if (!may_be_found(index, rules, row)) continue;
        vgk_offer(final, vgk_exact_score(index, &query, row), (int32_t)row);
        if (++answer->refined % REFINED_PER_CHECK == 0 && must_stop(&stop)) return VGK_STOPPED;
    }
    return VGK_OK;
}

/* Walk through the rows that are linked. */
static int walk_linked(const vgk_index *index, vgk_scratch *scratch, const vgk_query *rules, place from, int64_t linked,
                       stop_rule stop, best_rows *found, vgk_answer *answer) {
    /* Without a filter the pool holds answers only, but for a few rows that are too new. Otherwise answers are kept
     * beside the pool, which goes on leading through rows that are none. */
    bool filtered = rules->allowed || rules->any_dead;
    walk walk = {.index = index, .scratch = scratch, .query = &scratch->query, .stop = stop, .rules = rules,
                 .found = filtered ? found : NULL, .linked = linked};
    int status = vgk_descend(&walk, &from, 0);
    int64_t count = status == VGK_OK ? vgk_beam(&walk, from, rules->beam, 0, VGK_NONE) : -1;
    answer->compared += walk.compared;
    answer->accepted += filtered ? walk.accepted : count;
    if (count < 0) return VGK_STOPPED;
    if (walk.stale) return VGK_STALE;
    for (int64_t j = 0; !filtered && j < count && found->count < found->room; j++) {
        int64_t row = pool_row(scratch->pool[j]);
        if (row < linked && row < rules->rows) vgk_offer(found, scratch->pool[j].score, (int32_t)row);
    }
    return VGK_OK;
}

static int find_candidates(const vgk_index *index, vgk_scratch *scratch, const vgk_query *rules, stop_rule stop,
                           best_rows *found, int64_t *linked, vgk_answer *answer) {
    place from = {VGK_NONE, 0, INFINITY};
    if (answer->way == VGK_WALK) from = vgk_entry_place(index);
    if (from.row == VGK_NONE) {
        *linked = 0;
        int64_t before = answer->compared;
        int status = vgk_scan(index, rules, &scratch->query, 0, stop, found, answer);
        answer->accepted += answer->compared - before;
        return status;
    }
    int status = walk_linked(index, scratch, rules, from, *linked, stop, found, answer);
    return status == VGK_OK ? vgk_scan(index, rules, &scratch->query, *linked, stop, found, answer) : status;
}

int vgk_search(const vgk_index *index, vgk_scratch *scratch, const vgk_query *rules, vgk_answer *answer) {
    answer->count = answer->compared = answer->refined = answer->accepted = 0;
    if (rules->k < 1 || rules->k > MAX_K || rules->beam < 1 || rules->refine < 1 || rules->refine > MAX_K ||
        rules->rows < 0 || rules->list_count < 0 || rules->also_count < 0 || rules->linked < 0) {
        return VGK_BAD_ARGUMENT;
    }
    if (rules->rows > index->capacity || rules->rows > index->vector_rows) return VGK_NO_ROOM;
    vgk_query own = *rules;
    if (own.rows < own.k) own.k = own.rows ? (int32_t)own.rows : 1;
    if (own.refine < own.k) own.refine = own.k;
    if (own.beam > index->capacity) own.beam = (int32_t)index->capacity;
    int status = vgk_scratch_fit(scratch, index, own.beam, own.refine, own.k);
    if (status != VGK_OK) return status;
    stop_rule stop = vgk_stop_rule(own.stop, own.budget);
    best_rows found = {scratch->found_items, 0, own.refine, index->created};
    best_rows final = {scratch->final_items, 0, own.k, index->created};
    answer->way = own.list && own.way == VGK_WALK ? VGK_SCAN : own.way;
    bool coded = answer->way != VGK_EXACT && vgk_prepare_vector(index, own.vector, scratch->work, &scratch->query);
    /* Every inner product with nothing is the same, so the newest rows are the nearest. */
    bool nothing = coded && index->metric == VGK_DOT && scratch->query.scale == 0;
    if (!coded || nothing) answer->way = VGK_EXACT;
    if (must_stop(&stop)) return VGK_STOPPED;
    if (answer->way == VGK_EXACT) {
        status = vgk_scan_exactly(index, &own, stop, &final, answer);
    } else {
        int64_t published = vgk_linked(index), linked = own.linked < published ? own.linked : published;
        if (linked < 0) linked = 0; /* the header may hold anything */
        status = find_candidates(index, scratch, &own, stop, &found, &linked, answer);
        if (status == VGK_OK) {
            vgk_sort_best(&found);
            status = refine(index, &own, &found, linked, stop, &final, answer);
        }
    }
    if (status != VGK_OK) return status;
    vgk_sort_best(&final);
    for (int64_t j = 0; j < final.count; j++) {
        answer->rows[j] = final.items[j].row;
        answer->scores[j] = final.items[j].score;
    }
    answer->count = final.count;
    return VGK_OK;
}
