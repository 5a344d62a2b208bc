//! What a text of Proxmox VE means: the questions a caller asks of a refusal or of a task's error.
//! Proxmox answers almost everything with status 500, so the text decides. This file only reads;
//! it never decides what to do next.

/// A text written by Proxmox VE: a refusal's message, one entry of its `errors`, or the exit text
/// of a task. The same question has the same answer wherever the text turned up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words<'a>(pub &'a str);

impl<'a> Words<'a> {
    /// The guest's configuration is not on the node that was asked. It may be on another node:
    /// ask [`crate::Client::vmid_is_free`] before believing it is gone.
    #[must_use]
    pub fn is_missing_guest(self) -> bool {
        (self.0.contains("Configuration file 'nodes/") && self.0.contains(".conf' does not exist"))
            || self.0.contains("unable to find configuration file for VM ")
            || self.0.contains("unable to find configuration file for CT ")
    }

    /// A lock was not free in time or the cluster had no quorum. The action had not begun, so the
    /// same request may be sent again after a pause.
    #[must_use]
    pub fn is_busy(self) -> bool {
        let waited_for_file = self.0.contains("can't lock file") && self.0.contains("got timeout");
        let waited_for_cluster = self.0.contains("cfs-lock")
            && (self.0.contains("got lock request timeout")
                || self.0.contains("got timeout")
                || self.0.contains("no quorum"));
        waited_for_file || waited_for_cluster || self.0.contains("cluster not ready - no quorum")
    }

    /// The node that was asked has no majority of the cluster with it, so it accepts no changes.
    /// Another one may have it. Every such text that stands for a change that had not begun also
    /// [is busy](Words::is_busy).
    #[must_use]
    pub fn is_without_quorum(self) -> bool {
        self.0.contains("no quorum")
    }

    /// The name of the configuration lock that stands in the way, such as `backup` or `clone`,
    /// from `VM is locked (backup)`. It goes when the job that took it ends; after a dead job an
    /// administrator has to remove it.
    #[must_use]
    pub fn is_locked(self) -> Option<&'a str> {
        let at = ["VM is locked (", "CT is locked ("]
            .iter()
            .find_map(|start| self.0.find(start).map(|at| at + start.len()))?;
        let rest = &self.0[at..];
        rest.find(')').map(|end| &rest[..end])
    }

    /// The action needs a running guest and the guest is stopped.
    #[must_use]
    pub fn is_not_running(self) -> bool {
        self.guest_state(" not running") || self.guest_state(" is not running")
    }

    /// The guest runs already (`VM 101 already running`, from a start).
    #[must_use]
    pub fn is_already_running(self) -> bool {
        self.guest_state(" already running")
    }

    /// The guest is running and would have to be stopped first (`VM 101 is running - destroy
    /// failed`).
    #[must_use]
    pub fn is_running(self) -> bool {
        self.guest_state(" is running - ")
    }

    /// The guest number is taken. Says nothing about whose guest it is.
    #[must_use]
    pub fn is_already_exists(self) -> bool {
        self.guest_state(" already exists")
            || self.0.contains("config file already exists")
            || (self.0.contains(".conf") && self.0.contains("File exists"))
    }

    /// The guest agent cannot answer (yet): the guest is stopped or still starting, the agent is
    /// not running, did not answer in time, or is not switched on for this guest
    /// ([`Words::is_agent_not_configured`]).
    #[must_use]
    pub fn is_agent_not_ready(self) -> bool {
        self.0.contains("guest agent is not running")
            || self.is_agent_not_configured()
            || (self.0.contains(" qga command '") && self.0.contains("got timeout"))
            || self.guest_state(" is not running")
    }

    /// The guest has no agent option: it will not answer until that is set and the guest was
    /// stopped and started.
    #[must_use]
    pub fn is_agent_not_configured(self) -> bool {
        self.0.contains("No QEMU guest agent configured")
    }

    /// The guest did not react to the request to shut down within the time given.
    #[must_use]
    pub fn is_shutdown_ignored(self) -> bool {
        self.0.contains("VM quit/powerdown failed")
    }

    /// The guest is protected against removal.
    #[must_use]
    pub fn is_protected(self) -> bool {
        self.0.contains("protection mode enabled")
    }

    /// The configuration was changed by somebody else since the digest sent was read.
    #[must_use]
    pub fn is_changed_meanwhile(self) -> bool {
        self.0.contains("checksum mismatch (file change by other user?)")
            || self.0.contains("detected modified configuration")
    }

    /// The task is not known to the node. Directly after the task was started this can be
    /// transient.
    #[must_use]
    pub fn is_unknown_task(self) -> bool {
        self.0.contains("no such task")
    }

    /// Only `root@pam` itself, never a token, may do this.
    #[must_use]
    pub fn is_root_only(self) -> bool {
        self.0.contains("only root can ")
            || self.0.contains("Only root may use this option")
            || self.0.contains("user != root@pam")
    }

    /// The path and the privileges, one of which is missing, from `Permission check failed
    /// (/vms/100, VM.Audit|VM.Console)`. `None` for a refusal that does not name them.
    #[must_use]
    pub fn missing_privilege(self) -> Option<(&'a str, Vec<&'a str>)> {
        const START: &str = "Permission check failed (";
        let rest = &self.0[self.0.find(START)? + START.len()..];
        let inside = &rest[..rest.find(')')?];
        let (path, privileges) = inside.split_once(", ")?;
        path.starts_with('/').then(|| (path, privileges.split('|').map(str::trim).collect()))
    }

    /// Whether the text has `VM <number>` or `CT <number>` directly followed by `state`.
    fn guest_state(self, state: &str) -> bool {
        ["VM ", "CT "].iter().any(|kind| {
            self.0.match_indices(kind).any(|(at, _)| {
                let rest = &self.0[at + kind.len()..];
                let after = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
                after.len() < rest.len() && after.starts_with(state)
            })
        })
    }
}

