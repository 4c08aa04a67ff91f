// Names of commands, units, phases and memories as listings, traces and reports print them.
#include <string>
#include <string_view>
#include <variant>

#include "wagesim/program/command.h"

namespace wagesim {

namespace {

struct Mnemonic {
    Unit unit;

    const char* operator()(const Fence&) const { return "FENCE"; }
    const char* operator()(const Transfer&) const {
        return unit == Unit::dma_write ? "STORE" : "LOAD";
    }
    const char* operator()(const WeightLoad&) const { return "WLOAD"; }
    const char* operator()(const Gemm&) const { return "GEMM"; }
    const char* operator()(const Drain&) const { return "DRAIN"; }
    const char* operator()(const Gather&) const { return "GATHER"; }
    const char* operator()(const Clear&) const { return "CLEAR"; }
    const char* operator()(const BnStat&) const { return "BN_STAT"; }
    const char* operator()(const BnCoef&) const { return "BN_COEF"; }
    const char* operator()(const NormalizeCmd&) const { return "NORMALIZE"; }
    const char* operator()(const Act&) const { return "ACT"; }
    const char* operator()(const Add&) const { return "ADD"; }
    const char* operator()(const Pool&) const { return "POOL"; }
    const char* operator()(const QuantizeCmd&) const { return "QUANTIZE"; }
    const char* operator()(const Softmax&) const { return "SOFTMAX"; }
    const char* operator()(const Exponent&) const { return "EXPONENT"; }
    const char* operator()(const ShiftQuantize&) const { return "SQ"; }
    const char* operator()(const FlagQuantize&) const { return "FQ"; }
    const char* operator()(const PoolBack&) const { return "POOL_BACK"; }
    const char* operator()(const Reduce&) const { return "REDUCE"; }
    const char* operator()(const BnBack&) const { return "BN_BACK"; }
    const char* operator()(const BnError&) const { return "BN_ERROR"; }
    const char* operator()(const Fork&) const { return "FORK"; }
    const char* operator()(const Update&) const { return "UPDATE"; }
};

}  // namespace

std::string mnemonic(const Command& command) {
    return std::visit(Mnemonic{command.unit}, command.operands);
}

std::string_view to_string(Unit unit) {
    switch (unit) {
        case Unit::dma_read:
            return "dma_read";
        case Unit::dma_write:
            return "dma_write";
        case Unit::weight_loader:
            return "weight_loader";
        case Unit::array:
            return "array";
        case Unit::drain:
            return "drain";
        case Unit::vector:
            return "vector";
        case Unit::update:
            return "update";
    }
    return "?";
}

std::string_view to_string(Phase phase) {
    switch (phase) {
        case Phase::prepare:
            return "prepare";
        case Phase::forward:
            return "forward";
        case Phase::error:
            return "error";
        case Phase::gradient:
            return "gradient";
        case Phase::batch_norm:
            return "batch_norm";
        case Phase::update:
            return "update";
    }
    return "?";
}

std::string_view to_string(StallCause cause) {
    switch (cause) {
        case StallCause::weights:
            return "weights";
        case StallCause::activations:
            return "activations";
        case StallCause::accumulator:
            return "accumulator";
        case StallCause::vector:
            return "vector";
        case StallCause::parameters:
            return "parameters";
        case StallCause::dram:
            return "dram";
        case StallCause::control:
            return "control";
        case StallCause::backpressure:
            return "backpressure";
    }
    return "?";
}

std::string_view to_string(Space space) {
    switch (space) {
        case Space::dram:
            return "dram";
        case Space::weights:
            return "weights";
        case Space::activations:
            return "activations";
        case Space::accumulators:
            return "accumulators";
        case Space::parameters:
            return "parameters";
    }
    return "?";
}

}  // namespace wagesim
