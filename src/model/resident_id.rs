//! Citizen identification number (公民身份号码), GB 11643-1999, and its form of 15 digits before
//! (GB 11643-1989). Where forms are compared nothing is refused: numbers of old records may hold
//! zeros for what was not known.

use jiff::civil::Date;

/// Why a text is no citizen identification number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResidentIdError {
    /// Not 17 digits and a digit or `X`.
    #[error("must be 17 digits and a check character, 0-9 or X; type all 18 characters again")]
    Form,
    /// Characters 7 to 14 are no date.
    #[error("characters 7 to 14 are no date of birth; type all 18 characters again")]
    BirthDate,
    /// The check character is wrong.
    #[error("check character is wrong; type all 18 characters again")]
    CheckCharacter,
}

/// A number that passed all checks of form.
#[derive(Clone, PartialEq, Eq)]
pub struct ResidentId {
    birth_date: Date,
    male: bool,
}

impl ResidentId {
    /// Checks form, date of birth and check character.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn parse(text: &str) -> Result<Self, ResidentIdError> {
        let bytes = text.as_bytes();
        let [digits @ .., check] = bytes else { return Err(ResidentIdError::Form) };
        if digits.len() != 17 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(ResidentIdError::Form);
        }
        if !(check.is_ascii_digit() || *check == b'X') {
            return Err(ResidentIdError::Form);
        }
        // By hand: the general parser costs ten times as much, and this runs for every person.
        let number = |from: usize, to: usize| {
            digits[from..to].iter().fold(0, |n, d| n * 10 + i16::from(d - b'0'))
        };
        let small = |from: usize, to: usize| i8::try_from(number(from, to)).unwrap_or_default();
        let birth_date = Date::new(number(6, 10), small(10, 12), small(12, 14));
        let birth_date = birth_date.map_err(|_| ResidentIdError::BirthDate)?;
        if birth_date.year() < 1800 {
            return Err(ResidentIdError::BirthDate);
        }
        if check_character(digits) != *check {
            return Err(ResidentIdError::CheckCharacter);
        }
        Ok(Self { birth_date, male: (digits[16] - b'0') % 2 == 1 })
    }

    /// Date of birth, characters 7 to 14.
    pub const fn birth_date(&self) -> Date {
        self.birth_date
    }

    /// Sex by character 17 (odd is male), as a code of GB/T 2261.1: `1` or `2`.
    pub const fn sex(&self) -> &'static str {
        if self.male { "1" } else { "2" }
    }
}

/// The check character of 17 digits: ISO 7064 MOD 11-2.
pub fn check_character(digits: &[u8]) -> u8 {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 =
        digits.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    b"10X98765432"[(sum % 11) as usize]
}

/// The forms a record of this person may stand under: the number itself, and the other form where
/// there is one. 15 digits name births of 1900 to 1999 only.
pub fn forms(number: &str) -> Vec<String> {
    let number = number.trim().to_ascii_uppercase();
    let mut forms = vec![number.clone()];
    forms.extend(short(&number).or_else(|| long(&number)));
    forms
}

/// Whether both numbers name the same person.
pub fn same(one: &str, other: &str) -> bool {
    let plain = |number: &str| {
        let number = number.trim().to_ascii_uppercase();
        short(&number).unwrap_or(number)
    };
    !one.trim().is_empty() && plain(one) == plain(other)
}

fn short(number: &str) -> Option<String> {
    let (digits, check) = number.split_at_checked(17)?;
    let fits = digits.bytes().all(|b| b.is_ascii_digit()) && check.len() == 1;
    (fits && &digits[6..8] == "19").then(|| format!("{}{}", &digits[..6], &digits[8..]))
}

fn long(number: &str) -> Option<String> {
    if number.len() != 15 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{}19{}", &number[..6], &number[6..]);
    let check = char::from(check_character(digits.as_bytes()));
    Some(format!("{digits}{check}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_lead_to_each_other() {
        // The example of GB 11643-1999.
        assert_eq!(forms("11010519491231002X"), ["11010519491231002X", "110105491231002"]);
        assert_eq!(forms("110105491231002"), ["110105491231002", "11010519491231002X"]);
        assert_eq!(forms(" 11010519491231002x")[0], "11010519491231002X");
    }

    #[test]
    fn who_was_born_after_1999_or_has_another_document_has_one_form() {
        for only in ["110105200012310021", "P1234567", "", "00000019491231", "E护照"] {
            assert_eq!(forms(only), [only]);
        }
    }

    #[test]
    fn numbers_are_compared_across_forms_and_nobody_is_the_same_as_no_number() {
        assert!(same("11010519491231002x", "110105491231002"));
        assert!(!same("11010519491231002X", "110105194912310021X"));
        assert!(!same("", ""));
    }

    #[test]
    fn the_standards_example_passes() {
        let id = ResidentId::parse("11010519491231002X").unwrap();
        assert_eq!(id.birth_date(), jiff::civil::date(1949, 12, 31));
        assert_eq!(id.sex(), "2");
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let good = "440524188001010014";
        assert!(ResidentId::parse(good).is_ok());
        for position in 0..18 {
            for digit in b'0'..=b'9' {
                let mut bytes = good.as_bytes().to_vec();
                if bytes[position] == digit {
                    continue;
                }
                bytes[position] = digit;
                assert!(ResidentId::parse(std::str::from_utf8(&bytes).unwrap()).is_err());
            }
        }
    }

    #[test]
    fn multibyte_and_short_texts_are_refused_without_panic() {
        for text in ["", "1", "一二三四五六七八九", "11010519491331002X", "11010519491231002x"]
        {
            assert!(ResidentId::parse(text).is_err(), "{text}");
        }
    }
}
