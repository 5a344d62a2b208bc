//! Customers and admins, and what they do most: order a machine, get credit.

use serde_json::{Value, json};
use uni_manager::audit::Actor;
use uni_manager::charging::{self, NewCredit};
use uni_manager::ids::OrganisationId;
use uni_manager::ledger::{self, Wallet};
use uni_manager::users::{self, NewUser, User};
use uni_manager::{catalog, sessions};

use super::door::send;
use super::{Answer, World, text};

/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery";
/// Public keys for machines: real in form, nobody's in fact.
const KEYS: [&str; 2] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ann@example",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA bob@example",
];

/// A person with his organisation.
#[derive(Debug, Clone)]
pub struct Customer {
    pub user: User,
    pub organisation: OrganisationId,
    /// The id of his first SSH key.
    pub key: String,
    /// That key.
    pub public_key: &'static str,
}

impl World {
    /// Registers a customer through the API, with a key, and gives him credit.
    pub async fn customer(&self, name: &str, credit: &str) -> Customer {
        let body = json!({ "email": format!("{name}@example.org"), "name": name, "organisation": format!("{name}'s"), "password": PASSWORD });
        let answer = send(self.request(reqwest::Method::POST, "/api/v1/auth/register").json(&body)).await.expect(201);
        self.trust(&format!("{name}@example.org")).await;
        let me =
            send(self.request(reqwest::Method::GET, "/api/v1/auth/me").bearer_auth(text(&answer, "/access_token")))
                .await
                .expect(200);
        let mut connection = self.app.pool.acquire().await.unwrap();
        let user = users::find(&mut connection, text(&me, "/id").parse().unwrap()).await.unwrap().unwrap();
        drop(connection);
        let mut customer = Customer {
            user,
            organisation: text(&me, "/organisation/id").parse().unwrap(),
            key: String::new(),
            public_key: KEYS[0],
        };
        let key =
            self.post(&customer, "/ssh-keys", &json!({ "name": "laptop", "public_key": KEYS[0] })).await.expect(201);
        text(&key, "/id").clone_into(&mut customer.key);
        if credit != "0" {
            self.credit(&customer, credit).await;
        }
        customer
    }

    /// Takes an address as confirmed, without the mail that would ask for it.
    pub async fn trust(&self, email: &str) {
        for sql in [
            "update users set email_verified_at = created_at where email = $1",
            "delete from mails where kind = 'account.verify_email' and to_address = $1",
        ] {
            sqlx::query(sql).bind(email).execute(&self.app.pool).await.unwrap();
        }
    }

    /// Makes an admin.
    pub async fn admin(&self) -> Customer {
        let new = NewUser {
            email: "admin@example.org".into(),
            name: "Admin".into(),
            organisation: "Operators".into(),
            password: PASSWORD.into(),
        };
        let (user, organisation) = users::create_admin(&self.app, new).await.unwrap();
        Customer { user, organisation, key: String::new(), public_key: KEYS[1] }
    }

    /// The person as he is now: all his logins may have ended since he was made.
    pub async fn known(&self, customer: &Customer) -> User {
        let mut connection = self.app.pool.acquire().await.unwrap();
        users::find(&mut connection, customer.user.id).await.unwrap().unwrap()
    }

    /// A fresh access token: those of before have run out when the clock was moved.
    pub async fn token(&self, customer: &Customer) -> String {
        sessions::issue(&self.app, &self.known(customer).await).await.unwrap().access_token
    }

    /// Gives credit.
    pub async fn credit(&self, customer: &Customer, amount: &str) {
        let new = NewCredit { amount: amount.into(), reason: "Paid by bank transfer".into(), order: None };
        charging::add_credit(&self.app, customer.organisation, &new, &Actor::system()).await.unwrap();
    }

    /// His wallet.
    pub async fn wallet(&self, customer: &Customer) -> Wallet {
        ledger::wallet(&self.app, customer.organisation).await.unwrap()
    }

    /// His balance, as text.
    pub async fn balance(&self, customer: &Customer) -> String {
        self.wallet(customer).await.balance.to_string()
    }

    /// The id of a plan.
    pub async fn plan(&self, slug: &str) -> String {
        catalog::plans(&self.app).await.unwrap().into_iter().find(|plan| plan.slug == slug).unwrap().id.to_string()
    }

    /// The order of a machine of plan S with the first image.
    pub async fn new_vm(&self, customer: &Customer, name: &str) -> Value {
        let plan = self.plan("s").await;
        json!({ "name": name, "location": self.location, "image": self.images[0], "plan": plan, "ssh_keys": [customer.key] })
    }

    /// Orders a machine and does nothing else. Answers with its id.
    pub async fn order(&self, customer: &Customer, name: &str) -> String {
        let body = self.new_vm(customer, name).await;
        let answer = self.post(customer, "/vms", &body).await.expect(202);
        text(&answer, "/vm/id").to_owned()
    }

    /// Orders a machine and lets it be made.
    pub async fn running_vm(&self, customer: &Customer, name: &str) -> String {
        let vm = self.order(customer, name).await;
        self.run_due_jobs().await;
        assert_eq!(self.state(customer, &vm).await, "running");
        vm
    }

    /// A machine as its owner sees it.
    pub async fn vm(&self, customer: &Customer, vm: &str) -> Value {
        self.get(customer, &format!("/vms/{vm}")).await.expect(200)
    }

    /// The state of a machine as its owner sees it.
    pub async fn state(&self, customer: &Customer, vm: &str) -> String {
        text(&self.vm(customer, vm).await, "/state").to_owned()
    }

    /// Tells a machine to do something.
    pub async fn tell(&self, customer: &Customer, vm: &str, what: &str) -> Answer {
        self.post(customer, &format!("/vms/{vm}/{what}"), &json!({})).await
    }

    /// The latest job of a customer as he sees it.
    pub async fn last_job(&self, customer: &Customer) -> Value {
        self.get(customer, "/jobs?limit=1").await.expect(200)["items"][0].clone()
    }
}
