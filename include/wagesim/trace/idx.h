// Reader of image data sets in IDX files (MNIST, Fashion-MNIST), plain or gzip.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace wagesim::trace {

struct Dataset {
    std::int64_t count = 0, rows = 0, columns = 0;
    std::vector<std::uint8_t> images;  ///< count x rows x columns pixels
    std::vector<std::uint8_t> labels;  ///< count
};

/// Reads DIR/SPLIT-images-idx3-ubyte[.gz] and SPLIT-labels-idx1-ubyte[.gz] (split "t10k" or
/// "train"): `count` images from image `first` on; count < 0: all the rest.
/// The whole files are checked, their checksums included, whatever part is asked for.
/// Throws InputError naming the file, the byte offset and what was expected there.
Dataset read_idx(const std::string& directory, const std::string& split, std::int64_t first = 0,
                 std::int64_t count = -1);

}  // namespace wagesim::trace
