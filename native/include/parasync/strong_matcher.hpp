// The sender's half of weak + strong matching (ParaSync 3.2): verifies tokens and issues copies and literals.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "parasync/blake3.hpp"
#include "parasync/extent.hpp"
#include "parasync/strong_set.hpp"
#include "parasync/tentative_matcher.hpp"
#include "parasync/weak_table.hpp"

namespace parasync {

// Every chunk of the target ends up in exactly one of the copies and literals returned. A batch is begun with tokens,
// its chunks are hashed by the caller, in slices and by as many threads as he likes, and it is confirmed:
//
//   add() for more of the target, at any time between the other calls
//   begin(tokens) -> chunks to hash;  confirm(their strong checksums) -> copies;  take_literals() -> literals
//
// One owner: calls must not overlap.
class StrongMatcher {
public:
    // Copies are joined up to `copy_limit` bytes. The target must outlive this. Throws std::invalid_argument if it has
    // no weak checksums.
    StrongMatcher(const ChunkTable& target, std::uint64_t copy_limit);

    // Chunks [first, first + count) of the target, which must be the next ones (std::invalid_argument) and there
    // (std::out_of_range). Returns the weak checksums that are new: each is to be sent, once.
    std::vector<std::uint32_t> add(std::uint64_t first, std::uint64_t count);

    // A batch: these tokens with every undecided chunk of their checksums, and chunks that came after the tokens of
    // theirs. Returns the chunks that were never hashed. Throws std::invalid_argument, with nothing changed, for a token
    // of a checksum that is not the target's or without length; std::logic_error in a batch.
    std::vector<std::uint32_t> begin(std::span<const Token> tokens);
    // Ends the batch; copies for the chunks that are what a token says. Throws std::invalid_argument unless there are
    // as many strong checksums as chunks were to be hashed, std::logic_error without a batch.
    std::vector<Copy> confirm(std::span<const Strong> strong);

    // Extents of the chunks that are no copies for good, neighbours joined, each once: those of the first `resolved`
    // checksums, of which no more tokens will come. Throws std::invalid_argument if that descends or exceeds the
    // checksums there are.
    std::vector<Extent> take_literals(std::uint64_t resolved);

    // Whether chunks wait for a batch, whatever tokens come.
    [[nodiscard]] bool late() const { return !late_.empty(); }
    [[nodiscard]] std::uint64_t values() const { return values_.size(); }
    [[nodiscard]] std::uint64_t hashed_bytes() const { return hashed_bytes_; }
    [[nodiscard]] std::uint64_t matched_bytes() const { return matched_bytes_; }

private:
    static constexpr std::uint32_t kDecided = kNoChunk - 1;  // as a chunk's strong checksum
    static constexpr std::uint32_t kNever = kNoChunk;
    static constexpr std::uint64_t kKeptTokens = 4096;

    struct Kept {
        Token token;
        std::uint32_t next;
    };
    // What is known of one weak checksum.
    struct Value {
        std::uint32_t first = kNoChunk;  // of its undecided chunks, and some that were decided since
        std::uint32_t last = kNoChunk;
        std::uint32_t tokens = kNoChunk;  // the latest kept one
        std::uint32_t batch = 0;          // the last in which all its chunks took part
        std::uint32_t late_batch = 0;     // the last in which all its kept tokens did
    };

    void keep(std::uint32_t value, const Token& token);
    void take_chunks(Value& value);
    void take_late();
    void decide(std::uint32_t chunk);
    std::vector<Copy> join(std::vector<std::pair<std::uint32_t, std::uint64_t>>& matches) const;

    const ChunkTable& target_;
    const std::uint64_t copy_limit_;
    WeakSet values_;
    std::vector<Value> lists_;
    std::vector<std::uint32_t> next_;    // behind each chunk in its list
    std::vector<std::uint32_t> strong_;  // of each chunk: kNever, kDecided, or its place in strongs_
    std::vector<Strong> strongs_;
    std::vector<std::uint32_t> free_;    // places in strongs_
    std::vector<Kept> kept_;
    std::vector<std::uint32_t> late_;       // came after tokens of their checksum
    std::vector<std::uint32_t> late_open_;  // came after their checksum was resolved
    std::uint32_t resolved_ = 0;

    bool in_batch_ = false;
    std::uint32_t batch_ = 0;
    std::vector<Token> tokens_;          // of the batch
    std::vector<std::uint32_t> chunks_;  // of the batch
    std::vector<std::uint32_t> unhashed_;
    StrongSet table_;  // of the batch: from strong checksum to token
    std::uint64_t hashed_bytes_ = 0;
    std::uint64_t matched_bytes_ = 0;
};

}  // namespace parasync
