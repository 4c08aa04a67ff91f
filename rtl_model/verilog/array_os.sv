// The output-stationary array (docs/array.md): skew of operands and weights, columns of PEs.
module array_os #(
    parameter int ROWS = 4,
    parameter int COLUMNS = 4,
    parameter int OPERAND_BITS = 8,
    parameter int WEIGHT_BITS = 8,
    parameter int ACCUMULATOR_BITS = 40,
    parameter int SATURATE = 0
) (
    // verilator tracing_off
    input  logic                                clk_i,
    input  logic                                rst_ni,
    input  logic                                shift_i,
    input  logic [COLUMNS*ACCUMULATOR_BITS-1:0] initial_i,
    input  logic [COLUMNS-1:0]                  initial_overflowed_i,
    input  logic                                swap_i,
    input  logic                                valid_i,
    input  logic [ROWS*OPERAND_BITS-1:0]        operands_i,
    input  logic [COLUMNS*WEIGHT_BITS-1:0]      weights_i,
    output logic [COLUMNS*ACCUMULATOR_BITS-1:0] results_o,
    output logic [COLUMNS-1:0]                  results_overflowed_o
);
  logic [ROWS*OPERAND_BITS-1:0] skewed_operands;
  skew #(
      .LANES(ROWS),
      .BITS(OPERAND_BITS)
  ) operand_skew (
      .clk_i(clk_i),
      .rst_ni(rst_ni),
      .lanes_i(operands_i),
      .lanes_o(skewed_operands)
  );
  logic [COLUMNS*WEIGHT_BITS-1:0] skewed_weights;
  skew #(
      .LANES(COLUMNS),
      .BITS(WEIGHT_BITS)
  ) weight_skew (
      .clk_i(clk_i),
      .rst_ni(rst_ni),
      .lanes_i(weights_i),
      .lanes_o(skewed_weights)
  );

  // verilator tracing_on
  generate
    for (genvar c = 0; c < COLUMNS; c = c + 1) begin : column
      logic [ROWS-1:0] valid_left, valid, swap_left, swap;
      logic [ROWS*OPERAND_BITS-1:0] operands_left, operands;
      if (c == 0) begin : first
        // Down the first column, the bits go from PE to PE.
        assign valid_left = (valid << 1) | ROWS'(valid_i);
        assign swap_left = (swap << 1) | ROWS'(swap_i);
        assign operands_left = skewed_operands;
      end else begin : other
        assign valid_left = column[c-1].valid;
        assign swap_left = column[c-1].swap;
        assign operands_left = column[c-1].operands;
      end
      column_os #(
          .ROWS(ROWS),
          .OPERAND_BITS(OPERAND_BITS),
          .WEIGHT_BITS(WEIGHT_BITS),
          .ACCUMULATOR_BITS(ACCUMULATOR_BITS),
          .SATURATE(SATURATE)
      ) pes (
          .clk_i(clk_i),
          .rst_ni(rst_ni),
          .shift_i(shift_i),
          .initial_i(initial_i[c*ACCUMULATOR_BITS+:ACCUMULATOR_BITS]),
          .initial_overflowed_i(initial_overflowed_i[c]),
          .weight_i(skewed_weights[c*WEIGHT_BITS+:WEIGHT_BITS]),
          .valid_i(valid_left),
          .swap_i(swap_left),
          .operands_i(operands_left),
          .valid_o(valid),
          .swap_o(swap),
          .operands_o(operands),
          .result_o(results_o[c*ACCUMULATOR_BITS+:ACCUMULATOR_BITS]),
          .result_overflowed_o(results_overflowed_o[c])
      );
    end
  endgenerate
endmodule
