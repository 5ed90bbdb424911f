//! What marriage registries and the hub do with couples: check, evidence, the decision on the spot;
//! for a divorce, the cooling-off period and the days to collect. Civil Code art. 1047, 1077.

use crate::sim::{
    case::{Applied, Business, Couple, Decision, Divorce, Form, Happening, Report},
    desk::Desk,
    voice::Said,
    work::{Case, found_twice, papers, progress, supplement, tell, today},
};

/// The registry: waits for the check, hands in evidence where it failed, and decides.
pub(super) async fn register(desk: &Desk, case: &Case, couple: &Couple) -> Option<()> {
    if couple.booked {
        // The day has come and so have they.
        desk.think().await;
        if let Said::Refused(reason) = tell(desk, &case.report(Happening::Accepted)).await? {
            desk.books.problem(format!("a booked couple was refused: {reason}"));
            return None;
        }
    }
    let standing = desk.until(&case.number, |s| s.checked.is_some()).await?;
    desk.think().await;
    let conflict = standing.checked == Some(false);
    let proven = !conflict || !desk.round(|round| round.once_in("no evidence", 4));
    if conflict && proven {
        supplement(desk, case, "提交离婚证或死亡证明").await?;
        desk.think().await;
    }
    let refused = if proven {
        let one = desk.round(|round| round.once_in("refuse a couple", 9));
        one.then(|| desk.round(|round| round.among("couples", &["01", "02", "03", "04"])))
    } else {
        Some("05".to_owned())
    };
    let letters = match couple.operation.as_str() {
        "ICA" => "BJ",
        "ICB" => "BL",
        _ => "J",
    };
    decide(desk, case, (letters, &couple.registry), refused).await
}

/// The registry's decision, with the certificate it issues.
async fn decide(
    desk: &Desk,
    case: &Case,
    (letters, registry): (&str, &str),
    refused: Option<String>,
) -> Option<()> {
    let today = today();
    let certificate = desk.round(|round| {
        let sequence = round.count("certificate") + desk.settings.role.place() * 100_000;
        let area = registry.get(..6).unwrap_or("230102");
        format!("{letters}{area}-{}-{sequence:06}", today.year())
    });
    let granted = refused.is_none();
    let decision = Decision {
        granted,
        day: today,
        office: "婚姻登记处".into(),
        document: format!("婚登〔{}〕{}", today.year(), &case.application[..8]),
        reason: refused.as_ref().map(|_| "经审查不符合登记条件".into()).unwrap_or_default(),
        reason_code: refused.unwrap_or_default(),
        amount_fen: 0,
        paid_from: None,
        certificate: if granted { certificate } else { String::new() },
    };
    let facts = decision.facts();
    let report = Report { decision: Some(decision), ..case.report(Happening::Decided) };
    match tell(desk, &report).await? {
        Said::Done(_) => desk.books.registered(&case.number, granted, facts),
        Said::Refused(reason) => {
            desk.books.problem(format!("the registry's decision was refused: {reason}"));
        }
        Said::Unclear => {}
    }
    Some(())
}

/// A divorce: after the check the cooling-off period runs; whoever does not withdraw comes for the
/// certificate in the days after it, or lets them pass.
pub(super) async fn dissolve(
    desk: &Desk,
    case: &Case,
    couple: &Divorce,
    form: &Form,
) -> Option<()> {
    let standing = desk.until(&case.number, |s| s.checked.is_some()).await?;
    if standing.checked == Some(false) {
        desk.think().await;
        supplement(desk, case, "提交结婚证和档案证明").await?;
    }
    match couple.applied {
        Applied::Now => {
            // Neither may marry or divorce elsewhere meanwhile.
            found_twice(desk, form, "other").await?;
            desk.think().await;
            withdraw(desk, case).await
        }
        Applied::Cooled => {
            desk.until(&case.number, |s| s.cooled).await?;
            desk.think().await;
            let one = desk.round(|round| round.once_in("refuse a divorce", 5));
            let refused =
                one.then(|| desk.round(|round| round.among("divorces", &["07", "08", "09", "10"])));
            decide(desk, case, ("L", &couple.registry), refused).await
        }
        Applied::Lapsed => {
            desk.until(&case.number, |s| s.lapsed).await?;
            desk.books.lapsed(&case.number);
            Some(())
        }
    }
}

/// Either of the two alone may withdraw within the cooling-off period.
async fn withdraw(desk: &Desk, case: &Case) -> Option<()> {
    desk.books.withdrawal(&case.number, "asked");
    let report = Report {
        reason: "一方撤回离婚登记申请".into(),
        ..case.report(Happening::Withdrawn)
    };
    let state = match tell(desk, &report).await? {
        Said::Done(_) => "accepted",
        Said::Refused(reason) => {
            desk.books.problem(format!("a withdrawal in time was refused: {reason}"));
            "refused"
        }
        Said::Unclear => "asked",
    };
    desk.books.withdrawal(&case.number, state);
    Some(())
}

/// The hub's check. For a re-issue it looks for the archive, now and then at the first registry.
pub(super) async fn check(desk: &Desk, case: &Case, married: bool, reissue: bool) -> Option<()> {
    if reissue && desk.round(|round| round.once_in("ask the archive", 2)) {
        let asked = Report {
            reason: "库中无电子档案，已请原登记机关调档".into(),
            ..case.report(Happening::ArchiveAsked)
        };
        if !progress(desk, &asked).await? {
            return None;
        }
        desk.think().await;
        let found = Report { papers: papers(desk, 1), ..case.report(Happening::CheckPassed) };
        return progress(desk, &found).await.map(|_| ());
    }
    let doubtful = case.business == Business::Marriage && married;
    let report = if doubtful || desk.round(|round| round.once_in("record in the library", 11)) {
        Report {
            reason: "声明与婚姻基础信息库记录不一致".into(),
            missing: vec!["303".into(), "304".into()],
            ..case.report(Happening::CheckConflict)
        }
    } else {
        case.report(Happening::CheckPassed)
    };
    progress(desk, &report).await.map(|_| ())
}
