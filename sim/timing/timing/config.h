// SCALE-Sim's configuration file (INI), as far as closed formulas need it.
#pragma once

#include <optional>
#include <string>

#include "timing/cycles.h"

namespace wagesim::timing {

/// What the file says; the rest of its keys (buffers, bandwidths, layouts) is read over.
struct ScaleSimConfig {
    std::optional<std::string> run_name;  ///< [general]
    std::optional<int> array_rows;        ///< [architecture_presets] ArrayHeight
    std::optional<int> array_columns;     ///< [architecture_presets] ArrayWidth
    std::optional<Dataflow> dataflow;     ///< [architecture_presets] Dataflow
    bool ignore_sparsity = false;         ///< [sparsity] SparsitySupport is there and not true
};

/// Throws InputError naming file, line and what was expected.
ScaleSimConfig read_scalesim_config(const std::string& path);
/// The same from text; `origin` is the name used in messages.
ScaleSimConfig parse_scalesim_config(const std::string& text, const std::string& origin);

}  // namespace wagesim::timing
