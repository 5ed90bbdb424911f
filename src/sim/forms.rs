//! Fills in forms: complete and true applications of every business, of people whom the regulation
//! grants what they ask, going round every code list. The cast changes what is to be otherwise.

use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::Date};

use crate::sim::{
    case::{Body, Business, Child, Couple, Form, Parent, Person, Representative, Spouse, Subsidy},
    fates::{Fate, spouse_of},
    people::People,
    settings::Role,
};

/// The body, the guardian and the applicant.
pub(super) type Filled = (Body, Option<Representative>, Option<Person>);

/// Fills in forms for one system.
pub(super) struct Forms {
    pub people: People,
    pub(super) role: Role,
    seed: u64,
    /// Both of a couple are citizens.
    pub(super) citizens: bool,
}

/// Numbers of one business a day: how far the businesses are apart in the number of a case.
const APART: usize = 100_000;
/// From here on within a business: what is sent besides what was planned.
const BESIDES: usize = 50_000;

/// Which case of its business a number is, counted from 1.
pub(super) fn turn_of(number: &str) -> usize {
    let digits: String = number.chars().rev().filter(char::is_ascii_digit).take(6).collect();
    digits.chars().rev().collect::<String>().parse::<usize>().unwrap_or_default() % APART
}

impl Forms {
    pub(super) const fn new(people: People, role: Role, seed: u64) -> Self {
        Self { people, role, seed, citizens: false }
    }

    /// Forms of people whom every simulator makes up alike, by the seed alone.
    pub(super) fn twin(&self, business: Business) -> Self {
        let number = Business::ALL.iter().position(|one| *one == business).unwrap_or_default();
        let number = u64::try_from(number).unwrap_or_default();
        let people = self.people.afresh(self.seed.wrapping_mul(977).wrapping_add(number));
        Self { people, citizens: true, ..*self }
    }

    /// The turn of the next planned case of that business, from 1.
    pub(super) fn next_turn(&mut self, business: Business) -> usize {
        self.people.cycle.count(&format!("turn {}", business.code()))
    }

    /// The turn of a case that is sent besides.
    pub(super) fn turn_besides(&mut self, business: Business) -> usize {
        BESIDES + self.people.cycle.count(&format!("besides {}", business.code()))
    }

    /// A new form for a resident of province `home` (`23`, `44`, `other`).
    pub(super) fn fill_in(&mut self, business: Business, home: &str, turn: usize) -> Form {
        let own = match self.role {
            Role::National => "other",
            Role::Platform => "23",
            Role::Province => "44",
        };
        let (county, office) = self.people.county(own);
        let minutes = i64::try_from(self.people.dice.between(6, 30)).unwrap_or(20);
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let accepted_at = now - SignedDuration::from_mins(minutes);
        let (body, guardian, applicant) = match business {
            Business::Marriage => {
                (Body::Marriage(Box::new(self.couple(&county, &office, turn))), None, None)
            }
            Business::Subsidy => self.subsidy(home),
            Business::Child => self.child(home),
            Business::Divorce => {
                (Body::Divorce(Box::new(self.divorce(&county, &office, turn))), None, None)
            }
            Business::OldAge => self.old_age(home),
            Business::Assistance => self.assistance(home),
        };
        let booked = matches!(&body, Body::Marriage(couple) if couple.booked);
        let mut form = Form {
            number: self.number(business, &county, turn),
            accepted_in: format!("{county}001"),
            office: format!("{office}民政局服务窗口"),
            home: String::new(),
            online: booked || !business.of_couples() && turn.is_multiple_of(3),
            accepted_at,
            complete_at: accepted_at + SignedDuration::from_mins(5),
            applicant: None,
            guardian,
            agent: None,
            account: None,
            papers: Vec::new(),
            body,
        };
        if let Some(applicant) = applicant {
            self.complete(&mut form, applicant);
        }
        self.attach(&mut form);
        for _ in 0..self.people.dice.below(3) {
            let kind = self.people.cycle.next("material");
            form.papers.push(self.people.paper(&kind));
        }
        form
    }

    pub(super) fn number(&self, business: Business, county: &str, turn: usize) -> String {
        let place = Business::ALL.iter().position(|one| *one == business).unwrap_or_default();
        let (day, count) = (self.people.today().strftime("%Y%m%d"), place * APART + turn);
        match self.role {
            Role::National => format!("JM{county}-{day}-{count:06}"),
            Role::Platform => format!("{county}{day}{count:06}"),
            Role::Province => format!("粤民{county}〔{day}〕{count:06}号"),
        }
    }

