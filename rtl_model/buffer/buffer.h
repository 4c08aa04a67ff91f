// A byte memory that knows which of its bytes hold data.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "buffer/injection.h"

namespace wagesim::rtl {

/// The program made the machine do something no machine can: read a byte nobody wrote, leave a
/// memory, use one bank twice in a cycle, wait forever. The compiler's fault (or a flipped bit's).
class MachineError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A memory of `capacity` bytes. Storage grows with the highest byte written, so a Dram image
/// costs what it holds.
class Buffer {
public:
    Buffer(std::string name, std::int64_t capacity);

    /// The bytes, until the next write(). Throws MachineError naming the memory and the address if
    /// the range leaves it or holds a byte that was not written since the last forget().
    const std::uint8_t* read(std::int64_t address, std::int64_t bytes) const {
        if (!holds(address, bytes)) refuse_read(address, bytes);
        if (watch_ != nullptr) watch_->on_read(address, bytes);
        return bytes_.data() + address;
    }
    /// The first of `count` runs of `bytes` bytes, `stride` apart; otherwise the same.
    const std::uint8_t* read_runs(std::int64_t address, std::int64_t bytes, std::int64_t stride,
                                  std::int64_t count) const {
        const bool whole = watch_ == nullptr && stride >= 0 &&
                           holds(address, (count - 1) * stride + bytes);  // what is between, too
        for (std::int64_t i = 0; i < count && !whole; ++i) read(address + i * stride, bytes);
        return bytes_.data() + address;
    }
    /// Room for `bytes` bytes, now marked as written: the caller fills all of it at once, before
    /// any other call. Throws MachineError if the range leaves the memory.
    std::uint8_t* write(std::int64_t address, std::int64_t bytes) {
        if (address < 0 || bytes < 0 || address > capacity_ - bytes) refuse_range(address, bytes);
        if (address + bytes > size()) grow(address + bytes);
        mark(address, bytes);
        if (watch_ != nullptr) watch_->on_write(address, bytes);
        return bytes_.data() + address;
    }
    /// Storage for so many bytes at once, and no more.
    void reserve(std::int64_t bytes);
    /// Nothing is held any more; the next read of a byte needs a write before it.
    void forget();
    /// In range, and every byte written since the last forget().
    bool holds(std::int64_t address, std::int64_t bytes) const {
        if (address < 0 || bytes < 0 || address > size() - bytes) return false;
        if (bytes == 0) return true;
        const auto first = static_cast<std::size_t>(address) / 64;
        const auto last = static_cast<std::size_t>(address + bytes - 1) / 64;
        const std::uint64_t head = ~std::uint64_t{0} << (address % 64);
        const std::uint64_t tail = ~std::uint64_t{0} >> (63 - (address + bytes - 1) % 64);
        if (first == last) return (written_[first] & head & tail) == (head & tail);
        std::uint64_t all = (written_[first] | ~head) & (written_[last] | ~tail);
        for (std::size_t word = first + 1; word < last; ++word) all &= written_[word];
        return all == ~std::uint64_t{0};
    }

    std::int64_t capacity() const { return capacity_; }
    const std::string& name() const { return name_; }

    /// Inverts one bit. False (and nothing done) where the byte holds no data.
    bool flip(std::int64_t address, int bit);
    /// Reports every access to the watched byte; null ends it.
    void watch(FlipWatch* watch) { watch_ = watch; }

private:
    std::int64_t size() const { return static_cast<std::int64_t>(bytes_.size()); }
    void grow(std::int64_t end);
    void mark(std::int64_t address, std::int64_t bytes);
    [[noreturn]] void refuse_read(std::int64_t address, std::int64_t bytes) const;
    [[noreturn]] void refuse_range(std::int64_t address, std::int64_t bytes) const;

    std::string name_;
    std::int64_t capacity_;
    std::vector<std::uint8_t> bytes_;     // a multiple of 64 long
    std::vector<std::uint64_t> written_;  // one bit a byte
    FlipWatch* watch_ = nullptr;
};

}  // namespace wagesim::rtl
