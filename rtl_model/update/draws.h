// The update unit's random numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <variant>
#include <vector>

#include "vector/vectorized.h"
#include "wagesim/arith/random.h"

namespace wagesim::rtl {

/// The 16-bit number for element i of a tensor, by the stream_op of its UPDATE.
using DrawSource = std::function<std::uint32_t(std::uint32_t stream_op, std::int64_t i)>;

/// The streams of the tensor that is being updated: they go on from one command to the next.
class Draws {
public:
    /// `source` instead of the streams; empty: the streams.
    explicit Draws(DrawSource source) : source_(std::move(source)) {}

    struct Key {
        std::uint32_t seed = 0, step = 0, op = 0;
        bool lfsr = false;
        bool operator==(const Key& other) const {
            return seed == other.seed && step == other.step && op == other.op && lfsr == other.lfsr;
        }
    };
    /// One for each of the elements [first, first + count), in memory order.
    std::vector<std::uint32_t> take(const Key& key, std::int64_t first, std::int64_t count) {
        std::vector<std::uint32_t> draws;
        if (source_) {
            for (std::int64_t i = first; i < first + count; ++i)
                draws.push_back(source_(key.op, i));
            return draws;
        }
        if (!(key == key_)) {
            key_ = key;
            if (key.lfsr)
                streams_.emplace<1>(key.seed, key.step, key.op);
            else
                streams_.emplace<0>(key.seed, key.step, key.op);
        }
        draws.resize(static_cast<std::size_t>(count));
        std::visit(
            [&](auto& streams) {
                vectorized([&] {
                    std::uint32_t* to = draws.data();
                    for (std::int64_t i = first; i < first + count; ++i)
                        *to++ = streams.draw16(static_cast<std::uint64_t>(i));
                });
            },
            streams_);
        return draws;
    }

private:
    const DrawSource source_;
    Key key_;
    std::variant<arith::RandomStreams<arith::XorShift32>, arith::RandomStreams<arith::GaloisLfsr32>>
        streams_{arith::RandomStreams<arith::XorShift32>(0, 0, 0)};
};

}  // namespace wagesim::rtl
