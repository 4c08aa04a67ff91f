// What a check must not let pass: one command changed in one place.
#pragma once

#include <functional>
#include <ostream>
#include <variant>

#include "wagesim/network/datapath.h"
#include "wagesim/program/command.h"

namespace wagesim::test {

struct Damage {
    const char* name;
    std::function<bool(Command&)> damage;  ///< false: not this command
    Dataflow dataflow = Dataflow::ws;
};

inline void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

template <class Operands>
std::function<bool(Command&)> change(std::function<void(Operands&)> damage) {
    return [damage](Command& command) {
        auto* operands = std::get_if<Operands>(&command.operands);
        if (operands != nullptr) damage(*operands);
        return operands != nullptr;
    };
}

}  // namespace wagesim::test
