#include "consumer/notify/outbox.h"

#include <inttypes.h>

#include "schemas/base/mem.h"

typedef struct part {
    hf_outbox_entry *of;
    size_t count, room;
    size_t stored, put; /* entries before are in the store; in the batch that was closed last */
    hf_place end;       /* behind the last that ever was */
} part;

struct hf_outbox {
    part *parts;
    int32_t part_count;
    size_t count, max_entries, bytes, max_bytes;
    uint64_t given_up, added;
    uint64_t *gone; /* keys of rows to delete with the next batch */
    size_t gone_count, gone_room;
};

hf_outbox *hf_outbox_new(size_t max_entries, size_t max_bytes) {
    hf_outbox *o = hf_alloc(sizeof *o);
    if (o) {
        o->max_entries = max_entries;
        o->max_bytes = max_bytes;
    }
    return o;
}

void hf_outbox_free(hf_outbox *o) {
    for (int32_t p = 0; o && p < o->part_count; p++) {
        for (size_t i = 0; i < o->parts[p].count; i++)
            free(o->parts[p].of[i].row);
        free(o->parts[p].of);
    }
    if (o) {
        free(o->parts);
        free(o->gone);
    }
    free(o);
}

size_t hf_outbox_count(const hf_outbox *o) { return o->count; }
size_t hf_outbox_bytes(const hf_outbox *o) { return o->bytes; }
uint64_t hf_outbox_given_up(const hf_outbox *o) { return o->given_up; }
int32_t hf_outbox_partitions(const hf_outbox *o) { return o->part_count; }
uint64_t hf_outbox_added(const hf_outbox *o) { return o->added; }
hf_place hf_outbox_end(const hf_outbox *o, int32_t partition) {
    return partition >= 0 && partition < o->part_count ? o->parts[partition].end : 0;
}

/* ---- rows: version, nth, event, at, job, numbers, then texts with their lengths --------------------------------- */
enum { ROW_VERSION = 1, FILES_MAX = HF_MAX_ARTIFACTS };
typedef struct row_head {
    uint8_t version, nth, event, test;
    uint32_t file_count;
    int64_t at;
    uint64_t job;
    double duration_seconds;
} row_head;

static void put_text(hf_buf *out, hf_str text) {
    hf_buf_put(out, &text.len, sizeof text.len);
    hf_buf_put(out, text.p, text.len);
}

bool hf_facts_write(const hf_webhook_facts *f, uint8_t nth, uint64_t job, hf_buf *out) {
    row_head head;
    memset(&head, 0, sizeof head);
    head.version = ROW_VERSION;
    head.nth = nth;
    head.event = (uint8_t)f->event;
    head.file_count = f->exported_files.count < FILES_MAX ? f->exported_files.count : FILES_MAX;
    head.at = f->at;
    head.job = job;
    head.duration_seconds = f->duration_seconds;
    hf_buf_put(out, &head, sizeof head);
    const hf_str texts[] = {f->job_id,   f->job_name, f->vm_path,  f->output_path,
                            f->ovf_path, f->error,    f->provider, f->vms};
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++)
        put_text(out, texts[i]);
    for (uint32_t i = 0; i < head.file_count; i++)
        put_text(out, *HF_LIST_AT(f->exported_files, hf_str, i));
    return !out->failed;
}

static bool take_text(hf_str *row, hf_str *ret) {
    uint32_t len;
    if (row->len < sizeof len)
        return false;
    memcpy(&len, row->p, sizeof len);
    if (len > row->len - sizeof len)
        return false;
    *ret = (hf_str){row->p + sizeof len, len};
    *row = (hf_str){row->p + sizeof len + len, row->len - (uint32_t)sizeof len - len};
    return true;
}

static bool take_head(hf_str *row, row_head *ret) {
    if (row->len < sizeof *ret)
        return false;
    memcpy(ret, row->p, sizeof *ret);
    *row = (hf_str){row->p + sizeof *ret, row->len - (uint32_t)sizeof *ret};
    return ret->version == ROW_VERSION && ret->event < HF_WEBHOOK_EVENT_COUNT && ret->file_count <= FILES_MAX;
}

