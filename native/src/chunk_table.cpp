#include "parasync/chunk_table.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "parasync/extent.hpp"

namespace parasync {

namespace {

constexpr std::uint32_t kMinAverage = 2 << 10;
constexpr std::uint32_t kMaxAverage = 1 << 20;

// One more word of a running hash. The constants are odd and arbitrary; the rotation lets high bits reach low ones.
std::uint64_t mix(std::uint64_t state, std::uint64_t word) {
    return std::rotl((state ^ word) * 0x9E3779B97F4A7C15u, 29) + 0xD1B54A32D192ED03u;
}

std::uint64_t load_u64(const std::uint8_t* from) {
    std::uint64_t value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

std::uint32_t load_length(const std::uint8_t* from, std::size_t bytes) {
    std::uint32_t value = 0;
    std::memcpy(&value, from, bytes);
    return value;
}

}  // namespace

ChunkTable::ChunkTable(std::uint32_t average, std::uint64_t size, bool weak)
    : average_(average), size_(size), has_weak_(weak) {
    if (average < kMinAverage || average > kMaxAverage || !std::has_single_bit(average)) {
        throw std::invalid_argument("average chunk size " + std::to_string(average) +
                                    " is not a power of two from 2048 to 1048576");
    }
    if (size / minimum() >= kMaxChunks) {
        throw std::invalid_argument("a file of " + std::to_string(size) + " bytes may have more than " +
                                    std::to_string(kMaxChunks) + " chunks of average " + std::to_string(average) +
                                    ": choose larger chunks");
    }
}

ChunkTable::~ChunkTable() = default;

std::uint64_t ChunkTable::end() const {
    const std::uint64_t n = count();
    return n == 0 ? 0 : offset(n - 1) + length(n - 1);
}

// Stores chunks behind the last one, which readers do not see before publish(): a bad batch leaves no trace.
class ChunkTable::Appender {
public:
    explicit Appender(ChunkTable& table)
        : table_(table),
          number_(table.count_.load(std::memory_order_relaxed)),
          offset_(table.end()),
          place_(place_of(number_)) {}

    // After the checks that ChunkTable::append() documents.
    void add(std::uint32_t length, Fingerprint fingerprint, std::uint32_t weak) {
        const bool last = length == table_.size_ - offset_;
        if (length > table_.size_ - offset_ || length > table_.maximum() || length == 0 ||
            (length < table_.minimum() && !last)) {
            reject(length);
        }
        if (line_ == nullptr) line_ = &table_.writable_line(place_);
        Line& line = *line_;
        if (table_.has_weak_) table_.weak_page(place_)[place_.line * kPerLine + place_.within] = weak;
        if (place_.within == 0) line.offset = offset_;
        line.fingerprints[place_.within] = fingerprint;
        const unsigned shift = kLengthBits * place_.within;
        const std::uint64_t before = line.lengths & ((std::uint64_t{1} << shift) - 1);
        __atomic_store_n(&line.lengths, before | std::uint64_t{length} << shift, __ATOMIC_RELAXED);
        offset_ += length;
        ++number_;
        if (++place_.within == kPerLine) next_line();
    }

    // The same for many; whole lines are written at once.
    void add_each(std::span<const std::uint32_t> lengths, const Fingerprint* fingerprints, const std::uint32_t* weak) {
        std::size_t i = 0;
        const auto add_one = [&] {
            add(lengths[i], fingerprints[i], table_.has_weak_ ? weak[i] : 0);
            ++i;
        };
        while (i != lengths.size() && place_.within != 0) add_one();
        while (lengths.size() - i >= kPerLine && !table_.has_weak_ && fits(&lengths[i])) {
            if (line_ == nullptr) line_ = &table_.writable_line(place_);
            line_->offset = offset_;
            std::uint64_t packed = 0;
            for (unsigned k = 0; k < kPerLine; ++k, ++i) {
                line_->fingerprints[k] = fingerprints[i];
                packed |= std::uint64_t{lengths[i]} << (kLengthBits * k);
                offset_ += lengths[i];
            }
            __atomic_store_n(&line_->lengths, packed, __ATOMIC_RELAXED);
            number_ += kPerLine;
            next_line();
        }
        while (i != lengths.size()) add_one();
    }

    void publish() { table_.count_.store(number_, std::memory_order_release); }

private:
    void next_line() {
        place_.within = 0;
        ++line_;
        if (++place_.line == page_lines(place_.page)) {
            place_ = {place_.page + 1, 0, 0};
            line_ = nullptr;
        }
    }

    // Whether a line's chunks are of any length but the last chunk's, and all in the file.
    bool fits(const std::uint32_t* lengths) const {
        std::uint64_t sum = 0;
        bool ordinary = true;
        for (unsigned k = 0; k < kPerLine; ++k) {
            ordinary &= lengths[k] >= table_.minimum() && lengths[k] <= table_.maximum();
            sum += lengths[k];
        }
        return ordinary && sum <= table_.size_ - offset_;
    }

