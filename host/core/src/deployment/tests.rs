//! Every rule of a deployment, and random sequences of operations.

use openline_hint::Hint;
use proptest::prelude::*;

use super::*;
use crate::name::TriggerName;

fn digest(number: u8) -> Digest {
    Digest::new([number; 32])
}

fn version(number: u8) -> VersionRecord {
    VersionRecord {
        digest: digest(number),
        bytes: 1,
        call_style: CallStyle::Plain,
        deployed_at: u64::from(number),
        note: None,
    }
}

fn live() -> AliasName {
    AliasName::live()
}

fn share(number: u8, weight: u32) -> Share {
    Share {
        version: digest(number),
        weight,
    }
}

/// A function whose `live` was pointed to these versions, one after another.
fn deployed(numbers: &[u8]) -> Deployment {
    let mut deployment = Deployment::new(FunctionName::new("chat").unwrap(), None);
    for number in numbers {
        deployment
            .deploy(version(*number), &live(), None, None)
            .unwrap();
    }
    deployment
}

fn shares(deployment: &Deployment) -> &[Share] {
    deployment.alias(&live()).unwrap().shares()
}

/// Runs an operation that must fail, and checks that nothing has changed.
fn refused<T: std::fmt::Debug>(
    deployment: &mut Deployment,
    change: impl FnOnce(&mut Deployment) -> Result<T, DeploymentError>,
) -> DeploymentError {
    let before = deployment.clone();
    let error = change(deployment).unwrap_err();
    assert_eq!(*deployment, before);
    assert!(!error.to_string().is_empty() && error.hint().is_some_and(|hint| !hint.is_empty()));
    error
}

#[test]
fn a_deploy_makes_a_version_and_moves_the_alias() {
    let mut deployment = deployed(&[]);
    let first = deployment.deploy(version(1), &live(), None, Some(Migration::Pin));
    let both = Deployed {
        version_is_new: true,
        alias_moved: true,
    };
    assert_eq!(first, Ok(both));
    let second = deployment.deploy(version(2), &live(), Some(10), None);
    assert_eq!(second, Ok(both));
    assert_eq!(shares(&deployment), [share(1, 90), share(2, 10)]);
    assert_eq!(
        deployment.alias(&live()).unwrap().migration(),
        Some(Migration::Pin)
    );
    // Repeating the deploy changes nothing; with another weight it makes no new
    // version.
    let mut again = version(2);
    again.deployed_at = 99;
    let same = deployment.deploy(again.clone(), &live(), Some(10), None);
    assert_eq!(
        same,
        Ok(Deployed {
            version_is_new: false,
            alias_moved: false
        })
    );
    deployment.deploy(again, &live(), Some(30), None).unwrap();
    assert_eq!(shares(&deployment), [share(1, 70), share(2, 30)]);
    assert_eq!(deployment.version(&digest(2)), Some(&version(2)));
    assert_eq!(deployment.versions().len(), 2);
}

#[test]
fn weights_at_their_ends_and_past_them() {
    let mut deployment = deployed(&[1]);
    for (weight, error) in [
        (0, DeploymentError::Weight(0)),
        (101, DeploymentError::Weight(101)),
    ] {
        let found = refused(&mut deployment, |it| {
            it.deploy(version(2), &live(), Some(weight), None)
        });
        assert_eq!(found, error);
    }
    for weight in [1, 99] {
        deployment
            .deploy(version(2), &live(), Some(weight), None)
            .unwrap();
        assert_eq!(shares(&deployment)[1], share(2, weight));
    }
    deployment
        .deploy(version(2), &live(), Some(100), None)
        .unwrap();
    assert_eq!(shares(&deployment), [share(2, 100)]);
}

#[test]
fn a_canary_needs_a_version_beside_it() {
    let beta = AliasName::new("beta").unwrap();
    let mut deployment = deployed(&[1]);
    for (alias, number) in [(beta, 2), (live(), 1)] {
        let error = refused(&mut deployment, |it| {
            it.deploy(version(number), &alias, Some(10), None)
        });
        assert_eq!(error, DeploymentError::NothingBeside { alias, rest: 90 });
    }
}