bool hf_facts_read(hf_str row, hf_arena *arena, hf_webhook_facts *ret) {
    row_head head;
    if (!take_head(&row, &head))
        return false;
    *ret = (hf_webhook_facts){
        .event = (hf_webhook_event)head.event, .at = head.at, .duration_seconds = head.duration_seconds};
    hf_str *texts[] = {&ret->job_id,   &ret->job_name, &ret->vm_path,  &ret->output_path,
                       &ret->ovf_path, &ret->error,    &ret->provider, &ret->vms};
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++)
        if (!take_text(&row, texts[i]))
            return false;
    hf_str *files = hf_arena_alloc(arena, (head.file_count + 1) * sizeof *files);
    if (!files)
        return false;
    for (uint32_t i = 0; i < head.file_count; i++)
        if (!take_text(&row, &files[i]))
            return false;
    ret->exported_files = (hf_list){files, head.file_count};
    return row.len == 0;
}

uint64_t hf_job_hash(hf_str id) { /* FNV-1a: it is stored, so it stays what it is */
    uint64_t h = 14695981039346656037u;
    for (uint32_t i = 0; i < id.len; i++)
        h = (h ^ (uint8_t)id.p[i]) * 1099511628211u;
    return h;
}

/* ---- entries ---------------------------------------------------------------------------------------------------- */
static part *part_of(hf_outbox *o, int32_t partition) {
    if (partition < 0 || partition >= HF_OUTBOX_PARTITIONS_MAX)
        return NULL;
    if (partition < o->part_count)
        return &o->parts[partition];
    part *parts = hf_realloc(o->parts, (size_t)(partition + 1) * sizeof *parts);
    if (!parts)
        return NULL;
    memset(parts + o->part_count, 0, (size_t)(partition + 1 - o->part_count) * sizeof *parts);
    o->parts = parts;
    o->part_count = partition + 1;
    return &parts[partition];
}

static bool note_gone(hf_outbox *o, uint64_t key) {
    if (o->gone_count == o->gone_room) {
        size_t room = o->gone_room ? o->gone_room * 2 : 1024;
        uint64_t *gone = hf_realloc(o->gone, room * sizeof *gone);
        if (!gone)
            return false;
        o->gone = gone;
        o->gone_room = room;
    }
    o->gone[o->gone_count++] = key;
    return true;
}

/* False: the row cannot be noted for deletion now; the entry stays. */
static bool drop(hf_outbox *o, int32_t partition, size_t index) {
    part *p = &o->parts[partition];
    hf_outbox_entry *e = &p->of[index];
    if (index < p->put && !note_gone(o, hf_outbox_key(partition, e->place)))
        return false;
    if (e->row)
        o->bytes -= e->len;
    free(e->row);
    e->row = NULL;
    o->count--;
    return true;
}

static void cut_front(part *p, size_t n) {
    memmove(p->of, p->of + n, (p->count - n) * sizeof *p->of);
    p->count -= n;
    p->stored -= p->stored < n ? p->stored : n;
    p->put -= p->put < n ? p->put : n;
}

/* The oldest of the fullest partition goes, some at a time, so that it does not move everything for each. */
static void give_up_some(hf_outbox *o) {
    int32_t fullest = 0;
    for (int32_t p = 1; p < o->part_count; p++)
        if (o->parts[p].count > o->parts[fullest].count)
            fullest = p;
    part *p = &o->parts[fullest];
    size_t want = p->count / 64 + 1, n = 0;
    while (n < want && n < p->count && drop(o, fullest, n))
        n++;
    cut_front(p, n);
    o->given_up += n;
}

static hf_outbox_entry *append(part *p, hf_place place, hf_str row, hf_err *reterr) {
    row_head head;
    hf_str rest = row;
    if (!take_head(&rest, &head) || hf_place_event(place) != (hf_webhook_event)head.event) {
        hf_fail(reterr, HF_E_STORE_DAMAGED, "a row of `outbox` is damaged; remove the hook's folder, it is made anew");
        return NULL;
    }
    if (p->count == p->room) {
        size_t room = p->room ? p->room * 2 : 64;
        hf_outbox_entry *of = hf_realloc(p->of, room * sizeof *of);
        if (!of) {
            hf_fail(reterr, HF_E_NO_MEMORY, "the outbox");
            return NULL;
        }
        p->of = of;
        p->room = room;
    }
    hf_outbox_entry *e = &p->of[p->count];
    *e = (hf_outbox_entry){.place = place, .at = head.at, .job = head.job, .len = row.len, .nth = head.nth};
    return e;
}