    /// Every paper that proves what the form says.
    pub(super) fn attach(&mut self, form: &mut Form) {
        form.papers.clear();
        for kind in form.proofs() {
            let paper = self.people.paper(&kind);
            form.papers.push(paper);
        }
    }

    /// The account and, for every other case, an agent.
    fn complete(&mut self, form: &mut Form, applicant: Person) {
        let holder = form.guardian.as_ref().map_or(&applicant.name, |guardian| &guardian.name);
        form.account = Some(self.people.account(holder));
        if self.people.cycle.once_in("agent", 2) {
            form.agent = Some(self.people.representative());
        }
        form.home.clone_from(&applicant.registered.division);
        form.applicant = Some(applicant);
    }

    fn subsidy(&mut self, home: &str) -> Filled {
        let people = &mut self.people;
        let minor = people.cycle.once_in("minor", 5);
        let male = people.dice.chance(0.5);
        let (low, high) = if minor { (6, 16) } else { (19, 88) };
        let mut applicant = people.person(home, male, low, high);
        if people.cycle.once_in("sex not stated", 9) {
            applicant.sex = people.cycle.among("sex not stated", &["0", "9"]);
        }
        let kind = people.cycle.next("subsidy_kind");
        let category = people.cycle.next("disability_category");
        // The nursing subsidy is for levels 1 and 2 (国发〔2015〕52号); the living subsidy for households
        // that the home province counts as needy.
        let level = match kind.as_str() {
            "1" => people.cycle.next("disability_level"),
            _ => people.cycle.among("nursing level", &["1", "2"]),
        };
        let needy = matches!(kind.as_str(), "1" | "3");
        let known: &[&str] = match home {
            "23" | "44" => &["1", "2", "3", "4", "6", "7"],
            _ => &["1", "2"],
        };
        let hardship =
            if needy { people.cycle.among(&format!("needy {home}"), known) } else { String::new() };
        // Who says 低保 draws it, as the lists have it.
        if matches!(hardship.as_str(), "1" | "2") {
            let (number, birth) = people.with_past(Fate::OnDibao, male, (low, high), None);
            (applicant.id, applicant.birth) = (number, birth);
        }
        let certificate =
            if needy { format!("DB{}", people.dice.digits(12)) } else { String::new() };
        let today = people.today();
        // Those under age or severely disabled in mind act through a guardian.
        let guarded = minor || (matches!(category.as_str(), "5" | "6") && level.as_str() < "3");
        let guardian = guarded.then(|| people.representative());
        let body = Body::Subsidy(Box::new(Subsidy {
            certificate: format!("{}{category}{level}", applicant.id),
            valid_to: today.checked_add(3.years()).unwrap_or(today),
            hardship,
            hardship_certificate: certificate,
            extremely_poor: false,
            injury_fee: false,
            orphan_allowance: minor && kind == "2",
            other_allowance: people.other_allowance(),
            long_term_care: kind != "1",
            statement: "因残疾生活不能自理，家庭收入低；申请补贴。".into(),
            last_paid: None,
            action: people.cycle.among("first action", &["", "1"]),
            previous: String::new(),
            exit: String::new(),
            kind,
            category,
            level,
        }));
        (body, guardian, Some(applicant))
    }

    fn child(&mut self, home: &str) -> Filled {
        let people = &mut self.people;
        let male = people.dice.chance(0.5);
        let mut child = people.person(home, male, 1, 16);
        let household = people.cycle.next("household_kind");
        if household == "3" {
            child.id.clear();
        }
        let orphan = people.cycle.once_in("orphan", 3);
        let (his, hers) = self.parents(orphan, home);
        let father = self.parent(true, his);
        let mother = self.parent(false, hers);
        let people = &mut self.people;
        let health = people.cycle.next("health_status");
        let categories = match health.as_str() {
            "67" => vec!["1".to_owned(), "4".to_owned()],
            "60" | "69" => vec![people.cycle.next("disability_category")],
            health => health.strip_prefix('6').map(str::to_owned).into_iter().collect(),
        };
        let disabled = !categories.is_empty();
        let level = if disabled { people.cycle.next("disability_level") } else { String::new() };
        let guardian = Some(people.representative());
        let body = Body::Child(Box::new(Child {
            action: "1".into(),
            previous: String::new(),
            last_paid: None,
            kind: if orphan { "1" } else { "2" }.into(),
            household,
            health,
            categories,
            level,
            academic: people.cycle.next("academic_status"),
            schooling: people.cycle.next("schooling"),
            boarding: people.dice.chance(0.3),
            father,
            mother,
            consent: format!("TY{}", people.dice.digits(14)),
            remark: if people.dice.chance(0.5) {
                "随祖父母生活".into()
            } else {
                String::new()
            },
        }));
        (body, guardian, Some(child))
    }

