//! The tape: what was done to tracked values, and how to play it backward.
//!
//! A [`Var`] is an [`Array`] that may be tracked, which means it has a node on a tape. The only two makers of a tracked
//! value are [`Tape::leaf`] and `record`, and `record` takes the backward function: there is no op without one, so no
//! gradient can stop silently. Backward walks the nodes from the last to the first, hands each its gradient, and lets
//! it pour gradients into the slots of its inputs through a `Sink`, in place where a slot is already filled. Saved
//! arrays are freed as soon as their node has run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Array, Error};

type Backward = Box<dyn FnOnce(Array, &mut Sink<'_>) + Send>;

enum Node {
    Leaf,
    Op {
        inputs: Vec<Option<usize>>,
        backward: Backward,
    },
    /// What lies between this value and the inputs was not recorded; the number says what it was.
    Deferred {
        inputs: Vec<Option<usize>>,
        part: usize,
    },
    Consumed,
}

struct Record {
    id: u64,
    nodes: Mutex<Vec<Node>>,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Vec<Node>> {
        // A node is pushed in one statement, so a panic elsewhere leaves the list consistent.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, node: Node) -> usize {
        let mut nodes = self.lock();
        nodes.push(node);
        nodes.len() - 1
    }
}

/// A record of differentiable ops. Clones refer to the same record.
#[derive(Clone)]
pub struct Tape {
    record: Arc<Record>,
}

impl Default for Tape {
    fn default() -> Tape {
        Tape::new()
    }
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Tape {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Tape { record: Arc::new(Record { id, nodes: Mutex::new(Vec::new()) }) }
    }

    /// A tracked value whose gradient is wanted.
    pub fn leaf(&self, value: Array) -> Var {
        let node = self.record.push(Node::Leaf);
        Var { value, track: Some(Track { record: Arc::clone(&self.record), node }) }
    }

    /// A value of which only the inputs are kept: whoever calls [`Tape::backward_from`] computes again what lies between, by
    /// the number `part`. It is tracked even where no input is.
    ///
    /// # Panics
    /// When an input belongs to another tape.
    #[track_caller]
    pub fn deferred(&self, inputs: &[Var], output: Array, part: usize) -> Var {
        let node = |input: &Var| {
            let track = input.track.as_ref()?;
            assert!(track.record.id == self.record.id, "the input of a part belongs to another tape");
            Some(track.node)
        };
        let node = self.record.push(Node::Deferred { inputs: inputs.iter().map(node).collect(), part });
        Var { value: output, track: Some(Track { record: Arc::clone(&self.record), node }) }
    }

    /// Gradients of a loss of one element with respect to every leaf it depends on. Consumes the recorded ops and
    /// frees what they saved; the leaves stay, so the tape can record another forward pass.
    ///
    /// # Errors
    /// [`Error::LossNotScalar`], [`Error::LossUntracked`], [`Error::ForeignTape`], or [`Error::Consumed`] when the
    /// loss depends on an op that an earlier call consumed; [`Error::Deferred`] when it depends on a deferred value.
    pub fn backward(&self, loss: &Var) -> Result<Gradients, Error> {
        if loss.value.len() != 1 {
            return Err(Error::LossNotScalar { shape: loss.shape().to_vec() });
        }
        self.backward_from(loss, Array::full(loss.shape(), 1.0), |_, _| Err(Error::Deferred))
    }

    /// The same from any value and its gradient. For each deferred value that a gradient reaches, last first, `again` gets
    /// its number and gradient and returns the gradients of its inputs in their order, those that there are.
    ///
    /// # Errors
    /// As [`Tape::backward`] but for the loss's shape, and those of `again`.
    ///
    /// # Panics
    /// When the gradient has another shape than the value.
    #[track_caller]
    pub fn backward_from<E: From<Error>>(
        &self,
        output: &Var,
        gradient: Array,
        mut again: impl FnMut(usize, Array) -> Result<Vec<Option<Array>>, E>,
    ) -> Result<Gradients, E> {
        assert_eq!(gradient.shape(), output.shape(), "gradient of a value of another shape");
        let track = output.track.as_ref().ok_or(Error::LossUntracked)?;
        if track.record.id != self.record.id {
            return Err(Error::ForeignTape.into());
        }
        let mut nodes: Vec<Node> = {
            let mut nodes = self.record.lock();
            let spent =
                nodes.iter().map(|node| if matches!(node, Node::Leaf) { Node::Leaf } else { Node::Consumed });
            let spent = spent.collect();
            std::mem::replace(&mut *nodes, spent)
        };
        nodes.truncate(track.node + 1);
        let mut slots: Vec<Option<Array>> = Vec::new();
        slots.resize_with(nodes.len(), || None);
        slots[track.node] = Some(gradient);
        while let Some(node) = nodes.pop() {
            let i = nodes.len();
            let (inputs, backward) = match node {
                Node::Leaf => continue,
                Node::Consumed if slots[i].is_some() => return Err(Error::Consumed.into()),
                Node::Consumed => continue,
                Node::Deferred { inputs, part } => {
                    if let Some(gradient) = slots[i].take() {
                        let passed = again(part, gradient)?;
                        let mut sink = Sink { slots: &mut slots, inputs: &inputs };
                        let wanted = passed.into_iter().enumerate().take(inputs.len());
                        wanted.for_each(|(at, one)| one.into_iter().for_each(|one| sink.add(at, one)));
                    }
                    continue;
                }
                Node::Op { inputs, backward } => (inputs, backward),
            };
            if let Some(gradient) = slots[i].take() {
                backward(gradient, &mut Sink { slots: &mut slots, inputs: &inputs });
            }
        }
        Ok(Gradients { tape: self.record.id, slots })
    }
}

#[derive(Clone)]
struct Track {
    record: Arc<Record>,
    node: usize,
}

/// An array, tracked on a tape or constant. Cloning is cheap.
#[derive(Clone)]
pub struct Var {
    value: Array,
    track: Option<Track>,
}

impl Var {
    /// An untracked value: no gradient is computed for it.
    pub fn constant(value: Array) -> Var {
        Var { value, track: None }
    }

    /// The array.
    pub fn value(&self) -> &Array {
        &self.value
    }

    /// The shape of the array.
    pub fn shape(&self) -> &[usize] {
        self.value.shape()
    }

    /// Whether gradients flow into this value.
    pub fn is_tracked(&self) -> bool {
        self.track.is_some()
    }

    /// Whether both are one value: of one storage and shape, and of one node where they are tracked.
    pub(crate) fn is_same(&self, other: &Var) -> bool {
        let node = |var: &Var| var.track.as_ref().map(|track| (track.record.id, track.node));
        self.value.same_storage(&other.value) && self.shape() == other.shape() && node(self) == node(other)
    }

    /// The same value, untracked.
    pub fn detach(&self) -> Var {
        Var::constant(self.value.clone())
    }
}

impl std::fmt::Debug for Var {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}{}", self.value, if self.is_tracked() { " tracked" } else { "" })
    }
}

