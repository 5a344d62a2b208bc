//! What happens at regular times: looks at the clusters, and clearing what has expired.

use std::sync::Arc;

use anyhow::Context;
use tokio_cron_scheduler::{Job, JobScheduler};

use crate::app::App;
use crate::{audit, clusters, oidc, pricing, second_factor, sessions, staff, users, vms};

/// Proxmox itself reports every ten seconds, so looking more often shows nothing new.
const LOOK: &str = "*/10 * * * * *";
/// Expired sessions are refused whether they are cleared or not.
const PURGE: &str = "0 17 * * * *";
/// A change of prices begins days later; being told of it within a minute is soon enough.
const ANNOUNCE: &str = "40 * * * * *";

/// Until an event is in the chain, somebody who gets round the triggers could remove it unseen.
const SEAL: &str = "*/5 * * * * *";
/// Tables are made months ahead and dropped a year behind.
const KEEP: &str = "20 7 * * * *";

/// Who looks as a customer is himself again in time, whether that is written down or not.
const END: &str = "50 * * * * *";

/// Runs until the task is dropped.
///
/// # Errors
/// When the scheduler does not start.
pub async fn run_schedule(app: Arc<App>) -> anyhow::Result<()> {
    let scheduler = JobScheduler::new().await.context("while making the scheduler")?;
    let looking = Arc::new(tokio::sync::Mutex::new(()));
    let looker = Arc::clone(&app);
    let look = Job::new_async(LOOK, move |_, _| {
        let (app, looking) = (Arc::clone(&looker), Arc::clone(&looking));
        Box::pin(async move {
            // A slow look is not overtaken by the next one.
            if let Ok(_turn) = looking.try_lock() {
                look_at_clusters(&app).await;
            }
        })
    })?;
    let purger = Arc::clone(&app);
    let purge = Job::new_async(PURGE, move |_, _| {
        let app = Arc::clone(&purger);
        Box::pin(async move {
            match clear_expired(&app).await {
                Ok(removed) => tracing::info!(removed, "expired sessions were cleared"),
                Err(error) => tracing::error!(?error, "clearing expired sessions failed"),
            }
            match sessions::renew_keys(&app).await {
                Ok(true) => tracing::info!("a new key signs access tokens"),
                Ok(false) => {}
                Err(error) => tracing::error!(?error, "renewing the keys of access tokens failed"),
            }
            match second_factor::purge(&app).await {
                Ok(removed) => tracing::info!(removed, "logins that were not finished were cleared"),
                Err(error) => tracing::error!(?error, "clearing logins that were not finished failed"),
            }
        })
    })?;
    let announcer = Arc::clone(&app);
    let telling = Arc::new(tokio::sync::Mutex::new(()));
    let announce = Job::new_async(ANNOUNCE, move |_, _| {
        let (app, telling) = (Arc::clone(&announcer), Arc::clone(&telling));
        Box::pin(async move {
            let Ok(_turn) = telling.try_lock() else { return };
            match pricing::announce_due(&app).await {
                Ok(0) => {}
                Ok(customers) => tracing::info!(customers, "customers were told of a change of prices"),
                Err(error) => tracing::error!(?error, "telling customers of a change of prices failed"),
            }
        })
    })?;
    scheduler.add(seal_audit(Arc::clone(&app))?).await?;
    scheduler.add(keep_audit(Arc::clone(&app))?).await?;
    scheduler.add(end_impersonations(app)?).await?;
    scheduler.add(announce).await?;
    scheduler.add(look).await?;
    scheduler.add(purge).await?;
    scheduler.start().await.context("while starting the scheduler")?;
    // Stops the scheduler when this task is dropped.
    let _guard = StopOnDrop(Some(scheduler));
    std::future::pending::<()>().await;
    Ok(())
}

/// Links the events of the audit log.
fn seal_audit(app: Arc<App>) -> anyhow::Result<Job> {
    Ok(Job::new_async(SEAL, move |_, _| {
        let app = Arc::clone(&app);
        Box::pin(async move {
            if let Err(error) = audit::seal(&app.pool).await {
                tracing::error!(?error, "the audit log could not be chained");
            }
        })
    })?)
}

/// Ends what has gone on for as long as it may.
fn end_impersonations(app: Arc<App>) -> anyhow::Result<Job> {
    Ok(Job::new_async(END, move |_, _| {
        let app = Arc::clone(&app);
        Box::pin(async move {
            if let Err(error) = staff::end_over(&app).await {
                tracing::error!(?error, "the ends of impersonations could not be written down");
            }
        })
    })?)
}

/// Makes and drops the months of the audit log.
fn keep_audit(app: Arc<App>) -> anyhow::Result<Job> {
    Ok(Job::new_async(KEEP, move |_, _| {
        let app = Arc::clone(&app);
        Box::pin(async move {
            match audit::keep(&app).await {
                Ok(0) => {}
                Ok(months) => tracing::info!(months, "months of the audit log were dropped: they were old enough"),
                Err(error) => tracing::error!(?error, "the months of the audit log could not be kept"),
            }
        })
    })?)
}

struct StopOnDrop(Option<JobScheduler>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let (Some(mut scheduler), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let _ = scheduler.shutdown().await;
            });
        }
    }
}

/// Sessions, tokens, links that were sent, tries that were counted, ways to the identity provider.
async fn clear_expired(app: &App) -> crate::error::Result<u64> {
    Ok(sessions::purge(app).await? + users::purge(app).await? + oidc::purge(app).await?)
}

/// Looks at every cluster whose look is due, one after the other.
pub async fn look_at_clusters(app: &App) {
    let known = match clusters::due(app).await {
        Ok(known) => known,
        Err(error) => {
            tracing::error!(?error, "the clusters could not be listed");
            return;
        }
    };
    for cluster in known {
        match vms::reconcile(app, cluster.id).await {
            Ok(done) if done.changed > 0 => {
                tracing::info!(cluster = cluster.name, changed = done.changed, "VMs were not as believed")
            }
            Ok(_) => {}
            Err(trouble) => tracing::warn!(cluster = cluster.name, %trouble, "the cluster did not answer"),
        }
    }
}
