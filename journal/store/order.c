/* The order in which a batch is written: table by table, by key, equal keys as they came. A tree written in key order
 * touches each page once. */
#include <endian.h>

#include "journal/store/inside.h"

typedef hf_change_item item;

static bool is_sorted(const item *run, size_t count) {
    for (size_t i = 1; i < count; i++)
        if (run[i - 1].prefix > run[i].prefix)
            return false;
    return true;
}

/* By prefix, a byte at a time from the last: stable, and bytes that are all the same cost nothing but the count. */
static void sort_by_prefix(item *run, size_t count, item *spare) {
    if (count < 2 || is_sorted(run, count))
        return;
    item *from = run, *to = spare;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        size_t starts[257] = {0};
        for (size_t i = 0; i < count; i++)
            starts[(from[i].prefix >> shift & 0xff) + 1]++;
        if (starts[(from[0].prefix >> shift & 0xff) + 1] == count)
            continue;
        for (size_t b = 1; b < 257; b++)
            starts[b] += starts[b - 1];
        for (size_t i = 0; i < count; i++)
            to[starts[from[i].prefix >> shift & 0xff]++] = from[i];
        item *other = from;
        from = to;
        to = other;
    }
    if (from != run)
        memcpy(run, from, count * sizeof *run);
}

static int compare_keys(const hf_changes *c, const item *a, const item *b) {
    if (a->more != b->more)
        return a->more < b->more ? -1 : 1;
    const hf_change_entry *x = hf_item_entry(c, a), *y = hf_item_entry(c, b);
    return hf_str_cmp((hf_str){hf_entry_key(x), x->key_len}, (hf_str){hf_entry_key(y), y->key_len});
}

/* Of the same prefix, by the rest of the key: a stable merge. */
static void merge_sort(const hf_changes *c, item *run, size_t count, item *spare) {
    if (count < 2)
        return;
    size_t half = count / 2, i = 0, j = half, n = 0;
    merge_sort(c, run, half, spare);
    merge_sort(c, run + half, count - half, spare);
    if (compare_keys(c, &run[half - 1], &run[half]) <= 0)
        return;
    while (i < half && j < count)
        spare[n++] = compare_keys(c, &run[i], &run[j]) <= 0 ? run[i++] : run[j++];
    memcpy(spare + n, run + i, (half - i) * sizeof *run);
    n += half - i;
    memcpy(run, spare, n * sizeof *run);
}

static void sort_ties(const hf_changes *c, item *run, size_t count, item *spare) {
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && run[to].prefix == run[from].prefix;)
            to++;
        merge_sort(c, run + from, to - from, spare);
    }
}

static void group(const hf_changes *c, uint32_t table_count, item *order, size_t *ends) {
    for (uint32_t t = 0; t < table_count; t++)
        ends[t] = 0;
    for (size_t i = 0; i < c->count; i++)
        ends[c->items[i].table]++;
    for (size_t t = 0, sum = 0; t < table_count; t++) {
        size_t n = ends[t];
        ends[t] = sum;
        sum += n;
    }
    for (size_t i = 0; i < c->count; i++)
        order[ends[c->items[i].table]++] = c->items[i];
}

void hf_changes_order(const hf_changes *c, const hf_table_row *tables, uint32_t table_count, item *order, item *spare,
                      size_t *ends) {
    group(c, table_count, order, ends);
    for (uint32_t t = 0; t < table_count; t++) {
        size_t from = t ? ends[t - 1] : 0, count = ends[t] - from;
        bool integers = tables[t].flags & HF_TABLE_INTEGER_KEY;
        for (size_t i = from; !integers && i < ends[t]; i++)
            order[i].prefix = be64toh(order[i].prefix), order[i].more = be64toh(order[i].more);
        sort_by_prefix(order + from, count, spare);
        if (!integers)
            sort_ties(c, order + from, count, spare);
    }
}
