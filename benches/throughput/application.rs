//! Applications as fast as they can be made: one encoded disability subsidy application of about
//! 1 KB, in which each new person's numbers are put in place. Depends on the `tongban` model.

use std::{
    cell::Cell,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use tongban::model::{
    DESCRIPTORS,
    pb::{self, application::Details},
    resident_id::check_character,
};

// What is put in place; as long as what it stands for, and nothing else in the message is like it.
const RESIDENT: &str = "RRRRRRRRRRRRRRRRRR";
const BIRTH: &str = "BBBB-BB-BB";
const HOME: &str = "HHHHHH";
const NUMBER: &str = "NNNNNNNNNNNNNNNN";

/// An encoded message and where its variable parts stand.
pub(crate) struct Template {
    bytes: Vec<u8>,
    places: Vec<(usize, &'static str)>,
}

/// Makes one new applicant after another, never the same twice, also in a later run.
pub(crate) struct Applicants {
    homes: Vec<String>,
    next: Cell<u64>,
    pub(crate) grpc: Template,
    pub(crate) rest: Template,
}

impl Applicants {
    /// Reads the divisions to live in: every county of neither our province nor a direct party's.
    pub(crate) fn new(divisions: &Path) -> anyhow::Result<Self> {
        Self::living(divisions, |code| !code.starts_with("23") && !code.starts_with("44"))
    }

    /// Reads the divisions to live in: those counties.
    pub(crate) fn living(divisions: &Path, there: fn(&str) -> bool) -> anyhow::Result<Self> {
        let text = fs::read_to_string(divisions).context("divisions")?;
        let homes = text.lines().filter(|line| line.ends_with(",county"));
        let homes = homes.filter(|line| there(line));
        let homes: Vec<String> = homes.filter_map(|l| l.get(..6).map(str::to_owned)).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let application = application(now);
        let mut dynamic = DynamicMessage::new(
            DESCRIPTORS.get_message_by_name("tongban.v1.Application").context("descriptor")?,
        );
        dynamic.transcode_from(&application)?;
        let json = serde_json::to_vec(&dynamic)?;
        let request = pb::SubmitApplicationRequest { application: Some(application) };
        let mut framed = vec![0];
        framed.extend_from_slice(&u32::try_from(request.encoded_len())?.to_be_bytes());
        request.encode(&mut framed)?;
        // A second holds fewer applications than this: no two runs meet.
        let next = Cell::new(now * 100_000);
        Ok(Self { homes, next, grpc: Template::new(framed), rest: Template::new(json) })
    }

    /// How long one application is, in words.
    pub(crate) fn sizes(&self) -> String {
        let [grpc, rest] = [&self.grpc, &self.rest].map(|template| template.bytes.len());
        format!("one application: {} bytes of protobuf, {rest} of JSON", grpc - 5)
    }

    /// Leaves out so many, which another process or thread makes.
    pub(crate) fn skip(&self, count: u64) {
        self.next.set(self.next.get() + count);
    }

    /// The next application in the form of `template`, and its number.
    pub(crate) fn next(&self, template: &Template) -> (Vec<u8>, String) {
        let number = self.next.get();
        self.next.set(number + 1);
        let homes = self.homes.len() as u64;
        let home = &self.homes[usize::try_from(number % homes).unwrap_or_default()];
        let rest = number / homes;
        // Odd, so that all are men: the sex stands in the template.
        let order = rest % 500 * 2 + 1;
        let day = rest / 500 % (60 * 12 * 28);
        let (year, month, day) = (1945 + day / 336, 1 + day / 28 % 12, 1 + day % 28);
        let mut resident = format!("{home}{year}{month:02}{day:02}{order:03}");
        resident.push(char::from(check_character(resident.as_bytes())));
        let birth = format!("{year}-{month:02}-{day:02}");
        let number = format!("{number:016}");
        let mut bytes = template.bytes.clone();
        for (at, what) in &template.places {
            let value = match *what {
                RESIDENT => &resident,
                BIRTH => &birth,
                HOME => home,
                _ => &number,
            };
            bytes[*at..*at + value.len()].copy_from_slice(value.as_bytes());
        }
        (bytes, number)
    }
}

impl Template {
    fn new(bytes: Vec<u8>) -> Self {
        let mut places = Vec::new();
        for what in [RESIDENT, BIRTH, HOME, NUMBER] {
            let windows = bytes.windows(what.len()).enumerate();
            let found = windows.filter(|(_, window)| *window == what.as_bytes());
            places.extend(found.map(|(at, _)| (at, what)));
        }
        Self { bytes, places }
    }
}

fn application(now: u64) -> pb::Application {
    let time = prost_types::Timestamp { seconds: now.cast_signed() - 60, nanos: 0 };
    pb::Application {
        business: pb::Business::DisabilitySubsidy as i32,
        acceptance_number: format!("SL{NUMBER}"),
        accepting_division: "230103".into(),
        accepting_office: "哈尔滨市南岗区政务服务中心民政窗口".into(),
        home_division: HOME.into(),
        source: pb::Source::Window as i32,
        accept_time: Some(time),
        complete_time: Some(time),
        applicant: Some(pb::Person {
            name: "欧阳明远".into(),
            resident_id: RESIDENT.into(),
            sex: "1".into(),
            birth_date: BIRTH.into(),
            ethnicity: "01".into(),
            phone: "13900000000".into(),
            residence: Some(pb::Place {
                division: "230103001".into(),
                address: "南岗区花园街道中山路一百二十号三单元五零二室".into(),
            }),
            ..Default::default()
        }),
        bank_account: Some(pb::BankAccount {
            bank_name: "中国建设银行股份有限公司哈尔滨南岗支行".into(),
            account_name: "欧阳明远".into(),
            account_number: "6217000010001234567".into(),
        }),
        materials: ["111", "113", "121"].into_iter().map(material).collect(),
        details: Some(Details::DisabilitySubsidy(pb::DisabilitySubsidy {
            subsidy_kind: "3".into(),
            certificate_number: format!("{RESIDENT}41"),
            category: "4".into(),
            level: "1".into(),
            certificate_valid_to: "2032-12-31".into(),
            hardship_kind: "1".into(),
            hardship_certificate_number: "DB2301030012345".into(),
            other_allowance: "0".into(),
            long_term_care: Some(true),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn material(kind: &str) -> pb::Material {
    pb::Material {
        kind: kind.into(),
        file_name: format!("材料{kind}.pdf"),
        size_bytes: 183_204,
        sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
        reference: format!("https://files.hlj.example/{NUMBER}/{kind}"),
        ..Default::default()
    }
}
