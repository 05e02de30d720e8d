// Checks what is sent and received against the server's AsyncAPI document.
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";

/** The document's messages that were seen, by their keys. */
export const seen = new Set();

let document;
const validators = new Map();

/** Reads the document; before anything is checked. */
export async function readContract(baseUrl) {
  const response = await fetch(`${baseUrl}/asyncapi.json`, { signal: AbortSignal.timeout(20_000) });
  document = await response.json();
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  formats(ajv);
  ajv.addFormat("int32", true).addFormat("int64", true);
  ajv.addSchema(document, "asyncapi");
  for (const [key, { payload }] of Object.entries(document.components.messages)) {
    // What the server sends has no fields that the document does not name; what clients send may have.
    const closed = document.operations[key]?.action === "receive" ? {} : { unevaluatedProperties: false };
    validators.set(key, ajv.compile({ allOf: [{ $ref: `asyncapi${payload.$ref}` }], ...closed }));
  }
  return document;
}

/** Throws unless a message has the documented shape. */
function conform(key, payload) {
  const validate = validators.get(key);
  if (!validate) throw new Error(`${key} is not in the document: ${JSON.stringify(payload)}`);
  if (!validate(payload)) throw new Error(`${key}: ${JSON.stringify(validate.errors)} in ${JSON.stringify(payload)}`);
  seen.add(key);
}

/** An event from the server. */
export function checkReceived(event, payload) {
  if (document.operations[event]?.action !== "send") throw new Error(`the server sends ${event}, which is not in the document`);
  conform(event, payload);
}

/** The acknowledgement of an event, and the event too if it was accepted. */
export function checkAnswered(event, payload, ack) {
  if (ack?.error) return conform("refused_ack", ack);
  conform(`${event}_ack`, ack);
  conform(event, payload);
}

/** The document's messages that were not seen. */
export const unseen = () => Object.keys(document.components.messages).filter((key) => !seen.has(key));
