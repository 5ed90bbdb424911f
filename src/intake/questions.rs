//! Questions about people from outside: checks the question, asks, writes to the audit log who
//! asked what about whom and why, and tells no more than the asking party may know. Depends on
//! verify and store.
//!
//! Registry staff must keep marriage data secret (婚姻登记条例, Decree 804 \[S16b\]), so each question
//! carries a purpose and an operator; an answer is told only once its entry is on disk.

use std::sync::Arc;

use prost::Message as _;

use crate::{
    audit::{Entry, Kind},
    auth::Caller,
    intake::{Intake, told},
    model::{
        clock, pb,
        problem::{Problem, Reason, Violation},
        trace::TraceContext,
    },
    telemetry,
    verify::{Silent, Subject, Verifier},
};

/// Where questions are asked; cheap to share.
pub struct Questions {
    intake: Arc<Intake>,
    verifier: Option<Arc<Verifier>>,
}

/// A question that was checked: what the audit log says of it.
struct Asked<'q> {
    caller: &'q Caller,
    what: &'static str,
    purpose: &'q pb::VerificationPurpose,
    people: Vec<Subject<'q>>,
}

impl Questions {
    /// Asks `verifier`; without one every question is refused as not answerable.
    pub const fn new(intake: Arc<Intake>, verifier: Option<Arc<Verifier>>) -> Self {
        Self { intake, verifier }
    }

    /// The marital status of one or both of a couple.
    ///
    /// # Errors
    /// What is wrong with the question, or `UNAVAILABLE` when a library does not answer.
    pub async fn marital_status(
        &self,
        caller: &Caller,
        request: &pb::VerifyMaritalStatusRequest,
        trace: TraceContext,
    ) -> Result<pb::VerifyMaritalStatusResponse, Problem> {
        let message = "VerifyMaritalStatusRequest";
        let mut violations = self.intake.shapes.check(message, &request.encode_to_vec());
        if request.man.is_none() && request.woman.is_none() {
            violations.push(Violation::form("man", "is required where there is no `woman`"));
        }
        let purpose = self.checked(caller, "VerifyMaritalStatus", &request.purpose, violations);
        let purpose = purpose.await?;
        let (man, woman) = (request.man.as_ref(), request.woman.as_ref());
        let (man, woman) = (man.map(subject), woman.map(subject));
        let people = man.into_iter().chain(woman).collect();
        let asked = Asked { caller, what: "MARITAL_STATUS", purpose, people };
        let answer = match &self.verifier {
            Some(verifier) => verifier.marital(man, woman, &trace).await,
            None => Err(unconnected()),
        };
        let count = |answer: &pb::VerifyMaritalStatusResponse| {
            let both = [&answer.man, &answer.woman].into_iter().flatten();
            both.map(|standing| i64::from(standing.records)).sum()
        };
        let mut answer = self.told(&asked, answer, count).await?;
        let own = self.own_provinces(caller);
        for standing in [&mut answer.man, &mut answer.woman].into_iter().flatten() {
            if let Some(record) = &mut standing.last_record
                && !disclose(&mut record.registry_division, own)
            {
                record.certificate_number.clear();
            }
        }
        Ok(answer)
    }

    /// What a person draws, their certificate, their household, as asked.
    ///
    /// # Errors
    /// What is wrong with the question, or `UNAVAILABLE` when the hub does not answer.
    pub async fn benefits(
        &self,
        caller: &Caller,
        request: &pb::VerifyBenefitsRequest,
        trace: TraceContext,
    ) -> Result<pb::VerifyBenefitsResponse, Problem> {
        let message = "VerifyBenefitsRequest";
        let mut violations = self.intake.shapes.check(message, &request.encode_to_vec());
        violations.extend(lists(request));
        let purpose = self.checked(caller, "VerifyBenefits", &request.purpose, violations).await?;
        let person = request.person.as_ref().map(subject).ok_or_else(incomplete)?;
        let asked = Asked { caller, what: "BENEFITS", purpose, people: vec![person] };
        let answer = match &self.verifier {
            Some(verifier) => ask(verifier, request, person, &trace).await,
            None => Err(unconnected()),
        };
        let count = |answer: &pb::VerifyBenefitsResponse| {
            let more = [answer.certificate.is_some(), answer.household.is_some()];
            let more = more.into_iter().filter(|there| *there).count();
            i64::try_from(answer.benefits.len() + more).unwrap_or(i64::MAX)
        };
        let mut answer = self.told(&asked, answer, count).await?;
        let own = self.own_provinces(caller);
        for benefit in &mut answer.benefits {
            disclose(&mut benefit.division, own);
        }
        if let Some(household) = &mut answer.household {
            // The form or the record may bear a code that was withdrawn since.
            let divisions = self.intake.shapes.divisions();
            let [claimed, registered] = [&request.claimed_division, &household.registered_division]
                .map(|code| divisions.county_today(code));
            household.registered_as_claimed |= claimed.is_some() && claimed == registered;
            disclose(&mut household.registered_division, own);
        }
        Ok(answer)
    }