    /// The pair of circumstances that makes an orphan, or a child without de facto support: both
    /// unable to care, or one lost and the other unable (民发〔2019〕62号, 民发〔2020〕125号).
    fn parents(&mut self, orphan: bool, home: &str) -> (String, String) {
        let cycle = &mut self.people.cycle;
        let lost = cycle.among("lost parent", &["01", "02", "98", "01"]);
        if orphan {
            // Of one nothing is known: a person must look.
            let other = cycle.among("orphan's other parent", &["01", "99", "02", "01", "98"]);
            return (lost, other);
        }
        let unable = &["03", "04", "05", "06", "07", "08", "09", "10"];
        let one = cycle.among("unable parent", unable);
        // In Guangdong a parent sent out of the country counts only beside a lost one.
        if cycle.once_in("one lost", 2) || (home == "44" && one == "10") {
            return if cycle.once_in("father lost", 2) { (lost, one) } else { (one, lost) };
        }
        let both = &["03", "04", "05", "06", "07", "08", "09"];
        (one, cycle.among("other unable parent", both))
    }

    fn parent(&mut self, male: bool, circumstance: String) -> Parent {
        let people = &mut self.people;
        // 民发〔2019〕62号: each circumstance has its proving paper; 00 and 99 need none.
        let proof = match circumstance.as_str() {
            "00" | "99" => String::new(),
            "98" => "211".into(),
            code => format!("2{code}"),
        };
        if circumstance == "98" {
            let (name, document) = (String::new(), String::new());
            let document_kind = String::new();
            return Parent { name, document_kind, document, circumstance, since: None, proof };
        }
        let birth = people.birth(30, 50);
        let document_kind = people.cycle.next("document");
        let document = match document_kind.as_str() {
            "111" | "112" | "113" => people.citizen_number(birth, male),
            _ => format!("E{}", people.dice.digits(8)),
        };
        let since = (circumstance != "00").then(|| people.birth(1, 5));
        Parent { name: people.name(), document_kind, document, circumstance, since, proof }
    }

    fn couple(&mut self, county: &str, office: &str, turn: usize) -> Couple {
        let again = turn % 10 == 7;
        let foreign = !again && !self.citizens && !self.people.cycle.once_in("both citizens", 4);
        let his = foreign && self.people.dice.chance(0.5);
        let man = self.spouse(true, his);
        let woman = self.spouse(false, foreign && !his);
        let people = &mut self.people;
        let booked = !again && turn % 6 == 4;
        let mut couple = Couple {
            operation: "IA".into(),
            booked,
            man,
            woman,
            registry: format!("{county}0001"),
            registry_name: format!("{office}民政局婚姻登记处"),
            day: people.today(),
            declaration: people.sha256(),
            photo: people.sha256(),
            booking: if booked || people.dice.chance(0.3) {
                format!("YY{}", people.dice.digits(12))
            } else {
                String::new()
            },
            old_certificate: String::new(),
            reissue: String::new(),
        };
        if again {
            self.reissue(&mut couple, turn);
        } else {
            for one in [&mut couple.man, &mut couple.woman] {
                if self.people.cycle.once_in("declared", 4) {
                    one.marital = self.people.cycle.next("marital_status");
                }
            }
        }
        couple
    }

    /// A certificate was lost: of two in three couples the library has the record, of the third the
    /// registry that married them has the archive alone.
    fn reissue(&mut self, couple: &mut Couple, turn: usize) {
        let (archive_only, divorced) = (turn % 30 == 7, turn % 30 == 27);
        // The neighbour's archives are ours, so that the hub asks our registry for them.
        let issued = if self.role == Role::Province { "23" } else { "other" };
        let county = self.people.county(issued).0;
        let letter = if divorced { "L" } else { "J" };
        let sequence = self.people.dice.below(999_999) + 1;
        couple.old_certificate = format!("{letter}{county}-2010-{sequence:06}");
        couple.operation = if divorced { "ICB" } else { "ICA" }.into();
        couple.reissue = self.people.cycle.next("reissue_reason");
        if !archive_only {
            self.married(&mut couple.man, &mut couple.woman, Fate::Married);
        }
        let status = if divorced { "40" } else { "20" };
        (couple.man.marital, couple.woman.marital) = (status.into(), status.into());
    }

