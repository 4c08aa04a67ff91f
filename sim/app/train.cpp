// See train.h.
#include "train.h"

#include <cblas.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "accuracy.h"
#include "check/judge.h"
#include "image_fit.h"
#include "parameters.h"
#include "report/document.h"
#include "schedule.h"
#include "session.h"
#include "trainer.h"
#include "wagesim/error.h"
#include "wagesim/trace/files.h"
#include "wagesim/version.h"

namespace wagesim::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr int stopped_status = 130;

volatile std::sig_atomic_t stop_signal = 0;
void stop(int signal) { stop_signal = signal; }

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// What was compared and counted at one quantisation point.
struct Tally {
    std::int64_t checked = 0, mismatches = 0;
    std::int64_t saturations = 0, wraps = 0, underflows = 0;
    std::optional<std::pair<int, int>> exponents;  ///< least, largest

    void add(const Tally& other) {
        checked += other.checked;
        mismatches += other.mismatches;
        saturations += other.saturations;
        wraps += other.wraps;
        underflows += other.underflows;
        if (!exponents) exponents = other.exponents;
        if (!other.exponents) return;
        exponents->first = std::min(exponents->first, other.exponents->first);
        exponents->second = std::max(exponents->second, other.exponents->second);
    }
};

Json to_json(const Tally& tally) {
    Json json{{"checked", tally.checked},
              {"mismatches", tally.mismatches},
              {"saturations", tally.saturations},
              {"wraps", tally.wraps},
              {"underflows", tally.underflows}};
    if (tally.exponents) json["exponents"] = {tally.exponents->first, tally.exponents->second};
    return json;
}

Tally tally_from(const Json& json) {
    Tally tally;
    tally.checked = json.at("checked");
    tally.mismatches = json.at("mismatches");
    tally.saturations = json.at("saturations");
    tally.wraps = json.at("wraps");
    tally.underflows = json.at("underflows");
    if (json.contains("exponents"))
        tally.exponents.emplace(json["exponents"][0].get<int>(), json["exponents"][1].get<int>());
    return tally;
}

class Training {
public:
    explicit Training(const TrainOptions& options)
        : options_(options),
          network_(read_network(options.network)),
          datapath_(read_datapath(options.datapath)) {
        check_against(datapath_, network_, options.datapath);
        dr_log2_ = dr_log2(options.dr);
        state_ = initial_state(network_, datapath_, options.seed, options.weights);

        trace::Dataset images = trace::read_idx(options.data, "train");
        test_ = trace::read_idx(options.data, "t10k", 0, options.test_count);
        fit_.emplace(network_.input, images, options.network, options.data);
        batches_.emplace(std::move(images), *fit_, options.batch, options.seed);
        per_epoch_ = batches_->steps_per_epoch();
        steps_ = options.steps > 0 ? options.steps : options.epochs * per_epoch_;
        schedule_.emplace(options.lr, options.lr_at, steps_,
                          static_cast<double>(steps_) / static_cast<double>(per_epoch_));
        rtl::MachineOptions machine;
        machine.stall_seed = options.stall_seed;
        machine.threads = options.threads;
        session_.emplace(network_, datapath_, options.batch, machine);
        open_directory();
        openblas_set_num_threads(threads_of_products(options.threads));
    }

    int execute() {
        begin_ = Clock::now();
        if (step_ >= steps_) {
            say("nothing to do: " + options_.out + " has all " + std::to_string(steps_) +
                " steps\n");
            return 0;
        }
        std::signal(SIGINT, stop);
        std::signal(SIGTERM, stop);
        say(introduction());
        check::Judge judge(network_, nullptr);
        judge.on_complete([](const check::TensorVerdict&) { return false; });
        judge_ = &judge;
        Trainer::Options how;
        if (options_.golden == "none") how.golden.reset();
        if (options_.golden == "float32") how.golden = golden::Precision::float32;
        how.threads = options_.threads;
        how.check_every = options_.check_every;
        how.steps = steps_;
        how.registers = [this](std::int64_t step) { return registers(step); };
        Trainer trainer(network_, datapath_, *session_, *batches_, judge, nullptr, how);
        trainer.start(state_, step_);
        const bool stops_at_finding = options_.golden == "float64";
        while (step_ < steps_) {
            loss_sum_ += trainer.step();
            ++step_;
            show_progress();
            if (stops_at_finding && !judge.clean()) return report_finding();
            const bool epoch_ends = step_ % per_epoch_ == 0 || step_ == steps_;
            if (epoch_ends) {
                state_ = session_->state();
                end_epoch();
                save();
                if (step_ < steps_) trainer.start(state_, step_);
            } else if (step_ % options_.checkpoint_every == 0 || stop_signal != 0) {
                state_ = session_->state();
                save();
            }
            if (stop_signal != 0 && step_ < steps_) {
                clear_progress();
                std::cerr << "wagesim: stopped after step " << step_ << " of " << steps_
                          << "; --resume goes on\n";
                return stopped_status;
            }
        }
        finish();
        return judge.clean() || !stops_at_finding ? 0 : 1;
    }

private:
    std::string path(const std::string& name) const { return options_.out + "/" + name; }
    void say(const std::string& text) const {
        if (!options_.quiet && !options_.json) std::cout << text << std::flush;
    }

