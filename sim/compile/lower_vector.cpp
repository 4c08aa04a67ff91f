// Passes whose tiles come from Dram: load, the vector unit's work, store.
#include <utility>

#include "compile/lowering.h"

namespace wagesim::compile {
namespace {

class VectorLowering : public PassLowering {
public:
    using PassLowering::PassLowering;

    void lower() {
        for (const Segment& segment : tiling_.segments) {
            begin_segment(segment);
            load_tile(0);
            load_parameters();
            prepare_parameters();
            for (std::size_t tile = 0; tile < tile_count(); ++tile) {
                // Ahead of the work, so that it is on its way meanwhile.
                if (tile + 1 < tile_count()) load_tile(tile + 1);
                work_on_tile(tile);
                store_tile(tile);
            }
            finish_segment();
        }
    }

private:
    void load_tile(std::size_t tile) {
        const Place place = place_of(tile);
        Command load = emitter_.command(
            Unit::dma_read, pass_.first_layer(), tile_number(tile), tile_at(tile).box,
            box_transfer(dram_.output(pass_.source), tile_at(tile).input,
                         place.input_base + place.placement.input));
        emitter_.wait(load, tokens::tile_free);
        if (!has_operands()) emitter_.give(load, tokens::tile_full);
        emitter_.emit(std::move(load));
        load_operands(tile, nullptr, &tokens::tile_full);
    }
};

}  // namespace

void lower_vector_pass(const Job& job, const TensorPlans& plans, const DramLayout& dram,
                       const Pass& pass, const Tiling& tiling, Emitter& emitter) {
    VectorLowering(job, plans, dram, pass, tiling, emitter).lower();
}

}  // namespace wagesim::compile
