//! A type for the id of every noun, so that one cannot be passed for another. All are UUIDv7: they sort by creation.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

/// How the API describes an id.
fn described(whose: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::Custom("uuid".into())));
    text.description(Some(whose)).into()
}

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident)*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id; later ids sort after earlier ones.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "every call makes another id: that is no default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The plain UUID, for SQL parameters.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                described(concat!($($doc),+).trim_ascii())
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// An organisation.
    OrganisationId
    /// A person.
    UserId
    /// A web session.
    SessionId
    /// A time in which somebody of the staff looks as a customer.
    ImpersonationId
    /// A location.
    LocationId
    /// A Proxmox cluster.
    ClusterId
    /// A role that an organisation made.
    RoleId
    /// An invitation into an organisation.
    InvitationId
    /// A plan.
    PlanId
    /// A price.
    PriceId
    /// A price list.
    PriceListId
    /// A version of a price list.
    PriceListVersionId
    /// An image.
    ImageId
    /// A CD image that can be put into a VM's drive.
    IsoImageId
    /// Where a guest is not what we sell.
    DriftId
    /// An SSH key.
    SshKeyId
    /// An account at an identity provider that is linked with one here.
    IdentityId
    /// An API key.
    ApiKeyId
    /// A machine. Also the SMBIOS uuid of its guest, unless that was adopted.
    VmId
    /// A job.
    JobId
    /// A ledger account.
    AccountId
    /// A transfer of the ledger.
    TransferId
    /// The legs of one posting.
    PostingId
    /// A voucher.
    VoucherId
    /// A payment of a customer.
    PaymentId
    /// A part of a payment that went back.
    PaymentReturnId
    /// A meter.
    MeterId
    /// An invoice.
    InvoiceId
    /// A pass of charging.
    PassId
    /// An audit event.
    AuditEventId
    /// A pool of addresses.
    AddressPoolId
    /// A mail.
    MailId
    /// A passkey.
    PasskeyId
    /// A notice in the portal.
    NotificationId
}
