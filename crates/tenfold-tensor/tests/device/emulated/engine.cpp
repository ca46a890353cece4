// Runs the threads of a kernel, one after another until each waits, and says what they do wrong.
#define EMULATED_ENGINE
#include "emulated.hpp"
#include "fiber.hpp"
#include "memory.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstring>

using namespace emulated;

extern "C" {
uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
// Made by the linker: the section of shared memory, if any, and the whole library.
__attribute__((weak, visibility("hidden"))) extern char __start_emulated_shared[], __stop_emulated_shared[];
__attribute__((visibility("hidden"))) extern char __ehdr_start[], _end[];
const Kernel* emulated_kernels();
}

namespace {

enum class State : uint8_t { FRESH, READY, AT_BLOCK, AT_WARP, DONE };

struct Lane {
    State state;
    bool vote;
    Meeting meeting;
    unsigned line, mask, source;
    Bits value; // brought to a meeting, then taken from it
    char* stack;
    Place place;
};

// What the caller passes beside the arguments.
struct Order {
    uint32_t grid[2];
    uint32_t block;
    uint32_t backwards;
    uint32_t races;
    const Live* live;
    size_t live_count;
};

Stacks stacks;
Lane lanes[MOST_THREADS];
unsigned warp_meetings[MOST_THREADS / 32];
Place scheduler;
Blocks blocks;
Words words;
const Kernel* kernel;
void** arguments;
unsigned running, barriers, launches, votes;
unsigned warp_first, warp_end, cursor; // of the warp that runs, and how many of its lanes have had their turn
bool warp_backwards;
bool watch_races, failed;
char reason[1024];
size_t where[2]; // in the library, or 0: the fault, and the other thread of a race

uintptr_t number(const void* address) { return reinterpret_cast<uintptr_t>(address); }
size_t shared_size() { return number(__stop_emulated_shared) - number(__start_emulated_shared); }

__attribute__((format(printf, 1, 2))) void say(const char* format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof reason, format, list);
    va_end(list);
    failed = true;
}

void body() {
    kernel->call(arguments);
    lanes[running].state = State::DONE;
    hop(lanes[running].place, scheduler);
}

// Lets lanes of a warp go on whose whole mask has met; whether there were any. Lanes that have returned are excused.
bool resolve(unsigned first, unsigned end) {
    bool any = false;
    for (unsigned at = first; at < end; at++) {
        if (lanes[at].state != State::AT_WARP) continue;
        const Lane& leader = lanes[at];
        unsigned present = 0;
        bool complete = true;
        Bits ballot = 0, brought[32];
        for (unsigned other = first; other < end; other++) {
            const Lane& lane = lanes[other];
            if (!(leader.mask >> (other - first) & 1) || lane.state == State::DONE) continue;
            complete &= lane.state == State::AT_WARP && lane.mask == leader.mask && lane.line == leader.line &&
                        lane.meeting == leader.meeting;
            present |= 1u << (other - first);
            brought[other - first] = lane.value;
            ballot |= Bits(lane.value != 0) << (other - first);
        }
        if (!complete) continue;
        any = true;
        if (leader.meeting == NOTHING) warp_meetings[first / 32]++;
        for (unsigned other = first; other < end; other++) {
            if (!(present >> (other - first) & 1)) continue;
            Lane& lane = lanes[other];
            // What a lane that does not take part would have sent is not defined.
            bool from_present = lane.source < 32 && (present >> lane.source & 1);
            if (lane.meeting == EXCHANGE) lane.value = from_present ? brought[lane.source] : ~Bits(0);
            if (lane.meeting == BALLOT) lane.value = ballot;
            lane.state = State::READY;
        }
    }
    return any;
}

// The next lane of the warp that can go on, or -1. When none can, those that have met can again.
int pick() {
    do {
        while (cursor < warp_end - warp_first) {
            unsigned thread = warp_backwards ? warp_end - 1 - cursor : warp_first + cursor;
            cursor++;
            if (lanes[thread].state <= State::READY) return int(thread);
        }
        cursor = 0;
    } while (resolve(warp_first, warp_end));
    return -1;
}

void go_on(Place& from, unsigned thread) {
    Lane& lane = lanes[thread];
    if (lane.state == State::FRESH) {
        lane.stack = stacks.take();
        prepare(lane.place, lane.stack, body);
    }
    running = thread;
    threadIdx.x = thread;
    hop(from, lane.place);
}

// A lane stops until it may go on, if ever. The next one of its warp goes on at once, because a hop by way of the
// scheduler costs two.
void stop() {
    unsigned own = running;
    int next = pick();
    if (next < 0) hop(lanes[own].place, scheduler);
    else if (unsigned(next) != own) go_on(lanes[own].place, next);
}

