// Random networks and machines, the same for a seed on every platform.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "wagesim/network/datapath.h"

namespace wagesim::test {

class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15U + 1) {}
    std::int64_t between(std::int64_t low, std::int64_t high) {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return low + static_cast<std::int64_t>((state_ >> 11) %
                                               static_cast<std::uint64_t>(high - low + 1));
    }
    bool chance(int percent) { return between(1, 100) <= percent; }
    template <class T>
    T pick(std::initializer_list<T> values) {
        return *(values.begin() + between(0, static_cast<std::int64_t>(values.size()) - 1));
    }

private:
    std::uint64_t state_;
};

/// A network file's text. `folded`: only batch norms that can be folded.
std::string random_network(Random& random, bool folded);

/// One that can be trained, with errors that meet.
std::string random_trainable_network(Random& random);

/// The preset on a small or odd machine.
Datapath random_datapath(Random& random);

/// Any preset and any choices of a training step, likewise.
Datapath random_training_datapath(Random& random);

}  // namespace wagesim::test
