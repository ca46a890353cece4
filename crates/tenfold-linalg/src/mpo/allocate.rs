//! Bonds for a budget of stored values.

use super::Mpo;

pub(super) fn bonds(mpo: &Mpo, budget: usize) -> Option<Vec<usize>> {
    let shape = &mpo.shape;
    let cap = shape.cap_for(budget)?;
    let capped: Vec<usize> = shape.capped(cap).iter().zip(&mpo.bonds).map(|(a, b)| *a.min(b)).collect();
    let mut greedy = mpo.bonds.clone();
    while shape.parameters(&greedy) > budget {
        let cheapest = (1..shape.cores())
            .filter(|&k| greedy[k] > 1)
            .map(|k| (loss(mpo, k, greedy[k] - 1) / shape.saving(&greedy, k) as f64, k))
            .min_by(|a, b| a.0.total_cmp(&b.0))?;
        greedy[cheapest.1] -= 1;
        shape.settle(&mut greedy);
    }
    // The last cuts may have saved more than was needed: give back what still fits, dearest first.
    loop {
        let dearest = (1..shape.cores())
            .filter(|&k| greedy[k] < mpo.bonds[k])
            .filter(|&k| {
                let mut raised = greedy.clone();
                raised[k] += 1;
                shape.parameters(&raised) <= budget && carried(mpo, &raised)
            })
            .map(|k| (loss(mpo, k, greedy[k]), k))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        match dearest {
            Some((_, k)) => greedy[k] += 1,
            None => break,
        }
    }
    Some(if mpo.bound(&greedy) <= mpo.bound(&capped) { greedy } else { capped })
}

/// Square of singular value `index` at inner bond `k`.
fn loss(mpo: &Mpo, k: usize, index: usize) -> f64 {
    mpo.spectra[k - 1].get(index).map_or(0.0, |s| s * s)
}

fn carried(mpo: &Mpo, bonds: &[usize]) -> bool {
    let mut settled = bonds.to_vec();
    mpo.shape.settle(&mut settled);
    settled == bonds
}
