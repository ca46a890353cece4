//! Method `calisr`: full fine-tuning first, then the light method of an earlier step, when stable ranks say so.

use crate::calibrate::{CalibrateOptions, Norm};
use crate::error::Error;
use crate::evidence::Evidence;
use crate::keep::Keep;
use crate::method::{Info, Method, Planned, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use std::sync::Arc;
use tenfold_weight::{Form, Path};

/// What the method is.
pub static INFO: Info = Info {
    name: "calisr",
    summary: "trains weights in full, and goes on with the light method of an earlier step when a vote of stable ranks \
              says so",
    equation: "srank(W) = |W|_F^2 / |W|_2^2; every probe-interval steps the light part is updated first and the sum of \
               srank over the matrices taken, then the rest, and taken again; after every full window: light from now \
               on if the share of probes with sum(light) < sum(full) exceeds delta",
    when: "enough rows that a light method falls behind, and few enough that full fine-tuning overfits in the end",
    when_not: "the first steps are what memory does not allow: until the switch everything trains; stable rank is an \
               indicator of overfitting, not a bound on it",
    trains: "everything the phase selects; after the switch what the light method trains, with its moments",
    sources: &[
        "Liu et al. 2024, Enhancing Parameter-efficient Fine-tuning with Simple Calibration Based on Stable Rank, \
         algorithm 1, equation 2; interval and window, one value in the paper, are two here",
        "Sanyal et al. 2020, Stable Rank Normalization for Improved Generalization in Neural Networks and GANs (the bound)",
    ],
    options: &[
        OptionInfo {
            name: "probe-interval",
            kind: Kind::Integer(1, 1 << 32),
            default: "25",
            doc: "steps from one probe to the next",
        },
        OptionInfo {
            name: "window",
            kind: Kind::Integer(1, 1000),
            default: "3",
            doc: "probes of one vote (the paper uses 3 and 5); the vote is tested when they are complete",
        },
        OptionInfo {
            name: "delta",
            kind: Kind::Number(-1.0, 2.0),
            default: "0.5",
            doc: "share of the votes that a switch must exceed (the paper tries 0.4 to 0.6); from 1 on there is none, \
                  below 0 it comes at the first vote",
        },
        OptionInfo {
            name: "full-rate",
            kind: Kind::Number(0.0, 1000.0),
            default: "1",
            doc: "learning rate, as a multiple of the phase's, of what only full fine-tuning trains; light methods like \
                  larger rates",
        },
        OptionInfo {
            name: "spectral-norm",
            kind: Kind::Choice(&["power", "lanczos", "exact"]),
            default: "power",
            doc: "how |W|_2 is found: power iteration from the vector of the last probe, with a test of the residual \
                  and Lanczos where it is not met; Lanczos alone; a decomposition of every matrix, to check the others",
        },
        OptionInfo {
            name: "tolerance",
            kind: Kind::Number(0.0, 0.1),
            default: "1e-4",
            doc: "residual of the iterations, relative to |W|_2^2; the error of |W|_2 is about its square over the gap \
                  to the second value",
        },
    ],
};

/// Full fine-tuning with a switch.
#[derive(Clone, Copy, Debug)]
pub struct Calisr {
    options: CalibrateOptions,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let usual = CalibrateOptions::default();
    let norm = match options.word("spectral-norm") {
        Some("lanczos") => Norm::Lanczos,
        Some("exact") => Norm::Exact,
        _ => usual.norm,
    };
    Ok(Arc::new(Calisr {
        options: CalibrateOptions {
            interval: options.count("probe-interval").map_or(usual.interval, |count| count as u64),
            window: options.count("window").unwrap_or(usual.window),
            delta: options.number("delta").unwrap_or(usual.delta),
            full_rate: options.number("full-rate").unwrap_or(usual.full_rate),
            tolerance: options.number("tolerance").unwrap_or(usual.tolerance),
            norm,
        },
    }))
}

impl Method for Calisr {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        matrix_shape(path, form)?;
        Keep.plan(path, form)
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        matrix_shape(path, form)?;
        Keep.rewrite(path, form, evidence)
    }

    fn calibrates(&self) -> Option<CalibrateOptions> {
        Some(self.options)
    }
}
