//! Fills in forms: eligible applications of every business, going round every code list. What a
//! code would make ineligible (a married party) is for the hub's check to find, not for intake.

use jiff::{SignedDuration, Timestamp, ToSpan as _};

use crate::sim::{
    case::{
        Applied, Body, Business, Child, Couple, Form, Parent, Person, Representative, Spouse,
        Subsidy,
    },
    people::People,
    settings::Role,
};

/// The body, the guardian and the applicant.
pub(super) type Filled = (Body, Option<Representative>, Option<Person>);

/// Fills in forms for one system.
pub(super) struct Forms {
    pub people: People,
    pub(super) role: Role,
    count: u32,
}

impl Forms {
    pub(super) const fn new(people: People, role: Role) -> Self {
        Self { people, role, count: 0 }
    }

    /// A new form for a resident of province `home` (`23`, `44`, `other`).
    pub(super) fn fill_in(&mut self, business: Business, home: &str) -> Form {
        self.count += 1;
        let own = match self.role {
            Role::National => "other",
            Role::Platform => "23",
            Role::Province => "44",
        };
        let (county, office) = self.people.county(own);
        let minutes = i64::try_from(self.people.dice.between(20, 600)).unwrap_or(20);
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let accepted_at = now - SignedDuration::from_mins(minutes);
        let (body, guardian, applicant) = match business {
            Business::Marriage => {
                (Body::Marriage(Box::new(self.couple(&county, &office))), None, None)
            }
            Business::Subsidy => self.subsidy(home),
            Business::Child => self.child(home),
            Business::Divorce => {
                (Body::Divorce(Box::new(self.divorce(&county, &office))), None, None)
            }
            Business::OldAge => self.old_age(home),
            Business::Assistance => self.assistance(home),
        };
        // A divorce whose clock has run was applied for that long ago.
        let days = match &body {
            Body::Divorce(divorce) => match divorce.applied {
                Applied::Now => 0,
                Applied::Cooled => 45,
                Applied::Lapsed => 100,
            },
            _ => 0,
        };
        let accepted_at = accepted_at - SignedDuration::from_hours(24 * days);
        let booked = matches!(&body, Body::Marriage(couple) if couple.booked);
        let mut form = Form {
            number: self.number(&county),
            accepted_in: format!("{county}001"),
            office: format!("{office}民政局服务窗口"),
            home: String::new(),
            online: booked || !business.of_couples() && self.count.is_multiple_of(3),
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
        for _ in 0..2 + self.people.dice.below(3) {
            let kind = self.people.cycle.next("material");
            form.papers.push(self.people.paper(&kind));
        }
        form
    }

    fn number(&self, county: &str) -> String {
        let (day, count) = (self.people.today().strftime("%Y%m%d"), self.count);
        match self.role {
            Role::National => format!("JM{county}-{day}-{count:06}"),
            Role::Platform => format!("{county}{day}{count:06}"),
            Role::Province => format!("粤民{county}〔{day}〕{count:06}号"),
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
        let certificate =
            if needy { format!("DB{}", people.dice.digits(12)) } else { String::new() };
        let action =
            people.cycle.among("subsidy action", &["", "1", "6", "1", "2", "3", "1", "4", "5"]);
        let moved = action == "6";
        let previous = if moved { people.county("other").0 } else { String::new() };
        let rests = matches!(action.as_str(), "3" | "5");
        let exit = if rests { people.cycle.next("exit_reason") } else { String::new() };
        let today = people.today();
        // Those under age or severely disabled in mind act through a guardian.
        let guarded = minor || (matches!(category.as_str(), "5" | "6") && level.as_str() < "3");
        let guardian = guarded.then(|| people.representative());
        let body = Body::Subsidy(Box::new(Subsidy {
            certificate: format!("{}{category}{level}", applicant.id),
            valid_to: today.checked_add(3.years()).unwrap_or(today),
            hardship,
            hardship_certificate: certificate,
            orphan_allowance: minor && kind == "2",
            other_allowance: people.cycle.next("other_allowance"),
            long_term_care: kind != "1",
            statement: "因残疾生活不能自理，家庭收入低；申请补贴。".into(),
            // Paid there until last month, here from this one.
            last_paid: moved.then(|| today.saturating_sub(1.month())),
            action,
            previous,
            exit,
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

    fn couple(&mut self, county: &str, office: &str) -> Couple {
        let again = self.people.cycle.once_in("re-issue", 10);
        let divorced = again && self.people.cycle.once_in("re-issue of a divorce", 3);
        let man = self.spouse(true, again);
        let woman = self.spouse(false, again);
        let people = &mut self.people;
        let letter = if divorced { "L" } else { "J" };
        let old = format!("{letter}{county}-2010-{:06}", people.dice.below(999_999) + 1);
        let booked = !again && people.cycle.once_in("booked online", 6);
        let operation = match (again, divorced) {
            (false, _) => "IA",
            (true, false) => "ICA",
            (true, true) => "ICB",
        };
        Couple {
            operation: operation.into(),
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
            old_certificate: if again { old } else { String::new() },
            reissue: if again { people.cycle.next("reissue_reason") } else { String::new() },
        }
    }

    /// One of a couple. Five of six hold a foreign passport: the list of countries is long.
    pub(super) fn spouse(&mut self, male: bool, again: bool) -> Spouse {
        let people = &mut self.people;
        let mut person = people.person("other", male, if male { 22 } else { 20 }, 70);
        let citizen = people.cycle.once_in("citizen", 6);
        let country = if citizen { "CHN".to_owned() } else { people.cycle.next("country") };
        let kinds = match country.as_str() {
            "CHN" => people.cycle.among("chinese", &["1 1", "1 6", "5 5", "1 1", "1 7", "5 8"]),
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
            if identity == "6" && people.cycle.once_in("foreigner's sex", 30) {
                person.sex = people.cycle.among("foreigner's sex not stated", &["9", "0"]);
            }
        }
        let marital = match (again, people.cycle.once_in("declared", 3)) {
            (true, _) => "20".to_owned(),
            (false, true) => people.cycle.next("marital_status"),
            (false, false) => "10".to_owned(),
        };
        Spouse {
            person,
            identity: identity.into(),
            document_kind: document_kind.into(),
            document,
            citizenship: country,
            marital,
            education: people.cycle.next("education"),
            occupation: people.cycle.next("occupation"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::{model::codes::Codes, sim::people::tests::people};

    type Plans<'a> = (Role, usize, &'a [(Business, &'a str, usize)]);

    /// What the demo sends with 600 applications.
    fn demo_set() -> Vec<Form> {
        use Business::{Assistance, Child, Divorce, Marriage, OldAge, Subsidy};
        let plans: [Plans<'_>; 3] = [
            (
                Role::Platform,
                0,
                &[
                    (Marriage, "other", 60),
                    (Divorce, "other", 15),
                    (Subsidy, "44", 15),
                    (Subsidy, "other", 15),
                    (Child, "44", 7),
                    (Child, "other", 8),
                    (OldAge, "44", 7),
                    (OldAge, "other", 8),
                    (Assistance, "44", 7),
                    (Assistance, "other", 8),
                ],
            ),
            (
                Role::National,
                1,
                &[(Subsidy, "23", 15), (Child, "23", 8), (OldAge, "23", 8), (Assistance, "23", 8)],
            ),
            (
                Role::Province,
                2,
                &[
                    (Marriage, "other", 60),
                    (Divorce, "other", 15),
                    (Subsidy, "23", 15),
                    (Child, "23", 7),
                    (OldAge, "23", 7),
                    (Assistance, "23", 7),
                ],
            ),
        ];
        let mut all = Vec::new();
        for (role, place, plans) in plans {
            let mut forms = Forms::new(people(place), role);
            for (business, home, count) in plans {
                all.extend((0..*count * 2).map(|_| forms.fill_in(*business, home)));
            }
        }
        all
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
    fn six_hundred_applications_use_every_code_of_every_list() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/codes");
        let codes = Codes::load(&folder).unwrap();
        let mut used: HashMap<&str, HashSet<String>> = HashMap::new();
        for (list, code) in demo_set().iter().flat_map(codes_in) {
            used.entry(list).or_default().insert(code);
        }
        for (name, list) in codes.iter() {
            // Reasons of refusal are used by decisions, not by forms; 特困 excludes both subsidies,
            // and a parent who cares excludes a child.
            let never: &[&str] = match name {
                "refusal_reason" => continue,
                "hardship_kind" => &["5"],
                "parent_circumstance" => &["00"],
                _ => &[],
            };
            let seen = used.get(name).cloned().unwrap_or_default();
            let rows = list.rows.iter().map(|row| &row.0);
            let unused: Vec<_> = rows
                .filter(|code| !seen.contains(*code) && !never.contains(&code.as_str()))
                .collect();
            assert!(unused.is_empty(), "{name}: {unused:?}");
        }
    }

    #[test]
    fn nobody_applies_twice_and_numbers_differ() {
        let mut people = HashSet::new();
        let mut numbers = HashSet::new();
        for form in demo_set() {
            assert!(numbers.insert(form.number.clone()), "{}", form.number);
            for person in people_in(&form).into_iter().filter(|person| !person.id.is_empty()) {
                assert!(people.insert(person.id.clone()));
            }
        }
    }

    #[test]
    fn names_and_addresses_are_of_every_kind() {
        let forms = demo_set();
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
