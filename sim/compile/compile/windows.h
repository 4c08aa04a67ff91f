// The windows that a layer slides over its input.
#pragma once

#include "wagesim/network/network.h"

namespace wagesim::compile {

/// One direction of a convolution's or pool's window; the default is no window at all.
struct WindowAxis {
    int kernel = 1, stride = 1, padding = 0, dilation = 1;
};

struct Window {
    WindowAxis h, w;
};

/// Linear layers and global pools see their whole input at once.
inline Window window_of(const Layer& layer) {
    switch (layer.type) {
        case LayerType::conv2d:
        case LayerType::max_pool:
        case LayerType::avg_pool:
            return {{layer.kernel.h, layer.stride.h, layer.padding.h, layer.dilation.h},
                    {layer.kernel.w, layer.stride.w, layer.padding.w, layer.dilation.w}};
        case LayerType::linear:
        case LayerType::global_avg_pool:
            return {{static_cast<int>(layer.in_shape.h), 1, 0, 1},
                    {static_cast<int>(layer.in_shape.w), 1, 0, 1}};
        case LayerType::batch_norm:
        case LayerType::relu:
        case LayerType::relu6:
        case LayerType::add:
            break;
    }
    return {};
}

/// A pool's, also a global one's: it steps by its kernel.
inline Window pool_window_of(const Layer& pool) {
    Window window = window_of(pool);
    if (pool.type == LayerType::global_avg_pool) {
        window.h.stride = window.h.kernel;
        window.w.stride = window.w.kernel;
    }
    return window;
}

}  // namespace wagesim::compile
