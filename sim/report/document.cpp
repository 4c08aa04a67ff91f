// The run's document: see document.h.
#include "report/document.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "wagesim/version.h"

namespace wagesim::report {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const check::Mismatch& mismatch, const check::Judge& judge) {
    return {{"tensor", judge.name_of(mismatch.qp)},
            {"at", mismatch.at},
            {"cycle", mismatch.cycle},
            {"command", mismatch.command},
            {"expected", mismatch.expected},
            {"expected_hex", mismatch.expected_hex},
            {"expected_value", mismatch.expected_value},
            {"got", mismatch.got},
            {"got_hex", mismatch.got_hex},
            {"got_value", mismatch.got_value},
            {"first_differing_bit", mismatch.first_bit},
            {"cause", check::to_string(mismatch.cause)},
            {"text", judge.describe(mismatch)}};
}

Json to_json(const check::TensorVerdict& verdict, const check::Judge& judge) {
    const Shape& s = verdict.shape;
    Json json{{"tensor", judge.name_of(verdict.qp)},
              {"layer", verdict.qp.layer},
              {"qp", to_string(verdict.qp.qp)},
              {"shape", {s.n, s.c, s.h, s.w}},
              {"bits", verdict.format.bits},
              {"frac", verdict.format.frac},
              {"signed", verdict.format.is_signed},
              {"checked", verdict.checked},
              {"mismatches", verdict.mismatches},
              {"saturations", verdict.saturations},
              {"wraps", verdict.wraps},
              {"underflows", verdict.underflows},
              {"align_rounded", verdict.align_rounded},
              {"certified", verdict.certified}};
    if (verdict.exponents)
        json["exponents"] = {verdict.exponents->first, verdict.exponents->second};
    if (verdict.qp.qp == Qp::y || verdict.qp.qp == Qp::z)
        json["differs_from_wide_accumulator"] = verdict.differs_from_wide;
    if (!verdict.certified) json["why_not_certified"] = verdict.why_not;
    if (verdict.sqnr_db) json["sqnr_db"] = *verdict.sqnr_db;
    if (verdict.largest_error) json["largest_error"] = *verdict.largest_error;
    if (verdict.first) {
        json["first_mismatch"] = to_json(*verdict.first, judge);
        for (const auto& [cause, count] : verdict.causes)
            json["causes"][std::string(check::to_string(cause))] = count;
    }
    return json;
}

/// A pass's counters: what docs/cycles.md defines.
Json counters(const PassStats& pass, const Recorder& recorder) {
    const auto roofline = recorder.roofline(pass);
    Json json{{"cycles", pass.cycles},
              {"macs", pass.macs},
              {"pe_slots", pass.pe_slots},
              {"utilisation", recorder.utilisation(pass)},
              {"roofline", nullptr}};
    if (roofline)
        json["roofline"] = {{"macs_per_dram_byte", roofline->macs_per_byte},
                            {"attainable_macs_per_cycle", roofline->attainable},
                            {"share", roofline->share},
                            {"bound", roofline->memory_bound ? "memory" : "compute"}};
    for (int i = 0; i < space_count; ++i) {
        const auto space = static_cast<Space>(i);
        json["bytes"][std::string(to_string(space))] = {{"read", pass.bytes_read(space)},
                                                        {"written", pass.bytes_written(space)}};
    }
    for (int i = 0; i < unit_count; ++i) {
        const auto unit = static_cast<Unit>(i);
        Json& cycles = json["units"][std::string(to_string(unit))];
        cycles = {{"busy", pass.of(unit).busy}, {"idle", pass.idle(unit)}};
        for (std::size_t cause = 0; cause < stall_cause_count; ++cause)
            cycles["stalls"][std::string(to_string(static_cast<StallCause>(cause)))] =
                pass.of(unit).stalls[cause];
    }
    return json;
}

}  // namespace

std::string grouped(std::int64_t value) {
    std::string digits = std::to_string(std::abs(value));
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
        digits.insert(static_cast<std::size_t>(at), ",");
    return value < 0 ? "-" + digits : digits;
}

