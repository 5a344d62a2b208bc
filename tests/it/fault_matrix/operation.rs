//! Every operation on a machine: what it needs, how it is asked for, which call each of its steps makes, and how the world
//! looks when it is done.

use chrono::TimeDelta;
use proxmox_client::{CloneVm, ConfigChange};
use proxmox_simulator::Guest;
use secrecy::SecretString;
use serde_json::json;
use uni_manager::audit::Actor;
use uni_manager::ids::VmId;
use uni_manager::jobs::Kind;
use uni_manager::vms::{self, Boot, Changes, NewSize, Power, Rebuild};

use super::stage::Stage;
use crate::world::text;

/// The VMID of the guest that is adopted.
pub const ADOPTED_VMID: u32 = 300;
/// Longer than a listing may lag behind a job that has just ended.
const LAG_SECONDS: i64 = 90;
/// What a machine's password becomes.
pub const NEW_PASSWORD: &str = "a whole new password";

/// An operation on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Create,
    Start,
    Shutdown,
    Stop,
    Reboot,
    Reset,
    Suspend,
    Resume,
    Resize,
    Rebuild,
    Migrate,
    Configure,
    Boot,
    Password,
    Enforce,
    Adopt,
    Release,
    Delete,
}

/// The call of a step that is spoilt.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub method: &'static str,
    pub path: &'static str,
    /// It starts a task.
    pub task: bool,
}

const fn asks(path: &'static str) -> Option<Call> {
    Some(Call { method: "GET", path, task: false })
}

const fn writes(path: &'static str) -> Option<Call> {
    Some(Call { method: "PUT", path, task: false })
}

const fn starts(method: &'static str, path: &'static str) -> Option<Call> {
    Some(Call { method, path, task: true })
}

impl Operation {
    pub const ALL: [Self; 18] = [
        Self::Create,
        Self::Start,
        Self::Shutdown,
        Self::Stop,
        Self::Reboot,
        Self::Reset,
        Self::Suspend,
        Self::Resume,
        Self::Resize,
        Self::Rebuild,
        Self::Migrate,
        Self::Configure,
        Self::Boot,
        Self::Password,
        Self::Enforce,
        Self::Adopt,
        Self::Release,
        Self::Delete,
    ];

    /// Whether somebody may call it off at this step: a disk that has grown stays, and so does the plan that pays for it.
    pub fn can_be_cancelled(self, step: usize) -> bool {
        let grown = self == Self::Resize && matches!(self.kind().steps()[step].name, "grow" | "start");
        self.kind().can_go_back(step) && !grown
    }

    pub fn kind(self) -> Kind {
        match self {
            Self::Create => Kind::VmCreate,
            Self::Start => Kind::VmStart,
            Self::Shutdown => Kind::VmShutdown,
            Self::Stop => Kind::VmStop,
            Self::Reboot => Kind::VmReboot,
            Self::Reset => Kind::VmReset,
            Self::Suspend => Kind::VmSuspend,
            Self::Resume => Kind::VmResume,
            Self::Resize => Kind::VmResize,
            Self::Rebuild => Kind::VmRebuild,
            Self::Migrate => Kind::VmMigrate,
            Self::Configure => Kind::VmConfigure,
            Self::Boot => Kind::VmBoot,
            Self::Password => Kind::VmPassword,
            Self::Enforce => Kind::VmEnforce,
            Self::Adopt => Kind::VmAdopt,
            Self::Release => Kind::VmRelease,
            Self::Delete => Kind::VmDelete,
        }
    }

    /// The call by which a step does its work; none when it works only in the database.
    pub fn call(self, step: &str) -> Option<Call> {
        match (self, step) {
            (Self::Adopt, "lease") => asks("/config"),
            (_, "lease") => asks("/nextid"),
            (_, "clone") => starts("POST", "/clone"),
            (Self::Create | Self::Rebuild, "resize") | (_, "grow") => starts("PUT", "/resize"),
            (_, "configure" | "apply" | "size" | "set" | "mark" | "unmark" | "password") => writes("/config"),
            (_, "start") => starts("POST", "/status/start"),
            (_, "shutdown") => starts("POST", "/status/shutdown"),
            (_, "stop") => starts("POST", "/status/stop"),
            (_, "reboot") => starts("POST", "/status/reboot"),
            (_, "reset") => starts("POST", "/status/reset"),
            (_, "suspend") => starts("POST", "/status/suspend"),
            (_, "resume") => starts("POST", "/status/resume"),
            (_, "move" | "migrate") => starts("POST", "/migrate"),
            (_, "destroy") => starts("DELETE", "/qemu/"),
            (_, "address") => asks("/agent/"),
            (_, "look") => asks("/status/current"),
            // Without user data the seed has nothing to do.
            (_, "swap" | "seed") => None,
            (_, step) => panic!("no call for {step}"),
        }
    }

