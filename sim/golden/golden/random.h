// The random streams of docs/datapath.md.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace wagesim::golden {

/// The seed of one stream of one operation.
inline std::uint32_t mix(std::uint32_t seed, std::uint32_t step, std::uint32_t op,
                         std::uint32_t stream) {
    std::uint32_t h = 0x9E3779B9U;
    for (const std::uint32_t word : {seed, step, op, stream}) {
        h ^= word;
        h ^= h >> 16;
        h *= 0x85EBCA6BU;
        h ^= h >> 13;
        h *= 0xC2B2AE35U;
        h ^= h >> 16;
    }
    return h == 0 ? 1 : h;
}

/// Element i of a tensor in memory order draws from stream i mod 16.
class Streams {
public:
    Streams(std::uint32_t seed, std::uint32_t step, std::uint32_t op, bool lfsr = false)
        : lfsr_(lfsr) {
        for (std::uint32_t s = 0; s < states_.size(); ++s) states_[s] = mix(seed, step, op, s);
    }
    /// Uniform on 0..65535.
    std::uint32_t draw(std::size_t element) { return next(states_[element % states_.size()]); }
    /// Of a tensor's elements, in ascending order.
    std::vector<std::uint16_t> draws(std::size_t size) {
        std::vector<std::uint16_t> result(size);
        for (std::size_t first = 0; first < size; first += states_.size())
            for (std::size_t s = 0; s < std::min(states_.size(), size - first); ++s)
                result[first + s] = static_cast<std::uint16_t>(next(states_[s]));
        return result;
    }

private:
    std::uint32_t next(std::uint32_t& x) const {
        if (lfsr_) {
            for (int shift = 0; shift < 16; ++shift) x = (x >> 1) ^ (x % 2 != 0 ? 0x80200003U : 0U);
        } else {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
        }
        return x >> 16;
    }

    std::array<std::uint32_t, 16> states_{};
    const bool lfsr_;
};

}  // namespace wagesim::golden
