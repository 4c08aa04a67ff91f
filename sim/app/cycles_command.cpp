// See cycles_command.h.
#include "cycles_command.h"

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "report/document.h"
#include "report/table.h"
#include "timing/config.h"
#include "timing/cycles.h"
#include "timing/topology.h"
#include "wagesim/error.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"
#include "wagesim/trace/files.h"

namespace wagesim::app {
namespace {

using Json = nlohmann::ordered_json;

struct Point {
    timing::ArrayConfig array;
    Dataflow dataflow = Dataflow::ws;
    timing::Convention convention = timing::Convention::wagesim;
    timing::NetworkCycles cycles;

    std::string size() const {
        return std::to_string(array.rows) + "x" + std::to_string(array.columns);
    }
};

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text + separator);
    for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
    return parts;
}

/// "RxC" -> rows and columns.
timing::ArrayConfig sized(timing::ArrayConfig array, const std::string& text,
                          const std::string& origin) {
    const auto refuse = [&] {
        throw InputError(origin + ": expected ROWSxCOLUMNS, each from 1 to 65536, found '" + text +
                         "'");
    };
    const auto parts = split(text, 'x');
    if (parts.size() != 2) refuse();
    int sizes[2] = {};
    for (std::size_t i = 0; i < 2; ++i) {
        const std::string& digits = parts[i];
        if (digits.empty() || digits.size() > 5 ||
            digits.find_first_not_of("0123456789") != std::string::npos)
            refuse();
        sizes[i] = std::stoi(digits);
        if (sizes[i] < 1 || sizes[i] > 65536) refuse();
    }
    array.rows = sizes[0];
    array.columns = sizes[1];
    return array;
}

bool is_csv(const std::string& path) {
    return path.size() >= 4 && (path.compare(path.size() - 4, 4, ".csv") == 0 ||
                                path.compare(path.size() - 4, 4, ".CSV") == 0);
}

std::string percent(double value) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(1) << value;
    return text.str();
}

void print_layers(const Point& point, const std::vector<timing::Workload>& workloads) {
    using report::grouped;
    std::vector<std::vector<std::string>> rows{{"layer", "M", "N", "K", "MACs", "folds", "per fold",
                                                "cycles", "util %", "mapping %", "compute %"}};
    for (std::size_t i = 0; i < workloads.size(); ++i) {
        const timing::Workload& w = workloads[i];
        const timing::LayerCycles& layer = point.cycles.layers[i];
        rows.push_back({w.name + (w.repeats > 1 ? " x" + std::to_string(w.repeats) : ""),
                        grouped(w.m), grouped(w.n), grouped(w.k), grouped(w.macs()),
                        grouped(layer.folds), grouped(layer.per_fold),
                        grouped(layer.compute_cycles), percent(layer.overall_util),
                        percent(layer.mapping_efficiency), percent(layer.compute_util)});
    }
    rows.push_back({"total", "", "", "", grouped(point.cycles.macs), grouped(point.cycles.folds),
                    "", grouped(point.cycles.compute_cycles), percent(point.cycles.overall_util),
                    "", ""});
    std::cout << report::table(rows, 1) << "\n";
}

void print_sweep(const std::vector<Point>& points) {
    using report::grouped;
    std::vector<std::vector<std::string>> rows{
        {"array", "dataflow", "convention", "folds", "cycles", "util %"}};
    for (const Point& point : points)
        rows.push_back({point.size(), std::string(to_string(point.dataflow)),
                        std::string(to_string(point.convention)), grouped(point.cycles.folds),
                        grouped(point.cycles.compute_cycles), percent(point.cycles.overall_util)});
    std::cout << report::table(rows, 3) << "\n";
}

std::string meaning(timing::Convention convention, const timing::ArrayConfig& array, bool has_is) {
    switch (convention) {
        case timing::Convention::scalesim:
            return "scalesim (SCALE-Sim's code: folds in turn, no stalls; its report prints the "
                   "last cycle's index, 1 less per layer)";
        case timing::Convention::scalesim_paper:
            return "scalesim-paper (SCALE-Sim's paper: folds in turn, no stalls)";
        default:
            return "wagesim (the array alone, no stalls; " + std::to_string(array.operand_bytes) +
                   "-byte operands through " + std::to_string(array.bank_bytes_per_cycle) +
                   " bytes a cycle" + (has_is ? "; is: no dataflow of the machine" : "") + ")";
    }
}