    /// Makes the machine that the operation is about. Answers with its id; none when the operation makes it.
    pub async fn prepare(self, stage: &Stage) -> Option<String> {
        let world = &stage.world;
        match self {
            Self::Create => return None,
            Self::Adopt => {
                stage.foreign_guest(ADOPTED_VMID).await;
                world.look().await;
                return None;
            }
            Self::Release => {
                stage.foreign_guest(ADOPTED_VMID).await;
                world.look().await;
                let vm = Self::Adopt.ask(stage, None).await;
                world.settle().await;
                return Some(vm);
            }
            _ => {}
        }
        let vm = world.running_vm(&stage.ann, &stage.name()).await;
        match self {
            Self::Start => {
                world.tell(&stage.ann, &vm, "shutdown").await.expect(202);
                world.settle().await;
            }
            Self::Resume => {
                Self::Suspend.ask(stage, Some(&vm)).await;
                world.settle().await;
            }
            Self::Boot => stage.offer_cds().await,
            Self::Enforce => {
                world.advance(TimeDelta::seconds(LAG_SECONDS));
                world.look().await;
                let guest = stage.guest(&vm).await.unwrap();
                stage.client.stop(&guest.node, guest.vmid).await.unwrap();
                let change = ConfigChange::new().cores(4).memory_mib(8192);
                stage.client.set_vm_config(&guest.node, guest.vmid, &change).await.unwrap();
                stage.client.start(&guest.node, guest.vmid).await.unwrap();
                world.look().await;
            }
            _ => {}
        }
        Some(vm)
    }

    /// Asks for it. Answers with the machine.
    pub async fn ask(self, stage: &Stage, vm: Option<&str>) -> String {
        let (world, ann) = (&stage.world, &stage.ann);
        let (app, organisation, actor) = (&world.app, ann.organisation, Actor::system());
        if self == Self::Create {
            return world.order(ann, &stage.name()).await;
        }
        if self == Self::Adopt {
            let plan = world.plan("s").await;
            let body =
                json!({ "organisation": organisation, "plan": plan, "image": world.images[0], "name": stage.name() });
            let path = format!("/admin/foreign-guests/{}/{ADOPTED_VMID}/adopt", world.cluster);
            let answer = world.post(&stage.admin, &path, &body).await.expect(202);
            return text(&answer, "/vm").to_owned();
        }
        let vm = vm.unwrap();
        let id: VmId = vm.parse().unwrap();
        let power = match self {
            Self::Start => Some(Power::Start),
            Self::Shutdown => Some(Power::Shutdown),
            Self::Stop => Some(Power::Stop),
            Self::Reboot => Some(Power::Reboot),
            Self::Reset => Some(Power::Reset),
            Self::Suspend => Some(Power::Suspend),
            Self::Resume => Some(Power::Resume),
            _ => None,
        };
        match self {
            Self::Resize => {
                let plan = world.plan("m").await.parse().unwrap();
                let size = NewSize { plan, grow_disk: true, force: false };
                vms::resize(app, organisation, id, size, &actor).await.unwrap();
                // As if there were no room where it is.
                let other = stage.other_node(vm).await;
                sqlx::query("update vms set next_node = $2 where id = $1")
                    .bind(id.uuid())
                    .bind(other)
                    .execute(&app.pool)
                    .await
                    .unwrap();
            }
            Self::Rebuild => {
                let new = Rebuild { image: world.images[1], ssh_keys: Vec::new(), user_data: None };
                vms::rebuild(app, organisation, id, &new, &actor).await.unwrap();
            }
            Self::Migrate => {
                vms::migrate(app, id, &stage.other_node(vm).await, &actor).await.unwrap();
            }
            Self::Configure => {
                let changes = Changes {
                    name: Some(format!("{}-renamed", stage.name())),
                    tags: Some(vec!["web".into()]),
                    ..Changes::default()
                };
                vms::configure(app, organisation, id, &changes, &actor).await.unwrap().unwrap();
            }
            Self::Boot => {
                vms::boot(app, organisation, id, Boot::Rescue, &actor).await.unwrap();
            }
            Self::Password => {
                let password = SecretString::from(NEW_PASSWORD);
                vms::set_password(app, organisation, id, &password, &actor).await.unwrap();
            }
            Self::Enforce => {
                let open = world.get(&stage.admin, "/admin/drift").await.expect(200);
                let drifts = open["items"].as_array().unwrap();
                let drift = drifts.iter().find(|drift| drift.to_string().contains(vm)).expect("it differs");
                let path = format!("/admin/drift/{}/enforce", text(drift, "/id"));
                world.post(&stage.admin, &path, &json!({})).await.expect(202);
            }
            Self::Release => {
                world.post(&stage.admin, &format!("/admin/vms/{vm}/release"), &json!({})).await.expect(202);
            }
            Self::Delete => {
                world.delete(ann, &format!("/vms/{vm}")).await.expect(202);
            }
            _ => {
                vms::power(app, organisation, id, power.unwrap(), &actor).await.unwrap();
            }
        }
        vm.to_owned()
    }

