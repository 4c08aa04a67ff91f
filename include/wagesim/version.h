// The version that --version, manifests and reports print.
#pragma once

namespace wagesim {

inline constexpr const char* version = "0.1.0";

}  // namespace wagesim
