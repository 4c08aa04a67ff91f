// Writer of FST waveforms, through GTKWave's own fstapi.c.
#include "wagesim/trace/fst_format.h"

#include <fstapi.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "wagesim/error.h"
#include "wagesim/trace/fst_writer.h"

namespace wagesim::trace {

namespace {

fstVarType type_of(WaveKind kind) {
    switch (kind) {
        case WaveKind::wire:
        case WaveKind::signed_wire:
            return FST_VT_VCD_WIRE;
        case WaveKind::integer:
            return FST_VT_VCD_INTEGER;
        case WaveKind::text:
            return FST_VT_GEN_STRING;
    }
    return FST_VT_VCD_WIRE;
}

}  // namespace

FstFormat::FstFormat(AtomicFile& file)
    : file_(file), writer_(wagesim_fst_create(file.descriptor())) {
    if (writer_ == nullptr)
        throw HostError(file.path() + ": cannot start an FST file: " + std::strerror(errno));
    fstWriterSetPackType(writer_, FST_WR_PT_LZ4);
    fstWriterSetTimescale(writer_, -9);
    fstWriterSetVersion(writer_, "wagesim");
    fstWriterSetDate(writer_, "");  // the same run gives the same bytes
}

FstFormat::~FstFormat() {
    if (writer_ != nullptr) fstWriterClose(writer_);
}

void FstFormat::begin(const std::vector<WaveSignal>& signals, const WaveScope& root) {
    variables_.resize(signals.size());
    declare(root, signals);
}

void FstFormat::declare(const WaveScope& scope, const std::vector<WaveSignal>& signals) {
    if (!scope.name.empty())
        fstWriterSetScope(writer_, FST_ST_VCD_MODULE, scope.name.c_str(), nullptr);
    for (const int id : scope.signals) {
        const WaveSignal& signal = signals[static_cast<std::size_t>(id)];
        const std::string range = signal.range();
        const std::string name = signal.name + (range.empty() ? "" : " " + range);
        Variable& variable = variables_[static_cast<std::size_t>(id)];
        variable.bits = signal.kind == WaveKind::text ? 0 : static_cast<std::uint32_t>(signal.bits);
        variable.handle = fstWriterCreateVar(writer_, type_of(signal.kind), FST_VD_IMPLICIT,
                                             variable.bits, name.c_str(), 0);
    }
    for (const WaveScope& child : scope.children) declare(child, signals);
    if (!scope.name.empty()) fstWriterSetUpscope(writer_);
}

void FstFormat::time(std::int64_t ns) {
    fstWriterEmitTimeChange(writer_, static_cast<std::uint64_t>(ns));
    check();
}

void FstFormat::numbers(const WaveChange* changes, std::size_t count) {
    for (const WaveChange* change = changes; change != changes + count; ++change) {
        const Variable& variable = variables_[static_cast<std::size_t>(change->id)];
        const auto value = static_cast<std::uint64_t>(change->value);
        char digits[64];
        char* at = digits + sizeof digits;
        for (std::uint32_t shift = 0; shift < variable.bits; shift += 8) {
            at -= 8;
            std::memcpy(at, binary_digits.of(value >> shift & 255), 8);
        }
        fstWriterEmitValueChange(writer_, variable.handle, digits + sizeof digits - variable.bits);
    }
}

void FstFormat::text(int id, std::string_view text) {
    fstWriterEmitVariableLengthValueChange(writer_, variables_[static_cast<std::size_t>(id)].handle,
                                           text.data(), static_cast<std::uint32_t>(text.size()));
}

void FstFormat::unknown(int id) {
    const Variable& variable = variables_[static_cast<std::size_t>(id)];
    fstWriterEmitValueChange(writer_, variable.handle, std::string(variable.bits, 'x').c_str());
}

void FstFormat::end() {
    fstWriterClose(writer_);
    writer_ = nullptr;
    check();
}

void FstFormat::check() const {
    if (const int error = wagesim_fst_error()) file_.fail("writing", error);
}

}  // namespace wagesim::trace