    /// Whether it is as it was asked for.
    pub async fn assert_done(self, stage: &Stage, vm: &str, before: Option<&Guest>, what: &str) {
        if matches!(self, Self::Delete | Self::Release) {
            stage.world.get(&stage.ann, &format!("/vms/{vm}")).await.problem(404);
            let left = stage.guest(vm).await;
            assert!(self == Self::Release || left.is_none(), "{what}: nothing is left");
            let tags = left.as_ref().and_then(|guest| guest.config.get("tags")).unwrap_or_default();
            assert!(!tags.contains(vm), "{what}: our marks are off");
            return;
        }
        let row = stage.row(vm).await;
        let guest = stage.guest(vm).await.unwrap_or_else(|| panic!("{what}: no guest"));
        let config = |option: &str| guest.config.get(option).unwrap_or_default().to_owned();
        assert_eq!(row.state == "running", guest.process.is_some(), "{what}: the row says {}", row.state);
        let paused = guest.process.as_ref().is_some_and(|process| process.paused);
        assert_eq!(row.paused, paused, "{what}: suspended");
        assert_eq!(row.node, guest.node, "{what}: where it is");
        // An adopted guest keeps the name that it has on the cluster.
        assert!(self == Self::Adopt || config("name") == row.name, "{what}: its name");
        match self {
            Self::Create => assert_eq!(row.state, "running", "{what}"),
            Self::Start | Self::Reboot | Self::Reset | Self::Resume => {
                assert_eq!((row.state.as_str(), row.paused), ("running", false), "{what}");
            }
            Self::Suspend => assert!(row.paused, "{what}"),
            Self::Shutdown | Self::Stop => assert_eq!(row.state, "stopped", "{what}"),
            Self::Resize => {
                assert_eq!((config("cores"), config("memory")), ("4".into(), "8192".into()), "{what}");
                assert!(config("scsi0").contains("size=80G"), "{what}: {}", config("scsi0"));
                assert_eq!((row.plan.as_str(), row.disk_gib, row.state.as_str()), ("m", 80, "running"), "{what}");
                assert_ne!(before.unwrap().node, guest.node, "{what}: it was moved");
            }
            Self::Rebuild => {
                let old = before.unwrap().vmid;
                assert_ne!(guest.vmid, old, "{what}");
                assert!(stage.under(old).is_none(), "{what}: the old guest is gone");
                assert_eq!((row.image.as_str(), row.state.as_str()), ("ubuntu-24.04", "running"), "{what}");
                assert_eq!(
                    config("ipconfig0"),
                    before.unwrap().config.get("ipconfig0").unwrap(),
                    "{what}: its address"
                );
                assert_eq!(config("ciuser"), "ubuntu", "{what}");
                let leased = stage
                    .number("select count(*) from vmid_leases where vm_id = $1::uuid and released_at is null", vm)
                    .await;
                assert_eq!(leased, 1, "{what}: the old VMID rests");
            }
            Self::Migrate => assert_ne!(before.unwrap().node, guest.node, "{what}"),
            Self::Configure => assert!(config("tags").contains("web") && row.name.ends_with("-renamed"), "{what}"),
            Self::Boot => {
                assert!(config("boot").starts_with("order=ide"), "{what}: {}", config("boot"));
                assert_eq!(row.state, "running", "{what}");
            }
            Self::Password => {
                assert_eq!(guest.password_of("debian"), Some(NEW_PASSWORD), "{what}");
                let left = stage
                    .number("select count(*) from jobs where vm_id = $1::uuid and secret_encrypted is not null", vm)
                    .await;
                assert_eq!(left, 0, "{what}: the password is forgotten");
            }
            Self::Enforce => {
                assert_eq!((config("cores"), config("memory")), ("2".into(), "4096".into()), "{what}");
                assert_eq!(row.state, "running", "{what}");
            }
            Self::Adopt => assert!(config("tags").contains(vm), "{what}"),
            Self::Release | Self::Delete => unreachable!(),
        }
    }
}

impl Stage {
    /// A guest of somebody else, who runs it.
    pub async fn foreign_guest(&self, vmid: u32) {
        let order = CloneVm::new(vmid).name("theirs").full(true).storage("shared");
        self.client.clone_vm("pve1", 9000, &order).await.unwrap();
        let change = ConfigChange::new().cores(2).memory_mib(4096).tags(["accounting".to_owned()]);
        self.client.set_vm_config("pve1", vmid, &change).await.unwrap();
        self.client.start("pve1", vmid).await.unwrap();
    }
}
