#include "schemas/webhook/address.h"

#include <stdint.h>
#include <string.h>

#include "schemas/base/mem.h"

/* Everything of the IANA special-purpose registry that is not reachable for all, and what clouds answer at. */
static const struct {
    uint32_t net;
    uint8_t bits;
    const char *what;
} closed_v4[] = {
    {0x00000000, 8, "unspecified (0.0.0.0/8)"},
    {0x0a000000, 8, "private (RFC 1918)"},
    {0x64400000, 10, "carrier-grade NAT (RFC 6598)"},
    {0x7f000000, 8, "loopback"},
    {0xa83f8110, 32, "a cloud's metadata service"}, /* 168.63.129.16 */
    {0xa9fe0000, 16, "link-local"},
    {0xac100000, 12, "private (RFC 1918)"},
    {0xc0000000, 24, "reserved for protocols (RFC 6890)"},
    {0xc0000200, 24, "for documentation (RFC 5737)"},
    {0xc0586300, 24, "6to4 relay (RFC 7526)"},
    {0xc0a80000, 16, "private (RFC 1918)"},
    {0xc6120000, 15, "for benchmarks (RFC 2544)"},
    {0xc6336400, 24, "for documentation (RFC 5737)"},
    {0xcb007100, 24, "for documentation (RFC 5737)"},
    {0xe0000000, 4, "multicast"},
    {0xf0000000, 4, "reserved (240.0.0.0/4)"},
};

const char *hf_address_refused_v4(uint32_t host_order) {
    for (size_t i = 0; i < HF_ARRAY_LEN(closed_v4); i++)
        if ((host_order ^ closed_v4[i].net) >> (32 - closed_v4[i].bits) == 0)
            return closed_v4[i].what;
    return NULL;
}

static uint32_t four(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool begins(const uint8_t *address, const uint8_t *with, unsigned bits) {
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(address, with, whole) == 0 && (rest == 0 || (address[whole] ^ with[whole]) >> (8 - rest) == 0);
}

static const struct {
    uint8_t net[16];
    uint8_t bits;
    const char *what;
} closed_v6[] = {
    {{[15] = 0}, 128, "unspecified"},
    {{[15] = 1}, 128, "loopback"},
    {{0xfc}, 7, "private (RFC 4193)"},
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xfe, 0xc0}, 10, "site-local (RFC 3879)"},
    {{0xff}, 8, "multicast"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "for documentation (RFC 3849)"},
    {{0x20, 0x01, 0x00, 0x00}, 23, "reserved for protocols (RFC 2928)"}, /* Teredo among them */
    {{0x3f, 0xff, 0x00}, 20, "for documentation (RFC 9637)"},
};

/* The IPv4 address that this one leads to, if any. */
static bool embedded(const uint8_t *a, uint32_t *ret) {
    static const uint8_t zero[12], mapped[12] = {[10] = 0xff, 0xff}, translated[12] = {[8] = 0xff, 0xff},
                                   nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (!memcmp(a, mapped, 12) || !memcmp(a, translated, 12) || !memcmp(a, nat64, 12) || !memcmp(a, zero, 12))
        return *ret = four(a + 12), true;
    if (a[0] == 0x20 && a[1] == 0x02)
        return *ret = four(a + 2), true;
    if ((a[8] & 0xfd) == 0 && a[9] == 0 && a[10] == 0x5e && a[11] == 0xfe) /* ISATAP, RFC 5214 */
        return *ret = four(a + 12), true;
    return false;
}

const char *hf_address_refused_v6(const uint8_t a[16]) {
    uint32_t inner;
    for (size_t i = 0; i < HF_ARRAY_LEN(closed_v6); i++)
        if (begins(a, closed_v6[i].net, closed_v6[i].bits))
            return closed_v6[i].what;
    bool has_v4 = embedded(a, &inner);
    const char *why = has_v4 ? hf_address_refused_v4(inner) : NULL;
    if (why)
        return why;
    return has_v4 || (a[0] & 0xe0) == 0x20 ? NULL : "outside the public range (2000::/3)";
}

const char *hf_address_refused(const struct sockaddr *address, socklen_t len) {
    if (address->sa_family == AF_INET && len >= (socklen_t)sizeof(struct sockaddr_in)) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return hf_address_refused_v4(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6 && len >= (socklen_t)sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        return hf_address_refused_v6(v6.sin6_addr.s6_addr);
    }
    return "of a family that is not called";
}
