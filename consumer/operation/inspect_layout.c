/* The part of a disk's report that says how it is divided, and what each part holds. */
#include <inttypes.h>
#include <stdio.h>

#include "consumer/operation/filesystem.h"
#include "consumer/operation/inspect.h"
#include "consumer/operation/partition.h"
#include "schemas/base/mem.h"

static hf_code no_memory(hf_err *reterr) { return hf_fail(reterr, HF_E_NO_MEMORY, "the report"); }

json_t *hf_inspect_text(const char *text) {
    json_t *value = json_string(text); /* refuses what is not UTF-8 */
    hf_auto_free char *plain = value ? NULL : hf_strndup(text, strlen(text));
    for (char *c = plain; c && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return value ? value : plain ? json_string(plain) : NULL;
}

/* text under key, unless it is empty. */
static bool put_text(json_t *to, const char *key, const char *text) {
    return !*text || json_object_set_new(to, key, hf_inspect_text(text)) == 0;
}

static bool put_filesystem(json_t *to, const hf_filesystem *fs) {
    return (!fs->ambiguous || json_object_set_new(to, "ambiguous", json_true()) == 0) &&
           put_text(to, "filesystem", fs->type) && put_text(to, "usage", fs->usage) &&
           put_text(to, "filesystem_version", fs->version) && put_text(to, "label", fs->label) &&
           put_text(to, "uuid", fs->uuid);
}

static json_t *partition_json(const hf_partition *p, const hf_filesystem *fs) {
    json_t *one = json_pack("{s:i, s:I, s:I, s:s}", "number", (int)p->number, "start", (json_int_t)p->start_bytes,
                            "size_bytes", (json_int_t)p->size_bytes, "type", p->type);
    bool fine = one && put_text(one, "type_name", p->type_name) && put_text(one, "name", p->name) &&
                put_text(one, "partition_uuid", p->uuid) && put_filesystem(one, fs);
    static const struct {
        unsigned flag;
        const char *key;
    } flags[] = {{HF_PART_BOOTABLE, "bootable"}, {HF_PART_LOGICAL, "logical"}, {HF_PART_OUTSIDE, "outside"}};
    for (size_t i = 0; fine && i < HF_ARRAY_LEN(flags); i++)
        if (p->flags & flags[i].flag)
            fine = json_object_set_new(one, flags[i].key, json_true()) == 0;
    if (fine)
        return one;
    json_decref(one);
    return NULL;
}

static hf_code put_partitions(json_t *to, hf_source *source, const hf_partition_table *table, hf_err *reterr) {
    json_t *list = json_array();
    if (json_object_set_new(to, "partitions", list) != 0)
        return no_memory(reterr);
    for (uint32_t i = 0; i < table->count; i++) {
        const hf_partition *p = &table->list[i];
        hf_filesystem fs = {0};
        hf_code rc = p->flags & HF_PART_EXTENDED
                         ? HF_OK
                         : hf_filesystem_probe(source, p->start_bytes, p->size_bytes, &fs, reterr);
        if (rc != HF_OK)
            return hf_context(reterr, "partition %" PRId32, p->number);
        if (json_array_append_new(list, partition_json(p, &fs)) != 0)
            return no_memory(reterr);
    }
    return HF_OK;
}

static bool put_table(json_t *to, const hf_partition_table *table) {
    bool fine = put_text(to, "partition_table", hf_table_name(table->kind)) && put_text(to, "disk_id", table->id);
    if (fine && table->kind == HF_TABLE_GPT)
        fine = json_object_set_new(to, "sector_bytes", json_integer(table->sector_bytes)) == 0 &&
               json_object_set_new(to, "gpt",
                                   json_pack("{s:s, s:s}", "primary", table->primary, "backup", table->backup)) == 0;
    if (fine && table->more)
        fine = json_object_set_new(to, "more_partitions", json_true()) == 0;
    if (!fine || table->problem_count == 0)
        return fine;
    json_t *problems = json_array();
    for (uint32_t i = 0; i < table->problem_count; i++)
        fine &= json_array_append_new(problems, json_string(table->problems[i])) == 0;
    return json_object_set_new(to, "problems", problems) == 0 && fine;
}

hf_code hf_inspect_layout(json_t *to, hf_source *source, hf_err *reterr) {
    hf_filesystem whole;
    hf_auto_free hf_partition_table *table = hf_alloc(sizeof *table);
    if (!table)
        return no_memory(reterr);
    hf_code rc = hf_partition_table_read(source, table, reterr);
    if (rc != HF_OK || (rc = hf_filesystem_probe(source, 0, source->size_bytes, &whole, reterr)) != HF_OK)
        return rc;
    if (!put_table(to, table) || !put_filesystem(to, &whole))
        return no_memory(reterr);
    return put_partitions(to, source, table, reterr);
}
