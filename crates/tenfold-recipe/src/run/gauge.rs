//! Looking on at routers and layers while a phase trains.

use crate::recipe::Phase;
use crate::result::{GaugeResult, RouterResult, UpdateResult};
use std::collections::BTreeMap;
use tenfold_tensor::Array;
use tenfold_train::{Monitor, MonitorFault};
use tenfold_weight::{LeafId, Load, Module, Path, Tree, dense_values};

/// Intervals of steps over which the use of experts is added up.
const INTERVALS: u64 = 40;

/// What the names of lists in checkpoints begin with.
const ROUTER: &str = "router.";
const UPDATE: &str = "update.";

/// The use of the experts of one router in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
struct Use {
    /// Steps done at its end, as far as it goes.
    end: u64,
    steps: u64,
    balance: f64,
    dropped: u64,
    rows: Vec<u64>,
}

/// A monitor that adds up how experts are used, and measures at some steps how far each layer moves. It changes nothing.
pub(super) struct Gauge {
    interval: u64,
    /// The steps at which layers are measured.
    at: Vec<u64>,
    routers: BTreeMap<String, Vec<Use>>,
    updates: Vec<UpdateResult>,
    /// The tree before a step that is measured.
    before: Option<Tree>,
}

impl Gauge {
    /// The gauge of a phase; nothing where the tree has no router and nothing is to be measured.
    pub(super) fn of(phase: &Phase, tree: &Tree) -> Option<Self> {
        let filled =
            |socket: &tenfold_weight::Socket| matches!(socket.module(tree), Ok(Some(Module::Router { .. })));
        let routes = tree.wiring().sockets.iter().any(filled);
        if !routes && phase.gauge == 0 {
            return None;
        }
        // In the middle of stretches of equal length: the first step's rate may be 0.
        let count = phase.gauge.min(phase.steps);
        let mut at: Vec<u64> = (0..count).map(|one| (2 * one + 1) * phase.steps / (2 * count)).collect();
        at.dedup();
        let interval = phase.steps.div_ceil(INTERVALS).max(1);
        Some(Self { interval, at, routers: BTreeMap::new(), updates: Vec::new(), before: None })
    }

    /// What it saw.
    pub(super) fn result(self) -> GaugeResult {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let router = |(path, uses): (String, Vec<Use>)| {
            let all = |one: &Use| one.rows.iter().sum::<u64>();
            RouterResult {
                path,
                steps: uses.iter().map(|one| one.end).collect(),
                balance: uses.iter().map(|one| one.balance / one.steps.max(1) as f64).collect(),
                dropped: uses.iter().map(|one| share(one.dropped, all(one))).collect(),
                shares: uses
                    .iter()
                    .map(|one| one.rows.iter().map(|rows| share(*rows, all(one))).collect())
                    .collect(),
            }
        };
        GaugeResult { routers: self.routers.into_iter().map(router).collect(), updates: self.updates }
    }
}

impl Monitor for Gauge {
    fn loads(&mut self, step: u64, loads: BTreeMap<String, Load>) {
        let number = (step / self.interval) as usize;
        for (socket, load) in loads {
            let uses = self.routers.entry(socket).or_default();
            if uses.len() <= number {
                uses.resize(number + 1, Use::default());
            }
            let one = &mut uses[number];
            one.rows.resize(load.rows.len(), 0);
            one.rows.iter_mut().zip(&load.rows).for_each(|(sum, rows)| *sum += rows);
            (one.end, one.steps) = (step + 1, one.steps + 1);
            one.dropped += load.dropped;
            one.balance += load.balance;
        }
    }

    fn gradients(&mut self, step: u64, tree: &Tree, _gradients: &BTreeMap<LeafId, Array>) {
        if self.at.binary_search(&step).is_ok() {
            self.before = Some(tree.clone());
        }
    }

    fn splits(&self, _step: u64) -> bool {
        false
    }

    fn between(&mut self, _step: u64, _tree: &Tree) -> Result<(), MonitorFault> {
        Ok(())
    }

    fn after(&mut self, step: u64, tree: &Tree) -> Result<Vec<LeafId>, MonitorFault> {
        if let Some(before) = self.before.take() {
            self.updates.push(UpdateResult { step, layers: moved(&before, tree)? });
        }
        Ok(Vec::new())
    }

    fn state(&self) -> BTreeMap<String, Vec<f64>> {
        let flat = |one: &Use| {
            let numbers = [one.end as f64, one.steps as f64, one.balance, one.dropped as f64];
            numbers.into_iter().chain(one.rows.iter().map(|rows| *rows as f64)).collect::<Vec<_>>()
        };
        let routers = self.routers.iter().map(|(socket, uses)| {
            let experts = uses.iter().map(|one| one.rows.len()).max().unwrap_or(0);
            // Intervals without a step have no rows yet.
            let full = |one: &Use| Use { rows: resized(&one.rows, experts), ..one.clone() };
            let list = uses.iter().flat_map(|one| flat(&full(one)));
            (format!("{ROUTER}{socket}"), [experts as f64].into_iter().chain(list).collect())
        });
        let updates = self.updates.iter().map(|one| (format!("{UPDATE}{}", one.step), one.layers.clone()));
        routers.chain(updates).collect()
    }

