//! The code lists that decide, as each system writes them, written down by hand: a wrong cell in
//! the gateway's lists must not cancel itself out. What decides nothing is taken from those lists.

/// Canonical code and the system's own.
pub(super) type List = &'static [(&'static str, &'static str)];

/// The list of a party's folder; `None` for one that decides nothing or is written canonically.
pub(super) fn list(folder: &str, name: &str) -> Option<List> {
    Some(match (folder, name) {
        ("23-heilongjiang", "hardship_kind") => HARDSHIP_23,
        ("44-guangdong", "benefit_action") => BENEFIT_ACTION,
        ("44-guangdong", "subsidy_kind") => SUBSIDY_KIND,
        ("44-guangdong", "disability_category") => DISABILITY_CATEGORY,
        ("44-guangdong", "disability_level") => DISABILITY_LEVEL,
        ("44-guangdong", "hardship_kind") => HARDSHIP_KIND,
        ("44-guangdong", "other_allowance") => OTHER_ALLOWANCE,
        ("44-guangdong", "parent_circumstance") => PARENT_CIRCUMSTANCE,
        ("44-guangdong", "child_kind") => CHILD_KIND,
        ("44-guangdong", "household_kind") => HOUSEHOLD_KIND,
        ("44-guangdong", "assistance_kind") => ASSISTANCE_KIND,
        ("44-guangdong", "age_band") => AGE_BAND,
        ("44-guangdong", "marriage_operation") => MARRIAGE_OPERATION,
        ("44-guangdong", "marital_status") => MARITAL_STATUS,
        ("44-guangdong", "exit_reason") => EXIT_REASON,
        ("44-guangdong", "refusal_reason") => REFUSAL_REASON,
        ("44-guangdong", "material") => MATERIAL,
        _ => return None,
    })
}

const HARDSHIP_23: List =
    &[("1", "11"), ("2", "12"), ("3", "30"), ("4", "60"), ("5", "20"), ("6", "40"), ("7", "50")];

const BENEFIT_ACTION: List = &[
    ("1", "APPLY"),
    ("2", "CHANGE"),
    ("3", "SUSPEND"),
    ("4", "RESUME"),
    ("5", "EXIT"),
    ("6", "MOVE"),
];

const SUBSIDY_KIND: List = &[("1", "LIVING"), ("2", "NURSING"), ("3", "BOTH")];

const DISABILITY_CATEGORY: List = &[
    ("1", "视力"),
    ("2", "听力"),
    ("3", "言语"),
    ("4", "肢体"),
    ("5", "智力"),
    ("6", "精神"),
    ("7", "多重"),
];

const DISABILITY_LEVEL: List = &[("1", "一级"), ("2", "二级"), ("3", "三级"), ("4", "四级")];

const HARDSHIP_KIND: List =
    &[("1", "UR"), ("2", "RU"), ("3", "MG"), ("4", "OT"), ("5", "TK"), ("6", "RX"), ("7", "FP")];

const OTHER_ALLOWANCE: List =
    &[("0", "00"), ("1", "11"), ("2", "12"), ("3", "21"), ("4", "31"), ("9", "99")];

const PARENT_CIRCUMSTANCE: List = &[
    ("00", "NORMAL"),
    ("01", "DEAD"),
    ("02", "MISSING"),
    ("03", "DISABLED"),
    ("04", "ILL"),
    ("05", "PRISON"),
    ("06", "DETOX"),
    ("07", "RESTRAINED"),
    ("08", "LOST"),
    ("09", "REVOKED"),
    ("10", "EXPELLED"),
    ("98", "UNFOUND"),
    ("99", "UNKNOWN"),
];

const CHILD_KIND: List = &[("1", "ORPHAN"), ("2", "DEFACTO")];

const HOUSEHOLD_KIND: List = &[("1", "FAMILY"), ("2", "COLLECTIVE"), ("3", "NONE")];

const ASSISTANCE_KIND: List = &[("1", "DIBAO"), ("2", "TEKUN"), ("3", "TEMPORARY")];

const AGE_BAND: List = &[("1", "80+"), ("2", "90+"), ("3", "100+")];

const MARRIAGE_OPERATION: List = &[("IA", "JH"), ("ICA", "BJ"), ("ICB", "BL")];

