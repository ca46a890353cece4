//! Methods: named rewrites of weights. A [`Method`] says what a weight becomes, which evidence it needs to
//! decide that, and which leaves train afterwards. Each is one file and one line of [`registry`].
//!
//! ```
//! use tenfold_method::{Evidence, Options, Value, registry};
//! use tenfold_tensor::Array;
//! use tenfold_weight::{Form, Path};
//!
//! let path = Path::new("head.weight");
//! let weight = Form::dense(Array::from_vec((0..16).map(|n| n as f32).collect(), &[4, 4]));
//! let svd = (registry::find("svd")?.build)(&Options::from([("rank", Value::Integer(2))]))?;
//! assert_eq!(svd.plan(&path, &weight)?.parameters, 16);
//! let rewritten = svd.rewrite(&path, &weight, &Evidence::none())?;
//! assert_eq!(rewritten.describe(), "low rank 2");
//! # Ok::<(), tenfold_method::Error>(())
//! ```
//!
//! It knows no model code, no file, no device and no training loop: a rewrite is a pure function of path,
//! weight and evidence.
//!
//! Start reading at [`Method`], then `svd.rs`, the shortest complete method.

pub mod affine;
pub mod auto;
pub mod awq;
pub mod basis;
pub mod bitfit;
mod bottleneck;
mod budget;
pub mod calibrate;
pub mod calisr;
pub mod childtuning;
pub mod cores;
mod depth;
mod draw;
mod error;
mod evidence;
mod expert;
pub mod fisher;
pub mod gptq;
pub mod houlsby;
pub mod ia3;
mod keep;
pub mod llm_int8;
pub mod lora;
mod method;
pub mod mixed;
pub mod moe;
pub mod mpo;
pub mod mpobert;
pub mod mpoe;
pub mod mpop;
pub mod opf;
mod option;
pub mod peqa;
pub mod pfeiffer;
pub mod prefix;
pub mod qalora;
mod quantize;
pub mod registry;
pub mod repair;
pub mod rtn;
pub mod share;
pub mod signround;
mod size;
pub mod squeeze;
pub mod svd;
pub mod trellis;

pub use error::Error;
pub use evidence::{Collector, Evidence};
pub use method::{Coded, Info, Mask, Method, Planned, Training};
pub use option::{Kind, OptionInfo, Options, Value, nearest};
pub use size::Size;
