// The runs of a LOAD or STORE.
#include "dma/transfer.h"

#include <algorithm>
#include <limits>
#include <string>

namespace wagesim::rtl {

namespace {

template <class Function>
void for_each_run(const Transfer& transfer, Function f) {
    if (transfer.run_bytes <= 0) return;
    const auto& counts = transfer.counts;
    const auto& dram = transfer.dram_strides;
    const auto& buffer = transfer.buffer_strides;
    for (std::int64_t i = 0; i < counts[0]; ++i)
        for (std::int64_t j = 0; j < counts[1]; ++j)
            for (std::int64_t k = 0; k < counts[2]; ++k)
                f(Run{transfer.dram_address + i * dram[0] + j * dram[1] + k * dram[2],
                      transfer.buffer_address + i * buffer[0] + j * buffer[1] + k * buffer[2]});
}

}  // namespace

std::vector<Run> runs_of(const Transfer& transfer) {
    std::vector<Run> runs;
    for_each_run(transfer, [&](const Run& run) { runs.push_back(run); });
    return runs;
}

std::int64_t burst_count(const Transfer& transfer, std::int64_t burst_bytes) {
    std::int64_t bursts = 0;
    for_each_run(transfer, [&](const Run& run) {
        const std::int64_t last = run.dram_address + transfer.run_bytes - 1;
        bursts += last / burst_bytes - run.dram_address / burst_bytes + 1;
    });
    return bursts;
}

void require_separate_runs(const Transfer& transfer, bool is_store) {
    const auto address = [&](const Run& run) {
        return is_store ? run.dram_address : run.buffer_address;
    };
    bool rises = true;  // each behind the one before, as nearly always
    std::int64_t free = std::numeric_limits<std::int64_t>::min();
    for_each_run(transfer, [&](const Run& run) {
        rises = rises && address(run) >= free;
        free = address(run) + transfer.run_bytes;
    });
    if (rises) return;
    std::vector<std::int64_t> written;
    for_each_run(transfer, [&](const Run& run) { written.push_back(address(run)); });
    std::sort(written.begin(), written.end());
    for (std::size_t i = 1; i < written.size(); ++i)
        if (written[i] - written[i - 1] < transfer.run_bytes)
            throw MachineError(std::string(is_store ? "STORE: two runs write dram byte "
                                                    : "LOAD: two runs write byte ") +
                               std::to_string(written[i]) + (is_store ? "" : " of ") +
                               (is_store ? "" : std::string(to_string(transfer.buffer))));
}

}  // namespace wagesim::rtl
