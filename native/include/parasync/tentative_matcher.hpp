// The receiver's half of weak + strong matching (ParaSync 3.2): which chunks of the basis may be wanted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "parasync/blake3.hpp"
#include "parasync/weak_table.hpp"

namespace parasync {

// What the receiver tells of a tentative match: a chunk of the basis whose weak checksum the sender has sent. As it is
// on the wire.
struct Token {
    std::uint32_t weak;
    std::uint32_t length;
    std::uint64_t offset;  // in the basis
    Strong strong;
};
static_assert(sizeof(Token) == 48);

// Joins the weak checksums of the target with the chunks of the basis while both still grow: each tentative match is
// found when its later half comes, once. They wait in a queue, from which slices are taken: work is divided by matches,
// not by checksums, so that it does not matter how many share one. One owner.
class TentativeMatcher {
public:
    // The basis must outlive this. Throws std::invalid_argument if it has no weak checksums.
    explicit TentativeMatcher(const ChunkTable& basis);

    // More of the basis; as WeakTable::insert.
    void add_chunks(std::uint64_t first, std::uint64_t count);
    // The basis is complete: from here on, what is not found for a checksum never will be.
    void seal();
    // More checksums of the target. Throws std::invalid_argument if one came before: each is sent once.
    void add_values(std::span<const std::uint32_t> weak);

    // The next `limit` tentative matches at most, as chunk numbers of the basis.
    std::vector<std::uint32_t> take(std::uint64_t limit);

    [[nodiscard]] std::uint64_t waiting() const { return queue_.size() - taken_; }
    [[nodiscard]] std::uint32_t values() const { return wanted_.size(); }
    // So many checksums, in the order in which they came, have all their matches taken. 0 until the basis is sealed.
    [[nodiscard]] std::uint32_t resolved() const;

private:
    struct Waiting {
        std::uint32_t chunk;
        std::uint32_t value;  // number of its checksum
    };

    WeakTable basis_;
    WeakSet wanted_;
    std::vector<Waiting> queue_;
    std::size_t taken_ = 0;
    std::size_t seal_ = 0;  // end of the queue when the basis was sealed
    bool sealed_ = false;
    std::vector<std::uint32_t> found_;  // scratch
};

// The tokens of these chunks, given their strong checksums; of chunks with equal tokens (but for the offset) the first
// alone. Throws std::invalid_argument unless there are as many of both, std::out_of_range.
std::vector<Token> tokens_of(const ChunkTable& chunks, std::span<const std::uint32_t> numbers,
                             std::span<const Strong> strong);

}  // namespace parasync
