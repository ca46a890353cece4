//! Bottlenecks in sockets: what the methods that add them have in common.

use crate::draw::uniform;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::keep::Keep;
use crate::method::{Info, Method, Planned};
use crate::option::{Kind, OptionInfo, Options};
use tenfold_weight::socket::activation_of;
use tenfold_weight::{Form, Module, ModuleWeight, Part, Path, Place, Socket};

/// The options of every method that adds bottlenecks.
pub(crate) const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "size",
        kind: Kind::Integer(1, 65_536),
        default: "16",
        doc: "units r of the bottleneck; the papers try 8 to 256",
    },
    OptionInfo {
        name: "activation",
        kind: Kind::Choice(&["gelu", "gelu-tanh", "relu", "silu", "tanh"]),
        default: "relu",
        doc: "the function of the units",
    },
    OptionInfo {
        name: "seed",
        kind: Kind::Integer(0, i64::MAX),
        default: "0",
        doc: "seed of the map into the bottleneck",
    },
];

/// A bottleneck in every socket at some places.
#[derive(Clone, Debug)]
pub(crate) struct Bottleneck {
    info: &'static Info,
    places: &'static [Place],
    module: Module,
    seed: u64,
}

impl Bottleneck {
    /// The method from a step's options.
    pub(crate) fn new(
        info: &'static Info,
        places: &'static [Place],
        options: &Options,
    ) -> Result<Self, Error> {
        options.check(info)?;
        let activation =
            options.word("activation").and_then(activation_of).unwrap_or(tenfold_tensor::Activation::Relu);
        let module = Module::Bottleneck { units: options.count("size").unwrap_or(16), activation };
        Ok(Self { info, places, module, seed: options.count("seed").unwrap_or(0) as u64 })
    }
}

impl Method for Bottleneck {
    fn info(&self) -> &'static Info {
        self.info
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Keep.plan(path, form)
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        Keep.rewrite(path, form, evidence)
    }

    fn adds(&self) -> bool {
        true
    }

    fn module(&self, socket: &Socket) -> Option<Module> {
        self.places.contains(&socket.place).then_some(self.module)
    }

    /// The map out of the bottleneck and both biases are 0, so that the model computes what it computed; the map into it is as
    /// PyTorch draws one.
    fn start(&self, weight: &ModuleWeight) -> Form {
        match weight.part {
            Part::Down => Form::dense(uniform(self.seed, &weight.path, &weight.shape)),
            _ => Form::dense(tenfold_tensor::Array::zeros(&weight.shape)),
        }
    }
}
