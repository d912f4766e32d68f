/* `hyperworker ova create|extract|validate|info|ls`: OVAs without Kafka or a fleet. */
#pragma once

/* argv[0] is "ova". Returns the exit status: 0, 1 (warnings, with --strict), or that of errors.def. */
int hf_ova_main(int argc, char **argv);