void run_warp(unsigned first, unsigned end, bool backwards) {
    warp_first = first;
    warp_end = end;
    warp_backwards = backwards;
    cursor = 0;
    for (int next; !failed && (next = pick()) >= 0;) {
        go_on(scheduler, next);
        Lane& last = lanes[running];
        if (last.state != State::DONE) continue;
        stacks.give(last.stack);
        last.stack = nullptr;
    }
}

void say_stuck(unsigned block) {
    unsigned waiting = 0;
    while (lanes[waiting].state == State::DONE) waiting++;
    bool at_warp = false;
    for (unsigned thread = 0; thread < block; thread++) {
        if (lanes[thread].state == State::AT_WARP && !at_warp) waiting = thread, at_warp = true;
    }
    const Lane& lane = lanes[waiting];
    for (unsigned thread = 0; thread < block; thread++) {
        const Lane& other = lanes[thread];
        bool in_mask = thread / 32 == waiting / 32 && (lane.mask >> thread % 32 & 1);
        if (at_warp && (!in_mask || other.state == State::DONE)) continue;
        if (other.state == lane.state && other.line == lane.line && other.mask == lane.mask) continue;
        const char* what = at_warp ? "divergent warp" : "divergent barrier";
        int length = snprintf(reason, sizeof reason,
                              "%s: thread %u of block (%u, %u) waits at line %u, but thread %u ", what, waiting,
                              blockIdx.x, blockIdx.y, lane.line, thread);
        char* rest = reason + length;
        size_t left = sizeof reason - length;
        if (other.state == State::DONE) snprintf(rest, left, "has returned");
        else snprintf(rest, left, "waits at line %u with mask %08x", other.line, other.mask);
        failed = true;
        return;
    }
    say("divergent barrier: threads of block (%u, %u) wait for ever", blockIdx.x, blockIdx.y);
}

void run_block(const Order& order, unsigned linear) {
    unsigned count = order.block;
    for (unsigned thread = 0; thread < count; thread++) lanes[thread].state = State::FRESH;
    memset(warp_meetings, 0, sizeof warp_meetings);
    barriers = 0;
    if (shared_size() > 0) memset(__start_emulated_shared, 0xFF, shared_size());
    for (unsigned round = 0; !failed; round++) {
        // Now this order and now the other, so that what relies on either is found.
        bool backwards = (linear + round + order.backwards) & 1;
        unsigned warps = (count + 31) / 32;
        for (unsigned step = 0; step < warps && !failed; step++) {
            unsigned first = 32 * (backwards ? warps - 1 - step : step);
            run_warp(first, first + 32 < count ? first + 32 : count, backwards);
        }
        unsigned done = 0, waiting = 0;
        votes = 0;
        for (unsigned thread = 0; thread < count; thread++) {
            done += lanes[thread].state == State::DONE;
            waiting += lanes[thread].state == State::AT_BLOCK && lanes[thread].line == lanes[0].line;
            votes += lanes[thread].state == State::AT_BLOCK && lanes[thread].vote;
        }
        if (failed || done == count) break;
        if (waiting < count) return say_stuck(count);
        barriers++;
        for (unsigned thread = 0; thread < count; thread++) lanes[thread].state = State::READY;
    }
}

Mark mark(const void* from) {
    unsigned linear = blockIdx.y * gridDim.x + blockIdx.x;
    uint32_t place = uint32_t(number(from) - number(__ehdr_start));
    return {linear, place, uint16_t(running), uint16_t(barriers), uint16_t(warp_meetings[running / 32])};
}

const char* verb(Touch touch) {
    return touch == Touch::READ ? "reads" : touch == Touch::WRITE ? "writes" : "atomically changes";
}

[[noreturn]] void leave(const void* from) {
    where[0] = number(from) - number(__ehdr_start);
    for (;;) hop(lanes[running].place, scheduler);
}

[[noreturn]] void refuse(uintptr_t address, size_t bytes, Touch touch, void* from) {
    const Live* near = blocks.nearest(address);
    long long begin = near ? (long long)(address - near->begin) : 0;
    say("thread %u of block (%u, %u) %s %zu bytes outside of all memory, at byte %lld of the nearest block, which has "
        "%llu",
        running, blockIdx.x, blockIdx.y, verb(touch), bytes, begin, near ? (unsigned long long)near->bytes : 0);
    leave(from);
}

[[noreturn]] void refuse_race(const Race& race, Touch touch, bool shared, void* from) {
    say("race: thread %u of block (%u, %u) %s a word of %s memory that thread %u of block (%u, %u) %s, and nothing "
        "orders them",
        running, blockIdx.x, blockIdx.y, verb(touch), shared ? "shared" : "global", race.other.thread,
        race.other.block % gridDim.x, race.other.block / gridDim.x, race.write ? "writes" : "reads");
    where[1] = race.other.place;
    leave(from);
}

