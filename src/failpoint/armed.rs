//! Fault points of a debug build, armed by a file that the environment names and that is read at
//! every step, so that a running gateway can be armed and disarmed. Depends on nothing.

use std::{
    collections::HashMap,
    fs,
    future::Future,
    io::Write as _,
    path::PathBuf,
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use crate::failpoint::Step;

/// Names the file. Each of its lines is `STEP before|after fail|slow MS|kill [TIMES]`, or
/// `clock SECONDS` for a wall clock that is off by so many. What was hit is appended to
/// `FILE.hits`.
const FILE: &str = "TONGBAN_FAILPOINTS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Fail,
    Slow(Duration),
    Kill,
}

/// Does the step's work, or what the armed file says: `failed` makes the error of a step that was
/// not done, or that was done and is told to have failed.
pub(crate) async fn at<T, E>(
    step: Step,
    failed: impl FnOnce(String) -> E,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    if hit(step, "before").await {
        return Err(failed("a test makes it fail before it is done".into()));
    }
    let done = work.await?;
    if hit(step, "after").await {
        return Err(failed("a test makes it fail after it is done".into()));
    }
    Ok(done)
}

/// The same on a thread that may block.
pub(crate) fn at_blocking<T, E>(
    step: Step,
    failed: impl FnOnce(String) -> E,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    if hit_blocking(step, "before") {
        return Err(failed("a test makes it fail before it is done".into()));
    }
    let done = work()?;
    if hit_blocking(step, "after") {
        return Err(failed("a test makes it fail after it is done".into()));
    }
    Ok(done)
}

/// How far a test has put the wall clock off, microseconds.
pub(crate) fn clock_shift() -> i64 {
    let Some(file) = file() else { return 0 };
    let text = fs::read_to_string(file).unwrap_or_default();
    let seconds = text.lines().find_map(|line| line.strip_prefix("clock ")?.parse::<i64>().ok());
    seconds.unwrap_or_default() * 1_000_000
}

/// Whether the step fails here; a slow one has waited by then.
async fn hit(step: Step, moment: &str) -> bool {
    match armed(step, moment) {
        None => false,
        Some(Act::Fail) => true,
        Some(Act::Slow(time)) => {
            tokio::time::sleep(time).await;
            false
        }
        Some(Act::Kill) => die(),
    }
}

fn hit_blocking(step: Step, moment: &str) -> bool {
    match armed(step, moment) {
        None => false,
        Some(Act::Fail) => true,
        Some(Act::Slow(time)) => {
            thread::sleep(time);
            false
        }
        Some(Act::Kill) => die(),
    }
}

fn file() -> Option<&'static PathBuf> {
    static PLACE: OnceLock<Option<PathBuf>> = OnceLock::new();
    PLACE.get_or_init(|| std::env::var_os(FILE).map(PathBuf::from)).as_ref()
}

/// What is armed for that moment of the step and not used up.
fn armed(step: Step, moment: &str) -> Option<Act> {
    /// The text of the file, and how often each of its lines was hit.
    static USED: Mutex<(String, Option<HashMap<String, u32>>)> = Mutex::new((String::new(), None));
    let file = file()?;
    let text = fs::read_to_string(file).ok()?;
    let mut used = USED.lock().unwrap_or_else(PoisonError::into_inner);
    if used.0 != text {
        *used = (text.clone(), None);
    }
    let counts = used.1.get_or_insert_default();
    let (line, act) = text.lines().find_map(|line| {
        let (act, times) = parse(line, step, moment)?;
        counts.get(line).is_none_or(|count| *count < times).then_some((line, act))
    })?;
    *counts.entry(line.to_owned()).or_default() += 1;
    let mut hits = fs::OpenOptions::new().create(true).append(true).open(with_hits(file)).ok()?;
    writeln!(hits, "{line}").ok()?;
    // A process that dies cannot count: what it leaves behind must not kill the next one as well.
    if act == Act::Kill {
        fs::write(file, text.replacen(line, "", 1)).ok()?;
    }
    Some(act)
}

/// What a line arms at that moment of the step, and how often.
fn parse(line: &str, step: Step, moment: &str) -> Option<(Act, u32)> {
    let mut words = line.split_whitespace();
    if words.next()? != format!("{step:?}").to_lowercase() || words.next()? != moment {
        return None;
    }
    let act = match words.next()? {
        "fail" => Act::Fail,
        "slow" => Act::Slow(Duration::from_millis(words.next()?.parse().ok()?)),
        "kill" => Act::Kill,
        _ => return None,
    };
    Some((act, words.next().map_or(Some(1), |times| times.parse().ok())?))
}

fn with_hits(file: &std::path::Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".hits");
    name.into()
}

/// SIGKILL to ourselves: nothing is tidied up.
fn die() -> ! {
    let me = std::process::id().to_string();
    let killed = Command::new("kill").args(["-KILL", &me]).status();
    // Whatever came of it, this step does not end.
    drop(killed);
    loop {
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_arms_one_moment_of_one_step() {
        let at = |line| parse(line, Step::Commit, "after");
        assert_eq!(at("commit after fail"), Some((Act::Fail, 1)));
        let slow = Act::Slow(Duration::from_millis(250));
        assert_eq!(at("commit after slow 250 3"), Some((slow, 3)));
        assert_eq!(at("commit after kill"), Some((Act::Kill, 1)));
        for other in ["commit before fail", "settle after fail", "commit after", "commit", ""] {
            assert_eq!(at(other), None, "{other}");
        }
    }
}