#[test]
fn a_note_at_its_length_and_past_it() {
    let mut deployment = deployed(&[]);
    let mut record = version(1);
    record.note = Some("n".repeat(NOTE_BYTES_MAX + 1));
    let error = refused(&mut deployment, |it| {
        it.deploy(record.clone(), &live(), None, None)
    });
    assert_eq!(error, DeploymentError::Note(NOTE_BYTES_MAX + 1));
    record.note = Some("n".repeat(NOTE_BYTES_MAX));
    assert!(deployment.deploy(record, &live(), None, None).is_ok());
}

#[test]
fn an_alias_is_set_by_weights() {
    let mut deployment = deployed(&[1, 2]);
    for (wrong, error) in [
        (vec![], DeploymentError::Sum(0)),
        (vec![share(1, 100), share(2, 30)], DeploymentError::Sum(130)),
        (
            vec![share(1, 50), share(1, 50)],
            DeploymentError::ShareTwice(digest(1)),
        ),
        (
            vec![share(1, 50), share(3, 50)],
            DeploymentError::NoVersion(digest(3)),
        ),
    ] {
        let found = refused(&mut deployment, |it| it.set_alias(&live(), &wrong, None));
        assert_eq!(found, error);
    }
    // Versions that are already there stay in front.
    let wanted = [share(1, 20), share(2, 80)];
    deployment
        .set_alias(&live(), &wanted, Some(Migration::Drain))
        .unwrap();
    assert_eq!(shares(&deployment), [share(2, 80), share(1, 20)]);
    assert_eq!(
        deployment.alias(&live()).unwrap().migration(),
        Some(Migration::Drain)
    );
}

#[test]
fn an_alias_does_as_the_configuration_says_until_it_is_told_otherwise() {
    let mut deployment = deployed(&[1, 2]);
    let told = |deployment: &Deployment| deployment.alias(&live()).unwrap().migration();
    assert_eq!(told(&deployment), None);
    deployment
        .deploy(version(3), &live(), None, Some(Migration::Pin))
        .unwrap();
    // A deploy without a migration keeps the alias's own.
    deployment.deploy(version(4), &live(), None, None).unwrap();
    deployment.rollback(&live()).unwrap();
    assert_eq!(told(&deployment), Some(Migration::Pin));
}

#[test]
fn aliases_at_their_number_and_past_it() {
    let mut deployment = deployed(&[1]);
    let name = |index: usize| AliasName::new(&format!("stage-{index}")).unwrap();
    for index in 1..ALIASES_MAX {
        deployment
            .set_alias(&name(index), &[share(1, 100)], None)
            .unwrap();
    }
    let error = refused(&mut deployment, |it| {
        it.deploy(version(2), &name(0), None, None)
    });
    assert_eq!(error, DeploymentError::TooManyAliases);
}

#[test]
fn a_pace_at_its_ends_and_past_them() {
    let mut deployment = deployed(&[1]);
    for wrong in [0, DRAIN_PACE_MAX + 1] {
        let error = refused(&mut deployment, |it| {
            it.set_drain_pace(&live(), Some(wrong))
        });
        assert_eq!(error, DeploymentError::Pace(wrong));
    }
    for right in [Some(1), Some(DRAIN_PACE_MAX), None] {
        deployment.set_drain_pace(&live(), right).unwrap();
        let alias = deployment.alias(&live()).unwrap();
        assert_eq!(alias.drain_connections_per_second(), right);
    }
}

#[test]
fn a_canary_or_the_named_version_is_promoted() {
    let mut deployment = deployed(&[1]);
    let error = refused(&mut deployment, |it| it.promote(&live(), None));
    assert_eq!(error, DeploymentError::NoCanary(live()));
    deployment
        .deploy(version(2), &live(), Some(10), None)
        .unwrap();
    deployment
        .deploy(version(3), &live(), Some(10), None)
        .unwrap();
    let error = refused(&mut deployment, |it| it.promote(&live(), Some(digest(4))));
    assert_eq!(error, DeploymentError::NoVersion(digest(4)));
    assert_eq!(deployment.promote(&live(), None), Ok(digest(3)));
    assert_eq!(shares(&deployment), [share(3, 100)]);
    assert_eq!(deployment.promote(&live(), Some(digest(1))), Ok(digest(1)));
    assert_eq!(shares(&deployment), [share(1, 100)]);
    let other = AliasName::new("beta").unwrap();
    let error = refused(&mut deployment, |it| it.promote(&other, None));
    assert_eq!(error, DeploymentError::NoAlias(other));
}

