//! What people do at the desks, case by case: submit and follow up, take up and decide, check a
//! couple's status. Rules of its own, written without looking at the gateway's.

use std::{sync::Arc, sync::PoisonError, time::Duration};

use jiff::{ToSpan as _, civil::Date};

use crate::{
    model::{clock, trace::TraceContext},
    sim::{
        case::{Body, Business, Content, Decision, Form, Happening, Paper, Received, Report},
        desk::Desk,
        settings::Role,
        voice::Said,
    },
};

/// How long a refused report may wait for the withdrawal that explains it.
const EXPLANATION: Duration = Duration::from_secs(600);

/// Submits what the settings plan, in turn, at the set rate.
pub(super) async fn submit_all(desk: Arc<Desk>) {
    let mut plans = desk.settings.submit.clone();
    desk.books.planned(plans.iter().map(|plan| plan.count).sum());
    let pause = Duration::from_secs(1) / desk.settings.rate.max(1);
    while plans.iter().any(|plan| plan.count > 0) {
        for plan in plans.iter_mut().filter(|plan| plan.count > 0) {
            plan.count -= 1;
            let Some(business) = Business::from_code(&plan.business) else {
                desk.books.problem(format!("`{}` is no business", plan.business));
                return;
            };
            let form = desk
                .forms
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .fill_in(business, &plan.home);
            let (one, home) = (Arc::clone(&desk), plan.home.clone());
            desk.tasks.spawn(async move { submit(&one, form, &home).await });
            tokio::select! {
                () = desk.enough.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

async fn submit(desk: &Desk, form: Form, home: &str) -> Option<()> {
    let number = form.number.as_str();
    let trace = TraceContext::new();
    desk.books.tried(number, form.business(), home, (form.facts(), trace.trace_id_hex()));
    let call = desk.voice.submission(&form, &message_number());
    let (said, took) = desk.gateway.say(&*desk.voice, &call, &trace, &desk.faults).await?;
    let application = match said {
        Said::Done(application) => application,
        Said::Refused(reason) => {
            desk.books.refused(number, &reason);
            desk.books.problem(format!("{} refused: {reason}", form.business().code()));
            return None;
        }
        Said::Unclear => return None,
    };
    desk.books.accepted(number, &application, took);
    let case = Case {
        business: form.business(),
        number: number.to_owned(),
        application,
        accepted_in: form.accepted_in.clone(),
        home: form.home.clone(),
        trace,
    };
    match &form.body {
        Body::Marriage(couple) => register(desk, &case, &couple.registry).await,
        Body::Subsidy(_) | Body::Child(_) => follow(desk, &case).await,
    }
}

/// A case and how to refer to it.
struct Case {
    business: Business,
    number: String,
    application: String,
    accepted_in: String,
    home: String,
    trace: TraceContext,
}

impl Case {
    fn report(&self, what: Happening) -> Report {
        Report {
            business: self.business,
            number: self.number.clone(),
            application: self.application.clone(),
            accepted_in: self.accepted_in.clone(),
            home: self.home.clone(),
            what,
            reason: String::new(),
            missing: Vec::new(),
            papers: Vec::new(),
            decision: None,
            trace: self.trace,
        }
    }
}

/// The submitting side of accept and forward: now and then withdraws, hands in what is asked.
async fn follow(desk: &Desk, case: &Case) -> Option<()> {
    if desk.settings.role == Role::Platform && desk.round(|round| round.once_in("withdraw", 12)) {
        desk.think().await;
        desk.books.withdrawal(&case.number, "asked");
        let report =
            Report { reason: "申请人自愿撤回".into(), ..case.report(Happening::Withdrawn) };
        match tell(desk, &report).await? {
            Said::Done(_) => {
                desk.books.withdrawal(&case.number, "accepted");
                return Some(());
            }
            // Decided meanwhile: the decision is on its way.
            Said::Refused(_) | Said::Unclear => desk.books.withdrawal(&case.number, "refused"),
        }
    }
    let standing = desk.until(&case.number, |s| s.decided || s.asked).await?;
    if !standing.decided {
        desk.think().await;
        supplement(desk, case, "按补正通知提交").await?;
    }
    Some(())
}

async fn supplement(desk: &Desk, case: &Case, words: &str) -> Option<()> {
    let papers = papers(desk, 2);
    let report =
        Report { papers, reason: words.into(), ..case.report(Happening::SupplementSubmitted) };
    if let Said::Refused(reason) = tell(desk, &report).await? {
        desk.books.problem(format!("a supplement was refused: {reason}"));
    }
    Some(())
}

fn papers(desk: &Desk, count: usize) -> Vec<Paper> {
    let mut forms = desk.forms.lock().unwrap_or_else(PoisonError::into_inner);
    (0..count)
        .map(|_| {
            let kind = forms.people.cycle.next("material");
            forms.people.paper(&kind)
        })
        .collect()
}

/// The registry: waits for the check, hands in evidence where it failed, and decides.
async fn register(desk: &Desk, case: &Case, registry: &str) -> Option<()> {
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
    let today = today();
    let certificate = desk.round(|round| {
        let sequence = round.count("certificate") + desk.settings.role.place() * 100_000;
        format!("J{}-{}-{sequence:06}", registry.get(..6).unwrap_or("230102"), today.year())
    });
    let granted = refused.is_none();
    let decision = Decision {
        granted,
        day: today,
        office: "婚姻登记处".into(),
        document: format!("婚登〔{}〕{}", today.year(), &case.application[..8]),
        reason: refused.as_ref().map(|_| "经审查不符合结婚登记条件".into()).unwrap_or_default(),
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

/// The handling side: takes a case up and decides it, or checks a couple.
pub(super) async fn handle(desk: &Desk, received: Received) -> Option<()> {
    let Content::Application { married, .. } = received.content else { return None };
    let case = Case {
        business: received.business,
        number: received.number,
        application: received.application,
        accepted_in: received.accepted_in,
        home: received.home,
        trace: received.trace,
    };
    desk.think().await;
    if case.business == Business::Marriage {
        return check(desk, &case, married).await;
    }
    if !progress(desk, &case.report(Happening::Accepted)).await? {
        return None;
    }
    desk.think().await;
    if desk.round(|round| round.once_in("supplement", 5)) {
        let missing: Vec<String> = papers(desk, 2).into_iter().map(|paper| paper.kind).collect();
        let report = Report {
            missing,
            reason: "材料不全，请补正".into(),
            ..case.report(Happening::SupplementRequested)
        };
        if !progress(desk, &report).await? {
            return None;
        }
        let standing = desk.until(&case.number, |s| s.supplemented || s.withdrawn).await?;
        if standing.withdrawn {
            return None;
        }
        desk.think().await;
    }
    let decision = decide(desk, &case);
    let (granted, facts) = (decision.granted, decision.facts());
    let report = Report { decision: Some(decision), ..case.report(Happening::Decided) };
    if progress(desk, &report).await? {
        desk.books.decided(&case.number, granted, facts);
    }
    Some(())
}

async fn check(desk: &Desk, case: &Case, married: bool) -> Option<()> {
    let report = if married || desk.round(|round| round.once_in("record in the library", 11)) {
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

fn decide(desk: &Desk, case: &Case) -> Decision {
    let today = today();
    let reason = desk.round(|round| {
        let name = format!("refuse {}", case.business.code());
        round.once_in(&name, 3).then(|| round.among(&format!("{name} for"), reasons(desk, case)))
    });
    let granted = reason.is_none();
    let subsidy = case.business == Business::Subsidy;
    Decision {
        granted,
        day: today,
        office: "县（市、区）民政局".into(),
        document: format!("民决〔{}〕{}", today.year(), &case.application[24..]),
        reason: if granted {
            String::new()
        } else {
            "经审核不符合规定条件，可申请复核".into()
        },
        reason_code: reason.unwrap_or_default(),
        amount_fen: match (granted, subsidy) {
            (false, _) => 0,
            (true, true) => 15_420,
            (true, false) => 120_000,
        },
        paid_from: granted.then(|| today.checked_add(1.month()).unwrap_or(today)),
        certificate: String::new(),
    }
}

fn reasons(desk: &Desk, case: &Case) -> &'static [&'static str] {
    match (case.business, desk.settings.role) {
        (Business::Subsidy, Role::National) => &["35", "99", "34", "33", "32", "31"],
        (Business::Subsidy, _) => {
            &["11", "12", "13", "14", "15", "16", "17", "18", "31", "32", "33", "34", "35", "99"]
        }
        _ => &["21", "22", "23"],
    }
}

/// Reports a step of the handling side; `false` when the case was withdrawn meanwhile.
async fn progress(desk: &Desk, report: &Report) -> Option<bool> {
    match tell(desk, report).await? {
        Said::Done(_) | Said::Unclear => Some(true),
        Said::Refused(reason) => {
            let withdrawn = desk.until(&report.number, |s| s.withdrawn);
            if tokio::time::timeout(EXPLANATION, withdrawn).await.is_err() {
                let what = report.what.word();
                desk.books.problem(format!("{what} was refused: {reason}"));
            }
            Some(false)
        }
    }
}

async fn tell(desk: &Desk, report: &Report) -> Option<Said> {
    let call = desk.voice.report(report, &message_number());
    Some(desk.gateway.say(&*desk.voice, &call, &report.trace, &desk.faults).await?.0)
}

fn message_number() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn today() -> Date {
    clock::china_date(clock::now_micros())
}
