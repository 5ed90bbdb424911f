//! What people see: bars while it runs, a table at the end.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::demo::{books::Outcome, cell::Cell};

/// Bars on standard error; nothing when it is no terminal.
pub(super) struct Progress {
    bars: MultiProgress,
    rows: Vec<ProgressBar>,
}

impl Progress {
    pub(super) fn new(applications: usize) -> Self {
        let bars = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:>10} {bar:40} {pos}/{len} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let length = u64::try_from(applications).unwrap_or_default();
        let rows = ["submitted", "delivered", "decided", "notified"].map(|name| {
            bars.add(ProgressBar::new(length).with_style(style.clone()).with_prefix(name))
        });
        Self { bars, rows: rows.into() }
    }

    pub(super) fn show(&self, outcome: &Outcome) {
        let total = &outcome.total;
        let counts = [total.accepted, total.delivered, total.decided, total.notified];
        for (bar, count) in self.rows.iter().zip(counts) {
            bar.set_position(u64::try_from(count).unwrap_or_default());
        }
        if let Some(last) = self.rows.last()
            && outcome.restarts > 0
        {
            last.set_message(format!("gateway restarted {} times", outcome.restarts));
        }
    }

    pub(super) fn finish(&self) {
        self.rows.iter().for_each(ProgressBar::abandon);
        // A terminal that has gone away is no reason to stop.
        drop(self.bars.println(""));
    }
}

/// The businesses in the order of the table: code, and the name that people at the desks say.
const BUSINESSES: [(&str, &str, &str); 6] = [
    ("marriage_registration", "结婚登记", "marriage"),
    ("divorce_registration", "离婚登记", "divorce"),
    ("disability_subsidy", "残疾补贴", "subsidy"),
    ("child_recognition", "儿童认定", "child"),
    ("old_age_allowance", "高龄津贴", "old age"),
    ("social_assistance", "社会救助", "assistance"),
];

/// Which way: from the own platform, or from the others. A registry decides about couples itself;
/// what travels is the check and the result.
fn way(business: &str, direction: &str) -> &'static str {
    let couples = business.starts_with("marriage") || business.starts_with("divorce");
    match (couples, direction) {
        (true, "outbound") => "23→hub",
        (true, _) => "44→hub",
        (false, "outbound") => "23→",
        (false, _) => "→23",
    }
}

/// The columns: name, width, and what stands in them.
type Column = (&'static str, usize, fn(&Cell) -> usize);

const COLUMNS: [Column; 15] = [
    ("sent", 4, |cell| cell.submitted),
    ("check", 5, |cell| cell.to_check),
    ("asked", 5, |cell| cell.supplemented),
    ("yes", 3, |cell| cell.granted),
    ("no", 3, |cell| cell.denied),
    ("wdrn", 4, |cell| cell.withdrawn),
    ("late", 4, |cell| cell.lapsed),
    ("wait", 4, |cell| cell.waiting),
    ("told", 4, |cell| cell.notified),
    ("move", 4, |cell| cell.moved),
    ("rule", 4, |cell| cell.excluded),
    ("twice", 5, |cell| cell.found_twice),
    ("bad", 3, |cell| cell.disagreed + cell.altered),
    ("lost", 4, |cell| cell.lost),
    ("dup", 3, |cell| cell.duplicated),
];

/// The heading of the table.
fn heading() -> String {
    let mut text = format!("{:<19} {:<6}", "", "");
    for (name, width, _) in COLUMNS {
        text.push_str(&format!(" {name:>width$}"));
    }
    text
}

/// What a row of the table begins with. A Chinese character is two columns wide.
fn label(chinese: &str, name: &str, way: &str) -> String {
    let width = 19 - chinese.chars().count() * 2 - usize::from(!chinese.is_empty());
    let space = if chinese.is_empty() { "" } else { " " };
    format!("{chinese}{space}{name:<width$} {way:<6}")
}

fn cells(cell: &Cell) -> String {
    COLUMNS.iter().map(|(_, width, value)| format!(" {:>1$}", value(cell), width)).collect()
}

/// The outcome, a row per business and direction, within 100 columns.
pub(super) fn table(outcome: &Outcome) -> String {
    let mut text = heading() + "\n";
    for (code, chinese, name) in BUSINESSES {
        for direction in ["outbound", "inbound"] {
            let cell = outcome.cells.get(&(code.to_owned(), direction)).copied();
            let label = label(chinese, name, way(code, direction));
            match cell {
                Some(cell) => text.push_str(&format!("{label}{}\n", cells(&cell))),
                None => text.push_str(&format!("{label} none was sent\n")),
            }
        }
    }
    text.push_str(&format!("{}{}\n", label("", "total", ""), cells(&outcome.total)));
    text + &legend(outcome)
}

fn legend(outcome: &Outcome) -> String {
    let total = &outcome.total;
    format!(
        "check: taken with open questions; asked: papers asked for and handed in; yes, no: decided;\n\
         wdrn: withdrawn; late: papers never came; wait: in the cooling-off period; told: both sides\n\
         know how it stands; move: moved with the household; rule, twice: sent besides and refused, as\n\
         had to be; bad: altered, or taken or refused against the regulation.\n\
         Township reports {}, archives asked for {} (ours {}), marriages annulled {}, told of a second\n\
         application {}, told to pay no longer {}; besides: booked and never came {}, let through by a\n\
         silent hub and denied at home {}.\n\
         Parked {}, refused wrongly {}.\n\
         submit latency: p50 {:.1} ms, p99 {:.1} ms; {:.1} s; gateway restarted {} times",
        total.reviewed,
        total.archives,
        total.archives_here,
        total.annulled,
        total.told_twice,
        total.told_to_stop,
        total.absent,
        total.let_through,
        total.parked,
        outcome.refused,
        outcome.latency(50),
        outcome.latency(99),
        outcome.seconds,
        outcome.restarts
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_at_most_a_hundred_columns_wide_and_stands_in_both_readmes() {
        let wide = |line: &str| -> usize {
            line.chars().map(|c| if c > '\u{2e80}' { 2 } else { 1 }).sum()
        };
        for line in table(&Outcome::default()).lines() {
            assert!(wide(line) <= 100, "{} columns: {line}", wide(line));
        }
        for name in ["README.md", "README.zh-CN.md"] {
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains(&heading()), "{name} lacks the heading");
            for (code, chinese, short) in BUSINESSES {
                for direction in ["outbound", "inbound"] {
                    let label = label(chinese, short, way(code, direction));
                    assert!(text.contains(&label), "{name} lacks the row `{label}`");
                }
            }
        }
    }
}