#[test]
fn a_rollback_of_a_rollback_goes_further_back() {
    let mut deployment = deployed(&[1, 2, 3]);
    deployment.rollback(&live()).unwrap();
    assert_eq!(shares(&deployment), [share(2, 100)]);
    deployment.rollback(&live()).unwrap();
    assert_eq!(shares(&deployment), [share(1, 100)]);
    let error = refused(&mut deployment, |it| it.rollback(&live()));
    assert_eq!(error, DeploymentError::NoBefore(live()));
    assert_eq!(deployment.versions().len(), 3);
}

#[test]
fn a_history_at_its_length_and_past_it() {
    let numbers: Vec<u8> = (0..=21).collect();
    let mut deployment = deployed(&numbers);
    assert_eq!(
        deployment.alias(&live()).unwrap().before().len(),
        HISTORY_MAX
    );
    for _ in 0..HISTORY_MAX {
        deployment.rollback(&live()).unwrap();
    }
    assert_eq!(shares(&deployment), [share(1, 100)]);
    assert!(deployment.rollback(&live()).is_err());
}

#[test]
fn a_version_that_an_alias_has_stays() {
    let mut deployment = deployed(&[1, 2, 3, 2]);
    let error = refused(&mut deployment, |it| it.remove_version(&digest(2)));
    assert_eq!(
        error,
        DeploymentError::InUse {
            version: digest(2),
            alias: live()
        }
    );
    let error = refused(&mut deployment, |it| it.remove_version(&digest(9)));
    assert_eq!(error, DeploymentError::NoVersion(digest(9)));
    // The history forgets the version, and entries that are equal without it.
    deployment.remove_version(&digest(3)).unwrap();
    deployment.rollback(&live()).unwrap();
    assert_eq!(shares(&deployment), [share(1, 100)]);
}

#[test]
fn the_last_alias_stays() {
    let mut deployment = deployed(&[1]);
    let beta = AliasName::new("beta").unwrap();
    let error = refused(&mut deployment, |it| it.remove_alias(&live()));
    assert_eq!(error, DeploymentError::LastAlias(live()));
    let error = refused(&mut deployment, |it| it.remove_alias(&beta));
    assert_eq!(error, DeploymentError::NoAlias(beta.clone()));
    deployment.set_alias(&beta, &[share(1, 100)], None).unwrap();
    deployment.remove_alias(&live()).unwrap();
    assert_eq!(deployment.pick(&live(), 0), None);
    assert_eq!(deployment.pick(&beta, 0), Some(digest(1)));
}

#[test]
fn a_version_is_found_by_its_first_letters() {
    let mut deployment = deployed(&[1]);
    let mut twin = version(1);
    let mut bytes = [1; 32];
    bytes[31] = 2;
    twin.digest = Digest::new(bytes);
    deployment
        .deploy(twin.clone(), &live(), None, None)
        .unwrap();
    deployment.deploy(version(2), &live(), None, None).unwrap();
    assert_eq!(deployment.find_version("020202"), Ok(digest(2)));
    let whole = twin.digest.to_string();
    assert_eq!(deployment.find_version(&whole), Ok(twin.digest));
    assert_eq!(
        deployment.find_version("010101"),
        Err(DeploymentError::Ambiguous {
            prefix: "010101".into(),
            count: 2
        })
    );
    assert_eq!(
        deployment.find_version("030303"),
        Err(DeploymentError::NotFound("030303".into()))
    );
    for bad in ["", "02020", "0202zz", "ABABAB", "äääää"] {
        let error = deployment.find_version(bad).unwrap_err();
        assert_eq!(error, DeploymentError::NotPrefix(bad.into()));
    }
}

