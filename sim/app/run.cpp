// See run.h.
#include "run.h"

#include <cblas.h>
#include <fnmatch.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "accuracy.h"
#include "check/judge.h"
#include "compile/compile.h"
#include "golden/model.h"
#include "image_fit.h"
#include "parameters.h"
#include "progress.h"
#include "report/document.h"
#include "report/recorder.h"
#include "schedule.h"
#include "session.h"
#include "trainer.h"
#include "wagesim/error.h"
#include "wagesim/trace/files.h"
#include "wagesim/trace/idx.h"
#include "wagesim/trace/npz.h"
#include "wagesim/trace/wave_writer.h"

namespace wagesim::app {
namespace {

using compile::BatchNorm;

std::optional<rtl::Injection> parse_injection(const std::string& text) {
    if (text.empty()) return std::nullopt;
    const auto bad = [&](const std::string& what) -> InputError {
        return InputError("--inject " + text + ": " + what +
                          "; expected BUFFER:ADDRESS:BIT@CYCLE, as in activations:0x40:3@1000");
    };
    const auto first = text.find(':');
    const auto second = first == std::string::npos ? first : text.find(':', first + 1);
    const auto at = second == std::string::npos ? second : text.find('@', second + 1);
    if (at == std::string::npos) throw bad("incomplete");
    rtl::Injection injection;
    const std::string buffer = text.substr(0, first);
    bool known = false;
    for (const Space space :
         {Space::dram, Space::weights, Space::activations, Space::accumulators, Space::parameters})
        if (buffer == to_string(space)) {
            injection.space = space;
            known = true;
        }
    if (!known)
        throw bad("unknown buffer '" + buffer +
                  "' (dram, weights, activations, accumulators, parameters)");
    const auto number = [&](const std::string& part, const char* name) {
        std::size_t used = 0;
        std::int64_t value = -1;
        try {
            value = std::stoll(part, &used, 0);
        } catch (const std::exception&) {
            used = std::string::npos;
        }
        if (used != part.size() || value < 0)
            throw bad(std::string(name) + " '" + part + "' is not a number >= 0");
        return value;
    };
    injection.address = number(text.substr(first + 1, second - first - 1), "address");
    const auto bit = number(text.substr(second + 1, at - second - 1), "bit");
    if (bit > 7) throw bad("bit " + std::to_string(bit) + " of a byte (0 to 7)");
    injection.bit = static_cast<int>(bit);
    injection.cycle = number(text.substr(at + 1), "cycle");
    return injection;
}

std::string crc_of(const std::vector<std::int64_t>& codes) {
    uLong crc = crc32(0, nullptr, 0);
    std::uint8_t bytes[8];
    for (const std::int64_t code : codes) {
        for (int b = 0; b < 8; ++b)
            bytes[b] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(code) >> (8 * b));
        crc = crc32(crc, bytes, sizeof bytes);
    }
    char text[16];
    std::snprintf(text, sizeof text, "%08lx", crc);
    return text;
}

class Run {
public:
    explicit Run(const RunOptions& options)
        : options_(options),
          network_(read_network(options.network)),
          datapath_(read_datapath(options.datapath)),
          batch_norm_(options.batch_norm == "batch" ? BatchNorm::batch : BatchNorm::running),
          injection_(parse_injection(options.inject)) {
        check_against(datapath_, network_, options.datapath);
        data_ = trace::read_idx(options.data, options.trains ? "train" : "t10k", 0,
                                options.trains ? -1 : options.count);
        fit_.emplace(network_.input, data_, options.network, options.data);
        if (!options.out.empty()) directory_.emplace(options.out);
        if (!options.wave.empty()) {
            const trace::WaveWriter::Options shown{options.wave_from, options.wave_to,
                                                   options.wave_scopes};
            const bool bare = options.wave.find('/') == std::string::npos;
            wave_.emplace(directory_ && bare ? directory_->file(options.wave) : options.wave,
                          shown);
        }
        rtl::MachineOptions machine_options;
        if (options.fidelity == "register")
            machine_options.fidelity = rtl::Fidelity::register_accurate;
        machine_options.quantum = options.quantum;
        machine_options.threads = options.threads;
        machine_options.stall_seed = options.stall_seed;
        machine_options.injection = injection_;
        machine_options.wave = wave_ ? &*wave_ : nullptr;
        batch_ = std::min(options.batch, data_.count);
        if (options.trains) {
            state_ = initial_state(network_, datapath_, options.seed, options.weights);
            training_.emplace(network_, datapath_, batch_, machine_options);
        } else {
            Parameters parameters = initial_parameters(network_, datapath_, options.seed);
            if (!options.weights.empty())
                read_parameters(options.weights, network_, datapath_, parameters);
            session_.emplace(network_, datapath_, batch_norm_, std::move(parameters), batch_,
                             machine_options);
        }
        if (wave_) wave_->end_declarations();
    }

