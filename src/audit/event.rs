//! What can be told, by the names that are stored and in words.

/// Defines the events with their stored names and words, in one table.
macro_rules! events {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $words:literal;)+) => {
        /// What can be told. The text is what is stored; it is never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Event {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Event {
            /// Every event, for filters and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stored name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What happened, as the middle of a sentence: actor *did this* to the subject. A name that is not known, of a
            /// newer version, says itself.
            #[must_use]
            pub fn words(name: &str) -> &str {
                match name { $($name => $words,)+ other => other }
            }
        }
    };
}

events! {
    /// A person registered and got an organisation.
    UserRegistered = "user.registered", "registered";
    /// A person logged in, with a browser or a program.
    UserLoggedIn = "user.logged_in", "logged in";
    /// A person logged out.
    UserLoggedOut = "user.logged_out", "logged out";
    /// Somebody gave a wrong password for a known account.
    LoginFailed = "user.login_failed", "gave a wrong password for";
    /// Somebody took the first step of a login, and was asked for the second factor.
    SecondFactorAsked = "user.second_factor_asked", "took the first step of a login, and was asked for the second factor, for";
    /// Somebody who knew the password gave a wrong code.
    SecondFactorFailed = "user.second_factor_failed", "gave a wrong code as second factor for";
    /// A person proved once more who he is.
    UserConfirmed = "user.confirmed", "confirmed that it is";
    /// A person set up an authenticator app.
    TotpAdded = "user.totp_added", "set up an authenticator app for";
    /// A person removed his authenticator app.
    TotpRemoved = "user.totp_removed", "removed the authenticator app of";
    /// An account at the identity provider was linked with a person's.
    IdentityLinked = "user.identity_linked", "linked an account at the identity provider with";
    /// It was unlinked again.
    IdentityUnlinked = "user.identity_unlinked", "unlinked an account at the identity provider from";
    /// A person added a passkey.
    PasskeyAdded = "user.passkey_added", "added the passkey";
    /// A person removed a passkey.
    PasskeyRemoved = "user.passkey_removed", "removed the passkey";
    /// A person made new recovery codes.
    RecoveryCodesMade = "user.recovery_codes_made", "made new recovery codes for";
    /// A person used a recovery code.
    RecoveryCodeUsed = "user.recovery_code_used", "used a recovery code of";
    /// Somebody of the operator took the second factor of a person who had lost it.
    SecondFactorReset = "user.second_factor_reset", "took the lost second factor of";
    /// An organisation began to require a second factor of its members.
    SecondFactorDemanded = "organisation.second_factor_demanded", "began to require a second factor in the organisation";
    /// An organisation requires a second factor no more.
    SecondFactorWaived = "organisation.second_factor_waived", "no longer requires a second factor in the organisation";
    /// A person was suspended: he looks, and changes nothing.
    UserSuspended = "user.suspended", "suspended the account of";
    /// A person was banned: he does not come in.
    UserBanned = "user.banned", "closed the account of";
    /// A suspension or a ban was ended.
    UserReinstated = "user.reinstated", "opened again the account of";
    /// Somebody of the operator began to look at the portal as a customer sees it.
    ImpersonationBegun = "impersonation.begun", "began to look as";
    /// That ended.
    ImpersonationEnded = "impersonation.ended", "stopped looking as";
    /// Somebody was given a role on the platform, or another one.
    StaffRoleGiven = "staff.role_given", "changed the platform role of";
    /// Somebody's role on the platform was taken.
    StaffRoleTaken = "staff.role_taken", "took the platform role of";
    /// A refresh token was used twice, so its whole family was ended.
    RefreshTokenReused = "user.refresh_token_reused", "used a refresh token twice; its sessions were ended";
    /// A person confirmed his e-mail address.
    EmailVerified = "user.email_verified", "confirmed the e-mail address";
    /// A person had the mail sent again that confirms his address.
    VerificationSent = "user.verification_sent", "had the mail sent again that confirms the address";
    /// Another address for an account was asked for.
    EmailChangeRequested = "user.email_change_requested", "asked for another e-mail address";
    /// An account has another address.
    EmailChanged = "user.email_changed", "changed the e-mail address";
    /// A person changed his name.
    NameChanged = "user.name_changed", "changed the name";
    /// A person changed his password.
    PasswordChanged = "user.password_changed", "changed the password";
    /// A link that sets a new password was sent.
    PasswordResetRequested = "user.password_reset_requested", "asked for a new password";
    /// A new password was set with a link that had been sent.
    PasswordReset = "user.password_reset", "set a new password with a link";
    /// A browser or a program was logged out from afar.
    SessionRevoked = "user.session_revoked", "logged out a device";
    /// A person logged out everywhere.
    SessionsEnded = "user.sessions_ended", "logged out everywhere";
    /// An organisation was made, beside the first of its owner.
    OrganisationCreated = "organisation.created", "made the organisation";
    /// An organisation got another name.
    OrganisationRenamed = "organisation.renamed", "renamed the organisation";
    /// A browser turned to another organisation of its person.
    OrganisationEntered = "organisation.entered", "turned to the organisation";
    /// An organisation was handed over to another member.
    OrganisationHandedOver = "organisation.handed_over", "handed over the organisation";
    /// Somebody was invited.
    MemberInvited = "member.invited", "invited";
    /// An invitation was sent again.
    InvitationSentAgain = "invitation.sent_again", "sent again the invitation of";
    /// An invitation was withdrawn.
    InvitationWithdrawn = "invitation.withdrawn", "withdrew the invitation of";
    /// An invitation was accepted.
    InvitationAccepted = "invitation.accepted", "accepted the invitation into";
    /// A member got another role.
    MemberRoleChanged = "member.role_changed", "changed the role of";
    /// A member was taken out of the organisation.
    MemberRemoved = "member.removed", "removed from the organisation";
    /// A member left the organisation.
    MemberLeft = "member.left", "left the organisation";
    /// A role was made.
    RoleCreated = "role.created", "made the role";
    /// A role was changed.
    RoleChanged = "role.changed", "changed the role";
    /// A role was deleted.
    RoleDeleted = "role.deleted", "deleted the role";
    /// Quotas of an organisation were changed.
    QuotasChanged = "quota.changed", "changed the quotas of";
    /// What every organisation may have unless it has its own answer was changed.
    DefaultQuotasChanged = "quota.defaults_changed", "changed the platform’s";
    /// An SSH key was added.
    SshKeyAdded = "ssh_key.added", "added the SSH key";
    /// An SSH key was removed.
    SshKeyRemoved = "ssh_key.removed", "removed the SSH key";
    /// An API key was made.
    ApiKeyCreated = "api_key.created", "made the API key";
    /// An API key was taken back.
    ApiKeyRevoked = "api_key.revoked", "revoked the API key";
    /// An API key was used from where it must not be. It is written down once an hour at most.
    ApiKeyRefused = "api_key.refused", "used from a wrong network the API key";
    /// A VM was ordered.
    VmOrdered = "vm.ordered", "ordered the VM";
    /// A VM was provisioned and runs.
    VmProvisioned = "vm.provisioned", "finished making the VM";
    /// A VM could not be made; everything was undone.
    VmFailed = "vm.failed", "could not make the VM";
    /// A start was asked for.
    VmStart = "vm.start", "started the VM";
    /// A graceful shutdown was asked for.
    VmShutdown = "vm.shutdown", "shut down the VM";
    /// A hard stop was asked for.
    VmStop = "vm.stop", "stopped the VM hard";
    /// A reboot was asked for.
    VmReboot = "vm.reboot", "rebooted the VM";
    /// A reset was asked for.
    VmReset = "vm.reset", "reset the VM";
    /// A suspension was asked for.
    VmSuspend = "vm.suspend", "suspended the VM";
    /// Going on was asked for.
    VmResume = "vm.resume", "resumed the VM";
    /// Another size was asked for.
    VmResize = "vm.resize", "asked for another size of the VM";
    /// A VM has another size.
    VmResized = "vm.resized", "finished resizing the VM";
    /// Making it anew was asked for.
    VmRebuild = "vm.rebuild", "asked to rebuild the VM";
    /// A VM was made anew.
    VmRebuilt = "vm.rebuilt", "finished rebuilding the VM";
    /// A move to another node was asked for.
    VmMigrate = "vm.migrate", "moved to another host the VM";
    /// Settings were changed.
    VmConfigure = "vm.configure", "changed settings of the VM";
    /// Starting it from a CD or from its disk was asked for.
    VmBoot = "vm.boot", "changed what it starts from: the VM";
    /// A new password was asked for.
    VmPassword = "vm.password", "set a new password on the VM";
    /// Deleting was asked for.
    VmDelete = "vm.delete", "asked to delete the VM";
    /// A VM is gone.
    VmDeleted = "vm.deleted", "deleted the VM";
    /// Somebody opened the console of a VM.
    ConsoleOpened = "vm.console_opened", "opened the console of the VM";
    /// That console was closed.
    ConsoleClosed = "vm.console_closed", "closed the console of the VM";
    /// The cluster shows another state than we left it in.
    VmObserved = "vm.observed", "saw a change of the VM on the cluster";
    /// A guest that differs from what is sold was left as it is.
    VmDriftAccepted = "vm.drift_accepted", "left the VM as it was found";
    /// A guest that differs from what is sold is set back.
    VmDriftEnforced = "vm.drift_enforced", "set the VM back to what was ordered";
    /// The books follow a guest that differs from what was sold.
    VmDriftAdopted = "vm.drift_adopted", "corrected the books to what the VM is";
    /// A guest that was not ours is being taken over.
    VmAdopt = "vm.adopt", "began to take over the VM";
    /// A guest that was not ours is a machine now.
    VmAdopted = "vm.adopted", "took over the VM";
    /// An adopted machine is being let go.
    VmRelease = "vm.release", "began to let go of the VM";
    /// An adopted machine was let go; its guest was left as it is.
    VmReleased = "vm.released", "let go of the VM; it was left as it is";
    /// The credit ran out and machines are being shut down.
    CreditRanOut = "wallet.ran_out", "shut machines down: the credit ran out";
    /// How important a machine is to its owner was changed.
    VmImportance = "vm.importance", "changed how long a VM is kept running";
    /// The order in which machines are shut down was changed.
    ShutdownOrder = "wallet.shutdown_order", "changed the order of shutdown";
    /// Rescue time on an empty wallet began.
    RescueBegan = "wallet.rescue_began", "took rescue time";
    /// Rescue time was over and machines are being shut down.
    RescueEnded = "wallet.rescue_ended", "shut machines down: the rescue time was over";
    /// An operator keeps the disks of an empty wallet longer.
    GraceExtended = "wallet.grace_extended", "kept disks longer";
    /// The grace period was over and machines are being deleted.
    GraceEnded = "wallet.grace_ended", "deleted VMs: the grace period was over";
    /// An operator changed what happens to an organisation at zero.
    CreditLimitChanged = "wallet.limit_changed", "changed what happens when the credit ends";
    /// The settings of the platform were changed.
    SettingsChanged = "settings.changed", "changed the platform’s settings";
    /// Credit arrived and machines are being started again.
    CreditResumed = "wallet.resumed", "started machines again: credit arrived";
    /// An admin added credit.
    CreditAdded = "wallet.credited", "added credit";
    /// A price list was made.
    PriceListAdded = "price_list.added", "made the price list";
    /// Prices of a list were changed, from an instant on.
    PricesChanged = "price_list.changed", "changed the prices of the list";
    /// A change of prices that had not begun was taken back.
    PricesWithdrawn = "price_list.withdrawn", "took back a change of prices of the list";
    /// All customers concerned were told of a change of prices.
    PricesAnnounced = "price_list.announced", "told customers of a change of prices of the list";
    /// An organisation was put on a price list.
    PriceListAssigned = "price_list.assigned", "put the organisation on the price list";
    /// A plan was put on sale.
    PlanAdded = "plan.added", "put on sale the plan";
    /// A plan was taken off sale.
    PlanRetired = "plan.retired", "took off sale the plan";
    /// A plan was put on sale again.
    PlanOffered = "plan.offered", "put on sale again the plan";
    /// Which licence the system of an image needs was changed.
    ImageLicenceChanged = "image.licence_changed", "changed the licence of the image";
    /// An admin took credit.
    CreditTaken = "wallet.debited", "took credit";
    /// Charges were given back to a wallet.
    ChargesRefunded = "wallet.refunded", "gave back charges";
    /// A debt of a wallet was given up.
    DebtWrittenOff = "wallet.written_off", "wrote off the debt";
    /// A payment of a customer was recorded.
    PaymentRecorded = "payment.recorded", "recorded the payment";
    /// A payment, or a part of it, was given back.
    PaymentRefunded = "payment.refunded", "refunded the payment";
    /// A payment, or a part of it, was taken back by the customer's bank.
    PaymentChargedBack = "payment.charged_back", "recorded a charge-back of the payment";
    /// Vouchers were made.
    VouchersCreated = "voucher.created", "made the voucher";
    /// A voucher can be redeemed no more.
    VoucherRevoked = "voucher.revoked", "revoked the voucher";
    /// A voucher was redeemed.
    VoucherRedeemed = "voucher.redeemed", "redeemed the voucher";
    /// An operator let a wallet that could not be charged be tried again.
    ChargingRetried = "wallet.charging_retried", "let charging be tried again of the";
    /// An operator let a held pass of charging go on.
    PassApproved = "pass.approved", "let go on the pass through";
    /// An operator said that a held pass must not go on as it is.
    PassRefused = "pass.refused", "refused the pass through";
    /// An operator let missed time go by without a charge.
    PassWaived = "pass.waived", "let go by without a charge the time through";
    /// An invoice was issued.
    InvoiceIssued = "invoice.issued", "issued the invoice";
    /// How invoices are issued was changed.
    InvoiceSettingsChanged = "invoice.settings_changed", "changed how the platform issues";
    /// Whom the invoices of an organisation are made out to was changed.
    BillingDetailsChanged = "organisation.billing_details_changed", "changed whom invoices are made out to of";
    /// A cluster was added.
    ClusterAdded = "cluster.added", "added the cluster";
    /// Which template an image is cloned from was changed.
    ClusterTemplatesChanged = "cluster.templates_changed", "changed the templates of the cluster";
    /// The settings of a cluster were changed.
    ClusterChanged = "cluster.changed", "changed the cluster";
    /// A cluster takes no new machines from now on.
    ClusterMaintenanceBegun = "cluster.maintenance_begun", "began maintenance of the cluster";
    /// A cluster takes new machines again.
    ClusterMaintenanceEnded = "cluster.maintenance_ended", "ended maintenance of the cluster";
    /// Which further nodes answer for a cluster was changed.
    ClusterEndpointsChanged = "cluster.endpoints_changed", "changed the endpoints of the cluster";
    /// The CD images of a cluster were listed.
    ClusterIsosRefreshed = "cluster.isos_refreshed", "listed the CD images of the cluster";
    /// Which CD images of a cluster are offered was changed.
    ClusterIsosChanged = "cluster.isos_changed", "changed the CD images of the cluster";
    /// A cluster was removed.
    ClusterRemoved = "cluster.removed", "removed the cluster";
    /// A parked or failed job was told to try again.
    JobRetried = "job.retried", "told a job to try again";
    /// A job was told to undo what it has done.
    JobCancelled = "job.cancelled", "told a job to undo its work";
    /// A mail that could not be sent was told to be sent again.
    MailRetried = "mail.retried", "had a mail sent again";
    /// A month of this log was dropped because it was old enough.
    AuditMonthDropped = "audit.month_dropped", "dropped what is older than a year of the audit log:";
    /// Somebody marked a notice as read.
    NoticeRead = "notice.read", "marked a notice as read";
    /// Somebody marked all notices as read.
    NoticesRead = "notice.all_read", "marked all notices as read";
}