Json to_json(const Point& point, const std::vector<timing::Workload>& workloads) {
    Json json{{"array_rows", point.array.rows},
              {"array_columns", point.array.columns},
              {"dataflow", to_string(point.dataflow)},
              {"convention", to_string(point.convention)},
              {"macs", point.cycles.macs},
              {"folds", point.cycles.folds},
              {"cycles", point.cycles.compute_cycles},
              {"reported_total", point.cycles.reported_total},
              {"overall_util", point.cycles.overall_util},
              {"layers", Json::array()}};
    for (std::size_t i = 0; i < workloads.size(); ++i) {
        const timing::Workload& w = workloads[i];
        const timing::LayerCycles& layer = point.cycles.layers[i];
        json["layers"].push_back({{"layer", w.name},
                                  {"m", w.m},
                                  {"n", w.n},
                                  {"k", w.k},
                                  {"repeats", w.repeats},
                                  {"macs", w.macs()},
                                  {"folds", layer.folds},
                                  {"per_fold", layer.per_fold},
                                  {"cycles", layer.compute_cycles},
                                  {"reported_total", layer.reported_total},
                                  {"overall_util", layer.overall_util},
                                  {"mapping_efficiency", layer.mapping_efficiency},
                                  {"compute_util", layer.compute_util}});
    }
    return json;
}

}  // namespace

CyclesCommand::CyclesCommand(CLI::App& app)
    : command_(app.add_subcommand("cycles", "cycles by closed formulas, without a simulation")) {
    command_
        ->add_option("workload", workload_,
                     "network file (JSON), or a SCALE-Sim topology if it ends in .csv")
        ->required();
    command_->add_option("--scalesim-config", config_,
                         "SCALE-Sim configuration (INI): array, dataflow, run name");
    command_->add_option("--datapath", datapath_, "preset or JSON file: array, operands, bank port")
        ->capture_default_str();
    command_->add_option("--cycle-convention", convention_, "whose formulas")
        ->check(CLI::IsMember({"wagesim", "scalesim", "scalesim-paper"}))
        ->capture_default_str();
    command_->add_option("--array", array_, "ROWSxCOLUMNS");
    command_->add_option("--dataflow", dataflow_, "ws, os or is");
    command_
        ->add_option("--sweep", sweeps_,
                     "array=8x8,16x16, dataflow=ws,os,is or convention=wagesim,scalesim; may be "
                     "given for each")
        ->allow_extra_args(false);
    command_->add_option("--batch", batch_, "images at a time, of a network file")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command_->add_option("--topology", topology_, "kind of a .csv")
        ->check(CLI::IsMember({"detect", "conv", "gemm"}))
        ->capture_default_str();
    command_->add_option("--out", out_, "write SCALE-Sim's COMPUTE_REPORT.csv");
    command_->add_flag("--json", json_, "print one JSON object");
}

std::map<std::string, std::vector<CyclesCommand::Swept>> CyclesCommand::read_sweeps() const {
    std::map<std::string, std::vector<Swept>> sweeps;
    for (const std::string& sweep : sweeps_) {
        const std::string origin = "--sweep " + sweep, key = sweep.substr(0, sweep.find('='));
        if (key == sweep || (key != "array" && key != "dataflow" && key != "convention"))
            throw InputError(origin +
                             ": expected array=RxC,..., dataflow=ws,... or convention=wagesim,...");
        const std::string option = key == "convention" ? "--cycle-convention" : "--" + key;
        if (command_->count(option) > 0)
            throw InputError(origin + ": expected it or " + option + ", found both");
        if (sweeps.count(key) > 0) throw InputError(origin + ": " + key + " is swept already");
        for (const std::string& value : split(sweep.substr(key.size() + 1), ','))
            sweeps[key].push_back({value, origin});
    }
    return sweeps;
}

