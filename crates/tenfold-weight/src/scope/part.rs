//! Parts of a training step whose activations are not kept: they are computed without recording, and once more, recorded,
//! when the gradient of their result arrives (gradient checkpointing, Chen et al. 2016).

use super::{Dropout, Scope};
use crate::error::Error;
use crate::path::LeafId;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use tenfold_tensor::random::Random;
use tenfold_tensor::{Array, Var};

type Fault = Box<dyn std::error::Error + Send + Sync>;
type Run = Box<dyn Fn(&Scope<'_>, &[Var]) -> Result<Var, Fault>>;

/// Gradients of leaves, and of inputs in their order, as far as there are some.
type Found = (BTreeMap<LeafId, Array>, Vec<Option<Array>>);

/// The parts of one step.
#[derive(Default)]
pub(super) struct Parts {
    all: RefCell<Vec<Option<Part>>>,
    /// Whether a part is being computed, so that nothing is recorded.
    silent: Cell<bool>,
    /// Whether it met a leaf that trains.
    met: Cell<bool>,
}

/// What it takes to compute a part again.
struct Part {
    /// The inputs, and whether their gradients are wanted.
    inputs: Vec<(Array, bool)>,
    /// Where the masks of dropout stood.
    masks: Option<Random>,
    run: Run,
}

impl Parts {
    /// Whether a leaf that trains must not be recorded now.
    pub(super) fn hides(&self) -> bool {
        if self.silent.get() {
            self.met.set(true);
        }
        self.silent.get()
    }
}

impl<'t> Scope<'t> {
    /// The same scope; with `yes`, training keeps of every [`part`](Self::part) only its input.
    pub fn checkpointing(mut self, yes: bool) -> Self {
        if let Some(training) = &mut self.training {
            training.parts = yes.then(Parts::default);
        }
        self
    }

    /// `run` on some inputs. A scope that checkpoints keeps only these of it, and runs it again in the backward pass: it must
    /// depend on nothing but the scope and the inputs.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn part<const N: usize, E>(
        &self,
        inputs: [&Var; N],
        run: impl Fn(&Scope<'_>, [&Var; N]) -> Result<Var, E> + 'static,
    ) -> Result<Var, E>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let training = self.training.as_ref();
        let Some((training, parts)) = training.and_then(|one| Some((one, one.parts.as_ref()?))) else {
            return run(self, inputs);
        };
        let masks = training.dropout.as_ref().map(|dropout| dropout.masks.borrow().clone());
        // What is built without being recorded must not serve where it has to be.
        let built = self.built.take();
        parts.met.set(false);
        parts.silent.set(true);
        let y = run(self, inputs.map(Var::detach).each_ref());
        parts.silent.set(false);
        self.built.replace(built);
        let y = y?;
        if !inputs.iter().any(|x| x.is_tracked()) && !parts.met.get() {
            return Ok(y);
        }
        let run: Run = Box::new(move |scope, inputs| {
            run(scope, std::array::from_fn(|at| &inputs[at])).map_err(Into::into)
        });
        let mut all = parts.all.borrow_mut();
        let kept = inputs.map(|x| (x.value().clone(), x.is_tracked())).into();
        all.push(Some(Part { inputs: kept, masks, run }));
        Ok(training.tape.deferred(&inputs.map(Var::clone), y.value().clone(), all.len() - 1))
    }

    /// Gradients of the leaves from the gradient of `output`, those of parts included, and those of `inputs`, leaves of the
    /// tape that are none of the tree.
    pub(super) fn gradients(self, output: &Var, gradient: Array, inputs: &[Var]) -> Result<Found, Error> {
        let Self { tree, precision, contraction, routing, training, built, .. } = self;
        let Some(training) = training else { return Ok((BTreeMap::new(), Vec::new())) };
        drop(built);
        let mut all = training.parts.map(|parts| parts.all.into_inner()).unwrap_or_default();
        let mut found: BTreeMap<LeafId, Array> = BTreeMap::new();
        let share = training.dropout.map(|dropout| dropout.share);
        let mut gradients = training.tape.backward_from(output, gradient, |part, gradient| {
            let Some(Part { inputs, masks, run }) = all.get_mut(part).and_then(Option::take) else {
                return Err(Error::Tensor(tenfold_tensor::Error::Consumed));
            };
            let mut again = Scope::train(tree, training.trains)
                .computing(precision)
                .contracting(contraction)
                .routing(routing);
            let mut fresh = Vec::with_capacity(inputs.len());
            if let Some(training) = &mut again.training {
                let dropout = share.zip(masks);
                training.dropout =
                    dropout.map(|(share, masks)| Dropout { share, masks: RefCell::new(masks) });
                let tape = &training.tape;
                let input = |(x, wanted)| if wanted { tape.leaf(x) } else { Var::constant(x) };
                fresh.extend(inputs.into_iter().map(input));
            }
            let y = run(&again, &fresh).map_err(Error::Part)?;
            if !y.is_tracked() {
                return Ok(Vec::new());
            }
            let (leaves, passed) = again.gradients(&y, gradient, &fresh)?;
            for (id, gradient) in leaves {
                add(&mut found, id, gradient);
            }
            Ok(passed)
        })?;
        for (id, var) in training.leaves.into_inner() {
            if let Some(gradient) = gradients.take(&var) {
                add(&mut found, id, gradient);
            }
        }
        let passed = inputs.iter().map(|input| gradients.take(input)).collect();
        Ok((found, passed))
    }
}

fn add(found: &mut BTreeMap<LeafId, Array>, id: LeafId, gradient: Array) {
    let sum = match found.remove(&id) {
        Some(before) => before.plus(&gradient),
        None => gradient,
    };
    found.insert(id, sum);
}
