//! What marriage registries and the hub do with couples: check, evidence, the decision on the spot;
//! for a divorce, the cooling-off period and the days to collect. Civil Code art. 1047, 1077.

use std::{sync::PoisonError, time::Duration};

use crate::sim::{
    case::{Content, Couple, Decision, Divorce, Form, Happening, Received, Report},
    cast::{Expected, Manner},
    claim::Claim,
    desk::{Desk, Standing},
    regulation::{self, Verdict},
    settings::Role,
    voice::Said,
    work::{Case, found_twice, open, papers, progress, supplement, tell, today, withdraw},
};

/// How often a court's judgment is reported until the gateway has the result that it is about.
const TRIES: usize = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// The registry: waits for the check, hands in evidence where it failed, and decides.
pub(super) async fn register(
    desk: &Desk,
    case: &Case,
    couple: &Couple,
    (form, manner): (&Form, Manner),
) -> Option<()> {
    if manner == Manner::Absent {
        desk.until(&case.number, |s| s.absent).await?;
        return Some(());
    }
    if couple.booked {
        // The day has come and so have they.
        desk.think().await;
        if let Said::Refused(reason) = tell(desk, &case.report(Happening::Accepted)).await? {
            desk.books.problem(format!("a booked couple was refused: {reason}"));
            return None;
        }
    }
    let standing = desk.until(&case.number, |s| s.checked.is_some()).await?;
    if case.turn() % 12 == 1 {
        found_twice(desk, form).await?;
    }
    desk.think().await;
    if manner == Manner::Withdraws && withdraw(desk, case, "双方自愿撤回").await? {
        return Some(());
    }
    let brought = evidence(desk, case, &standing, manner).await?;
    let letters = match couple.operation.as_str() {
        "ICA" => "BJ",
        "ICB" => "BL",
        _ => "J",
    };
    let reason = judged(case, &brought);
    decide(desk, case, (letters, &couple.registry), reason).await
}

/// The papers that the library's doubt asks for, handed in by who has them.
async fn evidence(
    desk: &Desk,
    case: &Case,
    standing: &Standing,
    manner: Manner,
) -> Option<Vec<String>> {
    if standing.checked != Some(false) || manner == Manner::Empty {
        return Some(Vec::new());
    }
    supplement(desk, case, &standing.missing, "提交离婚证、死亡证明或档案证明").await?;
    desk.think().await;
    Some(standing.missing.clone())
}

/// Why the registry refuses, if it does.
fn judged(case: &Case, brought: &[String]) -> Option<String> {
    let found = match regulation::verdict(&case.objections(brought), true) {
        Verdict::Deny(reason) => Some(reason),
        _ => regulation::on_the_spot(case.business, case.turn()),
    };
    found.map(str::to_owned)
}

/// The registry's decision, with the certificate it issues.
async fn decide(
    desk: &Desk,
    case: &Case,
    (letters, registry): (&str, &str),
    refused: Option<String>,
) -> Option<()> {
    let day = case.claim.date("on").unwrap_or_else(today);
    let sequence = case.turn() + desk.settings.role.place() * 100_000;
    let area = registry.get(..6).unwrap_or("230102");
    let certificate = format!("{letters}{area}-{}-{sequence:06}", day.year());
    let granted = refused.is_none();
    let decision = Decision {
        granted,
        day,
        office: "婚姻登记处".into(),
        document: format!("婚登〔{}〕{}", day.year(), &case.application[24..]),
        reason: refused.as_ref().map(|_| "经审查不符合登记条件".into()).unwrap_or_default(),
        reason_code: refused.unwrap_or_default(),
        amount_fen: 0,
        paid_from: None,
        certificate: if granted { certificate } else { String::new() },
    };
    let facts = decision.facts();
    let report = Report { decision: Some(decision), ..case.report(Happening::Decided) };
    match tell(desk, &report).await? {
        Said::Done(..) => desk.books.registered(&case.number, granted, facts),
        Said::Refused(reason) => {
            desk.books.problem(format!("the registry's decision was refused: {reason}"));
        }
        Said::Unclear => {}
    }
    Some(())
}

