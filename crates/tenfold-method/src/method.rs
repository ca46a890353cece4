//! What a method is: a rewrite of weights, the evidence it needs, and a schedule of what trains.

use crate::calibrate::CalibrateOptions;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::fisher::Learning;
use crate::option::OptionInfo;
use crate::squeeze::SqueezeOptions;
use std::sync::Arc;
use tenfold_tensor::Array;
use tenfold_weight::{Address, Form, Module, ModuleWeight, Path, Role, Socket, Stored, Wiring};

/// What `explain` says about a method.
#[derive(Debug)]
pub struct Info {
    /// The word that recipes use.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The equation, in plain text.
    pub equation: &'static str,
    /// When the method is a good choice.
    pub when: &'static str,
    /// When it is not.
    pub when_not: &'static str,
    /// What trains after the rewrite unless a phase says otherwise.
    pub trains: &'static str,
    /// Papers and equations.
    pub sources: &'static [&'static str],
    /// Every option, with kind and default.
    pub options: &'static [OptionInfo],
}

/// What a rewrite will make of one weight, known before any arithmetic.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The form, in a few words.
    pub form: String,
    /// Stored parameters; an upper bound unless `exact`.
    pub parameters: usize,
    /// Whether the form and the count are certain before evidence is seen.
    pub exact: bool,
    /// Parameters by the role of the leaves that hold them, each role once; empty where that is not known.
    pub roles: Vec<(Role, usize)>,
    /// How many of the parameters are codes of a scheme, which no leaf holds, and their bytes.
    pub codes: Coded,
}

/// Codes of a scheme: numbers and the bytes that they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coded {
    /// Numbers.
    pub numbers: usize,
    /// Bytes, scales and zero points included.
    pub bytes: usize,
}

/// Bytes of a number that is no code.
const NUMBER: usize = 4;

impl Planned {
    /// A form that is certain, with its parameters by role.
    pub fn certain(form: String, roles: Vec<(Role, usize)>) -> Self {
        let parameters = roles.iter().map(|(_, count)| count).sum();
        Self { form, parameters, exact: true, roles, codes: Coded::default() }
    }

    /// The same with codes beside the leaves.
    pub fn with_codes(self, codes: Coded) -> Self {
        Self { parameters: self.parameters + codes.numbers, codes, ..self }
    }

    /// Stored bytes, without file headers; an upper bound unless `exact`.
    pub fn bytes(&self) -> usize {
        NUMBER * (self.parameters - self.codes.numbers) + self.codes.bytes
    }

    /// A form that stays as it is.
    pub fn kept(path: &Path, form: &Form) -> Self {
        let mut roles: Vec<(Role, usize)> = Vec::new();
        form.visit(&Address::root(path.clone()), &mut |_, leaf| match roles
            .iter_mut()
            .find(|(role, _)| *role == leaf.role)
        {
            Some((_, count)) => *count += leaf.value.len(),
            None => roles.push((leaf.role, leaf.value.len())),
        });
        Self::certain(form.describe(), roles).with_codes(Coded::of(form))
    }

    /// The values themselves, so many.
    pub fn dense(parameters: usize) -> Self {
        Self::certain("dense".to_owned(), vec![(Role::Value, parameters)])
    }

    /// A form that evidence will choose, of at most so many parameters.
    pub fn at_most(form: String, parameters: usize) -> Self {
        Self { form, parameters, exact: false, roles: Vec::new(), codes: Coded::default() }
    }
}

impl Coded {
    /// The codes that a form stores.
    pub fn of(form: &Form) -> Self {
        let mut sum = Self::default();
        form.stored(&Address::root(Path::new("")), &mut |_, stored| {
            if let Stored::Codes(codes) = stored {
                sum.numbers += codes.height() * codes.width();
                sum.bytes += codes.bytes().len();
            }
        });
        sum
    }
}

/// Whether a leaf trains, and with which factor on the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Training {
    /// The leaf keeps its bits.
    Frozen,
    /// The leaf trains at this multiple of the phase's rate.
    Trains(f32),
}

/// A draw at every step for every entry of a gradient, which stays as it is or becomes 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    /// The probability to stay, above 0 and below 1.
    pub kept: f64,
    /// What is drawn from.
    pub seed: u64,
}

/// A rewrite of weights plus a schedule of what trains when. It sees no model code, file, device or loop.
pub trait Method: Send + Sync {
    /// Name, options, equation, sources.
    fn info(&self) -> &'static Info;

    /// Whether [`rewrite`](Self::rewrite) or [`settle`](Self::settle) reads activation statistics.
    fn needs_inputs(&self) -> bool {
        false
    }

    /// Whether [`settle`](Self::settle) compares weights by what their errors do to the model's output.
    fn needs_sensitivity(&self) -> bool {
        false
    }

