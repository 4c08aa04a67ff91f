// A GEMM of three folds, the last one partial, through the output-stationary array: every row of
// sums that leaves it, in its cycle. Default parameters.
module array_os_tb;
  localparam int ROWS = 4, COLUMNS = 4, ACCUMULATOR_BITS = 40;
  localparam int FOLDS = 3, PIXELS = 10, K = 13;
  localparam int LATENCY = ROWS + COLUMNS - 1;
  localparam int CYCLES = ROWS + FOLDS * K + LATENCY + ROWS;

  logic clk = 0, rst_n = 0;
  logic shift = 0, swap = 0, valid = 0;
  logic [COLUMNS*ACCUMULATOR_BITS-1:0] initial_row = '0, results;
  logic [COLUMNS-1:0] overflowed;
  logic [ROWS*8-1:0] operand_row = '0;
  logic [COLUMNS*8-1:0] weight_row = '0;
  array_os array (
      .clk_i(clk),
      .rst_ni(rst_n),
      .shift_i(shift),
      .initial_i(initial_row),
      .initial_overflowed_i({COLUMNS{1'b0}}),
      .swap_i(swap),
      .valid_i(valid),
      .operands_i(operand_row),
      .weights_i(weight_row),
      .results_o(results),
      .results_overflowed_o(overflowed)
  );

  logic signed [7:0] weights[0:K*COLUMNS-1];
  logic signed [7:0] operands[0:PIXELS*K-1];
  logic signed [31:0] bias[0:PIXELS*COLUMNS-1];

  function integer product(input integer pixel, input integer column);
    integer j;
    begin
      product = 0;
      for (j = 0; j < K; j = j + 1)
        product = product + operands[pixel*K+j] * weights[j*COLUMNS+column];
    end
  endfunction

  integer cycle, fold, begins, step, i, r, c, pixel, checks, errors;
  logic signed [ACCUMULATOR_BITS-1:0] value, expected;

  initial begin
    checks = 0;
    errors = 0;
    for (i = 0; i < K * COLUMNS; i = i + 1) weights[i] = $random;
    for (i = 0; i < PIXELS * K; i = i + 1) operands[i] = $random;
    for (i = 0; i < PIXELS * COLUMNS; i = i + 1) bias[i] = $random;
    #1 clk = 1;
    #1 clk = 0;
    rst_n = 1;

    for (cycle = 0; cycle < CYCLES; cycle = cycle + 1) begin
      shift = 0;
      swap = 0;
      valid = 0;
      initial_row = '0;
      operand_row = '0;
      weight_row = '0;
      // Fold -1 is the first shift in, fold FOLDS the last shift out.
      for (fold = -1; fold <= FOLDS; fold = fold + 1) begin
        begins = ROWS + fold * K;
        if (fold >= 0 && cycle == begins) swap = 1;
        step = cycle - begins;
        if (fold >= 0 && fold < FOLDS && step >= 0 && step < K) begin
          valid = 1;
          for (r = 0; r < ROWS; r = r + 1)
            if (fold * ROWS + r < PIXELS)
              operand_row[r*8+:8] = operands[(fold*ROWS+r)*K+step];
          for (c = 0; c < COLUMNS; c = c + 1) weight_row[c*8+:8] = weights[step*COLUMNS+c];
        end
        i = fold < 0 ? cycle : cycle - begins - LATENCY;
        if (i >= 0 && i < ROWS) begin
          shift = 1;
          r = ROWS - 1 - i;
          pixel = (fold + 1) * ROWS + r;
          if (pixel < PIXELS)
            for (c = 0; c < COLUMNS; c = c + 1)
              initial_row[c*ACCUMULATOR_BITS+:ACCUMULATOR_BITS] =
                  {{ACCUMULATOR_BITS - 32{bias[pixel*COLUMNS+c][31]}}, bias[pixel*COLUMNS+c]};
          if (fold >= 1) begin
            pixel = (fold - 1) * ROWS + r;
            #1
            for (c = 0; c < COLUMNS; c = c + 1) begin
              value = results[c*ACCUMULATOR_BITS+:ACCUMULATOR_BITS];
              expected = 0;
              if (pixel < PIXELS) begin
                expected = bias[pixel*COLUMNS+c];
                expected = expected + product(pixel, c);
              end
              checks = checks + 1;
              if (value !== expected || overflowed[c] !== 0) errors = errors + 1;
            end
          end
        end
      end
      #1 clk = 1;
      #1 clk = 0;
    end

    if (errors == 0 && checks == FOLDS * ROWS * COLUMNS)
      $display("array_os: %0d sums checked, all right", checks);
    else $display("array_os: %0d errors in %0d sums", errors, checks);
    $finish;
  end
endmodule
