//! What was measured, as a table of Markdown.

use std::fmt::Write as _;

use crate::load::Run;

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    case: char,
    name: String,
    bare: Run,
    durable: Run,
    delivered: u64,
}

impl Row {
    fn side(&self, side: &str) -> &Run {
        if side == "bare" { &self.bare } else { &self.durable }
    }
}

impl Table {
    /// Adds a round, and prints it.
    pub(crate) fn add(&mut self, case: char, name: &str, bare: Run, durable: Run, delivered: u64) {
        println!(
            "  {case} {name}: bare {:.0}/s, durable {:.0}/s, ratio {:.3}, {delivered} delivered, \
             others used {:.2} and {:.2} cores",
            bare.rate,
            durable.rate,
            durable.rate / bare.rate,
            bare.others,
            durable.others
        );
        self.rows.push(Row { case, name: name.to_owned(), bare, durable, delivered });
    }

    /// The table of a case.
    pub(crate) fn lines(&self, case: char) -> String {
        let mut text = String::from(
            "| case | call | req/s min / median / max | p50 / p99 ms | server CPU µs | ÷ bare: \
             req/s min / median / max | CPU | delivered | others' cores |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        let mut names: Vec<&str> = self.rows.iter().map(|row| row.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let rows: Vec<&Row> =
                self.rows.iter().filter(|row| row.case == case && row.name == name).collect();
            let of = |pick: &dyn Fn(&Row) -> f64| Spread::of(rows.iter().map(|row| pick(row)));
            let ratio = of(&|row| row.durable.rate / row.bare.rate);
            let cpu = of(&|row| row.durable.cpu / row.bare.cpu).median;
            let delivered: u64 = rows.iter().map(|row| row.delivered).sum();
            for side in ["bare", "durable"] {
                let runs = || rows.iter().map(|row| row.side(side));
                let of = |pick: fn(&Run) -> f64| Spread::of(runs().map(pick));
                let rate = of(|run| run.rate);
                let against = match side {
                    "bare" => "| | |".to_owned(),
                    _ => format!(
                        "| {:.2} / **{:.2}** / {:.2} | {cpu:.2} | {delivered} |",
                        ratio.least, ratio.median, ratio.most
                    ),
                };
                // Writing to a String cannot fail.
                _ = writeln!(
                    text,
                    "| {case} | {side} {name} | {:.0} / {:.0} / {:.0} | {:.2} / {:.2} | {:.1} \
                     {against} {:.2} |",
                    rate.least,
                    rate.median,
                    rate.most,
                    of(|run| run.p50).median,
                    of(|run| run.p99).median,
                    of(|run| run.cpu).median,
                    of(|run| run.others).median,
                );
            }
        }
        text
    }
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        Self { least: at(0), median: at(values.len() / 2), most: at(values.len().wrapping_sub(1)) }
    }
}
