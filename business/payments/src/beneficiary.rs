//! A beneficiary: somebody that money is paid out to. The number of their account is sealed. No input or output.

use std::time::Duration;

use kernel::{MemberId, Timestamp};
use serde::{Deserialize, Serialize};

kernel::id!(
    /// A beneficiary.
    pub struct BeneficiaryId = "pbn"
);

/// What a name enquiry at the beneficiary's bank brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameCheck {
    /// The bank has the name that was entered.
    Matches,
    /// The bank has another name.
    Differs,
    /// The bank knows no such account.
    NotFound,
    /// The bank was asked and did not answer.
    NotTold,
    /// The provider asks nobody for names.
    NotOffered,
}

impl NameCheck {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Matches, Self::Differs, Self::NotFound, Self::NotTold, Self::NotOffered];

    /// Its word in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matches => "matches",
            Self::Differs => "differs",
            Self::NotFound => "not_found",
            Self::NotTold => "not_told",
            Self::NotOffered => "not_offered",
        }
    }

    /// What the bank's name for an account says about the one that was entered.
    pub fn compare(entered: &str, told: &str) -> Self {
        let entered = normalized(entered);
        if !entered.is_empty() && entered == normalized(told) { Self::Matches } else { Self::Differs }
    }
}

/// A word that is none of those known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be matches, differs, not_found, not_told or not_offered")]
pub struct UnknownNameCheck;

impl std::str::FromStr for NameCheck {
    type Err = UnknownNameCheck;
    fn from_str(text: &str) -> Result<Self, UnknownNameCheck> {
        Self::ALL.into_iter().find(|check| check.as_str() == text).ok_or(UnknownNameCheck)
    }
}

/// A name as banks compare it: letters and digits in capitals, its words in the order of the alphabet, because banks write the
/// family's name first or last as they like.
fn normalized(name: &str) -> Vec<String> {
    let words = name.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '’');
    let letters = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect::<String>();
    let mut words: Vec<String> = words.map(letters).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words
}

/// Somebody that money is paid out to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beneficiary {
    /// Its identifier.
    pub id: BeneficiaryId,
    /// How often it changed, from 1.
    pub version: i64,
    /// Whose the account is, as it was entered; nothing once it was erased.
    pub name: Option<String>,
    /// The bank, by the code that the provider knows; may be empty.
    pub bank_code: String,
    /// The last characters of the account's number, to tell it from others; at most 4.
    pub ending: String,
    /// Where the account is (ISO 3166-1 alpha-2), if that is known.
    pub country: Option<String>,
    /// The destination, sealed by the vault for its identifier; empty once it was erased.
    pub sealed: Vec<u8>,
    /// Says which account it is without giving away its number: keyed, so that nobody can try all numbers.
    pub fingerprint: String,
    /// What the bank said of this version of it, once it was asked.
    pub name_check: Option<NameCheck>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When the account or the name last changed: a cool-off counts from then.
    pub changed_at: Timestamp,
    /// The member behind that change: themselves, or who made the key that changed it.
    pub changed_by: Option<MemberId>,
    /// When it was erased.
    pub erased_at: Option<Timestamp>,
}

/// How long an account is fresh where no rule of monitoring says for how long it cools off.
const FRESH_FOR: Duration = Duration::from_secs(24 * 3_600);

impl Beneficiary {
    /// The member who entered or changed the account while that is fresh: as long as the workspace's cool-off, or a day.
    pub fn entered_by(&self, cool_off: Option<Duration>, now: Timestamp) -> Option<MemberId> {
        self.changed_by.filter(|_| now < self.changed_at.plus(cool_off.unwrap_or(FRESH_FOR)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_in_any_order_and_spelling_of_its_letters() {
        for same in ["Jide Balogun", "BALOGUN, JIDE", " jide  balogun ", "Jide-Balogun", "Balogun.Jide"] {
            assert_eq!(NameCheck::compare(same, "JIDE BALOGUN"), NameCheck::Matches, "{same}");
        }
        assert_eq!(NameCheck::compare("O'Neil Ada", "ADA ONEIL"), NameCheck::Matches);
        for other in ["Jide Balogu", "Jide", "Jide Jide Balogun", "", "Ada Balogun"] {
            assert_eq!(NameCheck::compare(other, "JIDE BALOGUN"), NameCheck::Differs, "{other}");
        }
        assert_eq!(NameCheck::compare("...", "-"), NameCheck::Differs, "nothing is no name");
    }
}
