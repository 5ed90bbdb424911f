//! Citizen identification numbers as lists really carry them: 15 digits of the first generation,
//! full-width digits, a small x, blanks; brought to one form in which they can be compared.

use jiff::civil::Date;

use crate::model::resident_id::check_character;

/// A number in its 18-character form, packed. A wrong check character is kept as it is: historic
/// records hold such numbers, and both lists may hold the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(u64);

impl Number {
    /// Reads a number in any of its spellings.
    ///
    /// # Errors
    /// What is wrong and what to do; never the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be 18 characters, 17 digits and a digit or X, or 15 digits";
        let mut found = [0u8; 18];
        let mut length = 0;
        for letter in text.chars() {
            let Some(byte) = plain(letter) else {
                if letter.is_whitespace() || "-'‘’`\u{200b}\u{feff}".contains(letter) {
                    continue;
                }
                return Err(FORM);
            };
            *found.get_mut(length).ok_or(FORM)? = byte;
            length += 1;
        }
        match length {
            18 => {}
            15 => {
                // GB 11643-1989 to 1999: the century 19 and the check character are added.
                found.copy_within(6..15, 8);
                found[6..8].copy_from_slice(b"19");
                let digits = found.get(..17).ok_or(FORM)?;
                if !digits.iter().all(u8::is_ascii_digit) {
                    return Err(FORM);
                }
                found[17] = check_character(digits);
            }
            _ => return Err(FORM),
        }
        let [digits @ .., check] = &found;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(FORM);
        }
        let packed = digits.iter().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
        let number = Self(packed * 11 + if *check == b'X' { 10 } else { u64::from(check - b'0') });
        if number.birth_date().is_none() {
            return Err("characters 7 to 14 are no date of birth");
        }
        Ok(number)
    }

    /// The 18 characters.
    pub fn text(self) -> String {
        let check = match self.0 % 11 {
            10 => "X".to_owned(),
            digit => digit.to_string(),
        };
        format!("{:017}{check}", self.0 / 11)
    }

    /// First 6 and last 2 characters; the date of birth and most of the sequence are hidden.
    pub fn masked(self) -> String {
        let text = self.text();
        format!("{}**********{}", &text[..6], &text[16..])
    }

    /// Whether the check character is that of the digits.
    pub fn checks(self) -> bool {
        let text = self.text();
        let bytes = text.as_bytes();
        check_character(&bytes[..17]) == bytes[17]
    }

    fn birth_date(self) -> Option<Date> {
        let digits = self.0 / 11 / 1000;
        let part = |scale: u64, size: u64| digits / scale % size;
        let year = i16::try_from(part(10_000, 10_000)).ok()?;
        let month = i8::try_from(part(100, 100)).ok()?;
        let day = i8::try_from(part(1, 100)).ok()?;
        Date::new(year, month, day).ok().filter(|_| year >= 1800)
    }

    /// With one bit beside it, for sorting a person's rows by subsidy.
    pub(super) const fn beside(self, bit: bool) -> u64 {
        self.0 * 2 + bit as u64
    }

    pub(super) const fn of_key(key: u64) -> Self {
        Self(key / 2)
    }
}

impl std::fmt::Debug for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Number(…)")
    }
}

/// A digit or X in any width, as ASCII.
fn plain(letter: char) -> Option<u8> {
    match letter {
        '0'..='9' => u8::try_from(letter).ok(),
        '０'..='９' => u8::try_from(u32::from(letter) - u32::from('０')).ok().map(|n| n + b'0'),
        'X' | 'x' | 'Ｘ' | 'ｘ' | '×' => Some(b'X'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digits() -> impl Strategy<Value = String> {
        (110_000u32..660_000, 1900u32..2000, 1u32..=12, 1u32..=28, 0u32..1000)
            .prop_map(|(area, year, month, day, n)| format!("{area}{year}{month:02}{day:02}{n:03}"))
    }

    fn complete(digits: &str) -> String {
        format!("{digits}{}", char::from(check_character(digits.as_bytes())))
    }

    proptest! {
        #[test]
        fn every_spelling_of_a_number_is_the_same_number(
            digits in digits(), wide in any::<u32>(), blanks in proptest::collection::vec(0..19usize, 0..4)
        ) {
            let right = complete(&digits);
            let number = Number::parse(&right).unwrap();
            prop_assert_eq!(number.text(), right.clone());
            prop_assert!(number.checks());
            let short = format!("{}{}", &digits[..6], &digits[8..]);
            prop_assert!(Number::parse(&short) == Ok(number));
            let mut spelt: Vec<char> = right.to_lowercase().chars().enumerate().map(|(i, c)| {
                match c.to_digit(10) {
                    Some(d) if wide >> i & 1 == 1 => char::from_u32(u32::from('０') + d).unwrap(),
                    _ => c,
                }
            }).collect();
            for at in blanks { spelt.insert(at, '\u{3000}'); }
            let spelt: String = spelt.into_iter().collect();
            prop_assert!(Number::parse(&spelt) == Ok(number));
            prop_assert!(Number::of_key(number.beside(true)) == number);
            prop_assert!(!number.masked().contains(&digits[6..14]));
        }

        #[test]
        fn different_numbers_stay_different(a in digits(), b in digits(), x in 0..11u8) {
            let same = Number::parse(&complete(&a)).unwrap() == Number::parse(&complete(&b)).unwrap();
            prop_assert_eq!(same, a == b);
            let check = char::from(b"0123456789X"[usize::from(x)]);
            let other = Number::parse(&format!("{a}{check}")).unwrap();
            prop_assert_eq!(other.checks(), complete(&a).ends_with(check));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,24}|[0-9Xx０-９]{10,20}") {
            if let Ok(number) = Number::parse(&text) {
                prop_assert!(Number::parse(&number.text()) == Ok(number));
            }
        }
    }

    #[test]
    fn impossible_numbers_are_refused() {
        for text in
            ["", "X", "1101051949123100", "110105194913310021", "11010519491231X02X", "李四"]
        {
            assert!(Number::parse(text).is_err(), "{text}");
        }
    }
}
