// A run as one JSON document (manifest.json), and what is rendered from it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "check/judge.h"
#include "report/recorder.h"

namespace wagesim::report {

/// What the document says beside the counters.
struct RunFacts {
    std::string mode = "infer", fidelity = "tile", golden = "float64", batch_norm = "running";
    std::string network_file, datapath_name, data, weights;
    std::int64_t images = 0, batch = 0;
    std::uint32_t seed = 1, stall_seed = 0;
    std::int64_t steps = 0;
    std::optional<double> accuracy, loss;
    double wall_seconds = 0;
    std::string injection, injection_story;
};

/// The whole run. Keys of "summary" are stable: they are what --json prints.
nlohmann::ordered_json document(const RunFacts& facts, const Network& network,
                                const Datapath& datapath, const Recorder& recorder,
                                const check::Judge& judge);

/// The tables per layer and per pass, the totals and the verdict, for a terminal.
std::string to_text(const nlohmann::ordered_json& document);

/// A row per pass and one for all, the first row the columns' names: the array's cycles in percent
/// by the causes that occur, and the roofline.
std::vector<std::vector<std::string>> pass_table(const nlohmann::ordered_json& document);

/// A page on its own: where the cycles go, layers, units, bytes, every tensor.
std::string to_html(const nlohmann::ordered_json& document);

/// stats.csv: one line per pass and unit: the pass's roofline; the unit's cycles and bytes.
std::string stats_csv(const Network& network, const Recorder& recorder);
/// tensors.csv: one line per quantisation point.
std::string tensors_csv(const nlohmann::ordered_json& document);
/// commands.csv: one line per executed command.
std::string commands_csv(const Network& network, const Recorder& recorder);
/// timeline.json: Chrome trace events (one cycle is shown as one microsecond), for Perfetto.
std::string timeline_json(const Network& network, const Recorder& recorder);

/// A row per layer, in training per phase and layer, the first row the columns' names.
std::vector<std::vector<std::string>> layer_table(const nlohmann::ordered_json& document);

/// What a pass is called in tables: "prepare", its first layer, and behind the forward phase the
/// phase: "conv2 gradient".
std::string pass_name(const nlohmann::ordered_json& pass);

/// "-9", or "-9..-7".
std::string range_of(const nlohmann::ordered_json& least_and_largest);

/// 12345678 -> "12,345,678".
std::string grouped(std::int64_t value);

}  // namespace wagesim::report
