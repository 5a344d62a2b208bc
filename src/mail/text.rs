//! The text of mails: plain, short lines, nothing that a header could be made of.

use askama::Template;

use crate::error::is_plain_line;

/// The longest line of a mail that is ours to break, in characters: what a terminal shows, quoted once or twice.
pub const LINE_CHARACTERS_MAX: usize = 76;

/// What is told to one person of an organisation.
#[derive(Debug, Template)]
#[template(path = "mail/notice.txt", escape = "none")]
pub struct NoticeMail<'a> {
    /// The person's name; may be empty.
    pub name: &'a str,
    /// What there is to say, in paragraphs.
    pub body: &'a str,
    /// A whole URL that leads on, if there is one.
    pub link: Option<String>,
    /// The organisation that he gets it for.
    pub organisation: &'a str,
    /// Where the portal is.
    pub portal: &'a str,
}

/// What is written to who is invited into an organisation.
#[derive(Template)]
#[template(path = "mail/invitation.txt", escape = "none")]
pub struct InvitationMail<'a> {
    /// Who invites.
    pub invited_by: &'a str,
    /// Into which organisation.
    pub organisation: &'a str,
    /// The role that is promised.
    pub role: &'a str,
    /// What stands for the whole URL with the token.
    pub link: &'a str,
    /// Until when it is good, in words.
    pub until: String,
    /// Where it is sent to.
    pub email: &'a str,
    /// Where the portal is.
    pub portal: &'a str,
}

impl InvitationMail<'_> {
    /// The text, with lines as in [`NoticeMail::text`].
    #[must_use]
    pub fn text(&self) -> String {
        lines(&self.render().unwrap_or_default())
    }
}

impl NoticeMail<'_> {
    /// The text, with lines of at most [`LINE_CHARACTERS_MAX`] characters except where a single word (a link) is longer.
    #[must_use]
    pub fn text(&self) -> String {
        wrapped_text(self)
    }

    fn greeting(&self) -> String {
        greeting(self.name)
    }
}

/// What is told to a person about his own account.
#[derive(Debug, Template)]
#[template(path = "mail/account.txt", escape = "none")]
pub struct AccountMail<'a> {
    /// The person's name; may be empty.
    pub name: &'a str,
    /// What there is to say, in paragraphs.
    pub body: &'a str,
    /// A whole URL that leads on, or what stands for a secret one.
    pub link: Option<&'a str>,
    /// Where the portal is.
    pub portal: &'a str,
}

impl AccountMail<'_> {
    /// The text, with lines as those of [`NoticeMail::text`].
    #[must_use]
    pub fn text(&self) -> String {
        wrapped_text(self)
    }

    fn greeting(&self) -> String {
        greeting(self.name)
    }
}

fn wrapped_text(template: &impl Template) -> String {
    // A template that writes into a string fails only when the string does.
    lines(&template.render().unwrap_or_default())
}

fn greeting(name: &str) -> String {
    if name.is_empty() { "Hello,".to_owned() } else { format!("Hello {name},") }
}

fn lines(text: &str) -> String {
    text.split('\n').map(|line| wrapped(line.trim_end_matches('\r'))).collect::<Vec<_>>().join("\n")
}

/// One line broken at its spaces.
fn wrapped(line: &str) -> String {
    // Left as it is, with its end: the mark before a footer is known by its space.
    if line.chars().count() <= LINE_CHARACTERS_MAX {
        return line.to_owned();
    }
    let mut text = String::new();
    let mut used = 0;
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > LINE_CHARACTERS_MAX {
            text.push('\n');
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += length;
    }
    text
}

/// A text as one plain line of at most `characters_max` characters: whatever cannot stand on a line becomes a space.
#[must_use]
pub fn line(text: &str, characters_max: usize) -> String {
    let plain: String = text
        .chars()
        .map(|character| if is_plain_line(character.encode_utf8(&mut [0; 4])) { character } else { ' ' })
        .collect();
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if plain.chars().count() <= characters_max {
        return plain;
    }
    plain.chars().take(characters_max.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn wrapping_loses_no_word_and_no_line_is_too_long(text in "[a-zäß€]{1,30}( [a-zäß€]{1,30}){0,40}") {
            let wrapped = wrapped(&text);
            prop_assert!(wrapped.lines().all(|line| line.chars().count() <= LINE_CHARACTERS_MAX), "{wrapped}");
            prop_assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
        }

        #[test]
        fn whatever_is_made_a_line_is_one(text in any::<String>(), most in 1_usize..300) {
            let line = line(&text, most);
            prop_assert!(is_plain_line(&line) && line.chars().count() <= most, "{line:?}");
        }
    }

    #[test]
    fn a_mail_reads_as_it_should() {
        let mail = NoticeMail {
            name: "Zoë Müller",
            body: "The credit of this organisation lasts for less than three days at what its machines cost now.\n\nThen they are shut down.",
            link: Some("https://panel.example.org/wallet".into()),
            organisation: "Müller & Söhne",
            portal: "https://panel.example.org",
        };

        assert_eq!(
            mail.text(),
            "Hello Zoë Müller,\n\
             \n\
             The credit of this organisation lasts for less than three days at what its\n\
             machines cost now.\n\
             \n\
             Then they are shut down.\n\
             \n\
             See it in the portal:\n\
             https://panel.example.org/wallet\n\
             \n\
             -- \n\
             You get this mail because you are a member of “Müller & Söhne” at\n\
             https://panel.example.org. It was written by a program that reads no\n\
             answers.\n"
        );
    }

    #[test]
    fn a_mail_about_an_account_reads_as_it_should() {
        let mail = AccountMail {
            name: "Zoë",
            body: "Somebody asked for a new password.\n\nIf it was not you, do nothing.",
            link: Some("https://panel.example.org/reset-password?token=0"),
            portal: "https://panel.example.org",
        };

        assert_eq!(
            mail.text(),
            "Hello Zoë,\n\
             \n\
             Somebody asked for a new password.\n\
             \n\
             If it was not you, do nothing.\n\
             \n\
             https://panel.example.org/reset-password?token=0\n\
             \n\
             -- \n\
             You get this mail because of an account at https://panel.example.org. It was\n\
             written by a program that reads no answers.\n"
        );
    }
}
