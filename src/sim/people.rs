//! Makes people up: valid citizen numbers of real divisions, names with rare characters, full
//! addresses, accounts with check digits. Deterministic by seed; nobody twice.

use std::{collections::HashSet, sync::Arc};

use jiff::{ToSpan as _, civil::Date};

use crate::{
    model::{codes::Codes, divisions::Divisions},
    sim::{
        case::{Account, Paper, Person, Place, Representative},
        cycle::Cycle,
        dice::Dice,
        fates::{Fate, number_with},
    },
};

/// Makes people; owns what keeps them apart.
pub(super) struct People {
    pub dice: Dice,
    pub cycle: Cycle,
    /// County code and full name, by code.
    counties: Vec<(String, String)>,
    used: HashSet<String>,
    today: Date,
    place: usize,
}

impl People {
    pub(super) fn new(
        codes: Arc<Codes>,
        divisions: &Divisions,
        (seed, place): (u64, usize),
        today: Date,
    ) -> Self {
        let mut counties: Vec<(String, String)> = divisions
            .counties()
            .map(|code| format!("{code:06}"))
            .filter_map(|code| divisions.get(&code).map(|d| (code.clone(), d.name.clone())))
            .collect();
        counties.sort();
        let offset = u64::try_from(place).unwrap_or_default();
        Self {
            dice: Dice::new(seed.wrapping_mul(31).wrapping_add(offset)),
            cycle: Cycle::new(codes, place),
            counties,
            used: HashSet::new(),
            today,
            place,
        }
    }

