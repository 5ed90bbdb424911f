//! What people do at the desks, case by case: submit and follow up, take up and decide, check a
//! couple's status. Rules of its own, written without looking at the gateway's.

use std::{sync::Arc, sync::PoisonError, time::Duration};

use jiff::{ToSpan as _, civil::Date};

use crate::{
    model::{clock, trace::TraceContext},
    sim::{
        case::{Body, Business, Content, Decision, Form, Happening, Paper, Received, Report},
        desk::Desk,
        registry,
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
            let (form, excluded) = {
                let mut forms = desk.forms.lock().unwrap_or_else(PoisonError::into_inner);
                let form = forms.fill_in(business, &plan.home);
                let once =
                    desk.round(|round| round.once_in(&format!("exclude {}", plan.business), 6));
                // A hub that fails now and then leaves open what only it can tell.
                let hub = desk.settings.faults.is_empty()
                    && desk.round(|round| round.once_in(&format!("ask {}", plan.business), 2));
                let excluded = once.then(|| {
                    let known = hub.then(|| forms.known_elsewhere(business, &plan.home)).flatten();
                    known.unwrap_or_else(|| forms.excluded(business, &plan.home))
                });
                (form, excluded)
            };
            let (one, home) = (Arc::clone(&desk), plan.home.clone());
            desk.tasks.spawn(async move {
                if let Some(excluded) = excluded {
                    probe(&one, &excluded, &home, "NOT_ELIGIBLE").await;
                }
                submit(&one, form, &home).await
            });
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
        home_province: home.to_owned(),
        trace,
    };
    if form.action() == "6" {
        desk.books.moved(&case.number);
    }
    match &form.body {
        Body::Marriage(couple) => registry::register(desk, &case, couple).await,
        Body::Divorce(couple) => registry::dissolve(desk, &case, couple, &form).await,
        _ => follow(desk, &case, &form).await,
    }
}

/// Submits what must be refused, and counts it when it is refused for that reason.
async fn probe(desk: &Desk, form: &Form, home: &str, reason: &'static str) -> Option<()> {
    let call = desk.voice.submission(form, &message_number());
    let said = desk.gateway.say(&*desk.voice, &call, &TraceContext::new(), &desk.faults).await?.0;
    match said {
        Said::Refused(told) if told == reason => desk.books.probed(form.business(), home, reason),
        Said::Refused(told) => desk.books.problem(format!("refused for {told}, not {reason}")),
        Said::Done(_) => {
            let what = form.business().code();
            desk.books.problem(format!("{what}: taken, and should be refused: {reason}"));
        }
        Said::Unclear => {}
    }
    Some(())
}

/// The same person once more, who must be found.
pub(super) async fn found_twice(desk: &Desk, form: &Form, home: &str) -> Option<()> {
    let again = desk.forms.lock().unwrap_or_else(PoisonError::into_inner).again(form);
    probe(desk, &again, home, "DUPLICATE_APPLICATION").await
}

/// A case and how to refer to it.
pub(super) struct Case {
    pub(super) business: Business,
    pub(super) number: String,
    pub(super) application: String,
    accepted_in: String,
    home: String,
    /// As the plan names it: `23`, `44`, `other`.
    home_province: String,
    trace: TraceContext,
}

impl Case {
    pub(super) fn report(&self, what: Happening) -> Report {
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
async fn follow(desk: &Desk, case: &Case, form: &Form) -> Option<()> {
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
    let standing = desk.until(&case.number, |s| s.decided).await?;
    // What is paid is not granted a second time.
    let paid = standing.granted && matches!(form.action(), "" | "1");
    let once_only = !matches!(&form.body, Body::Assistance(body) if body.kind == "3");
    if paid && once_only && desk.round(|round| round.once_in("draw twice", 5)) {
        found_twice(desk, form, &case.home_province).await?;
    }
    Some(())
}

pub(super) async fn supplement(desk: &Desk, case: &Case, words: &str) -> Option<()> {
    let papers = papers(desk, 2);
    let report =
        Report { papers, reason: words.into(), ..case.report(Happening::SupplementSubmitted) };
    if let Said::Refused(reason) = tell(desk, &report).await? {
        desk.books.problem(format!("a supplement was refused: {reason}"));
    }
    Some(())
}

pub(super) fn papers(desk: &Desk, count: usize) -> Vec<Paper> {
    let mut forms = desk.forms.lock().unwrap_or_else(PoisonError::into_inner);
    (0..count)
        .map(|_| {
            let kind = forms.people.cycle.next("material");
            forms.people.paper(&kind)
        })
        .collect()
}

/// The handling side: takes a case up and decides it, or checks a couple.
pub(super) async fn handle(desk: &Desk, received: Received) -> Option<()> {
    let Content::Application { married, reissue, .. } = received.content else { return None };
    let case = Case {
        business: received.business,
        number: received.number,
        application: received.application,
        accepted_in: received.accepted_in,
        home: received.home,
        home_province: String::new(),
        trace: received.trace,
    };
    desk.think().await;
    if case.business.of_couples() {
        return registry::check(desk, &case, married, reissue).await;
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

fn decide(desk: &Desk, case: &Case) -> Decision {
    let today = today();
    let reason = desk.round(|round| {
        let name = format!("refuse {}", case.business.code());
        round.once_in(&name, 3).then(|| round.among(&format!("{name} for"), reasons(desk, case)))
    });
    let granted = reason.is_none();
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
        amount_fen: match (granted, case.business) {
            (false, _) => 0,
            (true, Business::Child) => 120_000,
            (true, Business::OldAge) => 10_000,
            (true, Business::Assistance) => 71_500,
            (true, _) => 15_420,
        },
        // Subsidies and the old-age allowance from the month of application, and where the household
        // moved, from the one after the last; a child's from the next (次月).
        paid_from: granted.then(|| match case.business {
            Business::Subsidy | Business::OldAge => today,
            _ => today.checked_add(1.month()).unwrap_or(today),
        }),
        certificate: String::new(),
    }
}

fn reasons(desk: &Desk, case: &Case) -> &'static [&'static str] {
    match (case.business, desk.settings.role) {
        (Business::Subsidy, Role::National) => &["35", "99", "34", "33", "32", "31"],
        (Business::Subsidy, _) => {
            &["11", "12", "13", "14", "15", "16", "17", "18", "31", "32", "33", "34", "35", "99"]
        }
        (Business::OldAge, _) => &["26", "27", "19", "31", "35"],
        (Business::Assistance, _) => &["28", "29", "30", "33", "34"],
        _ => &["21", "22", "23", "24"],
    }
}

/// Reports a step of the handling side; `false` when the case was withdrawn meanwhile.
pub(super) async fn progress(desk: &Desk, report: &Report) -> Option<bool> {
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

pub(super) async fn tell(desk: &Desk, report: &Report) -> Option<Said> {
    let call = desk.voice.report(report, &message_number());
    Some(desk.gateway.say(&*desk.voice, &call, &report.trace, &desk.faults).await?.0)
}

fn message_number() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

pub(super) fn today() -> Date {
    clock::china_date(clock::now_micros())
}