    /// Whether what becomes of a weight depends on weights of other layers, such as by one budget for all of them or by coordinates that
    /// they share: then no layer can be rewritten before all are at hand.
    fn spans_layers(&self) -> bool {
        self.needs_sensitivity() || self.moves_basis()
    }

    /// Whether the rewrite changes the coordinates in which weights see their inputs, and nothing else: the function of
    /// the model stays, and evidence that was collected before is no longer true.
    fn moves_basis(&self) -> bool {
        false
    }

    /// What the rewrite will make of a weight alone, in a tree whose wiring is not known.
    ///
    /// # Errors
    /// [`Error::NotAMatrix`] and options that do not fit the weight.
    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error>;

    /// What the rewrite will make of many weights, in order. Differs from a plan of each where something is stored once
    /// for several of them.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    fn plan_together(&self, weights: &[(Path, &Form)], _wiring: &Wiring) -> Result<Vec<Planned>, Error> {
        weights.iter().map(|(path, form)| self.plan(path, form)).collect()
    }

    /// Decides over many weights at once, such as how to spend one budget or which coordinates to share: the method that
    /// rewrites each of them, in order. `None` where every weight is rewritten by this method itself.
    ///
    /// # Errors
    /// Missing evidence, numerical failure, a budget below what any choice can reach.
    fn settle(
        &self,
        _weights: &[(Path, &Form)],
        _evidence: &Evidence,
    ) -> Result<Option<Vec<Arc<dyn Method>>>, Error> {
        Ok(None)
    }

    /// The new form of a weight. Pure: the same arguments give the same bytes.
    ///
    /// # Errors
    /// Missing evidence and numerical failure, naming the path.
    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error>;

    /// Whether the method puts modules into sockets in place of rewriting weights. Its steps select sockets by their paths, and
    /// [`plan`](Self::plan) and [`rewrite`](Self::rewrite) leave weights as they are.
    fn adds(&self) -> bool {
        false
    }

    /// The module that this method puts into a socket; nothing where the socket is none of its kind.
    fn module(&self, _socket: &Socket) -> Option<Module> {
        None
    }

    /// A weight of such a module before any training. Pure: the same arguments give the same bytes.
    fn start(&self, weight: &ModuleWeight) -> Form {
        Form::dense(Array::zeros(&weight.shape))
    }

    /// What becomes of a weight that a module of this method stands before, such as a matrix of the experts that a router chooses
    /// among ([`Socket::experts`]).
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    fn plan_changed(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(Planned::kept(path, form))
    }

    /// The new form of such a weight. Pure: the same arguments give the same bytes.
    ///
    /// # Errors
    /// Numerical failure, naming the path.
    fn changed(&self, _path: &Path, form: &Form) -> Result<Form, Error> {
        Ok(form.clone())
    }

    /// How a phase may make weights of this method smaller in the course of training; `None` where it may not.
    fn squeezes(&self) -> Option<SqueezeOptions> {
        None
    }

    /// Whether a phase may replace weights of this method by [larger forms](Self::grown) in the course of training.
    fn grows(&self) -> bool {
        false
    }

    /// A larger form of the same function, for training; the form itself where the method has none.
    ///
    /// # Errors
    /// [`Error::NotAMatrix`] and numerical failure, naming the path.
    fn grown(&self, _path: &Path, form: &Form) -> Result<Form, Error> {
        Ok(form.clone())
    }

    /// Whether the forms of this method serve training alone: after the last phase each becomes what
    /// [`contracted`](Self::contracted) says.
    fn contracts(&self) -> bool {
        false
    }

    /// What a trained form of this method becomes where it [contracts](Self::contracts), with the same values; `None`: it is
    /// multiplied out to the matrix itself.
    ///
    /// # Errors
    /// Numerical failure, naming the path.
    fn contracted(&self, _path: &Path, _form: &Form) -> Result<Option<Form>, Error> {
        Ok(None)
    }

    /// Whether a phase may train these weights in full at first, and by the light method of an earlier step later; `None`
    /// for a method that says itself what trains.
    fn calibrates(&self) -> Option<CalibrateOptions> {
        None
    }

    /// Which entries of the leaves that train learn; `None`: all of them.
    fn learning(&self) -> Option<Learning> {
        None
    }

    /// A mask on the gradient of a leaf, entry by entry; nothing: none.
    fn masked(&self, _role: Role) -> Option<Mask> {
        None
    }

    /// What trains at a step, for a leaf of a weight that this method rewrote.
    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        Training::Trains(1.0)
    }
}

/// The sizes O and I of a weight that must be a matrix.
pub(crate) fn matrix_shape(path: &Path, form: &Form) -> Result<(usize, usize), Error> {
    match form.shape().as_slice() {
        &[rows, cols] if rows > 0 && cols > 0 => Ok((rows, cols)),
        got => Err(Error::NotAMatrix { path: path.clone(), got: got.to_vec() }),
    }
}