const MARITAL_STATUS: List = &[
    ("10", "S"),
    ("20", "M0"),
    ("21", "M1"),
    ("22", "M2"),
    ("23", "M3"),
    ("30", "W"),
    ("40", "D"),
    ("90", "U"),
];

const EXIT_REASON: List = &[
    ("01", "E01"),
    ("02", "E02"),
    ("03", "E03"),
    ("04", "E04"),
    ("05", "E05"),
    ("06", "E06"),
    ("07", "E07"),
    ("08", "E08"),
    ("09", "E09"),
    ("10", "E10"),
    ("11", "E11"),
    ("12", "E12"),
    ("13", "E13"),
    ("14", "E14"),
    ("15", "E15"),
    ("16", "E16"),
    ("17", "E17"),
    ("18", "E18"),
    ("99", "E99"),
];

const REFUSAL_REASON: List = &[
    ("01", "M01"),
    ("02", "M02"),
    ("03", "M03"),
    ("04", "M04"),
    ("05", "M05"),
    ("06", "M06"),
    ("07", "D01"),
    ("08", "D02"),
    ("09", "D03"),
    ("10", "D04"),
    ("11", "S01"),
    ("12", "S02"),
    ("13", "S03"),
    ("14", "S04"),
    ("15", "S05"),
    ("16", "S06"),
    ("17", "S07"),
    ("18", "S08"),
    ("19", "S09"),
    ("21", "C01"),
    ("22", "C02"),
    ("23", "C03"),
    ("24", "C04"),
    ("26", "A01"),
    ("27", "A02"),
    ("28", "H01"),
    ("29", "H02"),
    ("30", "H03"),
    ("31", "G01"),
    ("32", "G02"),
    ("33", "G03"),
    ("34", "G04"),
    ("35", "G05"),
    ("36", "H04"),
    ("99", "G99"),
];

const MATERIAL: List = &[
    ("111", "ID"),
    ("113", "HOUSEHOLD_BOOK"),
    ("117", "BIRTH_CERT"),
    ("118", "PASSPORT"),
    ("119", "HMT_DOC"),
    ("121", "BANK_CARD"),
    ("122", "GUARDIANSHIP"),
    ("123", "MANDATE"),
    ("124", "PHOTO"),
    ("125", "CONSENT"),
    ("201", "DEATH"),
    ("202", "MISSING_JUDGMENT"),
    ("203", "PARENT_DISABILITY"),
    ("204", "ILLNESS"),
    ("205", "SENTENCE"),
    ("206", "DETOX"),
    ("207", "RESTRAINT"),
    ("208", "LOST_CONTACT"),
    ("209", "GUARDIAN_REVOKED"),
    ("210", "EXPELLED"),
    ("211", "FOUNDLING"),
    ("301", "DECLARATION"),
    ("302", "COUPLE_PHOTO"),
    ("303", "DIVORCE_CERT"),
    ("304", "DIVORCE_JUDGMENT"),
    ("305", "JUDGMENT_EFFECT"),
    ("306", "SPOUSE_DEATH"),
    ("307", "MARRIAGE_CERT"),
    ("308", "MARRIAGE_ARCHIVE"),
    ("309", "NO_SPOUSE"),
    ("310", "REISSUE_DECLARATION"),
    ("311", "DIVORCE_REQUEST"),
    ("321", "DIVORCE_AGREEMENT"),
    ("322", "DIVORCE_RECEIPT"),
    ("323", "DIVORCE_WITHDRAWAL"),
    ("401", "DISABILITY_CERT"),
    ("402", "SUBSIDY_FORM"),
    ("403", "DIBAO_CERT"),
    ("404", "LOW_INCOME"),
    ("405", "CARE_ASSESSMENT"),
    ("406", "OTHER_ALLOWANCE"),
    ("501", "CHILD_FORM"),
    ("502", "SCHOOL"),
    ("601", "MEANS_AUTHORISATION"),
    ("602", "INCOME_PROOF"),
    ("603", "HARDSHIP_PROOF"),
    ("604", "ASSISTANCE_REQUEST"),
    ("605", "OLD_AGE_FORM"),
    ("606", "ALIVE_PROOF"),
    ("607", "SELF_CARE"),
    ("608", "OBLIGED"),
    ("609", "STOP_PROOF"),
    ("999", "OTHER"),
];
