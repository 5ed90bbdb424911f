//! Eligibility as a step of intake: the rules of the business, and what the national hub can tell
//! where a rule asks for it. A hub that is silent leaves a question open; it never makes an ok.

use crate::{
    business::rules::{
        Answer, Benefit, Certificate, Couple, Days, Facts, Finding, Household, Marital, Stage,
        Topic,
    },
    business::{self, Travel},
    intake::Intake,
    model::{
        clock,
        pb::{self, BenefitKind, MaritalStatus, application::Details},
        problem::Violation,
        trace::TraceContext,
    },
    verify::{Subject, Verifier},
};

impl Intake {
    /// What the rules find without asking anybody.
    pub(super) fn rules_find(
        &self,
        stage: Stage,
        application: &pb::Application,
        content: &[u8],
        days: Days,
    ) -> Vec<Finding> {
        self.rulebook.judge((stage, judges(application)), application, content, days, None)
    }

    /// What the rules find once the hub has been asked what they asked for.
    pub(super) async fn hub_finds(
        &self,
        stage: Stage,
        application: &pb::Application,
        content: &[u8],
        days: Days,
        (found, trace): (Vec<Finding>, &TraceContext),
    ) -> Vec<Finding> {
        let mut topics: Vec<Topic> = found.iter().flat_map(|one| one.topics.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        let Some(verifier) = self.verifier.as_ref().filter(|_| !topics.is_empty()) else {
            return found;
        };
        let facts = ask(verifier, application, &topics, trace).await;
        if topics.iter().all(|topic| !facts.told(*topic)) {
            return found; // Nothing was told: the questions are what they were.
        }
        let place = (stage, judges(application));
        self.rulebook.judge(place, application, content, days, Some(&facts))
    }
}

/// The days an application is judged on when it is taken in.
pub(super) fn intake_days(application: &pb::Application) -> Days {
    let now = clock::now_micros();
    let accepted = application.accept_time.as_ref();
    let accepted = accepted.map(|time| time.seconds.saturating_mul(1_000_000));
    Days::new(clock::china_date(accepted.unwrap_or(now)), clock::china_date(now))
}

/// The findings that refuse, as violations.
pub(super) fn refusals(found: &[Finding]) -> impl Iterator<Item = Violation> + '_ {
    found.iter().filter(|one| one.answer == Answer::Refuse).map(Finding::violation)
}

/// The division whose rules judge: the home division; the registry's, where couples are served
/// anywhere.
fn judges(application: &pb::Application) -> &str {
    match business::travel(application.business()) {
        Travel::ToHome => &application.home_division,
        Travel::ToNationalHub => &application.accepting_division,
    }
}

/// Asks all topics at once; what is not answered stays untold.
async fn ask(
    verifier: &Verifier,
    application: &pb::Application,
    topics: &[Topic],
    trace: &TraceContext,
) -> Facts {
    let wanted = |topic: Topic| topics.contains(&topic);
    let person = application.applicant.as_ref().filter(|person| !person.resident_id.is_empty());
    let person = person.map(|person| Subject { name: &person.name, number: &person.resident_id });
    let marital = async {
        let (man, woman) = couple(application).filter(|_| wanted(Topic::Marital))?;
        let told = verifier.marital(Some(man), Some(woman), trace).await.ok()?;
        Some(Couple {
            man: standing(told.man.as_ref()?)?,
            woman: standing(told.woman.as_ref()?)?,
            to_each_other: told.married_to_each_other,
        })
    };
    let benefits = async {
        let person = person.filter(|_| wanted(Topic::Benefits))?;
        let told = verifier.benefits(person, trace).await.ok()?;
        Some(told.iter().map(benefit).collect())
    };
    let certificate = async {
        let person = person.filter(|_| wanted(Topic::Certificate))?;
        let number = match &application.details {
            Some(Details::DisabilitySubsidy(body)) => body.certificate_number.as_str(),
            _ => "",
        };
        let told = verifier.certificate(person, number, trace).await.ok()?;
        Some(told.map_or_else(Certificate::default, |told| Certificate {
            valid: told.valid,
            category: told.category,
            level: told.level,
        }))
    };
    let household = async {
        let person = person.filter(|_| wanted(Topic::Household))?;
        let claimed = &application.home_division;
        let told = verifier.household(person, claimed, trace).await.ok()??;
        Some(Household { division: told.registered_division, alive: told.alive })
    };
    let (marital, benefits, certificate, household) =
        tokio::join!(marital, benefits, certificate, household);
    Facts { marital, benefits, certificate, household }
}

fn couple(application: &pb::Application) -> Option<(Subject<'_>, Subject<'_>)> {
    let (man, woman) = match &application.details {
        Some(Details::MarriageRegistration(body)) => (body.man.as_ref()?, body.woman.as_ref()?),
        Some(Details::DivorceRegistration(body)) => (body.man.as_ref()?, body.woman.as_ref()?),
        _ => return None,
    };
    Some((subject(man)?, subject(woman)?))
}

fn subject(spouse: &pb::Spouse) -> Option<Subject<'_>> {
    let person = spouse.person.as_ref()?;
    let number = match person.resident_id.as_str() {
        "" => spouse.document_number.as_str(),
        number => number,
    };
    (!number.is_empty()).then_some(Subject { name: &person.name, number })
}

/// Records that contradict each other tell nothing.
fn standing(told: &pb::MaritalStanding) -> Option<Marital> {
    let (married, divorced) = match told.status() {
        MaritalStatus::Married => (true, false),
        MaritalStatus::Divorced => (false, true),
        // What was annulled never was a marriage (Civil Code art. 1054).
        MaritalStatus::NoRecord | MaritalStatus::MarriageAnnulled => (false, false),
        MaritalStatus::RecordsUnclear | MaritalStatus::Unspecified => return None,
    };
    Some(Marital { married, divorced, cooling_off: told.divorce_in_progress })
}

fn benefit(told: &pb::BenefitRecord) -> Benefit {
    let name = match told.benefit() {
        BenefitKind::DisabilityLivingSubsidy => "living",
        BenefitKind::DisabilityNursingSubsidy => "nursing",
        BenefitKind::SubsistenceAllowance => "dibao",
        BenefitKind::ExtremePovertySupport => "tekun",
        BenefitKind::OrphanAllowance => "orphan",
        BenefitKind::UnsupportedChildAllowance => "defacto_child",
        BenefitKind::OldAgeBenefit => "old_age",
        BenefitKind::WorkInjuryNursingFee => "work_injury",
        BenefitKind::Unspecified => "",
    };
    Benefit {
        benefit: name.to_owned(),
        division: told.division.clone(),
        active: told.active,
        last_paid_month: told.last_paid_month.clone(),
    }
}