    [[noreturn, gnu::noinline]] void reject(std::uint32_t length) const {
        const std::string chunk = "chunk length " + std::to_string(length);
        if (length == 0 || length > table_.maximum()) {
            throw std::invalid_argument(chunk + " is not from 1 to " + std::to_string(table_.maximum()));
        }
        if (length > table_.size_ - offset_) {
            throw std::invalid_argument("a chunk of " + std::to_string(length) + " bytes at " +
                                        std::to_string(offset_) + " reaches beyond the file's " +
                                        std::to_string(table_.size_) + " bytes");
        }
        throw std::invalid_argument(chunk + " is below " + std::to_string(table_.minimum()) +
                                    " and the chunk is not the file's last");
    }

    ChunkTable& table_;
    std::uint64_t number_;
    std::uint64_t offset_;
    Place place_;
    Line* line_ = nullptr;  // if known
};

void ChunkTable::append(std::uint32_t length, Fingerprint fingerprint, std::uint32_t weak) {
    Appender appender(*this);
    appender.add(length, fingerprint, weak);
    appender.publish();
}

void ChunkTable::append_each(std::span<const std::uint32_t> lengths, const Fingerprint* fingerprints,
                             const std::uint32_t* weak) {
    Appender appender(*this);
    appender.add_each(lengths, fingerprints, weak);
    appender.publish();
}

ChunkTable::Line& ChunkTable::writable_line(Place place) {
    ZeroedMemory& page = pages_[place.page];
    if (page.data() == nullptr) {
        const std::uint64_t lines_left = size_ / minimum() / kPerLine + 1 - page_first(place.page);
        const std::uint64_t lines = std::min(page_lines(place.page), lines_left);
        if (has_weak_) weak_pages_[place.page] = ZeroedMemory(lines * kPerLine * sizeof(std::uint32_t));
        page = ZeroedMemory(lines * sizeof(Line));
    }
    return reinterpret_cast<Line*>(page.data())[place.line];
}

void ChunkTable::check_range(std::uint64_t first, std::uint64_t count) const {
    const std::uint64_t there = this->count();
    if (first > there || count > there - first) {
        throw std::out_of_range(std::to_string(count) + " chunks from number " + std::to_string(first) +
                                " are not all in a table of " + std::to_string(there));
    }
}

void ChunkTable::encode(std::uint64_t first, std::uint64_t count, std::uint8_t* out) const {
    check_range(first, count);
    const std::size_t length_bytes = encoded_length_bytes();
    std::uint8_t* lengths = out;
    std::uint8_t* fingerprints = out + count * length_bytes;
    for (std::uint64_t number = first; number < first + count; ++number) {
        const std::uint32_t length = this->length(number);
        const std::uint64_t shortened = this->shortened(number);
        std::memcpy(lengths, &length, length_bytes);
        std::memcpy(fingerprints, &shortened, sizeof shortened);
        lengths += length_bytes;
        fingerprints += sizeof shortened;
    }
}

std::uint64_t ChunkTable::extend(std::span<const std::uint8_t> data) {
    if (has_weak_) throw std::invalid_argument("chunks on the wire have no weak checksums");
    if (data.size() % encoded_bytes() != 0) {
        throw std::invalid_argument(std::to_string(data.size()) + " bytes are not whole chunks of " +
                                    std::to_string(encoded_bytes()));
    }
    const std::size_t length_bytes = encoded_length_bytes();
    const std::uint64_t added = data.size() / encoded_bytes();
    const std::uint8_t* lengths = data.data();
    const std::uint8_t* fingerprints = lengths + added * length_bytes;
    Appender appender(*this);
    for (std::uint64_t i = 0; i < added; ++i) {
        const std::uint32_t length = load_length(lengths + i * length_bytes, length_bytes);
        appender.add(length, {load_u64(fingerprints + i * sizeof(std::uint64_t)), 0}, 0);
    }
    appender.publish();
    return added;
}

Fingerprint ChunkTable::fold(const FingerprintKey& key) const {
    Fingerprint result;
    const std::uint64_t n = count();
    for (std::uint64_t number = 0; number < n; ++number) {
        result = key.combine(result, fingerprint(number), length(number));
    }
    return result;
}

std::array<std::uint8_t, 32> ChunkTable::digest() const {
    const std::uint64_t n = count();
    std::array<std::uint64_t, 4> lanes{average_, size_, n, 0};
    for (std::uint64_t number = 0; number < n; ++number) {
        const Fingerprint found = fingerprint(number);
        const std::uint32_t length = this->length(number);
        lanes[0] = mix(lanes[0], found.a);
        lanes[1] = mix(lanes[1], found.b);
        lanes[2] = mix(lanes[2], length);
        lanes[3] = mix(lanes[3], found.a + std::rotl(found.b, 32) + length);
    }
    for (int round = 0; round < 8; ++round) {
        for (std::size_t i = 0; i < lanes.size(); ++i) lanes[i] = mix(lanes[i], lanes[(i + 1) % lanes.size()]);
    }
    std::array<std::uint8_t, 32> result;
    std::memcpy(result.data(), lanes.data(), result.size());
    return result;
}

}  // namespace parasync
