// Which addresses a kernel may touch, and whether two threads touch one without an order between them.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

namespace emulated {

// A thread, where in the library it was when it touched something, and how often its block and its warp had met by then.
struct Mark {
    uint32_t block, place;
    uint16_t thread, barrier, warp;
};

// Whether nothing says which of the two comes first. Blocks never wait for each other.
inline bool concurrent(const Mark& a, const Mark& b) {
    if (a.block != b.block) return true;
    if (a.thread == b.thread) return false;
    bool same_warp = a.thread / 32 == b.thread / 32;
    return a.barrier == b.barrier && (!same_warp || a.warp == b.warp);
}

// The threads that have read a word and are not known to come before each other lie in one of these.
enum Scope : uint8_t { NOBODY, THREAD, WARP, BLOCK, GRID };

// What happened to a word of 32 bits in this launch.
struct Word {
    uint32_t launch;
    Scope readers;
    bool written, atomic;
    Mark writer, reader;
};

enum class Touch { READ, WRITE, ATOMIC };

// The other thread of a race.
struct Race {
    bool found, write;
    Mark other;
};

class Words {
public:
    // `shared` words are another memory in every block.
    Race touch(uintptr_t address, Touch touch, const Mark& me, uint32_t launch, bool shared) {
        Word& word = at(address >> 2);
        if (word.launch != launch || (shared && last_block(word) != me.block)) {
            word = Word{launch, NOBODY, false, false, {}, {}};
        }
        bool both_atomic = word.atomic && touch == Touch::ATOMIC;
        if (word.written && !both_atomic && concurrent(word.writer, me)) return {true, true, word.writer};
        if (touch == Touch::READ) {
            note_reader(word, me);
            return {};
        }
        if (is_read_beside(word, me)) return {true, false, word.reader};
        word.written = true;
        word.atomic = touch == Touch::ATOMIC;
        word.writer = me;
        word.readers = NOBODY;
        return {};
    }

    // Nothing that was noted counts in a new launch, so it may be dropped between two.
    void trim() {
        if (pages.size() > 4096) {
            pages.clear();
            for (Near& near : recent) near = {};
        }
    }

private:
    static constexpr unsigned PAGE = 1024;
    struct Page {
        Word words[PAGE];
    };
    struct Near {
        uintptr_t number;
        Page* page;
    };

    static uint32_t last_block(const Word& word) {
        return word.readers != NOBODY ? word.reader.block : word.writer.block;
    }

    static void note_reader(Word& word, const Mark& me) {
        Scope scope = THREAD;
        if (word.readers == GRID) return;
        if (word.readers != NOBODY && is_read_beside(word, me)) {
            bool same_block = word.reader.block == me.block;
            bool same_warp = same_block && word.reader.thread / 32 == me.thread / 32;
            scope = !same_block ? GRID : !same_warp ? BLOCK : word.reader.thread != me.thread ? WARP : THREAD;
            if (word.readers > scope) scope = word.readers;
        }
        word.readers = scope;
        word.reader = me;
    }

    static bool is_read_beside(const Word& word, const Mark& me) {
        const Mark& last = word.reader;
        switch (word.readers) {
        case NOBODY: return false;
        case THREAD: return concurrent(last, me);
        case WARP:
            if (last.block != me.block) return true;
            return last.barrier == me.barrier && (last.thread / 32 != me.thread / 32 || last.warp == me.warp);
        case BLOCK: return last.block != me.block || last.barrier == me.barrier;
        case GRID: return true;
        }
        return true;
    }

    Word& at(uintptr_t number) {
        uintptr_t page = number / PAGE;
        Near& near = recent[page % 64];
        if (near.number != page || near.page == nullptr) {
            std::unique_ptr<Page>& slot = pages[page];
            if (!slot) slot = std::make_unique<Page>();
            near = {page, slot.get()};
        }
        return near.page->words[number % PAGE];
    }

    std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;
    Near recent[64] = {};
};

// Live blocks of memory, in order.
struct Live {
    uint64_t begin, bytes;
};

class Blocks {
public:
    void set(const Live* live, size_t count) {
        this->live = live;
        this->count = count;
        last = {};
    }
    bool hold(uintptr_t address, size_t bytes) {
        if (lies_in(last, address, bytes)) return true;
        const Live* before = nearest(address);
        if (before == nullptr || !lies_in(*before, address, bytes)) return false;
        last = *before;
        return true;
    }
    // The last block that begins at or before an address, or else the first.
    const Live* nearest(uintptr_t address) const {
        size_t low = 0, high = count;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (live[middle].begin <= address) low = middle + 1;
            else high = middle;
        }
        return count == 0 ? nullptr : live + (low == 0 ? 0 : low - 1);
    }

private:
    static bool lies_in(const Live& block, uintptr_t address, size_t bytes) {
        return address - block.begin < block.bytes && bytes <= block.bytes - (address - block.begin);
    }
    const Live* live = nullptr;
    size_t count = 0;
    Live last = {};
};

} // namespace emulated
