//! The township's opinion on a child (乡镇初审意见): the county decides after it. A decision of the
//! county without one is taken, since a handler on the canonical API has no other call for it, but
//! never unseen: the township's limit is not met, and a question stays. Depends on model.

use jiff::civil::Date;

use crate::{
    business::clock,
    model::pb::{self, AuthorityLevel, DeadlineKind, EventType, Outcome, application::Details},
};

/// Rule id of the question.
const RULE: &str = "O1";

/// The day on which the opinion was given that a step on `today` ends the township's limit with:
/// the report's own, the one that the decision names, and where the township decides itself the
/// decision's. `None`: there was none.
pub fn given(application: &pb::Application, event: EventType, today: Date) -> Option<Date> {
    let decision = application.decision.as_ref().filter(|_| event == EventType::DecisionMade);
    match decision {
        Some(pb::Decision { township_opinion: Some(opinion), .. }) => opinion.given_on.parse().ok(),
        Some(_) if is_countys(application) => None,
        _ => Some(today),
    }
}

/// What is asked of a decision that the county makes without the opinion.
pub fn question(application: &pb::Application, decision: &pb::Decision) -> Option<pb::RuleCheck> {
    let awaited = clock::is_awaited(&application.deadlines, DeadlineKind::TownshipOpinion);
    if decision.township_opinion.is_some() || !awaited || !is_countys(application) {
        return None;
    }
    let says = match decision.outcome() {
        Outcome::Granted => {
            "县级民政部门未见乡镇（街道）初审意见即作出认定，请补录初审意见，没有的应当补做初审"
        }
        _ => "县级民政部门未见乡镇（街道）初审意见即作出决定，请补录初审意见",
    };
    let mut check = pb::RuleCheck {
        rule: RULE.to_owned(),
        field: "decision.townshipOpinion".to_owned(),
        says: says.to_owned(),
        source: "孤儿等认定“跨省通办”（2021） [S8][S9]".to_owned(),
        ..Default::default()
    };
    check.set_asked_of(pb::AskedOf::Human);
    Some(check)
}

/// Whether the county has decided without the opinion.
pub fn is_lacking(application: &pb::Application) -> bool {
    application.checks.iter().any(|check| check.rule == RULE)
}

/// Whether the county decides on a child; where it has handed its power down, the township does.
fn is_countys(application: &pb::Application) -> bool {
    let child = matches!(&application.details, Some(Details::ChildRecognition(_)));
    let authority = application.handling_authority.as_ref();
    child && authority.is_some_and(|authority| authority.level() == AuthorityLevel::County)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const TODAY: Date = date(2026, 3, 10);

    fn child(level: AuthorityLevel, limit: pb::DeadlineState) -> pb::Application {
        let mut opinion = pb::Deadline::default();
        opinion.set_kind(DeadlineKind::TownshipOpinion);
        opinion.set_state(limit);
        pb::Application {
            details: Some(Details::ChildRecognition(pb::ChildRecognition::default())),
            handling_authority: Some(pb::HandlingAuthority {
                level: level as i32,
                ..Default::default()
            }),
            deadlines: vec![opinion],
            ..Default::default()
        }
    }

    fn decision(opinion: Option<&str>) -> pb::Decision {
        let opinion =
            opinion.map(|day| pb::TownshipOpinion { given_on: day.into(), ..Default::default() });
        pb::Decision { township_opinion: opinion, ..Default::default() }
    }

    fn on_decision(level: AuthorityLevel, opinion: Option<&str>) -> (Option<Date>, bool) {
        let mut child = child(level, pb::DeadlineState::Running);
        let decision = decision(opinion);
        let asked = question(&child, &decision).is_some();
        child.decision = Some(decision);
        (given(&child, EventType::DecisionMade, TODAY), asked)
    }

    #[test]
    fn a_county_without_the_opinion_is_asked_and_nobody_else() {
        use AuthorityLevel as L;
        assert_eq!(on_decision(L::County, None), (None, true));
        assert_eq!(on_decision(L::County, Some("2026-03-02")), (Some(date(2026, 3, 2)), false));
        for level in [L::Township, L::Unspecified] {
            assert_eq!(on_decision(level, None), (Some(TODAY), false), "{level:?}");
        }
        // The report itself, also from a case that had been decided once.
        let county = child(L::County, pb::DeadlineState::Running);
        assert_eq!(given(&county, EventType::ReviewReported, TODAY), Some(TODAY));
    }

    #[test]
    fn an_opinion_that_was_reported_is_not_asked_for_again() {
        use pb::DeadlineState as S;
        for (state, asked) in
            [(S::Passed, true), (S::Paused, true), (S::Met, false), (S::Missed, false)]
        {
            let county = child(AuthorityLevel::County, state);
            assert_eq!(question(&county, &decision(None)).is_some(), asked, "{state:?}");
        }
        let mut subsidy = child(AuthorityLevel::County, S::Running);
        subsidy.details = Some(Details::DisabilitySubsidy(pb::DisabilitySubsidy::default()));
        assert!(question(&subsidy, &decision(None)).is_none());
    }
}