/// A divorce: after the check the cooling-off period runs. Either may withdraw in it; who does not
/// is still in it when the demo ends, for no clock can be hurried.
pub(super) async fn dissolve(
    desk: &Desk,
    case: &Case,
    couple: &Divorce,
    (form, manner, twin): (&Form, Manner, bool),
) -> Option<()> {
    let standing = desk.until(&case.number, |s| s.checked.is_some()).await?;
    desk.think().await;
    if manner == Manner::GivesUp {
        return closed(desk, case, "不符合受理条件，双方撤回").await;
    }
    let brought = evidence(desk, case, &standing, manner).await?;
    if standing.checked == Some(false) && brought.is_empty() {
        // Not accepted: nothing proves the marriage.
        return decide(desk, case, ("L", &couple.registry), judged(case, &brought)).await;
    }
    // Neither may marry or divorce elsewhere meanwhile; who tries is told of. Of a pair several try,
    // so that its first must not free the way by withdrawing.
    if twin {
        desk.until(&case.number, |s| s.told_twice).await?;
    }
    if twin || !couple.withdraws {
        desk.books.waits(&case.number);
        return Some(());
    }
    found_twice(desk, form).await?;
    desk.think().await;
    closed(desk, case, "一方撤回离婚登记申请").await
}

/// A withdrawal that must be taken.
async fn closed(desk: &Desk, case: &Case, words: &str) -> Option<()> {
    if !withdraw(desk, case, words).await? {
        desk.books.problem("a withdrawal in time was refused".into());
    }
    Some(())
}

/// The hub's check: what is declared against what the libraries hold. For a re-issue it looks for
/// the record, and where there is none asks the registry that issued the certificate.
pub(super) async fn check(desk: &Desk, case: &Case) -> Option<()> {
    if desk.settings.role != Role::National {
        // Asked for the archive of a certificate that was issued here.
        let archive = papers(case, &["308".into()]);
        let found = Report { papers: archive, ..case.report(Happening::CheckPassed) };
        return progress(desk, &found).await.map(|_| ());
    }
    if case.claim.get("operation").starts_with("IC") && !recorded(&case.claim) {
        let asked = Report {
            reason: "库中无电子档案，已请原登记机关调档".into(),
            ..case.report(Happening::ArchiveAsked)
        };
        if !progress(desk, &asked).await? {
            return None;
        }
        desk.think().await;
        let issued = case.claim.get("old certificate").trim_start_matches(char::is_alphabetic);
        if issued.starts_with("23") {
            ask_original(desk, case).await?;
        }
        let archive = papers(case, &["308".into()]);
        let found = Report { papers: archive, ..case.report(Happening::CheckPassed) };
        return progress(desk, &found).await.map(|_| ());
    }
    let against = regulation::library_objections(case.business, &case.claim, today());
    let report = match regulation::verdict(&against, false) {
        Verdict::Grant => case.report(Happening::CheckPassed),
        Verdict::Ask(kinds) => Report {
            reason: "声明与婚姻基础信息库记录不一致".into(),
            missing: kinds.into_iter().map(str::to_owned).collect(),
            ..case.report(Happening::CheckConflict)
        },
        Verdict::Deny(_) => Report {
            reason: "一方正处于离婚冷静期".into(),
            ..case.report(Happening::CheckConflict)
        },
    };
    progress(desk, &report).await.map(|_| ())
}

/// The hub asks the registry that issued a certificate for its archive (异地调档), and is done with
/// its request when it has it.
async fn ask_original(desk: &Desk, case: &Case) -> Option<()> {
    let form = {
        let mut forms = desk.forms.lock().unwrap_or_else(PoisonError::into_inner);
        forms.archive_request(&case.claim)
    };
    let request = open(desk, &form, ("23", Expected::Besides)).await?;
    desk.until(&request.number, |s| s.checked.is_some()).await?;
    closed(desk, &request, "已取得档案").await
}

/// A court annuls a marriage that the hub has the result of: once in eight.
pub(super) async fn annul(desk: &Desk, received: Received) -> Option<()> {
    let Content::Result { certificate, .. } = &received.content else { return None };
    let new = certificate.starts_with('J');
    let case = Case::of(received);
    if !new || case.turn() % 8 != 1 {
        return Some(());
    }
    let report =
        Report { reason: "法院判决撤销婚姻".into(), ..case.report(Happening::Annulled) };
    for _ in 0..TRIES {
        tokio::time::sleep(PAUSE).await;
        if matches!(tell(desk, &report).await?, Said::Done(..)) {
            desk.books.annulled(&case.number);
            return Some(());
        }
    }
    desk.books.problem("the annulment of a marriage was not taken".into());
    Some(())
}

/// Whether the library has the record that a lost certificate was issued for.
fn recorded(claim: &Claim) -> bool {
    claim.people.iter().all(|who| regulation::records(who) != (false, false))
}
