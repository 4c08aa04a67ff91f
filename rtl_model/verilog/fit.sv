// Brings an exact sum to BITS bits: wraps, or saturates at the two's complement range.
module fit #(
    parameter int EXACT_BITS = 41,
    parameter int BITS = 40,
    parameter int SATURATE = 0
) (
    input  logic [EXACT_BITS-1:0] exact_i,
    output logic [BITS-1:0]       sum_o,
    output logic                  overflow_o
);
  // The sum fits if all bits beyond the width repeat its sign.
  logic [EXACT_BITS-BITS:0] signs;
  assign signs = exact_i[EXACT_BITS-1:BITS-1];
  assign overflow_o = signs != {(EXACT_BITS - BITS + 1) {exact_i[EXACT_BITS-1]}};

  generate
    if (SATURATE != 0) begin : saturating
      assign sum_o = overflow_o
          ? {exact_i[EXACT_BITS-1], {(BITS - 1) {!exact_i[EXACT_BITS-1]}}} : exact_i[BITS-1:0];
    end else begin : wrapping
      assign sum_o = exact_i[BITS-1:0];
    end
  endgenerate
endmodule
