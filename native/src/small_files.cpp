#include "parasync/small_files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parasync/file_io.hpp"
#include "parasync/index.hpp"
#include "parasync/matcher.hpp"

namespace parasync {

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr mode_t kPermissions = 07777;
constexpr int kNameAttempts = 16;

// Never waits for a FIFO, never follows a link.
constexpr int kReadFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
constexpr int kNewFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

[[noreturn]] void fail(int error = errno) { throw std::system_error(error, std::generic_category()); }

class File {
public:
    explicit File(int fd) : fd_(fd) {
        if (fd < 0) fail();
    }
    ~File() {
        if (fd_ >= 0) ::close(fd_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    int fd() const { return fd_; }

    // Some file systems report here that the content could not be stored.
    void close() {
        if (::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) fail();
    }

private:
    int fd_;
};

// A regular file that is open for reading.
class Existing : public File {
public:
    explicit Existing(const NameAt& at) : File(::openat(at.directory, at.name.c_str(), kReadFlags)) {
        if (::fstat(fd(), &status) != 0) fail();
        if (!S_ISREG(status.st_mode)) fail(S_ISDIR(status.st_mode) ? EISDIR : EOPNOTSUPP);
    }

    std::uint64_t size() const { return static_cast<std::uint64_t>(status.st_size); }
    std::int64_t mtime() const { return status.st_mtim.tv_sec * kSecond + status.st_mtim.tv_nsec; }

    struct stat status {};
};

void set_time(int fd, std::int64_t mtime) {
    const std::int64_t below = (mtime % kSecond + kSecond) % kSecond;
    timespec times[2]{};
    times[0].tv_nsec = UTIME_NOW;
    times[1].tv_sec = (mtime - below) / kSecond;
    times[1].tv_nsec = below;
    if (::futimens(fd, times) != 0) fail();
}

void set_mode(int fd, std::uint32_t mode) {
    if (::fchmod(fd, mode & kPermissions) != 0) fail();
}

// A new file, which is gone again unless it is renamed.
class Temporary : public File {
public:
    Temporary(int directory, const std::string& prefix) : Temporary(directory, open_free(directory, prefix)) {}
    ~Temporary() {
        if (!name_.empty()) ::unlinkat(directory_, name_.c_str(), 0);
    }

    void rename_to(const NameAt& at) {
        if (::renameat(directory_, name_.c_str(), at.directory, at.name.c_str()) != 0) fail();
        name_.clear();
    }

private:
    struct Opened {
        int fd;
        std::string name;
    };

    Temporary(int directory, Opened opened) : File(opened.fd), directory_(directory), name_(std::move(opened.name)) {}

    static Opened open_free(int directory, const std::string& prefix) {
        for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
            std::uint64_t random;
            if (::getrandom(&random, sizeof random, 0) != sizeof random) fail();
            char digits[17];
            std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(random));
            std::string name = prefix + digits;
            const int fd = ::openat(directory, name.c_str(), kNewFlags, 0600);
            if (fd >= 0) return {fd, std::move(name)};
            if (errno != EEXIST) fail();
        }
        fail(EEXIST);
    }

    const int directory_;
    std::string name_;
};

void check_small(std::uint64_t size) {
    if (size > kMaxSmall) {
        throw std::invalid_argument("a file of " + std::to_string(size) + " bytes is not a small one");
    }
}

void check_small_average(std::uint32_t average) {
    if (average > kMaxSmallAverage) {
        throw std::invalid_argument("chunks of " + std::to_string(average) + " bytes are not for small files");
    }
}

// The bytes of a file's encoded chunks: u16 lengths, then short fingerprints.
std::uint64_t length_of(const SmallReader::Have& have) {
    check_small_average(have.average);
    const std::span<const std::uint8_t> chunks = have.chunks;
    constexpr std::size_t kEncoded = sizeof(std::uint16_t) + sizeof(std::uint64_t);
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < chunks.size() / kEncoded; ++i) {
        std::uint16_t length;
        std::memcpy(&length, &chunks[i * sizeof length], sizeof length);
        total += length;
    }
    check_small(total);
    return total;
}

// Fills what copies leave of `content` with the literals, in order, and calls `copy` for each copy.
template <class Take>
void assemble(const SmallTarget& target, std::span<std::uint8_t> content, Take&& take) {
    std::span<const std::uint8_t> literals = target.literals;
    std::uint64_t done = 0;
    const auto literal_up_to = [&](std::uint64_t end) {
        if (end < done || end - done > literals.size()) throw std::invalid_argument("copies overlap or leave gaps");
        std::copy_n(literals.begin(), end - done, content.begin() + static_cast<std::ptrdiff_t>(done));
        literals = literals.subspan(end - done);
        done = end;
    };
    for (const Copy& copy : target.copies) {
        literal_up_to(copy.target_offset);
        take(content.subspan(done, copy.length), copy.basis_offset);
        done += copy.length;
    }
    literal_up_to(target.size);
    if (!literals.empty()) throw std::invalid_argument("more literals than the copies leave room for");
}

