/* Named places at which a test makes the process kill -9 itself: HF_KILL_AT=name, or name:N for the Nth time the
 * process comes by. Compiled in only where HF_FAULT_POINTS is defined (dev and tsan presets); nothing otherwise. */
#pragma once

#ifdef HF_FAULT_POINTS
void hf_fault_point(const char *name);
#else
#define hf_fault_point(name) ((void)0)
#endif
