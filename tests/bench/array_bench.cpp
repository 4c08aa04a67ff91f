// The whole machine on one array workload, at register fidelity: how many cycles a second.
//
// Tiles of R x C weights, each met by 1024 rows of random operands: what the Verilog twin's bench
// does with the array alone. Prints one line: name, kcycles/s, simulated cycles, bytes of the wave.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <systemc>

#include "machine.h"
#include "wagesim/trace/wave_writer.h"

namespace {

using namespace wagesim;

constexpr int rows_of_operands = 1024;

/// WLOAD and GEMM of every tile; all weights and operands are loaded first.
Program tiles_program(int rows, int columns, int tiles) {
    Program program;
    const auto token = [&](const char* name, StallCause cause, int initial) {
        program.tokens.push_back({name, cause, initial});
        return static_cast<Token>(program.tokens.size() - 1);
    };
    const Token loaded = token("loaded", StallCause::dram, 0);
    const Token weights_loaded = token("weights_loaded", StallCause::dram, 0);
    const Token shadow_free = token("shadow_free", StallCause::weights, 1);
    const Token shadow_full = token("shadow_full", StallCause::weights, 0);
    const auto add = [&](Unit unit, Command::Operands operands) -> Command& {
        program.commands.push_back({});
        program.commands.back().unit = unit;
        program.commands.back().operands = std::move(operands);
        return program.commands.back();
    };
    const std::int64_t operand_bytes = std::int64_t{rows} * rows_of_operands;
    Transfer transfer;
    transfer.run_bytes = operand_bytes;
    add(Unit::dma_read, transfer).gives = {loaded};
    const std::int64_t tile_bytes = std::int64_t{rows} * columns;
    transfer = {};
    transfer.buffer = Space::weights;
    transfer.dram_address = operand_bytes;
    transfer.run_bytes = tile_bytes * tiles;
    add(Unit::dma_read, transfer).gives = {weights_loaded};
    for (int tile = 0; tile < tiles; ++tile) {
        WeightLoad load;
        load.weights.address = tile * tile_bytes;
        load.weights.column_stride = rows;
        load.rows = rows;
        load.columns = columns;
        Command& wload = add(Unit::weight_loader, load);
        wload.waits = {shadow_free};
        if (tile == 0) wload.waits.push_back(weights_loaded);
        wload.gives = {shadow_full};

        Gemm gemm;
        gemm.stride_n = gemm.stride_h = operand_bytes;
        gemm.stride_w = rows;
        gemm.image_h = 1;
        gemm.image_w = rows_of_operands;
        gemm.channels = gemm.k = rows;
        gemm.columns = columns;
        gemm.accumulate = tile > 0;
        gemm.gives_at_swap = {shadow_free};
        Command& command = add(Unit::array, gemm);
        command.box.w = rows_of_operands;
        command.box.c = columns;
        command.waits = {shadow_full};
        if (tile == 0) command.waits.push_back(loaded);
    }
    program.dram_bytes = operand_bytes + tile_bytes * tiles;
    return program;
}

int command_line(int argc, char** argv) {
    CLI::App app{"cycles a second of the machine on one array workload"};
    int size = 16, quantum = 64, tiles = 64;
    double seconds = 1;
    std::string wave;
    app.add_option("--size", size, "rows and columns of the array");
    app.add_option("--quantum", quantum, "cycles that registers may lag; 0: tile fidelity");
    app.add_option("--tiles", tiles, "of weights");
    app.add_option("--seconds", seconds, "at least so long (without a wave)");
    app.add_option("--wave", wave, "of all PE registers: FILE.vcd or FILE.fst; then once");
    CLI11_PARSE(app, argc, argv);

    MachineConfig config;
    config.array_rows = config.array_columns = size;
    config.bank_bytes_per_cycle = std::max(16, size);
    config.activation_buffer_bytes = std::int64_t{4} * size * rows_of_operands;
    config.weight_buffer_bytes = std::int64_t{size} * size * std::max(tiles, 2);
    config.accumulator_bytes = std::int64_t{rows_of_operands} * size * 5;
    rtl::MachineOptions options;
    options.fidelity = quantum > 0 ? rtl::Fidelity::register_accurate : rtl::Fidelity::tile;
    options.quantum = quantum;
    std::optional<trace::WaveWriter> writer;
    if (!wave.empty()) {
        trace::WaveWriter::Options scopes;
        scopes.scopes = {"machine.array.row*"};
        writer.emplace(wave, scopes);
        options.wave = &*writer;
    }
    rtl::Machine machine("machine", config, options);
    const Program program = tiles_program(size, size, tiles);
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(program.dram_bytes));
    std::uint32_t state = 1;
    for (auto& byte : bytes)
        byte = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
    machine.write_dram(0, bytes.data(), program.dram_bytes);

    NoProbe silent;
    std::int64_t cycles = 0;
    const auto begin = std::chrono::steady_clock::now();
    const auto elapsed = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    do {
        cycles += machine.run(program, silent).cycles;
    } while (!writer && elapsed() < seconds);
    if (writer) writer->close();
    const double time = elapsed();
    const std::uintmax_t size_of_wave = writer ? std::filesystem::file_size(wave) : 0;
    std::printf("wagesim_%dx%d_q%d%s %.1f kcycles/s %lld cycles %llu bytes\n", size, size, quantum,
                wave.empty() ? "" : wave.substr(wave.size() - 4).c_str(),
                static_cast<double>(cycles) / time / 1e3, static_cast<long long>(cycles),
                static_cast<unsigned long long>(size_of_wave));
    return 0;
}

/// Keeps SystemC's banner off the terminal; it is printed before sc_main().
const int no_banner = setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 0);

}  // namespace

int sc_main(int argc, char** argv) { return command_line(argc, argv); }
