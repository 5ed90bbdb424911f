//! `tongban translate`: shows any translation; standard input to standard output.

use std::{fmt::Write as _, io::Read as _, path::PathBuf};

use anyhow::Context as _;

use crate::{
    cli::{faulty, say, serve},
    model::{pb::Business, problem::Violation},
    translate::{Format, Kind, Translator, held_paths, lineage, read_document, write_document},
};

/// Arguments of `tongban translate`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Format read: a party's folder, or `canonical`.
    #[arg(long)]
    from: String,
    /// Format written: a party's folder, or `canonical`.
    #[arg(long)]
    to: String,
    /// The business, e.g. `disability_subsidy`.
    #[arg(long)]
    business: String,
    /// What the document is: `application`, `event` or `result`.
    #[arg(long, default_value = "application")]
    kind: String,
    /// Print where every field comes from and goes to, instead of the document.
    #[arg(long)]
    explain: bool,
    /// The configuration.
    #[arg(long, default_value = "config/tongban.toml")]
    config: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let checked = serve::checked(&arguments.config).map_err(|faults| faulty(&faults))?;
    let translator = checked.translator;
    let business = Business::from_code(&arguments.business)
        .with_context(|| format!("`{}` is no business", arguments.business))?;
    let kind = Kind::from_word(&arguments.kind)
        .with_context(|| format!("`{}` is none of application, event, result", arguments.kind))?;
    let from = format(&translator, &arguments.from)?;
    let to = format(&translator, &arguments.to)?;
    let reference = from.or(to).or_else(|| translator.any());
    let reference = reference.context("no party has a format")?;
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("standard input")?;
    let message = read_document(from, reference, (kind, business), &bytes).map_err(told)?;
    if arguments.explain {
        let text = explain(&arguments, (from, to), (kind, business), &held_paths(&message));
        return say(&text);
    }
    let text = write_document(to, (kind, business), &message)?;
    say(&(text + "\n"))
}

fn format<'t>(translator: &'t Translator, name: &str) -> anyhow::Result<Option<&'t Format>> {
    if name == "canonical" {
        return Ok(None);
    }
    let format = translator.format(name);
    format.map(Some).with_context(|| format!("`{name}` is no party's folder; nor `canonical`"))
}

fn told(violations: Vec<Violation>) -> anyhow::Error {
    let lines: Vec<String> =
        violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
    anyhow::anyhow!("the document was refused\n{}", lines.join("\n"))
}

/// One line a canonical field: `=` carried, `-` lost, with the places and conversions.
fn explain(
    arguments: &Arguments,
    (from, to): (Option<&Format>, Option<&Format>),
    what: (Kind, Business),
    held: &[String],
) -> String {
    let mut out = format!("  {}  →  canonical  →  {}\n", arguments.from, arguments.to);
    let lines = lineage(from, to, what);
    let mut lost = 0;
    for line in &lines {
        if !held.contains(&line.canonical) {
            continue;
        }
        let mark = if line.to.is_some() { '=' } else { '-' };
        lost += usize::from(line.to.is_none());
        let source = line.from.as_deref().unwrap_or("(not in this format)");
        let target = line.to.as_deref().unwrap_or("(dropped: the format has no place for it)");
        // Writing to a String cannot fail.
        _ = writeln!(out, "{mark} {source}  →  {}  →  {target}", line.canonical);
    }
    let known = |path: &String| lines.iter().any(|line| line.canonical == *path);
    for path in held.iter().filter(|path| !known(path)) {
        lost += 1;
        _ = writeln!(
            out,
            "- {path}  →  (kept in extensions, goes back only to the party it came from)"
        );
    }
    _ = writeln!(out, "{} fields in the document, {lost} not carried", held.len());
    out
}
