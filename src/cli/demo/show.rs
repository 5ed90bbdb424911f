//! What people see: bars while it runs, a table at the end.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::demo::books::{Cell, Outcome};

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

/// The Chinese name of a business, as people at the desks say it.
fn chinese(business: &str) -> &'static str {
    match business {
        "marriage_registration" => "结婚登记",
        "divorce_registration" => "离婚登记",
        "disability_subsidy" => "残疾补贴",
        "child_recognition" => "儿童认定",
        "old_age_allowance" => "高龄津贴",
        "social_assistance" => "社会救助",
        _ => "        ",
    }
}

/// The columns: name, width, and what stands in them.
type Column = (&'static str, fn(&Cell) -> usize);

const COLUMNS: [Column; 13] = [
    ("sent", |cell| cell.submitted),
    ("taken", |cell| cell.accepted),
    ("arrived", |cell| cell.delivered),
    ("done", |cell| cell.decided),
    ("denied", |cell| cell.denied),
    ("asked", |cell| cell.supplemented),
    ("moved", |cell| cell.moved),
    ("withdr.", |cell| cell.withdrawn),
    ("lapsed", |cell| cell.lapsed),
    ("by rule", |cell| cell.excluded),
    ("twice", |cell| cell.found_twice),
    ("lost", |cell| cell.lost),
    ("dup.", |cell| cell.duplicated),
];

/// The outcome, a row per business and direction, within 120 columns.
pub(super) fn table(outcome: &Outcome) -> String {
    let mut text = format!("{:<21} {:<8} {:<4}", "business", "", "way");
    for (name, _) in COLUMNS {
        text.push_str(&format!("{:>1$} ", name, name.len().max(4)));
    }
    text.push('\n');
    let mut row = |business: &str, way: &str, cell: &Cell| {
        text.push_str(&format!("{business:<21} {} {way:<4}", chinese(business)));
        for (name, value) in COLUMNS {
            text.push_str(&format!("{:>1$} ", value(cell), name.len().max(4)));
        }
        text.push('\n');
    };
    for ((business, direction), cell) in &outcome.cells {
        row(business, direction.trim_end_matches("bound"), cell);
    }
    row("total", "", &outcome.total);
    text + &format!(
        "done: decided; asked: papers asked for and handed in; moved: the benefit moved with the household;\n\
         lapsed: nobody came for the divorce certificate, deemed withdrawn; by rule, twice: sent besides,\n\
         and refused as had to be. Parked {}, altered {}, refused unexpectedly {}.\n\
         submit latency: p50 {:.1} ms, p99 {:.1} ms; {:.1} s; gateway restarted {} times",
        outcome.total.parked,
        outcome.total.altered,
        outcome.refused,
        outcome.latency(50),
        outcome.latency(99),
        outcome.seconds,
        outcome.restarts
    )
}
