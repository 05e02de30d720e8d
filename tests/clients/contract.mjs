// Checks what is sent and received against the server's AsyncAPI and OpenAPI documents, and answers against what the web
// client reads of them.
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { find, validate, validateError } from "./contract/check.mjs";

/** The document's messages that were seen, by their keys. */
export const seen = new Set();

let document, openapi, ajv;
const validators = new Map();

/** Reads the documents; before anything is checked. */
export async function readContract(baseUrl) {
  const read = async (path) => (await fetch(baseUrl + path, { signal: AbortSignal.timeout(20_000) })).json();
  [document, openapi] = await Promise.all([read("/asyncapi.json"), read("/openapi.json")]);
  ajv = new Ajv2020({ strict: false, allErrors: true });
  formats(ajv);
  ajv.addFormat("int32", true).addFormat("int64", true);
  ajv.addSchema(document, "asyncapi").addSchema(openapi, "openapi");
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

const segments = (path) => path.split("?")[0].split("/");
const words = (template, path) => segments(template).filter((word, index) => word === segments(path)[index]).length;

/** The path in the OpenAPI document of the operation that a request is for: words count more than parameters. */
function template(method, path) {
  const fits = (template) =>
    openapi.paths[template][method.toLowerCase()] && segments(template).length === segments(path).length &&
    segments(template).every((word, index) => word === segments(path)[index] || word.startsWith("{"));
  return Object.keys(openapi.paths).filter(fits).sort((a, b) => words(b, path) - words(a, path))[0];
}

/** The answer to a request. Throws unless both documents allow it. */
export function checkAnswer(method, path, status, body) {
  const place = template(method, path);
  if (!place) throw new Error(`${method} ${path} is not in the document`);
  const response = openapi.paths[place][method.toLowerCase()].responses[status];
  if (!response && status < 400) throw new Error(`${method} ${place} has no ${status} in the document`);
  const escaped = encodeURIComponent(place.replaceAll("/", "~1"));
  const pointer = response?.content?.["application/json"]
    ? `/paths/${escaped}/${method.toLowerCase()}/responses/${status}/content/application~1json/schema`
    : status >= 400 && "/components/schemas/Problem";
  const schema = pointer && (ajv.getSchema(`openapi#${pointer}`) ?? ajv.compile({ $ref: `openapi#${pointer}` }));
  const faults = schema && !schema(body) ? schema.errors.map(({ instancePath, message }) => `${instancePath} ${message}`) : [];
  const call = find(method, path);
  if (call && status >= 400) faults.push(...validateError(body));
  else if (call) faults.push(...validate(method, path, body));
  if (faults.length > 0) throw new Error(`${method} ${path} answers ${status}: ${faults.join("; ")} in ${JSON.stringify(body)}`);
}

/** The document's messages that were not seen. */
export const unseen = () => Object.keys(document.components.messages).filter((key) => !seen.has(key));
