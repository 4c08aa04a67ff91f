// What commands do to data, in the order of simulated time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "buffer/memories.h"
#include "control/executor.h"
#include "wagesim/program/probe.h"

namespace wagesim::rtl {

/// Simulated time depends on commands alone, never on the codes that they move. So the work on the
/// codes can be done at once, or by a thread that lags behind: everything happens in the same
/// order, and with the same results.
class Effects {
public:
    /// `beside`: on a thread of its own. Nothing else may then touch the memories, or `watch`,
    /// before settle().
    Effects(Memories& memories, const Watch& watch, bool beside);
    ~Effects();
    Effects(const Effects&) = delete;
    Effects& operator=(const Effects&) = delete;

    struct Start {
        DataWork* unit = nullptr;
        const Command* command = nullptr;  ///< exists until the FENCE after it
        std::int64_t index = 0, cycle = 0;
        Work work;
    };
    struct End {
        DataWork* unit = nullptr;
        const Command* command = nullptr;
        std::int64_t index = 0, cycle = 0;
    };
    /// A command starts; a transfer ends; a command is done, which the probe hears. Throw what
    /// these, or earlier ones, threw; nothing happens after an error.
    void happens(const Start& start) { add(start); }
    void happens(const End& end) { add(end); }
    void happens(const Retired& retired) { add(retired); }
    /// Returns when everything has happened. Throws likewise.
    void settle();

private:
    using Effect = std::variant<Start, End, Retired>;
    void carry_out(const Start& start);
    void carry_out(const End& end);
    void carry_out(const Retired& retired);
    template <class Kind>
    void add(const Kind& effect);
    void hand_over();
    void work();

    Memories& memories_;
    const Watch& watch_;

    const bool beside_;
    std::vector<Effect> gathered_;  // not yet handed over
    std::mutex mutex_;              // of everything below
    std::condition_variable handed_over_, done_;
    std::deque<std::vector<Effect>> waiting_;  // the first of them is being carried out
    std::vector<std::vector<Effect>> spare_;   // room for more
    std::exception_ptr error_;
    bool ends_ = false;
    std::thread thread_;
};

}  // namespace wagesim::rtl
