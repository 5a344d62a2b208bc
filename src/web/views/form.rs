//! Problems of a form, kept by field, and how a field shows them.
//! It checks nothing: the handler says what is wrong, the template asks for it by the field's name.

use super::markup::{Markup, escape};

/// What is wrong with a form, field by field; the first problem of a field is shown.
#[derive(Clone, Debug, Default)]
pub struct FormErrors {
    problems: Vec<(String, String)>,
}

impl FormErrors {
    /// A form without problems.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a problem to a field; an empty field name means the form as a whole.
    pub fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.problems.push((field.into(), problem.into()));
    }

    /// Is nothing wrong?
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problem of a field, if it has one.
    pub fn of(&self, field: &str) -> Option<&str> {
        let found = self.problems.iter().find(|(name, _)| name == field);
        found.map(|(_, problem)| problem.as_str())
    }

    /// The class that marks a field with a problem.
    pub fn class(&self, field: &str) -> &'static str {
        if self.of(field).is_some() { "is-invalid" } else { "" }
    }

    /// The attributes that tie a field to its hint (`<field>-hint`) and its problem.
    pub fn attributes(&self, field: &str) -> Markup {
        let field_escaped = escape(field);
        Markup::new(match self.of(field) {
            Some(_) => {
                format!(r#"aria-invalid="true" aria-describedby="{field_escaped}-problem {field_escaped}-hint""#)
            }
            None => format!(r#"aria-describedby="{field_escaped}-hint""#),
        })
    }

    /// The line under a field that says what is wrong with it; nothing when all is well.
    pub fn message(&self, field: &str) -> Markup {
        Markup::new(match self.of(field) {
            Some(problem) => {
                format!(r#"<div class="problem" id="{}-problem">{}</div>"#, escape(field), escape(problem))
            }
            None => String::new(),
        })
    }

    /// What is wrong with the form as a whole, as a notice above it; nothing when all is well.
    pub fn summary(&self) -> Markup {
        Markup::new(match self.of("") {
            Some(problem) => {
                format!(r#"<div class="alert alert-danger" role="alert"><div>{}</div></div>"#, escape(problem))
            }
            None => String::new(),
        })
    }
}

impl<Field: Into<String>, Problem: Into<String>> FromIterator<(Field, Problem)> for FormErrors {
    fn from_iter<Pairs: IntoIterator<Item = (Field, Problem)>>(pairs: Pairs) -> Self {
        let owned = pairs.into_iter().map(|(field, problem)| (field.into(), problem.into()));
        Self { problems: owned.collect() }
    }
}

/// One entry of a list to choose from.
#[derive(Clone, Debug)]
pub struct SelectOption {
    /// What is sent.
    pub value: String,
    /// What is read.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_stands_at_its_field_and_is_escaped() {
        let errors: FormErrors =
            [("name", "<b> is no name"), ("name", "second"), ("", "Try again")].into_iter().collect();
        assert_eq!(errors.of("name"), Some("<b> is no name"));
        assert_eq!(errors.class("name"), "is-invalid");
        assert!(errors.message("name").to_string().contains("&lt;b&gt; is no name"));
        assert!(errors.attributes("name").to_string().contains("name-problem"));
        assert!(errors.summary().to_string().contains("Try again"));
        assert_eq!(errors.class("email"), "");
        assert_eq!(errors.message("email").to_string(), "");
    }
}