    /// The purpose of a question with nothing wrong in it.
    async fn checked<'q>(
        &self,
        caller: &Caller,
        operation: &str,
        purpose: &'q Option<pb::VerificationPurpose>,
        mut violations: Vec<Violation>,
    ) -> Result<&'q pb::VerificationPurpose, Problem> {
        let operator = purpose.iter().map(|purpose| purpose.operator.as_str());
        for operator in operator.filter(|operator| !operator.is_empty()) {
            if !is_staff_number(operator) {
                let text =
                    "must be a staff number: A-Z, a-z, 0-9, `.`, `_`, `-`; no citizen number";
                violations.push(Violation::form("purpose.operator", text));
            }
        }
        if !violations.is_empty() {
            let problem = Problem::violations(violations);
            return Err(self.intake.refuse(caller, operation, problem).await);
        }
        purpose.as_ref().ok_or_else(incomplete)
    }

    /// Writes to the audit log that it was asked and what came of it, then hands the answer on.
    async fn told<T>(
        &self,
        asked: &Asked<'_>,
        answer: Result<T, Silent>,
        count: impl FnOnce(&T) -> i64,
    ) -> Result<T, Problem> {
        let outcome = if answer.is_ok() { "answered" } else { "unanswered" };
        telemetry::count_question(asked.caller.party(), asked.what, outcome);
        let people = asked.people.iter().map(|person| {
            hex::encode(self.intake.store.digest(&format!("person {}", person.number.trim())))
        });
        let purpose = asked.purpose;
        let entry = Entry {
            kind: Kind::Access,
            time: clock::now_micros(),
            party: asked.caller.party().to_owned(),
            system: asked.caller.system().to_owned(),
            application: String::new(),
            sequence: answer.as_ref().map_or(-1, count),
            what: asked.what.to_owned(),
            state: format!(
                "{} {} {}",
                purpose.business().as_str_name(),
                purpose.reason().as_str_name(),
                purpose.operator
            ),
            content: people.collect::<Vec<_>>().join(" "),
        };
        self.intake.store.record(entry).await.map_err(told)?;
        answer.map_err(|silent| {
            let text = "a national library does not answer now, so nothing can be said of the \
                        person; ask again later";
            Problem::new(Reason::Unavailable, text).retry_after(silent.retry_after)
        })
    }

    fn own_provinces(&self, caller: &Caller) -> &[String] {
        let party = self.intake.parties.get(caller.party());
        party.map(|party| party.entry.covers.as_slice()).unwrap_or_default()
    }
}

/// All parts that are asked for, at once: one that is silent leaves the question unanswered.
async fn ask(
    verifier: &Verifier,
    request: &pb::VerifyBenefitsRequest,
    person: Subject<'_>,
    trace: &TraceContext,
) -> Result<pb::VerifyBenefitsResponse, Silent> {
    let asks = |question: pb::VerificationQuestion| request.asks.contains(&question.into());
    let benefits = async {
        match asks(pb::VerificationQuestion::Benefits) {
            true => verifier.benefits(person, trace).await,
            false => Ok(Vec::new()),
        }
    };
    let certificate = async {
        match asks(pb::VerificationQuestion::DisabilityCertificate) {
            true => verifier.certificate(person, &request.certificate_number, trace).await,
            false => Ok(None),
        }
    };
    let household = async {
        match asks(pb::VerificationQuestion::Household) {
            true => verifier.household(person, &request.claimed_division, trace).await,
            false => Ok(None),
        }
    };
    let (mut benefits, certificate, household) =
        futures::future::try_join3(benefits, certificate, household).await?;
    let kinds = &request.benefits;
    benefits.retain(|record| kinds.is_empty() || kinds.contains(&record.benefit));
    Ok(pb::VerifyBenefitsResponse { benefits, certificate, household })
}

