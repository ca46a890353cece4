// Threads of a block as fibers of one thread: each has a stack, and the engine hops between them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <sys/mman.h>
#if !defined(__x86_64__) || defined(EMULATED_UCONTEXT)
#include <ucontext.h>
#endif

namespace emulated {

constexpr size_t STACK = 1 << 16;
constexpr size_t FORBIDDEN = 1 << 14; // below every stack, a multiple of the page size
constexpr size_t COLOR = 448, COLORS = 36; // less than the forbidden part in all
constexpr unsigned MOST_THREADS = 1024;

#if defined(__x86_64__) && !defined(EMULATED_UCONTEXT)
// By hand, because the system's way asks the kernel for the mask of signals at every hop.
typedef void* Place;
extern "C" void emulated_hop(Place* from, Place to);
__asm__(R"(
    .text
    .globl emulated_hop
    .hidden emulated_hop
    .type emulated_hop, @function
emulated_hop:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulated_hop, . - emulated_hop
)");

inline void prepare(Place& place, char* stack, void (*body)()) {
    void** top = reinterpret_cast<void**>(stack + STACK);
    // What the body would return to, if it did, and the body itself, to which the first hop returns.
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(body);
    for (int saved = 0; saved < 6; saved++) *--top = nullptr;
    place = top;
}
inline void hop(Place& from, Place& to) { emulated_hop(&from, to); }
#else
typedef ucontext_t Place;
inline void prepare(Place& place, char* stack, void (*body)()) {
    getcontext(&place);
    place.uc_stack.ss_sp = stack;
    place.uc_stack.ss_size = STACK;
    place.uc_link = nullptr;
    makecontext(&place, body, 0);
}
inline void hop(Place& from, Place& to) { swapcontext(&from, &to); }
#endif

// Stacks lie one after another, each above a part that must not be touched. The one given back last is taken next, so
// threads that never wait all run on one.
class Stacks {
public:
    Stacks() {
        size = MOST_THREADS * (STACK + FORBIDDEN);
        void* memory = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) abort();
        base = static_cast<char*>(memory);
    }
    char* take() {
        if (idle > 0) return spare[--idle];
        char* stack = base + made * (STACK + FORBIDDEN) + FORBIDDEN;
        if (mprotect(stack, STACK, PROT_READ | PROT_WRITE) != 0) abort();
        // Begun at other offsets, so that what stacks have on top is not all in the same few places of a cache.
        return stack - made++ % COLORS * COLOR;
    }
    void give(char* stack) { spare[idle++] = stack; }
    bool holds(uintptr_t address) const { return address - reinterpret_cast<uintptr_t>(base) < size; }

private:
    char* base;
    size_t size;
    char* spare[MOST_THREADS];
    unsigned idle = 0, made = 0;
};

} // namespace emulated