    /// Makes two citizens of a couple that the library knows as `fate` says.
    pub(super) fn married(&mut self, man: &mut Spouse, woman: &mut Spouse, fate: Fate) {
        let (his, birth) = self.people.with_past(fate, true, (40, 60), None);
        if let Some(hers) = spouse_of(&his) {
            citizen(woman, hers, birth, false);
        }
        citizen(man, his, birth, true);
    }

    /// One of a couple, unmarried.
    pub(super) fn spouse(&mut self, male: bool, foreign: bool) -> Spouse {
        let people = &mut self.people;
        let mut person = people.person("other", male, if male { 23 } else { 21 }, 70);
        let country = if foreign { people.cycle.next("country") } else { "CHN".to_owned() };
        let kinds = match country.as_str() {
            "CHN" => {
                people.cycle.among("chinese", &["1 1", "1 1", "1 6", "1 1", "5 5", "1 7", "5 8"])
            }
            "HKG" => "2 2".into(),
            "MAC" => "3 3".into(),
            "TWN" => "4 4".into(),
            _ => "6 5".into(),
        };
        let (identity, document_kind) = kinds.split_once(' ').unwrap_or(("1", "1"));
        let mut document = String::new();
        if document_kind != "1" {
            person.id.clear();
            document = format!("{document_kind}P{}{}", self.role.place(), people.dice.digits(12));
            if identity == "6" && people.cycle.once_in("foreigner's sex", 4) {
                person.sex = people.cycle.among("foreigner's sex not stated", &["9", "0"]);
            }
        }
        Spouse {
            person,
            identity: identity.into(),
            document_kind: document_kind.into(),
            document,
            citizenship: country,
            marital: "10".into(),
            education: people.cycle.next("education"),
            occupation: people.cycle.next("occupation"),
        }
    }
}