Json document(const RunFacts& facts, const Network& network, const Datapath& datapath,
              const Recorder& recorder, const check::Judge& judge) {
    std::int64_t saturations = 0, wraps = 0, underflows = 0;
    for (const auto& verdict : judge.verdicts()) {
        saturations += verdict.saturations;
        wraps += verdict.wraps;
        underflows += verdict.underflows;
    }
    const MachineConfig& machine = datapath.machine;

    Json json;
    json["summary"] = {{"mode", facts.mode},
                       {"fidelity", facts.fidelity},
                       {"images", facts.images},
                       {"steps", facts.steps},
                       {"tensors_checked", judge.tensors_checked()},
                       {"elements_checked", judge.elements_checked()},
                       {"mismatches", judge.mismatches()},
                       {"uncertified", judge.uncertified()},
                       {"findings", judge.findings().size()},
                       {"cycles", recorder.cycles()},
                       {"macs", recorder.total().macs},
                       {"saturations", saturations},
                       {"wraps", wraps},
                       {"underflows", underflows},
                       {"accuracy", facts.accuracy ? Json(*facts.accuracy) : Json(nullptr)},
                       {"loss", facts.loss ? Json(*facts.loss) : Json(nullptr)},
                       {"wall_seconds", facts.wall_seconds},
                       {"seed", facts.seed},
                       {"version", version}};
    json["run"] = {{"network", network.name},
                   {"network_file", facts.network_file},
                   {"datapath", facts.datapath_name},
                   {"data", facts.data},
                   {"weights", facts.weights},
                   {"golden", facts.golden},
                   {"batch_norm", facts.batch_norm},
                   {"batch", facts.batch},
                   {"stall_seed", facts.stall_seed},
                   {"injection", facts.injection},
                   {"injection_story", facts.injection_story},
                   {"cycle_convention", "wagesim"},
                   {"clock_hz", machine.clock_hz},
                   {"array", {machine.array_rows, machine.array_columns}}};

    for (const auto& pass : recorder.passes()) {
        Json row{{"phase", to_string(pass.phase)}, {"layers", layer_names(network, pass.layers)}};
        row.update(counters(pass, recorder));
        json["passes"].push_back(row);
    }
    json["total"] = counters(recorder.total(), recorder);

    // One row per layer and phase: a pass's cycles stand at the first layer it computes.
    std::map<std::pair<Phase, int>, Json> rows;
    const auto row_of = [&](Phase phase, int layer) -> Json& {
        // Quantised parameters belong to the layer, not to the prologue.
        const auto key = std::pair(phase == Phase::prepare ? Phase::forward : phase, layer);
        const auto [row, is_new] = rows.try_emplace(key);
        if (is_new)
            row->second = {
                {"layer", network.name_of(layer)},
                {"type", layer < 0 ? "input"
                                   : std::string(to_string(
                                         network.layers[static_cast<std::size_t>(layer)].type))},
                {"phase", to_string(key.first)},
                {"cycles", nullptr},
                {"with", nullptr},
                {"macs", 0},
                {"utilisation", nullptr},
                {"saturations", 0},
                {"wraps", 0},
                {"underflows", 0},
                {"exponents", Json::object()},
                {"elements_checked", 0},
                {"mismatches", 0},
                {"sqnr_db", nullptr},
                {"largest_error", nullptr}};
        return row->second;
    };
    for (int i = -1; i < static_cast<int>(network.layers.size()); ++i) row_of(Phase::forward, i);
    for (const auto& pass : recorder.passes()) {
        if (pass.phase == Phase::prepare) continue;
        int first = -2;
        for (const int layer : pass.layers) {
            if (layer < 0) continue;
            Json& row = row_of(pass.phase, layer);
            if (first == -2) {
                first = layer;
                const std::int64_t before =
                    row["cycles"].is_null() ? 0 : row["cycles"].get<std::int64_t>();
                row["cycles"] = before + pass.cycles;
                row["macs"] = row["macs"].get<std::int64_t>() + pass.macs;
            } else if (row["cycles"].is_null()) {
                row["with"] = network.name_of(first);
            }
        }
    }
    for (const auto& verdict : judge.verdicts()) {
        Json& row = row_of(recorder.phase_of(verdict.qp), verdict.qp.layer);
        const auto add = [&](const char* key, std::int64_t count) {
            row[key] = row[key].get<std::int64_t>() + count;
        };
        add("saturations", verdict.saturations);
        add("wraps", verdict.wraps);
        add("underflows", verdict.underflows);
        add("elements_checked", verdict.checked);
        add("mismatches", verdict.mismatches);
        if (verdict.exponents)
            row["exponents"][std::string(to_string(verdict.qp.qp))] = {verdict.exponents->first,
                                                                       verdict.exponents->second};
        if (verdict.sqnr_db) row["sqnr_db"] = *verdict.sqnr_db;
        if (verdict.largest_error) row["largest_error"] = *verdict.largest_error;
        json["tensors"].push_back(to_json(verdict, judge));
    }
    const double peak = static_cast<double>(machine.array_rows) * machine.array_columns;
    for (auto& [key, row] : rows) {
        if (row["macs"] != 0)
            row["utilisation"] = row["macs"].get<double>() / (row["cycles"].get<double>() * peak);
        json["layers"].push_back(row);
    }
    for (const auto& finding : judge.findings())
        json["findings"].push_back({{"tensor", finding.layer_qp}, {"text", finding.text}});
    if (judge.first_mismatch()) json["first_mismatch"] = to_json(*judge.first_mismatch(), judge);
    json["configuration"] = Json::parse(wagesim::to_json(datapath));
    return json;
}

}  // namespace wagesim::report