int CyclesCommand::run() const {
    for (const char* option : {"--out", "--scalesim-config", "--array", "--dataflow"})
        if (command_->count(option) > 0 && command_->get_option(option)->as<std::string>().empty())
            throw InputError(std::string(option) + ": expected a value, found an empty one");

    timing::ScaleSimConfig config;
    if (!config_.empty()) config = timing::read_scalesim_config(config_);
    std::string name;
    std::vector<timing::Workload> workloads;
    if (is_csv(workload_)) {
        if (command_->count("--batch") > 0)
            throw InputError("--batch is for network files; " + workload_ +
                             " has its sizes, M among them, in itself");
        const auto kind = topology_ == "conv"   ? timing::TopologyKind::conv
                          : topology_ == "gemm" ? timing::TopologyKind::gemm
                                                : timing::TopologyKind::detect;
        workloads = timing::read_scalesim_topology(workload_, kind, config.ignore_sparsity);
        name = workload_;
    } else {
        if (command_->count("--topology") > 0)
            throw InputError("--topology is for .csv files; " + workload_ + " is a network file");
        const Network network = read_network(workload_);
        workloads = timing::from_network(network, batch_);
        name = network.name + ", batch " + std::to_string(batch_);
    }

    // An option goes before the SCALE-Sim configuration, that before the datapath.
    const Datapath datapath = read_datapath(datapath_);
    Point base;
    base.array = {datapath.machine.array_rows, datapath.machine.array_columns,
                  datapath.machine.bank_bytes_per_cycle,
                  (datapath.at("", Qp::A).format.bits + 7) / 8};
    base.array.rows = config.array_rows.value_or(base.array.rows);
    base.array.columns = config.array_columns.value_or(base.array.columns);
    base.dataflow = config.dataflow.value_or(datapath.machine.dataflow);
    if (!array_.empty()) base.array = sized(base.array, array_, "--array");
    if (!dataflow_.empty()) base.dataflow = timing::parse_dataflow(dataflow_, "--dataflow");

    auto sweeps = read_sweeps();
    std::vector<timing::ArrayConfig> arrays;
    for (const auto& [value, origin] : sweeps["array"])
        arrays.push_back(sized(base.array, value, origin));
    if (arrays.empty()) arrays.push_back(base.array);
    std::vector<Dataflow> dataflows;
    for (const auto& [value, origin] : sweeps["dataflow"])
        dataflows.push_back(timing::parse_dataflow(value, origin));
    if (dataflows.empty()) dataflows.push_back(base.dataflow);
    std::vector<timing::Convention> conventions;
    for (const auto& [value, origin] : sweeps["convention"])
        conventions.push_back(timing::parse_convention(value, origin));
    if (conventions.empty())
        conventions.push_back(timing::parse_convention(convention_, "--cycle-convention"));

    std::vector<Point> points;
    for (const timing::ArrayConfig& array : arrays)
        for (const Dataflow dataflow : dataflows)
            for (const timing::Convention convention : conventions)
                points.push_back({array, dataflow, convention,
                                  timing::network_cycles(workloads, array, dataflow, convention)});
    if (!out_.empty() && points.size() > 1)
        throw InputError("--out writes one report; found a sweep of " +
                         std::to_string(points.size()) + " points");

    if (!out_.empty()) trace::write_file_atomically(out_, compute_report(points.front().cycles));
    if (json_) {
        Json json{{"workload", name}};
        if (config.run_name) json["run_name"] = *config.run_name;
        for (const Point& point : points) json["points"].push_back(to_json(point, workloads));
        std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
        return 0;
    }
    std::cout << name;
    if (config.run_name) std::cout << "; " << *config.run_name;
    std::cout << "; " << workloads.size() << (workloads.size() == 1 ? " layer" : " layers");
    if (points.size() == 1)
        std::cout << "; array " << points[0].size() << ", dataflow "
                  << to_string(points[0].dataflow);
    std::cout << "\n\n";
    if (points.size() == 1)
        print_layers(points.front(), workloads);
    else
        print_sweep(points);
    const bool has_is = std::count(dataflows.begin(), dataflows.end(), Dataflow::is) > 0;
    for (const timing::Convention convention : conventions)
        std::cout << "convention: " << meaning(convention, base.array, has_is) << "\n";
    if (!out_.empty())
        std::cout << out_
                  << ": columns of COMPUTE_REPORT.csv; stalls are 0 and prefetch is left "
                     "out, memory is not modelled\n";
    return 0;
}

}  // namespace wagesim::app
