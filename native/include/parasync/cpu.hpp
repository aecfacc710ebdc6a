// Which CPU this is, and which kernel it runs. The only place that asks is dispatch.cpp.
#pragma once

#include <string_view>
#include <vector>

namespace parasync {

// Names of the CPU features that the kernels want and that this CPU and its operating system offer.
std::vector<std::string_view> cpu_features();

// Kernels that can run here, slowest first; "portable" is always the first.
std::vector<std::string_view> usable_kernels();

// The fastest usable kernel until select_kernel() says otherwise.
std::string_view active_kernel();

// Makes `name` the kernel of all later calls of this process. All kernels give the same results, so this may
// happen at any time, in any thread. Throws std::invalid_argument if it is unknown or cannot run here.
void select_kernel(std::string_view name);

}  // namespace parasync
