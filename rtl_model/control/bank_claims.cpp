// Who holds which bank of the activation buffer, and until when.
#include "control/bank_claims.h"

#include <algorithm>
#include <stdexcept>

#include "buffer/buffer.h"

namespace wagesim::rtl {

BankClaims::BankClaims(const MachineConfig& config)
    : bank_bytes_(
          std::max<std::int64_t>(1, config.activation_buffer_bytes / config.activation_banks)),
      bank_count_(config.activation_banks) {
    if (bank_count_ > static_cast<std::int64_t>(most_banks))
        throw std::logic_error("bank claims: more banks than bits");
}

void BankClaims::claim(Unit unit, const Issued& issued, const std::vector<Access>& accesses,
                       std::int64_t now, std::int64_t until) {
    Holder& own = holders_[static_cast<std::size_t>(unit)];
    own.banks.reset();
    for (const Access& access : accesses) {
        if (access.space != Space::activations) continue;
        // What leaves the buffer is the buffer's error, not a bank's.
        const std::int64_t first = std::max<std::int64_t>(0, access.first) / bank_bytes_;
        const std::int64_t last = std::min((access.end - 1) / bank_bytes_, bank_count_ - 1);
        for (std::int64_t bank = first; bank <= last; ++bank)
            own.banks.set(static_cast<std::size_t>(bank));
    }
    own.issued = issued;
    own.until = until;
    require_alone(static_cast<std::size_t>(unit), now);
}

void BankClaims::extend(Unit unit, std::int64_t now, std::int64_t until) {
    holders_[static_cast<std::size_t>(unit)].until = until;
    require_alone(static_cast<std::size_t>(unit), now);
}

void BankClaims::require_alone(std::size_t unit, std::int64_t now) const {
    const Holder& own = holders_[unit];
    if (own.until <= now) return;
    for (std::size_t i = 0; i < holders_.size(); ++i) {
        const Holder& other = holders_[i];
        if (i == unit || other.until <= now) continue;
        const auto both = own.banks & other.banks;
        if (both.none()) continue;
        std::size_t bank = 0;
        while (!both[bank]) ++bank;
        throw MachineError("activations: bank " + std::to_string(bank) +
                           " is used by two commands in cycle " + std::to_string(now) + ": " +
                           describe(other.issued) + " and " + describe(own.issued));
    }
}

}  // namespace wagesim::rtl
