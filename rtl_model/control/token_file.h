// The tokens of the running program: counting semaphores between units.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <systemc>
#include <vector>

#include "control/interfaces.h"

namespace wagesim::rtl {

class TokenFile : public sc_core::sc_module, public TokenPort {
public:
    explicit TokenFile(const sc_core::sc_module_name& name) : sc_module(name) {}

    /// Every token at its initial count.
    void load(const Program& program);
    /// Before a command is issued. Throws MachineError if it names a token that the program lacks,
    /// a token has a second waiting or giving unit, or a FENCE has one.
    void admit(const Command& command, std::size_t index);

    const TokenInfo* lacking(const Tokens& waits) const override;
    void take(const Tokens& waits) override;
    void give(const Tokens& gives) override;
    const sc_core::sc_event& next_given(Unit unit) override {
        awaited_[static_cast<std::size_t>(unit)] = true;
        return given_[static_cast<std::size_t>(unit)];
    }

private:
    void become(std::vector<int>& owners, Token token, const Command& command, std::size_t index,
                const char* role) const;

    static constexpr int nobody = -1;

    const std::vector<TokenInfo>* infos_ = nullptr;
    std::vector<std::int64_t> counts_;
    std::vector<int> waiters_, givers_;  // each token's unit, once a command names it
    std::array<sc_core::sc_event, unit_count> given_;
    std::array<bool, unit_count> awaited_{};  // whose event somebody waits for
};

}  // namespace wagesim::rtl
