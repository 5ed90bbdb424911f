//! Who is recorded how in the libraries of the stand-ins, read off the citizen number alone, so
//! that every simulator can make people with a wanted past and the hub tells it without either
//! knowing the other.
//!
//! The rule: characters 15 to 17 of the 18-digit number (the sequence), 13 to 15 of the 15-digit
//! one. Below 750 a person is ordinary: nothing is recorded, the certificate is valid, the household
//! is where it is said to be. Each fate has six numbers, `first + index * 6 + place * 2 + male`, with
//! `place` as `Role::place` gives it; the first sixteen fates begin at 900, the later ones at 750.
//! What no fate has is ordinary.

use jiff::civil::Date;

use crate::sim::people::check_character;

/// What the libraries know of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing that would matter.
    Ordinary,
    /// Marriage library: married (IA).
    Married,
    /// Marriage library: married (IA), then divorced (IB).
    Divorced,
    /// Old library of province 23 only, under the 15-digit number: married (IA) before 1999, the
    /// spouse with a placeholder number. Needs a birth before 2000 to have a 15-digit number.
    MarriedLongAgo,
    /// Married (IA), a divorce applied for in another province, in its cooling-off period.
    Cooling,
    /// Another province pays the living subsidy.
    DrawsLiving,
    /// Another province pays the nursing subsidy.
    DrawsNursing,
    /// Another province paid the living subsidy until last month and has stopped: the household moved.
    DrewUntilMoved,
    /// The disability certificate ran out a year ago.
    CertificateExpired,
    /// The certificate register knows level 4, whatever the certificate number says.
    CertificateDiffers,
    /// The household is registered in another county than anyone says.
    RegisteredElsewhere,
    /// Died last year.
    Dead,
    /// Another province supports the person as extremely poor (特困).
    ExtremelyPoor,
    /// Another province pays the old-age allowance.
    DrawsOldAge,
    /// Another province pays the orphan's allowance.
    DrawsChild,
    /// Marriage library: married (IA); the spouse died, which only papers prove (丧偶).
    Widowed,
    /// The hub never answers a question about this person.
    Unanswered,
    /// Draws both subsidies and the old-age allowance where the number was first given.
    DrawsThere,
    /// Draws the subsistence allowance (低保) where the number was first given.
    OnDibao,
    /// Gets the nursing fee of the work-injury insurance.
    InjuryFee,
    /// Never hands in what is asked for.
    NeverAnswers,
}

/// In the order of their numbers.
pub(super) const FATES: [Fate; 20] = [
    Fate::Married,
    Fate::Divorced,
    Fate::MarriedLongAgo,
    Fate::Cooling,
    Fate::DrawsLiving,
    Fate::DrawsNursing,
    Fate::DrewUntilMoved,
    Fate::CertificateExpired,
    Fate::CertificateDiffers,
    Fate::RegisteredElsewhere,
    Fate::Dead,
    Fate::ExtremelyPoor,
    Fate::DrawsOldAge,
    Fate::DrawsChild,
    Fate::Widowed,
    Fate::Unanswered,
    Fate::DrawsThere,
    Fate::OnDibao,
    Fate::InjuryFee,
    Fate::NeverAnswers,
];

/// First number of each half of the fates, and how many the first half has.
const FIRST: usize = 900;
const LATER: usize = 750;
const EARLY: usize = 16;
const EACH: usize = 6;

/// The fate a citizen number tells, of either length; ordinary when it is no such number.
pub(super) fn fate(number: &str) -> Fate {
    // A passport's number may be as long as an old citizen number.
    let digits = |count: usize| {
        number.get(..count).is_some_and(|head| head.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let sequence = match number.len() {
        18.. if digits(17) => number.get(14..17),
        15 if digits(15) => number.get(12..15),
        _ => None,
    };
    let sequence = sequence.and_then(|digits| digits.parse::<usize>().ok()).unwrap_or_default();
    let later = |sequence: usize| EARLY + (sequence - LATER) / EACH;
    let index = match sequence {
        FIRST.. => Some((sequence - FIRST) / EACH).filter(|index| *index < EARLY),
        LATER.. => Some(later(sequence)),
        _ => None,
    };
    index.and_then(|index| FATES.get(index)).copied().unwrap_or(Fate::Ordinary)
}

/// The number of the spouse in the libraries: of the same day and place, the other of the two
/// numbers that differ in the sex alone.
pub(super) fn spouse_of(number: &str) -> Option<String> {
    let sequence: u32 = number.get(14..17)?.parse().ok()?;
    let digits = format!("{}{:03}", number.get(..14)?, sequence ^ 1);
    Some(format!("{digits}{}", check_character(&digits)))
}

/// A citizen number (GB 11643) with that fate, of someone born there and then, made by the
/// simulator with that place (0 to 2). `None` for an ordinary one.
pub(super) fn number_with(
    wanted: Fate,
    county: &str,
    birth: Date,
    (male, place): (bool, usize),
) -> Option<String> {
    let index = FATES.iter().position(|fate| *fate == wanted)?;
    let first = if index < EARLY { FIRST } else { LATER - EARLY * EACH };
    let sequence = first + index * EACH + place.min(2) * 2 + usize::from(male);
    let digits = format!("{county}{}{sequence:03}", birth.strftime("%Y%m%d"));
    Some(format!("{digits}{}", check_character(&digits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_made_with_a_fate_tells_it_in_both_lengths_and_keeps_the_sex() {
        let birth = jiff::civil::date(1968, 2, 29);
        for wanted in FATES {
            for (male, place) in [(true, 0), (false, 0), (true, 2), (false, 1)] {
                let number = number_with(wanted, "230102", birth, (male, place)).unwrap();
                assert_eq!(fate(&number), wanted, "{number}");
                let old = format!("{}{}", &number[..6], &number[8..17]);
                assert_eq!((old.len(), fate(&old)), (15, wanted));
                assert_eq!((number.as_bytes()[16] - b'0') % 2 == 1, male);
                let id = crate::model::resident_id::ResidentId::parse(&number);
                assert!(id.is_ok(), "{number}");
            }
        }
    }

    #[test]
    fn spouses_find_each_other() {
        let birth = jiff::civil::date(1968, 2, 29);
        let his = number_with(Fate::Married, "230102", birth, (true, 1)).unwrap();
        let hers = number_with(Fate::Married, "230102", birth, (false, 1)).unwrap();
        assert_eq!(spouse_of(&his).unwrap(), hers);
        assert_eq!(spouse_of(&hers).unwrap(), his);
    }

    #[test]
    fn people_below_750_and_unknown_forms_are_ordinary() {
        let citizens = ["230102196802290011", "230102196802297497", "230102680229001"];
        // A passport of fifteen characters, and one of eighteen.
        let others = ["", "P123", "5P2756659042913", "5P2756659042913912"];
        for number in citizens.into_iter().chain(others) {
            assert_eq!(fate(number), Fate::Ordinary, "{number}");
        }
        let birth = jiff::civil::date(1990, 1, 1);
        assert!(number_with(Fate::Ordinary, "230102", birth, (true, 0)).is_none());
    }
}
