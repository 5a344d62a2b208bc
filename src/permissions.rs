//! What somebody may do. Every door of the house names one permission, roles are made of patterns of them, and this table is
//! the one place that says what each is for.

use std::fmt;

/// Defines the permissions, their stored names and what each is for, in one table.
macro_rules! permissions {
    ($($(#[doc = $purpose:literal])+ $variant:ident = $name:literal,)+) => {
        /// One thing that somebody may do. The name is what is stored and shown; it is never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $($(#[doc = $purpose])+ $variant,)+
        }

        impl Permission {
            /// Every permission, in the order in which screens list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stored name: words with dots between them.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it is for, as one sentence.
            #[must_use]
            pub const fn purpose(self) -> &'static str {
                match self { $(Self::$variant => concat!($($purpose),+).trim_ascii(),)+ }
            }
        }
    };
}

permissions! {
    /// See the organisation, its quotas and who belongs to it.
    OrganisationView = "organisation.view",
    /// Change the organisation's name and what it demands of its members.
    OrganisationConfigure = "organisation.configure",
    /// Hand the organisation over to another member.
    OrganisationHandOver = "organisation.hand_over",
    /// Invite people, change their roles and remove them.
    MemberManage = "member.manage",
    /// Make, change and delete the organisation's own roles.
    RoleManage = "role.manage",
    /// Make and revoke API keys, no wider than what one may do oneself.
    ApiKeyManage = "api_key.manage",
    /// Read and export what happened in the organisation.
    AuditView = "audit.view",
    /// Mark the organisation's notices as read, for everybody in it.
    NoticeRead = "notice.read",
    /// See VMs, what they do and their jobs.
    VmView = "vm.view",
    /// Order new VMs.
    VmCreate = "vm.create",
    /// Start, shut down, stop, reboot, reset, suspend and resume VMs.
    VmPower = "vm.power",
    /// Change names, tags, protection, what a VM starts from; read its user data; cancel its jobs.
    VmConfigure = "vm.configure",
    /// Give VMs another size.
    VmResize = "vm.resize",
    /// Make VMs anew from an image; what is on their disk is lost.
    VmRebuild = "vm.rebuild",
    /// Set a new password inside VMs.
    VmPassword = "vm.password",
    /// Open the screen and the serial line of VMs.
    VmConsole = "vm.console",
    /// Delete VMs with their disks.
    VmDelete = "vm.delete",
    /// See SSH keys.
    SshKeyView = "ssh_key.view",
    /// Add and remove SSH keys.
    SshKeyManage = "ssh_key.manage",
    /// See the wallet, the ledger and every charge.
    BillingView = "billing.view",
    /// Redeem vouchers, pay, say whom invoices are made out to, and ask for rescue time.
    BillingPay = "billing.pay",
    /// See customers, their machines and their wallets.
    PlatformCustomerView = "platform.customer.view",
    /// Suspend and ban people, and end that.
    PlatformCustomerStanding = "platform.customer.standing",
    /// Take a lost second factor from people, so that they can set up another.
    PlatformCustomerRecover = "platform.customer.recover",
    /// Look at the portal as a customer sees it, for a stated reason.
    PlatformCustomerImpersonate = "platform.customer.impersonate",
    /// Set quotas of organisations.
    PlatformQuotaManage = "platform.quota.manage",
    /// Give credit and take it; record payments and what goes back of them.
    PlatformCreditManage = "platform.credit.manage",
    /// See vouchers.
    PlatformVoucherView = "platform.voucher.view",
    /// Make and revoke vouchers.
    PlatformVoucherManage = "platform.voucher.manage",
    /// See price lists and plans, and what another price would have cost.
    PlatformPriceView = "platform.price.view",
    /// Change price lists and plans.
    PlatformPriceManage = "platform.price.manage",
    /// See revenue, payments, wallets that end, and charging passes.
    PlatformMoneyView = "platform.money.view",
    /// Approve or waive what charging has held, and release parked wallets.
    PlatformMoneyApprove = "platform.money.approve",
    /// See clusters and what runs on them.
    PlatformClusterView = "platform.cluster.view",
    /// Add, change and remove clusters.
    PlatformClusterManage = "platform.cluster.manage",
    /// Decide about guests that are not what is sold, and take over or let go of guests.
    PlatformDriftDecide = "platform.drift.decide",
    /// Move VMs to other nodes.
    PlatformVmMigrate = "platform.vm.migrate",
    /// Open the console of a customer's VM, for a stated reason.
    PlatformVmConsole = "platform.vm.console",
    /// See jobs with Proxmox's own words.
    PlatformJobView = "platform.job.view",
    /// Tell jobs to try again or to undo.
    PlatformJobManage = "platform.job.manage",
    /// Read the mails that were written to customers.
    PlatformMailView = "platform.mail.view",
    /// Have mails sent again.
    PlatformMailManage = "platform.mail.manage",
    /// Read and export the whole audit log.
    PlatformAuditView = "platform.audit.view",
    /// See the platform's settings.
    PlatformSettingsView = "platform.settings.view",
    /// Change the platform's settings.
    PlatformSettingsManage = "platform.settings.manage",
    /// Give platform roles to people and take them away.
    PlatformStaffManage = "platform.staff.manage",
}

