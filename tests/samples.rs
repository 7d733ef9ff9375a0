//! The sample functions do what their documentation says.

use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, Host};

async fn chat() -> Host {
    Host::with(openline_guests::CHAT, "/chat/{room}")
        .start()
        .await
}

/// Joins a room and reads the greeting.
async fn join(host: &Host, room: &str, nick: &str, here: u32) -> Client {
    let mut client = host.connect(&format!("/chat/{room}?nick={nick}")).await;
    let greeting = format!("* welcome to {room}, {nick}: {here} here");
    assert_eq!(client.next_text().await, greeting);
    client
}

#[tokio::test]
async fn the_chat_tells_a_room_who_joins_what_is_said_and_who_leaves() {
    let host = chat().await;
    let mut ada = join(&host, "lobby", "ada", 1).await;
    let mut bob = join(&host, "lobby", "bob", 2).await;
    assert_eq!(ada.next_text().await, "* bob joined");
    ada.text("hello").await;
    assert_eq!(ada.next_text().await, "ada: hello");
    assert_eq!(bob.next_text().await, "ada: hello");
    bob.binary(&[1, 2, 3]).await;
    assert_eq!(ada.next_text().await, "bob: (not text)");
    assert_eq!(bob.next_text().await, "bob: (not text)");
    bob.close(1000, "").await;
    assert_eq!(bob.closed().await.code, 1000);
    assert_eq!(ada.next_text().await, "* bob left");
    // This includes a peer that disappears without a close.
    join(&host, "lobby", "eve", 2).await.vanish();
    assert_eq!(ada.next_text().await, "* eve joined");
    assert_eq!(ada.next_text().await, "* eve left");
}

#[tokio::test]
async fn the_chats_rooms_do_not_hear_each_other() {
    let host = chat().await;
    let mut ada = join(&host, "red", "ada", 1).await;
    let mut bob = join(&host, "blue", "bob", 1).await;
    assert_eq!(ada.ask("in red").await, "ada: in red");
    assert_eq!(bob.ask("in blue").await, "bob: in blue");
}

#[tokio::test]
async fn the_chat_decodes_names_and_makes_one_up() {
    let host = chat().await;
    let mut ada = host
        .connect("/chat/caf%C3%A9?nick=ada+love%20lace%21")
        .await;
    let greeting = "* welcome to café, ada love lace!: 1 here";
    assert_eq!(ada.next_text().await, greeting);
    let mut guest = host.connect("/chat/caf%C3%A9").await;
    let greeting = guest.next_text().await;
    let nick = greeting
        .strip_prefix("* welcome to café, ")
        .and_then(|rest| rest.strip_suffix(": 2 here"))
        .unwrap_or_else(|| panic!("{greeting}"));
    assert!(nick.starts_with("guest-"), "{nick}");
    assert_eq!(ada.next_text().await, format!("* {nick} joined"));
}

#[tokio::test]
async fn the_chat_refuses_names_that_are_none() {
    let host = chat().await;
    // 32 characters are a valid name, however many bytes they have.
    let path = format!("/chat/lobby?nick={}", "%C3%A9".repeat(32));
    let mut longest = host.connect(&path).await;
    assert!(longest.next_text().await.contains(&"é".repeat(32)));
    for path in [
        "/chat/lobby?nick=",
        "/chat/lobby?nick=a%00b",
        "/chat/lobby?nick=a%0Ab",
        &format!("/chat/lobby?nick={}", "n".repeat(33)),
        &format!("/chat/{}?nick=ada", "r".repeat(33)),
        "/chat/a%07b?nick=ada",
    ] {
        let refused = host.refused(path).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.body.contains("\nhint: "), "{}", refused.body);
    }
}

#[tokio::test]
async fn the_counter_is_the_single_writer_of_its_count() {
    const CONNECTIONS: usize = 10;
    const STEPS: usize = 100;
    let host = Host::with(openline_guests::COUNTER, "/counter/{room}")
        .instance(|instance| instance.affinity = Some("room".into()))
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(host.connect("/counter/lobby").await);
    }
    for client in &mut clients {
        for _ in 0..STEPS {
            client.feed(Message::text("add 1")).await;
        }
    }
    for client in &mut clients {
        client.flush().await;
    }
    // Each peer sees each step of the count once and in order: no update is
    // lost, and all see the same.
    for client in &mut clients {
        for count in 1..=CONNECTIONS * STEPS {
            assert_eq!(client.next_text().await, count.to_string());
        }
    }
}

#[tokio::test]
async fn the_counter_adds_gets_and_says_what_it_understands() {
    let host = Host::with(openline_guests::COUNTER, "/counter/{room}")
        .start()
        .await;
    let mut client = host.connect("/counter/lobby").await;
    assert_eq!(client.ask("get").await, "0");
    assert_eq!(client.ask("add 5").await, "5");
    assert_eq!(client.ask(" add -7\n").await, "-2");
    let least = i64::MIN.to_string();
    assert_eq!(client.ask(&format!("add {least}")).await, least);
    let help = "say `add N`, N a whole number, or `get`";
    for unknown in ["", "add", "add x", "add 1.5", "subtract 1"] {
        assert_eq!(client.ask(unknown).await, help, "{unknown}");
    }
    let longest = "r".repeat(256);
    host.connect(&format!("/counter/{longest}")).await;
    let refused = host.refused(&format!("/counter/{longest}r")).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn both_echoes_take_the_first_of_the_offered_subprotocols() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .and(openline_guests::ECHO_ASYNC, "/async")
        .start()
        .await;
    for path in ["/echo", "/async"] {
        let offered = [("sec-websocket-protocol", "b, a")];
        let client = Client::open(host.address, path, &offered).await.unwrap();
        assert_eq!(client.headers["sec-websocket-protocol"], "b");
        let client = host.connect(path).await;
        assert!(!client.headers.contains_key("sec-websocket-protocol"));
    }
}

#[tokio::test]
async fn the_fan_out_reaches_all_subscribers_and_nobody_else() {
    let host = Host::with(openline_guests::FAN_OUT, "/fan-out/{role}")
        .start()
        .await;
    let mut first = host.connect("/fan-out/subscribe").await;
    let mut second = host.connect("/fan-out/subscribe").await;
    let mut publisher = host.connect("/fan-out/publish").await;
    publisher.binary(&[1, 2, 3]).await;
    publisher.text("hello").await;
    for subscriber in [&mut first, &mut second] {
        assert_eq!(subscriber.next().await, Message::binary(vec![1, 2, 3]));
        assert_eq!(subscriber.next_text().await, "hello");
    }
    // If it had received anything, this would not be its first message.
    publisher.close(1000, "").await;
    assert_eq!(publisher.closed().await.code, 1000);
}
