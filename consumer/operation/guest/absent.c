/* A build without libguestfs: guest operations are not offered, and say so by name. */
#include "consumer/operation/builtin.h"
#include "consumer/operation/guest/possible.h"

bool hf_guest_possible(const char **ret_why) {
    if (ret_why)
        *ret_why = "this build has no libguestfs: build it again where libguestfs-dev is installed";
    return false;
}
