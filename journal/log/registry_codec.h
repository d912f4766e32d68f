/* The codec a program uses: one that knows only the schemas compiled in, or, where `schema_registry.url` is set, one that
 * writes the registry's ids (Confluent framing) and looks up the ids it reads.
 *
 * Each schema a program writes is registered at start, its text as written, under the subject "<topic>-value". An id that is
 * read and not known yet is asked for once. What the answers come to decides what is lost:
 *   the registry has no such id, or what it has is not Avro   SCHEMA_UNKNOWN: the record is unreadable, and that is final
 *   the registry cannot be asked                              UNREACHABLE: the record waits, whoever reads it tries again
 * Because an id decides how a record folds, a journal keeps the text of every id it has read, in a folder beside its map
 * (<keep_dir>/<id>.avsc): a rebuild or a verification gives the same again, without a registry. Who writes nothing
 * keeps nothing either, it only reads that folder.
 *
 * Threads: a link may be shared; its lock is a leaf and never held over I/O. Bounds: HF_REGISTRY_TRIES at start, then
 * one try a second; HF_REGISTRY_KEPT_MAX texts kept by a process. */
#pragma once
#include <stdint.h>

#include "journal/log/registry.h"
#include "schemas/base/config.h"
#include "schemas/event/codec.h"

enum { HF_REGISTRY_TRIES = 5, HF_REGISTRY_KEPT_MAX = 1024 };
/* Of hf_registry_codec's `writes`: a bit for each hf_schema. */
#define HF_REGISTRY_WRITES_ALL ((1u << HF_SCHEMA_COUNT) - 1u)
#define HF_REGISTRY_WRITES_NONE 0u

typedef struct hf_registry_link hf_registry_link;
/* *ret_link is NULL where there is neither a registry nor a folder of kept texts; it must outlive the codec. keep_dir may be
 * NULL. Blocks until what it writes is registered. UNREACHABLE after the last try, INVALID where the registry refuses one of our
 * schemas, CONFIG for a URL that is none. */
hf_code hf_registry_codec(const hf_config *config, uint32_t writes, const char *keep_dir, hf_registry_link **ret_link,
                          hf_codec **ret_codec, hf_err *reterr);
/* After the codec; NULL is fine. */
void hf_registry_link_free(hf_registry_link *link);
