// Connections are cut at random, again and again, while messages flow through a proxy: readers join again after
// every connect, with the last seq they have, and miss and repeat nothing.
import net from "node:net";
import { io } from "socket.io-client";
import { baseUrl, check, run } from "./lib.mjs";

const patienceMs = 20_000;
const between = (low, high) => low + Math.random() * (high - low);
const nap = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Stands between the clients and the server, and breaks connections. */
class Proxy {
  #open = new Set();
  cuts = 0;

  async listen() {
    const { hostname, port } = new URL(baseUrl);
    this.server = net.createServer((client) => {
      const server = net.connect({ host: hostname, port: Number(port), noDelay: true });
      const connection = { leftBytes: Infinity, end: () => (this.#open.delete(connection), client.destroy(), server.destroy()) };
      this.#open.add(connection);
      for (const side of [client, server]) side.on("error", connection.end).on("close", connection.end);
      client.pipe(server);
      server.on("data", (bytes) => {
        client.write(bytes.subarray(0, connection.leftBytes), () => connection.leftBytes <= 0 && connection.end());
        connection.leftBytes -= bytes.length;
      });
    });
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  /** Cuts one connection or all of them: at once, or in the middle of what the server says next. */
  cut() {
    const open = [...this.#open];
    const cut = Math.random() < 0.4 ? open : open.slice().sort(() => Math.random() - 0.5).slice(0, 1);
    for (const connection of cut) {
      if (Math.random() < 0.5) connection.end();
      else connection.leftBytes = Math.floor(between(1, 400));
    }
    this.cuts += cut.length > 0 ? 1 : 0;
  }
}

const connect = (url, token, transport) =>
  io(`${url}/chat`, { auth: { token }, forceNew: true, transports: [transport], reconnectionDelay: 20, reconnectionDelayMax: 200, timeout: 3000 });

/** Holds the chat's history: applies only what is next, and asks again where something is missing. */
class Reader {
  history = [];
  faults = [];
  repeats = [];
  connections = 0;
  caughtUp = 0;
  early = 0;
  #heard = new Map();
  #joining = false;
  #again = false;

  constructor(url, token, chatId, transport) {
    this.chatId = chatId;
    this.socket = connect(url, token, transport);
    this.socket.on("connect", () => {
      this.connections += 1;
      this.#joining = this.#again = false;
      this.join();
    });
    this.socket.on("joined_chat", (page) => {
      this.#joining = false;
      const before = this.history.length;
      for (const message of page.messages) {
        this.#hear(message, "missed");
        if (!this.#apply(message)) this.faults.push(`a page begins after ${before}: ${message.seq}`);
      }
      this.caughtUp += this.history.length - before;
      this.lastSeq = page.lastSeq;
      if (page.hasMore || this.#again || this.history.length < page.lastSeq) this.join();
    });
    this.socket.on("new_message", (message) => {
      const isNextOrOld = this.#apply(message);
      this.#hear(message, isNextOrOld ? "live" : "early");
      if (isNextOrOld) return;
      this.early += 1;
      this.join();
    });
  }

  /** The event `joined_chat` brings the messages; the acknowledgement, the same, is asked only for a refusal. */
  join() {
    if (this.#joining) {
      this.#again = true;
      return;
    }
    const { id } = this.socket;
    this.#joining = true;
    this.#again = false;
    this.socket.emit("join_chat", { chatId: this.chatId, afterSeq: this.history.length }, async (answer) => {
      if (!answer.error) return;
      if (answer.error.code !== "unavailable") this.faults.push(answer);
      await nap(100);
      this.#joining = false;
      if (this.socket.id === id) this.join();
    });
  }

  /** `false`: some before it are missing. */
  #apply({ seq, id }) {
    if (seq > this.history.length + 1) return false;
    if (seq === this.history.length + 1) this.history.push(id);
    else if (this.history[seq - 1] !== id) this.faults.push(`seq ${seq} is ${this.history[seq - 1]}, and ${id}`);
    return true;
  }

  /** No message comes twice on one socket. */
  #hear({ seq, id }, how) {
    const key = `${this.socket.id} ${id}`;
    const before = this.#heard.get(key);
    if (before) this.repeats.push(`seq ${seq}: ${before}, then ${how}`);
    this.#heard.set(key, how);
  }
}

/** Sends one message after the other, each again under the same clientMessageId until it is acknowledged. */
async function send(socket, chatId, name, end, acks, counts) {
  for (let n = 0; Date.now() < end; n += 1) {
    const clientMessageId = `${name}-${n}`;
    const deadline = Date.now() + patienceMs;
    for (;;) {
      check(Date.now() < deadline, "a send is never acknowledged", clientMessageId);
      try {
        const ack = await socket.timeout(2000).emitWithAck("send_message", { chatId, message: clientMessageId, clientMessageId });
        if (ack.seq) {
          acks.set(ack.seq, ack.id);
          break;
        }
        check(["unavailable", "overloaded"].includes(ack.error.code), "a refusal that may be tried again", ack);
      } catch (error) {
        if (!/timed out|disconnected/.test(error.message)) throw error;
      }
      counts.retried += 1;
      await nap(20);
    }
    counts.acked += 1;
    await nap(between(5, 30));
  }
}

await run(async ({ senders, readers, chatId, transport, forMs }) => {
  const proxy = new Proxy();
  const url = await proxy.listen();
  const reading = readers.map((token) => new Reader(url, token, chatId, transport));
  const end = Date.now() + forMs;
  const [acks, counts] = [new Map(), { acked: 0, retried: 0 }];
  const sending = senders.map((token, index) => send(connect(url, token, transport), chatId, `sender-${index}`, end, acks, counts));
  const cutting = (async () => {
    while (Date.now() < end) {
      await nap(between(100, 500));
      proxy.cut();
    }
  })();
  await Promise.all([...sending, cutting]);

  // A last look, on the sockets that are there.
  for (const reader of reading) if (reader.socket.connected) reader.join();
  const deadline = Date.now() + patienceMs;
  const isComplete = (reader) => reader.history.length >= acks.size && reader.lastSeq === acks.size;
  while (!reading.every(isComplete) && Date.now() < deadline) await nap(50);
  const faults = reading.flatMap((reader) => reader.faults);
  for (const reader of reading) {
    const wrong = reader.history.findIndex((id, index) => acks.get(index + 1) !== id);
    if (wrong >= 0 || reader.history.length !== acks.size) faults.push(`a history of ${reader.history.length}, wrong at ${wrong}`);
  }
  const sum = (what) => reading.reduce((total, reader) => total + reader[what], 0);
  const seen = { connections: sum("connections"), caughtUp: sum("caughtUp"), early: sum("early") };
  return { cuts: proxy.cuts, ...counts, ...seen, faults, repeats: reading.flatMap((reader) => reader.repeats) };
});
