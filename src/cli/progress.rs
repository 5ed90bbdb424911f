//! How far long work on the store is, on standard error. Depends on nothing but the terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for [`crate::store::copies::Tell`]; hidden by itself where standard error is no terminal.
pub(super) fn bar() -> anyhow::Result<impl FnMut(&'static str, u64, u64)> {
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template("{msg:<10} {wide_bar} {percent:>3} % {elapsed}")?);
    // Goes when it is dropped, before the outcome is said.
    Ok(move |stage, done, all| {
        bar.set_message(stage);
        bar.set_length(all);
        bar.set_position(done);
        if done == all {
            bar.finish_and_clear();
        }
    })
}
