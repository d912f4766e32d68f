/* hyperctl: the command line. Everything is in producer/ctl. */
#include "producer/ctl/ctl.h"

#include <unistd.h>

int main(int argc, char **argv) { return hf_ctl_main(argc, argv, environ); }
