/* Which addresses a webhook may not call: all that are not plainly of the public Internet. URLs of endpoints are chosen by users;
 * without this they could reach what only this machine can: its own loopback, the networks around it, a cloud's
 * metadata service. Pure; thread-safe. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

/* NULL: may be called. Else why not, for people ("private (RFC 1918)"). IPv4 addresses inside IPv6 ones (mapped, compatible, NAT64,
 * 6to4, ISATAP) are looked at as what they stand for; of IPv6 only 2000::/3 is open at all. */
const char *hf_address_refused(const struct sockaddr *address, socklen_t len);
const char *hf_address_refused_v4(uint32_t host_order);
const char *hf_address_refused_v6(const uint8_t bytes[16]);
