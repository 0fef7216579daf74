// Why no OpenMP is linked: torch brings its own runtime, under a name that differs from wheel
// to wheel. A second one in the process would keep a second set of threads that spin on the
// same cores. So the runtime that torch has already loaded into the process is looked up at
// run time and its threads are used; GOMP_parallel is its stable entry point, which GCC's,
// LLVM's and Intel's runtime all offer on Linux. Where there is none (macOS), threads are
// started for each call: no pool to keep, nothing to break after a fork, and only for work
// that is long beside their start.
//
// A forked child has the memory of OpenMP's threads but not the threads, and its runtime
// waits for them forever. There the caller's thread does all the work; results are the same.

#include "parallel.hpp"

#include <dlfcn.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace framecast {
namespace {

// Elements that one thread computes in 10 to 20 µs, several times what waking another costs.
constexpr int64_t grain = 1 << 15;
// Starting a thread costs ten times as much as waking one.
constexpr int64_t grain_of_new_thread = 1 << 18;

using GompParallel = void (*)(void (*)(void*), void*, unsigned, unsigned);

GompParallel find_openmp() {
    return reinterpret_cast<GompParallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
}

GompParallel openmp() {
    static const GompParallel found = find_openmp();
    return found;
}

std::atomic<bool> forked{false};
[[maybe_unused]] const int watches_forks =
    pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });

struct Queue {
    std::atomic<int64_t> next{0};
    int64_t items;
    void (*task)(void*, int64_t);
    void* context;
};

void drain(void* pointer) {
    Queue& queue = *static_cast<Queue*>(pointer);
    for (int64_t item; (item = queue.next.fetch_add(1)) < queue.items;)
        queue.task(queue.context, item);
}

void drain_with_new_threads(Queue& queue, int threads) {
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(drain, &queue);
    drain(&queue);
    for (std::thread& thread : others) thread.join();
}

}  // namespace

void parallel_for(int64_t items, int64_t work, int threads, void (*task)(void*, int64_t),
                  void* context) {
    Queue queue{{0}, items, task, context};
    const int64_t enough = work / (openmp() ? grain : grain_of_new_thread);
    threads = static_cast<int>(std::min<int64_t>({threads, items, enough}));
    if (openmp() && forked.load(std::memory_order_relaxed)) threads = 1;
    if (threads <= 1) {
        drain(&queue);
    } else if (openmp()) {
        openmp()(drain, &queue, static_cast<unsigned>(threads), 0);
    } else {
        drain_with_new_threads(queue, threads);
    }
}

const char* parallel_backend() { return openmp() ? "openmp" : "threads"; }

}  // namespace framecast