/// What precedes the names of what staff may do.
const PLATFORM: &str = "platform.";

impl Permission {
    /// Whether it is about the whole platform, and so only for its staff.
    #[must_use]
    pub fn is_platform(self) -> bool {
        self.name().starts_with(PLATFORM)
    }

    /// The permission of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.name() == name)
    }

    /// Its place in a set.
    const fn bit(self) -> u128 {
        1 << (self as u32)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of permissions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u128);

impl Permissions {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Everything in an organisation that a program may do with a key. Who belongs to it, what they may do, what it demands of
    /// them, whose it is and which keys there are is for people: a key that leaks must not be able to make itself at home, nor
    /// to hide from them what they should know.
    #[must_use]
    pub fn for_keys() -> Self {
        const FOR_PEOPLE: [Permission; 6] = [
            Permission::OrganisationConfigure,
            Permission::OrganisationHandOver,
            Permission::MemberManage,
            Permission::RoleManage,
            Permission::ApiKeyManage,
            Permission::NoticeRead,
        ];
        Self::of_pattern("*").without(Self::of(&FOR_PEOPLE))
    }

    /// These permissions.
    fn of<'a>(permissions: impl IntoIterator<Item = &'a Permission>) -> Self {
        permissions.into_iter().fold(Self::NONE, |all, permission| all.and(Self(permission.bit())))
    }

    /// What patterns stand for: a name, the beginning of names (`vm.*`), or everything in an organisation (`*`). `*` never
    /// stands for what only staff may do, and a pattern that is none of these stands for nothing.
    pub fn of_patterns<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        patterns.into_iter().fold(Self::NONE, |all, pattern| all.and(Self::of_pattern(pattern)))
    }

    fn of_pattern(pattern: &str) -> Self {
        let fits = |permission: &&Permission| match pattern.strip_suffix('*') {
            Some("") => !permission.is_platform(),
            Some(beginning) => beginning.ends_with('.') && permission.name().starts_with(beginning),
            None => permission.name() == pattern,
        };
        Self::of(Permission::ALL.iter().filter(fits))
    }

    /// Checks a pattern that somebody typed for an organisation's role or key.
    #[must_use]
    pub fn is_known_pattern(pattern: &str) -> bool {
        let set = Self::of_pattern(pattern);
        set != Self::NONE && set.list().iter().all(|permission| !permission.is_platform())
    }

    /// Whether it holds a permission.
    #[must_use]
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// Whether another set holds all of this one.
    #[must_use]
    pub const fn is_within(self, other: Self) -> bool {
        self.without(other).0 == 0
    }

    /// What is in either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What of it is not in another.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is left of it to a person of the operator who looks at the portal as a customer sees it: to look, and to run what
    /// is there. Never money, secrets, people, or what cannot be taken back.
    #[must_use]
    pub fn on_behalf(self) -> Self {
        const ON_BEHALF: [Permission; 7] = [
            Permission::OrganisationView,
            Permission::AuditView,
            Permission::VmView,
            Permission::VmPower,
            Permission::VmConfigure,
            Permission::SshKeyView,
            Permission::BillingView,
        ];
        self.only(Self::of(&ON_BEHALF))
    }

    /// The permissions in it.
    #[must_use]
    pub fn list(self) -> Vec<Permission> {
        Permission::ALL.iter().copied().filter(|permission| self.has(*permission)).collect()
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.list().iter().map(|permission| permission.name())).finish()
    }
}