#[test]
fn the_oldest_versions_are_trimmed_but_not_those_that_are_needed() {
    let mut deployment = deployed(&[1, 2, 3, 4, 5, 6]);
    assert_eq!(deployment.trim(6, |_| false), []);
    let beta = AliasName::new("beta").unwrap();
    deployment.set_alias(&beta, &[share(2, 100)], None).unwrap();
    let removed = deployment.trim(4, |version| *version == digest(1));
    assert_eq!(removed, [digest(3), digest(4)]);
    // 1 is kept, an alias points to 2, `live` pointed to 5 before, and points
    // to 6.
    assert_eq!(deployment.trim(1, |version| *version == digest(1)), []);
    assert_eq!(deployment.trim(1, |_| false), [digest(1)]);
    assert_eq!(deployment.alias(&live()).unwrap().before().len(), 2);
}

#[test]
fn as_few_connections_as_possible_move() {
    let mut deployment = deployed(&[1]);
    let picks = |deployment: &Deployment| -> Vec<Digest> {
        (0..100)
            .map(|point| deployment.pick(&live(), point).unwrap())
            .collect()
    };
    let mut before = picks(&deployment);
    for (weight, moved) in [(10, 10), (30, 20), (5, 25), (100, 95)] {
        deployment
            .deploy(version(2), &live(), Some(weight), None)
            .unwrap();
        let after = picks(&deployment);
        let count = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert_eq!(count, moved, "{weight}");
        before = after;
    }
    assert_eq!(deployment.pick(&live(), u32::MAX), Some(digest(2)));
}

#[test]
fn it_reads_back_as_it_was_written_and_nothing_else_is_read() {
    let mut deployment = deployed(&[1, 2]);
    deployment.set_route(Some(Route::new("/chat/{room}").unwrap()));
    let text = serde_json::to_string(&deployment).unwrap();
    assert_eq!(
        serde_json::from_str::<Deployment>(&text).unwrap(),
        deployment
    );
    // The words of data directories that are there.
    assert!(text.contains("\"handler\":\"plain\""), "{text}");
    for (from, to) in [
        ("\"format\":1", "\"format\":0"),
        ("\"format\":1", "\"format\":3"),
        ("\"format\":1,", ""),
        ("\"format\":1", "\"format\":1,\"more\":1"),
        ("/chat/{room}", "chat"),
        ("\"weight\":100", "\"weight\":99"),
        (&digest(1).to_string(), &digest(2).to_string()),
        ("\"migration\":null", "\"migration\":\"fly\""),
        (
            "\"drain_connections_per_second\":null",
            "\"drain_connections_per_second\":0",
        ),
    ] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        assert!(serde_json::from_str::<Deployment>(&other).is_err(), "{to}");
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Deploy(u8, u8, Option<u32>),
    Set(u8, Vec<(u8, u32)>),
    Promote(u8, Option<u8>),
    Rollback(u8),
    RemoveVersion(u8),
    RemoveAlias(u8),
    Trim(usize, u8),
}

fn operation() -> impl Strategy<Value = Operation> {
    let (number, alias) = (0..6_u8, 0..3_u8);
    let weight = prop_oneof![Just(None), (0..=101_u32).prop_map(Some)];
    let weights = prop::collection::vec((0..6_u8, prop::sample::select(vec![0, 50, 100])), 0..3);
    prop_oneof![
        4 => (number.clone(), alias.clone(), weight)
            .prop_map(|(number, alias, weight)| Operation::Deploy(number, alias, weight)),
        2 => (alias.clone(), weights).prop_map(|(alias, shares)| Operation::Set(alias, shares)),
        1 => (alias.clone(), prop::option::of(number.clone()))
            .prop_map(|(alias, number)| Operation::Promote(alias, number)),
        2 => alias.clone().prop_map(Operation::Rollback),
        1 => number.clone().prop_map(Operation::RemoveVersion),
        1 => alias.prop_map(Operation::RemoveAlias),
        1 => (0..5_usize, number).prop_map(|(most, keep)| Operation::Trim(most, keep)),
    ]
}

