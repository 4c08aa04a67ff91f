// See accuracy.h.
#include "accuracy.h"

#include <algorithm>

namespace wagesim::app {

bool is_output(const Network& network, const QpId& qp) {
    return qp.layer + 1 == static_cast<int>(network.layers.size()) &&
           (qp.qp == Qp::z || qp.qp == Qp::y || qp.qp == Qp::x2 || qp.qp == Qp::A ||
            qp.qp == Qp::stream);
}

std::int64_t classified_rightly(const std::vector<std::int64_t>& logits, const Shape& shape,
                                const std::vector<std::uint8_t>& labels, std::int64_t first) {
    std::int64_t right = 0;
    const auto classes = shape.c * shape.h * shape.w;
    for (std::int64_t n = 0; n < shape.n; ++n) {
        const auto row = logits.begin() + n * classes;
        const auto best = std::max_element(row, row + classes) - row;
        right += best == labels[static_cast<std::size_t>(first + n)];
    }
    return right;
}

}  // namespace wagesim::app
