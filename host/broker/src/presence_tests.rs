//! Members that come and go, alone and beside a plain list.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn id(number: u128) -> ConnectionId {
    ConnectionId::from_random(number)
}

fn member(number: u128, user: Option<&str>, node: Option<u64>) -> Member {
    Member {
        connection: id(number),
        user: user.map(ByteString::from),
        info: None,
        node: node.map(NodeId),
    }
}

fn join(
    presence: &mut Presence,
    number: u128,
    user: &str,
    told: JoinLeave,
) -> Option<PresenceEvent> {
    presence
        .join(member(number, Some(user), None), told, Moment(0))
        .unwrap()
}

#[test]
fn each_connection_is_told_of_once() {
    let mut presence = Presence::default();
    let told = JoinLeave::Connections;
    let ann = member(1, Some("ann"), None);
    assert_eq!(
        join(&mut presence, 1, "ann", told),
        Some(PresenceEvent::Join(ann.clone()))
    );
    assert_eq!(join(&mut presence, 1, "ann", told), None);
    assert!(join(&mut presence, 2, "ann", told).is_some());
    assert_eq!(
        presence.counts(),
        PresenceCounts {
            connections: 2,
            users: 1
        }
    );
    assert_eq!(presence.leave(id(1), told), Some(PresenceEvent::Leave(ann)));
    assert_eq!(presence.leave(id(1), told), None);
    assert_eq!(presence.leave(id(2), JoinLeave::None), None);
    assert!(presence.is_empty() && presence.cost() == 0);
}

#[test]
fn each_user_is_told_of_with_its_first_and_last_connection() {
    let mut presence = Presence::default();
    let told = JoinLeave::Users;
    assert!(join(&mut presence, 1, "ann", told).is_some());
    assert!(join(&mut presence, 2, "ann", told).is_none());
    assert!(join(&mut presence, 1, "ann", told).is_none());
    assert!(presence.leave(id(1), told).is_none());
    assert!(
        join(&mut presence, 2, "ann", told).is_none(),
        "it is there already"
    );
    assert!(presence.leave(id(2), told).is_some());
    // Connections without a user are told of one by one.
    let anonymous = |number| member(number, None, None);
    for number in [3, 4] {
        assert!(
            presence
                .join(anonymous(number), told, Moment(0))
                .unwrap()
                .is_some()
        );
    }
    assert_eq!(
        presence.counts(),
        PresenceCounts {
            connections: 2,
            users: 0
        }
    );
    assert!(presence.leave(id(3), told).is_some());
}

#[test]
fn a_connection_keeps_its_user() {
    let mut presence = Presence::default();
    join(&mut presence, 1, "ann", JoinLeave::Users);
    assert_eq!(join(&mut presence, 1, "bob", JoinLeave::Users), None);
    let left = presence.leave(id(1), JoinLeave::Users);
    assert_eq!(
        left,
        Some(PresenceEvent::Leave(member(1, Some("ann"), None)))
    );
}

#[test]
fn information_at_its_bytes_and_past_them() {
    let mut presence = Presence::default();
    let mut with = |bytes: usize| {
        let info = Some(Data::Binary(vec![0; bytes].into()));
        presence.join(
            Member {
                info,
                ..member(1, None, None)
            },
            JoinLeave::None,
            Moment(0),
        )
    };
    assert!(with(INFO_BYTES_MAX).is_ok());
    assert!(matches!(
        with(INFO_BYTES_MAX + 1),
        Err(PublishError::TooLarge { .. })
    ));
    let cost = presence.cost();
    assert!(cost > INFO_BYTES_MAX);
    presence
        .join(member(1, None, None), JoinLeave::None, Moment(0))
        .unwrap();
    assert_eq!(
        presence.cost(),
        cost - INFO_BYTES_MAX,
        "the last word counts"
    );
    let long = "u".repeat(USER_BYTES_MAX + 1);
    for (user, good) in [(&long[1..], true), (&long, false)] {
        let member = member(2, Some(user), None);
        assert_eq!(
            presence.join(member, JoinLeave::None, Moment(0)).is_ok(),
            good
        );
    }
}

#[test]
fn members_at_their_number_and_past_it() {
    let mut presence = Presence::default();
    for number in 0..MEMBERS_MAX {
        let member = member(number as u128, None, None);
        presence.join(member, JoinLeave::None, Moment(0)).unwrap();
    }
    let more = presence.join(member(u128::MAX, None, None), JoinLeave::None, Moment(0));
    assert_eq!(more, Err(PublishError::Full { what: "members" }));
    let known = presence.join(member(0, None, None), JoinLeave::None, Moment(0));
    assert_eq!(known, Ok(None));
}

