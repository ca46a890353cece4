//! Method `share`: layers store weights of one kind once.

use crate::depth::{Place, places};
use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned};
use crate::option::{Kind, OptionInfo, Options};
use std::sync::Arc;
use tenfold_weight::{Address, Form, Path, Wiring};

/// What the method is.
pub static INFO: Info = Info {
    name: "share",
    summary: "lets the layers of a group use the weights of its first layer",
    equation: "W_l = W_g for every layer l of group g, biases and norms alike where they are selected",
    when: "pre-training deep encoders whose parameters must stay those of a shallow one; the control for mpobert",
    when_not: "trained models whose layers differ: all but the first of a group lose what they have learned",
    trains: "the weights of the first layer of every group, by the gradients of all of it",
    sources: &[
        "Lan et al. 2020, ALBERT: A Lite BERT for Self-supervised Learning of Language Representations, section 3.1",
    ],
    options: &[GROUPS],
};

/// Into how many groups layers are cut.
pub(crate) const GROUPS: OptionInfo = OptionInfo {
    name: "groups",
    kind: Kind::Integer(1, 4096),
    default: "1",
    doc: "how many stretches of layers share; a weight of its own in each",
};

/// Weights stored once for a group of layers.
#[derive(Clone, Debug)]
pub struct Share {
    groups: usize,
}

/// One weight of a group.
#[derive(Debug)]
struct Member {
    /// The weight that stores it; nothing for that itself.
    owner: Option<Path>,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    Ok(Arc::new(Share { groups: options.count("groups").unwrap_or(1) }))
}

impl Share {
    fn members(&self, weights: &[(Path, &Form)]) -> Result<Vec<Member>, Error> {
        let member = |(at, Place { owner, .. }): (usize, Place)| Member {
            owner: (owner != at).then(|| weights[owner].0.clone()),
        };
        Ok(places(weights, self.groups)?.into_iter().enumerate().map(member).collect())
    }
}

impl Method for Share {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn spans_layers(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(Planned::kept(path, form))
    }

    fn plan_together(&self, weights: &[(Path, &Form)], _wiring: &Wiring) -> Result<Vec<Planned>, Error> {
        let members = self.members(weights)?;
        members.iter().zip(weights).map(|(member, (path, form))| member.plan(path, form)).collect()
    }

    fn settle(
        &self,
        weights: &[(Path, &Form)],
        _evidence: &Evidence,
    ) -> Result<Option<Vec<Arc<dyn Method>>>, Error> {
        let each = self.members(weights)?.into_iter().map(|member| Arc::new(member) as Arc<dyn Method>);
        Ok(Some(each.collect()))
    }

    fn rewrite(&self, _path: &Path, form: &Form, _evidence: &Evidence) -> Result<Form, Error> {
        Ok(form.clone())
    }
}

impl Method for Member {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(match &self.owner {
            None => Planned::kept(path, form),
            Some(owner) => Planned::certain(shared(owner, form).describe(), Vec::new()),
        })
    }

    fn rewrite(&self, _path: &Path, form: &Form, _evidence: &Evidence) -> Result<Form, Error> {
        Ok(self.owner.as_ref().map_or_else(|| form.clone(), |owner| shared(owner, form)))
    }
}

fn shared(owner: &Path, form: &Form) -> Form {
    Form::shared(Address::root(owner.clone()), form.shape())
}
