// Follows every byte of a program: where it came from, who may use it and when.
//
// Knows the commands from their headers and the network from its file, and nothing of the
// compiler. Bytes carry the name of what they are (layer, quantisation point, element, byte);
// commands are ordered by their tokens (vector clocks) and by their units' queues alone.
#pragma once

#include <cstdint>
#include <string>

#include "compile/compile.h"

namespace wagesim::test {

struct Checked {
    std::string violation;  ///< the first one; empty: none
    std::int64_t macs = 0;
    std::int64_t bytes_read = 0;
    std::int64_t codes_made = 0;  ///< at quantisation points
};

/// The program must have its prologue. Checked: nothing is read that an ordered, earlier command
/// did not write since the last FENCE; nothing is overwritten or shared while another unit may use
/// it; every operand is the one that the layer's definition asks for, every multiplication is done
/// once and K ascends; every quantisation point's every element is made once and no other; every
/// tensor in Dram is complete.
Checked check_program(const Program& program, const Network& network, const Datapath& datapath,
                      std::int64_t batch, compile::BatchNorm batch_norm);

/// The same of both programs of a training step: what the step reads was made by it, written by the
/// host or left by `prepare`; parameters are read as they were and left updated.
Checked check_training(const compile::TrainingPrograms& programs, const Network& network,
                       const Datapath& datapath, std::int64_t batch);

/// Issues the program in order into queues of so many entries, commands taking no time. Returns
/// where it stops, -1: nowhere.
std::int64_t deadlock(const Program& program, int queue_depth);

}  // namespace wagesim::test
