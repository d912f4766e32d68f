/* The partition of a key, as Java's producers compute it: org.apache.kafka.common.utils.Utils.murmur2 (the 32-bit
 * MurmurHash2 by Austin Appleby with seed 0x9747b28c), its sign bit cleared, modulo the number of partitions. */
#include <assert.h>

#include "journal/log/klog.h"

static uint32_t byte_at(hf_str s, uint32_t i) { return (uint32_t)(unsigned char)s.p[i]; }

static uint32_t murmur2(hf_str key) {
    const uint32_t m = 0x5bd1e995;
    uint32_t h = 0x9747b28cU ^ key.len, i = 0;
    for (; i + 4 <= key.len; i += 4) {
        uint32_t k = byte_at(key, i) | byte_at(key, i + 1) << 8 | byte_at(key, i + 2) << 16 | byte_at(key, i + 3) << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h = (h * m) ^ k;
    }
    uint32_t rest = key.len - i;
    if (rest >= 3)
        h ^= byte_at(key, i + 2) << 16;
    if (rest >= 2)
        h ^= byte_at(key, i + 1) << 8;
    if (rest >= 1)
        h = (h ^ byte_at(key, i)) * m;
    h ^= h >> 13;
    h *= m;
    return h ^ h >> 15;
}

int32_t hf_klog_partition_of(hf_str key, int32_t partition_count) {
    assert(partition_count > 0);
    return (int32_t)(murmur2(key) & 0x7fffffffU) % partition_count;
}
