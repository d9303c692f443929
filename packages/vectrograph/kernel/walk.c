/* Walks along the links: down the upper levels to one row, then with a beam on a level. */
#include "internal.h"

#define EXPANDED 2         /* nodes whose neighbours are fetched together, so that their cache misses overlap */
#define STEPS_PER_CHECK 64 /* about 100 microseconds between two looks at the stop rule */
#define MAX_DESCENT 4096   /* steps on an upper level. A graph needs tens; mapped arrays that change may never end */

/* The list of a row on a level, NULL when the arrays say there is none. */
vgk_row *vgk_links_of(const vgk_index *index, int64_t row, int level) {
    if (level == 0) return index->links + row * VGK_LINKS;
    int64_t at = index->upper_at[row];
    if (at < 0 || level > vgk_levels(row) || at + level > index->upper_capacity) return NULL;
    return index->upper + (at + level - 1) * VGK_UPPER_LINKS;
}

/* Where walks begin; `row` is VGK_NONE when nothing is linked, or what is there cannot be. */
place vgk_entry_place(const vgk_index *index) {
    int64_t entry = vgk_entry(index);
    int64_t row = entry & INT32_MAX, level = entry >> 32;
    if (entry < 0 || row >= index->capacity || level > vgk_levels(row)) return (place){VGK_NONE, 0, INFINITY};
    return (place){row, (int)level, INFINITY};
}

/* Copy the neighbours of a row that were not met, mark them as met and fetch their codes; returns the new count. */
static int64_t collect(walk *walk, int64_t row, int level, int32_t *out, int64_t count) {
    const vgk_index *index = walk->index;
    vgk_row *list = vgk_links_of(index, row, level);
    if (!list) return count;
    uint64_t *visited = walk->scratch->visited;
    int64_t begin = count;
    for (int j = 0; j < links_on(level); j++) {
        int32_t next = atomic_load_explicit(list + j, memory_order_acquire);
        if ((uint32_t)next >= (uint64_t)index->capacity) {
            if (next == VGK_NONE) break;
            continue;
        }
        uint64_t word = visited[next >> 6], bit = UINT64_C(1) << (next & 63);
        visited[next >> 6] = word | bit;
        out[count] = next;
        count += !(word & bit); /* no branch: whether a neighbour is new cannot be predicted */
    }
    vgk_scratch *scratch = walk->scratch;
    for (int64_t j = begin; j < count; j++) {
        if (scratch->seen_count < scratch->seen_room) scratch->seen[scratch->seen_count] = out[j];
        scratch->seen_count++;
        prefetch_bytes(record_of(index, out[j]), index->stride);
    }
    return count;
}

static void mark(walk *walk, int64_t row) {
    vgk_scratch *scratch = walk->scratch;
    scratch->visited[row >> 6] |= UINT64_C(1) << (row & 63);
    if (scratch->seen_count < scratch->seen_room) scratch->seen[scratch->seen_count] = (int32_t)row;
    scratch->seen_count++;
}

static void forget_visited(walk *walk) {
    vgk_scratch *scratch = walk->scratch;
    if (scratch->seen_count > scratch->seen_room) {
        memset(scratch->visited, 0, (size_t)(walk->index->capacity / 64 + 1) * 8);
    } else {
        for (int64_t j = 0; j < scratch->seen_count; j++) scratch->visited[scratch->seen[j] >> 6] = 0;
    }
    scratch->seen_count = 0;
}

/* Offer a node when it, or a row with the same code, may be an answer. */
static void consider(walk *walk, candidate node) {
    const vgk_index *index = walk->index;
    int64_t head = pool_row(node);
    for (int64_t row = head; row != VGK_NONE; row = next_same(index, head, row, &walk->stale)) {
        if (row < walk->linked && may_be_found(index, walk->rules, row)) {
            walk->accepted++;
            vgk_offer(walk->found, node.score, (int32_t)head);
            return;
        }
    }
}

