//! `tongban check`: configuration and mapping tables; coverage, or every fault with file and line.

use std::path::PathBuf;

use jiff::civil::Date;
use serde_json::json;

use crate::{
    business::rules::RuleCount,
    cli::{faulty, serve},
    model::fault::Fault,
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
    if let Ok(checked) = &checked {
        for text in checked.dated() {
            eprintln!("tongban: {text}");
        }
    }
    match checked {
        Ok(checked) if arguments.json => {
            print_json(&checked.translator.coverage(), &Proved::of(&checked));
        }
        Ok(checked) => print_table(&checked.translator.coverage(), &Proved::of(&checked)),
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

/// What the rest of the configuration was proved to hold.
struct Proved {
    counties: usize,
    covered: Option<(Date, Date)>,
    withdrawn: usize,
    calendar: Option<(i16, i16)>,
    rules: Vec<RuleCount>,
}

impl Proved {
    fn of(checked: &serve::Checked) -> Self {
        let divisions = checked.shapes.divisions();
        Self {
            counties: divisions.counties().count(),
            covered: checked.authorities.covered(),
            withdrawn: divisions.successions(),
            calendar: checked.calendar.years(),
            rules: checked.rulebook.count(),
        }
    }

    fn json(&self) -> serde_json::Value {
        let rules = self.rules.iter().map(|RuleCount { business, country, provinces }| {
            let provinces = provinces.iter().map(|(code, count)| (code.clone(), json!(count)));
            let provinces: serde_json::Map<_, _> = provinces.collect();
            (business.clone(), json!({ "country": country, "provinces": provinces }))
        });
        json!({
            "counties": self.counties,
            "routesFrom": self.covered.map(|(from, _)| from.to_string()),
            "routesUntil": self.covered.map(|(_, until)| until.to_string()),
            "withdrawnCodes": self.withdrawn,
            "calendarFrom": self.calendar.map(|(first, _)| first),
            "calendarUntil": self.calendar.map(|(_, last)| last),
            "rules": rules.collect::<serde_json::Map<_, _>>(),
        })
    }

    fn print(&self) {
        println!("\n{:<24} {:>7}  with those of a province", "rules", "country");
        for RuleCount { business, country, provinces } in &self.rules {
            let provinces = provinces.iter().map(|(code, count)| format!("{code}: {count}"));
            let provinces = provinces.collect::<Vec<_>>().join(", ");
            println!("{business:<24} {country:>7}  {provinces}");
        }
        println!();
        if let Some((from, until)) = self.covered {
            let businesses = self.rules.len();
            println!(
                "routes: each of {} counties has one authority for each of {businesses} businesses, \
                 every day from {from} to {until}",
                self.counties
            );
        }
        println!("divisions: {} withdrawn codes lead to one that stands", self.withdrawn);
        if let Some((first, last)) = self.calendar {
            println!("calendar: working days published for {first} to {last}");
        }
    }
}

fn print_json(coverage: &[Coverage], proved: &Proved) {
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
    println!("{}", json!({ "ok": true, "tables": tables, "proved": proved.json() }));
}

fn print_table(coverage: &[Coverage], proved: &Proved) {
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
    proved.print();
    println!("ok: {} tables, no fault", coverage.len());
}
