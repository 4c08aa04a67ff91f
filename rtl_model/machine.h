// The whole accelerator: scheduler, seven units, their memories and the Dram.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <systemc>
#include <vector>

#include "array/array_waves.h"
#include "buffer/injection.h"
#include "buffer/memories.h"
#include "control/bank_claims.h"
#include "control/command_queue.h"
#include "control/effects.h"
#include "control/executor.h"
#include "control/scheduler.h"
#include "control/token_file.h"
#include "control/unit_shell.h"
#include "control/waves.h"
#include "dma/dma_unit.h"
#include "dma/dram.h"
#include "update/draws.h"
#include "wagesim/network/datapath.h"
#include "wagesim/program/command.h"
#include "wagesim/program/probe.h"
#include "wagesim/trace/wave.h"

namespace wagesim::rtl {

/// How the array works: a command at once, or every PE register in every cycle. Same results,
/// same cycles.
enum class Fidelity { tile, register_accurate };

struct MachineOptions {
    Fidelity fidelity = Fidelity::tile;
    int quantum = 64;  ///< cycles that the registers may lag behind simulated time, at most
    std::uint32_t stall_seed = 0;  ///< random back-pressure; 0: none
    std::optional<Injection> injection;
    trace::WaveSink* wave = nullptr;
    PortWidths ports;  ///< as waves show them
    /// More than one: a second does the work on data, at tile fidelity without waves and injection.
    int threads = 1;
    DrawSource draws;  ///< of the update unit; empty: the streams of docs/datapath.md
};

/// What became of the injected bit.
struct InjectionFate {
    bool hit = false;   ///< the byte held data, and one of its bits was inverted
    std::string story;  ///< one sentence
};

/// The parts that do the compute units' work.
struct Executors {
    std::unique_ptr<Executor> weight_loader, array, drain, vector, update;
    std::shared_ptr<void> shared;  ///< what they share among themselves: lives as long as they
    /// That PEs did, where the array is stepped; empty: unknown.
    std::function<std::int64_t()> pe_operations;
};
using ExecutorFactory =
    std::function<Executors(const MachineConfig&, const MachineOptions&, Memories&, Watch&)>;

Executors compute_units(const MachineConfig& config, const MachineOptions& options,
                        Memories& memories, Watch& watch);

/// One per process (SystemC elaborates once). Not modelled: refresh and pages of the Dram, the
/// banks of other buffers than the activations, the host's bus.
class Machine : public sc_core::sc_module {
public:
    Machine(const sc_core::sc_module_name& name, const MachineConfig& config,
            const MachineOptions& options, const ExecutorFactory& make_executors = compute_units);
    ~Machine() override;

    /// Storage for a program's Dram at once. Throws InputError where the machine has less.
    void reserve_dram(std::int64_t bytes);
    /// The host's access, outside simulated time. Reading a byte that neither the host nor a
    /// STORE wrote throws MachineError.
    void write_dram(std::int64_t address, const std::uint8_t* data, std::int64_t bytes);
    void read_dram(std::int64_t address, std::uint8_t* data, std::int64_t bytes) const;

    /// Of one run. Bytes as Access counts them (control/access.h), by Space.
    struct Totals {
        std::int64_t cycles = 0;
        std::int64_t macs = 0;
        std::int64_t padding_slots = 0;  ///< PE slots of streamed rows that carry no MAC
        std::int64_t pe_operations = 0;  ///< counted PE by PE: macs + padding_slots; tile: 0
        std::int64_t dram_read_bytes = 0, dram_write_bytes = 0;
        std::int64_t dram_read_bursts = 0, dram_write_bursts = 0;
        std::array<std::int64_t, space_count> bytes_read{}, bytes_written{};
        std::array<std::int64_t, unit_count> busy{};
    };
    /// Executes a program to its end. May be called again: simulated time and the memories go on,
    /// and cycles in Retired and Tap are counted since the first run. Throws InputError if the
    /// program needs more Dram than there is, MachineError if it does the impossible or cannot
    /// end; after a MachineError (or an exception of the probe) the machine is not usable.
    Totals run(const Program& program, Probe& probe, const StepRegisters& step = {});

    /// Null if nothing was to be injected.
    std::optional<InjectionFate> fate() const;
    std::int64_t cycle() const;

private:
    void inject();
    void note_first_touch(const Program& program);
    std::string deadlock() const;

    const MachineConfig config_;
    const std::optional<Injection> injection_;
    Memories memories_;
    BankClaims claims_;
    std::unique_ptr<Waves> waves_;
    Watch watch_;
    Executors executors_;
    Effects effects_;

    Dram dram_;
    TokenFile tokens_;
    Scheduler scheduler_;
    std::vector<std::unique_ptr<CommandQueue>> queues_;
    std::vector<std::unique_ptr<UnitShell>> units_;
    const DmaUnit* dma_read_ = nullptr;
    const DmaUnit* dma_write_ = nullptr;

    FlipWatch flip_watch_;
    sc_core::sc_event injection_due_{"injection_due"};
    bool injection_reached_ = false, injection_hit_ = false;
    std::string first_touch_;  // the command that flip_watch_ names
    bool failed_ = false;
};

}  // namespace wagesim::rtl