fn apply(deployment: &mut Deployment, operation: Operation) -> Result<(), DeploymentError> {
    let name = |index: u8| AliasName::new(["live", "beta", "tenant"][usize::from(index)]).unwrap();
    match operation {
        Operation::Deploy(number, alias, weight) => deployment
            .deploy(version(number), &name(alias), weight, None)
            .map(|_| ()),
        Operation::Set(alias, weights) => {
            let shares: Vec<Share> = weights
                .into_iter()
                .map(|(number, weight)| share(number, weight))
                .collect();
            deployment.set_alias(&name(alias), &shares, None)
        }
        Operation::Promote(alias, number) => deployment
            .promote(&name(alias), number.map(digest))
            .map(|_| ()),
        Operation::Rollback(alias) => {
            let before = deployment.alias(&name(alias)).cloned();
            deployment.rollback(&name(alias))?;
            let after = deployment.alias(&name(alias)).cloned();
            assert_ne!(
                before.map(|alias| alias.shares),
                after.map(|alias| alias.shares)
            );
            Ok(())
        }
        Operation::RemoveVersion(number) => deployment.remove_version(&digest(number)),
        Operation::RemoveAlias(alias) => deployment.remove_alias(&name(alias)),
        Operation::Trim(most, keep) => {
            let removed = deployment.trim(most, |version| *version == digest(keep));
            assert!(!removed.contains(&digest(keep)));
            Ok(())
        }
    }
}

proptest! {
    #[test]
    fn operations_keep_what_a_deployment_promises(
        operations in prop::collection::vec(operation(), 1..60)
    ) {
        let mut deployment = deployed(&[]);
        for operation in operations {
            let before = deployment.clone();
            if apply(&mut deployment, operation).is_err() {
                prop_assert_eq!(&deployment, &before);
            }
            prop_assert_eq!(deployment.check(), Ok(()));
            for alias in deployment.aliases().keys() {
                for point in 0..100 {
                    let picked = deployment.pick(alias, point).unwrap();
                    prop_assert!(deployment.version(&picked).is_some());
                }
            }
        }
        let text = serde_json::to_string(&deployment).unwrap();
        prop_assert_eq!(serde_json::from_str::<Deployment>(&text).unwrap(), deployment);
    }
}

#[test]
fn triggers_of_a_running_host_are_kept_in_the_order_of_their_names() {
    let trigger = |number: usize, route: &str| Trigger {
        name: TriggerName::new(&format!("t{number:02}")).unwrap(),
        ..Trigger::new(Route::new(route).unwrap())
    };
    let mut deployment = Deployment::new(FunctionName::new("f").unwrap(), None);
    let old = serde_json::to_string(&deployment).unwrap();
    assert!(
        old.contains("\"format\":1") && !old.contains("triggers"),
        "{old}"
    );
    for number in (0..TRIGGERS_MAX).rev() {
        assert_eq!(deployment.set_trigger(trigger(number, "/a")), Ok(true));
    }
    assert_eq!(deployment.set_trigger(trigger(7, "/b")), Ok(false));
    let past = deployment.set_trigger(trigger(TRIGGERS_MAX, "/a"));
    assert_eq!(past, Err(DeploymentError::TooManyTriggers));
    let names = deployment.triggers().iter().map(|it| &it.name);
    assert!(names.is_sorted());
    assert_eq!(deployment.triggers()[7].route.as_str(), "/b");
    let written = serde_json::to_string(&deployment).unwrap();
    assert!(written.contains("\"format\":2"), "{written}");
    let read: Deployment = serde_json::from_str(&written).unwrap();
    assert_eq!(read, deployment);
    let doubled = written.replace("\"t08\"", "\"t07\"");
    assert!(serde_json::from_str::<Deployment>(&doubled).is_err());
    let gone = trigger(3, "/").name;
    assert_eq!(deployment.remove_trigger(&gone), Ok(()));
    assert!(matches!(
        deployment.remove_trigger(&gone),
        Err(DeploymentError::NoTrigger(_))
    ));
}
