// Random streams for stochastic rounding and for the start of training (docs/datapath.md, SR).
#pragma once

#include <cassert>
#include <cstdint>
#include <initializer_list>

namespace wagesim::arith {

/// The seed of a stream; never 0, which no shift register leaves.
constexpr std::uint32_t mix(std::uint32_t seed, std::uint32_t step, std::uint32_t op,
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
    return h != 0 ? h : 1U;
}

/// Marsaglia's 32-bit xorshift with the triple 13, 17, 5.
class XorShift32 {
public:
    constexpr explicit XorShift32(std::uint32_t seed) : state_(seed) { assert(seed != 0); }

    /// One step; all 32 bits.
    constexpr std::uint32_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 17;
        state_ ^= state_ << 5;
        return state_;
    }
    /// One step; its upper 16 bits.
    constexpr std::uint32_t draw16() { return next() >> 16; }

private:
    std::uint32_t state_;
};

/// The cheaper source: a 32-bit Galois shift register, x^32 + x^22 + x^2 + x + 1. A draw is 16
/// steps: fewer would hand out bits of the draw before.
class GaloisLfsr32 {
public:
    constexpr explicit GaloisLfsr32(std::uint32_t seed) : state_(seed) { assert(seed != 0); }

    /// One step; all 32 bits.
    constexpr std::uint32_t step() {
        state_ = (state_ >> 1) ^ ((state_ & 1U) != 0 ? 0x80200003U : 0U);
        return state_;
    }
    /// 16 steps; the upper 16 bits, into which the new bits enter.
    constexpr std::uint32_t draw16() {
        for (int i = 0; i < 16; ++i) step();
        return state_ >> 16;
    }

private:
    std::uint32_t state_;
};

/// Streams of one operation: part of the arithmetic, not the number of lanes.
inline constexpr std::uint32_t stream_count = 16;

/// The draws of one operation's elements: element i, in memory order, uses stream i mod 16 and
/// that stream's draw i div 16. Elements may be asked for in any order, with the same result;
/// in rising order each costs one draw.
template <class Source = XorShift32>
class RandomStreams {
public:
    constexpr RandomStreams(std::uint32_t seed, std::uint32_t step, std::uint32_t op) {
        for (std::uint32_t i = 0; i < stream_count; ++i) seeds_[i] = mix(seed, step, op, i);
        restart();
    }

    /// The 16-bit draw of an element.
    constexpr std::uint32_t draw16(std::uint64_t element) {
        const std::uint64_t wanted = element / stream_count;
        if (wanted + 1 < drawn_) restart();
        while (drawn_ <= wanted) draw_all();
        return latest_[element % stream_count];
    }

private:
    constexpr void restart() {
        for (std::uint32_t i = 0; i < stream_count; ++i) sources_[i] = Source(seeds_[i]);
        drawn_ = 0;
    }
    /// One draw of every stream, side by side.
    constexpr void draw_all() {
        for (std::uint32_t i = 0; i < stream_count; ++i) latest_[i] = sources_[i].draw16();
        ++drawn_;
    }

    std::uint32_t seeds_[stream_count] = {};
    Source sources_[stream_count] = {
        Source(1), Source(1), Source(1), Source(1), Source(1), Source(1), Source(1), Source(1),
        Source(1), Source(1), Source(1), Source(1), Source(1), Source(1), Source(1), Source(1)};
    std::uint64_t drawn_ = 0;  // by each
    std::uint32_t latest_[stream_count] = {};
};

}  // namespace wagesim::arith
