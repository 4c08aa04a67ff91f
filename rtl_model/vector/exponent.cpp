// EXPONENT: the unit of a block-scaled tensor, once its largest magnitude is known.
#include <algorithm>

#include "vector/operations.h"
#include "vector/scale.h"
#include "wagesim/arith/block_scale.h"

namespace wagesim::rtl {

Work duration(const MachineConfig&, const Box&, const Exponent&) { return {4, 1, -1}; }

void exponent(const Machinery& machinery, const Issue&, const Exponent& operation) {
    Buffer& parameters = machinery.memories.parameters;
    Unit unit{operation.exponent, operation.frac};
    if (operation.is_fork) {
        unit = common_unit(parameters, operation.operands).unit;
    } else if (!operation.operands.empty()) {
        const Unit operand = unit_of(parameters, operation.operands.front().scale);
        unit.exponent = operand.exponent;
        if (!operation.keeps_frac) unit.frac = operand.frac + operation.add_frac;
    }
    ScaleRecord record;
    record.largest = read_largest(parameters, operation.scale_address);
    record.frac = unit.frac;
    record.exponent = unit.exponent;
    record.s = arith::scale_exponent(Wide{record.largest}, unit.frac, unit.exponent);
    write_scale(parameters, operation.scale_address, record);
}

}  // namespace wagesim::rtl
