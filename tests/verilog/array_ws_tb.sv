// GEMMs back to back through the weight-stationary array, K tiles adding up in the accumulators:
// every row of sums in its cycle, and what the drain reads at the end. Default parameters.
module array_ws_tb;
  localparam int ROWS = 4, COLUMNS = 4, SUM_BITS = 18, ACCUMULATOR_BITS = 40;
  localparam int TILES = 5, PIXELS = 23;
  localparam int LATENCY = ROWS + COLUMNS - 1;
  localparam int CYCLES = ROWS + TILES * PIXELS + LATENCY + 3;

  logic clk = 0, rst_n = 0;
  logic load = 0, swap = 0, valid = 0, valid_out;
  logic [COLUMNS*8-1:0] weight_row = '0;
  logic [ROWS*8-1:0] operand_row = '0;
  logic [COLUMNS*SUM_BITS-1:0] sums;
  array_ws array (
      .clk_i(clk),
      .rst_ni(rst_n),
      .load_i(load),
      .weights_i(weight_row),
      .swap_i(swap),
      .valid_i(valid),
      .operands_i(operand_row),
      .valid_o(valid_out),
      .sums_o(sums)
  );

  logic [5:0] row = '0, read_row = '0;
  logic start = 0;
  logic [COLUMNS*ACCUMULATOR_BITS-1:0] values;
  logic [COLUMNS-1:0] overflowed;
  accumulators accumulators (
      .clk_i(clk),
      .add_i(valid_out),
      .row_i(row),
      .start_i(start),
      .initial_i({COLUMNS * ACCUMULATOR_BITS{1'b0}}),
      .initial_overflowed_i({COLUMNS{1'b0}}),
      .sums_i(sums),
      .read_row_i(read_row),
      .values_o(values),
      .overflowed_o(overflowed)
  );

  logic signed [7:0] weights[0:TILES*ROWS*COLUMNS-1];
  logic signed [7:0] operands[0:TILES*PIXELS*ROWS-1];

  function integer product(input integer tile, input integer pixel, input integer column);
    integer r;
    begin
      product = 0;
      for (r = 0; r < ROWS; r = r + 1)
        product = product + operands[(tile*PIXELS+pixel)*ROWS+r] *
            weights[(tile*ROWS+r)*COLUMNS+column];
    end
  endfunction

  integer cycle, tile, pixel, begins, i, c, expected, checks, errors;
  logic signed [SUM_BITS-1:0] sum;
  logic signed [ACCUMULATOR_BITS-1:0] value;

  initial begin
    checks = 0;
    errors = 0;
    for (i = 0; i < TILES * ROWS * COLUMNS; i = i + 1) weights[i] = $random;
    for (i = 0; i < TILES * PIXELS * ROWS; i = i + 1) operands[i] = $random;
    #1 clk = 1;
    #1 clk = 0;
    rst_n = 1;

    for (cycle = 0; cycle < CYCLES; cycle = cycle + 1) begin
      load = 0;
      swap = 0;
      valid = 0;
      weight_row = '0;
      operand_row = '0;
      row = '0;
      start = 0;
      expected = 0;
      for (tile = 0; tile < TILES; tile = tile + 1) begin
        // The GEMM starts in cycle `begins`; its WLOAD as soon as the shadow registers are free.
        begins = ROWS + tile * PIXELS;
        i = cycle - (tile == 0 ? 0 : begins - PIXELS + LATENCY);
        if (i >= 0 && i < ROWS) begin
          load = 1;
          for (c = 0; c < COLUMNS; c = c + 1)
            weight_row[c*8+:8] = weights[(tile*ROWS+ROWS-1-i)*COLUMNS+c];
        end
        if (cycle == begins) swap = 1;
        pixel = cycle - begins;
        if (pixel >= 0 && pixel < PIXELS) begin
          valid = 1;
          for (i = 0; i < ROWS; i = i + 1)
            operand_row[i*8+:8] = operands[(tile*PIXELS+pixel)*ROWS+i];
        end
        pixel = cycle - begins - LATENCY;
        if (pixel >= 0 && pixel < PIXELS) begin
          expected = 1;
          row = pixel[5:0];
          start = tile == 0;
          #1
          for (c = 0; c < COLUMNS; c = c + 1) begin
            sum = sums[c*SUM_BITS+:SUM_BITS];
            checks = checks + 1;
            if (sum !== product(tile, pixel, c)) errors = errors + 1;
          end
        end
      end
      #1 if (valid_out !== (expected == 1)) errors = errors + 1;
      #1 clk = 1;
      #1 clk = 0;
    end

    for (pixel = 0; pixel < PIXELS; pixel = pixel + 1) begin
      read_row = pixel[5:0];
      #1
      for (c = 0; c < COLUMNS; c = c + 1) begin
        expected = 0;
        for (tile = 0; tile < TILES; tile = tile + 1)
          expected = expected + product(tile, pixel, c);
        value = values[c*ACCUMULATOR_BITS+:ACCUMULATOR_BITS];
        checks = checks + 1;
        if (value !== expected || overflowed[c] !== 0) errors = errors + 1;
      end
    end

    if (errors == 0 && checks == (TILES + 1) * PIXELS * COLUMNS)
      $display("array_ws: %0d sums checked, all right", checks);
    else $display("array_ws: %0d errors in %0d sums", errors, checks);
    $finish;
  end
endmodule
