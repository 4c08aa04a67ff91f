// When Dram bursts cross the data bus (docs/cycles.md, Dram).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "control/interfaces.h"
#include "control/random.h"
#include "wagesim/network/datapath.h"

namespace wagesim::rtl {

/// One data bus for reads and writes. Grants are computed ahead, burst by burst, and thrown away
/// from the present cycle on when a command begins: no event per burst, no wait per cycle.
class DramBus {
public:
    /// A burst holds the bus in the cycles [first, end).
    using OnGrant = std::function<void(DramSide, std::int64_t first, std::int64_t end)>;

    DramBus(const MachineConfig& config, std::uint32_t stall_seed);

    /// A side's previous command must be done by `now`; `now` never decreases.
    void begin(DramSide side, std::int64_t now, std::int64_t bursts);
    /// The end of the side's last burst if nobody begins another command.
    std::int64_t finish(DramSide side) const { return finish_[index(side)]; }
    /// Every grant before `now` is final (and shown).
    void settle(std::int64_t now);
    void show_grants(OnGrant on_grant) { on_grant_ = std::move(on_grant); }
    /// No grant before this cycle will be shown any more.
    std::int64_t settled() const { return settled_; }

private:
    struct Side {
        std::int64_t start = 0, bursts = 0;
        std::int64_t next = 0;   ///< the burst that wants the bus
        std::size_t slot = 0;    ///< of `done`, that it takes
        std::int64_t extra = 0;  ///< its random delay
        std::int64_t end = 0;    ///< of the burst before
        std::vector<std::int64_t>
            done;  ///< of the last `dram_outstanding` bursts, by burst modulo it
        StallSource stalls;
    };
    struct State {
        std::array<Side, 2> sides;
        std::int64_t free = 0;  ///< the bus is free from here on
        std::size_t last_granted = 1;
    };
    struct Grant {
        std::size_t side = 2;  ///< 2: nobody wants the bus
        std::int64_t cycle = 0;
    };
    static std::size_t index(DramSide side) { return side == DramSide::read ? 0 : 1; }
    std::int64_t ready(const State& state, std::size_t side) const;
    Grant next_grant(const State& state) const;
    void apply(State& state, const Grant& grant) const;

    const std::int64_t burst_cycles_, latency_, outstanding_;
    State state_;  // all grants before settled_
    State ahead_;  // all grants, if nobody begins another command
    std::int64_t last_grant_ = 0;
    std::int64_t settled_ = 0;
    std::array<std::int64_t, 2> finish_{};
    OnGrant on_grant_;
};

}  // namespace wagesim::rtl
