// Random back-pressure for tests (`--stall-seed`): a 32-bit xorshift of its own for every user.
#pragma once

#include <cstdint>

namespace wagesim::rtl {

class StallSource {
public:
    /// Seed 0: never stalls.
    StallSource(std::uint32_t seed, std::uint32_t user)
        : enabled_(seed != 0), state_(seed * 0x9E3779B9U ^ (user + 1) * 0x85EBCA6BU) {
        if (state_ == 0) state_ = 1;
    }
    /// Cycles to wait: with probability 1 / `one_in` one of 0 .. `limit` - 1, else 0.
    std::int64_t draw(std::uint32_t one_in, std::uint32_t limit) {
        if (!enabled_) return 0;
        const bool stalls = next() % one_in == 0;
        const std::uint32_t length = next() % limit;
        return stalls ? length : 0;
    }

private:
    std::uint32_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 17;
        state_ ^= state_ << 5;
        return state_ >> 8;
    }
    bool enabled_;
    std::uint32_t state_;
};

}  // namespace wagesim::rtl
