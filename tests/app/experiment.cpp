// See experiment.h.
#include "experiment.h"

#include <cblas.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "check/cycle_recurrence.h"
#include "check/judge.h"
#include "golden/model.h"
#include "session.h"
#include "wagesim/error.h"
#include "wagesim/trace/files.h"
#include "wagesim/trace/idx.h"

namespace wagesim::test {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FirstMismatch, tensor, expected, got, expected_hex, got_hex,
                                   cause, at, cycle, first_bit)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BatchOutcome, cycles, predicted, serial, overlap, macs,
                                   padding_slots, pe_operations, points, busy_equal, busy_other)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Outcome, clean, checked, tensors_checked, mismatches,
                                   uncertified, saturations, wraps, differs_from_wide, findings,
                                   first, batches, cycles, stalls, injection_hit, injection_story,
                                   note, tensors)

namespace {

/// Adds up stalls, remembers the first batch's commands, and passes everything on.
class Watch : public Probe {
public:
    explicit Watch(Probe& next) : next_(next) {}

    void begin(const Program& program) {
        program_ = &program;
        retired_.clear();
    }
    void on_tap(const Tap& tap) override { next_.on_tap(tap); }
    void on_retired(const Retired& retired) override {
        retired_.push_back(retired);
        const Command& command = program_->commands[static_cast<std::size_t>(retired.command)];
        if (!std::holds_alternative<Fence>(command.operands))
            for (std::size_t cause = 0; cause < stall_cause_count; ++cause)
                stalls[static_cast<std::size_t>(command.unit)][cause] += retired.stalls[cause];
        next_.on_retired(retired);
    }
    const std::vector<Retired>& retired() const { return retired_; }

    std::vector<std::vector<std::int64_t>> stalls{unit_count,
                                                  std::vector<std::int64_t>(stall_cause_count, 0)};

private:
    Probe& next_;
    const Program* program_ = nullptr;
    std::vector<Retired> retired_;
};

FirstMismatch describe(const check::Mismatch& mismatch, const check::Judge& judge) {
    FirstMismatch first;
    first.tensor = judge.name_of(mismatch.qp);
    first.expected = mismatch.expected;
    first.got = mismatch.got;
    first.expected_hex = mismatch.expected_hex;
    first.got_hex = mismatch.got_hex;
    first.cause = std::string(check::to_string(mismatch.cause));
    first.at.assign(mismatch.at.begin(), mismatch.at.end());
    first.cycle = mismatch.cycle;
    first.first_bit = mismatch.first_bit;
    return first;
}

Outcome run_here(const Experiment& experiment) {
    openblas_set_num_threads(1);
    const Network network = parse_network(experiment.network, "network");
    const Datapath datapath = parse_datapath(experiment.datapath, "datapath");
    check_against(datapath, network, "datapath");
    auto parameters = app::initial_parameters(network, datapath, experiment.seed);
    if (experiment.set_parameters) experiment.set_parameters(network, datapath, parameters);

    rtl::MachineOptions options;
    options.fidelity = experiment.fidelity;
    options.quantum = experiment.quantum;
    options.stall_seed = experiment.stall_seed;
    options.injection = experiment.injection;
    std::optional<trace::WaveWriter> wave;
    if (!experiment.wave.empty()) wave.emplace(experiment.wave, experiment.wave_options);
    options.wave = wave ? &*wave : nullptr;
    golden::Options golden_options;
    golden_options.batch_norm = experiment.batch_norm == compile::BatchNorm::batch
                                    ? golden::BatchNorm::batch
                                    : golden::BatchNorm::running;
    golden::Model golden(network, datapath, golden_options);
    golden.set_parameters(app::to_values(parameters));
    app::Session session(network, datapath, experiment.batch_norm, std::move(parameters),
                         experiment.batches.front(), options);
    check::Judge judge(network, &golden);
    std::unique_ptr<Probe> between;
    if (experiment.between) between = experiment.between(judge, network);
    Watch watch(between ? *between : judge);

    std::int64_t images = 0;
    for (const std::int64_t size : experiment.batches) images += size;
    std::vector<std::uint8_t> pixels = experiment.pixels;
    Random random(experiment.seed);
    while (pixels.size() < static_cast<std::size_t>(images * network.input.size()))
        pixels.push_back(static_cast<std::uint8_t>(random.next()));

    Outcome outcome;
    auto from = pixels.begin();
    for (const std::int64_t size : experiment.batches) {
        const std::vector<std::uint8_t> batch(from, from + size * network.input.size());
        from += size * network.input.size();
        golden.begin(batch, size);
        const Program& program = session.begin_batch(size);
        const auto points = session.expected();
        judge.begin_batch(points);
        watch.begin(program);
        const auto totals = session.run(batch, watch);
        for (const auto& [qp, tensor] : session.stored()) judge.check_stored(qp, tensor.codes);
        judge.finish();

        const auto prediction = check::predict_cycles(program, datapath.machine);
        outcome.batches.push_back({totals.cycles, prediction.cycles, prediction.serial_cycles,
                                   prediction.dram_overlap_cycles, totals.macs,
                                   totals.padding_slots, totals.pe_operations,
                                   static_cast<std::int64_t>(points.size())});
        BatchOutcome& last = outcome.batches.back();
        for (const Retired& retired : watch.retired()) {
            const auto index = static_cast<std::size_t>(retired.command);
            const Unit unit = program.commands[index].unit;
            if (unit == Unit::dma_read || unit == Unit::dma_write) continue;
            const auto& expected = prediction.commands[index];
            ++(retired.busy == expected.busy &&
                       retired.finished - retired.started == expected.busy + expected.latency
                   ? last.busy_equal
                   : last.busy_other);
        }
        outcome.cycles += totals.cycles;
        if (experiment.inspect && outcome.batches.size() == 1)
            outcome.note = experiment.inspect(program, watch.retired(), network);
        if (!experiment.keep_codes) continue;
        for (const auto& point : points) {
            const auto codes = judge.tensor(point.qp)->codes;
            auto& all = outcome.tensors[judge.name_of(point.qp)];
            all.insert(all.end(), codes.begin(), codes.end());
        }
    }
    if (wave) wave->close();
    outcome.clean = judge.clean();
    outcome.checked = judge.elements_checked();
    outcome.tensors_checked = judge.tensors_checked();
    outcome.mismatches = judge.mismatches();
    outcome.uncertified = judge.uncertified();
    for (const auto& verdict : judge.verdicts()) {
        outcome.saturations += verdict.saturations;
        outcome.wraps += verdict.wraps;
        outcome.differs_from_wide += verdict.differs_from_wide;
        if (!verdict.certified)
            outcome.findings.push_back(judge.name_of(verdict.qp) +
                                       " uncertified: " + verdict.why_not);
    }
    for (const auto& finding : judge.findings())
        outcome.findings.push_back(finding.layer_qp + ": " + finding.text);
    if (judge.first_mismatch()) outcome.first = describe(*judge.first_mismatch(), judge);
    outcome.stalls = watch.stalls;
    if (const auto fate = session.machine().fate()) {
        outcome.injection_hit = fate->hit;
        outcome.injection_story = fate->story;
    }
    return outcome;
}

std::vector<std::uint8_t> read_all(int descriptor) {
    std::vector<std::uint8_t> bytes;
    std::uint8_t block[1 << 16];
    for (ssize_t got; (got = ::read(descriptor, block, sizeof block)) > 0;)
        bytes.insert(bytes.end(), block, block + got);
    return bytes;
}

}  // namespace

