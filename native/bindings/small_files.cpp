// Small files, in batches: lists of tuples in, lists of tuples out, the GIL released between.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nanobind/stl/string_view.h>

#include "buffers.hpp"
#include "parasync/small_files.hpp"

namespace parasync::bindings {

namespace {

std::string_view view(const nb::bytes& bytes) { return {static_cast<const char*>(bytes.data()), bytes.size()}; }

// The fields of one request, in order. They outlive the request's work: the caller's list holds them.
class Fields {
public:
    explicit Fields(nb::handle request) : fields_(nb::cast<nb::tuple>(request)) {}

    template <class Value>
    Value next() {
        if (next_ == fields_.size()) throw std::invalid_argument("a request has too few fields");
        return nb::cast<Value>(fields_[next_++]);
    }
    NameAt name() {
        const int directory = next<int>();
        return {directory, std::string(view(next<nb::bytes>()))};
    }
    std::span<const std::uint8_t> bytes() {
        const nb::bytes value = next<nb::bytes>();
        return {static_cast<const std::uint8_t*>(value.data()), value.size()};
    }

private:
    const nb::tuple fields_;
    std::size_t next_ = 0;
};

template <class Request>
std::vector<Request> requests_of(const nb::list& list) {
    std::vector<Request> requests;
    requests.reserve(list.size());
    for (const nb::handle request : list) requests.emplace_back(Fields(request));
    return requests;
}

// Does `work` on each request without the GIL.
template <class Request, class Work>
auto each(const std::vector<Request>& requests, Work&& work) {
    std::vector<decltype(work(requests[0]))> results;
    results.reserve(requests.size());
    unlocked([&] {
        for (const Request& request : requests) results.push_back(work(request));
    });
    return results;
}

struct BasisRequest {
    explicit BasisRequest(Fields fields)
        : at(fields.name()), size(fields.next<std::uint64_t>()), average(fields.next<std::uint32_t>()) {}

    NameAt at;
    std::uint64_t size;
    std::uint32_t average;
};

struct TargetRequest {
    explicit TargetRequest(Fields fields)
        : at(fields.name()), size(fields.next<std::uint64_t>()), mtime(fields.next<std::int64_t>()) {
        const nb::bytes fingerprint = fields.next<nb::bytes>();
        if (fingerprint.size() != 0) have.fingerprint = to_fingerprint(fingerprint);
        have.chunks = fields.bytes();
        have.average = fields.next<std::uint32_t>();
    }

    NameAt at;
    std::uint64_t size;
    std::int64_t mtime;
    SmallReader::Have have{};
};

struct StoreRequest {
    explicit StoreRequest(Fields fields) : at(fields.name()) {
        target.size = fields.next<std::uint64_t>();
        target.mode = fields.next<std::uint32_t>();
        target.mtime = fields.next<std::int64_t>();
        target.same = fields.next<bool>();
        target.fingerprint = to_fingerprint(fields.next<nb::bytes>());
        target.literals = fields.bytes();
        target.copies = records<Copy>(fields.bytes());
    }

    NameAt at;
    SmallTarget target{};
};

nb::bytes to_bytes(const std::vector<std::uint8_t>& data) { return nb::bytes(data.data(), data.size()); }

nb::list bases(SmallReader& reader, const nb::list& list) {
    const auto requests = requests_of<BasisRequest>(list);
    const auto found = each(requests, [&](const BasisRequest& request) {
        return reader.basis(request.at, request.size, request.average);
    });
    nb::list answers;
    for (const SmallReader::Basis& basis : found) {
        answers.append(nb::make_tuple(basis.error, bindings::to_bytes(basis.fingerprint), to_bytes(basis.chunks)));
    }
    return answers;
}

nb::list targets(SmallReader& reader, const nb::list& list) {
    const auto requests = requests_of<TargetRequest>(list);
    const auto found = each(requests, [&](const TargetRequest& request) {
        return reader.target(request.at, request.size, request.mtime, request.have);
    });
    nb::list answers;
    for (const SmallReader::Recipe& recipe : found) {
        answers.append(nb::make_tuple(recipe.error, recipe.same, bindings::to_bytes(recipe.fingerprint),
                                      to_bytes(recipe.literals), record_bytes(recipe.copies)));
    }
    return answers;
}

nb::list store(const FingerprintKey& key, const nb::list& list, const nb::bytes& prefix, bool durable) {
    const auto requests = requests_of<StoreRequest>(list);
    const std::string start(view(prefix));
    nb::list errors;
    for (const int error : each(requests, [&](const StoreRequest& request) {
             return store_small(request.at, request.target, key, start, durable);
         })) {
        errors.append(error);
    }
    return errors;
}

}  // namespace

void bind_small_files(nb::module_& module) {
    module.attr("MAX_SMALL") = kMaxSmall;
    module.attr("MAX_SMALL_AVERAGE") = kMaxSmallAverage;
    module.attr("CHANGED") = kChanged;
    module.attr("UNVERIFIED") = kUnverified;
    nb::class_<SmallReader>(module, "SmallReader")
        .def(
            "__init__",
            [](SmallReader* reader, const FingerprintKey& key, std::string_view rule) {
                new (reader) SmallReader(key, cut_rule(rule));
            },
            nb::arg("key"), nb::arg("rule") = "default")
        .def("bases", &bases, nb::arg("requests"))
        .def("targets", &targets, nb::arg("requests"));
    module.def("store_small", &store, nb::arg("key"), nb::arg("requests"), nb::arg("prefix"), nb::arg("durable"));
}

}  // namespace parasync::bindings
