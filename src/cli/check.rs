//! `tongban check`: configuration and mapping tables; coverage, or every fault with file and line.

use std::path::PathBuf;

use serde_json::json;

use crate::{
    cli::{faulty, serve},
    model::{clock, fault::Fault},
    translate::Coverage,
};

/// Arguments of `tongban check`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration.
    #[arg(long, default_value = "config/tongban.toml")]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let checked = serve::checked(&arguments.config);
    if let Ok(checked) = &checked
        && let Some(missing) = checked.calendar.missing(clock::china_date(clock::now_micros()))
    {
        eprintln!("tongban: {missing}");
    }
    match checked.map(|checked| checked.translator.coverage()) {
        Ok(coverage) if arguments.json => print_json(&coverage),
        Ok(coverage) => print_table(&coverage),
        Err(faults) if arguments.json => {
            println!("{}", json!({ "ok": false, "faults": rows(&faults) }));
            return Err(faulty(&faults));
        }
        Err(faults) => return Err(faulty(&faults)),
    }
    Ok(())
}

fn rows(faults: &[Fault]) -> Vec<serde_json::Value> {
    let row = |fault: &Fault| {
        json!({
            "file": fault.file.display().to_string(),
            "line": fault.line,
            "message": fault.message,
        })
    };
    faults.iter().map(row).collect()
}

fn print_json(coverage: &[Coverage]) {
    let row = |table: &Coverage| {
        json!({
            "party": table.party,
            "table": table.table,
            "wire": table.wire,
            "mapped": table.mapped,
            "dropped": table.dropped,
            "examples": table.examples,
        })
    };
    let tables: Vec<_> = coverage.iter().map(row).collect();
    println!("{}", json!({ "ok": true, "tables": tables }));
}

fn print_table(coverage: &[Coverage]) {
    println!(
        "{:<16} {:<24} {:<5} {:>6} {:>8} {:>9}",
        "party", "table", "wire", "mapped", "dropped", "examples"
    );
    for table in coverage {
        println!(
            "{:<16} {:<24} {:<5} {:>6} {:>8} {:>9}",
            table.party, table.table, table.wire, table.mapped, table.dropped, table.examples
        );
    }
    println!("ok: {} tables, no fault", coverage.len());
}
