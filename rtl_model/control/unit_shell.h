// What every execution unit has in common: its queue, its tokens, its stalls.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <systemc>
#include <vector>

#include "control/bank_claims.h"
#include "control/effects.h"
#include "control/executor.h"
#include "control/interfaces.h"
#include "control/random.h"
#include "control/waves.h"

namespace wagesim::rtl {

/// What the units of a machine share besides their ports.
struct UnitServices {
    const MachineConfig& config;
    Effects& effects;
    BankClaims& claims;
    Waves* waves = nullptr;  ///< null: nobody watches
    std::uint32_t stall_seed = 0;
};

/// Takes commands in order, waits for their tokens, has them carried out, and gives their tokens
/// (docs/cycles.md, a command's life).
class UnitShell : public sc_core::sc_module {
public:
    sc_core::sc_port<CommandSource> commands{"commands"};
    sc_core::sc_port<TokenPort> tokens{"tokens"};
    sc_core::sc_port<ControlPort> control{"control"};

    UnitShell(const sc_core::sc_module_name& name, Unit unit, const UnitServices& services);

    /// Idle before this cycle is no stall, and busy cycles count from here on.
    void begin_run(std::int64_t now);
    std::int64_t busy_cycles() const { return busy_cycles_; }  ///< since begin_run
    /// What the command at the head waits for; empty: there is none.
    std::string waiting() const;

protected:
    /// The command starts in the present cycle: does its work.
    virtual void begin(const Issued& issued) = 0;
    /// When the unit is free again, as far as known; asked again in that cycle.
    virtual std::int64_t busy_until() = 0;
    /// That cycle has come.
    virtual void end(const Issued& issued) = 0;
    /// Tokens are given in the present cycle: what they promise must have happened.
    virtual void settle() {}

    /// The unit is free in cycle `free`, and the command done (tokens given, retired) `latency`
    /// later.
    void complete_at(std::int64_t free, std::int64_t latency);
    /// Gives these in that cycle.
    void give_at(std::int64_t cycle, const Tokens& tokens);
    static std::int64_t now();

    const UnitServices services_;
    const Unit unit_;
    std::vector<Access> accesses_;  // of the command that is carried out

private:
    struct Gift {
        std::int64_t cycle = 0;
        const Tokens* tokens = nullptr;
        bool retires = false;
        Retired retired;
    };
    enum class Step { fetch, tokens, start, busy };
    void run();
    bool advance();  // false: it waits, and a next_trigger is set
    void fetched();
    bool has_tokens();
    void start();
    void count(const Command& command);
    void finish();
    void hand_out();
    Gift& gift_at(std::int64_t cycle, bool needs_event);
    void stall(StallCause cause);

    StallSource stalls_;
    Step step_ = Step::fetch;
    Issued current_;
    std::optional<StallCause> lacking_;  // since lacking_since_
    std::int64_t lacking_since_ = 0;
    Retired retired_;  // of current_, so far
    std::int64_t free_ = 0;
    std::int64_t busy_cycles_ = 0;
    std::deque<Gift> gifts_;  // the earliest first; of equal cycles, the first scheduled
    sc_core::sc_event due_{"due"};
};

/// A unit whose work and duration are an Executor's.
class ComputeUnit : public UnitShell {
public:
    ComputeUnit(const sc_core::sc_module_name& name, Unit unit, const UnitServices& services,
                Executor& executor);

private:
    void begin(const Issued& issued) override;
    std::int64_t busy_until() override { return until_; }
    void end(const Issued&) override {}
    void settle() override { executor_.settle(now()); }
    void clock();

    Executor& executor_;
    std::int64_t until_ = 0, done_ = 0;  // of the command that began last
    bool clocked_ = false;               // clock() is under way
    sc_core::sc_event begun_{"begun"};
};

}  // namespace wagesim::rtl