    StepRegisters registers(std::int64_t step) const {
        return {options_.seed, static_cast<std::uint32_t>(step), schedule_->lr(step), dr_log2_};
    }

    /// What must be the same for the same bits.
    Json identity() const {
        return {{"network", Json::parse(trace::read_file(options_.network))},
                {"configuration", Json::parse(wagesim::to_json(datapath_))},
                {"weights", options_.weights},
                {"data", options_.data},
                {"batch", options_.batch},
                {"steps", steps_},
                {"learning_rate", schedule_->text()},
                {"dr", options_.dr},
                {"seed", options_.seed},
                {"stall_seed", options_.stall_seed},
                {"golden", options_.golden},
                {"check_every", options_.check_every},
                {"test_images", test_.count}};
    }

    /// A new directory, or the checkpoint in an old one.
    void open_directory() {
        const std::string state_file = path("state.json");
        const bool has_state = fs::exists(state_file);
        if (has_state && !options_.resume)
            throw InputError(options_.out +
                             ": holds a training run; expected --resume, or another --out");
        if (!has_state) {
            if (fs::exists(options_.out) &&
                (!fs::is_directory(options_.out) || !fs::is_empty(options_.out)))
                throw InputError(options_.out +
                                 ": expected a new or empty directory, or one with a training "
                                 "run (state.json) and --resume");
            std::error_code error;
            fs::create_directories(options_.out, error);
            if (error) throw InputError(options_.out + ": cannot create: " + error.message());
            if (options_.resume && !options_.quiet)
                std::cerr << "wagesim: no checkpoint in " << options_.out
                          << ": starting at step 0\n";
            return;
        }
        try {
            const Json saved = Json::parse(trace::read_file(state_file));
            const Json mine = identity();
            for (const auto& [key, value] : mine.items())
                if (saved.at("run").at(key) != value)
                    throw InputError(state_file + ": run." + key +
                                     " differs from this command's; expected the same options" +
                                     (value.is_structured() ? ""
                                                            : " (" + saved["run"][key].dump() +
                                                                  ", here " + value.dump() + ")"));
            step_ = saved.at("step");
            loss_sum_ = saved.at("loss_sum");
            seconds_before_ = saved.at("seconds");
            epochs_ = saved.at("epochs");
            for (const auto& [name, tally] : saved.at("points").items())
                before_[name] = tally_from(tally);
            const std::string file = saved.at("parameters");
            read_parameters(path(file), network_, datapath_, state_);
            state_file_ = file;
        } catch (const nlohmann::json::exception& error) {
            throw InputError(state_file + ": " + error.what());
        }
        say("resuming at step " + std::to_string(step_) + " of " + std::to_string(steps_) + "\n");
    }

    std::string introduction() const {
        return network_.name + ", " + std::to_string(steps_) + " steps of " +
               std::to_string(options_.batch) + " images (" + std::to_string(per_epoch_) +
               " an epoch); datapath " + datapath_.name + ", seed " +
               std::to_string(options_.seed) + ", golden model " + options_.golden +
               "\nlearning rate " + schedule_->text() + "\n\n" +
               (step_ == 0 ? head_line() : std::string());
    }
    static std::string head_line() {
        return " epoch    step      lr    loss  accuracy   elements checked  mismatches  "
               "uncertified  seconds\n"
               "------------------------------------------------------------------------"
               "---------------------\n";
    }

