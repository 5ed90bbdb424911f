//! One person, one benefit: what an application claims, and what is told when somebody has it.
//! Depends on business and store.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{
    auth::Caller,
    business::{self, Travel},
    intake::Intake,
    model::{
        pb,
        problem::{Problem, Reason},
    },
    store::likeness::Likeness,
};

/// Another application that has what a new one claims.
pub(super) struct Duplicate {
    pub(super) business: pb::Business,
    pub(super) first: Uuid,
    /// It was granted.
    pub(super) paid: bool,
    /// Names of the benefits claimed that are had, and of those that are free.
    pub(super) benefits: [String; 2],
}

impl Intake {
    /// What must be free for the application to be taken in.
    pub(super) fn claims(&self, caller: &Caller, application: &pb::Application) -> Vec<String> {
        // The hub's request for an archive is part of the re-issue that has the claim.
        let archive = business::travel(application.business()) == Travel::ToNationalHub
            && self.routes.is_national(caller.party());
        if archive { Vec::new() } else { business::claims(application) }
    }

    /// By what the application is found to be like others.
    pub(super) fn likeness(&self, application: &pb::Application) -> Option<Likeness> {
        let texts = business::likeness::of(application)?;
        let digests =
            |texts: Vec<String>| texts.iter().map(|text| self.store.digest(text)).collect();
        Some(Likeness {
            own: self.store.digest(&texts.own),
            sought: digests(texts.sought),
            same: digests(texts.same),
        })
    }

    /// Makes the application what the caller may see of it: which other one a question is about only
    /// where the caller's party may see that one too.
    pub(super) async fn disclose(&self, caller: &Caller, application: &mut pb::Application) {
        for check in application.checks.iter_mut().filter(|check| !check.application_id.is_empty())
        {
            if self.own(caller, &check.application_id).await.is_err() {
                check.application_id.clear();
            }
        }
    }

    /// The benefits claimed that somebody has, and those that nobody has.
    pub(super) fn told_apart(&self, claims: &[String], held: &[[u8; 16]]) -> [String; 2] {
        let has = |claim: &&String| held.contains(&self.store.digest(claim));
        let names = |claims: BTreeSet<&str>| claims.into_iter().collect::<Vec<_>>().join(" ");
        let taken: BTreeSet<&str> =
            claims.iter().filter(has).map(|claim| business::benefit_of(claim)).collect();
        let all = claims.iter().map(|claim| business::benefit_of(claim));
        let free = all.filter(|name| !taken.contains(name)).collect();
        [names(taken), names(free)]
    }

    /// What is told who claims a benefit that somebody has: which, and what may be done instead.
    pub(super) async fn duplicate(
        &self,
        caller: &Caller,
        operation: &str,
        Duplicate { business, first, paid, benefits: [held, free] }: Duplicate,
    ) -> Problem {
        let couple = business::travel(business) == Travel::ToNationalHub;
        let text = match paid {
            _ if couple => {
                "one of the two has an open application at a registry, or is in the cooling-off or \
                 collection time of a divorce (离婚冷静期); that one must end, or be withdrawn, first"
            }
            true => {
                "the same person is being paid the same benefit; ask for a change or a transfer \
                 of it instead"
            }
            false => {
                "the same person has an open application for the same benefit; follow that one, \
                 or withdraw it first"
            }
        };
        let mut text = text.to_owned();
        if !free.is_empty() {
            text = format!("{held}: {text}. {free} is free: apply for it alone");
        }
        let mut problem = Problem::new(Reason::DuplicateApplication, text).with("benefit", held);
        // The first one's id only to a party that may see it.
        let first = first.to_string();
        if self.own(caller, &first).await.is_ok() {
            problem = problem.with("applicationId", first);
        }
        self.refuse(caller, operation, problem).await
    }
}
