// How many threads a run takes, and what for. The results do not depend on it.
#pragma once

#include <algorithm>
#include <thread>

namespace wagesim::app {

inline int cores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

/// Of the golden model's matrix products: one thread is the machine's schedule, one its work on
/// data.
inline int threads_of_products(int threads) { return std::max(1, threads - 2); }

}  // namespace wagesim::app
