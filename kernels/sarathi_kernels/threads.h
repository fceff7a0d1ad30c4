// When work is worth OpenMP's other threads.

#pragma once

#include <strings.h>

#include <cstdint>
#include <cstdlib>

namespace {

// Whether idle threads sleep, as the engine has them do where cores are few: on a virtual machine with two it takes
// 50 us until one is awake, in which a core reads half a megabyte from memory, most of what both would.
inline bool threads_sleep() {
  static const char* policy = std::getenv("OMP_WAIT_POLICY");
  static const bool is_passive = policy != nullptr && strcasecmp(policy, "passive") == 0;
  return is_passive;
}

// Whether `amount` of work is done sooner with other threads: `least` is what is worth waking them for.
inline bool is_worth_threads(int64_t amount, int64_t least) { return amount >= least || !threads_sleep(); }

}  // namespace
