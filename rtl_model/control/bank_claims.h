// Who holds which bank of the activation buffer, and until when.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <vector>

#include "control/access.h"
#include "control/interfaces.h"
#include "wagesim/network/datapath.h"

namespace wagesim::rtl {

/// A bank has one port. A command holds the banks of its operands and results from its start until
/// its unit is free again; another unit's command that meets it there is an error.
class BankClaims {
public:
    explicit BankClaims(const MachineConfig& config);

    /// Throws MachineError naming both commands and the cycle if another unit holds one of the
    /// banks.
    void claim(Unit unit, const Issued& issued, const std::vector<Access>& accesses,
               std::int64_t now, std::int64_t until);
    /// The unit's claims last longer than thought.
    void extend(Unit unit, std::int64_t now, std::int64_t until);

private:
    static constexpr std::size_t most_banks = 64;

    struct Holder {
        Issued issued;  // its command exists until `until`
        std::int64_t until = 0;
        std::bitset<most_banks> banks;
    };
    void require_alone(std::size_t unit, std::int64_t now) const;

    std::int64_t bank_bytes_, bank_count_;
    std::array<Holder, unit_count> holders_;
};

}  // namespace wagesim::rtl