static void took(hf_outbox *o, part *p, const hf_outbox_entry *e) {
    p->end = e->place + 1;
    p->count++;
    o->count++;
    o->added++;
}

hf_code hf_outbox_add(hf_outbox *o, int32_t partition, hf_place place, int64_t now_ms, hf_str row, hf_err *reterr) {
    part *p = part_of(o, partition);
    if (!p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the outbox");
    if (place < p->end)
        return HF_OK;
    if (o->count >= o->max_entries)
        give_up_some(o);
    char *copy = hf_strndup(row.p, row.len);
    hf_outbox_entry *e = copy ? append(p, place, row, reterr) : NULL;
    if (!e) {
        free(copy);
        return copy ? (reterr ? reterr->code : HF_E_NO_MEMORY) : hf_fail(reterr, HF_E_NO_MEMORY, "the outbox");
    }
    e->row = copy;
    e->since_ms = now_ms;
    o->bytes += row.len;
    took(o, p, e);
    return HF_OK;
}

hf_code hf_outbox_load(hf_outbox *o, uint64_t key, hf_str row, hf_err *reterr) {
    int32_t partition = (int32_t)(key >> 52);
    part *p = part_of(o, partition);
    if (!p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the outbox");
    hf_err err = {0};
    hf_outbox_entry *e = append(p, (hf_place)(key & 0xfffffffffffff), row, &err);
    if (!e)
        return hf_fail(reterr, err.code, "%s", err.detail);
    took(o, p, e);
    p->stored = p->put = p->count;
    return HF_OK;
}

const hf_outbox_entry *hf_outbox_seek(const hf_outbox *o, int32_t partition, hf_place place) {
    if (partition < 0 || partition >= o->part_count)
        return NULL;
    const part *p = &o->parts[partition];
    size_t low = 0, high = p->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->of[middle].place < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->count ? &p->of[low] : NULL;
}

const hf_outbox_entry *hf_outbox_after(const hf_outbox *o, int32_t partition, const hf_outbox_entry *entry) {
    const part *p = &o->parts[partition];
    return entry + 1 < p->of + p->count ? entry + 1 : NULL;
}

void hf_outbox_trim(hf_outbox *o, int32_t partition, hf_place done, int64_t before_ms,
                    bool (*held)(void *ctx, int32_t partition, hf_place place), void *ctx) {
    if (partition < 0 || partition >= o->part_count)
        return;
    part *p = &o->parts[partition];
    size_t kept = 0, i = 0, stored = 0, put = 0;
    for (; i < p->count && p->of[i].place < done && p->of[i].since_ms < before_ms; i++) {
        if (!held(ctx, partition, p->of[i].place) && drop(o, partition, i))
            continue;
        stored += i < p->stored;
        put += i < p->put;
        p->of[kept++] = p->of[i];
    }
    if (kept == i)
        return;
    p->stored = stored + (p->stored > i ? p->stored - i : 0);
    p->put = put + (p->put > i ? p->put - i : 0);
    memmove(p->of + kept, p->of + i, (p->count - i) * sizeof *p->of);
    p->count -= i - kept;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */
static bool put_new(const hf_outbox *o, int32_t partition, hf_changes *changes, hf_table table) {
    const part *p = &o->parts[partition];
    for (size_t i = p->put; i < p->count; i++)
        if (!hf_changes_put_u64(changes, table, hf_outbox_key(partition, p->of[i].place),
                                (hf_str){p->of[i].row, p->of[i].len}, 0))
            return false;
    return true;
}

static void leave_memory(hf_outbox *o, part *p) {
    for (size_t i = 0; i < p->stored && o->bytes > o->max_bytes; i++) {
        if (!p->of[i].row)
            continue;
        o->bytes -= p->of[i].len;
        free(p->of[i].row);
        p->of[i].row = NULL;
    }
}

bool hf_outbox_seal(hf_outbox *o, hf_changes *changes, hf_table table) {
    for (int32_t p = 0; p < o->part_count; p++)
        if (!put_new(o, p, changes, table))
            return false;
    for (size_t i = 0; i < o->gone_count; i++)
        if (!hf_changes_delete_u64(changes, table, o->gone[i]))
            return false;
    o->gone_count = 0;
    for (int32_t p = 0; p < o->part_count; p++) {
        o->parts[p].stored = o->parts[p].put;
        o->parts[p].put = o->parts[p].count;
        leave_memory(o, &o->parts[p]);
    }
    return true;
}