/// Gives a type with a `texts()` method the questions of [`Words`], asked of all its texts.
macro_rules! ask_words {
    ($type:ty) => {
        impl $type {
            /// See [`Words::is_missing_guest`](crate::Words::is_missing_guest).
            #[must_use]
            pub fn is_missing_guest(&self) -> bool {
                self.texts().any(crate::Words::is_missing_guest)
            }

            /// See [`Words::is_busy`](crate::Words::is_busy).
            #[must_use]
            pub fn is_busy(&self) -> bool {
                self.texts().any(crate::Words::is_busy)
            }

            /// See [`Words::is_without_quorum`](crate::Words::is_without_quorum).
            #[must_use]
            pub fn is_without_quorum(&self) -> bool {
                self.texts().any(crate::Words::is_without_quorum)
            }

            /// See [`Words::is_locked`](crate::Words::is_locked).
            #[must_use]
            pub fn is_locked(&self) -> Option<&str> {
                self.texts().find_map(crate::Words::is_locked)
            }

            /// See [`Words::is_not_running`](crate::Words::is_not_running).
            #[must_use]
            pub fn is_not_running(&self) -> bool {
                self.texts().any(crate::Words::is_not_running)
            }

            /// See [`Words::is_already_running`](crate::Words::is_already_running).
            #[must_use]
            pub fn is_already_running(&self) -> bool {
                self.texts().any(crate::Words::is_already_running)
            }

            /// See [`Words::is_running`](crate::Words::is_running).
            #[must_use]
            pub fn is_running(&self) -> bool {
                self.texts().any(crate::Words::is_running)
            }

            /// See [`Words::is_already_exists`](crate::Words::is_already_exists).
            #[must_use]
            pub fn is_already_exists(&self) -> bool {
                self.texts().any(crate::Words::is_already_exists)
            }

            /// See [`Words::is_agent_not_ready`](crate::Words::is_agent_not_ready).
            #[must_use]
            pub fn is_agent_not_ready(&self) -> bool {
                self.texts().any(crate::Words::is_agent_not_ready)
            }

            /// See [`Words::is_agent_not_configured`](crate::Words::is_agent_not_configured).
            #[must_use]
            pub fn is_agent_not_configured(&self) -> bool {
                self.texts().any(crate::Words::is_agent_not_configured)
            }

            /// See [`Words::is_shutdown_ignored`](crate::Words::is_shutdown_ignored).
            #[must_use]
            pub fn is_shutdown_ignored(&self) -> bool {
                self.texts().any(crate::Words::is_shutdown_ignored)
            }

            /// See [`Words::is_protected`](crate::Words::is_protected).
            #[must_use]
            pub fn is_protected(&self) -> bool {
                self.texts().any(crate::Words::is_protected)
            }

            /// See [`Words::is_changed_meanwhile`](crate::Words::is_changed_meanwhile).
            #[must_use]
            pub fn is_changed_meanwhile(&self) -> bool {
                self.texts().any(crate::Words::is_changed_meanwhile)
            }

            /// See [`Words::is_unknown_task`](crate::Words::is_unknown_task).
            #[must_use]
            pub fn is_unknown_task(&self) -> bool {
                self.texts().any(crate::Words::is_unknown_task)
            }

            /// See [`Words::is_root_only`](crate::Words::is_root_only).
            #[must_use]
            pub fn is_root_only(&self) -> bool {
                self.texts().any(crate::Words::is_root_only)
            }

            /// See [`Words::missing_privilege`](crate::Words::missing_privilege).
            #[must_use]
            pub fn missing_privilege(&self) -> Option<(&str, Vec<&str>)> {
                self.texts().find_map(crate::Words::missing_privilege)
            }
        }
    };
}

