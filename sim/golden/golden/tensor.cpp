// See tensor.h.
#include "golden/tensor.h"

#include <cmath>

namespace wagesim::golden {

double largest_code(const Tensor& tensor) {
    return std::ldexp(largest(tensor.values), -unit_log2(tensor));
}

void uncertify(Tensor& tensor, const std::string& why) {
    if (!tensor.certified) return;
    tensor.certified = false;
    tensor.why_not = why;
}

void inherit(Tensor& tensor, std::initializer_list<const Tensor*> operands) {
    const std::string prefix = "an operand is not certified: ";
    for (const Tensor* operand : operands) {
        if (operand == nullptr || operand->certified) continue;
        const bool passed_on = operand->why_not.compare(0, prefix.size(), prefix) == 0;
        uncertify(tensor, (passed_on ? "" : prefix) + operand->why_not);
    }
}

}  // namespace wagesim::golden
