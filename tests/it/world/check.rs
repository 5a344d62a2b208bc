//! What must be true after every test, however it went: nothing is left behind, nothing is there twice, the books add up.

use std::collections::{BTreeSet, HashMap};

use proxmox_simulator::Guest;

use super::World;

/// Each finds what must not be, as one text; nothing found is null.
const NEVER: [(&str, &str); 8] = [
    (
        "a machine that is made has a VMID that is leased to it",
        "select string_agg(v.name, ', ') from vms v where v.state in ('running', 'stopped')
         and not exists (select 1 from vmid_leases l where l.vm_id = v.id and l.vmid = v.vmid and l.cluster_id = v.cluster_id and l.released_at is null)",
    ),
    (
        "a machine that is gone or failed has no lease",
        "select string_agg(v.name, ', ') from vms v join vmid_leases l on l.vm_id = v.id and l.released_at is null where v.state in ('failed', 'deleted')",
    ),
    (
        "a machine that is gone or failed has no address",
        "select string_agg(v.name, ', ') from vms v join addresses a on a.vm_id = v.id where v.state in ('failed', 'deleted')",
    ),
    (
        "a machine that we made has an address",
        "select string_agg(v.name, ', ') from vms v where v.state in ('running', 'stopped') and v.adopted_at is null and not exists (select 1 from addresses a where a.vm_id = v.id)",
    ),
    (
        "credit is held only for machines that are being made",
        "select string_agg(v.name, ', ') from vms v join holds h on h.vm_id = v.id where v.state <> 'provisioning'",
    ),
    (
        "only machines that are made are metered",
        "select string_agg(v.name, ', ') from vms v join meters m on m.vm_id = v.id join meter_intervals i on i.meter_id = m.id and upper_inf(i.during)
         where v.state not in ('running', 'stopped', 'deleting')",
    ),
    (
        "a machine that is being made or deleted has a job for it",
        "select string_agg(v.name, ', ') from vms v where v.state in ('provisioning', 'deleting')
         and not exists (select 1 from jobs j where j.vm_id = v.id and j.status in ('pending', 'running', 'parked'))",
    ),
    (
        "no wallet is below its limit, unless an operator took more than there was",
        "select string_agg(o.name || ' ' || w.balance, ', ') from wallets w join organisations o on o.id = w.organisation_id where w.balance < -w.credit_limit
         and not exists (select 1 from audit_events e where e.organisation_id = o.id and e.event in ('wallet.debited', 'payment.charged_back') and (e.detail->>'below_zero')::boolean)",
    ),
];

impl World {
    /// Proves what must always be true.
    pub async fn check(&self) {
        for (rule, sql) in NEVER {
            assert_eq!(self.text(sql).await, "", "rule: {rule}");
        }
        assert_eq!(
            uni_manager::ledger::first_difference(&self.app.pool, self.app.settings.time_zone).await.unwrap(),
            None,
            "the ledger adds up"
        );
        let zone = self.app.settings.time_zone;
        let difference = uni_manager::invoices::first_difference(&self.app.pool, zone, None).await.unwrap();
        assert_eq!(difference, None, "invoices and charges agree");
        let difference = uni_manager::vouchers::first_difference(&self.app.pool).await.unwrap();
        assert_eq!(difference, None, "vouchers and the ledger agree");
        let difference = uni_manager::payments::first_difference(&self.app.pool).await.unwrap();
        assert_eq!(difference, None, "payments and the ledger agree");
        let proof = uni_manager::audit::prove(&self.app.pool, None, None, self.now()).await.unwrap();
        assert_eq!(proof.difference, None, "the audit log is as it was written");
        crate::audit_coverage::check(self).await;
        self.check_guests().await;
        self.check_volumes();
        self.check_seeds();
    }

    /// Each machine that is made has one guest, and each guest of ours has its machine. Machines that are missing, or that
    /// an unfinished job is at work on, are left out.
    async fn check_guests(&self) {
        let made: Vec<(String, i32)> = sqlx::query_as(
            "select v.id::text, v.vmid from vms v where v.state in ('running', 'stopped') and v.missing_since is null and v.missing_looks = 0
             and not exists (select 1 from jobs j where j.vm_id = v.id and j.status in ('pending', 'running', 'parked')) order by v.vmid",
        )
        .fetch_all(&self.app.pool)
        .await
        .unwrap();
        let busy: Vec<String> = sqlx::query_scalar(
            "select distinct vm_id::text from jobs where status in ('pending', 'running', 'parked')",
        )
        .fetch_all(&self.app.pool)
        .await
        .unwrap();
        let guests = self.our_guests();
        let mut by_vm: HashMap<String, Vec<u32>> = HashMap::new();
        for guest in &guests {
            for vm in named(guest) {
                by_vm.entry(vm).or_default().push(guest.vmid);
            }
        }
        for (vm, vmid) in &made {
            let its = by_vm.get(vm).cloned().unwrap_or_default();
            assert_eq!(its, [u32::try_from(*vmid).unwrap()], "each machine has exactly one guest, under its VMID");
        }
        let known: BTreeSet<&String> = made.iter().map(|(vm, _)| vm).chain(&busy).collect();
        for guest in &guests {
            assert!(
                named(guest).iter().any(|vm| known.contains(vm)),
                "guest {} is left behind: {:?}",
                guest.vmid,
                guest.config.get("description")
            );
        }
    }

    /// Every disk belongs to a guest.
    fn check_volumes(&self) {
        self.simulator.inspect(|cluster| {
            for node in cluster.nodes() {
                for storage in ["shared", "local-lvm"] {
                    for volume in cluster.volumes(storage, &node.name) {
                        let owner = volume.vmid.expect("a disk has an owner");
                        assert!(cluster.guest(owner).is_some(), "disk {} is left behind by guest {owner}", volume.name);
                    }
                }
            }
        });
    }

    /// Every CD with user data belongs to a guest of ours.
    fn check_seeds(&self) {
        let guests: BTreeSet<String> = self
            .our_guests()
            .iter()
            .flat_map(|guest| named(guest).into_iter().map(|vm| format!("{vm}-{}", guest.vmid)))
            .collect();
        self.simulator.inspect(|cluster| {
            for node in cluster.nodes() {
                for volume in cluster.volumes("local", &node.name) {
                    let seed = volume.name.strip_prefix("iso/uni-manager-").and_then(|rest| rest.strip_suffix(".iso"));
                    assert!(seed.is_none_or(|seed| guests.contains(seed)), "{} is left behind", volume.name);
                }
            }
        });
    }
}

/// The machines that a guest names, by its tags or its description.
fn named(guest: &Guest) -> BTreeSet<String> {
    let tags = guest.config.get("tags").unwrap_or_default();
    let by_tag = tags.split(';').filter_map(|tag| tag.strip_prefix("vm-"));
    let description = guest.config.get("description").unwrap_or_default();
    let by_text = description.split_once("Uni-Manager VM ").and_then(|(_, rest)| rest.get(..36));
    by_tag.chain(by_text).map(str::to_owned).collect()
}
