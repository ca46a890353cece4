//! `tenfold convert`: a model in another layout.

use super::{Verdict, print_json};
use crate::cli::{Convert, Target};
use crate::{model, screen, table};
use anyhow::Result;
use serde_json::json;
use tenfold_format::gptq::Version;
use tenfold_model::Model;

/// Writes a model as a plain checkpoint, as a tenfold folder, as a GGUF file or a checkpoint of GPTQ, or what it adds to another as an adapter.
///
/// # Errors
/// Faults of the source, the model and of writing.
pub(crate) fn run(args: &Convert) -> Result<Verdict> {
    let fetched = model::fetch(&args.source, &args.fetching)?;
    let mut loaded = Model::load(fetched.model())?;
    loaded.origin = fetched.origin;
    for adapter in &args.adapter {
        loaded = loaded.with_adapter(adapter)?;
    }
    let (mut kept, mut decoded) = (Vec::new(), Vec::new());
    let (word, bytes) = match args.to {
        Target::Gguf => {
            let saved = loaded.save_gguf(&args.out, args.scheme)?;
            kept = saved.kept;
            ("gguf", saved.bytes)
        }
        Target::Gptq | Target::GptqV2 => {
            let second = matches!(args.to, Target::GptqV2);
            let saved = loaded.save_gptq(&args.out, if second { Version::V2 } else { Version::V1 })?;
            decoded = saved.kept;
            (if second { "gptq_v2" } else { "gptq" }, saved.bytes)
        }
        Target::Dense => ("dense", loaded.save_dense(&args.out)?),
        Target::Tenfold => ("tenfold", loaded.save(&args.out, None)?),
        Target::Peft => {
            let source = args.base.as_deref().unwrap_or_default();
            let base = Model::load(model::fetch(source, &args.fetching)?.model())?;
            // PEFT names models as the hub does, or by folder.
            let name = source.strip_prefix("hf:").or_else(|| source.strip_prefix("path:")).unwrap_or(source);
            ("peft", loaded.save_adapter(&base, Some(name.to_owned()), &args.out)?)
        }
    };
    if args.output.json {
        let kept: Vec<&str> = kept.iter().map(|(path, _)| path.as_str()).collect();
        print_json(&json!({
            "from": loaded.origin, "to": args.out, "layout": word, "bytes": bytes, "kept_f16": kept,
            "decoded": decoded.iter().map(|(path, _)| path).collect::<Vec<_>>(),
        }))?;
    } else {
        for (path, width) in kept {
            let scheme = args.scheme.name();
            screen::print(&format!(
                "{path}: rows of {width} are no whole blocks of {scheme}, kept in f16\n"
            ))?;
        }
        for (path, why) in decoded {
            screen::print(&format!("{path}: decoded to f32, since {why}\n"))?;
        }
        let size = table::bytes(bytes as usize);
        screen::print(&format!("{} -> {} ({word}, {size} of weights)\n", loaded.origin, args.out.display()))?;
    }
    Ok(Verdict::Done)
}