    /// The same makings with chance and rounds begun anew.
    pub(super) fn afresh(&self, seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            cycle: self.cycle.afresh(),
            counties: self.counties.clone(),
            used: HashSet::new(),
            today: self.today,
            place: 0,
        }
    }

    pub(super) const fn today(&self) -> Date {
        self.today
    }

    /// A county of the province with those two digits; `other` is any mainland province but 23
    /// and 44.
    pub(super) fn county(&mut self, province: &str) -> (String, String) {
        let fits = |code: &str| match province {
            "other" => !code.starts_with("23") && !code.starts_with("44") && code < "70",
            province => code.starts_with(province),
        };
        let counties: Vec<&(String, String)> =
            self.counties.iter().filter(|county| fits(&county.0)).collect();
        match counties.len() {
            0 => ("230102".into(), "黑龙江省哈尔滨市道里区".into()),
            count => counties[self.dice.below(count)].clone(),
        }
    }

    /// The number and birth of somebody with that past, of full years `low` to `high`, numbered in
    /// `county` or in any.
    pub(super) fn with_past(
        &mut self,
        fate: Fate,
        male: bool,
        (low, high): (i16, i16),
        county: Option<&str>,
    ) -> (String, Date) {
        loop {
            let birth = self.birth(low, high);
            let any = self.county("other").0;
            let number = number_with(fate, county.unwrap_or(&any), birth, (male, self.place));
            let number = number.unwrap_or_else(|| self.citizen_number(birth, male));
            if fate == Fate::Ordinary || self.used.insert(number.clone()) {
                return (number, birth);
            }
        }
    }

    /// A place in the province: by county, township or village, with an address.
    pub(super) fn place(&mut self, province: &str) -> Place {
        let (county, name) = self.county(province);
        self.place_in(&county, &name)
    }

    fn place_in(&mut self, county: &str, name: &str) -> Place {
        let below = self.cycle.among("division below", &["", "001", "101002", "003", "002001"]);
        let mut address = format!(
            "{name}{}{}号{}单元{}室",
            self.dice.pick(STREETS),
            self.dice.between(1, 999),
            self.dice.between(1, 8),
            self.dice.between(101, 2908)
        );
        if self.cycle.once_in("long address", 9) {
            // As long as a form allows: 200 characters.
            let more = "（原址拆迁，现由社区居民委员会统一登记，邮件请投至物业服务中心代收点）";
            address = address.chars().chain(more.chars().cycle()).take(200).collect();
        }
        Place { division: format!("{county}{below}"), address }
    }

    /// Someone whose home is in `province`, of full years `low` to `high`.
    pub(super) fn person(&mut self, province: &str, male: bool, low: i16, high: i16) -> Person {
        let birth = self.birth(low, high);
        let residence = if self.dice.chance(0.5) { "other" } else { province };
        Person {
            name: self.name(),
            id: self.citizen_number(birth, male),
            sex: if male { "1" } else { "2" }.into(),
            birth,
            ethnicity: self.cycle.next("ethnicity"),
            phone: self.phone(),
            registered: self.place(province),
            residence: self.place(residence),
        }
    }

    pub(super) fn representative(&mut self) -> Representative {
        let birth = self.birth(25, 70);
        let male = self.dice.chance(0.5);
        let place = self.place("other");
        Representative {
            name: self.name(),
            id: self.citizen_number(birth, male),
            relation: self.cycle.next("relation"),
            phone: self.phone(),
            address: place.address.chars().take(100).collect(),
        }
    }

    /// A day of birth that makes someone of `low` to `high` full years today.
    pub(super) fn birth(&mut self, low: i16, high: i16) -> Date {
        let years = i64::from(low)
            + i64::try_from(self.dice.below(usize::try_from(high - low).unwrap_or(1) + 1))
                .unwrap_or_default();
        let days = self.dice.between(1, 360);
        let days = i64::try_from(days).unwrap_or(1);
        self.today.checked_sub(years.years().days(days)).unwrap_or(self.today)
    }

    /// A citizen number (GB 11643) of any real county: where the number was first given need not
    /// be where the person lives.
    pub(super) fn citizen_number(&mut self, birth: Date, male: bool) -> String {
        loop {
            let province = *self.dice.pick(&["23", "44", "other"]);
            let (county, _) = self.county(province);
            // Each simulator has sequence numbers of its own, so that two never meet.
            let sequence = self.place * 250 + self.dice.below(125) * 2 + usize::from(male);
            let digits = format!("{county}{}{sequence:03}", birth.strftime("%Y%m%d"));
            let number = format!("{digits}{}", check_character(&digits));
            if self.used.insert(number.clone()) {
                return number;
            }
        }
    }

    pub(super) fn name(&mut self) -> String {
        if self.cycle.once_in("rare name", 4) {
            return self.cycle.among("rare names", RARE_NAMES);
        }
        let mut name = (*self.dice.pick(SURNAMES)).to_owned();
        name.push_str(self.dice.pick::<&str>(GIVEN));
        if self.dice.chance(0.5) {
            name.push_str(self.dice.pick::<&str>(GIVEN));
        }
        name
    }

    pub(super) fn phone(&mut self) -> String {
        if self.cycle.once_in("landline", 12) {
            return format!("0451-{}", self.dice.digits(8));
        }
        let second = self.dice.between(3, 9);
        format!("1{second}{}", self.dice.digits(9))
    }

    /// An account with 16 to 19 digits, the last by Luhn.
    pub(super) fn account(&mut self, holder: &str) -> Account {
        let length = 13 + self.dice.below(4);
        let digits = format!("62{}", self.dice.digits(length));
        let number = format!("{digits}{}", luhn(&digits));
        let bank = self.cycle.among("bank", BANKS);
        Account { bank, holder: holder.into(), number }
    }

    /// A paper of that kind: by reference, now and then with its content.
    pub(super) fn paper(&mut self, kind: &str) -> Paper {
        let inline = self.cycle.once_in("inline paper", 7);
        Paper::made(kind, &mut self.dice, inline)
    }
}

impl Paper {
    /// A paper of that kind.
    pub(super) fn made(kind: &str, dice: &mut Dice, inline: bool) -> Self {
        let mark = dice.next();
        let content = format!("paper {kind} {mark:016x}").into_bytes();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
        Self {
            kind: kind.into(),
            file: format!("材料-{kind}-{:06}.pdf", mark % 1_000_000),
            size: if inline { content.len() } else { 10_000 + dice.below(10_000_000) },
            digest: hex::encode(digest),
            location: if inline {
                String::new()
            } else {
                format!("https://files.example.invalid/{mark:016x}.pdf")
            },
            content: if inline { content } else { Vec::new() },
        }
    }
}

impl People {
    /// For most none, for some each kind in turn.
    pub(super) fn other_allowance(&mut self) -> String {
        if self.cycle.once_in("another allowance", 4) {
            return self.cycle.next("other_allowance");
        }
        "0".into()
    }

