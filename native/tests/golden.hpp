// The frozen chunks, as write_golden.py writes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "parasync/fingerprint.hpp"

namespace parasync {

struct GoldenVector {
    std::string name;
    std::uint32_t average;
    std::vector<std::uint8_t> content;
    std::vector<std::uint32_t> lengths;
    std::vector<Fingerprint> fingerprints;
};

struct Golden {
    std::vector<std::uint64_t> key_words;
    std::vector<GoldenVector> vectors;
};

class GoldenFile {
public:
    explicit GoldenFile(const char* path) : file_(path, std::ios::binary) {
        if (!file_) throw std::runtime_error("cannot open " + std::string(path));
        file_.exceptions(std::ios::failbit | std::ios::badbit);
    }

    std::uint64_t number() { return sequence<std::vector<std::uint64_t>>(1).front(); }

    // So many elements, as they lie in memory.
    template <class Container>
    Container sequence(std::uint64_t count) {
        Container elements;
        elements.resize(count);
        file_.read(reinterpret_cast<char*>(elements.data()),
                   static_cast<std::streamsize>(count * sizeof(typename Container::value_type)));
        return elements;
    }

private:
    std::ifstream file_;
};

inline Golden read_golden(const char* path) {
    GoldenFile file(path);
    Golden golden;
    golden.key_words = file.sequence<std::vector<std::uint64_t>>(file.number());
    golden.vectors.resize(file.number());
    for (GoldenVector& vector : golden.vectors) {
        vector.name = file.sequence<std::string>(file.number());
        vector.average = static_cast<std::uint32_t>(file.number());
        vector.content = file.sequence<std::vector<std::uint8_t>>(file.number());
        const std::uint64_t chunks = file.number();
        vector.lengths = file.sequence<std::vector<std::uint32_t>>(chunks);
        vector.fingerprints = file.sequence<std::vector<Fingerprint>>(chunks);
    }
    return golden;
}

}  // namespace parasync