/// Makes the value of an op. When an input is tracked, `backward` is kept: it receives the gradient of the output and
/// must pour the gradient of every input that [`Sink::wants`] into the sink. Otherwise it is dropped and the value is
/// a constant.
///
/// # Panics
/// When inputs belong to different tapes.
#[track_caller]
pub(crate) fn record(
    inputs: &[&Var],
    output: Array,
    backward: impl FnOnce(Array, &mut Sink<'_>) + Send + 'static,
) -> Var {
    let Some(first) = inputs.iter().find_map(|input| input.track.as_ref()) else {
        return Var::constant(output);
    };
    let nodes = inputs
        .iter()
        .map(|input| {
            input.track.as_ref().map(|track| {
                assert!(track.record.id == first.record.id, "the inputs of an op belong to different tapes");
                track.node
            })
        })
        .collect();
    let node = first.record.push(Node::Op { inputs: nodes, backward: Box::new(backward) });
    Var { value: output, track: Some(Track { record: Arc::clone(&first.record), node }) }
}

/// Whether an op on these inputs will be recorded, so that it has to save anything.
pub(crate) fn any_tracked(inputs: &[&Var]) -> bool {
    inputs.iter().any(|input| input.is_tracked())
}

/// Where a backward function leaves the gradients of its inputs, named by their position in the call of `record`.
pub(crate) struct Sink<'a> {
    slots: &'a mut [Option<Array>],
    inputs: &'a [Option<usize>],
}

