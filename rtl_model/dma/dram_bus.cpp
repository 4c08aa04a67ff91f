// When Dram bursts cross the data bus (docs/cycles.md, Dram).
#include "dma/dram_bus.h"

#include <algorithm>

namespace wagesim::rtl {

DramBus::DramBus(const MachineConfig& config, std::uint32_t stall_seed)
    : burst_cycles_((config.dram_burst_bytes + config.dram_bytes_per_cycle - 1) /
                    config.dram_bytes_per_cycle),
      latency_(config.dram_latency_cycles),
      outstanding_(config.dram_outstanding),
      state_{{Side{0, 0, 0, 0, 0, 0,
                   std::vector<std::int64_t>(static_cast<std::size_t>(config.dram_outstanding)),
                   StallSource(stall_seed, 100)},
              Side{0, 0, 0, 0, 0, 0, {}, StallSource(stall_seed, 101)}}},
      ahead_(state_) {}

// The cycle from which the side's next burst wants the bus.
std::int64_t DramBus::ready(const State& state, std::size_t side) const {
    const Side& own = state.sides[side];
    std::int64_t request = own.start + own.next;
    if (side == index(DramSide::read)) {
        if (own.next >= outstanding_) request = std::max(request, own.done[own.slot]);
        request += latency_;
    }
    return std::max(request, own.end) + own.extra;
}

DramBus::Grant DramBus::next_grant(const State& state) const {
    Grant best;
    for (std::size_t side = 0; side < 2; ++side) {
        const Side& own = state.sides[side];
        if (own.next == own.bursts) continue;
        const std::int64_t cycle = std::max(ready(state, side), state.free);
        const bool first = best.side == 2 || cycle < best.cycle ||
                           (cycle == best.cycle && side != state.last_granted);
        if (first) best = {side, cycle};
    }
    return best;
}

void DramBus::apply(State& state, const Grant& grant) const {
    Side& own = state.sides[grant.side];
    own.end = grant.cycle + burst_cycles_;
    if (!own.done.empty()) {
        own.done[own.slot] = own.end;
        if (++own.slot == own.done.size()) own.slot = 0;
    }
    ++own.next;
    own.extra = own.stalls.draw(8, 4);
    state.free = own.end;
    state.last_granted = grant.side;
}

void DramBus::settle(std::int64_t now) {
    if (last_grant_ < now && !on_grant_) state_ = ahead_;
    for (;;) {
        const Grant grant = next_grant(state_);
        if (grant.side == 2 || grant.cycle >= now) break;
        apply(state_, grant);
        if (on_grant_)
            on_grant_(grant.side == 0 ? DramSide::read : DramSide::write, grant.cycle,
                      grant.cycle + burst_cycles_);
    }
    settled_ = std::max(settled_, now);
}

void DramBus::begin(DramSide side, std::int64_t now, std::int64_t bursts) {
    settle(now);
    Side& own = state_.sides[index(side)];
    own.start = own.end = now;
    own.bursts = bursts;
    own.next = 0;
    own.slot = 0;
    ahead_ = state_;
    for (Grant grant = next_grant(ahead_); grant.side != 2; grant = next_grant(ahead_)) {
        apply(ahead_, grant);
        last_grant_ = grant.cycle;
    }
    for (std::size_t i = 0; i < 2; ++i) finish_[i] = ahead_.sides[i].end;
}

}  // namespace wagesim::rtl
