//! What citizens hand in: valid applications, each of a person with a number of their own.

use jiff::civil::Date;

use crate::{
    model::{
        clock,
        pb::{self, application::Details},
    },
    simulation::world::SECOND,
};

/// A valid citizen number (GB 11643).
fn citizen(person: u64, male: bool) -> String {
    let digits = format!("23010319780612{:03}", person % 490 * 2 + u64::from(male));
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.bytes().zip(weights).map(|(d, w)| u32::from(d - b'0') * w).sum();
    let check = ["1", "0", "X", "9", "8", "7", "6", "5", "4", "3", "2"][sum as usize % 11];
    format!("{digits}{check}")
}

fn place(division: &str) -> Option<pb::Place> {
    Some(pb::Place { division: division.into(), address: "花园街58号".into() })
}

fn person(number: u64, male: bool) -> pb::Person {
    pb::Person {
        name: "娜仁·其木格".into(),
        resident_id: citizen(number, male),
        sex: if male { "1" } else { "2" }.into(),
        birth_date: "1978-06-12".into(),
        ethnicity: "02".into(),
        phone: "13900000021".into(),
        registered_place: place("230103"),
        residence: place("230103"),
    }
}

pub(super) fn paper(n: u64) -> pb::Material {
    pb::Material {
        kind: "401".into(),
        file_name: "残疾人证.jpg".into(),
        size_bytes: 259_254,
        sha256: format!("{n:064x}"),
        reference: format!("https://files.example/{n}"),
        ..Default::default()
    }
}

/// An application of `person` for both disability subsidies, decided in `home`.
pub(super) fn subsidy(number: &str, who: u64, taken_in: &str, home: &str) -> pb::Application {
    let now = clock::to_proto(clock::now_micros());
    let applicant = person(who, false);
    let account = pb::BankAccount {
        bank_name: "中国农业银行哈尔滨南岗支行".into(),
        account_name: applicant.name.clone(),
        account_number: "6228480170123456783".into(),
    };
    pb::Application {
        business: pb::Business::DisabilitySubsidy as i32,
        acceptance_number: number.into(),
        accepting_division: taken_in.into(),
        accepting_office: "花园街道办事处".into(),
        home_division: home.into(),
        source: pb::Source::Window as i32,
        accept_time: Some(now),
        complete_time: Some(now),
        bank_account: Some(account),
        materials: vec![paper(who)],
        details: Some(Details::DisabilitySubsidy(pb::DisabilitySubsidy {
            subsidy_kind: "3".into(),
            certificate_number: format!("{}41", applicant.resident_id),
            category: "4".into(),
            level: "1".into(),
            certificate_valid_to: "2031-06-30".into(),
            hardship_kind: "1".into(),
            hardship_certificate_number: "哈南低保2024第000317号".into(),
            other_allowance: "0".into(),
            long_term_care: Some(true),
            statement: "双下肢瘫痪，长期卧床。".into(),
            ..Default::default()
        })),
        applicant: Some(applicant),
        ..Default::default()
    }
}

/// A couple that registers their marriage where they are.
pub(super) fn marriage(number: &str, who: u64, taken_in: &str) -> pb::Application {
    let today = clock::china_date(clock::now_micros()).to_string();
    let spouse = |male| {
        Some(pb::Spouse {
            person: Some(person(who, male)),
            identity_kind: "1".into(),
            document_kind: "1".into(),
            citizenship: "CHN".into(),
            marital_status: "10".into(),
            ..Default::default()
        })
    };
    pb::Application {
        business: pb::Business::MarriageRegistration as i32,
        acceptance_number: number.into(),
        accepting_division: taken_in.into(),
        accepting_office: "南岗区民政局婚姻登记处".into(),
        source: pb::Source::Window as i32,
        accept_time: Some(clock::to_proto(clock::now_micros())),
        details: Some(Details::MarriageRegistration(pb::MarriageRegistration {
            operation: "IA".into(),
            man: spouse(true),
            woman: spouse(false),
            registry_code: taken_in.into(),
            registry_name: "南岗区民政局婚姻登记处".into(),
            registration_date: today,
            both_present: Some(true),
            declaration_sha256: format!("{who:064x}"),
            photo_sha256: format!("{who:064x}"),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// The day on which an application was taken in.
pub(super) fn taken_in_on(application: &pb::Application) -> Date {
    clock::china_date(application.accept_time.as_ref().unwrap().seconds * SECOND)
}

/// The decision of an office on an application taken in on that day: `granted` or not.
pub(super) fn decision(granted: bool, day: Date) -> pb::Decision {
    let paid_from = day.strftime("%Y-%m").to_string();
    pb::Decision {
        paid_from: if granted { paid_from } else { String::new() },
        ..decided(granted, day)
    }
}

/// The decision of a registry.
pub(super) fn registered(granted: bool, day: Date) -> pb::Decision {
    let certificate_number = if granted { "J230103-2026-000123".into() } else { String::new() };
    pb::Decision { certificate_number, ..decided(granted, day) }
}

fn decided(granted: bool, day: Date) -> pb::Decision {
    let outcome = if granted { pb::Outcome::Granted } else { pb::Outcome::Denied };
    let why = |text: &str| if granted { String::new() } else { text.into() };
    pb::Decision {
        outcome: outcome as i32,
        decided_on: day.to_string(),
        office: "民政局".into(),
        reason_code: why("99"),
        reason: why("不符合条件"),
        ..Default::default()
    }
}
