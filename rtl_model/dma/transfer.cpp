// The runs of a LOAD or STORE.
#include "dma/transfer.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace wagesim::rtl {

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