    int execute() {
        const auto begin = std::chrono::steady_clock::now();
        openblas_set_num_threads(threads_of_products(options_.threads));
        std::optional<golden::Model> golden;
        if (precision() && session_) {
            golden::Options golden_options;
            golden_options.precision = *precision();
            golden_options.batch_norm = batch_norm_ == BatchNorm::batch
                                            ? golden::BatchNorm::batch
                                            : golden::BatchNorm::running;
            golden.emplace(network_, datapath_, golden_options);
            golden->set_parameters(to_values(session_->parameters()));
        }
        check::Judge judge(network_, golden ? &*golden : nullptr);
        report::Recorder recorder(network_, datapath_.machine, judge);
        recorder.keep_commands(directory_.has_value());
        Progress progress(!options_.quiet && !options_.json && isatty(STDERR_FILENO) != 0,
                          training_ ? options_.steps * batch_ : data_.count);
        recorder.on_layer([&](int layer) { progress.at(network_.name_of(layer)); });

        std::int64_t right = 0;
        std::string machine_error;
        try {
            if (training_) train(judge, recorder, progress);
            for (std::int64_t first = 0, index = 0; session_ && first < data_.count;
                 first += batch_, ++index) {
                const std::int64_t size = std::min(batch_, data_.count - first);
                right += run_batch(first, size, golden ? &*golden : nullptr, judge, recorder);
                progress.done(first + size);
                if (directory_ && options_.dump == "all")
                    dump(judge, "tensors-batch" + std::to_string(index) + ".npz");
            }
        } catch (const rtl::MachineError& error) {
            machine_error = error.what();
            recorder.end_batch();
        }
        progress.clear();

        auto facts = facts_of(machine_error, right, judge);
        facts.wall_seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

        auto document = report::document(facts, network_, datapath_, recorder, judge);
        if (!machine_error.empty()) document["machine_error"] = machine_error;
        if (directory_)
            for (auto& tensor : document["tensors"]) {
                const QpId qp{tensor["layer"].get<int>(),
                              *qp_from_string(tensor["qp"].get<std::string>())};
                if (const auto codes = judge.tensor(qp))
                    tensor["crc32"] = crc_of(codes->codes);
                else if (const auto let_go = crcs_.find({qp.layer, qp.qp}); let_go != crcs_.end())
                    tensor["crc32"] = let_go->second;
            }
        if (wave_) {
            wave_->close();
            if (!wave_->reached_window() && !options_.quiet)
                std::cerr << "wagesim: --wave-window begins after the run's last change at cycle "
                          << recorder.cycles() << "; " << options_.wave << " holds no change\n";
        }
        if (directory_) write_directory(document, recorder, judge);
        if (options_.json)
            std::cout << document["summary"].dump() << "\n";
        else if (!options_.quiet)
            std::cout << report::to_text(document);
        if (options_.json || options_.quiet) {
            if (judge.first_mismatch())
                std::cerr << "first mismatch: " << judge.describe(*judge.first_mismatch());
            for (const auto& finding : judge.findings())
                std::cerr << "finding: " << finding.layer_qp << ": " << finding.text << "\n";
        }
        if (!machine_error.empty() && (options_.json || options_.quiet))
            std::cerr << "machine error: " << machine_error << "\n";
        return judge.clean() && machine_error.empty() ? 0 : 1;
    }

private:
    report::RunFacts facts_of(const std::string& machine_error, std::int64_t right,
                              const check::Judge& judge) {
        report::RunFacts facts;
        facts.mode = training_ ? "train" : "infer";
        facts.steps = training_ ? options_.steps : 0;
        facts.loss = loss_;
        facts.fidelity = options_.fidelity;
        facts.golden = options_.golden;
        facts.batch_norm = training_ ? "batch" : options_.batch_norm;
        facts.network_file = options_.network;
        facts.datapath_name = datapath_.name;
        facts.data = options_.data;
        facts.weights = options_.weights.empty() ? "from seed " + std::to_string(options_.seed)
                                                 : options_.weights;
        facts.images = training_ ? options_.steps * batch_ : data_.count;
        facts.batch = batch_;
        facts.seed = options_.seed;
        facts.stall_seed = options_.stall_seed;
        if (machine_error.empty() && session_)
            facts.accuracy = static_cast<double>(right) / static_cast<double>(data_.count);
        if (injection_) {
            facts.injection = options_.inject;
            const auto fate = machine().fate();
            facts.injection_story = fate->story;
            if (fate->hit && machine_error.empty() && judge.clean())
                facts.injection_story += "; masked: no quantisation point changed";
        }
        return facts;
    }

    std::optional<golden::Precision> precision() const {
        if (options_.golden == "none") return std::nullopt;
        return options_.golden == "float32" ? golden::Precision::float32
                                            : golden::Precision::float64;
    }
    rtl::Machine& machine() { return training_ ? *training_->machine() : session_->machine(); }

