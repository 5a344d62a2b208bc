//! Who acted, and from where.

use crate::ids::{ApiKeyId, UserId};

/// The name of the platform itself.
const SYSTEM: &str = "system";
/// The name of who is not known.
const STRANGER: &str = "somebody";

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The platform itself.
    System,
    /// Somebody who is not known, or not yet: at the login, at registration.
    Stranger,
    /// A person, about what is his own.
    Person(Named),
    /// A program with an API key.
    Key {
        /// The key.
        id: ApiKeyId,
        /// What the key was called then.
        name: String,
        /// Who made it, and so answers for it.
        maker: Named,
    },
    /// A person of the operator.
    Staff {
        /// Who.
        person: Named,
        /// As whom he acted, when he impersonated a customer.
        on_behalf: Option<Named>,
    },
}

/// A person by id and by the e-mail address of that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The person.
    pub id: UserId,
    /// The e-mail address.
    pub email: String,
}

impl Named {
    /// A person by id and e-mail address.
    pub fn new(id: UserId, email: impl Into<String>) -> Self {
        Self { id, email: email.into() }
    }
}

/// Who acted, and from where.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Who.
    pub who: Who,
    /// The network address the request came from.
    pub address: Option<String>,
    /// What the program that sent the request calls itself, shortened.
    pub user_agent: Option<String>,
    /// The id of the request, as its answer and the log have it.
    pub request_id: Option<String>,
}

impl Actor {
    /// The platform itself.
    #[must_use]
    pub fn system() -> Self {
        Self { who: Who::System, address: None, user_agent: None, request_id: None }
    }

    /// A person who acts from nowhere in particular: a command, a test.
    #[must_use]
    pub fn person(person: impl Into<Named>) -> Self {
        Self { who: Who::Person(person.into()), ..Self::system() }
    }

    /// The same request, of which it has turned out who sent it.
    #[must_use]
    pub fn known_as(self, person: impl Into<Named>) -> Self {
        Self { who: Who::Person(person.into()), ..self }
    }

    /// Whether nobody is known yet.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        self.who == Who::Stranger
    }

    /// Who answers for it: the person himself, the maker of the key, the person of the staff. None when the platform itself
    /// or a stranger acted.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.answerable().map(|person| person.id)
    }

    /// The API key, if a program with one acted.
    #[must_use]
    pub fn api_key(&self) -> Option<ApiKeyId> {
        self.key().map(|(id, _)| id)
    }

    fn answerable(&self) -> Option<&Named> {
        match &self.who {
            Who::System | Who::Stranger => None,
            Who::Person(person) | Who::Key { maker: person, .. } | Who::Staff { person, .. } => Some(person),
        }
    }

    /// The name of who answers for it, as it is stored.
    pub(super) fn name(&self) -> &str {
        match &self.who {
            Who::System => SYSTEM,
            Who::Stranger => STRANGER,
            Who::Person(_) | Who::Key { .. } | Who::Staff { .. } => {
                self.answerable().map_or(STRANGER, |person| person.email.as_str())
            }
        }
    }

    /// The stored name of its kind.
    pub(super) const fn kind(&self) -> ActorKind {
        match self.who {
            Who::System => ActorKind::System,
            Who::Stranger => ActorKind::Stranger,
            Who::Person(_) => ActorKind::Person,
            Who::Key { .. } => ActorKind::Key,
            Who::Staff { .. } => ActorKind::Staff,
        }
    }

    /// The key, if a program acted.
    pub(super) fn key(&self) -> Option<(ApiKeyId, &str)> {
        match &self.who {
            Who::Key { id, name, .. } => Some((*id, name)),
            Who::System | Who::Stranger | Who::Person(_) | Who::Staff { .. } => None,
        }
    }

    /// As whom a person of the staff acted.
    pub(super) fn on_behalf(&self) -> Option<&Named> {
        match &self.who {
            Who::Staff { on_behalf, .. } => on_behalf.as_ref(),
            Who::System | Who::Stranger | Who::Person(_) | Who::Key { .. } => None,
        }
    }
}

/// The kinds of actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ActorKind {
    /// A person, about what is his own.
    Person,
    /// A program with an API key.
    Key,
    /// A person of the operator, also on behalf of a customer.
    Staff,
    /// The platform itself.
    System,
    /// Somebody who is not known.
    Stranger,
}

impl ActorKind {
    /// Every kind, in the order in which screens list them.
    pub const ALL: &'static [Self] = &[Self::Person, Self::Key, Self::Staff, Self::System, Self::Stranger];

    /// The stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Key => "key",
            Self::Staff => "staff",
            Self::System => "system",
            Self::Stranger => "stranger",
        }
    }

    /// Reads the stored name. What is not known is a stranger.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::ALL.iter().copied().find(|kind| kind.name() == text).unwrap_or(Self::Stranger)
    }
}
