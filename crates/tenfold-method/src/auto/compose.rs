//! Composed forms that `auto` tries: low rank with an operator for what it leaves, and low rank whose larger factor is an
//! operator.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned};
use crate::mpo::Mpo;
use crate::size::multiplied;
use crate::svd::Svd;
use tenfold_weight::{Form, Path, form};

static REPAIRED: Info = Info {
    name: "repaired",
    summary: "low rank plus a matrix product operator of what that leaves",
    equation: "W ~ up down + T1 T2 .. Tn",
    when: "chosen by auto",
    when_not: "never named in a recipe: use auto with forms = \"all\"",
    trains: "all leaves",
    sources: &[],
    options: &[],
};

static NESTED: Info = Info {
    name: "nested",
    summary: "low rank whose larger factor is a matrix product operator",
    equation: "W ~ (T1 T2 .. Tn) down or up (T1 T2 .. Tn)",
    when: "chosen by auto",
    when_not: "never named in a recipe: use auto with forms = \"all\"",
    trains: "all leaves",
    sources: &[],
    options: &[],
};

/// Low rank plus an operator of the rest.
#[derive(Clone, Debug)]
pub(super) struct Repaired {
    pub(super) low: Svd,
    pub(super) rest: Mpo,
}

impl Method for Repaired {
    fn info(&self) -> &'static Info {
        &REPAIRED
    }

    fn needs_inputs(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let (low, rest) = (self.low.plan(path, form)?, self.rest.plan(path, form)?);
        Ok(joined("sum", low, rest))
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        let low = self.low.rewrite(path, form, evidence)?;
        let mut left = multiplied(path, form)?;
        for (value, kept) in left.data_mut().iter_mut().zip(multiplied(path, &low)?.data()) {
            *value -= kept;
        }
        let rest = self.rest.rewrite(path, &Form::dense(left), evidence)?;
        Ok(Form::sum(low, rest)?)
    }
}

/// Low rank, the larger factor as an operator.
#[derive(Clone, Debug)]
pub(super) struct Nested {
    pub(super) low: Svd,
    pub(super) factor: Mpo,
}

impl Method for Nested {
    fn info(&self) -> &'static Info {
        &NESTED
    }

    fn needs_inputs(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let low = self.low.plan(path, form)?;
        Ok(Planned::at_most(format!("{} with an operator as factor", low.form), low.parameters))
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        let low = self.low.rewrite(path, form, evidence)?;
        let (Some(down), Some(up)) = (low.part("down"), low.part("up")) else { return Ok(low) };
        let (down, up) = if up.parameters() >= down.parameters() {
            (down.clone(), self.factor.rewrite(path, up, evidence)?)
        } else {
            (self.factor.rewrite(path, down, evidence)?, up.clone())
        };
        Ok(Form::Lowrank(form::Lowrank::new(down, up)?))
    }
}

fn joined(word: &str, first: Planned, second: Planned) -> Planned {
    let mut roles = first.roles;
    roles.extend(second.roles);
    Planned::certain(format!("{word} of {} and {}", first.form, second.form), roles)
}