    fn restore(&mut self, state: BTreeMap<String, Vec<f64>>) -> bool {
        self.routers.clear();
        self.updates.clear();
        for (name, list) in state {
            if let Some(step) = name.strip_prefix(UPDATE).and_then(|step| step.parse().ok()) {
                self.updates.push(UpdateResult { step, layers: list });
                continue;
            }
            let (Some(socket), Some((experts, numbers))) = (name.strip_prefix(ROUTER), list.split_first())
            else {
                return false;
            };
            let size = 4 + *experts as usize;
            if !numbers.len().is_multiple_of(size) {
                return false;
            }
            let one = |numbers: &[f64]| Use {
                end: numbers[0] as u64,
                steps: numbers[1] as u64,
                balance: numbers[2],
                dropped: numbers[3] as u64,
                rows: numbers[4..].iter().map(|rows| *rows as u64).collect(),
            };
            self.routers.insert(socket.to_owned(), numbers.chunks_exact(size).map(one).collect());
        }
        self.updates.sort_by_key(|one| one.step);
        true
    }
}

fn resized(rows: &[u64], len: usize) -> Vec<u64> {
    let mut rows = rows.to_vec();
    rows.resize(len, 0);
    rows
}

/// Of every layer, the norm of the change of its matrices over their norm. A layer is the first number in a path; what has none is no
/// part of a layer.
fn moved(before: &Tree, after: &Tree) -> Result<Vec<f64>, tenfold_weight::Error> {
    let mut layers: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    let matrices = after.iter().filter(|(_, form)| form.shape().len() > 1);
    for (path, layer) in matrices.filter_map(|(path, _)| Some((path, path.kind().1.first().copied()?))) {
        let (change, size) = change(before, after, path)?;
        let sums = layers.entry(layer).or_default();
        (sums.0, sums.1) = (sums.0 + change, sums.1 + size);
    }
    Ok(layers.into_values().map(|(change, size)| (change / size.max(f64::MIN_POSITIVE)).sqrt()).collect())
}

/// The squares of the norms of a weight's change and of the weight.
fn change(before: &Tree, after: &Tree, path: &Path) -> Result<(f64, f64), tenfold_weight::Error> {
    let (old, new) = (dense_values(before, path)?, dense_values(after, path)?);
    let pairs = old.data().iter().zip(new.data());
    let squares = pairs.map(|(old, new)| (f64::from(new - old).powi(2), f64::from(*old).powi(2)));
    Ok(squares.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_weight::Form;

    fn gauge(at: Vec<u64>) -> Gauge {
        Gauge { interval: 2, at, routers: BTreeMap::new(), updates: Vec::new(), before: None }
    }

    fn load(rows: [u64; 2], dropped: u64) -> BTreeMap<String, Load> {
        BTreeMap::from([("a.router".to_owned(), Load { rows: rows.into(), dropped, balance: 1.5 })])
    }

    #[test]
    fn uses_add_up_by_interval_and_survive_a_checkpoint() {
        let mut one = gauge(Vec::new());
        for (step, rows) in [(0, [3, 1]), (1, [1, 3]), (2, [4, 0])] {
            one.loads(step, load(rows, step));
        }
        let mut other = gauge(Vec::new());
        assert!(other.restore(one.state()));
        other.loads(3, load([2, 2], 0));
        let found = other.result().routers.remove(0);
        assert_eq!((found.path.as_str(), found.steps.as_slice()), ("a.router", &[2, 4][..]));
        assert_eq!(found.shares, [[0.5, 0.5], [0.75, 0.25]]);
        assert_eq!((found.balance, found.dropped), (vec![1.5, 1.5], vec![1.0 / 8.0, 2.0 / 8.0]));
        assert!(!gauge(Vec::new()).restore(BTreeMap::from([("router.x".to_owned(), vec![2.0, 1.0])])));
        assert!(!gauge(Vec::new()).restore(BTreeMap::from([("other".to_owned(), vec![])])));
    }

    #[test]
    fn layers_are_measured_at_their_steps_and_what_they_share_counts_in_each() {
        let (first, second) = (Path::new("layer.0.weight"), Path::new("layer.1.weight"));
        let tree = |value: f32| {
            let stored = Form::dense(Array::full(&[2, 2], value));
            let shared = Form::shared(tenfold_weight::Address::root(first.clone()), vec![2, 2]);
            let outside = Form::dense(Array::full(&[2, 2], 9.0 * value));
            let weights = [(first.clone(), stored), (second.clone(), shared), (Path::new("table"), outside)];
            weights.into_iter().collect::<Tree>()
        };
        let mut gauge = gauge(vec![1]);
        for (step, value) in [(0, 1.0f32), (1, 2.0), (2, 5.0)] {
            gauge.gradients(step, &tree(value), &BTreeMap::new());
            gauge.after(step, &tree(value * 1.25)).unwrap();
        }
        let mut again = self::gauge(vec![1]);
        assert!(again.restore(gauge.state()));
        assert_eq!(again.result().updates, [UpdateResult { step: 1, layers: vec![0.25, 0.25] }]);
    }
}
