/* Linking: find the neighbours of a row, choose among them, and link both ways. */
#include "internal.h"

#define SAME_TRIED 8       /* nearest nodes whose codes are compared with that of a new row */
#define SAME_FACTOR 1e-5f  /* relative difference of scale and bias between codes that count as equal: rounding */
#define CHOSEN_AT_ONCE 4   /* neighbours compared with a candidate before looking whether one shadows it */
#define SPINS 1024         /* looks at a lock before a thread yields; it is held for some ten microseconds */

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static void yield_processor(void) {
    SwitchToThread();
}
#else
#include <sched.h>

static void yield_processor(void) {
    sched_yield();
}
#endif

static void lock_row(const vgk_index *index, int64_t row) {
    for (int spins = 1;; spins++) {
        unsigned char open = 0;
        if (atomic_compare_exchange_weak_explicit(&index->locks[row % VGK_LOCKS], &open, 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return;
        }
        if (spins % SPINS == 0) yield_processor();
    }
}

static void unlock_row(const vgk_index *index, int64_t row) {
    atomic_store_explicit(&index->locks[row % VGK_LOCKS], 0, memory_order_release);
}

static float bias_of(const vgk_index *index, int64_t row) {
    float factors[2];
    read_factors(record_of(index, row), code_bytes(index), factors);
    return factors[1];
}

static bool nearly_equal(float one, float other) {
    return fabsf(one - other) <= SAME_FACTOR * fabsf(one);
}

static bool same_code(const vgk_index *index, int64_t one, int64_t other) {
    int64_t size = code_bytes(index);
    const uint8_t *first = record_of(index, one), *second = record_of(index, other);
    float mine[2], others[2];
    read_factors(first, size, mine);
    read_factors(second, size, others);
    return !memcmp(first, second, (size_t)size) && nearly_equal(mine[0], others[0]) && nearly_equal(mine[1], others[1]);
}

/* Put a row behind a node with the same code, in descending order. */
static int chain(const vgk_index *index, int64_t head, int64_t row) {
    bool stale = false;
    lock_row(index, head);
    int64_t before = head, next = next_same(index, head, head, &stale);
    while (next > row) {
        before = next;
        next = next_same(index, head, before, &stale);
    }
    if (next != row && !stale) {
        atomic_store_explicit(&index->same[row], (int32_t)next, memory_order_release);
        atomic_store_explicit(&index->same[before], (int32_t)row, memory_order_release);
    }
    unlock_row(index, head);
    return stale ? VGK_STALE : VGK_OK;
}

/* Choose neighbours among candidates, which are sorted by their distance from a row. One that is nearer to a chosen one
 * than to the row is left out: it can be reached through that. Equal ones count as nearer, so that of many equal
 * vectors one is chosen. */
static int choose(walk *walk, const candidate *from, int64_t count, int room, float alpha, candidate *chosen) {
    const vgk_index *index = walk->index;
    prepared *query = &walk->scratch->third;
    int kept = 0;
    for (int64_t j = 0; j < count && kept < room; j++) {
        int64_t row = pool_row(from[j]);
        float own = bias_of(index, row);
        bool shadowed = false;
        if (kept) vgk_prepare_record(index, row, query);
        for (int t = 0; t < kept && !shadowed; t += CHOSEN_AT_ONCE) {
            int32_t rows[CHOSEN_AT_ONCE];
            float scores[CHOSEN_AT_ONCE];
            int some = kept - t < CHOSEN_AT_ONCE ? kept - t : CHOSEN_AT_ONCE;
            for (int i = 0; i < some; i++) rows[i] = chosen[t + i].row;
            vgk_score_rows(index, query, rows, some, scores);
            for (int i = 0; i < some; i++) shadowed |= alpha * (scores[i] + own) <= from[j].score;
        }
        if (!shadowed) chosen[kept++] = (candidate){from[j].score, (int32_t)row};
    }
    return kept;
}

static void store_list(vgk_row *list, const candidate *chosen, int count, int room) {
    for (int t = 0; t < count; t++) atomic_store_explicit(list + t, chosen[t].row, memory_order_release);
    if (count < room) atomic_store_explicit(list + count, VGK_NONE, memory_order_release);
}

/* Add a row to the list of another, choosing anew when that is full. */
static void link_back(walk *walk, int64_t to, candidate new, int level, float alpha) {
    const vgk_index *index = walk->index;
    vgk_row *list = vgk_links_of(index, to, level);
    int room = links_on(level), count = 0;
    int32_t rows[VGK_LINKS];
    if (!list) return;
    lock_row(index, to);
    for (int j = 0; j < room; j++) {
        int32_t next = atomic_load_explicit(list + j, memory_order_relaxed);
        if (next == VGK_NONE) break;
        /* Linked before a crash, or the list holds a row that was written since this thread mapped the arrays. */
        if (next == new.row || (uint32_t)next >= (uint64_t)index->capacity) {
            unlock_row(index, to);
            return;
        }
        rows[count++] = next;
        prefetch_bytes(record_of(index, next), index->stride);
    }
    if (count < room) {
        if (count + 1 < room) atomic_store_explicit(list + count + 1, VGK_NONE, memory_order_relaxed);
        atomic_store_explicit(list + count, new.row, memory_order_release);
        unlock_row(index, to);
        return;
    }
    prepared *query = &walk->scratch->other;
    float scores[VGK_LINKS], own = bias_of(index, to);
    candidate sorted[VGK_LINKS + 1], chosen[VGK_LINKS];
    vgk_prepare_record(index, to, query);
    vgk_score_rows(index, query, rows, count, scores);
    int held = 0;
    for (int j = 0; j <= count; j++) {
        candidate one = j < count ? (candidate){scores[j] + own, rows[j]} : new;
        int at = held++;
        for (; at > 0 && sorted[at - 1].score > one.score; at--) sorted[at] = sorted[at - 1];
        sorted[at] = one;
    }
    int kept = choose(walk, sorted, held, room, alpha, chosen);
    store_list(list, chosen, kept, room);
    unlock_row(index, to);
}

static void link_level(walk *walk, int64_t row, candidate *nearest, int64_t count, int level, float alpha) {
    const vgk_index *index = walk->index;
    int room = links_on(level);
    vgk_row *list = vgk_links_of(index, row, level);
    candidate chosen[VGK_LINKS];
    float own = bias_of(index, row);
    if (!list) return;
    for (int64_t j = 0; j < count; j++) nearest[j].score += own;
    int kept = choose(walk, nearest, count, room, alpha, chosen);
    lock_row(index, row);
    store_list(list, chosen, kept, room);
    unlock_row(index, row);
    for (int t = 0; t < kept; t++) {
        link_back(walk, chosen[t].row, (candidate){chosen[t].score, (int32_t)row}, level, alpha);
    }
}

/* Begin walks at this row if it is on a higher level than the one where they begin. */
static void raise_entry(const vgk_index *index, int64_t row, int64_t level) {
    int64_t entry = vgk_entry(index), mine = level << 32 | row;
    while (entry < 0 || level > entry >> 32) {
        if (atomic_compare_exchange_weak_explicit(&index->header->entry, &entry, mine, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            return;
        }
    }
}

static int link_row(walk *walk, const vgk_link_options *options, int64_t row) {
    const vgk_index *index = walk->index;
    int level = (int)vgk_levels(row);
    place at = vgk_entry_place(index);
    if (at.row == VGK_NONE || at.row == row) {
        raise_entry(index, row, level);
        /* Another row may have come first; then this one is linked like any other. */
        at = vgk_entry_place(index);
        if (at.row == VGK_NONE || at.row == row) return VGK_OK;
    }
    int top = at.level < level ? at.level : level;
    vgk_prepare_record(index, row, &walk->scratch->query);
    if (vgk_descend(walk, &at, top) != VGK_OK) return VGK_STOPPED;
    int64_t counts[VGK_MAX_LEVEL + 1];
    candidate *nearest = walk->scratch->levels;
    for (int on = top; on >= 0; on--) {
        counts[on] = vgk_beam(walk, at, options->breadth, on, row);
        if (counts[on] < 0) return VGK_STOPPED;
        memcpy(nearest + (int64_t)on * options->breadth, walk->scratch->pool, (size_t)counts[on] * sizeof(candidate));
        if (counts[on]) at = (place){pool_row(nearest[(int64_t)on * options->breadth]), on, 0};
        if (counts[on]) at.score = nearest[(int64_t)on * options->breadth].score;
    }
    for (int64_t j = 0; j < counts[0] && j < SAME_TRIED; j++) {
        int64_t other = pool_row(nearest[j]);
        if (other < row && same_code(index, other, row)) {
            return chain(index, other, row);
        }
    }
    /* From the bottom up: a row that can be reached on an upper level must lead on from there. */
    for (int on = 0; on <= top; on++) {
        link_level(walk, row, nearest + (int64_t)on * options->breadth, counts[on], on, options->alpha);
    }
    raise_entry(index, row, level);
    return VGK_OK;
}

int vgk_link(const vgk_index *index, vgk_scratch *scratch, const vgk_link_options *options, int64_t first, int64_t end,
             int64_t *done) {
    *done = 0;
    if (!index->locks || options->breadth < 1 || first < 0 || end > index->capacity) return VGK_BAD_ARGUMENT;
    int status = vgk_scratch_fit(scratch, index, options->breadth, 1, 1);
    if (status == VGK_OK) status = vgk_scratch_fit_levels(scratch, options->breadth);
    if (status != VGK_OK) return status;
    walk walk = {.index = index, .scratch = scratch, .query = &scratch->query};
    walk.stop = vgk_stop_rule(options->stop, options->budget);
    int64_t state[3];
    vgk_state(index, state);
    for (int64_t row = first; row < end; row++) {
        if (must_stop(&walk.stop)) return VGK_STOPPED;
        bool dead = atomic_load_explicit(&index->died[row], memory_order_relaxed) <= state[0];
        float bias = bias_of(index, row);
        if (!dead && bias == bias) status = link_row(&walk, options, row);
        if (status != VGK_OK) return status;
        ++*done;
    }
    return VGK_OK;
}
