//! The noun: what owners write on their codes to find them again. Pure.

/// The longest name, in characters.
pub const NAME_MAX: usize = 200;
/// The most tags of one code.
pub const TAGS_MAX: usize = 10;
/// The longest tag, in characters.
pub const TAG_MAX: usize = 40;

/// A text that cannot be a name or a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A name that is too long or holds control characters.
    #[error("must be at most 200 characters without line breaks")]
    Name,
    /// A tag that is empty, too long or holds a comma or control characters.
    #[error("each must be 1 to 40 characters without commas and line breaks")]
    Tag,
    /// Too many tags.
    #[error("must be at most 10 tags")]
    TooMany,
}

/// What an owner calls a code; may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Reads a name, without the space around it.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        let text = text.trim();
        if text.chars().any(char::is_control) || text.chars().count() > NAME_MAX {
            Err(LabelError::Name)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// As it was stored by us.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Labels of a code: lower case, sorted, none twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(Vec<String>);

impl Tags {
    /// Reads labels.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, LabelError> {
        let mut tags = texts.iter().map(|text| tag(text.as_ref())).collect::<Result<Vec<_>, _>>()?;
        tags.sort_unstable();
        tags.dedup();
        if tags.len() > TAGS_MAX { Err(LabelError::TooMany) } else { Ok(Self(tags)) }
    }

    /// As they were stored by us.
    pub(crate) fn from_stored(tags: Vec<String>) -> Self {
        Self(tags)
    }

    /// The labels.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// Reads one label.
pub fn tag(text: &str) -> Result<String, LabelError> {
    let text = text.trim().to_lowercase();
    let is_tag = (1..=TAG_MAX).contains(&text.chars().count()) && !text.chars().any(|c| c.is_control() || c == ',');
    if is_tag { Ok(text) } else { Err(LabelError::Tag) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_put_in_order_and_kept_once() {
        let tags = Tags::parse(&["Spring ", "booth", "SPRING"]).unwrap();
        assert_eq!(tags.as_slice(), ["booth", "spring"]);
        assert_eq!(Tags::parse(&["a,b"]), Err(LabelError::Tag));
        assert_eq!(Tags::parse(&[" "]), Err(LabelError::Tag));
        assert_eq!(Tags::parse(&["x".repeat(41)]), Err(LabelError::Tag));
        let many: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        assert_eq!(Tags::parse(&many), Err(LabelError::TooMany));
    }

    #[test]
    fn a_name_is_one_line_of_at_most_two_hundred_characters() {
        assert_eq!(Name::parse("  Tür 4  ").unwrap().as_str(), "Tür 4");
        assert_eq!(Name::parse(&"ü".repeat(200)).unwrap().as_str().chars().count(), 200);
        assert_eq!(Name::parse(&"ü".repeat(201)), Err(LabelError::Name));
        assert_eq!(Name::parse("a\nb"), Err(LabelError::Name));
    }
}
