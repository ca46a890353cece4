//! One matrix per thread, or all threads on one matrix; never both at once.

use std::cell::Cell;

use faer::Par;
use rayon::prelude::*;

/// Below this many multiply-adds a kernel stays on its thread: waking others costs more.
const PARALLEL_WORK: usize = 1 << 21;

thread_local! {
    static INSIDE_MAP: Cell<bool> = const { Cell::new(false) };
}

/// Threads for a kernel of `work` multiply-adds on this thread.
pub(crate) fn threads_for(work: usize) -> Par {
    if INSIDE_MAP.get() || work < PARALLEL_WORK { Par::Seq } else { Par::rayon(0) }
}

/// Runs `f` on every item, on several threads when `work` (multiply-adds or moved values) is worth it.
pub(crate) fn for_each<I: Iterator<Item: Send>>(items: I, work: usize, f: impl Fn(I::Item) + Sync + Send) {
    if threads_for(work) == Par::Seq {
        items.for_each(f);
    } else {
        items.collect::<Vec<_>>().into_par_iter().for_each(f);
    }
}

/// Marks the current thread as working inside [`map`] until dropped.
struct Inside {
    before: bool,
}

impl Inside {
    fn enter() -> Self {
        Self { before: INSIDE_MAP.replace(true) }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE_MAP.set(self.before);
    }
}

/// Applies `f` to every item, results in item order.
///
/// `cost` estimates the work of an item in any unit. An item that alone outweighs an even share of the total
/// (total / threads) runs by itself with all threads inside its factorizations; the others run one per thread
/// with sequential factorizations, most costly first. So results do not depend on how many items there are
/// beyond the rounding differences of parallel sums, and at most `threads` items are in memory at a time.
pub fn map<T: Sync, R: Send>(items: &[T], cost: impl Fn(&T) -> u64, f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = rayon::current_num_threads().max(1) as u64;
    let costs: Vec<u64> = items.iter().map(cost).collect();
    let share = costs.iter().fold(0u64, |sum, &c| sum.saturating_add(c)) / threads;
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(costs[i]), i));
    let (alone, shared): (Vec<usize>, Vec<usize>) =
        order.into_iter().partition(|&i| costs[i] > share || items.len() == 1);
    let mut results: Vec<(usize, R)> = alone.into_iter().map(|i| (i, f(&items[i]))).collect();
    // One item per task: the default splitting would hand whole runs of costly items to one thread.
    results.par_extend(shared.into_par_iter().with_max_len(1).map(|i| {
        let _inside = Inside::enter();
        (i, f(&items[i]))
    }));
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, r)| r).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_item_order_and_all_items_run() {
        let items: Vec<u64> = (0..57).map(|i| (i * 37) % 11).collect();
        let out = map(&items, |&c| c * c * c, |&c| c + 1);
        assert_eq!(out, items.iter().map(|c| c + 1).collect::<Vec<_>>());
        assert!(map(&[] as &[u64], |&c| c, |&c| c).is_empty());
    }

    #[test]
    fn kernels_are_sequential_inside_and_free_outside() {
        let inside = map(&[1u64; 8], |&c| c, |_| threads_for(usize::MAX) == Par::Seq);
        assert!(inside.iter().all(|&seq| seq));
        assert!(threads_for(usize::MAX) != Par::Seq);
        let alone = map(&[1u64], |&c| c, |_| threads_for(usize::MAX) == Par::Seq);
        assert_eq!(alone, [false]);
    }
}