impl Sink<'_> {
    /// Whether the input is tracked; the gradients of others need no work.
    pub(crate) fn wants(&self, input: usize) -> bool {
        self.inputs[input].is_some()
    }

    /// Adds a gradient: moves it into an empty slot, adds it to a filled one. Ignored when the input is untracked.
    pub(crate) fn add(&mut self, input: usize, gradient: Array) {
        let Some(node) = self.inputs[input] else { return };
        let slot = &mut self.slots[node];
        *slot = Some(match slot.take() {
            None => gradient,
            // The array that can be written without a copy takes the sum.
            Some(before) if !before.is_unique() && gradient.is_unique() => gradient.plus(&before),
            Some(before) => before.plus(&gradient),
        });
    }

    /// Lets `fill` write a gradient of the given shape: into a new array of unspecified contents with `false`, or on
    /// top of the gradient already there with `true`, in which case it must add. Ignored when the input is untracked.
    pub(crate) fn accumulate(&mut self, input: usize, shape: &[usize], fill: impl FnOnce(&mut [f32], bool)) {
        self.accumulate_in(input, shape, |gradient, filled| fill(gradient.data_mut(), filled));
    }

    /// The same for the array, wherever its elements are.
    pub(crate) fn accumulate_in(
        &mut self,
        input: usize,
        shape: &[usize],
        fill: impl FnOnce(&mut Array, bool),
    ) {
        let Some(node) = self.inputs[input] else { return };
        let slot = &mut self.slots[node];
        if let Some(before) = slot {
            assert_eq!(before.shape(), shape, "gradient of another shape than the one before");
            fill(before, true);
        } else {
            let mut gradient = Array::stale(shape);
            fill(&mut gradient, false);
            *slot = Some(gradient);
        }
    }
}

/// The gradients of the leaves.
pub struct Gradients {
    tape: u64,
    slots: Vec<Option<Array>>,
}

impl Gradients {
    /// Takes the gradient of a leaf out; `None` when the loss does not depend on it, when it is not a leaf of the
    /// tape, or when it was taken before. Gradients exist for leaves only.
    pub fn take(&mut self, leaf: &Var) -> Option<Array> {
        let track = leaf.track.as_ref()?;
        if track.record.id != self.tape {
            return None;
        }
        self.slots.get_mut(track.node)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op;

    #[test]
    fn faults_of_the_loss_are_typed_errors() {
        let tape = Tape::new();
        let x = tape.leaf(Array::full(&[2], 1.0));
        assert_eq!(tape.backward(&x).err(), Some(Error::LossNotScalar { shape: vec![2] }));
        assert_eq!(tape.backward(&op::sum(&x.detach())).err(), Some(Error::LossUntracked));
        assert_eq!(Tape::new().backward(&op::sum(&x)).err(), Some(Error::ForeignTape));
        let half = op::scale(&x, 0.5);
        assert!(tape.backward(&op::sum(&half)).is_ok());
        assert_eq!(tape.backward(&op::sum(&half)).err(), Some(Error::Consumed));
        let mut again = tape.backward(&op::sum(&op::scale(&x, 0.5))).unwrap();
        assert_eq!(again.take(&x).map(|g| g.data().to_vec()), Some(vec![0.5, 0.5]));
    }

    #[test]
    fn a_value_used_twice_gets_both_gradients() {
        let tape = Tape::new();
        let x = tape.leaf(Array::from_vec(vec![2.0, -3.0], &[2]));
        let y = op::add(&op::mul(&x, &x), &op::add(&x, &x));
        let mut gradients = tape.backward(&op::sum(&y)).unwrap();
        assert_eq!(gradients.take(&x).map(|g| g.data().to_vec()), Some(vec![6.0, -4.0]));
        assert!(gradients.take(&x).is_none());
    }

    #[test]
    fn untracked_inputs_record_nothing() {
        let x = Var::constant(Array::full(&[3], 1.0));
        assert!(!op::add(&x, &x).is_tracked());
    }

    #[test]
    #[should_panic(expected = "different tapes")]
    fn mixing_tapes_panics() {
        let (a, b) = (Tape::new(), Tape::new());
        let _ = op::add(&a.leaf(Array::scalar(1.0)), &b.leaf(Array::scalar(1.0)));
    }
}
