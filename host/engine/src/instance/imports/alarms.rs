//! `openline:alarms/alarms`: alarms that belong to no connection.

use std::time::Duration;

use openline_core::limits::ALARM_TIME_MAX;
use openline_core::name::AlarmName;
use wasmtime::Result;

use crate::alarms::clock::Wish;
use crate::alarms::table::AlarmError;
use crate::contract::bindings::alarms::Host;
use crate::contract::bindings::common::Error;
use crate::instance::store::StoreData;

impl Host for StoreData {
    async fn set(
        &mut self,
        name: String,
        after: u64,
        durable: bool,
    ) -> Result<std::result::Result<(), Error>> {
        let (name, after) = match self.alarm(&name, after) {
            Ok(alarm) => alarm,
            Err(error) => return Ok(Err(error)),
        };
        let Some(key) = self.scope.clone() else {
            return Ok(Err(Error::Limit("a trial sets no alarms".into())));
        };
        let reach = &self.program.reach;
        let most = self.program.limits.alarms;
        let wish = Wish {
            after,
            durable,
            per_key: most,
        };
        let set = reach.clock.set(&reach.owner, &key, name, wish);
        Ok(set.await.map_err(|error| {
            Error::Limit(match error {
                AlarmError::TooMany => {
                    format!("an affinity value has at most {most} alarms (alarms)")
                }
                AlarmError::HostFull => "the host has too many alarms (alarms)".into(),
                AlarmError::Share => {
                    "the function has as many alarms as it leaves free for others (alarms)".into()
                }
                AlarmError::Unavailable => "the host cannot write at the moment".into(),
            })
        }))
    }

    async fn clear(&mut self, name: String) -> Result<()> {
        if let (Ok(name), Some(key)) = (AlarmName::new(&name), &self.scope) {
            let reach = &self.program.reach;
            reach.clock.clear(&*reach.owner, key, &name).await;
        }
        Ok(())
    }
}

impl StoreData {
    /// Checks the name and time of an alarm, and that the component has a
    /// handler for it.
    pub(super) fn alarm(
        &self,
        name: &str,
        after: u64,
    ) -> std::result::Result<(AlarmName, Duration), Error> {
        if !self.takes_alarms {
            return Err(Error::Invalid(
                "the component exports no handler for alarms".into(),
            ));
        }
        let name = AlarmName::new(name).map_err(|error| Error::Invalid(error.to_string()))?;
        let after = Duration::from_millis(after);
        if after > ALARM_TIME_MAX {
            let days = ALARM_TIME_MAX.as_secs() / (24 * 60 * 60);
            return Err(Error::Invalid(format!(
                "an alarm is at most {days} days away"
            )));
        }
        Ok((name, after))
    }
}