    /// A digest of something not handed in itself.
    pub(super) fn sha256(&mut self) -> String {
        (0..4).map(|_| format!("{:016x}", self.dice.next())).collect()
    }
}

/// The check character of 17 digits: ISO 7064 MOD 11-2, as GB 11643 has it.
pub(super) fn check_character(digits: &str) -> char {
    // 2^(18-i) mod 11 for the digit at place i: each weight is half the one before it, modulo 11.
    let sum = digits.bytes().fold(0_u32, |sum, digit| (sum + u32::from(digit - b'0')) * 2 % 11);
    ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2']
        .get(usize::try_from(sum).unwrap_or_default())
        .copied()
        .unwrap_or('0')
}

/// The check digit that makes the number pass ISO/IEC 7812 (Luhn).
fn luhn(digits: &str) -> u32 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let value = u32::from(digit - b'0') * if index % 2 == 0 { 2 } else { 1 };
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    (10 - sum % 10) % 10
}

const SURNAMES: &[&str] = &[
    "王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林",
    "何", "郭", "马", "罗", "梁", "宋", "郑", "谢", "韩", "唐", "冯", "于", "董", "萧", "欧阳",
    "司马", "上官", "諸葛", "䶮", "𡖖",
];

const GIVEN: &[&str] = &[
    "伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰", "娟", "涛", "明",
    "超", "秀", "霞", "平", "刚", "桂", "英", "华", "雪", "晨", "梓", "涵", "轩", "㛃", "喆", "堃",
    "淼", "𠅤", "𬭎", "䲜",
];

/// Names that break systems which count bytes, cut at three characters or know one plane only.
const RARE_NAMES: &[&str] = &[
    "买买提·吐尔逊",
    "阿卜杜拉·阿卜杜热合曼·麦麦提",
    "王㛃",
    "李𠅤",
    "张𠮷𡈽",
    "迪丽热巴·迪力木拉提",
    "刘䶮",
    "𡖖𠅤㛃",
    "益西·次仁多吉",
    "爱新觉罗·启㛃",
    "欧阳𬭎䲜",
    "尼格买提·热合曼江·阿不都克里木·吾斯曼江·库尔班",
];

const STREETS: &[&str] = &[
    "中山路",
    "人民大街",
    "解放路",
    "新华街",
    "建设路",
    "和平里",
    "友谊路",
    "花园街",
    "果戈里大街",
    "向阳村一组",
    "前进屯",
    "东风社区",
];

const BANKS: &[&str] = &[
    "中国农业银行股份有限公司哈尔滨道里支行",
    "中国邮政储蓄银行",
    "中国建设银行",
    "龙江银行",
    "广东省农村信用社联合社",
    "中国工商银行",
];

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::resident_id::ResidentId;

    pub(in crate::sim) fn people(place: usize) -> People {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let codes = Arc::new(Codes::load(&root.join("codes")).unwrap());
        let divisions = Divisions::load(&root.join("divisions.csv")).unwrap();
        People::new(codes, &divisions, (1, place), jiff::civil::date(2026, 11, 23))
    }

    #[test]
    fn numbers_are_valid_and_nobody_is_made_twice() {
        let mut people = people(1);
        let mut seen = HashSet::new();
        for turn in 0..2000 {
            let person = people.person("23", turn % 2 == 0, 20, 80);
            let id = ResidentId::parse(&person.id).unwrap();
            assert_eq!(id.birth_date(), person.birth);
            assert_eq!(id.sex(), person.sex);
            assert!(person.registered.division.starts_with("23"));
            assert!(person.registered.address.chars().count() <= 200);
            assert!(person.name.chars().count() <= 60);
            assert!(seen.insert(person.id));
        }
    }

    #[test]
    fn accounts_pass_luhn() {
        assert_eq!(luhn("7992739871"), 3);
        let account = people(0).account("王㛃");
        assert!((12..=19).contains(&account.number.len()));
    }

    #[test]
    fn the_same_seed_makes_the_same_people() {
        let name = |mut people: People| people.person("44", true, 20, 30).id;
        assert_eq!(name(people(2)), name(people(2)));
        assert_ne!(name(people(1)), name(people(2)));
    }
}
