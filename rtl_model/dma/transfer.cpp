// The runs of a LOAD or STORE.
#include "dma/transfer.h"

#include <algorithm>
#include <string>

namespace wagesim::rtl {

std::vector<Run> runs_of(const Transfer& transfer) {
    std::vector<Run> runs;
    if (transfer.run_bytes <= 0) return runs;
    const auto& counts = transfer.counts;
    const auto& dram = transfer.dram_strides;
    const auto& buffer = transfer.buffer_strides;
    for (std::int64_t i = 0; i < counts[0]; ++i)
        for (std::int64_t j = 0; j < counts[1]; ++j)
            for (std::int64_t k = 0; k < counts[2]; ++k)
                runs.push_back(
                    {transfer.dram_address + i * dram[0] + j * dram[1] + k * dram[2],
                     transfer.buffer_address + i * buffer[0] + j * buffer[1] + k * buffer[2]});
    return runs;
}

std::int64_t burst_count(const Transfer& transfer, std::int64_t burst_bytes) {
    std::int64_t bursts = 0;
    for (const Run& run : runs_of(transfer)) {
        const std::int64_t last = run.dram_address + transfer.run_bytes - 1;
        bursts += last / burst_bytes - run.dram_address / burst_bytes + 1;
    }
    return bursts;
}

void require_separate_runs(const Transfer& transfer, bool is_store) {
    std::vector<std::int64_t> written;
    for (const Run& run : runs_of(transfer))
        written.push_back(is_store ? run.dram_address : run.buffer_address);
    if (!std::is_sorted(written.begin(), written.end())) std::sort(written.begin(), written.end());
    for (std::size_t i = 1; i < written.size(); ++i)
        if (written[i] - written[i - 1] < transfer.run_bytes)
            throw MachineError(std::string(is_store ? "STORE: two runs write dram byte "
                                                    : "LOAD: two runs write byte ") +
                               std::to_string(written[i]) + (is_store ? "" : " of ") +
                               (is_store ? "" : std::string(to_string(transfer.buffer))));
}

}  // namespace wagesim::rtl
