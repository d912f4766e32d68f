/* Structured log lines on stderr: logfmt or JSON, one line an event, never a secret.
 *
 *   HF_LOG(INFO, "job-started", {"job", HF_V_STR(id)}, {"attempt", HF_V_INT(2)});
 *     logfmt  ts=2026-01-17T10:30:00.000Z level=info program=hyperworker event=job-started job=… attempt=2
 *     json    {"ts":"…","level":"info","program":"hyperworker","event":"job-started","job":"…","attempt":2}
 *
 * A key whose name contains password, secret, token, authorization or cookie has its value
 * written as "***". A line is bounded (HF_LOG_LINE_BYTES): past that a value ends in "…", later pairs are left out and
 * cut=true is the last one. Written with one write(2). Bytes that are not UTF-8 become U+FFFD.
 * Thread-safe. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "schemas/base/err.h"
#include "schemas/base/str.h"

typedef enum hf_log_level { HF_LOG_DEBUG, HF_LOG_INFO, HF_LOG_WARN, HF_LOG_ERROR } hf_log_level;
typedef enum hf_log_format { HF_LOG_LOGFMT, HF_LOG_JSON } hf_log_format;
enum { HF_LOG_LINE_BYTES = 4096 };

typedef struct hf_log_value {
    enum { HF_V_KIND_STR, HF_V_KIND_INT, HF_V_KIND_NUM, HF_V_KIND_BOOL } kind;
    hf_str str;
    int64_t i;
    double num;
} hf_log_value;
typedef struct hf_log_pair {
    const char *key;
    hf_log_value value;
} hf_log_pair;

#define HF_V_STR(s_) ((hf_log_value){.kind = HF_V_KIND_STR, .str = (s_)})
#define HF_V_Z(z_) ((hf_log_value){.kind = HF_V_KIND_STR, .str = hf_str_of(z_)})
#define HF_V_INT(i_) ((hf_log_value){.kind = HF_V_KIND_INT, .i = (int64_t)(i_)})
#define HF_V_NUM(n_) ((hf_log_value){.kind = HF_V_KIND_NUM, .num = (double)(n_)})
#define HF_V_BOOL(b_) ((hf_log_value){.kind = HF_V_KIND_BOOL, .i = (b_) ? 1 : 0})

/* Called once by main before any thread; `program` must outlive the process. fd is usually 2. */
void hf_log_setup(const char *program, hf_log_level least, hf_log_format format, int fd);
bool hf_log_level_parse(hf_str text, hf_log_level *ret);

void hf_log_pairs(hf_log_level level, const char *event, const hf_log_pair *pairs, size_t count);
/* HF_LOG(INFO, "job-started", {"job", HF_V_STR(id)}, {"attempt", HF_V_INT(2)}) */
#define HF_LOG(level_, event_, ...)                                                                                    \
    do {                                                                                                               \
        const hf_log_pair pairs_[] = {__VA_ARGS__};                                                                    \
        hf_log_pairs(HF_LOG_##level_, event_, pairs_, sizeof pairs_ / sizeof *pairs_);                                 \
    } while (0)
/* The usual way to log an error: event, error=<wire name>, detail=<text>. */
#define HF_LOG_ERR(level_, event_, err_, ...)                                                                          \
    HF_LOG(level_, event_, {"error", HF_V_Z(hf_code_name((err_)->code))}, {"detail", HF_V_Z((err_)->detail)},          \
           __VA_ARGS__)