#[test]
fn members_of_a_silent_node_leave_in_steps() {
    let mut presence = Presence::default();
    let told = JoinLeave::Connections;
    let members = 2 * EXPIRED_MAX + 1;
    for number in 0..members {
        let member = member(number as u128, None, Some(1));
        presence.join(member, told, Moment(0)).unwrap();
    }
    let lively = [
        member(u128::MAX, None, Some(2)),
        member(u128::MAX - 1, None, None),
    ];
    for member in &lively {
        presence.join(member.clone(), told, Moment(0)).unwrap();
    }
    assert_eq!(presence.ages_at(), Some(Moment(60_000)));
    let mut gone = 0;
    assert_eq!(
        presence.expire(told, (Moment(59_999), EXPIRED_MAX), |_| gone += 1),
        0
    );
    assert!(presence.touch(NodeId(2), Moment(59_999)));
    assert!(!presence.touch(NodeId(3), Moment(59_999)));
    for expected in [EXPIRED_MAX, EXPIRED_MAX, 1, 0] {
        assert_eq!(
            presence.expire(told, (Moment(60_000), EXPIRED_MAX), |_| gone += 1),
            expected
        );
    }
    assert_eq!(gone, members);
    assert_eq!(presence.counts().connections, 2);
    assert!(
        !presence.touch(NodeId(1), Moment(60_000)),
        "it has no members any more"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Join(u8, Option<u8>, Option<u8>),
    Leave(u8),
    Touch(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let small = || proptest::option::of(0..3u8);
    let step = prop_oneof![
        4 => (0..6u8, small(), small()).prop_map(|(id, user, node)| Step::Join(id, user, node)),
        3 => (0..6u8).prop_map(Step::Leave),
        1 => (0..3u8).prop_map(Step::Touch),
        1 => (0..50_000u64).prop_map(Step::Wait),
    ];
    vec(step, 0..60)
}

proptest! {
    /// A subscriber that counts what it is told knows exactly which connections
    /// (or users) are there.
    #[test]
    fn what_is_told_adds_up(steps in steps(), by_user: bool) {
        let told = if by_user { JoinLeave::Users } else { JoinLeave::Connections };
        let mut presence = Presence::default();
        let mut there: BTreeMap<u8, Member> = BTreeMap::new();
        let mut heard: HashMap<u64, u64> = HashMap::new();
        let mut known: Vec<ConnectionId> = Vec::new();
        let mut users: Vec<ByteString> = Vec::new();
        let mut now = 0;
        for step in steps {
            let mut events = Vec::new();
            match step {
                Step::Join(number, user, node) => {
                    // A connection's user does not change.
                    let user = there.get(&number).map_or(user.map(|it| it.to_string().into()), |it| it.user.clone());
                    let node = node.map(|node| NodeId(node.into()));
                    let member = Member { connection: id(number.into()), user, info: None, node };
                    let before = there.insert(number, member.clone());
                    if let Some(before) = before.and_then(|it| it.node)
                        && !there.values().any(|it| it.node == Some(before))
                    {
                        heard.remove(&before.0);
                    }
                    if let Some(node) = node {
                        heard.insert(node.0, now);
                    }
                    events.extend(presence.join(member, told, Moment(now)).unwrap());
                }
                Step::Leave(number) => {
                    there.remove(&number);
                    events.extend(presence.leave(id(number.into()), told));
                }
                Step::Touch(node) => {
                    if presence.touch(NodeId(node.into()), Moment(now)) {
                        heard.insert(node.into(), now);
                    }
                }
                Step::Wait(wait) => {
                    now += wait;
                    presence.expire(told, (Moment(now), EXPIRED_MAX), |event| events.push(event));
                    there.retain(|_, it| it.node.is_none_or(|it| heard[&it.0] + 60_000 > now));
                }
            }
            for event in events {
                match (event, by_user) {
                    (PresenceEvent::Join(Member { user: Some(user), .. }), true) => {
                        prop_assert!(!users.contains(&user), "told of twice");
                        users.push(user);
                    }
                    (PresenceEvent::Leave(Member { user: Some(user), .. }), true) => {
                        prop_assert!(users.contains(&user), "left and was not there");
                        users.retain(|it| *it != user);
                    }
                    (PresenceEvent::Join(member), _) => {
                        prop_assert!(!known.contains(&member.connection), "told of twice");
                        known.push(member.connection);
                    }
                    (PresenceEvent::Leave(member), _) => {
                        prop_assert!(known.contains(&member.connection), "left and was not there");
                        known.retain(|it| *it != member.connection);
                    }
                }
            }
            let mut expected: Vec<_> = there.values().map(|it| it.user.clone()).collect();
            expected.sort();
            expected.dedup();
            let different = expected.iter().flatten().count();
            let counts = PresenceCounts { connections: there.len(), users: different };
            prop_assert_eq!(presence.counts(), counts);
            let by_id = there.values().filter(|it| !by_user || it.user.is_none());
            known.sort();
            prop_assert!(by_id.map(|it| it.connection).eq(known.iter().copied()));
            users.sort();
            prop_assert!(!by_user || expected.iter().flatten().eq(&users));
            prop_assert!(presence.page(None, 9).iter().eq(there.values()));
            let after = presence.page(Some(id(2)), 2);
            prop_assert!(after.iter().eq(there.range(3..).take(2).map(|(_, it)| it)));
            prop_assert_eq!(presence.cost(), there.values().map(Member::cost).sum::<usize>());
        }
    }
}
