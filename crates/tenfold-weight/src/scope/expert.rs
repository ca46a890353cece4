//! Which experts see which rows, and what they make of them together.

use super::Scope;
use crate::error::Error;
use crate::form::Call;
use crate::socket;
use std::collections::BTreeMap;
use tenfold_tensor::random::Random;
use tenfold_tensor::{Activation, Array, Offsets, Var, op};

/// The stream of random numbers that noise of routers is drawn from.
const NOISE: u64 = 0x524F_5554;

/// How routers are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Routing {
    /// How much of [`op::balance`] of every router is part of what training makes small.
    pub balance: f32,
    /// The most rows of an expert, as a multiple of its share under even use; the rest are dropped. Nothing: no limit.
    pub capacity: Option<f32>,
    /// What noise is drawn from, with the router's path.
    pub seed: u64,
}

/// How a router has used its experts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Rows by expert, those that were dropped included.
    pub rows: Vec<u64>,
    /// Choices that found their expert full.
    pub dropped: u64,
    /// [`op::balance`]: 1 for even use.
    pub balance: f64,
}

/// Who sees which row.
struct Dealt {
    /// The rows of x in the order of experts.
    taken: Vec<u32>,
    /// Where the rows of each expert begin in that order.
    experts: Offsets,
    /// The place of every choice in that order, or [`op::DROPPED`].
    slots: Vec<u32>,
    /// Rows by expert before any was dropped.
    asked: Vec<u64>,
}

impl Dealt {
    /// Deals rows to the experts that they have chosen, k each. Of a full expert those go without who come last: later choices
    /// after earlier ones, later rows after earlier ones.
    fn of(choices: &[u32], k: usize, experts: usize, most: usize) -> Self {
        let mut asked = vec![0u64; experts];
        let rows = choices.len() / k;
        let mut own: Vec<Vec<usize>> = vec![Vec::new(); experts];
        for place in 0..k {
            for row in 0..rows {
                let at = row * k + place;
                let expert = choices[at] as usize;
                asked[expert] += 1;
                if own[expert].len() < most {
                    own[expert].push(at);
                }
            }
        }
        let lengths: Vec<usize> = own.iter().map(Vec::len).collect();
        let mut slots = vec![op::DROPPED; choices.len()];
        let mut taken = Vec::with_capacity(choices.len());
        for at in own.into_iter().flatten() {
            slots[at] = taken.len() as u32;
            taken.push((at / k) as u32);
        }
        Self { taken, experts: Offsets::from_lengths(&lengths), slots, asked }
    }
}

impl Scope<'_> {
    /// The same scope with routers trained in this way.
    pub fn routing(self, routing: Routing) -> Self {
        Self { routing, ..self }
    }

    /// What the routers of this scope have done so far, by their sockets.
    pub fn loads(&self) -> BTreeMap<String, Load> {
        self.loads.borrow().clone()
    }

    /// The sum over the experts that the router in a socket chooses for each row of x of what `run` makes of it, by their gates;
    /// nothing where the socket is empty. `run` is given rows in the order of experts, and where those of each are.
    ///
    /// # Shapes
    /// x is N x D; `run` gets M x D and returns M x D'; the result is N x D', zeros for a row that found all its experts full.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Shape`] for the router's weights, and those of `run`.
    pub fn experts(
        &self,
        socket: &str,
        x: &Var,
        run: impl FnOnce(&Var, &Offsets) -> Result<Var, Error>,
    ) -> Result<Option<Var>, Error> {
        let Some((stem, gate)) = socket::router(self.tree, socket) else { return Ok(None) };
        let mut logits = self.linear(&stem, x, Activation::Identity)?;
        let (rows, experts) = (logits.value().height(), logits.value().width());
        let k = gate.chosen;
        if rows == 0 {
            return Ok(Some(x.clone()));
        }
        if gate.noisy && self.is_training() {
            let spread = self.linear(&format!("{stem}.noise"), x, Activation::Identity)?;
            let labels: Vec<u64> = [NOISE].into_iter().chain(socket.bytes().map(u64::from)).collect();
            let mut random = Random::labelled(self.routing.seed, &labels);
            let noise = (0..rows * experts).map(|_| random.normal() as f32).collect();
            logits = op::noisy(&logits, &spread, &Array::from_vec(noise, &[rows, experts]));
        }
        let choices = logits.value().largest_columns(k.min(experts));
        let balance = op::balance(&logits, &choices);
        let level = f64::from(balance.value().item());
        let most = match self.routing.capacity.filter(|_| self.is_training()) {
            Some(factor) => {
                (f64::from(factor) * choices.len() as f64 / experts as f64).ceil().max(1.0) as usize
            }
            None => usize::MAX,
        };
        let dealt = Dealt::of(&choices, k.min(experts), experts, most);
        self.note(socket, &dealt, level);
        if self.is_training() && self.routing.balance > 0.0 {
            logits = op::penalized(&logits, &balance, self.routing.balance);
        }
        let gates = op::gates(&logits, &choices, k > 1);
        let seen = op::embedding(x, &dealt.taken)?;
        let given = run(&seen, &dealt.experts)?;
        Ok(Some(op::combine(&given, &gates, &dealt.slots)))
    }

    /// `act(x W_e^T + b)` for the rows of every expert e, with `W = path.weight` a stack of E matrices (O x I) and, where the tree
    /// has it, `b = path.bias` (O) of all of them.
    ///
    /// # Shapes
    /// x is M x I in the order of experts, the result M x O.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Shape`] naming the weight.
    pub fn linear_each(
        &self,
        path: &str,
        x: &Var,
        rows: &Offsets,
        activation: Activation,
    ) -> Result<Var, Error> {
        let (form, at, bias) = self.map(path, x, Some(rows.sequences()))?;
        let call = Call { x, bias: bias.as_ref(), activation };
        form.operations().apply_experts(self, &at, &call, rows)
    }

    fn note(&self, socket: &str, dealt: &Dealt, balance: f64) {
        let kept = dealt.experts.tokens() as u64;
        let dropped = dealt.asked.iter().sum::<u64>() - kept;
        let load = Load { rows: dealt.asked.clone(), dropped, balance };
        self.loads.borrow_mut().insert(socket.to_owned(), load);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_dealt_in_the_order_of_experts() {
        // Four rows, two choices each, three experts.
        let dealt = Dealt::of(&[0, 1, 2, 0, 0, 2, 1, 0], 2, 3, usize::MAX);
        assert_eq!(dealt.taken, [0, 2, 1, 3, 3, 0, 1, 2]);
        assert_eq!(dealt.slots, [0, 5, 6, 2, 1, 7, 4, 3]);
        assert_eq!((dealt.experts.range(0), dealt.experts.range(2)), (0..4, 6..8));
        assert_eq!(dealt.asked, [4, 2, 2]);
    }

    #[test]
    fn a_full_expert_turns_away_who_comes_last() {
        let dealt = Dealt::of(&[0, 1, 2, 0, 0, 2, 1, 0], 2, 3, 2);
        // Expert 0: the first choices of rows 0 and 2; the second choices of rows 1 and 3 are dropped.
        assert_eq!(dealt.taken, [0, 2, 3, 0, 1, 2]);
        assert_eq!(dealt.slots, [0, 3, 4, op::DROPPED, 1, 5, 2, op::DROPPED]);
        assert_eq!(dealt.asked, [4, 2, 2]);
        assert_eq!(Dealt::of(&[1, 1, 1], 1, 2, 2).slots, [0, 1, op::DROPPED]);
    }
}
