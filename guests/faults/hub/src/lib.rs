//! Uses connections and channels as the message says, and answers with the
//! result: a count, an outcome, or the code of an error. `fill C N` publishes N
//! bytes; `always` and `never` say whether a message is compressed. `lose N`
//! takes N handles of its own connection and keeps them; `hold` keeps one of
//! another connection, to which `held` sends, and which `end-held` closes
//! before it sends.

use openline_sdk::prelude::*;
use openline_sdk::{
    Compress, PublishOptions, Published, SendOptions, broadcast, broadcast_except, connection,
    publish, publish_except, publish_with, subscribers,
};

const ALWAYS: PublishOptions = PublishOptions::new().compress(Compress::Always);
const NEVER: PublishOptions = PublishOptions::new().compress(Compress::Never);

#[derive(Default)]
struct Hub {
    held: Vec<Connection>,
}

impl Handler for Hub {
    fn message(&mut self, here: &Connection, message: Message) {
        let text = message.as_text().unwrap_or_default();
        let (command, argument) = text.split_once(' ').unwrap_or((text, ""));
        let (name, rest) = argument.split_once(' ').unwrap_or((argument, ""));
        let number = || {
            argument
                .rsplit(' ')
                .next()
                .map_or(0, |number| number.parse().unwrap_or(0))
        };
        let answer = match command {
            "id" => here.id(),
            "send" => match connection(name) {
                Some(other) => format!("{:?}", other.send(rest)),
                None => "nobody".to_owned(),
            },
            "subscribe" => said(here.subscribe(argument).map(|()| "ok")),
            "unsubscribe" => {
                here.unsubscribe(argument);
                "ok".to_owned()
            }
            "count" => subscribers(argument).to_string(),
            "publish" => told(publish(name, rest)),
            "publish-always" => told(publish_with(name, rest, ALWAYS)),
            "publish-never" => told(publish_with(name, rest, NEVER)),
            // The answer itself.
            "always" => {
                here.send_with(argument, SendOptions::new().compress(Compress::Always));
                return;
            }
            "never" => {
                here.send_with(argument, SendOptions::new().compress(Compress::Never));
                return;
            }
            "others" => told(publish_except(name, rest, here)),
            "fill" => told(publish(name, vec![0; number()])),
            "broadcast" => told(broadcast(argument)),
            "rest" => told(broadcast_except(argument, here)),
            "attach" => said(here.set_attachment(vec![0; number()]).map(|()| "ok")),
            "attached" => here.attachment().len().to_string(),
            "lose" => {
                self.held
                    .extend((0..number()).filter_map(|_| connection(&here.id())));
                self.held.len().to_string()
            }
            "hold" => {
                self.held.extend(connection(argument));
                self.held.len().to_string()
            }
            "held" => outcome(&self.held, argument),
            "end-held" => {
                for held in &self.held {
                    // It may have ended already.
                    let _ = held.close(1000, "");
                }
                outcome(&self.held, "after the close")
            }
            _ => "what?".to_owned(),
        };
        here.send(answer);
    }
}

/// The outcome of a message to the first held handle.
fn outcome(held: &[Connection], text: &str) -> String {
    held.first().map_or_else(
        || "nobody".to_owned(),
        |held| format!("{:?}", held.send(text)),
    )
}

fn told(result: Result<Published, openline_sdk::Error>) -> String {
    said(result.map(Published::deliveries))
}

fn said(result: Result<impl ToString, openline_sdk::Error>) -> String {
    result.map_or_else(|error| error.code().to_owned(), |value| value.to_string())
}

openline_sdk::export!(Hub);