    /// All steps. Their loss is the mean.
    void train(check::Judge& judge, report::Recorder& recorder, Progress& progress) {
        const Schedule schedule({options_.lr}, {}, options_.steps, 0);
        const int dr = dr_log2(options_.dr);
        Batches batches(data_, *fit_, batch_, options_.seed);
        Trainer::Options how;
        how.golden = precision();
        how.threads = options_.threads;
        how.steps = options_.steps;
        how.registers = [&](std::int64_t step) {
            return StepRegisters{options_.seed, static_cast<std::uint32_t>(step), schedule.lr(step),
                                 dr};
        };
        judge.collects(directory_.has_value());
        judge.on_complete([&](const check::TensorVerdict& verdict) {
            if (!directory_) return false;
            if (is_dumped(judge, verdict)) return true;
            const QpId& qp = verdict.qp;
            crcs_[{qp.layer, qp.qp}] = crc_of(judge.tensor(qp)->codes);
            return false;
        });
        Trainer trainer(network_, datapath_, *training_, batches, judge, &recorder, how);
        trainer.start(std::exchange(state_, {}), 0);  // its memory is free for the step
        double sum = 0;
        for (std::int64_t step = 0; step < options_.steps; ++step) {
            sum += trainer.step();
            progress.done((step + 1) * batch_);
            if (directory_ && options_.dump == "all")
                dump(judge, "tensors-step" + std::to_string(step) + ".npz");
        }
        loss_ = sum / static_cast<double>(options_.steps);
        if (directory_) state_ = training_->state();
    }

    /// Images first .. first + size through the machine; returns how many it classified rightly.
    std::int64_t run_batch(std::int64_t first, std::int64_t size, golden::Model* golden,
                           check::Judge& judge, report::Recorder& recorder) {
        const std::vector<std::uint8_t> pixels = (*fit_)(data_, first, size);
        if (golden != nullptr) golden->begin(pixels, size);
        const Program& program = session_->begin_batch(size);
        judge.begin_batch(session_->expected());
        recorder.begin_batch(program);
        session_->run(pixels, recorder);
        recorder.end_batch();

        std::int64_t right = 0;
        for (const auto& [qp, tensor] : session_->stored()) {
            judge.check_stored(qp, tensor.codes);
            if (is_output(network_, qp))
                right = classified_rightly(tensor.codes, tensor.shape, data_.labels, first);
        }
        judge.finish();
        return right;
    }

    /// Whether --dump asks for it.
    bool is_dumped(const check::Judge& judge, const check::TensorVerdict& verdict) const {
        if (options_.dump == "last" || options_.dump == "all") return true;
        if (options_.dump == "mismatch") return verdict.mismatches > 0;
        return fnmatch(options_.dump.c_str(), judge.name_of(verdict.qp).c_str(), 0) == 0;
    }

    /// The tensors that --dump asks for, in LAYER.QP names.
    void dump(const check::Judge& judge, const std::string& file) const {
        trace::NpzWriter writer(directory_->file(file));
        for (const auto& verdict : judge.verdicts()) {
            const std::string name = judge.name_of(verdict.qp);
            if (!is_dumped(judge, verdict)) continue;
            const auto tensor = judge.tensor(verdict.qp);
            if (!tensor) continue;
            const auto shape = file_shape(network_, verdict.qp, tensor->shape);
            Format format = tensor->format;
            format.bits = std::min(format.bits, 64);
            writer.add(name, shape, tensor->codes, format);
            if (verdict.mismatches == 0) continue;
            if (const auto expected = judge.expected(verdict.qp))
                writer.add(name + ".expected", shape, expected->codes, format);
        }
        writer.close();
    }

    void write_directory(nlohmann::ordered_json& document, const report::Recorder& recorder,
                         const check::Judge& judge) {
        if (options_.dump != "none" && options_.dump != "all") dump(judge, "tensors.npz");
        if (!state_.empty()) write_parameters(directory_->file("state.npz"), network_, state_);
        const bool failed = training_ && state_.empty();  // the machine, within a step
        if (!failed)
            write_parameters(directory_->file("weights.npz"), network_,
                             training_ ? parameters_of(state_) : session_->parameters());
        const auto write = [&](const char* name, const std::string& text) {
            trace::write_file_atomically(directory_->file(name), text);
        };
        write("stats.csv", report::stats_csv(network_, recorder));
        write("tensors.csv", report::tensors_csv(document));
        write("commands.csv", report::commands_csv(network_, recorder));
        write("timeline.json", report::timeline_json(network_, recorder));
        write("report.html", report::to_html(document));
        write("network.json", trace::read_file(options_.network));
        write("manifest.json", document.dump(1) + "\n");
        directory_->commit();
    }

    const RunOptions& options_;
    Network network_;
    Datapath datapath_;
    BatchNorm batch_norm_;
    std::optional<rtl::Injection> injection_;
    trace::Dataset data_;
    std::optional<ImageFit> fit_;
    std::int64_t batch_ = 0;
    std::optional<trace::PendingDirectory> directory_;
    std::optional<trace::WaveWriter> wave_;
    std::optional<Session> session_;           // infers, or
    std::optional<TrainingSession> training_;  // trains
    Parameters state_;                         // before the first step; after the last for --out
    std::optional<double> loss_;
    std::map<std::pair<std::int32_t, Qp>, std::string> crcs_;  ///< of tensors that were let go
};

}  // namespace

int run(const RunOptions& options) {
    Run whole(options);
    return whole.execute();
}

}  // namespace wagesim::app
