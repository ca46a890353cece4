//! In which order columns are rounded, and which group each belongs to.

/// The order in which columns are visited. What is rounded first has the most columns left to make up for its error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they are stored.
    #[default]
    Stored,
    /// By falling importance. Unless groups are fixed, columns that are visited together share a group, and the files need
    /// to store which column belongs to which.
    Falling,
    /// By falling importance within a group of neighbors, groups by the most important of their columns: groups are those
    /// of `Stored`.
    Grouped,
}

/// The order and the groups of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Visit {
    /// Columns in the order of their visit.
    pub(super) order: Vec<usize>,
    /// The group of each column.
    pub(super) group_of: Vec<usize>,
    /// For each group, when its columns are visited, in the order in which its parameters see them.
    pub(super) members: Vec<Vec<usize>>,
    /// For each visit, where in its group the column stands.
    pub(super) place: Vec<usize>,
}

impl Visit {
    /// Plans visits of `importance.len()` columns in groups of `span`; `fixed` groups are those of the stored
    /// order.
    pub(super) fn new(order: Order, fixed: bool, importance: &[f64], span: usize) -> Self {
        let cols = importance.len();
        let span = span.min(cols).max(1);
        let falling = |a: &usize, b: &usize| importance[*b].total_cmp(&importance[*a]).then(a.cmp(b));
        let mut visits: Vec<usize> = (0..cols).collect();
        let by_visit = order == Order::Falling && !fixed;
        match order {
            Order::Stored => {}
            Order::Falling => visits.sort_by(falling),
            Order::Grouped => {
                let mut groups: Vec<Vec<usize>> = visits.chunks(span).map(<[usize]>::to_vec).collect();
                groups.iter_mut().for_each(|group| group.sort_by(falling));
                groups.sort_by(|a, b| falling(&a[0], &b[0]));
                visits = groups.concat();
            }
        }
        let mut group_of = vec![0; cols];
        let mut members = vec![Vec::new(); cols.div_ceil(span)];
        let mut place = vec![0; cols];
        let mut visited_at = vec![0; cols];
        for (visit, &col) in visits.iter().enumerate() {
            visited_at[col] = visit;
        }
        // Groups see their columns in stored order, or in that of visits where those make the group.
        for index in 0..cols {
            let (col, visit) = if by_visit { (visits[index], index) } else { (index, visited_at[index]) };
            group_of[col] = index / span;
            place[visit] = index % span;
            members[index / span].push(visit);
        }
        Self { order: visits, group_of, members, place }
    }

    /// Where blocks of at most `block` visits begin, with the end: a block holds whole groups, or is part of one, so that
    /// at the first visit of a group all its columns are up to date.
    pub(super) fn edges(&self, block: usize) -> Vec<usize> {
        let cols = self.order.len();
        let group = |visit: usize| self.group_of[self.order[visit]];
        let mut edges = vec![0];
        let mut at = 0;
        while at < cols {
            let run = (at..cols).take_while(|&visit| group(visit) == group(at)).count();
            let begun = edges[edges.len() - 1];
            if at + run - begun > block && at > begun {
                edges.push(at);
            }
            let begun = edges[edges.len() - 1];
            at += run;
            let mut next = begun + block;
            while next < at {
                edges.push(next);
                next += block;
            }
        }
        edges.push(cols);
        edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_groups_are_consistent() {
        let importance = [3.0, 9.0, 1.0, 4.0, 8.0, 2.0, 7.0];
        let stored = Visit::new(Order::Stored, false, &importance, 3);
        assert_eq!(stored.group_of, [0, 0, 0, 1, 1, 1, 2]);
        let falling = Visit::new(Order::Falling, false, &importance, 3);
        assert_eq!(falling.order, [1, 4, 6, 3, 0, 5, 2]);
        assert_eq!(falling.group_of, [1, 0, 2, 1, 0, 1, 0]);
        let fixed = Visit::new(Order::Falling, true, &importance, 3);
        assert_eq!((fixed.order, fixed.group_of), (falling.order, stored.group_of.clone()));
        let grouped = Visit::new(Order::Grouped, false, &importance, 3);
        assert_eq!(grouped.order, [1, 0, 2, 4, 3, 5, 6]);
        assert_eq!((grouped.group_of, grouped.place), (stored.group_of, vec![1, 0, 2, 1, 0, 2, 0]));
        assert_eq!(grouped.members, [vec![1, 0, 2], vec![4, 3, 5], vec![6]]);
    }

    #[test]
    fn blocks_hold_whole_groups_or_parts_of_one() {
        let edges = |cols: usize, span: usize, block: usize| {
            Visit::new(Order::Stored, false, &vec![1.0; cols], span).edges(block)
        };
        assert_eq!(edges(10, 3, 4), [0, 3, 6, 10]);
        assert_eq!(edges(10, 2, 4), [0, 4, 8, 10]);
        assert_eq!(edges(10, usize::MAX, 4), [0, 4, 8, 10]);
        assert_eq!(edges(10, 6, 4), [0, 4, 6, 10]);
        assert_eq!(edges(3, 1, 128), [0, 3]);
    }
}
