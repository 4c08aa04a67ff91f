// How much of a batch of images a tile takes.
#include "compile/spatial.h"

#include <algorithm>

namespace wagesim::compile {

SpatialSize largest_size(
    const SpatialSize& all,
    const std::function<bool(std::int64_t n, std::int64_t rows, std::int64_t columns)>& holds) {
    const auto share = [](std::int64_t total, std::int64_t most) {
        const std::int64_t shares = (total + most - 1) / most;
        return (total + shares - 1) / shares;
    };
    SpatialSize size{1, all.rows, all.columns};
    if (holds(1, size.rows, size.columns)) {
        while (size.n < all.n && holds(size.n + 1, size.rows, size.columns)) ++size.n;
        size.n = share(all.n, size.n);
        return size;
    }
    while (size.rows > 1 && !holds(1, size.rows, size.columns)) --size.rows;
    if (size.rows == 1)
        while (size.columns > 1 && !holds(1, 1, size.columns)) --size.columns;
    if (!holds(1, size.rows, size.columns)) return {};
    size.rows = share(all.rows, size.rows);
    size.columns = share(all.columns, size.columns);
    return size;
}

std::pair<std::int64_t, std::int64_t> rows_under(std::int64_t first, std::int64_t count,
                                                 const WindowAxis& axis, std::int64_t extent) {
    const std::int64_t reach = std::int64_t{axis.kernel - 1} * axis.dilation;
    const std::int64_t low = first * axis.stride - axis.padding + std::min<std::int64_t>(reach, 0);
    const std::int64_t high =
        (first + count - 1) * axis.stride - axis.padding + std::max<std::int64_t>(reach, 0);
    const std::int64_t start = std::clamp<std::int64_t>(low, 0, extent - 1);
    return {start, std::max<std::int64_t>(std::min(high + 1, extent) - start, 1)};
}

}  // namespace wagesim::compile
