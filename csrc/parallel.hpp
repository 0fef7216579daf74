// Work shared among threads, each item computed whole by one thread.

#pragma once

#include <cstdint>

namespace framecast {

// Calls task(context, item) for each item in 0 … items−1, on at most `threads` threads.
// `work` is the number of elements in all: where it is small the caller's thread does it, and so
// it does in a forked child, which has none of the threads of its parent.
void parallel_for(int64_t items, int64_t work, int threads, void (*task)(void*, int64_t),
                  void* context);

// "openmp" where the process has an OpenMP runtime already, "threads" elsewhere.
const char* parallel_backend();

}  // namespace framecast