pub(crate) use ask_words;

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn a_missing_guest_is_told_from_other_things_that_do_not_exist() {
        for text in [
            "Configuration file 'nodes/pve/qemu-server/98765.conf' does not exist\n",
            "Configuration file 'nodes/pve/lxc/100.conf' does not exist",
            "unable to find configuration file for VM 98765 on node 'pve'",
        ] {
            assert!(Words(text).is_missing_guest(), "{text}");
        }
        for text in [
            "storage 'nosuch' does not exist",
            "unable to create VM 9102 - volume 'local:9102/gone.qcow2' does not exist",
            "disk 'scsi5' does not exist",
            "pool 'x' does not exist",
            "snapshot 'x' does not exist",
        ] {
            assert!(!Words(text).is_missing_guest(), "{text}");
        }
    }

    #[test]
    fn only_locks_and_quorum_are_busy() {
        for text in [
            "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout",
            "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-x' - got timeout",
            "cfs-lock 'storage-x' error: got lock request timeout",
            "cfs-lock 'storage-x' error: no quorum!",
            "cluster not ready - no quorum?",
        ] {
            assert!(Words(text).is_busy(), "{text}");
            assert_eq!(Words(text).is_without_quorum(), text.contains("quorum"), "{text}");
        }
        for text in [
            "VM quit/powerdown failed - got timeout",
            "VM 101 qga command 'guest-ping' failed - got timeout",
            "VM 100 qmp command 'quit' failed - got timeout",
            "VM is locked (backup)",
            "got no worker upid - start worker failed",
            "storage 'x' is not available on node 'y'",
        ] {
            assert!(!Words(text).is_busy(), "{text}");
        }
    }

    #[test]
    fn states_of_a_guest_need_its_number() {
        assert!(Words("VM 101 not running").is_not_running());
        assert!(Words("VM 101 is not running").is_not_running());
        assert!(!Words("QEMU guest agent is not running").is_not_running());
        assert!(!Words("VM not running").is_not_running());
        assert!(Words("VM 101 already running").is_already_running());
        assert!(Words("VM 101 is running - destroy failed").is_running());
        assert!(!Words("VM 101 is not running").is_running());
    }

    #[test]
    fn a_taken_number_is_told_from_other_existing_things() {
        for text in [
            "VM 100 already exists",
            "unable to create VM 9000 - VM 9000 already exists on node 'pve'",
            "unable to create VM 100 - CT 100 already exists on node 'pve'",
            "unable to create VM 101: config file already exists",
            "unable to open file '/etc/pve/nodes/b/qemu-server/101.conf.tmp.7' - File exists",
        ] {
            assert!(Words(text).is_already_exists(), "{text}");
        }
        for text in [
            "create pool failed: pool 'cust1' already exists",
            "address '10.0.0.5' already exists",
            "disk image 'vm-100-disk-0.raw' already exists",
            "VM 101 already running",
        ] {
            assert!(!Words(text).is_already_exists(), "{text}");
        }
    }

    #[test]
    fn the_lock_and_the_missing_privilege_are_named() {
        assert_eq!(Words("VM is locked (snapshot-delete)").is_locked(), Some("snapshot-delete"));
        assert_eq!(Words("CT is locked (backup)").is_locked(), Some("backup"));
        assert_eq!(Words("VM is locked (").is_locked(), None);
        assert_eq!(
            Words("Permission check failed (/vms/100, VM.Config.Disk|VM.Config.CPU)\n").missing_privilege(),
            Some(("/vms/100", vec!["VM.Config.Disk", "VM.Config.CPU"]))
        );
        for text in [
            "Permission check failed",
            "Permission check failed (user != root@pam)",
            "Permission check failed (pool 'nosuch' does not exist)",
        ] {
            assert_eq!(Words(text).missing_privilege(), None, "{text}");
        }
    }

    #[test]
    fn an_agent_that_is_not_ready_is_told_from_one_that_refuses() {
        for text in [
            "QEMU guest agent is not running",
            "No QEMU guest agent configured",
            "VM 100 is not running",
            "VM 100 qga command 'guest-network-get-interfaces' failed - got timeout",
        ] {
            assert!(Words(text).is_agent_not_ready(), "{text}");
        }
        assert!(!Words("Agent error: child process has failed to set user password").is_agent_not_ready());
    }
}
