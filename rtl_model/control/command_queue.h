// The queue between the scheduler and one unit.
#pragma once

#include <cstddef>
#include <deque>
#include <systemc>

#include "control/interfaces.h"

namespace wagesim::rtl {

/// `depth` commands, in order. An entry is free again in the cycle its command starts.
class CommandQueue : public sc_core::sc_module, public CommandSink, public CommandSource {
public:
    CommandQueue(const sc_core::sc_module_name& name, int depth)
        : sc_module(name), depth_(static_cast<std::size_t>(depth)) {}

    bool has_room() const override { return entries_.size() < depth_; }
    void push(const Issued& issued) override {
        if (entries_.empty()) pushed_.notify(sc_core::SC_ZERO_TIME);
        entries_.push_back(issued);
    }
    const sc_core::sc_event& room_made() const override { return room_made_; }

    const Issued* head() const override { return entries_.empty() ? nullptr : &entries_.front(); }
    void pop() override {
        if (!has_room()) room_made_.notify(sc_core::SC_ZERO_TIME);
        entries_.pop_front();
    }
    const sc_core::sc_event& pushed() const override { return pushed_; }

private:
    const std::size_t depth_;
    std::deque<Issued> entries_;
    sc_core::sc_event pushed_{"pushed"}, room_made_{"room_made"};
};

}  // namespace wagesim::rtl
