// Both arrays, each with accumulators behind it, side by side: what the tests drive.
module twin #(
    parameter int ROWS = 4,
    parameter int COLUMNS = 4,
    parameter int OPERAND_BITS = 8,
    parameter int WEIGHT_BITS = 8,
    parameter int ACCUMULATOR_BITS = 40,
    parameter int SATURATE = 0,
    parameter int DEPTH = 64,
    parameter int SUM_BITS = OPERAND_BITS + WEIGHT_BITS + $clog2(ROWS)
) (
    input  logic                                clk_i,
    input  logic                                rst_ni,
    input  logic [$clog2(DEPTH)-1:0]            read_row_i,
    // Weight-stationary; a row of sums that leaves the array is added to row_i.
    input  logic                                ws_load_i,
    input  logic [COLUMNS*WEIGHT_BITS-1:0]      ws_weights_i,
    input  logic                                ws_swap_i,
    input  logic                                ws_valid_i,
    input  logic [ROWS*OPERAND_BITS-1:0]        ws_operands_i,
    output logic                                ws_valid_o,
    output logic [COLUMNS*SUM_BITS-1:0]         ws_sums_o,
    input  logic [$clog2(DEPTH)-1:0]            ws_row_i,
    input  logic                                ws_start_i,
    input  logic [COLUMNS*ACCUMULATOR_BITS-1:0] ws_initial_i,
    input  logic [COLUMNS-1:0]                  ws_initial_overflowed_i,
    output logic [COLUMNS*ACCUMULATOR_BITS-1:0] ws_values_o,
    output logic [COLUMNS-1:0]                  ws_overflowed_o,
    // Output-stationary; store_i writes the row that leaves the array to row_i.
    input  logic                                os_shift_i,
    input  logic [COLUMNS*ACCUMULATOR_BITS-1:0] os_initial_i,
    input  logic [COLUMNS-1:0]                  os_initial_overflowed_i,
    input  logic                                os_swap_i,
    input  logic                                os_valid_i,
    input  logic [ROWS*OPERAND_BITS-1:0]        os_operands_i,
    input  logic [COLUMNS*WEIGHT_BITS-1:0]      os_weights_i,
    output logic [COLUMNS*ACCUMULATOR_BITS-1:0] os_results_o,
    output logic [COLUMNS-1:0]                  os_results_overflowed_o,
    input  logic                                os_store_i,
    input  logic [$clog2(DEPTH)-1:0]            os_row_i,
    output logic [COLUMNS*ACCUMULATOR_BITS-1:0] os_values_o,
    output logic [COLUMNS-1:0]                  os_overflowed_o
);
  array_ws #(
      .ROWS(ROWS),
      .COLUMNS(COLUMNS),
      .OPERAND_BITS(OPERAND_BITS),
      .WEIGHT_BITS(WEIGHT_BITS)
  ) ws (
      .clk_i(clk_i),
      .rst_ni(rst_ni),
      .load_i(ws_load_i),
      .weights_i(ws_weights_i),
      .swap_i(ws_swap_i),
      .valid_i(ws_valid_i),
      .operands_i(ws_operands_i),
      .valid_o(ws_valid_o),
      .sums_o(ws_sums_o)
  );
  accumulators #(
      .COLUMNS(COLUMNS),
      .SUM_BITS(SUM_BITS),
      .ACCUMULATOR_BITS(ACCUMULATOR_BITS),
      .SATURATE(SATURATE),
      .DEPTH(DEPTH)
  ) ws_accumulators (
      .clk_i(clk_i),
      .add_i(ws_valid_o),
      .row_i(ws_row_i),
      .start_i(ws_start_i),
      .initial_i(ws_initial_i),
      .initial_overflowed_i(ws_initial_overflowed_i),
      .sums_i(ws_sums_o),
      .read_row_i(read_row_i),
      .values_o(ws_values_o),
      .overflowed_o(ws_overflowed_o)
  );

  array_os #(
      .ROWS(ROWS),
      .COLUMNS(COLUMNS),
      .OPERAND_BITS(OPERAND_BITS),
      .WEIGHT_BITS(WEIGHT_BITS),
      .ACCUMULATOR_BITS(ACCUMULATOR_BITS),
      .SATURATE(SATURATE)
  ) os (
      .clk_i(clk_i),
      .rst_ni(rst_ni),
      .shift_i(os_shift_i),
      .initial_i(os_initial_i),
      .initial_overflowed_i(os_initial_overflowed_i),
      .swap_i(os_swap_i),
      .valid_i(os_valid_i),
      .operands_i(os_operands_i),
      .weights_i(os_weights_i),
      .results_o(os_results_o),
      .results_overflowed_o(os_results_overflowed_o)
  );
  accumulators #(
      .COLUMNS(COLUMNS),
      .SUM_BITS(1),
      .ACCUMULATOR_BITS(ACCUMULATOR_BITS),
      .SATURATE(SATURATE),
      .DEPTH(DEPTH)
  ) os_accumulators (
      .clk_i(clk_i),
      .add_i(os_store_i),
      .row_i(os_row_i),
      .start_i(1'b1),
      .initial_i(os_results_o),
      .initial_overflowed_i(os_results_overflowed_o),
      .sums_i('0),
      .read_row_i(read_row_i),
      .values_o(os_values_o),
      .overflowed_o(os_overflowed_o)
  );
endmodule
