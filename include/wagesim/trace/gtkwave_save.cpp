// GTKWave's save file, of version 3.3: flags in hex before the lines that they hold for.
#include "wagesim/trace/gtkwave_save.h"

#include <cmath>
#include <filesystem>

namespace wagesim::trace {

namespace {

constexpr int width = 1400, height = 800;  // of the window, in pixels
constexpr double waves_width = 850;        // of that, where the waves are
constexpr double zoom_0 = 1.0 / 200;       // ns per pixel at zoom 0; at -1, twice as many
constexpr std::size_t many_signals = 100;  // fit no window

const char* flags_of(const WaveSignal& signal) {
    switch (signal.kind) {
        case WaveKind::text:
            return "@820\n";  // ASCII
        case WaveKind::signed_wire:
        case WaveKind::integer:
            return "@420\n";  // signed decimal
        case WaveKind::wire:
            break;
    }
    return signal.bits == 1 ? "@28\n" : "@22\n";  // binary, hex
}

/// A group for every scope inside the outermost one.
void add_scope(std::string& text, const WaveScope& scope, const std::vector<WaveSignal>& signals,
               int depth) {
    const bool is_group = depth >= 2;
    const bool is_closed = depth >= 3 && signals.size() > many_signals;
    if (is_group) text += (is_closed ? "@c00200\n-" : "@800200\n-") + scope.name + "\n";
    for (const int id : scope.signals) {
        const WaveSignal& signal = signals[static_cast<std::size_t>(id)];
        text += flags_of(signal) + signal.scope + "." + signal.name + signal.range() + "\n";
    }
    for (const WaveScope& child : scope.children) add_scope(text, child, signals, depth + 1);
    if (is_group) text += (is_closed ? "@1401200\n-" : "@1000200\n-") + scope.name + "\n";
}

}  // namespace

std::string gtkwave_save(const std::string& wave, const std::vector<WaveSignal>& signals,
                         const WaveScope& root, std::int64_t from_ns, std::int64_t to_ns) {
    const std::filesystem::path path(wave);
    // Beside [savefile], a [dumpfile] without a directory is found from anywhere.
    const double ns_per_pixel = static_cast<double>(to_ns - from_ns) / waves_width;
    std::string text = std::string(gtkwave_save_title) + "\n[dumpfile] \"" +
                       path.filename().string() + "\"\n[savefile] \"" + path.stem().string() +
                       ".gtkw\"\n[timestart] " + std::to_string(from_ns) + "\n[size] " +
                       std::to_string(width) + " " + std::to_string(height) + "\n*" +
                       std::to_string(-std::log2(ns_per_pixel / zoom_0)) + " -1\n";
    for (const WaveScope& top : root.children) text += "[treeopen] " + top.name + ".\n";
    add_scope(text, root, signals, 0);
    return text;
}

}  // namespace wagesim::trace
