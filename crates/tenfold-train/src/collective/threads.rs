//! Ranks that are threads of one process.

use super::{Collective, CollectiveError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// One of several threads that train one tree. A rank that is dropped is lost to the others.
pub struct ThreadRank {
    rank: usize,
    size: usize,
    board: Arc<Board>,
}

/// Where ranks leave what they bring.
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// What each rank brought to the present meeting.
    brought: Vec<Option<Vec<u8>>>,
    /// What all brought, once the last one came, until everybody has it.
    complete: Option<Arc<Vec<Vec<u8>>>>,
    /// Ranks that have not taken it yet.
    waiting: usize,
    /// Ranks that are gone.
    lost: usize,
}

/// As many ranks as asked for, one for each thread.
pub fn thread_ranks(size: usize) -> Vec<ThreadRank> {
    let state = State { brought: vec![None; size], complete: None, waiting: 0, lost: 0 };
    let board = Arc::new(Board { state: Mutex::new(state), changed: Condvar::new() });
    (0..size).map(|rank| ThreadRank { rank, size, board: Arc::clone(&board) }).collect()
}

impl Board {
    /// A panic elsewhere leaves whole messages only.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl ThreadRank {
    /// What all bring to one meeting.
    fn exchange(&self, bytes: Vec<u8>) -> Result<Arc<Vec<Vec<u8>>>, CollectiveError> {
        let mut state = self.board.state();
        // The meeting before must be over.
        while state.complete.is_some() {
            state = self.board.wait(state);
        }
        state.brought[self.rank] = Some(bytes);
        if state.brought.iter().all(Option::is_some) {
            let all: Vec<Vec<u8>> = state.brought.iter_mut().filter_map(Option::take).collect();
            state.complete = Some(Arc::new(all));
            state.waiting = self.size;
            self.board.changed.notify_all();
        }
        loop {
            if let Some(all) = state.complete.clone() {
                state.waiting -= 1;
                if state.waiting == 0 {
                    state.complete = None;
                    self.board.changed.notify_all();
                }
                return Ok(all);
            }
            if state.lost > 0 {
                return Err(CollectiveError::Lost);
            }
            state = self.board.wait(state);
        }
    }
}

impl Drop for ThreadRank {
    fn drop(&mut self) {
        self.board.state().lost += 1;
        self.board.changed.notify_all();
    }
}

impl Collective for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, numbers: &mut [f32]) -> Result<(), CollectiveError> {
        let all = self.exchange(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())?;
        if let Some(other) = all.iter().find(|one| one.len() != size_of_val(numbers)) {
            let (own, other) = (numbers.len(), other.len() / size_of::<f32>());
            return Err(CollectiveError::Length { own, other });
        }
        numbers.fill(0.0);
        for one in all.iter() {
            for (number, bytes) in numbers.iter_mut().zip(one.as_chunks().0) {
                *number += f32::from_le_bytes(*bytes);
            }
        }
        Ok(())
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, CollectiveError> {
        let all = self.exchange(if self.rank == 0 { bytes } else { Vec::new() })?;
        Ok(all.first().cloned().unwrap_or_default())
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        Ok(self.exchange(bytes.to_vec())?.to_vec())
    }

    fn meet(&self) -> Result<(), CollectiveError> {
        self.exchange(Vec::new()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn each<R: Send>(size: usize, work: impl Fn(ThreadRank) -> R + Sync) -> Vec<R> {
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> =
                thread_ranks(size).into_iter().map(|rank| scope.spawn(move || work(rank))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn everybody_hears_everybody_in_order_meeting_after_meeting() {
        for size in 1..5 {
            let heard = each(size, |rank| {
                for round in 0..50u8 {
                    let all = rank.gather(&[rank.rank() as u8, round]).unwrap();
                    assert_eq!(all, (0..size as u8).map(|one| vec![one, round]).collect::<Vec<_>>());
                    rank.meet().unwrap();
                }
                let mut numbers = [rank.rank() as f32, 1.0];
                rank.sum(&mut numbers).unwrap();
                (numbers, rank.broadcast(vec![rank.rank() as u8 + 7]).unwrap())
            });
            let sum = (size * (size - 1) / 2) as f32;
            assert!(heard.iter().all(|one| *one == ([sum, size as f32], vec![7])), "{heard:?}");
        }
    }

    #[test]
    fn who_leaves_is_missed_and_wrong_lengths_are_told() {
        let heard = each(3, |rank| if rank.rank() == 1 { Ok(()) } else { rank.meet() });
        assert_eq!(heard, [Err(CollectiveError::Lost), Ok(()), Err(CollectiveError::Lost)]);
        let heard = each(2, |rank| rank.sum(&mut vec![0.0; 2 + rank.rank()]));
        assert_eq!(heard[0], Err(CollectiveError::Length { own: 2, other: 3 }));
    }
}
