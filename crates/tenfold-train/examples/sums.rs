//! Times sums over ranks: `mpirun -n N sums [ROUNDS]` prints one line of JSON for each size of message.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;
use tenfold_train::{Collective, Mpi};

/// Numbers of a sum: from one to the largest that the training loop makes.
const SIZES: [usize; 9] = [1, 1 << 8, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 21, 1 << 22];
/// Rounds before the clock runs.
const WARM_UP: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(30), |text| text.parse())?;
    let ranks = Mpi::join()?;
    for size in SIZES {
        let mut numbers = vec![1.0f32; size];
        let mut times = Vec::new();
        for round in 0..WARM_UP + rounds {
            ranks.gather(&[])?;
            let start = Instant::now();
            ranks.sum(&mut numbers)?;
            if round >= WARM_UP {
                times.push(1e6 * start.elapsed().as_secs_f64());
            }
            numbers.fill(1.0);
        }
        times.sort_unstable_by(f64::total_cmp);
        if ranks.rank() == 0 {
            let (bytes, median, least) = (size_of::<f32>() * size, times[times.len() / 2], times[0]);
            let ranks = ranks.size();
            println!(
                "{{\"ranks\": {ranks}, \"bytes\": {bytes}, \"us\": {median:.2}, \"least_us\": {least:.2}}}"
            );
        }
    }
    Ok(())
}
