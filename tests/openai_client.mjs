// OpenAI's own Node client, fetch and EventSource against a running rag-api: each check is one call or refusal.

import OpenAI from "openai";
import { EventSource } from "eventsource";

const origin = process.argv[2];
const QUESTION = "How many characters may a question have?";
const ask = { model: "rag-api", messages: [{ role: "user", content: QUESTION }] };
const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey: "any", maxRetries: 0 });
let passed = 0;
let failed = 0;

function check(name, ok, shown = "") {
  if (ok) passed += 1;
  else failed += 1;
  console.log(`${ok ? "ok    " : "FAILED"} ${name}${ok ? "" : `: ${JSON.stringify(shown)}`}`);
}

async function refused(name, status, call, param) {
  try {
    check(name, false, await call());
  } catch (error) {
    check(name, error.status === status && error.param === param, { status: error.status, param: error.param, text: String(error) });
  }
}

async function completions() {
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  check("models.list", models.includes("rag-api") && models.length === 2, models);
  check("models.retrieve", (await client.models.retrieve("rag-api")).id === "rag-api");
  const reply = await client.chat.completions.create(ask);
  check("completion", reply.choices[0].message.content.includes("4,000"), reply);
  check("completion citations", reply.rag.citations[0].quote.length > 0);
  const { response } = await client.chat.completions.create(ask).withResponse();
  check("headers", response.headers.get("x-trace-id").length === 32);
  await refused("unsupported tools", 400, () => client.chat.completions.create({ ...ask, tools: [{ type: "function", function: { name: "f" } }] }), "tools");
  await refused("unsupported n", 400, () => client.chat.completions.create({ ...ask, n: 3 }), "n");
  await refused("unknown model", 404, () => client.models.retrieve("nothing"), "model");
}

async function streams() {
  let text = "";
  let last;
  for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
    last = chunk;
  }
  check("stream", text.includes("4,000") && last.rag.citations.length > 0, text);
  const counted = [];
  for await (const chunk of await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })) counted.push(chunk);
  check("stream usage", counted.at(-1).usage.total_tokens >= 0 && counted.at(-1).choices.length === 0);
  const runner = client.chat.completions.stream(ask);
  check("stream helper", (await runner.finalContent()).includes("4,000"));
  const stream = await client.chat.completions.create({ ...ask, stream: true });
  for await (const _ of stream) break;
  check("stream aborted", stream.controller.signal.aborted);
}

async function embeddings() {
  const model = "all-MiniLM-L6-v2";
  const vector = (await client.embeddings.create({ model, input: "A question." })).data[0].embedding;
  check("embedding", vector.length === 384 && Math.abs(vector.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3);
  const many = await client.embeddings.create({ model, input: ["a", "b"], encoding_format: "float" });
  check("embeddings", many.data.length === 2 && many.data[1].embedding.length === 384);
  await refused("embeddings of another model", 404, () => client.embeddings.create({ model: "text-embedding-3-large", input: "x" }), "model");
}

async function browsers() {
  const reply = await fetch(`${origin}/query`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify({ question: QUESTION }),
  });
  let text = "";
  for await (const piece of reply.body.pipeThrough(new TextDecoderStream())) text += piece;
  const names = [...text.matchAll(/^event: (.*)$/gm)].map((match) => match[1]);
  check("fetch", names[0] === "contexts" && names.includes("delta") && names.at(-1) === "done", names);

  // EventSource connects again by itself when a stream ends: it must be told to stop.
  const source = new EventSource(`${origin}/query?question=${encodeURIComponent(QUESTION)}`);
  let [deltas, dones] = [0, 0];
  source.addEventListener("delta", () => (deltas += 1));
  source.addEventListener("done", () => (dones += 1));
  await new Promise((resolve) => {
    source.addEventListener("error", () => source.readyState === EventSource.CLOSED && resolve());
    setTimeout(resolve, 15_000);
  });
  check("EventSource", deltas > 0 && dones === 1 && source.readyState === EventSource.CLOSED, { deltas, dones, state: source.readyState });
  source.close();
}

for (const part of [completions, streams, embeddings, browsers]) await part();
console.log(`${passed} calls passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