/// What the rules of form cannot see: packed lists.
fn lists(request: &pb::VerifyBenefitsRequest) -> Vec<Violation> {
    let mut violations = Vec::new();
    let known = |ask: &i32| *ask != 0 && pb::VerificationQuestion::try_from(*ask).is_ok();
    if request.asks.len() > 3 || !request.asks.iter().all(known) {
        let text = "must be 1 to 3 of BENEFITS, DISABILITY_CERTIFICATE, HOUSEHOLD";
        violations.push(Violation::form("asks", text));
    }
    let known = |kind: &i32| *kind != 0 && pb::BenefitKind::try_from(*kind).is_ok();
    if request.benefits.len() > 10 || !request.benefits.iter().all(known) {
        violations.push(Violation::form("benefits", "must be at most 10 kinds of the list"));
    }
    let household = pb::VerificationQuestion::Household.into();
    if request.asks.contains(&household) && request.claimed_division.is_empty() {
        let text = "is required for HOUSEHOLD: where is it said to be registered?";
        violations.push(Violation::form("claimedDivision", text));
    }
    violations
}

/// Leaves of a division what a party with those provinces may know: the county in its own, else
/// the province (PIPL art. 6 \[K\]: no more than the purpose needs). Whether it is its own.
fn disclose(division: &mut String, own: &[String]) -> bool {
    let province = division.get(..2).unwrap_or_default().to_owned();
    let known = own.contains(&province);
    if !known && !province.is_empty() {
        *division = format!("{province}0000");
    }
    known
}

fn is_staff_number(text: &str) -> bool {
    let good = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    // 15 or 18 characters that begin with 14 digits are a citizen number, or look like one.
    let citizen =
        matches!(text.len(), 15 | 18) && text.bytes().take(14).all(|byte| byte.is_ascii_digit());
    good && !citizen
}

fn subject(person: &pb::VerifiedPerson) -> Subject<'_> {
    Subject { name: person.name.trim(), number: person.document_number.trim() }
}

fn unconnected() -> Silent {
    Silent { retry_after: std::time::Duration::from_secs(600) }
}

fn incomplete() -> Problem {
    Problem::new(Reason::InvalidArgument, "the question is incomplete; compare it with proto/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_provinces_are_named_and_no_more() {
        let own = ["23".to_owned()];
        let told = |division: &str| {
            let mut division = division.to_owned();
            let known = disclose(&mut division, &own);
            (division, known)
        };
        assert_eq!(told("230102"), ("230102".to_owned(), true));
        assert_eq!(told("510104"), ("510000".to_owned(), false));
        assert_eq!(told(""), (String::new(), false));
    }

    #[test]
    fn an_operator_is_a_staff_number() {
        for good in ["A-0017", "zhang.w_2", "230102", "1"] {
            assert!(is_staff_number(good), "{good}");
        }
        for wrong in ["王明", "a b", "11010519491231002X", "110105491231002"] {
            assert!(!is_staff_number(wrong), "{wrong}");
        }
    }

    #[test]
    fn lists_are_checked_although_they_are_packed() {
        let request = |asks: Vec<i32>, division: &str| pb::VerifyBenefitsRequest {
            asks,
            claimed_division: division.into(),
            ..Default::default()
        };
        assert!(lists(&request(vec![1, 2, 3], "230102")).is_empty());
        assert_eq!(lists(&request(vec![3], "")).len(), 1);
        assert_eq!(lists(&request(vec![0], "")).len(), 1);
        assert_eq!(lists(&request(vec![9], "")).len(), 1);
    }
}