/* Step from neighbour to nearer neighbour on each level above the wanted one. */
int vgk_descend(walk *walk, place *at, int level) {
    const vgk_index *index = walk->index;
    int32_t row = (int32_t)at->row;
    vgk_score_rows(index, walk->query, &row, 1, &at->score);
    walk->compared++;
    for (; at->level > level; at->level--) {
        bool nearer = true;
        for (int steps = 0; nearer && steps < MAX_DESCENT; steps++) {
            if (steps % STEPS_PER_CHECK == STEPS_PER_CHECK - 1 && must_stop(&walk->stop)) return VGK_STOPPED;
            vgk_row *list = vgk_links_of(index, at->row, at->level);
            int32_t rows[VGK_UPPER_LINKS];
            float scores[VGK_UPPER_LINKS];
            int count = 0;
            for (int j = 0; list && j < VGK_UPPER_LINKS; j++) {
                int32_t next = atomic_load_explicit(list + j, memory_order_acquire);
                if (next == VGK_NONE) break;
                if ((uint32_t)next >= (uint64_t)index->capacity) continue;
                prefetch_bytes(record_of(index, next), index->stride);
                rows[count++] = next;
            }
            vgk_score_rows(index, walk->query, rows, count, scores);
            walk->compared += count;
            nearer = false;
            for (int j = 0; j < count; j++) {
                if (!(scores[j] < at->score)) continue;
                at->score = scores[j];
                at->row = rows[j];
                nearer = true;
            }
        }
    }
    return VGK_OK;
}

/* Put a candidate into the sorted pool; returns its place, -1 when it is too far. */
static int64_t insert(candidate *pool, int64_t count, int64_t room, candidate new) {
    if (count == room ? !(new.score < pool[count - 1].score) : !(new.score <= INFINITY)) return -1;
    const candidate *low = pool;
    for (int64_t length = count; length > 1;) {
        int64_t half = length >> 1;
        low += low[half - 1].score < new.score ? half : 0;
        length -= half;
    }
    int64_t at = low - pool;
    if (count && low->score < new.score) at++;
    int64_t last = count < room ? count : room - 1;
    memmove(pool + at + 1, pool + at, (size_t)(last - at) * sizeof(candidate));
    pool[at] = new;
    return at;
}

/* Fill the pool with the nearest nodes that a walk meets; returns how many, -1 when it was stopped.
 *
 * `itself` is a row that is to be left out, VGK_NONE for none. */
int64_t vgk_beam(walk *walk, place from, int64_t beam, int level, int64_t itself) {
    const vgk_index *index = walk->index;
    candidate *pool = walk->scratch->pool;
    const uint32_t expanded = UINT32_C(1) << 31;
    int64_t count = 0, at = 0, list_bytes = links_on(level) * (int64_t)sizeof(vgk_row);
    if (itself != VGK_NONE) mark(walk, itself);
    if (from.row != itself) {
        mark(walk, from.row);
        pool[count++] = (candidate){from.score, (int32_t)from.row};
        if (walk->found) consider(walk, pool[0]);
    }
    for (int64_t steps = 1; at < count; steps++) {
        if (steps % STEPS_PER_CHECK == 0 && must_stop(&walk->stop)) {
            count = -1;
            break;
        }
        int64_t nodes[EXPANDED];
        int chosen = 0;
        for (int64_t look = at; look < count && chosen < EXPANDED; look++) {
            if ((uint32_t)pool[look].row & expanded) {
                if (chosen == 0) at = look + 1;
                continue;
            }
            nodes[chosen++] = pool[look].row;
            pool[look].row = (int32_t)((uint32_t)pool[look].row | expanded);
        }
        int32_t rows[EXPANDED * VGK_LINKS];
        float scores[EXPANDED * VGK_LINKS];
        int64_t fresh = 0;
        for (int t = 0; t < chosen; t++) fresh = collect(walk, nodes[t], level, rows, fresh);
        vgk_score_rows(index, walk->query, rows, fresh, scores);
        walk->compared += fresh;
        int64_t lowest = count + 1;
        for (int64_t j = 0; j < fresh; j++) {
            candidate new = {scores[j], rows[j]};
            if (walk->found) consider(walk, new);
            int64_t position = insert(pool, count, beam, new);
            if (position < 0) continue;
            if (count < beam) count++;
            if (position < lowest) lowest = position;
            /* It is likely to be expanded soon. */
            vgk_row *list = position <= at + EXPANDED ? vgk_links_of(index, new.row, level) : NULL;
            if (list) prefetch_bytes(list, list_bytes);
        }
        if (lowest < at) at = lowest;
    }
    forget_visited(walk);
    return count;
}
