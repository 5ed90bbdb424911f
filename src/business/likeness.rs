//! Who may be the same person although no number says so: a child whose number one window did not
//! know, or who comes with another guardian. A likeness is found by name and birth date; it refuses
//! nobody and only makes a question. Depends on model.

use crate::{
    business::{child, plain},
    model::pb::{self, application::Details},
};

/// By what an application is found to be like others, as texts to be digested.
pub struct Likeness {
    /// Under what it is found itself.
    pub own: String,
    /// What it is like: of two of which both have a number, the number alone decides.
    pub sought: Vec<String>,
    /// Claims of the same person: who has one of them is found by it, or is no other.
    pub same: Vec<String>,
}

/// The likeness of an application; `None` in businesses that nobody enters without a number.
pub fn of(application: &pb::Application) -> Option<Likeness> {
    let Some(Details::ChildRecognition(_)) = &application.details else { return None };
    let person = application.applicant.as_ref()?;
    let name: String = plain(&person.name).chars().map(half_width).collect();
    let name = name.to_uppercase();
    if name.is_empty() || person.birth_date.is_empty() {
        return None;
    }
    let text = |numbered: &str| {
        format!("{}/like\n{name}/{}/{numbered}", child::BENEFIT, person.birth_date)
    };
    let (numbered, unnumbered) = (text("numbered"), text("unnumbered"));
    let same = (child::RULES.benefits)(application).into_iter();
    let same = same.flat_map(|benefit| [benefit.text(), benefit.right()]).collect();
    Some(match person.resident_id.is_empty() {
        true => Likeness { own: unnumbered.clone(), sought: vec![unnumbered, numbered], same },
        false => Likeness { own: numbered, sought: vec![unnumbered], same },
    })
}

/// Letters as wide as Chinese characters are those of ASCII. GB/T 2312 has both.
fn half_width(c: char) -> char {
    match u32::from(c) {
        wide @ 0xff01..=0xff5e => char::from_u32(wide - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// Rule id of the question.
const RULE: &str = "I1";

/// What is asked of an application that is like another.
pub fn question(other: String) -> pb::RuleCheck {
    let mut check = pb::RuleCheck {
        rule: RULE.to_owned(),
        field: "applicant".to_owned(),
        says: "可能与另一件在办或已准予的申请是同一名儿童（姓名、出生日期相同，至少一方没有公民身份号码），\
               请核对身份、监护人和户籍后再作决定；是同一人的，不得重复认定"
            .to_owned(),
        source: "一人一地一档 [P]".to_owned(),
        application_id: other,
        ..Default::default()
    };
    check.set_asked_of(pb::AskedOf::Human);
    check
}

/// Whether a question is that of a likeness: no rule can answer it, it stays until a decision.
pub fn is_question(check: &pb::RuleCheck) -> bool {
    check.rule == RULE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(name: &str, number: &str, guardian: &str) -> Likeness {
        let application = pb::Application {
            applicant: Some(pb::Person {
                name: name.into(),
                resident_id: number.into(),
                birth_date: "2019-03-02".into(),
                ..Default::default()
            }),
            guardian: Some(pb::Representative {
                resident_id: guardian.into(),
                ..Default::default()
            }),
            details: Some(Details::ChildRecognition(pb::ChildRecognition::default())),
            ..Default::default()
        };
        of(&application).unwrap()
    }

    /// Whether the second asks about the first.
    fn asks(first: &Likeness, second: &Likeness) -> bool {
        second.sought.contains(&first.own)
            && !first.same.iter().any(|one| second.same.contains(one))
    }

    const NUMBER: &str = "230103201903020021";
    const OTHER: &str = "510104201903020044";

    #[test]
    fn two_are_alike_when_one_of_them_has_no_number_and_they_are_not_known_to_be_one() {
        let (bare, numbered) = (child("娜仁·其木格", "", "a"), child("娜仁 其木格", NUMBER, "a"));
        let (moved, third) = (child("娜仁其木格", "", "b"), child("娜仁其木格", OTHER, "b"));
        for (one, other) in [(&bare, &numbered), (&bare, &moved), (&moved, &third)] {
            assert!(asks(one, other) && asks(other, one));
        }
        assert!(!asks(&numbered, &third), "two numbers are two people");
        assert!(!asks(&bare, &child("娜仁其木格", "", "a")), "the same claim is a duplicate");
        assert!(!asks(&bare, &child("其木格", "", "b")));
        assert!(asks(&child("Anna Lee", "", "a"), &child("ＡＮＮＡ ＬＥＥ", "", "b")));
    }

    #[test]
    fn only_who_may_lack_a_number_has_a_likeness_and_only_with_name_and_birth() {
        let person = pb::Person { name: "王小明".into(), ..Default::default() };
        let mut application = pb::Application {
            applicant: Some(person),
            details: Some(Details::ChildRecognition(pb::ChildRecognition::default())),
            ..Default::default()
        };
        assert!(of(&application).is_none());
        application.applicant.as_mut().unwrap().birth_date = "1940-01-01".into();
        assert!(of(&application).is_some());
        application.details = Some(Details::OldAgeAllowance(pb::OldAgeAllowance::default()));
        assert!(of(&application).is_none());
    }
}
