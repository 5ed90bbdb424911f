//! `cargo bench --bench compare [-- --rows 600000]`: the monthly comparison of a province of that
//! many payments with the national list, by the real binary; time, peak memory, and whether
//! exactly the planted differences were found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first surprise")]

mod rolls;

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let rows = arguments.iter().position(|argument| argument == "--rows");
    let rows = rows.map_or(600_000, |at| arguments[at + 1].parse().unwrap());
    let folder = std::env::temp_dir().join(format!("tongban-compare-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let planted = rolls::write(&folder, rows, rows / 400).unwrap();
    let mut expected = BTreeMap::new();
    for (kind, ..) in &planted {
        *expected.entry(*kind).or_insert(0u64) += 1;
    }
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tongban"))
        .args(["compare", "--province", "23", "--month", "2026-10", "--json"])
        .args(["--paid", "paid.csv", "--national", "national.csv", "--out", "out.csv"])
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(high_water(child.id()));
        std::thread::sleep(Duration::from_millis(2));
    }
    let took = began.elapsed();
    let output = child.wait_with_output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for kind in summary["kinds"].as_array().unwrap() {
        let word = kind["kind"].as_str().unwrap();
        let wanted = expected.get(word).copied().unwrap_or(0);
        assert_eq!(kind["count"].as_u64(), Some(wanted), "{word}");
    }
    let bytes = |name: &str| fs::metadata(folder.join(name)).unwrap().len() / 1_000_000;
    println!(
        "{} payments ({} MB) against {} records ({} MB): {:.2} s, peak {:.0} MB; \
         all {} planted differences found and no other",
        summary["paid"]["rows"],
        bytes("paid.csv"),
        summary["national"]["rows"],
        bytes("national.csv"),
        took.as_secs_f64(),
        peak as f64 / 1000.0,
        planted.len(),
    );
    fs::remove_dir_all(folder).unwrap();
}

/// Peak resident memory so far, kB.
fn high_water(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
