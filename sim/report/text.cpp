// The table for a terminal: see document.h.
#include <cstdio>
#include <sstream>
#include <vector>

#include "report/document.h"
#include "report/table.h"

namespace wagesim::report {
namespace {

using Json = nlohmann::ordered_json;

std::string fixed(double value, int digits) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

std::string count_or_dash(const Json& value) {
    return value.is_null() ? "-" : grouped(value.get<std::int64_t>());
}

std::string cycles_of(const Json& layer) {
    if (!layer.at("cycles").is_null()) return count_or_dash(layer.at("cycles"));
    return layer.at("with").is_null() ? "-" : "in " + layer.at("with").get<std::string>();
}

std::string percent_or_dash(const Json& share) {
    return share.is_null() ? "-" : fixed(100 * share.get<double>(), 1);
}

bool is_judged(const Json& document) { return document.at("run").at("golden") != "none"; }

std::vector<std::vector<std::string>> inference_rows(const Json& document) {
    const bool judged = is_judged(document);
    std::vector<std::vector<std::string>> rows{{"layer", "type", "cycles", "MACs", "util %", "sat",
                                                "wraps", "checked", "mismatches", "SQNR dB",
                                                "max error"}};
    for (const Json& layer : document.at("layers"))
        rows.push_back(
            {layer.at("layer"), layer.at("type"), cycles_of(layer), count_or_dash(layer.at("macs")),
             percent_or_dash(layer.at("utilisation")), count_or_dash(layer.at("saturations")),
             count_or_dash(layer.at("wraps")),
             judged ? count_or_dash(layer.at("elements_checked")) : "-",
             judged ? count_or_dash(layer.at("mismatches")) : "-",
             layer.at("sqnr_db").is_null() ? "-" : fixed(layer.at("sqnr_db").get<double>(), 1),
             layer.at("largest_error").is_null()
                 ? "-"
                 : fixed(layer.at("largest_error").get<double>(), 4)});
    return rows;
}

/// "E1 -9 E2 -11..-10": of what SQ and FQ made; the others follow from these.
std::string exponents_of(const Json& layer) {
    std::string text;
    for (const char* qp : {"E1", "E1m", "E2"}) {
        if (!layer.at("exponents").contains(qp)) continue;
        text +=
            (text.empty() ? "" : " ") + std::string(qp) + " " + range_of(layer["exponents"][qp]);
    }
    return text.empty() ? "-" : text;
}

/// Phase by phase, each in the order of the network.
std::vector<std::vector<std::string>> training_rows(const Json& document) {
    const bool judged = is_judged(document);
    std::vector<std::vector<std::string>> rows{{"phase", "layer", "cycles", "MACs", "util %", "sat",
                                                "wraps", "to zero", "exponents", "checked",
                                                "mismatches"}};
    for (const Json& layer : document.at("layers"))
        rows.push_back({layer.at("phase"), layer.at("layer"), cycles_of(layer),
                        count_or_dash(layer.at("macs")), percent_or_dash(layer.at("utilisation")),
                        count_or_dash(layer.at("saturations")), count_or_dash(layer.at("wraps")),
                        count_or_dash(layer.at("underflows")), exponents_of(layer),
                        judged ? count_or_dash(layer.at("elements_checked")) : "-",
                        judged ? count_or_dash(layer.at("mismatches")) : "-"});
    return rows;
}

}  // namespace

std::string range_of(const Json& least_and_largest) {
    const std::string least = least_and_largest[0].dump();
    return least_and_largest[0] == least_and_largest[1]
               ? least
               : least + ".." + least_and_largest[1].dump();
}

std::string pass_name(const Json& pass) {
    const auto phase = pass.at("phase").get<std::string>();
    if (phase == to_string(Phase::prepare)) return phase;
    const auto layers = pass.at("layers").get<std::string>();
    const std::string first = layers.substr(0, layers.find('+'));
    return phase == to_string(Phase::forward) ? first : first + " " + phase;
}

std::vector<std::vector<std::string>> pass_table(const Json& document) {
    const Json& array_stalls = document.at("total").at("units").at("array").at("stalls");
    std::vector<std::string> causes;
    for (const auto& [cause, cycles] : array_stalls.items())
        if (cycles != 0) causes.push_back(cause);

    std::vector<std::string> head{"pass", "cycles", "busy"};
    head.insert(head.end(), causes.begin(), causes.end());
    for (const char* name : {"idle", "Dram bytes", "MAC/B", "bound", "roofline %"})
        head.emplace_back(name);
    std::vector<std::vector<std::string>> rows{head};
    const auto add = [&](const std::string& name, const Json& pass) {
        const Json& array = pass.at("units").at("array");
        const auto cycles = pass.at("cycles").get<double>();
        const auto percent = [&](const Json& part) {
            return fixed(cycles > 0 ? 100 * part.get<double>() / cycles : 0.0, 1);
        };
        std::vector<std::string> row{name, count_or_dash(pass.at("cycles")),
                                     percent(array.at("busy"))};
        for (const std::string& cause : causes) row.push_back(percent(array["stalls"].at(cause)));
        row.push_back(percent(array.at("idle")));
        const Json& dram = pass.at("bytes").at("dram");
        row.push_back(
            grouped(dram.at("read").get<std::int64_t>() + dram.at("written").get<std::int64_t>()));
        const Json& roofline = pass.at("roofline");
        if (roofline.is_null()) {
            row.insert(row.end(), 3, "-");
        } else {
            row.push_back(fixed(roofline.at("macs_per_dram_byte").get<double>(), 1));
            row.push_back(roofline.at("bound").get<std::string>());
            row.push_back(fixed(100 * roofline.at("share").get<double>(), 1));
        }
        rows.push_back(row);
    };
    for (const Json& pass : document.at("passes")) add(pass_name(pass), pass);
    add("total", document.at("total"));
    return rows;
}

std::vector<std::vector<std::string>> layer_table(const Json& document) {
    return document.at("summary").at("mode") == "train" ? training_rows(document)
                                                        : inference_rows(document);
}

std::string to_text(const Json& document) {
    const Json& summary = document.at("summary");
    const Json& run = document.at("run");
    const bool judged = is_judged(document);
    const bool trains = summary.at("mode") == "train";
    std::ostringstream out;
    out << run.at("network").get<std::string>() << ", ";
    if (trains)
        out << summary.at("steps")
            << (summary.at("steps") == 1 ? " training step" : " training steps") << " of "
            << run.at("batch") << " images";
    else
        out << summary.at("images") << " images in batches of " << run.at("batch")
            << ", batch norm with " << run.at("batch_norm").get<std::string>() << " statistics";
    out << "; datapath " << run.at("datapath").get<std::string>() << ", array "
        << run.at("array").at(0) << "x" << run.at("array").at(1) << ", fidelity "
        << summary.at("fidelity").get<std::string>() << "; weights "
        << run.at("weights").get<std::string>() << "\n\n"
        << table(layer_table(document), 2) << "\n";

    const Json& machine = document.at("configuration").at("machine");
    out << "where the array's cycles go (%): busy, waiting, idle; roofline of "
        << run.at("array").at(0).get<std::int64_t>() * run.at("array").at(1).get<std::int64_t>()
        << " MACs and " << machine.at("dram_bytes_per_cycle").at("value") << " Dram bytes a cycle\n"
        << table(pass_table(document), 1) << "\n";

    std::int64_t prepare = 0;
    for (const Json& pass : document.at("passes"))
        if (pass.at("phase") == "prepare") prepare += pass.at("cycles").get<std::int64_t>();
    const auto cycles = summary.at("cycles").get<std::int64_t>();
    const double array = run.at("array").at(0).get<double>() * run.at("array").at(1).get<double>();
    out << "cycles    " << grouped(cycles) << " (" << grouped(prepare)
        << " of them to quantise the parameters), "
        << fixed(static_cast<double>(cycles) / run.at("clock_hz").get<double>() * 1e6, 1)
        << " us at the modelled clock; convention: "
        << run.at("cycle_convention").get<std::string>() << "\n"
        << "MACs      " << grouped(summary.at("macs").get<std::int64_t>()) << ", "
        << fixed(cycles > 0 ? 100 * summary.at("macs").get<double>() /
                                  (static_cast<double>(cycles) * array)
                            : 0.0,
                 1)
        << " % of the array's slots\n";
    if (!summary.at("accuracy").is_null())
        out << "accuracy  " << fixed(100 * summary.at("accuracy").get<double>(), 2) << " % of "
            << summary.at("images") << " images\n";
    if (!summary.at("loss").is_null())
        out << "loss      " << fixed(summary.at("loss").get<double>(), 4) << "\n";
    out << "wall      " << fixed(summary.at("wall_seconds").get<double>(), 3) << " s\n";
    if (!run.at("injection").get<std::string>().empty())
        out << "injected  " << run.at("injection").get<std::string>() << ": "
            << run.at("injection_story").get<std::string>() << "\n";

    if (!judged) {
        out << "\nNOT CHECKED (--golden none)\n";
        return out.str();
    }
    for (const Json& tensor : document.at("tensors"))
        if (!tensor.at("certified").get<bool>())
            out << "\nuncertified: " << tensor.at("tensor").get<std::string>() << ": "
                << tensor.at("why_not_certified").get<std::string>() << "\n";
    int shown = 0;
    if (document.contains("findings"))
        for (const Json& finding : document.at("findings")) {
            if (++shown > 10) {
                out << "... and " << document.at("findings").size() - 10 << " more findings\n";
                break;
            }
            out << "\nfinding: " << finding.at("tensor").get<std::string>() << ": "
                << finding.at("text").get<std::string>() << "\n";
        }
    if (document.contains("first_mismatch"))
        out << "\nfirst mismatch: " << document.at("first_mismatch").at("text").get<std::string>();

    const auto mismatches = summary.at("mismatches").get<std::int64_t>();
    const auto uncertified = summary.at("uncertified").get<std::int64_t>();
    const auto findings = summary.at("findings").get<std::int64_t>();
    const bool stopped = document.contains("machine_error");
    const bool clean = mismatches == 0 && uncertified == 0 && findings == 0 && !stopped;
    if (stopped)
        out << "\nthe machine stopped: " << document["machine_error"].get<std::string>() << "\n";
    out << "\n"
        << (clean ? "BIT-EXACT: " : "NOT BIT-EXACT: ")
        << grouped(summary.at("tensors_checked").get<std::int64_t>()) << " tensors, "
        << grouped(summary.at("elements_checked").get<std::int64_t>()) << " elements checked, "
        << grouped(mismatches) << " mismatches, " << uncertified << " uncertified";
    if (findings > 0) out << ", " << findings << " findings";
    out << "\n";
    return out.str();
}

}  // namespace wagesim::report
