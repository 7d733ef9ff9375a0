//! The main job: a message through a function and back.

use tokio_tungstenite::tungstenite::Message;

use crate::harness::Host;

#[tokio::test]
async fn a_plain_function_echoes_text_and_binary() {
    echoes_text_and_binary(openline_guests::ECHO).await;
}

#[tokio::test]
async fn an_asynchronous_function_echoes_text_and_binary() {
    echoes_text_and_binary(openline_guests::ECHO_ASYNC).await;
}

async fn echoes_text_and_binary(component: &str) {
    let host = Host::with(component, "/echo").start().await;
    let mut client = host.connect("/echo").await;
    assert_eq!(client.ask("grüße").await, "grüße");
    client.binary(&[0, 255, 7]).await;
    assert_eq!(client.next().await, Message::binary(vec![0, 255, 7]));
    assert_eq!(client.ask("").await, "");
}

#[tokio::test]
async fn the_order_of_a_burst_is_kept() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .and(openline_guests::ECHO_ASYNC, "/async")
        .start()
        .await;
    for path in ["/echo", "/async"] {
        let mut client = host.connect(path).await;
        for number in 0..2000 {
            client.feed(Message::text(number.to_string())).await;
        }
        client.flush().await;
        for number in 0..2000 {
            assert_eq!(client.next_text().await, number.to_string());
        }
    }
}

#[tokio::test]
async fn the_largest_message_passes_both_ways() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let mut client = host.connect("/echo").await;
    let largest = vec![9; 6 * 1024 * 1024];
    client.binary(&largest).await;
    assert_eq!(client.next().await, Message::binary(largest));
}