/// A role that every organisation has. Others it makes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything, and the organisation itself.
    Owner,
    /// Everything but handing the organisation over.
    Admin,
    /// Runs the machines.
    Operator,
    /// Looks after the money.
    Billing,
    /// Looks.
    Viewer,
}

impl Role {
    /// Every role, the mightiest first.
    pub const ALL: &'static [Self] = &[Self::Owner, Self::Admin, Self::Operator, Self::Billing, Self::Viewer];

    /// The stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Billing => "billing",
            Self::Viewer => "viewer",
        }
    }

    /// What the role is for, as one sentence.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Owner => "May do everything, and hand the organisation over.",
            Self::Admin => "May do everything but hand the organisation over.",
            Self::Operator => "Orders, runs and deletes machines; sees what they cost.",
            Self::Billing => "Sees every charge, redeems vouchers and pays.",
            Self::Viewer => "Sees machines and keys, and changes nothing.",
        }
    }

    /// The patterns that the role is made of.
    #[must_use]
    pub const fn patterns(self) -> &'static [&'static str] {
        match self {
            Self::Owner => &["*"],
            Self::Admin => &[
                "organisation.view",
                "organisation.configure",
                "member.*",
                "role.*",
                "api_key.*",
                "audit.*",
                "notice.*",
                "vm.*",
                "ssh_key.*",
                "billing.*",
            ],
            Self::Operator => &["organisation.view", "audit.view", "notice.*", "vm.*", "ssh_key.*", "billing.view"],
            Self::Billing => &["organisation.view", "notice.*", "vm.view", "billing.*"],
            Self::Viewer => &["organisation.view", "vm.view", "ssh_key.view"],
        }
    }

    /// The role of a stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.name() == name)
    }

    /// What the role may do.
    #[must_use]
    pub fn permissions(self) -> Permissions {
        Permissions::of_patterns(self.patterns().iter().copied())
    }
}

/// What staff may do on the whole platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlatformRole {
    /// Everything.
    Admin,
    /// Runs clusters and machines.
    Operator,
    /// Looks and explains; moves no money, and machines only on behalf of a customer who reads of it.
    Support,
}

impl PlatformRole {
    /// Every platform role, the mightiest first.
    pub const ALL: &'static [Self] = &[Self::Admin, Self::Operator, Self::Support];

    /// The stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Support => "support",
        }
    }

    /// What the role is for, as one sentence.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Admin => "May do everything, and say who of the staff is what.",
            Self::Operator => "Runs clusters and machines; sees money and moves none.",
            Self::Support => "Looks and explains; looks at the portal as a customer sees it, for a stated reason.",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.name() == text)
    }

    /// The patterns that the role is made of.
    #[must_use]
    pub const fn patterns(self) -> &'static [&'static str] {
        match self {
            Self::Admin => &["platform.*"],
            Self::Operator => &[
                "platform.customer.view",
                "platform.voucher.view",
                "platform.price.view",
                "platform.money.view",
                "platform.cluster.*",
                "platform.drift.*",
                "platform.vm.*",
                "platform.job.*",
                "platform.mail.*",
                "platform.audit.view",
                "platform.settings.view",
            ],
            Self::Support => &[
                "platform.customer.view",
                "platform.customer.impersonate",
                "platform.voucher.view",
                "platform.price.view",
                "platform.money.view",
                "platform.cluster.view",
                "platform.job.view",
                "platform.mail.view",
                "platform.audit.view",
            ],
        }
    }

    /// What the role may do.
    #[must_use]
    pub fn permissions(self) -> Permissions {
        Permissions::of_patterns(self.patterns().iter().copied())
    }
}

