// The tables and the timeline of a run directory: see document.h.
#include <sstream>

#include "report/document.h"

namespace wagesim::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr Unit units[] = {Unit::dma_read, Unit::dma_write, Unit::weight_loader, Unit::array,
                          Unit::drain,    Unit::vector,    Unit::update};

}  // namespace

std::string stats_csv(const Network& network, const Recorder& recorder) {
    std::ostringstream out;
    out << "pass,phase,layers,cycles,macs,pe_slots,utilisation,macs_per_dram_byte,"
           "attainable_macs_per_cycle,roofline_share,bound,unit,busy,idle";
    for (int cause = 0; cause < stall_cause_count; ++cause)
        out << ",stall_" << to_string(static_cast<StallCause>(cause));
    for (int space = 0; space < space_count; ++space)
        for (const char* way : {"_read_bytes", "_written_bytes"})
            out << ',' << to_string(static_cast<Space>(space)) << way;
    out << "\n";
    int index = 0;
    for (const auto& pass : recorder.passes()) {
        std::ostringstream whole;
        whole << index++ << ',' << to_string(pass.phase) << ',' << layer_names(network, pass.layers)
              << ',' << pass.cycles << ',' << pass.macs << ',' << pass.pe_slots << ','
              << recorder.utilisation(pass) << ',';
        if (const auto roofline = recorder.roofline(pass))
            whole << roofline->macs_per_byte << ',' << roofline->attainable << ','
                  << roofline->share << ',' << (roofline->memory_bound ? "memory" : "compute");
        else
            whole << ",,,";
        for (const Unit unit : units) {
            const UnitStats& stats = pass.of(unit);
            out << whole.str() << ',' << to_string(unit) << ',' << stats.busy << ','
                << pass.idle(unit);
            for (const auto stall : stats.stalls) out << ',' << stall;
            for (std::size_t space = 0; space < space_count; ++space)
                out << ',' << stats.bytes_read[space] << ',' << stats.bytes_written[space];
            out << "\n";
        }
    }
    return out.str();
}

std::string tensors_csv(const Json& document) {
    std::ostringstream out;
    out << "tensor,n,c,h,w,bits,frac,signed,checked,mismatches,saturations,wraps,underflows,"
           "align_rounded,least_exponent,largest_exponent,certified,sqnr_db,largest_error,crc32\n";
    for (const Json& tensor : document["tensors"]) {
        const auto optional = [&](const char* key) {
            return tensor.contains(key) ? tensor[key].dump() : std::string();
        };
        const auto exponent = [&](std::size_t which) {
            return tensor.contains("exponents") ? tensor["exponents"][which].dump() : std::string();
        };
        out << tensor["tensor"].get<std::string>();
        for (const auto& extent : tensor["shape"]) out << ',' << extent;
        out << ',' << tensor["bits"] << ',' << tensor["frac"] << ',' << tensor["signed"] << ','
            << tensor["checked"] << ',' << tensor["mismatches"] << ',' << tensor["saturations"]
            << ',' << tensor["wraps"] << ',' << tensor["underflows"] << ','
            << tensor["align_rounded"] << ',' << exponent(0) << ',' << exponent(1) << ','
            << tensor["certified"] << ',' << optional("sqnr_db") << ',' << optional("largest_error")
            << ','
            << (tensor.contains("crc32") ? tensor["crc32"].get<std::string>() : std::string())
            << "\n";
    }
    return out.str();
}

std::string commands_csv(const Network& network, const Recorder& recorder) {
    std::ostringstream out;
    out << "batch,command,mnemonic,unit,phase,layer,tile,issued,started,busy,finished,stall,"
           "cause\n";
    for (const auto& record : recorder.commands()) {
        std::int64_t stall = 0;
        std::size_t worst = 0;
        for (std::size_t cause = 0; cause < stall_cause_count; ++cause) {
            stall += record.retired.stalls[cause];
            if (record.retired.stalls[cause] > record.retired.stalls[worst]) worst = cause;
        }
        out << record.batch << ',' << record.retired.command << ',' << record.mnemonic << ','
            << (record.is_fence ? std::string_view("scheduler") : to_string(record.unit)) << ','
            << to_string(record.phase) << ','
            << (record.layer < 0 ? std::string() : network.name_of(record.layer)) << ','
            << record.tile << ',' << record.retired.issued << ',' << record.retired.started << ','
            << record.retired.busy << ',' << record.retired.finished << ',' << stall << ','
            << (stall > 0 ? to_string(static_cast<StallCause>(worst)) : std::string_view()) << "\n";
    }
    return out.str();
}

std::string timeline_json(const Network& network, const Recorder& recorder) {
    std::ostringstream out;
    out << "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
    out << R"x({"ph":"M","pid":1,"name":"process_name","args":{"name":"wagesim (1 us = 1 cycle)"}})x";
    int tid = 0;
    for (const Unit unit : units)
        out << ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":" << ++tid
            << ",\"name\":\"thread_name\",\"args\":{\"name\":\"" << to_string(unit) << "\"}}";
    for (const auto& record : recorder.commands()) {
        if (record.is_fence) continue;
        out << ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":" << static_cast<int>(record.unit) + 1
            << ",\"ts\":" << record.retired.started << ",\"dur\":" << record.retired.busy
            << ",\"name\":" << Json(record.mnemonic + " " + network.name_of(record.layer)).dump()
            << ",\"args\":{\"command\":" << record.retired.command << ",\"tile\":" << record.tile
            << ",\"batch\":" << record.batch << "}}";
    }
    out << "\n]}\n";
    return out.str();
}

}  // namespace wagesim::report
