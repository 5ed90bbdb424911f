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

/// The outcome, a row per business and direction.
pub(super) fn table(outcome: &Outcome) -> String {
    let mut text = format!(
        "{:<22} {:<9} {:>9} {:>8} {:>9} {:>7} {:>8} {:>9} {:>4} {:>7} {:>6}\n",
        "business",
        "direction",
        "submitted",
        "accepted",
        "delivered",
        "decided",
        "notified",
        "withdrawn",
        "lost",
        "doubled",
        "parked"
    );
    let mut row = |business: &str, direction: &str, cell: &Cell| {
        text.push_str(&format!(
            "{business:<22} {direction:<9} {:>9} {:>8} {:>9} {:>7} {:>8} {:>9} {:>4} {:>7} {:>6}\n",
            cell.submitted,
            cell.accepted,
            cell.delivered,
            cell.decided,
            cell.notified,
            cell.withdrawn,
            cell.lost,
            cell.duplicated,
            cell.parked
        ));
    };
    for ((business, direction), cell) in &outcome.cells {
        row(business, direction, cell);
    }
    row("total", "", &outcome.total);
    text + &format!(
        "submit latency: p50 {:.1} ms, p99 {:.1} ms; {:.1} s; gateway restarted {} times",
        outcome.latency(50),
        outcome.latency(99),
        outcome.seconds,
        outcome.restarts
    )
}