    /// All that was checked, by point: before the checkpoint and since.
    std::map<std::string, Tally> tallies() const {
        std::map<std::string, Tally> all = before_;
        for (const check::TensorVerdict& verdict : judge_->verdicts()) {
            Tally tally;
            tally.checked = verdict.checked;
            tally.mismatches = verdict.mismatches;
            tally.saturations = verdict.saturations;
            tally.wraps = verdict.wraps;
            tally.underflows = verdict.underflows;
            tally.exponents = verdict.exponents;
            all[judge_->name_of(verdict.qp)].add(tally);
        }
        return all;
    }
    Tally total() const {
        Tally sum;
        for (const auto& [name, tally] : tallies()) sum.add(tally);
        return sum;
    }

    void end_epoch() {
        const std::int64_t in_epoch = (step_ - 1) % per_epoch_ + 1;
        const double accuracy = test_accuracy();
        const Tally sum = total();
        epochs_.push_back({{"epoch", (step_ - 1) / per_epoch_ + 1},
                           {"step", step_},
                           {"lr", static_cast<double>(schedule_->lr(step_ - 1)) / 512},
                           {"loss", loss_sum_ / static_cast<double>(in_epoch)},
                           {"accuracy", accuracy},
                           {"elements_checked", sum.checked},
                           {"mismatches", sum.mismatches},
                           {"uncertified", judge_->uncertified()},
                           {"seconds", seconds_before_ + seconds_since(begin_)}});
        loss_sum_ = 0;
        clear_progress();
        say(epoch_line(epochs_.back()));
    }

    static std::string epoch_line(const Json& epoch) {
        char text[160];
        std::snprintf(
            text, sizeof text, "%6lld %7lld  %6.4f  %6.4f  %6.2f %%  %17s  %10s  %11s %8.1f\n",
            epoch.at("epoch").get<long long>(), epoch.at("step").get<long long>(),
            epoch.at("lr").get<double>(), epoch.at("loss").get<double>(),
            100 * epoch.at("accuracy").get<double>(),
            report::grouped(epoch.at("elements_checked")).c_str(),
            report::grouped(epoch.at("mismatches")).c_str(),
            report::grouped(epoch.at("uncertified")).c_str(), epoch.at("seconds").get<double>());
        return text;
    }

    /// Of the test images, by integer inference with running statistics on the same machine.
    double test_accuracy() {
        parameters_ = parameters_of(state_);
        Session inference(network_, datapath_, compile::BatchNorm::running, parameters_,
                          session_->machine());
        NoProbe nobody;
        std::int64_t right = 0;
        for (std::int64_t first = 0; first < test_.count; first += options_.batch) {
            const std::int64_t count = std::min(options_.batch, test_.count - first);
            inference.begin_batch(count);
            inference.run((*fit_)(test_, first, count), nobody);
            const auto output = inference.output();
            right += classified_rightly(output.codes, output.shape, test_.labels, first);
        }
        return static_cast<double>(right) / static_cast<double>(test_.count);
    }

    /// state.json names the parameters' file: whatever moment it is killed at, the two belong
    /// together.
    void save() {
        const std::string file = "state-" + std::to_string(step_) + ".npz";
        write_parameters(path(file), network_, state_);
        Json json{{"version", version},    {"run", identity()},
                  {"step", step_},         {"parameters", file},
                  {"loss_sum", loss_sum_}, {"seconds", seconds_before_ + seconds_since(begin_)},
                  {"epochs", epochs_}};
        json["points"] = Json::object();
        for (const auto& [name, tally] : tallies()) json["points"][name] = to_json(tally);
        trace::write_file_atomically(path("state.json"), json.dump(1) + "\n");
        if (!state_file_.empty() && state_file_ != file) fs::remove(path(state_file_));
        state_file_ = file;
    }

    std::int64_t steps_checked() const {
        if (options_.golden == "none") return 0;
        return (step_ + options_.check_every - 1) / options_.check_every;
    }

    Json manifest() const {
        const Tally sum = total();
        Json json;
        json["summary"] = {
            {"mode", "train"},
            {"steps", step_},
            {"steps_checked", steps_checked()},
            {"tensors_checked", judge_->verdicts().size()},
            {"elements_checked", sum.checked},
            {"mismatches", sum.mismatches},
            {"uncertified", judge_->uncertified()},
            {"findings", judge_->findings().size()},
            {"loss", epochs_.empty() ? Json(nullptr) : epochs_.back().at("loss")},
            {"accuracy", epochs_.empty() ? Json(nullptr) : epochs_.back().at("accuracy")},
            {"wall_seconds", seconds_before_ + seconds_since(begin_)},
            {"seed", options_.seed},
            {"version", version}};
        json["run"] = identity();
        json["epochs"] = epochs_;
        for (const auto& [name, tally] : tallies()) json["points"][name] = to_json(tally);
        return json;
    }

