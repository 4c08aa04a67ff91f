// The weight-stationary array (docs/array.md): skew, columns of PEs, deskew.
module array_ws #(
    parameter int ROWS = 4,
    parameter int COLUMNS = 4,
    parameter int OPERAND_BITS = 8,
    parameter int WEIGHT_BITS = 8,
    parameter int SUM_BITS = OPERAND_BITS + WEIGHT_BITS + $clog2(ROWS)
) (
    // verilator tracing_off
    input  logic                           clk_i,
    input  logic                           rst_ni,
    input  logic                           load_i,
    input  logic [COLUMNS*WEIGHT_BITS-1:0] weights_i,
    input  logic                           swap_i,
    input  logic                           valid_i,
    input  logic [ROWS*OPERAND_BITS-1:0]   operands_i,
    output logic                           valid_o,
    output logic [COLUMNS*SUM_BITS-1:0]    sums_o
);
  logic [ROWS*OPERAND_BITS-1:0] skewed;
  skew #(
      .LANES(ROWS),
      .BITS(OPERAND_BITS)
  ) operand_skew (
      .clk_i(clk_i),
      .rst_ni(rst_ni),
      .lanes_i(operands_i),
      .lanes_o(skewed)
  );

  logic [COLUMNS*SUM_BITS-1:0] bottom;
  // verilator tracing_on
  generate
    for (genvar c = 0; c < COLUMNS; c = c + 1) begin : column
      logic [ROWS-1:0] valid_left, valid, swap_left, swap;
      logic [ROWS*OPERAND_BITS-1:0] operands_left, operands;
      if (c == 0) begin : first
        // Down the first column, the bits go from PE to PE.
        assign valid_left = (valid << 1) | ROWS'(valid_i);
        assign swap_left = (swap << 1) | ROWS'(swap_i);
        assign operands_left = skewed;
      end else begin : other
        assign valid_left = column[c-1].valid;
        assign swap_left = column[c-1].swap;
        assign operands_left = column[c-1].operands;
      end
      column_ws #(
          .ROWS(ROWS),
          .OPERAND_BITS(OPERAND_BITS),
          .WEIGHT_BITS(WEIGHT_BITS),
          .SUM_BITS(SUM_BITS)
      ) pes (
          .clk_i(clk_i),
          .rst_ni(rst_ni),
          .load_i(load_i),
          .weight_i(weights_i[c*WEIGHT_BITS+:WEIGHT_BITS]),
          .valid_i(valid_left),
          .swap_i(swap_left),
          .operands_i(operands_left),
          .valid_o(valid),
          .swap_o(swap),
          .operands_o(operands),
          .sum_o(bottom[c*SUM_BITS+:SUM_BITS])
      );
    end
  endgenerate

  // verilator tracing_off
  skew #(
      .LANES(COLUMNS),
      .BITS(SUM_BITS),
      .FALLING(1)
  ) deskew (
      .clk_i(clk_i),
      .rst_ni(rst_ni),
      .lanes_i(bottom),
      .lanes_o(sums_o)
  );
  assign valid_o = column[COLUMNS-1].valid[ROWS-1];
endmodule
