// What the client scripts share: plain HTTP, sockets whose events can be awaited, and a time limit on everything.
import { io } from "socket.io-client";
import { validateEvent } from "./contract/check.mjs";
import { checkAnswer, checkAnswered, checkReceived, readContract } from "./contract.mjs";

export const baseUrl = process.env.BASE_URL;
const patienceMs = 20_000;

export function check(condition, what, seen) {
  if (!condition) throw new Error(`${what}: ${JSON.stringify(seen)}`);
}

/** Sends a request; fails unless it is answered with `status`, where `2xx` is any success. A busy server's 503 is tried again, as it asks. */
export async function http(method, path, status, { token, body } = {}, until = Date.now() + patienceMs) {
  const headers = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch(baseUrl + path, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(patienceMs) });
  const answer = await response.json();
  checkAnswer(method, path, response.status, answer);
  if (response.status === 503 && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(response.headers.get("retry-after") ?? 1)));
    return http(method, path, status, { token, body }, until);
  }
  check(status === "2xx" ? response.ok : response.status === status, `${method} ${path} answers ${response.status}`, answer);
  return answer;
}

/** A socket that remembers every event, so that none is missed between two waits. */
export class Client {
  #seen = [];
  #taken = new Set();
  #wake = new Set();
  #overtaken = 0;

  constructor(token, options = {}) {
    this.socket = io(`${baseUrl}/chat`, { auth: { token }, forceNew: true, reconnection: false, ...options });
    this.socket.onAny((event, payload) => {
      checkReceived(event, payload);
      const faults = validateEvent(event, payload);
      if (faults.length > 0) throw new Error(`the web client cannot read ${event}: ${faults.join("; ")} in ${JSON.stringify(payload)}`);
      this.note(event, payload);
    });
    this.socket.on("connect_error", ({ message, description, context }) => {
      // Now and then an upgrade overtakes a poll, which engineioxide then answers with 400. Clients connect again by
      // themselves, unless told not to.
      if (context?.status === 400 && this.#overtaken++ < 3) return void this.socket.connect();
      // Of a transport that failed: the status and text of the answer, or the cause.
      const answer = context && { status: context.status, text: context.responseText };
      this.note("connect_error", { message, ...(description && { description: String(description), ...answer }) });
    });
  }

  /** Remembers something that happened, to be awaited like an event. */
  note(event, payload) {
    this.#seen.push({ event, payload });
    for (const wake of this.#wake) wake();
  }

  /** The next event of this name that was not taken yet. */
  async next(event) {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const at = this.#seen.findIndex((seen, index) => seen.event === event && !this.#taken.has(index));
      if (at >= 0) {
        this.#taken.add(at);
        return this.#seen[at].payload;
      }
      check(Date.now() < deadline, `no ${event} among`, this.#seen.slice(-20));
      await new Promise((resolve) => {
        const wake = () => (clearTimeout(timer), this.#wake.delete(wake), resolve());
        const timer = setTimeout(wake, 250);
        this.#wake.add(wake);
      });
    }
  }

  /** All payloads of an event so far. */
  all(event) {
    return this.#seen.filter((seen) => seen.event === event).map((seen) => seen.payload);
  }

  /** Emits, and waits for the acknowledgement. */
  async ask(event, payload) {
    const ack = await this.socket.timeout(patienceMs).emitWithAck(event, payload);
    checkAnswered(event, payload, ack);
    return ack;
  }

  close() {
    this.socket.disconnect();
  }
}

/** Runs a script's main function; the last line of its output is its report, as JSON. */
export async function run(main) {
  try {
    await readContract(baseUrl);
    const report = await main(JSON.parse(process.argv[2] ?? "{}"));
    // Not before all of it is written: a pipe takes 64 KiB at a time.
    process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}