    std::string epochs_csv() const {
        std::string text =
            "epoch,step,lr,loss,accuracy,elements_checked,mismatches,uncertified,seconds\n";
        for (const Json& epoch : epochs_) {
            std::string line;
            for (const auto& [key, value] : epoch.items())
                line += (line.empty() ? "" : ",") + value.dump();
            text += line + "\n";
        }
        return text;
    }

    void finish() {
        write_parameters(path("weights.npz"), network_, parameters_);
        trace::write_file_atomically(path("epochs.csv"), epochs_csv());
        trace::write_file_atomically(path("network.json"), trace::read_file(options_.network));
        const Json document = manifest();
        trace::write_file_atomically(path("manifest.json"), document.dump(1) + "\n");
        if (options_.json) {
            std::cout << document["summary"].dump() << "\n";
            return;
        }
        say("\n" + verdict(document["summary"]));
    }

    std::string verdict(const Json& summary) const {
        if (options_.golden == "none") return "NOT CHECKED (--golden none)\n";
        const auto count = [&](const char* key) {
            return report::grouped(summary.at(key).get<std::int64_t>());
        };
        return std::string(judge_->clean() ? "BIT-EXACT: " : "NOT BIT-EXACT: ") +
               count("steps_checked") + " of " + count("steps") + " steps checked, " +
               count("tensors_checked") + " tensors each, " + count("elements_checked") +
               " elements, " + count("mismatches") + " mismatches, " + count("uncertified") +
               " uncertified\n";
    }

    int report_finding() {
        clear_progress();
        std::cerr << "step " << step_ - 1 << ": the machine and the golden model differ\n";
        if (judge_->first_mismatch())
            std::cerr << "first mismatch: " << judge_->describe(*judge_->first_mismatch());
        for (const auto& finding : judge_->findings())
            std::cerr << "finding: " << finding.layer_qp << ": " << finding.text << "\n";
        for (const auto& verdict : judge_->verdicts())
            if (!verdict.certified)
                std::cerr << "uncertified: " << judge_->name_of(verdict.qp) << ": "
                          << verdict.why_not << "\n";
        const Json document = manifest();
        trace::write_file_atomically(path("manifest.json"), document.dump(1) + "\n");
        if (options_.json) std::cout << document["summary"].dump() << "\n";
        return 1;
    }

    void show_progress() {
        if (options_.quiet || options_.json || isatty(STDERR_FILENO) == 0) return;
        const double seconds = seconds_since(begin_);
        if (first_shown_ < 0) first_shown_ = step_ - 1;
        if (seconds < 1 || seconds - last_shown_ < 0.2) return;
        last_shown_ = seconds;
        const double per_step = seconds / static_cast<double>(step_ - first_shown_);
        const std::int64_t in_epoch = (step_ - 1) % per_epoch_ + 1;
        std::fprintf(stderr, "\r\033[Kstep %lld of %lld, loss %.4f, %.0f ms a step, %.0f s left",
                     static_cast<long long>(step_), static_cast<long long>(steps_),
                     loss_sum_ / static_cast<double>(in_epoch), per_step * 1e3,
                     per_step * static_cast<double>(steps_ - step_));
        progress_shown_ = true;
    }
    void clear_progress() {
        if (progress_shown_) std::fprintf(stderr, "\r\033[K");
        progress_shown_ = false;
    }

    const TrainOptions& options_;
    Network network_;
    Datapath datapath_;
    int dr_log2_ = 7;
    Parameters state_;       // before step_
    Parameters parameters_;  // of the last evaluation
    trace::Dataset test_;
    std::optional<ImageFit> fit_;
    std::optional<Batches> batches_;
    std::int64_t per_epoch_ = 0, steps_ = 0, step_ = 0;
    std::optional<Schedule> schedule_;
    std::optional<TrainingSession> session_;
    check::Judge* judge_ = nullptr;

    double loss_sum_ = 0;  // of the epoch so far
    Json epochs_ = Json::array();
    std::map<std::string, Tally> before_;  // what the checkpoint counts
    std::string state_file_;               // of the last checkpoint
    double seconds_before_ = 0;
    Clock::time_point begin_;
    double last_shown_ = 0;
    std::int64_t first_shown_ = -1;
    bool progress_shown_ = false;
};

}  // namespace

int train(const TrainOptions& options) {
    Training whole(options);
    return whole.execute();
}

}  // namespace wagesim::app