impl fmt::Display for PlatformRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_has_a_name_of_its_own_and_a_purpose() {
        let mut names: Vec<_> = Permission::ALL.iter().map(|permission| permission.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Permission::ALL.len());
        for permission in Permission::ALL {
            assert!(permission.purpose().ends_with('.') && !permission.purpose().starts_with(' '), "{permission}");
            assert_eq!(Permission::parse(permission.name()), Some(*permission));
        }
        assert!(Permission::ALL.len() <= 128, "a set has 128 places");
    }

    #[test]
    fn a_star_never_reaches_what_only_staff_may_do() {
        for pattern in ["*", "vm.*", "billing.*"] {
            let set = Permissions::of_patterns([pattern]);
            assert!(set.list().iter().all(|permission| !permission.is_platform()), "{pattern}");
            assert!(Permissions::is_known_pattern(pattern));
        }
        assert!(Permissions::of_patterns(["*"]).has(Permission::VmDelete));
        for pattern in ["platform.*", "platform.cluster.view", "", "vm", "vm.", "v*", "vm.nothing", "**", "*.view", "."]
        {
            assert!(!Permissions::is_known_pattern(pattern), "{pattern}");
        }
        assert_eq!(Permissions::of_patterns(["v*", "vm", "*.view", ""]), Permissions::NONE);
    }

    #[test]
    fn roles_hold_what_their_sentence_says() {
        use Permission::{BillingPay, BillingView, MemberManage, OrganisationHandOver, SshKeyManage, VmCreate, VmView};
        let [owner, admin, operator, billing, viewer] = [0, 1, 2, 3, 4].map(|index| Role::ALL[index].permissions());
        assert!(admin.is_within(owner) && operator.is_within(admin) && viewer.is_within(operator));
        assert!(owner.has(OrganisationHandOver) && !admin.has(OrganisationHandOver) && admin.has(MemberManage));
        assert!(operator.has(VmCreate) && operator.has(BillingView) && !operator.has(BillingPay));
        assert!(billing.has(BillingPay) && billing.has(VmView) && !billing.has(VmCreate));
        assert!(viewer.has(VmView) && !viewer.has(SshKeyManage) && !viewer.has(BillingView));
    }

    #[test]
    fn roles_say_what_they_are_for_and_sets_what_is_in_them() {
        let said: Vec<_> = Role::ALL.iter().map(|role| role.purpose()).collect();
        let said_of_staff = PlatformRole::ALL.iter().map(|role| role.purpose());
        let mut said: Vec<_> = said.into_iter().chain(said_of_staff).collect();
        assert!(said.iter().all(|sentence| sentence.ends_with('.')), "{said:?}");
        said.sort_unstable();
        said.dedup();
        assert_eq!(said.len(), Role::ALL.len() + PlatformRole::ALL.len(), "each is another one");
        let set = Permissions::of_patterns(["vm.view", "vm.power"]);
        assert_eq!(format!("{set:?}"), r#"{"vm.view", "vm.power"}"#);
        assert_eq!(Permissions::of_patterns(["vm.view", "vm.power", "vm.view"]), set, "said twice is said");
        assert_eq!(set.without(Permissions::of_patterns(["vm.power", "vm.create"])).list(), [Permission::VmView]);
    }

    #[test]
    fn support_looks_and_touches_nothing() {
        let support = PlatformRole::Support.permissions();
        assert!(support.is_within(PlatformRole::Admin.permissions()));
        for permission in support.list() {
            let name = permission.name();
            assert!(name.ends_with(".view") || name == "platform.customer.impersonate", "{name}");
        }
        for permission in [Permission::PlatformCreditManage, Permission::PlatformCustomerRecover] {
            assert!(!PlatformRole::Operator.permissions().has(permission), "{permission}");
        }
    }
}
