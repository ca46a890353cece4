//! Balanced factor lists for any size.

/// A size is padded by at most this share of itself.
const PADDING_SHARE: usize = 16;

/// A factor list is good when no factor exceeds this multiple of the ideal (the n-th root of the size).
const GOOD_FACTOR: f64 = 2.0;

/// `count` factors whose product is `size`, or the next well-factorable size within the padding allowance.
///
/// The largest factor stands in the middle and the smallest at an end: the first position when `mirrored`,
/// else the last.
pub(super) fn factors(size: usize, count: usize, mirrored: bool) -> Vec<usize> {
    let size = size.max(1);
    let ideal = (size as f64).powf(1.0 / count as f64);
    // The tolerance keeps exact powers exact: 3125^(1/5) must not read as slightly more than 5.
    let limit = (GOOD_FACTOR * ideal - 1e-9).ceil().max(2.0) as usize;
    let good = (size..=size + size / PADDING_SHARE).find_map(|padded| best(padded, count, limit));
    let sorted = good
        .or_else(|| {
            // No good list within the allowance: take the size there whose list has the smallest largest
            // factor.
            (size..=size + size / PADDING_SHARE)
                .filter_map(|padded| best(padded, count, padded))
                .min_by_key(|list| list.first().copied())
        })
        .unwrap_or_else(|| vec![size]);
    arrange(sorted, count, mirrored)
}

/// The most even way to write `size` as a product of at most `count` factors from 2 to `limit`, falling;
/// `None` when there is none. Most even: smallest sum, counting absent factors as 1.
fn best(size: usize, count: usize, limit: usize) -> Option<Vec<usize>> {
    if largest_prime(size) > limit {
        return None;
    }
    let divisors: Vec<usize> = (2..=limit.min(size)).rev().filter(|d| size.is_multiple_of(*d)).collect();
    let mut search = Search { divisors, list: Vec::new(), found: None };
    search.extend(size, count, 0, 0);
    search.found.map(|(_, list)| list)
}

struct Search {
    divisors: Vec<usize>,
    list: Vec<usize>,
    found: Option<(usize, Vec<usize>)>,
}

impl Search {
    fn extend(&mut self, rest: usize, slots: usize, from: usize, sum: usize) {
        if rest == 1 {
            let total = sum + slots;
            if self.found.as_ref().is_none_or(|(least, _)| total < *least) {
                self.found = Some((total, self.list.clone()));
            }
            return;
        }
        if slots == 0 {
            return;
        }
        // The sum of `slots` numbers with product `rest` is least when they are equal.
        let bound = sum as f64 + slots as f64 * (rest as f64).powf(1.0 / slots as f64);
        if self.found.as_ref().is_some_and(|(least, _)| bound - 1e-6 >= *least as f64) {
            return;
        }
        for at in from..self.divisors.len() {
            let d = self.divisors[at];
            // Later factors are no larger than `d`, so they cannot reach `rest` from here on.
            if (d as f64).powi(slots as i32) < rest as f64 * (1.0 - 1e-9) {
                break;
            }
            if rest.is_multiple_of(d) {
                self.list.push(d);
                self.extend(rest / d, slots - 1, at, sum + d);
                self.list.pop();
            }
        }
    }
}

fn largest_prime(mut n: usize) -> usize {
    let mut largest = 1;
    let mut p = 2;
    while p * p <= n {
        while n.is_multiple_of(p) {
            largest = p;
            n /= p;
        }
        p += 1;
    }
    largest.max(n)
}

/// Falling factors to positions: middle first, then left and right in turn, so that the last one lands at an
/// end.
fn arrange(falling: Vec<usize>, count: usize, mirrored: bool) -> Vec<usize> {
    let mut out = vec![1; count];
    let middle = count / 2;
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by_key(|&p| (p.abs_diff(middle), p));
    for (place, factor) in places.into_iter().zip(falling) {
        out[place] = factor;
    }
    if mirrored {
        out.reverse();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_sizes_split_evenly() {
        assert_eq!(factors(768, 5, false), [4, 4, 4, 4, 3]);
        assert_eq!(factors(768, 5, true), [3, 4, 4, 4, 4]);
        assert_eq!(factors(1024, 5, false), [4; 5]);
        assert_eq!(factors(3125, 5, false), [5; 5]);
        assert_eq!(factors(36, 2, false), [6, 6]);
        assert_eq!(factors(1, 3, false), [1, 1, 1]);
    }

    #[test]
    fn padding_is_bounded_and_only_where_needed() {
        for size in (1..3000).chain([30522, 31090, 50257, 65537, 119_547, 250_002]) {
            for count in [1, 2, 3, 5, 7, 11] {
                let list = factors(size, count, false);
                let padded: usize = list.iter().product();
                assert_eq!(list.len(), count);
                assert!(
                    padded >= size && padded <= size + size / PADDING_SHARE,
                    "{size} in {count}: {list:?}"
                );
            }
        }
        assert_eq!(factors(384, 5, false).iter().product::<usize>(), 384);
        assert_eq!(factors(7, 5, false).iter().product::<usize>(), 7);
        let large: usize = factors(65537, 5, false).iter().product();
        assert!(large > 65537 && large < 66000, "{large}");
    }
}
