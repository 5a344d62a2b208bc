//! What can be told, by the names that are stored and in words.

/// What can be told. The text is what is stored; it is never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A person registered and got an organisation.
    UserRegistered,
    /// A person logged in through the portal.
    UserLoggedIn,
    /// A person logged out.
    UserLoggedOut,
    /// Somebody gave a wrong password for a known account.
    LoginFailed,
    /// A refresh token was used twice, so its whole family was ended.
    RefreshTokenReused,
    /// An SSH key was added.
    SshKeyAdded,
    /// An SSH key was removed.
    SshKeyRemoved,
    /// A VM was ordered.
    VmOrdered,
    /// A VM was provisioned and runs.
    VmProvisioned,
    /// A VM could not be made; everything was undone.
    VmFailed,
    /// A start was asked for.
    VmStart,
    /// A graceful shutdown was asked for.
    VmShutdown,
    /// A hard stop was asked for.
    VmStop,
    /// A reboot was asked for.
    VmReboot,
    /// A reset was asked for.
    VmReset,
    /// A suspension was asked for.
    VmSuspend,
    /// Going on was asked for.
    VmResume,
    /// Another size was asked for.
    VmResize,
    /// A VM has another size.
    VmResized,
    /// Making it anew was asked for.
    VmRebuild,
    /// A VM was made anew.
    VmRebuilt,
    /// A move to another node was asked for.
    VmMigrate,
    /// Settings were changed.
    VmConfigure,
    /// Starting it from a CD or from its disk was asked for.
    VmBoot,
    /// A new password was asked for.
    VmPassword,
    /// Deleting was asked for.
    VmDelete,
    /// A VM is gone.
    VmDeleted,
    /// Somebody opened the console of a VM.
    ConsoleOpened,
    /// That console was closed.
    ConsoleClosed,
    /// The cluster shows another state than we left it in.
    VmObserved,
    /// A guest that differs from what is sold was left as it is.
    VmDriftAccepted,
    /// A guest that differs from what is sold is set back.
    VmDriftEnforced,
    /// The books follow a guest that differs from what was sold.
    VmDriftAdopted,
    /// A guest that was not ours is being taken over.
    VmAdopt,
    /// A guest that was not ours is a machine now.
    VmAdopted,
    /// An adopted machine is being let go.
    VmRelease,
    /// An adopted machine was let go; its guest was left as it is.
    VmReleased,
    /// The credit ran out and machines are being shut down.
    CreditRanOut,
    /// How important a machine is to its owner was changed.
    VmImportance,
    /// The order in which machines are shut down was changed.
    ShutdownOrder,
    /// Rescue time on an empty wallet began.
    RescueBegan,
    /// Rescue time was over and machines are being shut down.
    RescueEnded,
    /// An operator keeps the disks of an empty wallet longer.
    GraceExtended,
    /// The grace period was over and machines are being deleted.
    GraceEnded,
    /// An operator changed what happens to an organisation at zero.
    CreditLimitChanged,
    /// The settings of the platform were changed.
    SettingsChanged,
    /// Credit arrived and machines are being started again.
    CreditResumed,
    /// An admin added credit.
    CreditAdded,
    /// A price list was made.
    PriceListAdded,
    /// Prices of a list were changed, from an instant on.
    PricesChanged,
    /// A change of prices that had not begun was taken back.
    PricesWithdrawn,
    /// All customers concerned were told of a change of prices.
    PricesAnnounced,
    /// An organisation was put on a price list.
    PriceListAssigned,
    /// A plan was put on sale.
    PlanAdded,
    /// A plan was taken off sale.
    PlanRetired,
    /// A plan was put on sale again.
    PlanOffered,
    /// An admin took credit.
    CreditTaken,
    /// Vouchers were made.
    VouchersCreated,
    /// A voucher can be redeemed no more.
    VoucherRevoked,
    /// A voucher was redeemed.
    VoucherRedeemed,
    /// An operator let a wallet that could not be charged be tried again.
    ChargingRetried,
    /// An operator let a held pass of charging go on.
    PassApproved,
    /// An operator said that a held pass must not go on as it is.
    PassRefused,
    /// An operator let missed time go by without a charge.
    PassWaived,
    /// A cluster was added.
    ClusterAdded,
    /// Which template an image is cloned from was changed.
    ClusterTemplatesChanged,
    /// The settings of a cluster were changed.
    ClusterChanged,
    /// A cluster takes no new machines from now on.
    ClusterMaintenanceBegun,
    /// A cluster takes new machines again.
    ClusterMaintenanceEnded,
    /// Which further nodes answer for a cluster was changed.
    ClusterEndpointsChanged,
    /// The CD images of a cluster were listed.
    ClusterIsosRefreshed,
    /// Which CD images of a cluster are offered was changed.
    ClusterIsosChanged,
    /// A cluster was removed.
    ClusterRemoved,
    /// A parked or failed job was told to try again.
    JobRetried,
    /// A job was told to undo what it has done.
    JobCancelled,
    /// A mail that could not be sent was told to be sent again.
    MailRetried,
    /// Somebody marked a notice as read.
    NoticeRead,
    /// Somebody marked all notices as read.
    NoticesRead,
}

