//! The scene of most tests: a customer, a provider, the job between them, its chat, and their sockets.

use std::ops::{Deref, DerefMut};

use serde_json::{Value, json};
use testing::PATIENCE;
use testing::server::Server;
use testing::socket_io::{Client, Event};
use testing::world::{Answer, Provider, User, World};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{SERVE, who};

/// The service with a customer and a plumber.
pub struct Scene {
    pub world: World,
    pub customer: User,
    pub provider: Provider,
}

/// A scene whose customer has booked its provider for 120.50 dollars.
pub struct Booked {
    scene: Scene,
    pub job: i64,
    pub chat: String,
}

impl Scene {
    pub async fn start() -> Self {
        Self::on(World::start(SERVE).await).await
    }

    /// The scene in a world that is there already.
    pub async fn on(world: World) -> Self {
        let (customer, provider) = (world.customer().await, world.provider("Plumbing").await);
        Self { world, customer, provider }
    }

    /// A scene with a job that was just booked.
    pub async fn booked() -> Booked {
        Self::start().await.book().await
    }

    pub async fn book(self) -> Booked {
        let (job, chat) = self.new_job().await;
        Booked { scene: self, job, chat }
    }

    /// Books. Returns the ids of the job and its chat.
    pub async fn new_job(&self) -> (i64, String) {
        let booked = self.world.book(&self.customer, &self.provider).await;
        let (job, chat) = (booked["job"]["id"].as_i64(), booked["chat"]["id"].as_str());
        (job.expect("an id"), chat.expect("an id").to_owned())
    }

    pub async fn customer_posts(&self, path: &str, body: &Value) -> Answer {
        self.world.post_as(&self.customer, path, body).await
    }

    pub async fn provider_posts(&self, path: &str, body: &Value) -> Answer {
        self.world.post_as(&self.provider.user, path, body).await
    }

    /// The titles of a user's notifications, oldest first.
    pub async fn notified(&self, user: &User) -> Vec<String> {
        let list = self.world.get_as(user, "/notifications?limit=100").await.expect(200);
        let list = list["notifications"].as_array().expect("a list").iter().rev();
        list.map(|one| one["title"].as_str().expect("a title").to_owned()).collect()
    }
}

impl Deref for Booked {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl DerefMut for Booked {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.scene
    }
}

impl Booked {
    /// The two parties and their chat, as the scripts of `tests/clients` want them.
    pub fn parties(&self) -> Value {
        json!({"customer": who(&self.customer), "provider": who(&self.provider.user), "chatId": self.chat})
    }

    pub async fn customer_sees(&self) -> Value {
        self.world.get_as(&self.customer, &format!("/customers/jobs/{}", self.job)).await.expect(200)
    }

    /// The messages of the chat, oldest first.
    pub async fn messages(&self) -> Vec<Value> {
        let path = format!("/chat/{}/messages", self.chat);
        let history = self.world.get_as(&self.customer, &path).await.expect(200);
        history["messages"].as_array().expect("messages").clone()
    }

    /// The customer's socket and the provider's, both in the chat, each with its events.
    pub async fn connect(&self) -> [(Client, mpsc::Receiver<Event>); 2] {
        let sockets =
            [connect(&self.world.server, &self.customer).await, connect(&self.world.server, &self.provider.user).await];
        for (client, _) in &sockets {
            join(client, &self.chat).await;
        }
        sockets
    }
}

/// A user's socket, with its events.
pub async fn connect(server: &Server, user: &User) -> (Client, mpsc::Receiver<Event>) {
    let (events, incoming) = mpsc::channel(64);
    (Client::connect(server.port, &user.token, events).await.expect("a connection"), incoming)
}

/// Joins a chat. Returns the acknowledgement.
pub async fn join(client: &Client, chat: &str) -> Value {
    ask(client, "join_chat", json!({"chatId": chat})).await
}

/// Emits an event that must not be refused. Returns its acknowledgement.
pub async fn ask(client: &Client, event: &str, payload: Value) -> Value {
    let answer = client.ask(event, &payload).await.expect("an answer");
    assert!(answer["error"].is_null(), "{event}: {answer}");
    answer
}

/// The `seq` of the next new messages.
pub async fn next_seqs(incoming: &mut mpsc::Receiver<Event>, count: usize) -> Vec<i64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let event = timeout(PATIENCE, incoming.recv()).await.expect("in time").expect("an event");
        if event.is("new_message") {
            seqs.push(event.payload()["seq"].as_i64().expect("seq"));
        }
    }
    seqs
}