std::string Outcome::story() const {
    std::string text = std::to_string(checked) + " elements checked, " +
                       std::to_string(mismatches) + " mismatches, " + std::to_string(uncertified) +
                       " uncertified";
    if (!first.tensor.empty()) {
        text += "; first mismatch " + first.tensor + "[";
        for (const auto i : first.at) text += std::to_string(i) + " ";
        text += "] expected " + first.expected + " got " + first.got + " (" + first.cause +
                ") at cycle " + std::to_string(first.cycle);
    }
    for (std::size_t i = 0; i < findings.size() && i < 8; ++i) text += "\n  " + findings[i];
    return text;
}

Outcome run(const Experiment& experiment) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("no child process");
    if (child == 0) {
        ::close(ends[0]);
        nlohmann::json answer;
        try {
            answer["outcome"] = run_here(experiment);
        } catch (const InputError& error) {
            answer["input_error"] = error.what();
        } catch (const std::exception& error) {
            answer["error"] = error.what();
        }
        const auto bytes = nlohmann::json::to_cbor(answer);
        for (std::size_t at = 0; at < bytes.size();) {
            const ssize_t done = ::write(ends[1], bytes.data() + at, bytes.size() - at);
            if (done <= 0) ::_exit(1);
            at += static_cast<std::size_t>(done);
        }
        ::_exit(0);  // without the parent's destructors and exit handlers
    }
    ::close(ends[1]);
    const auto bytes = read_all(ends[0]);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0)
        throw std::runtime_error("the run's process ended with status " + std::to_string(status));
    const auto answer = nlohmann::json::from_cbor(bytes);
    if (answer.contains("input_error")) throw InputError(answer["input_error"]);
    if (answer.contains("error")) throw std::runtime_error(answer["error"].get<std::string>());
    return answer["outcome"].get<Outcome>();
}

std::string network_file(const std::string& name) {
    return trace::read_file(std::string(WAGESIM_NETWORKS_DIR) + "/" + name + ".json");
}

std::vector<std::uint8_t> test_images(std::int64_t count) {
    try {
        return trace::read_idx("/usr/share/datasets/fashion-mnist", "t10k", 0, count).images;
    } catch (const InputError&) {
        Random random(7);
        std::vector<std::uint8_t> pixels(static_cast<std::size_t>(count * 28 * 28));
        for (auto& pixel : pixels) pixel = static_cast<std::uint8_t>(random.next());
        return pixels;
    }
}

}  // namespace wagesim::test
