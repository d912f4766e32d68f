#include "schemas/base/id.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t system_next(void *self) {
    (void)self;
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, 0) != sizeof bits)
        abort(); /* cannot happen for 8 bytes once the pool is up (getrandom(2)) */
    return bits;
}

const hf_random *hf_random_system(void) {
    static const hf_random random = {system_next, NULL};
    return &random;
}

static const char *format_uuid(const uint8_t b[16], char text[HF_UUID_BYTES]) {
    static const char hex[] = "0123456789abcdef";
    char *to = text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = hex[b[i] >> 4];
        *to++ = hex[b[i] & 15];
    }
    *to = 0;
    return text;
}

static void put_time(uint8_t b[16], int64_t ms) {
    for (int i = 0; i < 6; i++)
        b[i] = (uint8_t)((uint64_t)ms >> (40 - 8 * i));
}

static void put_version(uint8_t b[16], int version) {
    b[6] = (uint8_t)((b[6] & 0x0f) | version << 4);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
}

const char *hf_id_new(const hf_clock *clock, const hf_random *random, char text[HF_UUID_BYTES]) {
    uint8_t b[16];
    uint64_t r[2] = {hf_random_u64(random), hf_random_u64(random)};
    memcpy(b, r, sizeof b);
    put_time(b, hf_wall_ms(clock));
    put_version(b, 7);
    return format_uuid(b, text);
}

static const char *derived(hf_str a, int64_t n1, int64_t n2, int64_t time_ms, char text[HF_UUID_BYTES]) {
    uint8_t digest[32], b[16], numbers[16];
    for (int i = 0; i < 8; i++) {
        numbers[i] = (uint8_t)((uint64_t)n1 >> (56 - 8 * i));
        numbers[8 + i] = (uint8_t)((uint64_t)n2 >> (56 - 8 * i));
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 || EVP_DigestUpdate(ctx, a.p, a.len) != 1 ||
        EVP_DigestUpdate(ctx, numbers, sizeof numbers) != 1 || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
        abort(); /* SHA-256 of a few bytes fails only without memory */
    EVP_MD_CTX_free(ctx);
    memcpy(b, digest, sizeof b);
    put_time(b, time_ms);
    put_version(b, 8);
    return format_uuid(b, text);
}

const char *hf_id_from_position(hf_str topic, int32_t partition, int64_t offset, int64_t timestamp_ms,
                                char text[HF_UUID_BYTES]) {
    return derived(topic, partition, offset, timestamp_ms, text);
}

const char *hf_id_from_schedule(hf_str schedule_id, int64_t nominal_ms, char text[HF_UUID_BYTES]) {
    return derived(schedule_id, -1, nominal_ms, nominal_ms, text);
}

bool hf_id_valid(hf_str id) {
    static const char other[] = "._:@+=~-";
    if (id.len < 1 || id.len > HF_ID_MAX_BYTES || id.p[0] == '.' || id.p[0] == '-')
        return false;
    for (uint32_t i = 0; i < id.len; i++) {
        char c = id.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (!c || !strchr(other, c)))
            return false;
    }
    return true;
}