/// Makes a citizen with that number of one of a couple.
pub(super) fn citizen(one: &mut Spouse, number: String, birth: Date, male: bool) {
    (one.person.id, one.person.birth) = (number, birth);
    one.person.sex = if male { "1" } else { "2" }.into();
    one.document.clear();
    (one.identity, one.document_kind) = ("1".into(), "1".into());
    one.citizenship = "CHN".into();
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::{
        model::codes::Codes,
        sim::{
            people::tests::people,
            script::Script,
            settings::{Plan, Settings},
        },
    };

    /// What the demo sends with that many applications.
    fn demo_set(applications: usize) -> Vec<Form> {
        let (all, half) = (applications, applications / 2);
        let plan = |business: Business, home: &str, tenths: usize, share: usize| Plan {
            business: business.code().into(),
            home: home.into(),
            count: half * tenths / 10 / share,
        };
        let mut forms = Vec::new();
        for role in [Role::Platform, Role::National, Role::Province] {
            let homes: &[&str] = if role == Role::Platform { &["44", "other"] } else { &["23"] };
            let mut settings = Settings::standard(role);
            for (business, tenths) in Business::ALL.into_iter().zip([4, 2, 1, 1, 1, 1]) {
                let couples = business.of_couples();
                let homes = if couples { &["other"] } else { homes };
                let share = if couples { 1 } else { 2 };
                if !(couples && role == Role::National) {
                    let plans = homes.iter().map(|home| plan(business, home, tenths, share));
                    settings.submit.extend(plans);
                }
            }
            let mut making = Forms::new(people(role.place()), role, 1);
            let mut script = Script::new(&settings);
            while let Some(one) = script.next(&mut making) {
                forms.push(one.form);
                forms.extend(one.then.map(|then| then.form));
            }
        }
        assert!(forms.len() > all, "{}", forms.len());
        forms
    }

    fn planned() -> Vec<Form> {
        demo_set(1500)
    }

    fn people_in(form: &Form) -> Vec<&Person> {
        let mut all: Vec<&Person> = form.applicant.iter().collect();
        match &form.body {
            Body::Marriage(couple) => all.extend([&couple.man.person, &couple.woman.person]),
            Body::Divorce(couple) => all.extend([&couple.man.person, &couple.woman.person]),
            _ => {}
        }
        all
    }

    fn codes_of(spouse: &Spouse) -> [(&'static str, String); 7] {
        [
            ("marriage_sex", spouse.person.sex.clone()),
            ("marriage_identity", spouse.identity.clone()),
            ("marriage_document", spouse.document_kind.clone()),
            ("country", spouse.citizenship.clone()),
            ("marital_status", spouse.marital.clone()),
            ("education", spouse.education.clone()),
            ("occupation", spouse.occupation.clone()),
        ]
    }

    /// The codes a form uses, by list.
    fn codes_in(form: &Form) -> Vec<(&'static str, String)> {
        let mut used: Vec<(&'static str, String)> = match &form.body {
            Body::Marriage(couple) => [codes_of(&couple.man), codes_of(&couple.woman)].concat(),
            Body::Divorce(couple) => [codes_of(&couple.man), codes_of(&couple.woman)].concat(),
            _ => Vec::new(),
        };
        let mut say = |list: &'static str, code: &str| used.push((list, code.to_owned()));
        for person in people_in(form) {
            say("sex", &person.sex);
            say("ethnicity", &person.ethnicity);
        }
        form.papers.iter().for_each(|paper| say("material", &paper.kind));
        let acting = form.guardian.iter().chain(&form.agent);
        acting.for_each(|who| say("relation", &who.relation));
        match &form.body {
            Body::Marriage(couple) => {
                say("marriage_operation", &couple.operation);
                say("reissue_reason", &couple.reissue);
            }
            Body::Divorce(_) => {}
            Body::OldAge(body) => {
                say("age_band", &body.band);
                say("benefit_action", &body.action);
                say("exit_reason", &body.exit);
            }
            Body::Assistance(body) => {
                say("assistance_kind", &body.kind);
                say("low_income_class", &body.class);
                say("area_kind", &body.area);
                say("hardship_cause", &body.cause);
            }
            Body::Subsidy(body) => {
                say("exit_reason", &body.exit);
                say("benefit_action", &body.action);
                say("subsidy_kind", &body.kind);
                say("disability_category", &body.category);
                say("disability_level", &body.level);
                say("hardship_kind", &body.hardship);
                say("other_allowance", &body.other_allowance);
            }
            Body::Child(body) => {
                say("child_kind", &body.kind);
                say("household_kind", &body.household);
                say("health_status", &body.health);
                say("academic_status", &body.academic);
                say("schooling", &body.schooling);
                for parent in [&body.father, &body.mother] {
                    say("document", &parent.document_kind);
                    say("parent_circumstance", &parent.circumstance);
                }
            }
        }
        used
    }

    #[test]
    fn fifteen_hundred_applications_use_every_code_of_every_list() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/codes");
        let codes = Codes::load(&folder).unwrap();
        let mut used: HashMap<&str, HashSet<String>> = HashMap::new();
        for (list, code) in planned().iter().flat_map(codes_in) {
            used.entry(list).or_default().insert(code);
        }
        for (name, list) in codes.iter() {
            // Reasons of refusal are used by decisions, not by forms.
            if name == "refusal_reason" {
                continue;
            }
            // 12 to 18 end a child's benefit or social assistance, whose ends are not played.
            let unplayed = |code: &str| name == "exit_reason" && ("12".."19").contains(&code);
            let seen = used.get(name).cloned().unwrap_or_default();
            let rows = list.rows.iter().map(|row| &row.0);
            let unused: Vec<_> =
                rows.filter(|code| !seen.contains(*code) && !unplayed(code)).collect();
            assert!(unused.is_empty(), "{name}: {unused:?}");
        }
    }

    #[test]
    fn nobody_applies_twice_and_numbers_differ() {
        let mut people = HashSet::new();
        let mut numbers = HashSet::new();
        for form in planned() {
            assert!(numbers.insert(form.number.clone()), "{}", form.number);
            // Only who moves with a benefit comes again.
            let first = !matches!(form.action(), "6");
            for person in people_in(&form).into_iter().filter(|person| !person.id.is_empty()) {
                assert!(people.insert(person.id.clone()) || !first, "{}", form.number);
            }
        }
    }

    #[test]
    fn names_and_addresses_are_of_every_kind() {
        let forms = planned();
        let names: Vec<&str> =
            forms.iter().flat_map(people_in).map(|person| person.name.as_str()).collect();
        for rare in ['·', '㛃', '𠅤'] {
            assert!(names.iter().any(|name| name.contains(rare)), "{rare}");
        }
        let longest =
            forms.iter().flat_map(people_in).map(|p| p.registered.address.chars().count());
        assert_eq!(longest.max(), Some(200));
    }
}
