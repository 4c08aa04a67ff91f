// Room for a tile's codes while a command works on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace wagesim::rtl {

class CodePool;

/// Codes that nobody has cleared; their room goes back to its pool.
class Codes {
public:
    Codes(Codes&&) = default;
    Codes& operator=(Codes&&) = delete;
    ~Codes();

    std::int64_t* data() { return room_.get(); }
    const std::int64_t* data() const { return room_.get(); }
    std::size_t size() const { return size_; }
    std::int64_t* begin() { return data(); }
    std::int64_t* end() { return data() + size_; }
    const std::int64_t* begin() const { return data(); }
    const std::int64_t* end() const { return data() + size_; }
    std::int64_t& operator[](std::size_t i) { return room_[i]; }
    std::int64_t operator[](std::size_t i) const { return room_[i]; }

private:
    friend class CodePool;
    using Room = std::unique_ptr<std::int64_t[]>;
    Codes(CodePool& pool, Room room, std::size_t capacity, std::size_t size)
        : pool_(&pool), room_(std::move(room)), capacity_(capacity), size_(size) {}

    CodePool* pool_;
    Room room_;
    std::size_t capacity_, size_;
};

/// Kept from command to command: taking some costs neither pages nor zeros.
class CodePool {
public:
    Codes take(std::int64_t count) {
        const auto size = static_cast<std::size_t>(count);
        std::pair<Codes::Room, std::size_t> room{nullptr, 0};
        if (!free_.empty()) {
            room = std::move(free_.back());
            free_.pop_back();
        }
        if (room.second < size) room = {Codes::Room(new std::int64_t[size]), size};
        return {*this, std::move(room.first), room.second, size};
    }

private:
    friend class Codes;
    std::vector<std::pair<Codes::Room, std::size_t>> free_;
};

inline Codes::~Codes() {
    if (room_ != nullptr) pool_->free_.emplace_back(std::move(room_), capacity_);
}

}  // namespace wagesim::rtl