impl Event {
    /// Every event, for filters and tests.
    pub const ALL: &'static [Self] = &[
        Self::UserRegistered,
        Self::UserLoggedIn,
        Self::UserLoggedOut,
        Self::LoginFailed,
        Self::RefreshTokenReused,
        Self::SshKeyAdded,
        Self::SshKeyRemoved,
        Self::VmOrdered,
        Self::VmProvisioned,
        Self::VmFailed,
        Self::VmStart,
        Self::VmShutdown,
        Self::VmStop,
        Self::VmReboot,
        Self::VmReset,
        Self::VmSuspend,
        Self::VmResume,
        Self::VmResize,
        Self::VmResized,
        Self::VmRebuild,
        Self::VmRebuilt,
        Self::VmMigrate,
        Self::VmConfigure,
        Self::VmBoot,
        Self::VmPassword,
        Self::VmDelete,
        Self::VmDeleted,
        Self::ConsoleOpened,
        Self::ConsoleClosed,
        Self::VmObserved,
        Self::VmDriftAccepted,
        Self::VmDriftEnforced,
        Self::VmDriftAdopted,
        Self::VmAdopt,
        Self::VmAdopted,
        Self::VmRelease,
        Self::VmReleased,
        Self::CreditRanOut,
        Self::VmImportance,
        Self::ShutdownOrder,
        Self::RescueBegan,
        Self::RescueEnded,
        Self::GraceExtended,
        Self::GraceEnded,
        Self::CreditLimitChanged,
        Self::SettingsChanged,
        Self::CreditResumed,
        Self::CreditAdded,
        Self::PriceListAdded,
        Self::PricesChanged,
        Self::PricesWithdrawn,
        Self::PricesAnnounced,
        Self::PriceListAssigned,
        Self::PlanAdded,
        Self::PlanRetired,
        Self::PlanOffered,
        Self::CreditTaken,
        Self::VouchersCreated,
        Self::VoucherRevoked,
        Self::VoucherRedeemed,
        Self::ChargingRetried,
        Self::PassApproved,
        Self::PassRefused,
        Self::PassWaived,
        Self::ClusterAdded,
        Self::ClusterTemplatesChanged,
        Self::ClusterChanged,
        Self::ClusterMaintenanceBegun,
        Self::ClusterMaintenanceEnded,
        Self::ClusterEndpointsChanged,
        Self::ClusterIsosRefreshed,
        Self::ClusterIsosChanged,
        Self::ClusterRemoved,
        Self::JobRetried,
        Self::JobCancelled,
        Self::MailRetried,
        Self::NoticeRead,
        Self::NoticesRead,
    ];

    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UserRegistered => "user.registered",
            Self::UserLoggedIn => "user.logged_in",
            Self::UserLoggedOut => "user.logged_out",
            Self::LoginFailed => "user.login_failed",
            Self::RefreshTokenReused => "user.refresh_token_reused",
            Self::SshKeyAdded => "ssh_key.added",
            Self::SshKeyRemoved => "ssh_key.removed",
            Self::VmOrdered => "vm.ordered",
            Self::VmProvisioned => "vm.provisioned",
            Self::VmFailed => "vm.failed",
            Self::VmStart => "vm.start",
            Self::VmShutdown => "vm.shutdown",
            Self::VmStop => "vm.stop",
            Self::VmReboot => "vm.reboot",
            Self::VmReset => "vm.reset",
            Self::VmSuspend => "vm.suspend",
            Self::VmResume => "vm.resume",
            Self::VmResize => "vm.resize",
            Self::VmResized => "vm.resized",
            Self::VmRebuild => "vm.rebuild",
            Self::VmRebuilt => "vm.rebuilt",
            Self::VmMigrate => "vm.migrate",
            Self::VmConfigure => "vm.configure",
            Self::VmBoot => "vm.boot",
            Self::VmPassword => "vm.password",
            Self::VmDelete => "vm.delete",
            Self::VmDeleted => "vm.deleted",
            Self::ConsoleOpened => "vm.console_opened",
            Self::ConsoleClosed => "vm.console_closed",
            Self::VmObserved => "vm.observed",
            Self::VmDriftAccepted => "vm.drift_accepted",
            Self::VmDriftEnforced => "vm.drift_enforced",
            Self::VmDriftAdopted => "vm.drift_adopted",
            Self::VmAdopt => "vm.adopt",
            Self::VmAdopted => "vm.adopted",
            Self::VmRelease => "vm.release",
            Self::VmReleased => "vm.released",
            Self::CreditRanOut => "wallet.ran_out",
            Self::VmImportance => "vm.importance",
            Self::ShutdownOrder => "wallet.shutdown_order",
            Self::RescueBegan => "wallet.rescue_began",
            Self::RescueEnded => "wallet.rescue_ended",
            Self::GraceExtended => "wallet.grace_extended",
            Self::GraceEnded => "wallet.grace_ended",
            Self::CreditLimitChanged => "wallet.limit_changed",
            Self::SettingsChanged => "settings.changed",
            Self::CreditResumed => "wallet.resumed",
            Self::CreditAdded => "wallet.credited",
            Self::PriceListAdded => "price_list.added",
            Self::PricesChanged => "price_list.changed",
            Self::PricesWithdrawn => "price_list.withdrawn",
            Self::PricesAnnounced => "price_list.announced",
            Self::PriceListAssigned => "price_list.assigned",
            Self::PlanAdded => "plan.added",
            Self::PlanRetired => "plan.retired",
            Self::PlanOffered => "plan.offered",
            Self::CreditTaken => "wallet.debited",
            Self::VouchersCreated => "voucher.created",
            Self::VoucherRevoked => "voucher.revoked",
            Self::VoucherRedeemed => "voucher.redeemed",
            Self::ChargingRetried => "wallet.charging_retried",
            Self::PassApproved => "pass.approved",
            Self::PassRefused => "pass.refused",
            Self::PassWaived => "pass.waived",
            Self::ClusterAdded => "cluster.added",
            Self::ClusterTemplatesChanged => "cluster.templates_changed",
            Self::ClusterChanged => "cluster.changed",
            Self::ClusterMaintenanceBegun => "cluster.maintenance_begun",
            Self::ClusterMaintenanceEnded => "cluster.maintenance_ended",
            Self::ClusterEndpointsChanged => "cluster.endpoints_changed",
            Self::ClusterIsosRefreshed => "cluster.isos_refreshed",
            Self::ClusterIsosChanged => "cluster.isos_changed",
            Self::ClusterRemoved => "cluster.removed",
            Self::JobRetried => "job.retried",
            Self::JobCancelled => "job.cancelled",
            Self::MailRetried => "mail.retried",
            Self::NoticeRead => "notice.read",
            Self::NoticesRead => "notice.all_read",
        }
    }

    /// What happened, as the middle of a sentence: actor *did this* to the subject.
    #[must_use]
    pub fn words(name: &str) -> &str {
        match name {
            "user.registered" => "registered",
            "user.logged_in" => "logged in",
            "user.logged_out" => "logged out",
            "user.login_failed" => "gave a wrong password",
            "user.refresh_token_reused" => "used a refresh token twice; its sessions were ended",
            "ssh_key.added" => "added the SSH key",
            "ssh_key.removed" => "removed the SSH key",
            "vm.ordered" => "ordered the VM",
            "vm.provisioned" => "finished making the VM",
            "vm.failed" => "could not make the VM",
            "vm.start" => "started the VM",
            "vm.shutdown" => "shut down the VM",
            "vm.stop" => "stopped the VM hard",
            "vm.reboot" => "rebooted the VM",
            "vm.reset" => "reset the VM",
            "vm.suspend" => "suspended the VM",
            "vm.resume" => "resumed the VM",
            "vm.resize" => "asked for another size of the VM",
            "vm.resized" => "finished resizing the VM",
            "vm.rebuild" => "asked to rebuild the VM",
            "vm.rebuilt" => "finished rebuilding the VM",
            "vm.migrate" => "moved to another host the VM",
            "vm.configure" => "changed settings of the VM",
            "vm.boot" => "changed what it starts from: the VM",
            "vm.password" => "set a new password on the VM",
            "vm.delete" => "asked to delete the VM",
            "vm.deleted" => "deleted the VM",
            "vm.console_opened" => "opened the console of the VM",
            "vm.console_closed" => "closed the console of the VM",
            "vm.observed" => "saw a change of the VM on the cluster",
            "vm.drift_accepted" => "left the VM as it was found",
            "vm.drift_enforced" => "set the VM back to what was ordered",
            "vm.drift_adopted" => "corrected the books to what the VM is",
            "vm.adopt" => "began to take over the VM",
            "vm.adopted" => "took over the VM",
            "vm.release" => "began to let go of the VM",
            "vm.released" => "let go of the VM; it was left as it is",
            "wallet.ran_out" => "shut machines down: the credit ran out",
            "vm.importance" => "changed how long a VM is kept running",
            "wallet.shutdown_order" => "changed the order of shutdown",
            "wallet.rescue_began" => "took rescue time",
            "wallet.rescue_ended" => "shut machines down: the rescue time was over",
            "wallet.grace_extended" => "kept disks longer",
            "wallet.grace_ended" => "deleted VMs: the grace period was over",
            "wallet.limit_changed" => "changed what happens when the credit ends",
            "settings.changed" => "changed the platform’s settings",
            "wallet.resumed" => "started machines again: credit arrived",
            "wallet.credited" => "added credit",
            "price_list.added" => "made the price list",
            "price_list.changed" => "changed the prices of the list",
            "price_list.withdrawn" => "took back a change of prices of the list",
            "price_list.announced" => "told customers of a change of prices of the list",
            "price_list.assigned" => "put the organisation on the price list",
            "plan.added" => "put on sale the plan",
            "plan.retired" => "took off sale the plan",
            "plan.offered" => "put on sale again the plan",
            "wallet.debited" => "took credit",
            "voucher.created" => "made the voucher",
            "voucher.revoked" => "revoked the voucher",
            "voucher.redeemed" => "redeemed the voucher",
            "wallet.charging_retried" => "let charging be tried again of the",
            "pass.approved" => "let go on the pass through",
            "pass.refused" => "refused the pass through",
            "pass.waived" => "let go by without a charge the time through",
            "cluster.added" => "added the cluster",
            "cluster.templates_changed" => "changed the templates of the cluster",
            "cluster.changed" => "changed the cluster",
            "cluster.maintenance_begun" => "began maintenance of the cluster",
            "cluster.maintenance_ended" => "ended maintenance of the cluster",
            "cluster.endpoints_changed" => "changed the endpoints of the cluster",
            "cluster.isos_refreshed" => "listed the CD images of the cluster",
            "cluster.isos_changed" => "changed the CD images of the cluster",
            "cluster.removed" => "removed the cluster",
            "job.retried" => "told a job to try again",
            "job.cancelled" => "told a job to undo its work",
            "mail.retried" => "had a mail sent again",
            "notice.read" => "marked a notice as read",
            "notice.all_read" => "marked all notices as read",
            other => other,
        }
    }
}
