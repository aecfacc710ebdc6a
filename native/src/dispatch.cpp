#include <algorithm>
#include <atomic>
#include <span>
#include <stdexcept>
#include <string>

#include "kernel.hpp"
#include "parasync/cpu.hpp"

#if defined(PARASYNC_ARM_KERNELS)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace parasync {

namespace {

struct Choice {
    Kernel kernel;
    std::span<const std::string_view> features;  // what the sources' compile options use (kernels.cmake)
};

// CRC32C and BLAKE3 have fewer kernels: two more name whose they are.
#define PARASYNC_CHOICE(isa, features, crc, strong)                                                     \
    Choice {                                                                                            \
        {#isa, isa::survivors, isa::fingerprint, isa::accumulate, isa::combine_each, crc::crc32c,        \
         crc::crc32c_shift, strong::blake3},                                                            \
            features                                                                                    \
    }

#if defined(PARASYNC_X86_KERNELS)

constexpr std::string_view kSsse3Features[] = {"ssse3", "sse4.1", "sse4.2", "pclmul"};
constexpr std::string_view kAvx2Features[] = {"avx2", "bmi", "sse4.2", "pclmul"};
constexpr std::string_view kAvx2VpclmulFeatures[] = {"avx2", "bmi", "sse4.2", "pclmul", "vpclmulqdq"};
constexpr std::string_view kAvx512Features[] = {"avx512f", "avx512bw", "avx512cd", "avx512vl",  "bmi",
                                                "gfni",    "sse4.2",   "pclmul",   "vpclmulqdq"};

constexpr Choice kChoices[] = {
    PARASYNC_CHOICE(portable, {}, portable, portable),
    PARASYNC_CHOICE(ssse3, kSsse3Features, ssse3, portable),
    PARASYNC_CHOICE(avx2, kAvx2Features, ssse3, avx2),
    PARASYNC_CHOICE(avx2_vpclmul, kAvx2VpclmulFeatures, ssse3, avx2),
    PARASYNC_CHOICE(avx512, kAvx512Features, ssse3, avx512),
};

// The compiler's run-time library counts a feature only if the operating system saves its registers.
std::vector<std::string_view> detect_features() {
    std::vector<std::string_view> found;
    __builtin_cpu_init();
#define PARASYNC_DETECT(feature) \
    if (__builtin_cpu_supports(feature)) found.emplace_back(feature)
    PARASYNC_DETECT("ssse3");
    PARASYNC_DETECT("sse4.1");
    PARASYNC_DETECT("sse4.2");
    PARASYNC_DETECT("pclmul");
    PARASYNC_DETECT("avx2");
    PARASYNC_DETECT("bmi");
    PARASYNC_DETECT("avx512f");
    PARASYNC_DETECT("avx512bw");
    PARASYNC_DETECT("avx512cd");
    PARASYNC_DETECT("avx512vl");
    PARASYNC_DETECT("gfni");
    PARASYNC_DETECT("vpclmulqdq");
#undef PARASYNC_DETECT
    return found;
}

#elif defined(PARASYNC_ARM_KERNELS)

constexpr std::string_view kNeonFeatures[] = {"asimd", "pmull"};

constexpr Choice kChoices[] = {
    PARASYNC_CHOICE(portable, {}, portable, portable),
    PARASYNC_CHOICE(neon, kNeonFeatures, portable, portable),
};

// As the operating system tells them, which alone can know.
std::vector<std::string_view> detect_features() {
    std::vector<std::string_view> found;
    const unsigned long capabilities = getauxval(AT_HWCAP);
    if ((capabilities & HWCAP_ASIMD) != 0) found.emplace_back("asimd");
    if ((capabilities & HWCAP_PMULL) != 0) found.emplace_back("pmull");
    return found;
}

#else

constexpr Choice kChoices[] = {PARASYNC_CHOICE(portable, {}, portable, portable)};

std::vector<std::string_view> detect_features() { return {}; }

#endif

const std::vector<std::string_view>& features() {
    static const std::vector<std::string_view> found = detect_features();
    return found;
}

bool usable(const Choice& choice) {
    return std::ranges::all_of(choice.features,
                               [](std::string_view feature) { return std::ranges::count(features(), feature) != 0; });
}

const Kernel* fastest() {
    const Kernel* best = nullptr;
    for (const Choice& choice : kChoices) {
        if (usable(choice)) best = &choice.kernel;
    }
    return best;
}

std::atomic<const Kernel*>& current() {
    static std::atomic<const Kernel*> kernel = fastest();
    return kernel;
}

}  // namespace

const Kernel& current_kernel() { return *current().load(std::memory_order_relaxed); }

std::vector<std::string_view> cpu_features() { return features(); }

std::vector<std::string_view> usable_kernels() {
    std::vector<std::string_view> names;
    for (const Choice& choice : kChoices) {
        if (usable(choice)) names.emplace_back(choice.kernel.name);
    }
    return names;
}

std::string_view active_kernel() { return current_kernel().name; }

void select_kernel(std::string_view name) {
    for (const Choice& choice : kChoices) {
        if (choice.kernel.name != name) continue;
        if (!usable(choice)) throw std::invalid_argument("this CPU cannot run the kernel " + std::string(name));
        current().store(&choice.kernel, std::memory_order_relaxed);
        return;
    }
    throw std::invalid_argument("there is no kernel " + std::string(name));
}

}  // namespace parasync
