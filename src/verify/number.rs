//! The two forms of a citizen number: 18 characters since 1999, 15 digits before (GB 11643-1989).
//! Nothing is refused here: numbers of old records may hold zeros for what was not known.

/// The forms a record of this person may stand under: the number itself, and the other form where
/// there is one. 15 digits name births of 1900 to 1999 only.
pub(super) fn forms(number: &str) -> Vec<String> {
    let number = number.trim().to_ascii_uppercase();
    let mut forms = vec![number.clone()];
    forms.extend(short(&number).or_else(|| long(&number)));
    forms
}

/// Whether both numbers name the same person.
pub(super) fn same(one: &str, other: &str) -> bool {
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
    // ISO 7064 MOD 11-2: each weight is half the one before it, modulo 11.
    let sum = digits.bytes().fold(0_u32, |sum, digit| (sum + u32::from(digit - b'0')) * 2 % 11);
    let check = "10X98765432".chars().nth(usize::try_from(sum).ok()?)?;
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
}
