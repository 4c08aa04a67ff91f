// A flipped bit in a memory, and what became of it.
#pragma once

#include <cstdint>

#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// One bit to flip at the start of a cycle, before any command of that cycle starts.
/// `accumulators`: five bytes an element, byte address (row * columns + column) * 5 + byte.
struct Injection {
    Space space = Space::activations;
    std::int64_t address = 0;
    int bit = 0;
    std::int64_t cycle = 0;
};

/// Who touches a memory at the moment. Set by a unit before it works; command -1 is the host.
struct Actor {
    std::int64_t command = -1;
    std::int64_t cycle = 0;
};

/// Follows one flipped byte of one memory until something is written over it.
class FlipWatch {
public:
    enum class State { unread, read, overwritten };

    FlipWatch(const Actor& actor, std::int64_t address) : actor_(&actor), address_(address) {}

    std::int64_t address() const { return address_; }
    void on_read(std::int64_t first, std::int64_t bytes) {
        if (address_ < first || address_ >= first + bytes || gone_) return;
        if (state_ == State::unread) {
            state_ = State::read;
            by_ = *actor_;
            last_reader_ = actor_->command;
        } else if (actor_->command != last_reader_) {
            last_reader_ = actor_->command;
            ++further_readers_;
        }
    }
    void on_write(std::int64_t first, std::int64_t bytes) {
        if (address_ < first || address_ >= first + bytes || gone_) return;
        gone_ = true;
        if (state_ == State::unread) {
            state_ = State::overwritten;
            by_ = *actor_;
        }
    }
    /// A FENCE: the byte no longer holds data.
    void on_forget() { gone_ = true; }

    State state() const { return state_; }
    const Actor& by() const { return by_; }  ///< the first reader, or who wrote over it unread
    std::int64_t further_readers() const { return further_readers_; }
    bool gone() const { return gone_; }

private:
    const Actor* actor_;
    std::int64_t address_;
    State state_ = State::unread;
    Actor by_;
    bool gone_ = false;
    std::int64_t last_reader_ = -1;
    std::int64_t further_readers_ = 0;
};

}  // namespace wagesim::rtl