std::vector<std::uint8_t> content_of(const NameAt& at, const SmallTarget& target) {
    check_copies(target.copies, target.size, kMaxSmall);
    std::vector<std::uint8_t> content(target.size);
    if (target.copies.empty()) {
        assemble(target, content, [](std::span<std::uint8_t>, std::uint64_t) {});
        return content;
    }
    const Existing basis(at);
    assemble(target, content,
             [&](std::span<std::uint8_t> part, std::uint64_t offset) { read_at(basis.fd(), part, offset); });
    return content;
}

int keep(const NameAt& at, const SmallTarget& target) {
    const Existing file(at);
    if (file.size() != target.size) return kUnverified;
    if ((file.status.st_mode & kPermissions) != (target.mode & kPermissions)) set_mode(file.fd(), target.mode);
    if (file.mtime() != target.mtime) set_time(file.fd(), target.mtime);
    return 0;
}

int replace(const NameAt& at, const SmallTarget& target, const FingerprintKey& key, const std::string& prefix,
            bool durable) {
    const std::vector<std::uint8_t> content = content_of(at, target);
    if (key.fingerprint(content.data(), content.size()) != target.fingerprint) return kUnverified;
    Temporary file(at.directory, prefix);
    write_at(file.fd(), content, 0);
    set_mode(file.fd(), target.mode);
    set_time(file.fd(), target.mtime);
    if (durable && ::fsync(file.fd()) != 0) fail();
    file.close();
    file.rename_to(at);
    return 0;
}

// Runs `work` on one file of a batch.
template <class Work>
int outcome(Work&& work) {
    try {
        return work();
    } catch (const std::system_error& error) {
        return error.code().value();
    } catch (const EndOfFile&) {
        return kChanged;
    }
}

}  // namespace

NameAt::NameAt(int at, std::string component) : directory(at), name(std::move(component)) {
    if (name.empty() || name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
        throw std::invalid_argument("the name of a file is one component");
    }
}

SmallReader::SmallReader(FingerprintKey key, CutRule rule)
    : key_(std::move(key)), rule_(rule), buffer_(kMaxSmall), segment_(kMaxSmall) {}

SmallReader::Basis SmallReader::basis(const NameAt& name, std::uint64_t size, std::uint32_t average) {
    Basis basis{read(name, size, nullptr), {}, {}};
    if (basis.error != 0) return basis;
    if (average == 0) {
        basis.fingerprint = key_.fingerprint(content_.data(), content_.size());
        return basis;
    }
    check_small_average(average);
    ChunkTable table(average, size);
    chunk(table);
    basis.fingerprint = table.fold(key_);
    basis.chunks.resize(table.count() * table.encoded_bytes());
    table.encode(0, table.count(), basis.chunks.data());
    return basis;
}

SmallReader::Recipe SmallReader::target(const NameAt& name, std::uint64_t size, std::int64_t mtime, const Have& have) {
    Recipe recipe{read(name, size, &mtime), false, {}, {}, {}};
    if (recipe.error != 0) return recipe;
    recipe.fingerprint = key_.fingerprint(content_.data(), content_.size());
    const std::uint64_t basis_size = have.chunks.empty() ? size : length_of(have);
    recipe.same = have.fingerprint == recipe.fingerprint && basis_size == size;
    if (recipe.same) return recipe;
    if (have.chunks.empty()) {
        recipe.literals.assign(content_.begin(), content_.end());
    } else {
        compare(have, recipe);
    }
    return recipe;
}

// All of the file, if it is still what it was: its content, until the next call.
int SmallReader::read(const NameAt& name, std::uint64_t size, const std::int64_t* mtime) {
    check_small(size);
    return outcome([&] {
        const Existing file(name);
        if (file.size() != size || (mtime != nullptr && file.mtime() != *mtime)) return kChanged;
        read_at(file.fd(), std::span(buffer_).first(size), 0);
        content_ = std::span(buffer_).first(size);
        return 0;
    });
}

void SmallReader::chunk(ChunkTable& table) {
    if (content_.empty()) return;
    segment_.scan_buffer(key_, table.average(), content_, 0, content_.size(), {rule_, false});
    Merger(key_, table, rule_).merge(segment_);
}

void SmallReader::compare(const Have& have, Recipe& recipe) {
    ChunkTable basis(have.average, length_of(have));
    basis.extend(have.chunks);
    ChunkIndex index(basis);
    index.insert(0, basis.count());
    ChunkTable target(have.average, content_.size());
    chunk(target);
    ChunkMatcher matcher(target, &index, kMaxSmall);
    recipe.copies = matcher.match(0, target.count());
    for (const Extent& want : matcher.take_wants()) {
        const auto part = content_.subspan(want.offset, want.length);
        recipe.literals.insert(recipe.literals.end(), part.begin(), part.end());
    }
}

int store_small(const NameAt& name, const SmallTarget& target, const FingerprintKey& key, const std::string& prefix,
                bool durable) {
    check_small(target.size);
    return outcome([&] { return target.same ? keep(name, target) : replace(name, target, key, prefix, durable); });
}

}  // namespace parasync