inline void check(const void* at, size_t bytes, Touch touch, void* from) {
    uintptr_t address = number(at);
    bool shared = false;
    if (stacks.holds(address)) return;
    if (address - number(__ehdr_start) < number(_end) - number(__ehdr_start)) {
        shared = address - number(__start_emulated_shared) < shared_size();
        if (!shared) return;
    } else if (!blocks.hold(address, bytes)) {
        refuse(address, bytes, touch, from);
    }
    // Bytes of one word may be different threads'.
    if (!watch_races || bytes < 4) return;
    Mark me = mark(from);
    for (size_t offset = 0; offset < bytes; offset += 4) {
        Race race = words.touch(address + offset, touch, me, launches, shared);
        if (race.found) refuse_race(race, touch, shared, from);
    }
}

} // namespace

unsigned emulated::meet_block(unsigned line, bool vote) {
    Lane& lane = lanes[running];
    lane.state = State::AT_BLOCK;
    lane.line = line;
    lane.mask = ~0u;
    lane.vote = vote;
    stop();
    return votes;
}

Bits emulated::meet_warp(Meeting meeting, unsigned line, unsigned mask, Bits value, unsigned source) {
    if (!(mask >> running % 32 & 1)) fail("is not in its own mask", __builtin_return_address(0));
    Lane& lane = lanes[running];
    lane.state = State::AT_WARP;
    lane.meeting = meeting;
    lane.line = line;
    lane.mask = mask;
    lane.value = value;
    lane.source = source;
    stop();
    return lane.value;
}

void emulated::touch_atomically(const void* address, unsigned bytes, void* from) {
    check(address, bytes, Touch::ATOMIC, from);
}

void emulated::fail(const char* what, void* from) {
    say("thread %u of block (%u, %u) %s", running, blockIdx.x, blockIdx.y, what);
    leave(from);
}

// Calls that the compiler puts before every access, and where it finds a fault.
extern "C" {
#define HERE __builtin_return_address(0)
#define ACCESS(BYTES)                                                                                             \
    void __tsan_read##BYTES(void* at) { check(at, BYTES, Touch::READ, HERE); }                                    \
    void __tsan_write##BYTES(void* at) { check(at, BYTES, Touch::WRITE, HERE); }                                  \
    void __tsan_unaligned_read##BYTES(void* at) { check(at, BYTES, Touch::READ, HERE); }                          \
    void __tsan_unaligned_write##BYTES(void* at) { check(at, BYTES, Touch::WRITE, HERE); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
void __tsan_read_range(void* at, size_t bytes) { check(at, bytes, Touch::READ, HERE); }
void __tsan_write_range(void* at, size_t bytes) { check(at, bytes, Touch::WRITE, HERE); }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}

#define FAULT(NAME, WHAT)                                                                                         \
    void __ubsan_handle_##NAME##_abort(void*, void*, void*) { fail(WHAT, HERE); }
FAULT(out_of_bounds, "indexes an array beyond its end")
FAULT(type_mismatch_v1, "uses an address that is 0 or not aligned")
FAULT(shift_out_of_bounds, "shifts by as many bits as there are, or more")
FAULT(divrem_overflow, "divides whole numbers by 0")
FAULT(float_cast_overflow, "turns a number into a whole one that cannot hold it")
FAULT(nonnull_arg, "passes on address 0")

#define EXPORTED __attribute__((visibility("default")))
EXPORTED const char* emulated_reason() { return reason; }
EXPORTED const size_t* emulated_where() { return where; }

// 0: it ran. 1: no such kernel. 2: it failed, and the reason says why.
EXPORTED int emulated_launch(const char* name, const Order* order, void** given, const char* kinds) {
    failed = false;
    where[0] = where[1] = 0;
    kernel = emulated_kernels();
    while (kernel->name && strcmp(kernel->name, name) != 0) kernel++;
    if (!kernel->name) return 1;
    if (strcmp(kernel->kinds, kinds) != 0) {
        say("its arguments are of kinds %s, not %s (p: address, u: whole, f: number)", kernel->kinds, kinds);
        return 2;
    }
    unsigned most = kernel->most ? kernel->most : MOST_THREADS;
    uint32_t x = order->grid[0], y = order->grid[1];
    if (order->block == 0 || order->block > most || x == 0 || x > 0x7fffffff || y == 0 || y > 65535) {
        say("a grid of %u x %u blocks of %u threads cannot be: at most 2147483647 x 65535 of %u", x, y, order->block,
            most);
        return 2;
    }
    arguments = given;
    launches++;
    words.trim();
    watch_races = order->races;
    blocks.set(order->live, order->live_count);
    gridDim = {x, y, 1};
    blockDim = {order->block, 1, 1};
    for (unsigned linear = 0; uint64_t(linear) < uint64_t(x) * y && !failed; linear++) {
        blockIdx = {linear % x, linear / x, 0};
        run_block(*order, linear);
    }
    // Lanes that a fault stopped are never resumed; they hold nothing but their stacks.
    for (Lane& lane : lanes) {
        if (lane.stack) stacks.give(lane.stack);
        lane.stack = nullptr;
    }
    return failed ? 2 : 0;
}
}
