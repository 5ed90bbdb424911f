//! What people do at the desks, case by case: submit and follow up, take up and decide. They go by
//! the regulation and by what they are told, and note where the gateway saw it otherwise.

use std::{sync::Arc, sync::PoisonError, time::Duration};

use jiff::civil::Date;

use crate::{
    model::{clock, trace::TraceContext},
    sim::{
        case::{Body, Business, By, Content, Form, Happening, Paper, Received, Report, Withdrawal},
        cast::{Expected, Manner},
        claim::Claim,
        decide::decision,
        desk::Desk,
        dice::Dice,
        forms::turn_of,
        registry,
        regulation::{self, Objection, Verdict},
        script::{Script, Submission},
        voice::Said,
    },
};

/// How often a refused report is looked into, and the pause before each look.
const LOOKS: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// Submits what the settings plan, in turn, at the set rate.
pub(super) async fn submit_all(desk: Arc<Desk>) -> Option<()> {
    let mut script = Script::new(&desk.settings);
    desk.books.planned(desk.settings.submit.iter().map(|plan| plan.count).sum());
    let pause = Duration::from_secs(1) / desk.settings.rate.max(1);
    desk.gateway.open().await?;
    loop {
        let next = {
            let mut forms = desk.forms.lock().unwrap_or_else(PoisonError::into_inner);
            script.next(&mut forms)?
        };
        desk.work(|desk| async move { submit(&desk, next).await });
        tokio::select! {
            () = desk.enough.cancelled() => return None,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn submit(desk: &Desk, one: Submission) -> Option<()> {
    let then = one.then;
    let case = open(desk, &one.form, (&one.home, one.expected)).await?;
    match &one.form.body {
        Body::Marriage(couple) => {
            registry::register(desk, &case, couple, (&one.form, one.manner)).await?
        }
        Body::Divorce(couple) => {
            let twin = one.expected == Expected::Either;
            registry::dissolve(desk, &case, couple, (&one.form, one.manner, twin)).await?;
        }
        _ => follow(desk, &case, &one.form, one.manner).await?,
    }
    if let Some(then) = then {
        if !desk.case(&case.number).borrow().granted {
            desk.books.problem(format!("{} was to be granted first", case.number));
            return None;
        }
        let next = then.form.number.clone();
        Box::pin(submit(desk, *then)).await?;
        // Once it has moved, who paid must hear of it.
        if desk.case(&next).borrow().granted {
            desk.books.moved_away(&case.number);
        }
    }
    Some(())
}

/// Submits a form, and compares what the gateway makes of it with the regulation. `None` when it
/// is refused.
pub(super) async fn open(
    desk: &Desk,
    form: &Form,
    (home, expected): (&str, Expected),
) -> Option<Case> {
    let number = form.number.as_str();
    let claim = Claim::of(form);
    let against = regulation::objections(form.business(), &claim, today());
    let trace = TraceContext::new();
    desk.books.tried(number, form.business(), home, (claim.facts(), trace.trace_id_hex()));
    let call = desk.voice.submission(form, &message_number());
    let (said, took) = desk.gateway.say(&*desk.voice, &call, &trace, &desk.faults).await?;
    let (application, checks) = match said {
        Said::Done(application, checks) => (application, checks),
        Said::Refused(reason) => {
            refused(desk, form, (expected, &reason), &against);
            return None;
        }
        Said::Unclear => return None,
    };
    let besides = matches!(expected, Expected::Refused(_) | Expected::Besides);
    desk.books.accepted(number, &application, (took, besides));
    agree(desk, number, &checks, (expected, &against));
    if form.action() == "6" {
        desk.books.moved(number);
    }
    Some(Case {
        business: form.business(),
        number: number.to_owned(),
        application,
        accepted_in: form.accepted_in.clone(),
        home: form.home.clone(),
        claim,
        trace,
    })
}

/// What was refused as had to be is counted; anything else is a difference.
fn refused(desk: &Desk, form: &Form, (expected, reason): (Expected, &str), against: &[Objection]) {
    let (number, business) = (form.number.as_str(), form.business().code());
    let as_it_must = match reason {
        "NOT_ELIGIBLE" => matches!(expected, Expected::Refused(_)) && !against.is_empty(),
        "DUPLICATE_APPLICATION" => matches!(expected, Expected::Twice | Expected::Either),
        _ => false,
    };
    if as_it_must {
        return desk.books.probed(number, reason);
    }
    desk.books.refused(number, reason);
    let rules: Vec<&str> = against.iter().map(|one| one.rule).collect();
    desk.books.problem(format!("{business} {number} refused: {reason}; regulation: {rules:?}"));
}

/// The gateway took it: whatever the regulation has against it must stand as a question.
fn agree(
    desk: &Desk,
    number: &str,
    checks: &[String],
    (expected, against): (Expected, &[Objection]),
) {
    let named = |rule: &str| {
        checks.iter().any(|check| match rule {
            "W" => check.starts_with('W'),
            rule => check.trim_end_matches(|c: char| c.is_ascii_lowercase()) == rule,
        })
    };
    let wanted = match expected {
        Expected::Asked(rule) | Expected::Refused(rule) => Some(rule),
        Expected::Taken | Expected::Either | Expected::Besides => None,
        Expected::Twice => Some("DUPLICATE_APPLICATION"),
    };
    let all = against.iter().map(|one| one.rule).chain(wanted);
    let silent: Vec<&str> = all.filter(|rule| !named(rule)).collect();
    desk.books.checks(number, checks.to_vec(), silent);
}

/// The same person once more, who must be found.
pub(super) async fn found_twice(desk: &Desk, form: &Form) -> Option<()> {
    let again = desk.forms.lock().unwrap_or_else(PoisonError::into_inner).again(form);
    match open(desk, &again, ("", Expected::Twice)).await {
        Some(_) | None => Some(()),
    }
}

/// A case and how to refer to it.
pub(super) struct Case {
    pub(super) business: Business,
    pub(super) number: String,
    pub(super) application: String,
    accepted_in: String,
    home: String,
    pub(super) claim: Claim,
    pub(super) trace: TraceContext,
}

impl Case {
    pub(super) fn of(received: Received) -> Self {
        let claim = match received.content {
            Content::Application(claim) => *claim,
            _ => Claim::default(),
        };
        Self {
            business: received.business,
            number: received.number,
            application: received.application,
            accepted_in: received.accepted_in,
            home: received.home,
            claim,
            trace: received.trace,
        }
    }

    pub(super) fn turn(&self) -> usize {
        turn_of(&self.number)
    }

    /// What speaks against it, once these kinds of paper came too.
    pub(super) fn objections(&self, papers: &[String]) -> Vec<Objection> {
        let mut claim = self.claim.clone();
        claim.papers.extend(papers.iter().map(|kind| (kind.clone(), String::new())));
        regulation::objections(self.business, &claim, today())
    }

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
            withdrawal: None,
            trace: self.trace,
        }
    }
}

/// The submitting side of accept and forward: withdraws, or hands in what is asked.
async fn follow(desk: &Desk, case: &Case, form: &Form, manner: Manner) -> Option<()> {
    if manner == Manner::Withdraws && withdraw(desk, case, "申请人自愿撤回").await? {
        return Some(());
    }
    let over = |s: &crate::sim::desk::Standing| s.decided || s.expired;
    let standing = desk.until(&case.number, |s| over(s) || s.asked).await?;
    if !over(&standing) && manner == Manner::GivesUp {
        desk.think().await;
        if withdraw(desk, case, "材料无法补齐，自愿撤回").await? {
            return Some(());
        }
    }
    if !over(&standing) && manner != Manner::Silent {
        desk.think().await;
        let kinds = if manner == Manner::Empty { Vec::new() } else { standing.missing };
        supplement(desk, case, &kinds, "按补正通知提交").await?;
    }
    let standing = desk.until(&case.number, over).await?;
    // What is paid is not granted a second time.
    let paid = standing.granted && matches!(form.action(), "" | "1");
    let once_only = !matches!(&form.body, Body::Assistance(body) if body.kind == "3");
    if paid && once_only && case.turn() % 2 == 1 {
        found_twice(desk, form).await?;
    }
    Some(())
}

/// Withdraws; `false` when it was decided meanwhile: the decision is on its way.
pub(super) async fn withdraw(desk: &Desk, case: &Case, words: &str) -> Option<bool> {
    desk.books.withdrawal(&case.number, "asked");
    let withdrawal = (case.business == Business::Divorce).then(|| Withdrawal {
        by: [By::Man, By::Woman, By::Both][case.turn() % 3],
        receipt: case.claim.get("receipt").into(),
    });
    let report = Report { withdrawal, reason: words.into(), ..case.report(Happening::Withdrawn) };
    let taken = matches!(tell(desk, &report).await?, Said::Done(..));
    desk.books.withdrawal(&case.number, if taken { "accepted" } else { "refused" });
    Some(taken)
}

/// Hands in papers of these kinds; of none, something that proves nothing.
pub(super) async fn supplement(
    desk: &Desk,
    case: &Case,
    kinds: &[String],
    words: &str,
) -> Option<()> {
    let papers = papers(case, kinds);
    let report =
        Report { papers, reason: words.into(), ..case.report(Happening::SupplementSubmitted) };
    if let Said::Refused(reason) = tell(desk, &report).await? {
        desk.books.problem(format!("a supplement was refused: {reason}"));
    }
    Some(())
}

/// Papers of these kinds, the same for the same case.
pub(super) fn papers(case: &Case, kinds: &[String]) -> Vec<Paper> {
    let seed = case.number.bytes().fold(7_u64, |sum, b| sum.wrapping_mul(31) + u64::from(b));
    let mut dice = Dice::new(seed);
    let other = ["999".to_owned()];
    let kinds = if kinds.is_empty() { &other } else { kinds };
    kinds.iter().map(|kind| Paper::made(kind, &mut dice, false)).collect()
}

/// The handling side: takes a case up, asks for what is missing, and decides.
pub(super) async fn handle(desk: &Desk, received: Received) -> Option<()> {
    let case = Case::of(received);
    desk.think().await;
    if case.business.of_couples() {
        return registry::check(desk, &case).await;
    }
    if !progress(desk, &case.report(Happening::Accepted)).await? {
        return None;
    }
    desk.think().await;
    let mut verdict = regulation::verdict(&case.objections(&[]), false);
    if let Verdict::Ask(kinds) = verdict {
        verdict = ask(desk, &case, &kinds).await?;
        desk.think().await;
    }
    // The township looks first and reports to the county.
    if case.business == Business::Child
        && !progress(desk, &case.report(Happening::Reviewed)).await?
    {
        return None;
    }
    let spot = regulation::on_the_spot(case.business, case.turn());
    let reason = match (verdict, spot) {
        (Verdict::Deny(reason), _) | (Verdict::Grant, Some(reason)) => Some(reason),
        _ => None,
    };
    let decision = decision(&case, reason);
    let (granted, facts) = (decision.granted, decision.facts());
    let report = Report { decision: Some(decision), ..case.report(Happening::Decided) };
    if progress(desk, &report).await? {
        desk.books.decided(&case.number, granted, facts);
    }
    Some(())
}

/// Asks once for all that is missing (一次性告知), and judges anew with what comes; `None` when the
/// case ends over it.
async fn ask(desk: &Desk, case: &Case, kinds: &[&str]) -> Option<Verdict> {
    let report = Report {
        missing: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        reason: "材料不全，请补正".into(),
        ..case.report(Happening::SupplementRequested)
    };
    if !progress(desk, &report).await? {
        return None;
    }
    if regulation::never_answers(&case.claim) {
        desk.think().await;
        let report = Report { reason: "逾期未补正".into(), ..case.report(Happening::Expired) };
        progress(desk, &report).await?;
        return None;
    }
    let standing = desk.until(&case.number, |s| s.supplemented || s.withdrawn).await?;
    let verdict = regulation::verdict(&case.objections(&standing.papers), true);
    (!standing.withdrawn).then_some(verdict)
}

/// Reports a step of the handling side; `false` when the case ended meanwhile.
pub(super) async fn progress(desk: &Desk, report: &Report) -> Option<bool> {
    let Said::Refused(reason) = tell(desk, report).await? else { return Some(true) };
    for _ in 0..LOOKS {
        let told = desk.gateway.look(&report.application).await?;
        if matches!(told["state"].as_str(), Some("WITHDRAWN" | "EXPIRED" | "NO_SHOW")) {
            return Some(false);
        }
        tokio::time::sleep(PAUSE).await;
    }
    desk.books.problem(format!("{} was refused: {reason}", report.what.word()));
    Some(false)
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
