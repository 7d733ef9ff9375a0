//! Triggers of a running host: made, changed and removed while connections are
//! open. They are a part of the function's deployment, so they are written,
//! put into service and taken back with it, and survive the process if the host
//! has a data directory.
//!
//! The triggers of the configuration, and that of the deploy that made a
//! function, have names of their own that nothing here can change: a file that
//! is read again says what is in force.

use openline_core::name::{FunctionName, TriggerName};
use openline_core::trigger::{Target, Trigger};

use crate::deployer::Deployer;
use crate::error::ChangeError;
use crate::managed::Managed;
use crate::view::{TriggerSource, TriggerView};

impl Deployer {
    /// Sets a trigger of a function, and returns whether it is new. From then
    /// on every request meets it; open connections stay.
    ///
    /// # Errors
    ///
    /// When there is no such function or version, when the configuration has a
    /// trigger of this name, when another trigger matches the same requests,
    /// when there are too many, and when it cannot be written. Nothing has
    /// changed then.
    pub async fn set_trigger(
        &self,
        name: &FunctionName,
        trigger: Trigger,
    ) -> Result<(TriggerView, bool), ChangeError> {
        let guard = self.lock_changes().await?;
        let before = self.managed(name)?;
        before.check_made(&trigger.name)?;
        if let Target::Version(prefix) = &trigger.target {
            before.record.find_version(prefix)?;
        }
        let own = &before.config.alias;
        let url = self.public_url();
        let told = (url.as_ref(), before.connects(&trigger));
        let view = TriggerView::new(&trigger, own, told, TriggerSource::Interface);
        let mut record = before.record.clone();
        let is_new = record.set_trigger(trigger)?;
        self.change(&before, record, &guard).await?;
        tracing::info!(function = %name, trigger = %view.name, route = view.route, "a trigger is set");
        Ok((view, is_new))
    }

    /// Removes a trigger of a function. Connections that came by it stay.
    ///
    /// # Errors
    ///
    /// When there is no such function or trigger, when the trigger was not made
    /// in a running host, and when the change cannot be written. Nothing has
    /// changed then.
    pub async fn remove_trigger(
        &self,
        name: &FunctionName,
        trigger: &TriggerName,
    ) -> Result<(), ChangeError> {
        let guard = self.lock_changes().await?;
        let before = self.managed(name)?;
        before.check_made(trigger)?;
        let mut record = before.record.clone();
        record.remove_trigger(trigger)?;
        self.change(&before, record, &guard).await?;
        tracing::info!(function = %name, %trigger, "a trigger is removed");
        Ok(())
    }

    /// The triggers of a function.
    ///
    /// # Errors
    ///
    /// When there is no such function.
    pub fn triggers_of(&self, name: &FunctionName) -> Result<Vec<TriggerView>, ChangeError> {
        let url = self.public_url();
        Ok(self.managed(name)?.trigger_views(url.as_ref()))
    }
}

impl Managed {
    /// Checks that neither the configuration nor a deploy has made the trigger
    /// of this name.
    fn check_made(&self, trigger: &TriggerName) -> Result<(), ChangeError> {
        if self.config.triggers.iter().all(|it| it.name != *trigger) {
            return Ok(());
        }
        Err(ChangeError::Fixed {
            function: self.config.name.clone(),
            trigger: trigger.clone(),
            from: self.source(),
        })
    }
}
