// A byte memory that knows which of its bytes hold data.
#include "buffer/buffer.h"

#include <algorithm>
#include <utility>

namespace wagesim::rtl {

Buffer::Buffer(std::string name, std::int64_t capacity)
    : name_(std::move(name)), capacity_(capacity) {}

void Buffer::forget() {
    std::fill(written_.begin(), written_.end(), std::uint64_t{0});
    if (watch_ != nullptr) watch_->on_forget();
}

bool Buffer::flip(std::int64_t address, int bit) {
    if (!holds(address, 1)) return false;
    auto& byte = bytes_[static_cast<std::size_t>(address)];
    byte = static_cast<std::uint8_t>(byte ^ (1U << (bit & 7)));
    return true;
}

void Buffer::reserve(std::int64_t bytes) {
    if (bytes <= size()) return;
    bytes_.resize(static_cast<std::size_t>((bytes + 63) / 64 * 64));
    written_.resize(bytes_.size() / 64);
}

void Buffer::grow(std::int64_t end) { reserve(std::max(end, std::min(2 * size(), capacity_))); }

void Buffer::mark(std::int64_t address, std::int64_t bytes) {
    if (bytes == 0) return;
    const auto first = static_cast<std::size_t>(address) / 64;
    const auto last = static_cast<std::size_t>(address + bytes - 1) / 64;
    const std::uint64_t head = ~std::uint64_t{0} << (address % 64);
    const std::uint64_t tail = ~std::uint64_t{0} >> (63 - (address + bytes - 1) % 64);
    if (first == last) {
        written_[first] |= head & tail;
        return;
    }
    written_[first] |= head;
    written_[last] |= tail;
    for (std::size_t word = first + 1; word < last; ++word) written_[word] = ~std::uint64_t{0};
}

void Buffer::refuse_read(std::int64_t address, std::int64_t bytes) const {
    if (address < 0 || bytes < 0 || address > capacity_ - bytes) refuse_range(address, bytes);
    std::int64_t missing = address;
    while (holds(missing, 1)) ++missing;
    throw MachineError(name_ + ": read of byte " + std::to_string(missing) + " (of " +
                       std::to_string(bytes) + " bytes from " + std::to_string(address) +
                       "), which no command wrote");
}

void Buffer::refuse_range(std::int64_t address, std::int64_t bytes) const {
    throw MachineError(name_ + ": " + std::to_string(bytes) + " bytes at address " +
                       std::to_string(address) + " are outside its " + std::to_string(capacity_) +
                       " bytes");
}

}  // namespace wagesim::rtl
