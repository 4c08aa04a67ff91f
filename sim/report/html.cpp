// The report page: see document.h. One file, no scripts, nothing loaded from elsewhere.
#include <cstdio>
#include <sstream>

#include "report/document.h"

namespace wagesim::report {
namespace {

using Json = nlohmann::ordered_json;

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '"')
            out += "&quot;";
        else
            out += c;
    }
    return out;
}

std::string count(const Json& value) {
    return value.is_null() ? "" : grouped(value.get<std::int64_t>());
}

constexpr const char* style = R"(
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #d8dee4 }
th { border-bottom: 2px solid #57606a } th:first-child, td:first-child, td.text, th.text { text-align: left }
.good { color: #116329 } .bad { color: #a40e26; font-weight: 600 }
pre { background: #f6f8fa; padding: .8rem; overflow-x: auto }
.bar { fill: #4078c0 } .rest { fill: #d0d7de } svg text { font: 13px system-ui, sans-serif; fill: #1b1f24 }
)";

/// Cycles of each pass; the darker part is the array's useful share (MACs / PEs).
std::string cycle_chart(const Json& document) {
    const Json& passes = document["passes"];
    std::int64_t longest = 1;
    for (const Json& pass : passes) longest = std::max(longest, pass["cycles"].get<std::int64_t>());
    const double left = 260, width = 560, row = 24;
    std::ostringstream out;
    out << "<svg role=\"img\" aria-label=\"Cycles of each pass\" width=\"960\" height=\""
        << row * static_cast<double>(passes.size()) + 8 << "\">\n";
    double y = 4;
    for (const Json& pass : passes) {
        const double cycles = pass["cycles"].get<double>();
        const double full = width * cycles / static_cast<double>(longest);
        const double used = full * pass["utilisation"].get<double>();
        std::string label = pass_name(pass);
        if (label.size() > 34) label = label.substr(0, 33) + "…";
        out << "<text x=\"" << left - 8 << "\" y=\"" << y + 15 << "\" text-anchor=\"end\">"
            << escaped(label) << "</text>"
            << "<rect class=\"rest\" x=\"" << left << "\" y=\"" << y << "\" width=\"" << full
            << "\" height=\"" << row - 6 << "\"/>"
            << "<rect class=\"bar\" x=\"" << left << "\" y=\"" << y << "\" width=\"" << used
            << "\" height=\"" << row - 6 << "\"/>"
            << "<text x=\"" << left + full + 6 << "\" y=\"" << y + 15 << "\">"
            << grouped(pass["cycles"].get<std::int64_t>()) << "</text>\n";
        y += row;
    }
    out << "</svg>\n";
    return out.str();
}

std::string row(const std::vector<std::string>& cells, const char* tag) {
    std::string text = "<tr>";
    for (const std::string& cell : cells)
        text += std::string("<") + tag + ">" + escaped(cell) + "</" + tag + ">";
    return text + "</tr>\n";
}

std::string rows_of(const std::vector<std::vector<std::string>>& rows) {
    std::string text = "<table>";
    for (std::size_t i = 0; i < rows.size(); ++i) text += row(rows[i], i == 0 ? "th" : "td");
    return text + "</table>\n";
}

/// Cycles of every unit in every pass.
std::string unit_rows(const Json& document) {
    std::string text = "<table>";
    bool first = true;
    for (const Json& pass : document["passes"])
        for (const auto& [unit, cycles] : pass["units"].items()) {
            std::vector<std::string> head{"pass", "unit", "busy", "idle"};
            std::vector<std::string> cells{pass_name(pass), unit, count(cycles["busy"]),
                                           count(cycles["idle"])};
            for (const auto& [cause, stall] : cycles["stalls"].items()) {
                head.push_back(cause);
                cells.push_back(count(stall));
            }
            text += (first ? row(head, "th") : "") + row(cells, "td");
            first = false;
        }
    return text + "</table>\n";
}

/// Bytes read from and written to every memory in every pass.
std::string memory_rows(const Json& document) {
    std::string text = "<table>";
    bool first = true;
    for (const Json& pass : document["passes"]) {
        std::vector<std::string> head{"pass"}, cells{pass_name(pass)};
        for (const auto& [memory, bytes] : pass["bytes"].items())
            for (const char* way : {"read", "written"}) {
                head.push_back(memory + " " + way);
                cells.push_back(count(bytes[way]));
            }
        text += (first ? row(head, "th") : "") + row(cells, "td");
        first = false;
    }
    return text + "</table>\n";
}

}  // namespace

std::string to_html(const Json& document) {
    const Json& summary = document["summary"];
    const Json& run = document["run"];
    const bool judged = run["golden"] != "none";
    const bool clean = summary["mismatches"] == 0 && summary["uncertified"] == 0 &&
                       summary["findings"] == 0 && !document.contains("machine_error");
    std::ostringstream out;
    const std::string title =
        "wagesim: " + run["network"].get<std::string>() + ", " + summary["mode"].get<std::string>();
    out << "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>"
        << escaped(title) << "</title><style>" << style << "</style></head><body>\n<h1>"
        << escaped(title) << "</h1>\n<p class=\"" << (!judged || clean ? "good" : "bad") << "\">"
        << (!judged ? "Not checked (no golden model)"
            : clean ? "Bit-exact"
                    : "Not bit-exact")
        << ": " << count(summary["tensors_checked"]) << " tensors, "
        << count(summary["elements_checked"]) << " elements checked, "
        << count(summary["mismatches"]) << " mismatches, " << count(summary["uncertified"])
        << " uncertified, " << count(summary["findings"]) << " findings.</p>\n";
    out << "<p>" << count(summary["images"]) << " images, datapath "
        << escaped(run["datapath"].get<std::string>()) << ", array " << run["array"][0] << " × "
        << run["array"][1] << ", " << count(summary["cycles"]) << " cycles, "
        << count(summary["macs"]) << " MACs, batch norm with "
        << escaped(run["batch_norm"].get<std::string>()) << " statistics, seed " << summary["seed"]
        << ", version " << escaped(summary["version"].get<std::string>()) << ".</p>\n";
    if (document.contains("machine_error"))
        out << "<p class=\"bad\">The machine stopped: "
            << escaped(document["machine_error"].get<std::string>()) << "</p>\n";
    if (document.contains("first_mismatch"))
        out << "<h2>First mismatch</h2><pre>"
            << escaped(document["first_mismatch"]["text"].get<std::string>()) << "</pre>\n";
    if (document.contains("findings")) {
        out << "<h2>Findings</h2><ul>";
        for (const Json& finding : document["findings"])
            out << "<li>" << escaped(finding["tensor"].get<std::string>()) << ": "
                << escaped(finding["text"].get<std::string>()) << "</li>";
        out << "</ul>\n";
    }
    out << "<h2>Where the cycles go</h2>\n<p>One bar a pass (the layers that are computed tile by "
           "tile together); the dark part is the share of the array's slots that did a MAC.</p>\n"
        << cycle_chart(document)
        << "<p>The array's cycles in percent: busy, waiting for what, idle; and its roofline, "
        << run["array"][0].get<std::int64_t>() * run["array"][1].get<std::int64_t>() << " MACs and "
        << document["configuration"]["machine"]["dram_bytes_per_cycle"]["value"]
        << " Dram bytes a cycle.</p>\n"
        << rows_of(pass_table(document))
        << "<details><summary>Every unit: cycles busy, idle, and waiting by cause</summary>\n"
        << unit_rows(document) << "</details>\n<details><summary>Every memory: bytes</summary>\n"
        << memory_rows(document) << "</details>\n";

    out << "<h2>Layers</h2>\n"
        << rows_of(layer_table(document))
        << "<h2>Tensors</h2>\n<table><tr>"
           "<th>tensor</th><th>shape</th><th>bits</th><th>frac</th><th>checked</th>"
           "<th>mismatches</th><th>saturations</th><th>wraps</th><th>to zero</th>"
           "<th>exponents</th><th>certified</th><th>CRC-32</th>"
           "</tr>\n";
    for (const Json& tensor : document["tensors"]) {
        std::string shape;
        for (const Json& extent : tensor["shape"])
            shape += (shape.empty() ? "" : " × ") + extent.dump();
        out << "<tr><td>" << escaped(tensor["tensor"].get<std::string>()) << "</td><td>" << shape
            << "</td><td>" << tensor["bits"] << (tensor["signed"] == true ? "" : " u")
            << "</td><td>" << tensor["frac"] << "</td><td>" << count(tensor["checked"])
            << "</td><td" << (tensor["mismatches"] != 0 ? " class=\"bad\"" : "") << ">"
            << count(tensor["mismatches"]) << "</td><td>" << count(tensor["saturations"])
            << "</td><td>" << count(tensor["wraps"]) << "</td><td>" << count(tensor["underflows"])
            << "</td><td>" << (tensor.contains("exponents") ? range_of(tensor["exponents"]) : "")
            << "</td><td>" << (tensor["certified"] == true ? "yes" : "NO") << "</td><td>"
            << (tensor.contains("crc32") ? tensor["crc32"].get<std::string>() : "")
            << "</td></tr>\n";
    }
    out << "</table>\n<h2>Configuration</h2>\n<details><summary>all settings</summary><pre>"
        << escaped(document["configuration"].dump(2)) << "</pre></details>\n</body></html>\n";
    return out.str();
}

}  // namespace wagesim::report
